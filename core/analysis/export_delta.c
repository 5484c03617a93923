/* The difference of two models as an export: this model's tensors, minus the other's where it has them. */
#include "core/analysis/export_internal.h"

#include "core/analysis/diff_internal.h"
#include "core/format/compose.h"

#include <errno.h>
#include <string.h>

/*
 * Are the parts of a tensor its rows in order? Then the other's parts, whatever their layout, give the same rows.
 */
static bool is_plain(const struct canon *c, const struct tensor *src, uint32_t part, uint32_t n)
{
	uint64_t rows = 0;
	for (uint32_t k = part; k < part + n; k++) {
		const struct part *p = &c->parts[k];
		if (p->transposed || p->rope_heads || p->stride || p->base || p->offset != 0 || p->ld != p->cols ||
		    p->first != rows || p->cols != c->parts[part].cols)
			return false;
		rows += p->rows;
	}
	return n && rows * c->parts[part].cols == src->elements;
}

/* `row`: the only one that speaks of the tensor, DIFF_NONE where other has nothing like it. */
static void add_entry(struct export *x, uint32_t i, uint32_t row)
{
	const struct tensor *src = &x->w->tensors[i];
	const struct dtype_info *d = dtype_info(src->dtype);
	const struct diff_model this = {x->w, x->c};
	struct export_entry *t = &x->entries[x->n];
	uint64_t bytes;
	if ((!d->to_f32 && d->bytes) || __builtin_mul_overflow(src->elements, sizeof(float), &bytes)) {
		x->left_out++;
		return;
	}
	*t = (struct export_entry){.name = src->name,
				   .dtype = DTYPE_F32,
				   .ndim = src->ndim,
				   .tensor = i,
				   .part = DIFF_NONE,
				   .how = EXPORT_CONVERT,
				   .row = row};
	memcpy(t->shape, src->shape, sizeof t->shape);
	if (weights_turned(x->w, src))
		export_turn(t, src);
	const struct diff_row *r = row == DIFF_NONE ? NULL : &x->diff.rows[row];
	if (r && r->status != DIFF_ADDED) {
		struct diff_parts p = diff_row_parts(r, &this, &x->other);
		if (r->status == DIFF_UNREAD ||
		    (!diff_stored_alike(r, &this, &x->other) && !is_plain(x->c, src, p.a, p.n))) {
			x->left_out++;
			return;
		}
		t->how = EXPORT_DELTA;
	}
	x->n++;
}

static int plan(struct export *x, const char *base, struct err *e)
{
	cleanup_free uint32_t *row_of = mem_array(x->w->n_tensors, sizeof *row_of),
			      *rows = mem_array(x->w->n_tensors, sizeof *rows);
	x->entries = arena_array(&x->arena, x->w->n_tensors, sizeof *x->entries);
	if (!row_of || !rows || !x->entries)
		return err_nomem(e);
	for (uint32_t i = 0; i < x->diff.n; i++)
		if (x->diff.rows[i].a != DIFF_NONE) {
			row_of[x->diff.rows[i].a] = i;
			rows[x->diff.rows[i].a]++;
		}
	for (uint32_t i = 0; i < x->w->n_tensors; i++) {
		if (rows[i] > 1)	/* fused here, split there */
			x->left_out++;
		else
			add_entry(x, i, rows[i] ? row_of[i] : DIFF_NONE);
	}
	return export_finish(x, NULL, base, e);
}

int export_delta(struct export *x, const struct diff_model *this, const struct diff_model *other, const char *base,
		 struct err *e)
{
	*x = (struct export){.w = this->w, .c = this->c, .other = *other, .kept_entry = SIZE_MAX};
	pthread_mutex_init(&x->lock, NULL);
	int r = diff_align(&x->diff, this, other, e);
	if (!r)
		r = plan(x, base, e);
	if (r < 0)
		export_release(x);
	return r;
}

/* --- values --- */

static void subtract(float *out, const float *y, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		out[i] -= y[i];
}

static int stored_alike(const struct export *x, const struct diff_row *row, uint64_t first, uint64_t n, float *out,
			struct err *e)
{
	cleanup_free float *y = mem_array(n, sizeof *y);
	int r = y ? weights_read(x->other.w, &x->other.w->tensors[row->b], first, n, y, e) : err_nomem(e);
	if (!r)
		subtract(out, y, n);
	return r;
}

/* n values from (row, col) of a part of this on, whole rows or less than one, of which the other's part may have
 * fewer. */
static int subtract_part(const struct export *x, uint32_t part, uint64_t row, uint64_t col, uint64_t cols, uint64_t n,
			 float *out, struct err *e)
{
	const struct part *p = &x->other.c->parts[part];
	if (row >= p->rows || col >= p->cols)
		return 0;
	uint64_t rows = MAX(n / cols, (uint64_t)1), wide = MIN(n / rows, p->cols - col);
	rows = MIN(rows, p->rows - row);
	cleanup_free float *y = mem_array(rows * wide, sizeof *y);
	int r = y ? diff_read(&x->other, part, row, rows, col, wide, y, e) : err_nomem(e);
	for (uint64_t i = 0; i < rows && !r; i++)
		subtract(out + i * cols, y + i * wide, wide);
	return r;
}

static int by_rows(const struct export *x, const struct diff_parts *p, uint64_t first, uint64_t n, float *out,
		   struct err *e)
{
	const struct part *parts = &x->c->parts[p->a];
	uint64_t cols = parts->cols;
	while (n) {
		uint64_t row = first / cols, col = first % cols, m = MIN(n, cols - col);
		uint32_t k = p->n - 1;
		while (k && parts[k].first > row)
			k--;
		if (!col && n >= cols)
			m = MIN(n / cols, parts[k].first + parts[k].rows - row) * cols;
		int r = subtract_part(x, p->b + k, row - parts[k].first, col, cols, m, out, e);
		if (r < 0)
			return r;
		first += m;
		out += m;
		n -= m;
	}
	return 0;
}

/* In the order of the source. */
int export_delta_values(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
			struct err *e)
{
	const struct diff_row *row = &x->diff.rows[t->row];
	const struct diff_model this = {x->w, x->c};
	int r = weights_read(x->w, &x->w->tensors[t->tensor], first, n, out, e);
	if (r < 0)
		return r;
	if (diff_stored_alike(row, &this, &x->other))
		return stored_alike(x, row, first, n, out, e);
	struct diff_parts p = diff_row_parts(row, &this, &x->other);
	return by_rows(x, &p, first, n, out, e);
}
