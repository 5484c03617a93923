/* The lineage of the whole lake: from stored signatures to stored edges. */
#include "core/job/index_internal.h"

#include "core/base/mem.h"
#include "core/lake/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct input {
	struct index *ix;
	struct view *v;
	struct sketches s;
	struct lineage_model *models;
	struct adapter_hints *hints;
	struct arena arena;
};

/* The part of the lake that a change touches. */
struct affected {
	struct input *in;
	bool *is;			/* by index of the whole */
	size_t n;
	struct lineage_model *models;	/* of the part */
	uint32_t *id, *at;		/* rows of the part; its index by that of the whole */
};

static int load(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	struct input *in = arg;
	return store_get_signature(in->ix->catalog, in->s.id[i], s, e);
}

static uint32_t index_of(const struct input *in, uint32_t view_index)
{
	size_t lo = 0, hi = in->s.n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (in->s.rank[mid] < view_index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < in->s.n && in->s.rank[lo] == view_index ? (uint32_t)lo : LINEAGE_NONE;
}

/* The models that a base's text may mean: the id itself, else ids that end in the same component. */
static int resolve(struct input *in, const char *base, uint32_t **out, size_t *n, struct err *e)
{
	const struct view_model *exact = view_by_name(in->v, base);
	size_t cap = 0, len = strlen(base);
	*out = NULL;
	*n = 0;
	while (len && base[len - 1] == '/')
		len--;
	size_t start = len;
	while (start && base[start - 1] != '/')
		start--;
	for (uint32_t i = 0; i < in->v->n; i++) {
		const struct view_model *m = &in->v->models[i];
		const char *name = view_name(in->v, m), *last = strrchr(name, '/');
		last = last ? last + 1 : name;
		if (exact ? m != exact : strlen(last) != len - start || memcmp(last, base + start, len - start))
			continue;
		uint32_t at = index_of(in, i);
		if (at == LINEAGE_NONE)
			continue;
		if (mem_grow(out, &cap, *n + 1) < 0)
			return err_nomem(e);
		(*out)[(*n)++] = at;
	}
	return 0;
}

struct declaration {
	struct input *in;
	uint32_t self;
	struct lineage_model *m;
	bool adapter;
	struct err *e;
};

static int declared_row(void *arg, const struct catalog_row *r)
{
	struct declaration *d = arg;
	uint32_t *list;
	size_t n;
	bool adapter = d->adapter && !strcmp(catalog_text(r, 1, NULL), "adapter");
	int rc = resolve(d->in, catalog_text(r, 0, NULL), &list, &n, d->e);
	size_t had = adapter ? d->m->adapter->n_bases : d->m->n_declared;
	uint32_t *all = rc < 0 ? NULL : arena_array(&d->in->arena, had + n + 1, sizeof *all);
	if (all) {
		const uint32_t *old = adapter ? d->m->adapter->bases : d->m->declared;
		if (had)
			memcpy(all, old, had * sizeof *all);
		for (size_t i = 0; i < n; i++)
			if (list[i] != d->self)
				all[had++] = list[i];
		if (adapter) {
			((struct adapter_hints *)d->m->adapter)->bases = all;
			((struct adapter_hints *)d->m->adapter)->n_bases = had;
		} else {
			d->m->declared = all;
			d->m->n_declared = had;
		}
	}
	free(list);
	return rc < 0 ? rc : all ? 0 : err_nomem(d->e);
}

static int created_row(void *arg, const struct catalog_row *r)
{
	*(int64_t *)arg = facts_day(catalog_text(r, 0, NULL));
	return 1;
}

/* When a model was created, as its documents say: asked of those alone whose lineage is worked out. */
static int find_created(const struct input *in, struct lineage_model *m, uint32_t id, struct err *e)
{
	int r = catalog_each(in->ix->catalog, Q_FACT, e, created_row, &m->created, "is", (int64_t)id, "created");
	return MIN(r, 0);
}

static int describe(struct input *in, struct err *e)
{
	in->models = mem_array(in->s.n ? in->s.n : 1, sizeof *in->models);
	in->hints = mem_array(in->s.n ? in->s.n : 1, sizeof *in->hints);
	if (!in->models || !in->hints)
		return err_nomem(e);
	int r = 0;
	for (size_t i = 0; i < in->s.n && !r; i++) {
		const struct view_model *m = &in->v->models[in->s.rank[i]];
		in->models[i] = (struct lineage_model){.sketch = in->s.sketch[i],
						       .rank = in->s.rank[i],
						       .modified = m->mtime_ns / 1000000000};
		if (m->flags & VIEW_ADAPTER)
			in->models[i].adapter = &in->hints[i];
		if (m->flags & VIEW_DECLARED) {
			struct declaration d = {in, (uint32_t)i, &in->models[i], m->flags & VIEW_ADAPTER, e};
			r = catalog_each(in->ix->catalog, Q_DECLARED, e, declared_row, &d, "i", (int64_t)m->id);
		}
	}
	return r;
}

static int keep(struct input *in, const struct lineage *l, const uint32_t *ids, size_t n, bool all, struct err *e)
{
	struct catalog *c = in->ix->catalog;
	int r = catalog_begin(c, e);
	if (r < 0)
		return r;
	r = store_put_lineage(c, l, in->v, ids, n, all, e);
	if (!r && all)
		r = catalog_do(c, Q_META_SET, e, "sb", "background", &l->background, sizeof l->background);
	if (!r)
		r = catalog_do(c, Q_META_SET, e, "si", "lineage", (int64_t)(in->v->snapshot >> 1));
	if (r < 0) {
		catalog_rollback(c);
		return r;
	}
	return catalog_commit(c, e);
}

static int everything(struct input *in, const struct cancel *c, struct err *e)
{
	struct lineage_input li = {
		.models = in->models, .n = in->s.n, .load = load, .arg = in, .threads = in->ix->jobs};
	struct lineage l;
	int r = 0;
	for (size_t i = 0; i < in->s.n && r == 0; i++)
		r = find_created(in, &in->models[i], in->s.id[i], e);
	r = r < 0 ? r : lineage_all(&l, &li, c, e);
	if (r < 0)
		return r;
	r = keep(in, &l, in->s.id, in->s.n, true, e);
	lineage_release(&l);
	return r;
}

/* --- what a change makes necessary: the families it touches, against the background as it was --- */

static int mark_row(void *arg, const struct catalog_row *r)
{
	struct affected *a = arg;
	const struct view_model *m = view_by_id(a->in->v, (uint32_t)catalog_int(r, 0));
	uint32_t i = m ? index_of(a->in, (uint32_t)(m - a->in->v->models)) : LINEAGE_NONE;
	if (i != LINEAGE_NONE && !a->is[i]) {
		a->is[i] = true;
		a->n++;
	}
	return 0;
}

static int mark_family(struct affected *a, uint32_t i, struct err *e)
{
	int64_t root = catalog_number(a->in->ix->catalog, Q_FAMILY_OF, 0, "i", (int64_t)a->in->s.id[i]);
	return root ? catalog_each(a->in->ix->catalog, Q_FAMILY_MEMBERS, e, mark_row, a, "i", root) : 0;
}

static int mark_new(struct affected *a, uint32_t i, const struct lineage_input *all, struct err *e)
{
	uint32_t *near = NULL;
	size_t n = 0;
	if (!a->is[i]) {
		a->is[i] = true;
		a->n++;
	}
	int r = lineage_candidates(all, a->in->s.sketch[i], &near, &n, e);
	for (size_t k = 0; k < n && !r; k++)
		if (!a->is[near[k]])
			r = mark_family(a, near[k], e);
	free(near);
	return r;
}

/* Models without a family are new; a family that lost a member is touched; an adapter needs its base's. */
static int find_affected(struct affected *a, const struct lineage_input *all, struct err *e)
{
	struct input *in = a->in;
	int r = catalog_each(in->ix->catalog, Q_FAMILY_TOUCHED, e, mark_row, a, "");
	for (uint32_t i = 0; i < in->s.n && !r && a->n <= in->s.n / 2; i++)
		if (!catalog_number(in->ix->catalog, Q_FAMILY_OF, 0, "i", (int64_t)in->s.id[i]))
			r = mark_new(a, i, all, e);
	for (size_t before = 0; before != a->n && !r;) {	/* a family may bring in adapters of other families' bases */
		before = a->n;
		for (uint32_t i = 0; i < in->s.n && !r; i++)
			for (size_t k = 0; a->is[i] && in->models[i].adapter && k < in->hints[i].n_bases && !r; k++)
				r = mark_family(a, in->hints[i].bases[k], e);
	}
	return r;
}

enum { ALL_ANYWAY = 200000 };

/* An adapter whose config names no model of the lake is looked for in every family: anew with every change of a lake where
 * that takes a moment (models times such adapters); else when it is new, and by `tarn index`. */
static bool looks_everywhere(const struct affected *a)
{
	const struct input *in = a->in;
	uint64_t unnamed = 0;
	for (uint32_t i = 0; i < in->s.n; i++)
		unnamed += in->models[i].adapter && !in->hints[i].n_bases;
	if (unnamed * in->s.n <= ALL_ANYWAY)
		return unnamed > 0;
	for (uint32_t i = 0; i < in->s.n; i++)
		if (in->models[i].adapter && !in->hints[i].n_bases &&
		    !catalog_number(in->ix->catalog, Q_FAMILY_OF, 0, "i", (int64_t)in->s.id[i]))
			return true;
	return false;
}

static int load_part(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	struct affected *a = arg;
	return store_get_signature(a->in->ix->catalog, a->id[i], s, e);
}

/* Indices of the whole lake made indices of the part; what lies outside is dropped. */
static const uint32_t *translate(struct affected *a, const uint32_t *list, size_t *n)
{
	uint32_t *out = arena_array(&a->in->arena, *n ? *n : 1, sizeof *out);
	size_t k = 0;
	for (size_t i = 0; out && i < *n; i++)
		if (a->is[list[i]])
			out[k++] = a->at[list[i]];
	*n = out ? k : 0;
	return out;
}

static int take_part(struct affected *a, struct err *e)
{
	struct input *in = a->in;
	uint32_t k = 0;
	int r = 0;
	a->models = mem_array(a->n, sizeof *a->models);
	a->id = mem_array(a->n, sizeof *a->id);
	a->at = mem_array(in->s.n, sizeof *a->at);
	if (!a->models || !a->id || !a->at)
		return err_nomem(e);
	for (uint32_t i = 0; i < in->s.n && r == 0; i++)
		if (a->is[i]) {
			a->at[i] = k;
			a->id[k] = in->s.id[i];
			a->models[k] = in->models[i];
			r = find_created(in, &a->models[k++], in->s.id[i], e);
		}
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < in->s.n; i++) {
		struct lineage_model *m = a->is[i] ? &a->models[a->at[i]] : NULL;
		if (m)
			m->declared = translate(a, m->declared, &m->n_declared);
		if (m && m->adapter)
			in->hints[i].bases = translate(a, in->hints[i].bases, &in->hints[i].n_bases);
	}
	return 0;
}

static int background_row(void *arg, const struct catalog_row *r)
{
	size_t len;
	const void *p = catalog_blob(r, 0, &len);
	if (len != sizeof(struct lineage_background))
		return 0;
	memcpy(arg, p, len);
	return 1;
}

/* 1: the change is too large, or there is nothing to build on: everything is to be done. */
static int changes(struct input *in, const struct cancel *c, struct err *e)
{
	struct lineage_background bg;
	if (catalog_each(in->ix->catalog, Q_META_GET, NULL, background_row, &bg, "s", "background") != 1)
		return 1;
	struct lineage_input all = {.models = in->models, .n = in->s.n, .load = load, .arg = in};
	struct affected a = {.in = in, .is = mem_array(in->s.n ? in->s.n : 1, sizeof *a.is)};
	struct lineage l;
	int r = a.is ? find_affected(&a, &all, e) : err_nomem(e);
	if (r == 0 && (a.n > in->s.n / 2 || looks_everywhere(&a)))
		r = 1;
	if (r == 0 && (r = take_part(&a, e)) == 0) {
		struct lineage_input part = {.models = a.models, .n = a.n, .load = load_part, .arg = &a,
					     .threads = in->ix->jobs, .frozen = &bg};
		r = lineage_all(&l, &part, c, e);
		if (r == 0) {
			r = keep(in, &l, a.id, a.n, false, e);
			lineage_release(&l);
		}
	}
	free(a.is);
	free(a.models);
	free(a.id);
	free(a.at);
	return r;
}

static int compute(struct index *ix, struct view *v, bool renew, const struct cancel *c, struct err *e)
{
	struct input in = {.ix = ix, .v = v};
	int r = store_get_sketches(ix->catalog, v, &in.s, e);
	if (r == 0)
		r = describe(&in, e);
	if (r == 0) {
		r = renew ? 1 : changes(&in, c, e);
		if (r == 1)
			r = everything(&in, c, e);
	}
	free(in.models);
	free(in.hints);
	arena_release(&in.arena);
	sketches_release(&in.s);
	return r;
}

bool index_lineage_known(struct index *ix, const struct view *v)
{
	pthread_mutex_lock(&ix->lock);
	bool known = ix->lineage == v->snapshot >> 1;
	pthread_mutex_unlock(&ix->lock);
	return known;
}

bool index_settled_lineage(struct index *ix)
{
	pthread_mutex_lock(&ix->lock);
	bool known = ix->view && ix->lineage == ix->view->snapshot >> 1;
	pthread_mutex_unlock(&ix->lock);
	return known;
}

int stage_lineage(struct index *ix, bool renew, const struct cancel *c, struct err *e)
{
	int r = 0;
	pthread_mutex_lock(&ix->lineage_lock);
	struct view *v = index_view(ix);
	if (!index_lineage_known(ix, v)) {
		status_phase(ix, INDEX_LINEAGE, v->n);
		r = compute(ix, v, renew, c, e);
		if (r == 0) {
			pthread_mutex_lock(&ix->lock);
			ix->lineage = v->snapshot >> 1;
			pthread_mutex_unlock(&ix->lock);
			r = publish_again(ix, e);
		}
	}
	view_unref(v);
	pthread_mutex_unlock(&ix->lineage_lock);
	return r;
}

int index_need_lineage(struct index *ix, const struct cancel *c, struct err *e)
{
	struct view *v = index_view(ix);
	int r = 0;
	bool known = index_lineage_known(ix, v);
	for (uint32_t i = 0; !known && i < v->n && !r; i++) {
		if (v->models[i].state >= VIEW_SIGNED)
			continue;
		r = index_need_model(ix, v->models[i].id, VIEW_SIGNED, c, e);
		if (r < 0 && r != -ECANCELED && r != -ENOMEM)	/* a broken model is a problem of its own */
			r = 0;
		if (cancel_asked(c))
			r = err_set(e, ECANCELED, "interrupted");
	}
	view_unref(v);
	return r < 0 || known ? r : stage_lineage(ix, false, c, e);
}
