/* Tensors that are nothing like their partners, or have none, found elsewhere in the other model by their values:
 * layers put in another order or repeated, tensors renamed beyond what roles know. */
#include "core/analysis/diff_internal.h"

#include "core/base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A part whose values are to be hashed. */
struct item {
	uint32_t part, row;	/* row: of a's */
	bool of_b, constant;
	uint64_t rows, cols;
	struct hash128 hash;
};

struct search {
	const struct diff_model *a, *b;
	const struct cancel *cancel;
	struct item *items;	/* a's lost parts, then b's candidates */
	size_t n;
	pthread_mutex_t lock;
	struct err *err;
	bool failed;
};

enum { SMALL = 1 << 16 };

/* Nothing like its partner: less than half of it is told by it. Norms are all alike, but cheap to look for. */
static bool is_lost(const struct diff_row *r)
{
	if (r->status == DIFF_ADDED)
		return true;
	return (r->status == DIFF_CHANGED || r->status == DIFF_SHAPE) && r->sums.changed &&
	       (2 * r->sums.dd > r->sums.aa || r->sums.elements <= SMALL);
}

struct hashing {
	struct hash_state *state;
	float first;
	bool constant;		/* all ones, all zeros: found anywhere, that says nothing */
};

static int hash_tile(void *arg, const struct diff_tile *t)
{
	struct hashing *h = arg;
	if (!t->row && !t->col)
		h->first = t->a[0];
	for (uint64_t i = 0; i < t->nr * t->nc && h->constant; i++)
		h->constant = t->a[i] == h->first;
	hash_update(h->state, t->a, t->nr * t->nc * sizeof *t->a);
	return 0;
}

static int hash_item(void *arg, size_t i)
{
	struct search *s = arg;
	struct item *it = &s->items[i];
	const struct diff_model *m = it->of_b ? s->b : s->a;
	struct err e = ERR_INIT;
	struct hashing h = {.state = hash_new(), .constant = true};
	int r = h.state ? diff_tiles(m, it->part, NULL, DIFF_NONE, 0, it->rows, s->cancel, hash_tile, &h, &e) :
			  err_nomem(&e);
	if (!r)
		it->hash = hash_digest(h.state);
	it->constant = h.constant;
	hash_free(h.state);
	if (!r)
		return 0;
	pthread_mutex_lock(&s->lock);
	if (!s->failed && s->err)
		*s->err = e;
	s->failed = true;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static struct item item_of(const struct diff_model *m, uint32_t part, uint32_t row, bool of_b)
{
	const struct part *p = &m->c->parts[part];
	return (struct item){.part = part, .row = row, .of_b = of_b, .rows = p->rows, .cols = p->cols};
}

struct shape { uint64_t rows, cols; };

static int by_shape(const void *a, const void *b)
{
	const struct shape *x = a, *y = b;
	if (x->rows != y->rows)
		return x->rows < y->rows ? -1 : 1;
	return x->cols != y->cols ? (x->cols < y->cols ? -1 : 1) : 0;
}

/* Rows of one part each are looked for (fused tensors are not), among b's parts of the same shape. */
static int gather(struct search *s, const struct diff *d, struct err *e)
{
	size_t lost = 0;
	cleanup_free struct shape *shapes = mem_array(d->n, sizeof *shapes);
	s->items = mem_array(d->n + s->b->c->n_parts, sizeof *s->items);
	if (!shapes || !s->items)
		return err_nomem(e);
	for (size_t i = 0; i < d->n; i++) {
		struct diff_parts p = diff_row_parts(&d->rows[i], s->a, s->b);
		if (!is_lost(&d->rows[i]) || p.n != 1 || s->a->w->tensors[d->rows[i].a].elements < 16)
			continue;
		s->items[s->n++] = item_of(s->a, p.a, (uint32_t)i, false);
		shapes[lost++] = (struct shape){s->a->c->parts[p.a].rows, s->a->c->parts[p.a].cols};
	}
	qsort(shapes, lost, sizeof *shapes, by_shape);
	for (size_t i = 0; i < s->b->c->n_parts && lost; i++) {
		const struct part *p = &s->b->c->parts[i];
		struct shape want = {p->rows, p->cols};
		const struct dtype_info *t = dtype_info(s->b->w->tensors[p->tensor].dtype);
		if ((t->to_f32 || !t->bytes) && bsearch(&want, shapes, lost, sizeof *shapes, by_shape))
			s->items[s->n++] = item_of(s->b, (uint32_t)i, 0, true);
	}
	return 0;
}

static int by_hash(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = hash128_cmp(x->hash, y->hash);
	if (c)
		return c;
	if (x->of_b != y->of_b)
		return x->of_b ? -1 : 1;	/* b's first: what follows was found there */
	return x->part < y->part ? -1 : x->part > y->part;
}

/* lost[part of b]: it was the partner of one that has been found elsewhere. */
static void mark(struct diff *d, const struct search *s, bool *found, bool *lost)
{
	const struct item *at = NULL;
	for (size_t i = 0; i < s->n; i++) {
		const struct item *it = &s->items[i];
		if (it->of_b) {
			if (!at || hash128_cmp(at->hash, it->hash))
				at = it;
			continue;
		}
		if (!at || it->constant || hash128_cmp(at->hash, it->hash) || at->rows != it->rows ||
		    at->cols != it->cols)
			continue;
		struct diff_row *row = &d->rows[it->row];
		if (row->b != DIFF_NONE)
			lost[diff_row_parts(row, s->a, s->b).b] = true;
		uint32_t tensor = s->b->c->parts[at->part].tensor;
		struct diff_row whole = {.a = DIFF_NONE, .b = tensor, .part_a = DIFF_NONE, .part_b = DIFF_NONE};
		bool one = row->part_a == DIFF_NONE && diff_row_parts(&whole, s->a, s->b).n == 1;
		row->status = DIFF_RENAMED;
		row->b = tensor;
		row->part_a = one ? DIFF_NONE : it->part;
		row->part_b = one ? DIFF_NONE : at->part;
		row->sums = (struct diff_sums){.elements = it->rows * it->cols};
		found[at->part] = true;
	}
}

/* Former partners that no row speaks of any more are removed ones. */
static void add_lost(struct diff *d, const struct search *s, bool *lost)
{
	for (size_t i = 0; i < d->n; i++) {
		struct diff_parts p = diff_row_parts(&d->rows[i], s->a, s->b);
		for (uint32_t k = 0; k < p.n && d->rows[i].b != DIFF_NONE; k++)
			lost[p.b + k] = false;
	}
	for (uint32_t i = 0; i < s->b->c->n_parts; i++) {
		uint32_t tensor = s->b->c->parts[i].tensor;
		struct diff_row row = {DIFF_REMOVED, DIFF_NONE, tensor, DIFF_NONE, DIFF_NONE, {0}};
		if (lost[i] && diff_row_parts(&row, s->a, s->b).n > 1)
			row.part_b = i;
		if (lost[i])
			d->rows[d->n++] = row;
	}
}

/* What was thought removed and has been found. */
static void drop_found(struct diff *d, const struct search *s, const bool *found)
{
	size_t kept = 0;
	for (size_t i = 0; i < d->n; i++) {
		struct diff_parts p = diff_row_parts(&d->rows[i], s->a, s->b);
		if (d->rows[i].status != DIFF_REMOVED || p.n != 1 || !found[p.b])
			d->rows[kept++] = d->rows[i];
	}
	d->n = kept;
}

int diff_find_moved(struct diff *d, const struct diff_model *a, const struct diff_model *b, unsigned threads,
		    const struct cancel *cancel, struct err *e)
{
	struct search s = {.a = a, .b = b, .cancel = cancel, .err = e};
	cleanup_free bool *found = mem_array(b->c->n_parts, sizeof *found),
			  *lost = mem_array(b->c->n_parts, sizeof *lost);
	int r = found && lost ? gather(&s, d, e) : err_nomem(e);
	if (!r && s.n) {
		pthread_mutex_init(&s.lock, NULL);
		r = pool_for(threads, s.n, hash_item, &s);
		pthread_mutex_destroy(&s.lock);
	}
	if (!r && s.n) {
		qsort(s.items, s.n, sizeof *s.items, by_hash);
		mark(d, &s, found, lost);
		drop_found(d, &s, found);
		add_lost(d, &s, lost);
	}
	free(s.items);
	return r;
}
