/*
 * Unmerged adapters and their bases. The config names the base, shapes check it. Where the config names none that is in
 * the lake, the factors tell the family (factors.h), and within it how the update stands to the steps that its members
 * took: a base's own step is rather taken back than repeated, a relative's is shared in part, and who has many children
 * already has more. Log odds were fitted on 67 adapters and merged updates of ten trained lakes (docs/lineage.md).
 */
#include "core/analysis/lineage_internal.h"

#include "core/analysis/factors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOTS_TRIED = 512, MEMBERS_TRIED = 64, BASES_TOLD = 5 };

/* What the edges say of each model: the one it was trained from, and how many were trained from it. */
struct trained {
	uint32_t *parent;		/* LINEAGE_NONE: a root */
	uint32_t *children;
	bool *copy;			/* has an edge of another kind, or several */
	uint32_t *order;		/* families, the largest first: not by what they are called */
};

struct candidate {
	uint32_t who, family;
	double excess;			/* of a root */
	double odds, chance;
	struct signature sig;
	bool loaded;
};

struct bases {
	struct candidate *c;
	size_t n;
	struct factor_fit fit;
};

static bool is_trained(enum relation r)
{
	return r == RELATION_FINETUNE || r == RELATION_LORA || r == RELATION_REINITIALIZED;
}

static void trained_release(struct trained *t)
{
	free(t->parent);
	free(t->children);
	free(t->copy);
	free(t->order);
}

static int trained_of(struct trained *t, const struct lineage *l, size_t n, struct err *e)
{
	*t = (struct trained){mem_array(n + 1, sizeof *t->parent), mem_array(n + 1, sizeof *t->children),
			      mem_array(n + 1, sizeof *t->copy), mem_array(l->n_families + 1, sizeof *t->order)};
	if (!t->parent || !t->children || !t->copy || !t->order)
		return err_nomem(e);
	lineage_by_size(l, t->order);
	memset(t->parent, 0xff, n * sizeof *t->parent);
	for (size_t i = 0; i < l->n_edges; i++) {
		const struct lineage_edge *d = &l->edges[i];
		if (d->relation == RELATION_RELATED)
			continue;
		t->copy[d->child] |= !is_trained(d->relation) || t->parent[d->child] != LINEAGE_NONE;
		t->parent[d->child] = d->parent;
		t->children[d->parent] += is_trained(d->relation);
	}
	return 0;
}

static void forget(struct candidate *c)
{
	if (c->loaded)
		signature_release(&c->sig);
	c->loaded = false;
}

static void bases_release(struct bases *b)
{
	for (size_t i = 0; i < b->n; i++)
		forget(&b->c[i]);
	free(b->c);
}

/* Appends `who` when all shapes fit. */
static int try_base(const struct lineage_input *in, const struct signature *adapter, uint32_t who, uint32_t family,
		    struct bases *out, struct err *e)
{
	struct candidate c = {.who = who, .family = family, .excess = NAN};
	struct factor_fit fit;
	if (in->load(in->arg, who, &c.sig, NULL))
		return 0;
	int rc = factors_fit(adapter, &c.sig, &fit, e);
	if (rc || !fit.places || fit.fitting < fit.places) {
		signature_release(&c.sig);
		return rc;
	}
	c.loaded = true;
	out->c[out->n++] = c;
	out->fit = fit;
	return 0;
}

static int add_edge(struct lineage *l, uint32_t child, uint32_t parent, enum relation r, double confidence,
		    enum basis basis, const char *method, const char *evidence, const char *why, struct err *e)
{
	int rc = lineage_add_edge(l,
				  &(struct lineage_edge){.child = child,
							 .parent = parent,
							 .relation = r,
							 .weight = 1,
							 .confidence = confidence,
							 .basis = basis,
							 .distance = 1,
							 .method = method},
				  evidence, why);
	return rc ? err_nomem(e) : 0;
}

/* The roots of families that fit, and how much of their energy the factors hold. */
static int try_roots(const struct lineage *l, const struct lineage_input *in, const struct signature *adapter,
		     const uint32_t *order, struct bases *out, struct err *e)
{
	for (size_t k = 0, tried = 0; k < l->n_families && tried < ROOTS_TRIED; k++) {
		size_t i = order[k];
		const struct lineage_family *fm = &l->families[i];
		uint32_t root = fm->root != LINEAGE_NONE ? fm->root : fm->members[0];
		size_t before = out->n;
		if (!in->models[root].sketch || in->models[root].adapter)
			continue;
		tried++;
		int rc = try_base(in, adapter, root, (uint32_t)i, out, e);
		if (!rc && out->n > before) {
			rc = factors_excess(adapter, &out->c[before].sig, &out->c[before].excess, e);
			forget(&out->c[before]);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* The family whose root stands out, and how surely: strangers reach 0.36, the least of bases 0.34 (67 of ten lakes), so
 * it is how far the best is beyond the next that counts. */
static const struct candidate *best_family(const struct bases *b, double *sure)
{
	const struct candidate *best = NULL;
	double next = 0;
	for (size_t i = 0; i < b->n; i++) {
		if (isnan(b->c[i].excess))
			continue;
		if (best && best->excess >= b->c[i].excess) {
			next = fmax(next, b->c[i].excess);
			continue;
		}
		next = best ? fmax(next, best->excess) : next;
		best = &b->c[i];
	}
	*sure = best ? 1 / (1 + exp(-20 * (best->excess - next - 0.2))) : 0;
	return best;
}

struct popular { uint32_t who, children, rank; };

static int cmp_popular(const void *x, const void *y)
{
	const struct popular *a = x, *b = y;
	if (a->children != b->children)
		return a->children > b->children ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

/* The trained members of a family that fit, those with most children first. */
static int try_members(const struct lineage_family *fm, const struct lineage_input *in, const struct trained *t,
		       const struct signature *adapter, uint32_t family, struct bases *out, struct err *e)
{
	cleanup_free struct popular *p = mem_array(fm->n + 1, sizeof *p);
	size_t n = 0;
	if (!p)
		return err_nomem(e);
	for (size_t i = 0; i < fm->n; i++) {
		uint32_t m = fm->members[i];
		if (in->models[m].sketch && !in->models[m].adapter && !t->copy[m])
			p[n++] = (struct popular){m, t->children[m], in->models[m].rank};
	}
	qsort(p, n, sizeof *p, cmp_popular);
	for (size_t i = 0; i < n && i < MEMBERS_TRIED; i++) {
		int rc = try_base(in, adapter, p[i].who, family, out, e);
		if (rc)
			return rc;
	}
	return 0;
}

static const struct candidate *find(const struct bases *b, uint32_t who)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->c[i].who == who)
			return &b->c[i];
	return NULL;
}

/* Log odds of a step being one that the base took, by its cosine with the update. */
static double step_odds(double cosine)
{
	return isnan(cosine) ? 0 : fmax(-0.6, fmin(6, 1.3 - 45 * cosine));
}

static int cmp_chance(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;
	return (a->chance < b->chance) - (a->chance > b->chance);
}

/* Fills odds (of the last step alone at first) and chance; b is then sorted by it. */
static int weigh(struct bases *b, const struct trained *t, const struct signature *adapter, struct err *e)
{
	double own[MEMBERS_TRIED], most = -INFINITY, sum = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct candidate *p = find(b, t->parent[b->c[i].who]);
		double cosine = NAN;
		int rc = p ? factors_step(adapter, &p->sig, &b->c[i].sig, &cosine, e) : 0;
		if (rc)
			return rc;
		own[i] = step_odds(cosine);
	}
	for (size_t i = 0; i < b->n; i++) {
		struct candidate *c = &b->c[i];
		c->odds = 2.4 * log1p(t->children[c->who]);
		const struct candidate *at = c;
		size_t steps = 0;
		for (const struct candidate *p; steps < b->n && (p = find(b, t->parent[at->who])); at = p, steps++)
			c->odds += own[at - b->c];
		c->odds += steps ? 0 : 1.2;
		most = fmax(most, c->odds);
	}
	for (size_t i = 0; i < b->n; i++)
		sum += exp(b->c[i].odds - most);
	for (size_t i = 0; i < b->n; i++)
		b->c[i].chance = exp(b->c[i].odds - most) / sum;
	qsort(b->c, b->n, sizeof *b->c, cmp_chance);
	return 0;
}

/* What the weights say, told: the likeliest base, or several as related when none is likelier than not to be told
 * right. */
static int tell_weighed(struct lineage *l, uint32_t a, const struct bases *b, double excess, double sure, struct err *e)
{
	bool told = b->c[0].chance * sure >= 0.45;
	for (size_t i = 0; i < b->n && i < (told ? 1 : BASES_TOLD); i++) {
		char text[200];
		snprintf(
			text, sizeof text,
			"rank %u, %zu matrices; the factors hold %.3g times a stranger's energy of the family's weights; chance among its %zu members %.2g",
			b->fit.rank, b->fit.places, exp(excess / 2), b->n, b->c[i].chance);
		int rc =
			add_edge(l, a, b->c[i].who, told ? RELATION_ADAPTER : RELATION_RELATED, b->c[i].chance * sure,
				 BASIS_WEIGHTS, "factors against weights and steps", text,
				 "every pair of low-rank factors has the shape of the base's matrix in its place\n"
				 "their columns and rows lie where the weights of this family do\n"
				 "the update stands to the steps of the family's members as one trained on this base\n",
				 e);
		if (rc)
			return rc;
	}
	return 0;
}

static int tell_shapes(struct lineage *l, uint32_t a, const struct bases *b, struct err *e)
{
	char text[200];
	snprintf(text, sizeof text, "rank %u, %zu matrices, all shapes fit; the config names no model of the lake",
		 b->fit.rank, b->fit.places);
	int rc = 0;
	for (size_t i = 0; i < b->n && i < BASES_TOLD && !rc; i++)
		rc = add_edge(l, a, b->c[i].who, RELATION_RELATED, 0.5 / (double)b->n, BASIS_WEIGHTS, "shapes fit",
			      text, "every pair of low-rank factors has the shape of the base's matrix in its place\n",
			      e);
	return rc;
}

/* No base is named: families that fit, then the members of the one that stands out. */
static int from_weights(struct lineage *l, const struct lineage_input *in, const struct trained *t, uint32_t a,
			const struct signature *s, struct err *e)
{
	struct bases roots = {.c = mem_array(ROOTS_TRIED, sizeof *roots.c)},
		     members = {.c = mem_array(MEMBERS_TRIED, sizeof *members.c)};
	double sure = 0;
	int rc = roots.c && members.c ? try_roots(l, in, s, t->order, &roots, e) : err_nomem(e);
	const struct candidate *f = rc ? NULL : best_family(&roots, &sure);
	if (f && sure > 0.5) {
		rc = try_members(&l->families[f->family], in, t, s, f->family, &members, e);
		rc = rc ? rc : weigh(&members, t, s, e);
	}
	if (!rc)
		rc = members.n ? tell_weighed(l, a, &members, f->excess, sure, e) : tell_shapes(l, a, &roots, e);
	bases_release(&roots);
	bases_release(&members);
	return rc;
}

/* The base that the config names, if it fits. A name that several models answer to, all of a shape, says nothing. */
static int from_config(struct lineage *l, const struct lineage_input *in, uint32_t a, const struct signature *s,
		       bool *told, struct err *e)
{
	const struct adapter_hints *h = in->models[a].adapter;
	struct candidate room[2];
	struct bases b = {.c = room};
	int rc = 0;
	for (size_t i = 0; i < h->n_bases && !rc && b.n < COUNT(room); i++)
		if (h->bases[i] < in->n && h->bases[i] != a)
			rc = try_base(in, s, h->bases[i], 0, &b, e);
	for (size_t i = 0; i < b.n; i++)
		forget(&room[i]);
	*told = b.n == 1;
	if (rc || b.n != 1)
		return rc;
	char text[200];
	snprintf(text, sizeof text, "rank %u, %zu matrices, all shapes fit", b.fit.rank, b.fit.places);
	return add_edge(l, a, room[0].who, RELATION_ADAPTER, 0.95, BASIS_WEIGHTS_DECLARED,
			"base of the config, checked by shape", text,
			"every pair of low-rank factors has the shape of the base's matrix in its place\n", e);
}

static int one_adapter(struct lineage *l, const struct lineage_input *in, const struct trained *t, uint32_t a,
		       struct err *e)
{
	struct signature s;
	bool told;
	if (in->load(in->arg, a, &s, NULL))
		return 0;
	int rc = from_config(l, in, a, &s, &told, e);
	if (!rc && !told)
		rc = from_weights(l, in, t, a, &s, e);
	signature_release(&s);
	return rc;
}

int lineage_adapters(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e)
{
	struct trained t;
	int rc = trained_of(&t, out, in->n, e);
	for (uint32_t i = 0; i < in->n && !rc; i++) {
		if (!in->models[i].adapter || !in->models[i].sketch)
			continue;
		rc = cancel_asked(cancel) ? err_set(e, ECANCELED, "asked to stop") : one_adapter(out, in, &t, i, e);
	}
	trained_release(&t);
	return rc;
}
