#include "core/job/nearest.h"

#include "core/analysis/neighbours.h"
#include "core/base/mem.h"
#include "core/job/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 40 };

struct near_rows {
	struct neighbour_row *list;
	size_t n;
	bool known;
};

static int near_row(void *arg, const struct catalog_row *r)
{
	struct near_rows *x = arg;
	x->known = true;
	if (catalog_int(r, 0) == 0 || x->n >= NEAR_COUNT)	/* other 0: computed, and nobody is near */
		return 0;
	if (x->list)
		x->list[x->n] = (struct neighbour_row){(uint32_t)catalog_int(r, 0), catalog_real(r, 1)};
	x->n++;
	return 0;
}

int near_get(struct index *ix, const struct view *v, uint32_t model, struct neighbour_row *list, size_t *n)
{
	struct near_rows x = {.list = list};
	*n = 0;
	int r = catalog_each(index_catalog(ix), Q_NEAR, NULL, near_row, &x, "ii", (int64_t)model,
			     (int64_t)v->generation);
	*n = x.n;
	return r < 0 ? r : x.known ? 0 : -EAGAIN;
}

static int keep(struct index *ix, const struct view *v, uint32_t model, const struct neighbour *list, size_t n,
		const struct sketches *s, struct err *e)
{
	struct catalog *c = index_catalog(ix);
	int r = catalog_begin(c, e);
	if (r < 0)
		return r;
	r = catalog_do(c, Q_NEAR_DROP, e, "i", (int64_t)model);
	if (!r)
		r = catalog_do(c, Q_NEAR_PUT, e, "iiiid", (int64_t)model, (int64_t)v->generation, (int64_t)-1,
			       (int64_t)0, 0.0);
	for (size_t i = 0; i < n && !r; i++)
		r = catalog_do(c, Q_NEAR_PUT, e, "iiiid", (int64_t)model, (int64_t)v->generation, (int64_t)i,
			       (int64_t)s->id[list[i].model], list[i].distance);
	if (r < 0)
		catalog_rollback(c);
	else
		r = catalog_commit(c, e);
	return r;
}

struct loader {
	struct index *ix;
	const struct sketches *s;
};

static int load(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	struct loader *l = arg;
	return store_get_signature(index_catalog(l->ix), l->s->id[i], s, e);
}

/* Only what is nearer than chance is a neighbour. */
static size_t kept(const struct neighbour *list, size_t n)
{
	size_t k = 0;
	while (k < n && k < NEAR_COUNT && list[k].distance < 0.999)
		k++;
	return k;
}

static int by_shown(const void *a, const void *b, void *rank)
{
	const struct neighbour *x = a, *y = b;
	const uint32_t *r = rank;
	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return r[x->model] < r[y->model] ? -1 : r[x->model] > r[y->model];
}

/* Digits that are never shown would decide, for no reason that can be seen. */
static void rank_as_shown(struct neighbour *list, size_t n, uint32_t *rank)
{
	for (size_t i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof text, "%.6g", list[i].distance);
		list[i].distance = strtod(text, NULL);
	}
	if (n)
		qsort_r(list, n, sizeof *list, by_shown, rank);
}

int near_compute(struct index *ix, const struct view *v, uint32_t model, const struct cancel *c, struct err *e)
{
	struct sketches s;
	int r = store_get_sketches(index_catalog(ix), v, &s, e);
	if (r < 0)
		return r;
	struct neighbour list[CANDIDATES];
	struct loader l = {ix, &s};
	struct signature of;
	size_t self = 0, n = 0;
	while (self < s.n && s.id[self] != model)
		self++;
	if (self < s.n && (r = store_get_signature(index_catalog(ix), model, &of, e)) == 0) {
		n = neighbours_by_sketch(s.sketch, s.n, s.rank, self, CANDIDATES, list);
		r = neighbours_by_signature(&of, list, n, s.rank, load, &l, c, e);
		signature_release(&of);
	}
	rank_as_shown(list, n, s.rank);
	if (r == 0)
		r = keep(ix, v, model, list, kept(list, n), &s, e);
	sketches_release(&s);
	return r;
}
