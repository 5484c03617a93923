/* Two models: rows aligned, cut into segments, compared by workers, joined in order. */
#include "core/analysis/diff_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { SEGMENT = 1 << 20 };	/* values */

/* A piece of a row: elements in stored order (part DIFF_NONE), or rows of one of its parts. */
struct segment {
	uint32_t row, part;
	uint64_t first, n;
	struct diff_sums sums;
};

struct job {
	struct diff *d;
	const struct diff_model *a, *b;
	const struct cancel *cancel;
	struct segment *segments;
	size_t n, cap;
	atomic_bool *differs;	/* a row: bytes found that differ */
	pthread_mutex_t lock;	/* of err */
	struct err *err;
	bool failed;
};

const char *diff_status_name(enum diff_status s)
{
	static const char *const names[] = {
		[DIFF_SAME] = "same", [DIFF_RENAMED] = "renamed", [DIFF_CAST] = "cast", [DIFF_QUANTIZED] = "quantized",
		[DIFF_CHANGED] = "changed", [DIFF_SHAPE] = "shape", [DIFF_ADDED] = "added", [DIFF_REMOVED] = "removed",
		[DIFF_UNREAD] = "unread",
	};
	return names[s];
}

static int fail(struct job *j, const struct err *e)
{
	pthread_mutex_lock(&j->lock);
	if (!j->failed && j->err)
		*j->err = *e;
	j->failed = true;
	pthread_mutex_unlock(&j->lock);
	return -e->code;
}

static enum dtype type_a(const struct job *j, const struct diff_row *r) { return j->a->w->tensors[r->a].dtype; }
static enum dtype type_b(const struct job *j, const struct diff_row *r) { return j->b->w->tensors[r->b].dtype; }

/* --- the plan --- */

static int add_segments(struct job *j, uint32_t row, uint32_t part, uint64_t n, uint64_t step)
{
	for (uint64_t at = 0; at < n; at += step) {
		if (mem_grow(&j->segments, &j->cap, j->n + 1))
			return -ENOMEM;
		j->segments[j->n++] = (struct segment){.row = row, .part = part, .first = at, .n = MIN(n - at, step)};
	}
	return 0;
}

static int plan_row(struct job *j, uint32_t i)
{
	const struct diff_row *row = &j->d->rows[i];
	if (row->status != DIFF_SAME && row->status != DIFF_SHAPE)
		return 0;
	if (diff_stored_alike(row, j->a, j->b))
		return add_segments(j, i, DIFF_NONE, j->a->w->tensors[row->a].elements, SEGMENT);
	struct diff_parts p = diff_row_parts(row, j->a, j->b);
	for (uint32_t k = 0; k < p.n; k++) {
		const struct part *x = &j->a->c->parts[p.a + k], *y = &j->b->c->parts[p.b + k];
		uint64_t rows = MIN(x->rows, y->rows), cols = MIN(x->cols, y->cols);
		int r = cols ? add_segments(j, i, k, rows, MAX(SEGMENT / cols, (uint64_t)1)) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int plan(struct job *j, struct err *e)
{
	j->differs = mem_array(j->d->n, sizeof *j->differs);
	int r = j->differs ? 0 : -ENOMEM;
	for (size_t i = 0; i < j->d->n && !r; i++)
		r = plan_row(j, (uint32_t)i);
	return r < 0 ? err_nomem(e) : 0;
}

/* --- bytes --- */

/* Stored alike, with one type whose bytes are the values. */
static bool by_bytes(const struct job *j, const struct segment *s)
{
	const struct diff_row *row = &j->d->rows[s->row];
	return s->part == DIFF_NONE && type_a(j, row) == type_b(j, row) && dtype_info(type_a(j, row))->bytes &&
	       j->a->w->tensors[row->a].bytes == j->b->w->tensors[row->b].bytes;
}

static int bytes_differ(struct job *j, const struct segment *s, unsigned char *x, unsigned char *y, struct err *e)
{
	const struct diff_row *row = &j->d->rows[s->row];
	const struct tensor *ta = &j->a->w->tensors[row->a], *tb = &j->b->w->tensors[row->b];
	const struct dtype_info *d = dtype_info(ta->dtype);
	uint64_t at = s->first / d->block * d->bytes, end = at + s->n / d->block * d->bytes;
	for (uint64_t n; at < end; at += n) {
		n = MIN(end - at, DIFF_TILE * sizeof(float));
		if (cancel_asked(j->cancel))
			return err_set(e, ECANCELED, "cancelled");
		if (atomic_load_explicit(&j->differs[s->row], memory_order_relaxed))
			return 0;
		int r = weights_read_raw(j->a->w, ta, at, n, x, e);
		if (!r)
			r = weights_read_raw(j->b->w, tb, at, n, y, e);
		if (r < 0)
			return err_prefix(e, "%.150s: ", ta->name);
		if (memcmp(x, y, n))
			atomic_store(&j->differs[s->row], true);
	}
	return 0;
}

static int look_at_bytes(void *arg, size_t i)
{
	struct job *j = arg;
	struct segment *s = &j->segments[i];
	struct err e = ERR_INIT;
	if (!by_bytes(j, s)) {
		atomic_store(&j->differs[s->row], true);
		return 0;
	}
	if (atomic_load(&j->differs[s->row]))
		return 0;
	cleanup_free unsigned char *x = mem_array(DIFF_TILE, sizeof(float)), *y = mem_array(DIFF_TILE, sizeof(float));
	int r = x && y ? bytes_differ(j, s, x, y, &e) : err_nomem(&e);
	return r < 0 ? fail(j, &e) : 0;
}

/* --- values --- */

static int compare_stored(struct job *j, struct segment *s, struct err *e)
{
	const struct diff_row *row = &j->d->rows[s->row];
	const struct tensor *ta = &j->a->w->tensors[row->a], *tb = &j->b->w->tensors[row->b];
	cleanup_free float *x = mem_array(DIFF_TILE, sizeof *x), *y = mem_array(DIFF_TILE, sizeof *y);
	if (!x || !y)
		return err_nomem(e);
	for (uint64_t at = s->first, end = at + s->n, n; at < end; at += n) {
		n = MIN(end - at, (uint64_t)DIFF_TILE);
		if (cancel_asked(j->cancel))
			return err_set(e, ECANCELED, "cancelled");
		int r = weights_read(j->a->w, ta, at, n, x, e);
		if (!r)
			r = weights_read(j->b->w, tb, at, n, y, e);
		if (r < 0)
			return err_prefix(e, "%.150s: ", ta->name);
		diff_compare(&s->sums, x, y, n, ta->dtype, tb->dtype);
	}
	return 0;
}

struct tile_arg {
	struct diff_sums *sums;
	enum dtype ta, tb;
};

static int compare_tile(void *arg, const struct diff_tile *t)
{
	struct tile_arg *x = arg;
	diff_compare(x->sums, t->a, t->b, t->nr * t->nc, x->ta, x->tb);
	return 0;
}

static int compare_parts(struct job *j, struct segment *s, struct err *e)
{
	const struct diff_row *row = &j->d->rows[s->row];
	struct diff_parts p = diff_row_parts(row, j->a, j->b);
	struct tile_arg x = {&s->sums, type_a(j, row), type_b(j, row)};
	int r = diff_tiles(j->a, p.a + s->part, j->b, p.b + s->part, s->first, s->n, j->cancel, compare_tile, &x, e);
	return r < 0 && e->code != ECANCELED ? err_prefix(e, "%.150s: ", j->a->w->tensors[row->a].name) : r;
}

static int look_at_values(void *arg, size_t i)
{
	struct job *j = arg;
	struct segment *s = &j->segments[i];
	struct err e = ERR_INIT;
	if (!atomic_load(&j->differs[s->row])) {	/* byte for byte the same: no sums are needed */
		s->sums.elements = s->n;
		return 0;
	}
	int r = s->part == DIFF_NONE ? compare_stored(j, s, &e) : compare_parts(j, s, &e);
	return r < 0 ? fail(j, &e) : 0;
}

/* --- what it says --- */

static enum diff_status status_of(const struct job *j, const struct diff_row *r)
{
	enum dtype ta = type_a(j, r), tb = type_b(j, r);
	bool qa = dtype_info(ta)->quantised, qb = dtype_info(tb)->quantised;
	if (r->status != DIFF_SAME)
		return r->status;
	if (ta == tb)
		return r->sums.changed ? DIFF_CHANGED : DIFF_SAME;
	if (r->sums.rounded == r->sums.elements)
		return DIFF_CAST;
	return (qa || qb) && diff_rel_l2(&r->sums) < .2 ? DIFF_QUANTIZED : DIFF_CHANGED;
}

static void join(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct diff_row *row = &j->d->rows[j->segments[i].row];
		row->sums = diff_sums_add(row->sums, j->segments[i].sums);
	}
	for (size_t i = 0; i < j->d->n; i++) {
		struct diff_row *row = &j->d->rows[i];
		if (row->a != DIFF_NONE && row->b != DIFF_NONE)
			row->status = status_of(j, row);
	}
}

int diff_models(struct diff *d, const struct diff_model *a, const struct diff_model *b, unsigned threads,
		const struct cancel *cancel, struct err *e)
{
	struct job j = {.d = d, .a = a, .b = b, .cancel = cancel, .err = e};
	struct err local = ERR_INIT;
	if (!e)
		j.err = e = &local;
	int r = diff_align(d, a, b, e);
	if (r < 0)
		return r;
	if (!threads)
		threads = pool_cores();
	pthread_mutex_init(&j.lock, NULL);
	r = plan(&j, e);
	if (!r)
		r = pool_for(threads, j.n, look_at_bytes, &j);
	if (!r)
		r = pool_for(threads, j.n, look_at_values, &j);
	pthread_mutex_destroy(&j.lock);
	if (!r)
		join(&j);
	if (!r)
		r = diff_find_moved(d, a, b, threads, cancel, e);
	free(j.segments);
	free(j.differs);
	if (r < 0)
		diff_release(d);
	return r;
}
