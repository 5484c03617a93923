/* The ladder: from what the comparison has counted to what has to be looked at again. */
#include "core/analysis/explain_internal.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#define ENOUGH .95
#define ENOUGH_RANK .8

const char *explain_words(enum explain_kind k)
{
	static const char *const words[EXPLAIN_KINDS] = {
		[EXPLAIN_IDENTICAL] = "identical",
		[EXPLAIN_MOVED] = "identical to another tensor",
		[EXPLAIN_CAST] = "cast",
		[EXPLAIN_PRUNED] = "pruned",
		[EXPLAIN_FEW] = "identical but for a few values",
		[EXPLAIN_SCALED] = "scaled",
		[EXPLAIN_QUANTIZED] = "quantized",
		[EXPLAIN_DEQUANTIZED] = "dequantized",
		[EXPLAIN_ROWS_ADDED] = "rows appended",
		[EXPLAIN_ROWS_REMOVED] = "rows removed",
		[EXPLAIN_COLUMNS_ADDED] = "columns appended",
		[EXPLAIN_COLUMNS_REMOVED] = "columns removed",
		[EXPLAIN_RESHAPED] = "rows and columns changed in number",
		[EXPLAIN_ROWS_PERMUTED] = "rows permuted",
		[EXPLAIN_COLUMNS_PERMUTED] = "columns permuted",
		[EXPLAIN_LOW_RANK] = "low-rank update",
		[EXPLAIN_DENSE] = "small dense change",
		[EXPLAIN_IDIOPATHIC] = "idiopathic",
		[EXPLAIN_ADDED] = "added",
		[EXPLAIN_REMOVED] = "removed",
		[EXPLAIN_UNREAD] = "unread",
	};
	return words[k];
}

static struct explanation explained(enum explain_kind kind, double value, double validity, double components)
{
	return (struct explanation){kind, value, validity, 1 / components};
}

/* Of this tensor, what the other tells of it. */
static double energy_told(const struct diff_sums *s)
{
	double v = s->aa > 0 ? 1 - s->dd / s->aa : 0;
	return v > 0 ? v : 0;
}

static uint64_t smaller_side(const struct explain_row *x)
{
	uint64_t n = 0;
	for (uint32_t k = 0; k < x->parts.n; k++) {
		const struct part *p = &x->a->c->parts[x->parts.a + k];
		uint64_t side = MIN(p->rows, p->cols);
		n = MAX(n, side);
	}
	return n;
}

static struct explanation last_rungs(const struct explain_row *x)
{
	const struct diff_sums *s = &x->row->sums;
	double told = energy_told(s), components = 1 + (double)smaller_side(x);
	return told >= ENOUGH ? explained(EXPLAIN_DENSE, diff_rel_l2(s), told, components) :
				explained(EXPLAIN_IDIOPATHIC, NAN, told, components);
}

/* --- without reading --- */

static enum explain_kind shape_kind(const struct explain_row *x)
{
	const struct part *p = &x->a->c->parts[x->parts.a], *q = &x->b->c->parts[x->parts.b];
	if (x->parts.n == 1 && p->cols == q->cols)
		return p->rows > q->rows ? EXPLAIN_ROWS_ADDED : EXPLAIN_ROWS_REMOVED;
	if (x->parts.n == 1 && p->rows == q->rows)
		return p->cols > q->cols ? EXPLAIN_COLUMNS_ADDED : EXPLAIN_COLUMNS_REMOVED;
	return EXPLAIN_RESHAPED;
}

/* How many rows or columns more or less. */
static double shape_value(const struct explain_row *x, enum explain_kind kind)
{
	const struct part *p = &x->a->c->parts[x->parts.a], *q = &x->b->c->parts[x->parts.b];
	if (kind == EXPLAIN_RESHAPED)
		return NAN;
	return kind == EXPLAIN_ROWS_ADDED || kind == EXPLAIN_ROWS_REMOVED ? fabs((double)p->rows - (double)q->rows) :
									   fabs((double)p->cols - (double)q->cols);
}

static bool counted(const struct explain_row *x, struct explanation *out)
{
	const struct diff_sums *s = &x->row->sums;
	double n = (double)s->elements, same = n > 0 ? (n - (double)s->changed) / n : 1;
	switch (x->row->status) {
	case DIFF_SAME:
		*out = explained(EXPLAIN_IDENTICAL, NAN, 1, 1);
		return true;
	case DIFF_RENAMED:
		*out = explained(EXPLAIN_MOVED, NAN, 1, 2);
		return true;
	case DIFF_SHAPE:
		if (same < ENOUGH)
			return false;
		*out = explained(shape_kind(x), 0, same, 2);
		out->value = shape_value(x, out->kind);
		return true;
	default:
		break;
	}
	if (x->ta != x->tb && (double)s->rounded / n >= ENOUGH) {
		*out = explained(EXPLAIN_CAST, NAN, (double)s->rounded / n, 1);
		return true;
	}
	/* what is not zero is the other's; a few zeros among other changes are those changes' */
	double kept = (n - (double)s->changed + (double)s->zeroed) / n;
	if (kept >= ENOUGH && 2 * s->zeroed > s->changed) {
		*out = explained(EXPLAIN_PRUNED, (double)s->zeroed / n, kept, 2);
		return true;
	}
	if (same >= ENOUGH) {
		*out = explained(EXPLAIN_FEW, 1 - same, same, 1 + (double)s->changed);
		return true;
	}
	return false;
}

/* --- with reading --- */

static int try_scaled(const struct explain_row *x, struct explanation *out, struct err *e)
{
	const struct diff_sums *s = &x->row->sums;
	double factor = s->bb > 0 ? s->ab / s->bb : 0, share = 0;
	/* a factor that is lost in the rounding of the type says nothing; where it is true the cosine is all but one */
	if (!(fabs(diff_cosine(s)) > .999) || fabs(factor - 1) < 1. / 512)
		return 0;
	int r = explain_scaled(x, factor, &share, e);
	if (!r && share >= ENOUGH)
		*out = explained(EXPLAIN_SCALED, factor, share, 1);
	return r;
}

static int try_levels(const struct explain_row *x, struct explanation *out, struct err *e)
{
	bool qa = dtype_info(x->ta)->quantised, qb = dtype_info(x->tb)->quantised;
	double share = 0;
	if (qa == qb || energy_told(&x->row->sums) < .8)
		return 0;
	int r = explain_levels(x, qb, &share, e);
	if (!r && share >= ENOUGH)
		*out = explained(qa ? EXPLAIN_QUANTIZED : EXPLAIN_DEQUANTIZED, NAN, share, 1);
	return r;
}

static int try_permuted(const struct explain_row *x, struct explanation *out, struct err *e)
{
	double rows = 0, cols = 0;
	if (x->parts.n != 1 || energy_told(&x->row->sums) >= ENOUGH)
		return 0;
	int r = explain_permuted(x, &rows, &cols, e);
	if (!r && rows >= ENOUGH)
		*out = explained(EXPLAIN_ROWS_PERMUTED, NAN, rows, 2);
	else if (!r && cols >= ENOUGH)
		*out = explained(EXPLAIN_COLUMNS_PERMUTED, NAN, cols, 2);
	return r;
}

static int try_rank(const struct explain_row *x, struct explanation *out, struct err *e)
{
	uint32_t rank = 0;
	double energy = 0;
	if (energy_told(&x->row->sums) < .2)	/* nothing alike: the rank of the difference is that of a tensor */
		return 0;
	int r = explain_rank(x, &rank, &energy, e);
	if (!r && rank && energy >= ENOUGH_RANK)
		*out = explained(EXPLAIN_LOW_RANK, rank, energy, 1 + (double)rank);
	return r;
}

static int climb(const struct explain_row *x, struct explanation *out, struct err *e)
{
	int (*const rungs[])(const struct explain_row *, struct explanation *, struct err *) = {
		try_scaled, try_levels, try_permuted, try_rank,
	};
	out->kind = EXPLAIN_KINDS;
	for (size_t i = 0; i < COUNT(rungs) && x->row->status != DIFF_SHAPE && out->kind == EXPLAIN_KINDS; i++) {
		int r = rungs[i](x, out, e);
		if (r < 0)
			return r;
	}
	if (out->kind == EXPLAIN_KINDS)
		*out = last_rungs(x);
	return 0;
}

/* --- all --- */

struct job {
	struct explanation *out;
	const struct diff *d;
	const struct diff_model *a, *b;
	const struct cancel *cancel;
	pthread_mutex_t lock;
	struct err *err;
	bool failed;
};

static int explain_one(void *arg, size_t i)
{
	struct job *j = arg;
	const struct diff_row *row = &j->d->rows[i];
	struct err e = ERR_INIT;
	if (row->status >= DIFF_ADDED) {
		j->out[i] = (struct explanation){row->status == DIFF_ADDED ? EXPLAIN_ADDED :
						 row->status == DIFF_REMOVED ? EXPLAIN_REMOVED :
									       EXPLAIN_UNREAD,
						 NAN, NAN, NAN};
		return 0;
	}
	struct explain_row x = {row, j->a, j->b, diff_row_parts(row, j->a, j->b), j->a->w->tensors[row->a].dtype,
				j->b->w->tensors[row->b].dtype, j->cancel};
	if (counted(&x, &j->out[i]))
		return 0;
	int r = climb(&x, &j->out[i], &e);
	if (r < 0) {
		pthread_mutex_lock(&j->lock);
		if (!j->failed && j->err)
			*j->err = e;
		j->failed = true;
		pthread_mutex_unlock(&j->lock);
	}
	return r;
}

int explain_diff(struct explanation *out, const struct diff *d, const struct diff_model *a, const struct diff_model *b,
		 unsigned threads, const struct cancel *cancel, struct err *e)
{
	struct job j = {.out = out, .d = d, .a = a, .b = b, .cancel = cancel, .err = e};
	pthread_mutex_init(&j.lock, NULL);
	int r = pool_for(threads ? threads : pool_cores(), d->n, explain_one, &j);
	pthread_mutex_destroy(&j.lock);
	return r;
}
