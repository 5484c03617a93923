/* The public face of lineage: families, then each family's stages in their order, then adapters. */
#include "core/analysis/lineage.h"

#include "core/analysis/family.h"
#include "core/analysis/lineage_internal.h"
#include "core/analysis/neighbours.h"
#include "core/analysis/renamed.h"
#include "core/analysis/runs.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct said said(const char *before, double value)
{
	struct said s = {""};
	if (isfinite(value))
		snprintf(s.text, sizeof s.text, "%s%.4g", before, value);
	return s;
}

int fam_edge(struct fam *f, uint32_t child, uint32_t parent, const struct verdict *v, const char *why, const char *fmt,
	     ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return lineage_add_edge(f->out,
				&(struct lineage_edge){.child = f->member[child],
						       .parent = f->member[parent],
						       .relation = v->relation,
						       .weight = v->weight,
						       .confidence = v->confidence,
						       .basis = v->basis,
						       .distance = signature_distance(&f->sig[child], &f->sig[parent]),
						       .method = v->method},
				text, why);
}

struct ranked { uint32_t rank, index; };

static int cmp_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

unsigned fam_threads(const struct fam *f)
{
	return f->n < 16 ? 1 : f->in->threads ? f->in->threads : pool_cores();
}

/* Load the members in rank order; those that cannot be loaded are a problem and stay out. */
static int fam_load(struct fam *f, const uint32_t *members, size_t n, struct err *e)
{
	cleanup_free struct ranked *r = mem_array(n, sizeof *r);
	f->member = arena_array(&f->arena, n, sizeof *f->member);
	f->sig = arena_array(&f->arena, n, sizeof *f->sig);
	f->node = arena_array(&f->arena, n, sizeof *f->node);
	if (!r || !f->member || !f->sig || !f->node)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){f->in->models[members[i]].rank, members[i]};
	qsort(r, n, sizeof *r, cmp_ranked);
	for (size_t i = 0; i < n; i++) {
		struct err le = ERR_INIT;
		if (cancel_asked(f->cancel))
			return err_set(e, ECANCELED, "asked to stop");
		int rc = f->in->load(f->in->arg, r[i].index, &f->sig[f->n], &le);
		if (rc == -ENOMEM || rc == -ECANCELED)
			return err_set(e, -rc, "%s", le.msg);
		if (rc) {
			rc = lineage_add_problem(f->out, r[i].index, "signature", le.msg, e);
			if (rc)
				return rc;
			continue;
		}
		f->node[f->n].parent = f->node[f->n].leader = UINT32_MAX;
		f->node[f->n].clock = f->node[f->n].counter = NAN;
		f->member[f->n++] = r[i].index;
	}
	return 0;
}

static bool shares_content(const struct sketch *a, const struct sketch *b)
{
	for (int i = 0; i < SKETCH_CONTENTS && a->content[i]; i++)
		for (int j = 0; j < SKETCH_CONTENTS; j++)
			if (a->content[i] == b->content[j])
				return true;
	return false;
}

static bool knows_places(const struct signature *ref, const struct signature *s)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (!signature_find(ref, s->parts[i].role_hash, s->parts[i].layer, s->parts[i].expert))
			return false;
	return true;
}

/* Parts whose names say nothing get the places of the first member with the same content. */
static int fam_rename(struct fam *f, struct err *e)
{
	for (size_t m = 1; m < f->n; m++)
		for (size_t r = 0; r < m; r++) {
			if (!shares_content(&f->sig[m].sketch, &f->sig[r].sketch))
				continue;
			int rc = knows_places(&f->sig[r], &f->sig[m]) ? 0 : renamed_take(&f->sig[m], &f->sig[r]);
			if (rc < 0)
				return err_nomem(e);
			f->node[m].renamed = rc > 0;
			break;
		}
	return 0;
}

/* Distances are taken over the matrices inside the layers; where there are none (small networks), over all. */
static int fam_slots(struct fam *f, struct err *e)
{
	cleanup_free const struct signature **s = mem_array(f->n, sizeof *s);
	if (!s)
		return err_nomem(e);
	for (size_t i = 0; i < f->n; i++)
		s[i] = &f->sig[i];
	int rc = lineup_of(&f->v, s, f->n, e);
	if (rc)
		return rc;
	f->tree_slot = arena_array(&f->arena, f->v.slots + 1, sizeof *f->tree_slot);
	if (!f->tree_slot)
		return err_nomem(e);
	size_t inside = 0;
	for (size_t i = 0; i < f->v.slots; i++)
		inside += f->v.slot[i].kind == SLOT_MATRIX && f->v.slot[i].layer >= 0;
	for (size_t i = 0; i < f->v.slots; i++)
		if (f->v.slot[i].kind == SLOT_MATRIX && (inside < 4 || f->v.slot[i].layer >= 0))
			f->tree_slot[f->n_tree++] = (uint32_t)i;
	return 0;
}

/* Which of several identical models is the original cannot be told: each has the parents of the one that was placed. */
static int share_parents(struct fam *f, struct err *e)
{
	(void)e;
	size_t n = 0;
	cleanup_free size_t *origin = mem_array(f->out->n_edges + 1, sizeof *origin);	/* edges that are shared */
	if (!origin)
		return -ENOMEM;
	for (size_t k = 0; k < f->out->n_edges; k++) {
		enum relation r = f->out->edges[k].relation;
		if (r != RELATION_DUPLICATE && r != RELATION_RELATED)
			origin[n++] = k;
	}
	for (uint32_t m = 0; m < f->n; m++) {
		uint32_t leader = f->node[m].state == NODE_DUPLICATE ? f->member[f->node[m].leader] : LINEAGE_NONE;
		for (size_t k = 0; k < n && leader != LINEAGE_NONE; k++) {
			if (f->out->edges[origin[k]].child != leader)
				continue;
			struct lineage_edge d = f->out->edges[origin[k]];
			d.child = f->member[m];
			d.confidence *= 0.9;
			int rc = lineage_add_edge(f->out, &d, d.evidence, d.why);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int fam_run(struct fam *f, struct err *e)
{
	static int (*const stage[])(struct fam *, struct err *) = {
		exact_find, stitch_find, quantised_find, near_find,     fresh_find,
		clock_find, merge_find,  tree_find,      share_parents, sources_find,
	};
	for (size_t i = 0; i < COUNT(stage); i++) {
		if (cancel_asked(f->cancel))
			return err_set(e, ECANCELED, "asked to stop");
		int rc = stage[i](f, e);
		if (rc)
			return rc == -ENOMEM ? err_nomem(e) : rc;
	}
	return 0;
}

int lineage_family(struct lineage *out, const struct lineage_input *in, const uint32_t *members, size_t n,
		   const struct lineage_background *bg, const struct cancel *cancel, struct err *e)
{
	struct fam f = {.in = in, .cancel = cancel, .out = out, .head_slot = SIZE_MAX};
	if (bg)
		out->background = *bg;
	if (n < 2)
		return 0;
	int rc = fam_load(&f, members, n, e);
	if (!rc && f.n > 1) {
		rc = fam_rename(&f, e);
		rc = rc ? rc : fam_slots(&f, e);
		rc = rc ? rc : fam_run(&f, e);
	}
	lineup_release(&f.v);
	for (size_t i = 0; i < f.n; i++)
		signature_release(&f.sig[i]);
	arena_release(&f.arena);
	return rc;
}

struct grouped { uint32_t family, rank, index; };

static int cmp_grouped(const void *x, const void *y)
{
	const struct grouped *a = x, *b = y;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return (a->index > b->index) - (a->index < b->index);
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Families by the smallest rank in each. */
static int group(struct lineage *out, const struct lineage_input *in, uint32_t *family, struct err *e)
{
	cleanup_free struct grouped *g = mem_array(in->n + 1, sizeof *g);
	cleanup_free uint32_t *lowest = mem_array(in->n + 1, sizeof *lowest);
	if (!g || !lowest)
		return err_nomem(e);
	memset(lowest, 0xff, in->n * sizeof *lowest);
	for (size_t i = 0; i < in->n; i++)
		lowest[family[i]] = MIN(lowest[family[i]], in->models[i].rank);
	for (size_t i = 0; i < in->n; i++)
		g[i] = (struct grouped){lowest[family[i]], in->models[i].rank, (uint32_t)i};
	qsort(g, in->n, sizeof *g, cmp_grouped);
	for (size_t i = 0, j; i < in->n; i = j) {
		for (j = i + 1; j < in->n && family[g[j].index] == family[g[i].index]; j++)
			;
		uint32_t *m = arena_array(&out->arena, j - i, sizeof *m);
		if (!m)
			return err_nomem(e);
		for (size_t k = i; k < j; k++)
			m[k - i] = g[k].index;
		qsort(m, j - i, sizeof *m, cmp_u32);
		int rc = lineage_add_family(out, m, j - i, e);
		if (rc)
			return rc;
	}
	return 0;
}

int lineage_families(struct lineage *out, const struct lineage_input *in, const struct lineage_background *bg,
		     const struct cancel *cancel, struct err *e)
{
	cleanup_free uint32_t *family = mem_array(in->n + 1, sizeof *family);
	if (!family)
		return err_nomem(e);
	int rc = family_components(in, family, cancel, e);
	if (!rc && bg)
		out->background = *bg;
	else if (!rc)
		rc = family_background(in, family, &out->background, cancel, e);
	return rc ? rc : group(out, in, family, e);
}

struct job {
	const struct lineage_input *in;
	const struct lineage *all;
	struct lineage *part;	/* one a family */
	uint32_t *order;	/* families by size, the largest first */
	const struct cancel *cancel;
	struct err *errs;
};

static int run_family(void *arg, size_t i)
{
	struct job *j = arg;
	uint32_t k = j->order[i];
	const struct lineage_family *fm = &j->all->families[k];
	return lineage_family(&j->part[k], j->in, fm->members, fm->n, &j->all->background, j->cancel, &j->errs[k]);
}

static int all_families(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e)
{
	cleanup_free struct lineage *part = mem_array(out->n_families + 1, sizeof *part);
	cleanup_free struct err *errs = mem_array(out->n_families + 1, sizeof *errs);
	cleanup_free uint32_t *order = mem_array(out->n_families + 1, sizeof *order);
	if (!part || !errs || !order)
		return err_nomem(e);
	lineage_by_size(out, order);
	struct job j = {in, out, part, order, cancel, errs};
	int rc = pool_for(in->threads ? in->threads : pool_cores(), out->n_families, run_family, &j);
	for (size_t i = 0; i < out->n_families; i++) {
		if (rc && errs[i].code && e)
			*e = errs[i];
		if (!rc)
			rc = lineage_absorb(out, &part[i], e);
		lineage_release(&part[i]);
	}
	return rc;
}

/* Families joined by what ties adapters to bases and to each other; never two that have models of their own. */
struct joined {
	uint32_t *of;			/* by model: its family */
	uint32_t *up;			/* by family: union-find, the smallest of its set */
	bool *based;			/* has a model that is no adapter */
};

static void joined_release(struct joined *j)
{
	free(j->of);
	free(j->up);
	free(j->based);
}

static uint32_t joined_find(const struct joined *j, uint32_t family)
{
	while (j->up[family] != family)
		family = j->up[family] = j->up[j->up[family]];
	return family;
}

static void join_two(struct joined *j, const struct lineage_edge *d)
{
	uint32_t a = joined_find(j, j->of[d->child]), b = joined_find(j, j->of[d->parent]);
	if (a == b || (j->based[a] && j->based[b]))
		return;
	j->up[MAX(a, b)] = MIN(a, b);
	j->based[MIN(a, b)] = j->based[a] || j->based[b];
}

/* Put the members of joined families together, in the place of the first. */
static int rebuild(struct lineage *l, const struct joined *j, struct err *e)
{
	cleanup_free size_t *n = mem_array(l->n_families + 1, sizeof *n);
	if (!n)
		return err_nomem(e);
	for (uint32_t i = 0; i < l->n_families; i++)
		n[joined_find(j, i)] += l->families[i].n;
	for (uint32_t i = 0; i < l->n_families; i++) {
		struct lineage_family *to = &l->families[joined_find(j, i)], *from = &l->families[i];
		if (to == from && n[i] > from->n) {
			uint32_t *m = arena_array(&l->arena, n[i], sizeof *m);
			if (!m)
				return err_nomem(e);
			memcpy(m, from->members, from->n * sizeof *m);
			from->members = m;
		} else if (to != from) {
			memcpy(to->members + to->n, from->members, from->n * sizeof *from->members);
			to->n += from->n;
		}
	}
	size_t k = 0;
	for (uint32_t i = 0; i < l->n_families; i++) {
		if (joined_find(j, i) != i)
			continue;
		qsort(l->families[i].members, l->families[i].n, sizeof *l->families[i].members, cmp_u32);
		l->families[k++] = l->families[i];
	}
	l->n_families = k;
	return 0;
}

/* An adapter belongs to the family of its base, and with the others of its run. */
static int adopt_adapters(struct lineage *l, const struct lineage_input *in, struct err *e)
{
	struct joined j cleanup_with(joined_release) = {
		mem_array(in->n + 1, sizeof *j.of), mem_array(l->n_families + 1, sizeof *j.up),
		mem_array(l->n_families + 1, sizeof *j.based),
	};
	if (!j.of || !j.up || !j.based)
		return err_nomem(e);
	for (uint32_t i = 0; i < l->n_families; i++) {
		j.up[i] = i;
		for (size_t k = 0; k < l->families[i].n; k++) {
			j.of[l->families[i].members[k]] = i;
			j.based[i] |= !in->models[l->families[i].members[k]].adapter;
		}
	}
	for (int run = 1; run >= 0; run--)
		for (size_t i = 0; i < l->n_edges; i++) {
			const struct lineage_edge *d = &l->edges[i];
			bool both = in->models[d->child].adapter && in->models[d->parent].adapter;
			if (run ? both : d->relation == RELATION_ADAPTER)
				join_two(&j, d);
		}
	return rebuild(l, &j, e);
}

int lineage_all(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e)
{
	*out = (struct lineage){0};
	int rc = lineage_families(out, in, in->frozen, cancel, e);
	rc = rc ? rc : all_families(out, in, cancel, e);
	rc = rc ? rc : lineage_finish(out, in, e);	/* adapters look for the roots */
	rc = rc ? rc : lineage_adapters(out, in, cancel, e);
	rc = rc ? rc : lineage_runs(out, in, cancel, e);
	rc = rc ? rc : adopt_adapters(out, in, e);
	rc = rc ? rc : lineage_finish(out, in, e);
	if (rc)
		lineage_release(out);
	return rc;
}

int lineage_candidates(const struct lineage_input *in, const struct sketch *of, uint32_t **out, size_t *n,
		       struct err *e)
{
	size_t cap = 0;
	*out = NULL;
	*n = 0;
	for (uint32_t i = 0; i < in->n; i++) {
		const struct sketch *s = in->models[i].sketch;
		if (!s || !(sketch_z(s, of) >= 5 || (of->invariant && s->invariant == of->invariant)))
			continue;
		if (mem_grow(out, &cap, *n + 1)) {
			free(*out);
			*out = NULL;
			return err_nomem(e);
		}
		(*out)[(*n)++] = i;
	}
	return 0;
}
