/*
 * The tree of what was trained: models in the order of their clocks, each below the nearest earlier one (lower half of the
 * spectrum) that also lies between it and that one's own parent; then siblings that a common corpus made look like a chain are put
 * back; then each edge is given its type.
 */
#include "core/analysis/lineage_pair.h"

#include "core/analysis/matrix.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NEAR = 24, SIDE = 48 };
/* Where lineage-lab.md found chains (0.78-1.51) and siblings (below 0.75) of different corpora. */
static const double between_low = 0.77, between_high = 1.6, above_low = 0.6, above_high = 2.5, same_data = 0.2;

struct choice { uint32_t who; double b50; };

struct placed {
	double b50, next;		/* of the parent, of the runner-up */
	double between;			/* of the parent on its own parent's path; NAN for the root's children */
	uint32_t runner;
	bool lifted;			/* moved from a sibling to the common parent */
	bool sibling_data;		/* looks trained on what its parent was trained on */
};

static bool can_be_parent(const struct fam *f, uint32_t p, uint32_t y)
{
	const struct node *n = &f->node[p];
	return p != y && fam_live(f, p) && !n->quantised && !n->permuted && !fam_ancestor(f, y, p);
}

static bool earlier(const struct fam *f, uint32_t p, uint32_t y)
{
	double sure;
	const char *by;
	int c = clock_compare(f, p, y, &sure, &by);
	return c < 0 || (c == 0 && p < y);
}

static int cmp_choice(const void *x, const void *y)
{
	const struct choice *a = x, *b = y;
	if (a->b50 != b->b50)
		return a->b50 < b->b50 ? -1 : 1;
	return (a->who > b->who) - (a->who < b->who);
}

/* Earlier models, nearest first by b50; beyond NEAR the plain distance chooses. */
static int candidates(const struct fam *f, uint32_t y, struct choice *c, size_t *n)
{
	*n = 0;
	for (uint32_t p = 0; p < f->n; p++)
		if (can_be_parent(f, p, y) && earlier(f, p, y))
			c[(*n)++] = (struct choice){p, 0};
	if (*n > NEAR) {
		for (size_t i = 0; i < *n; i++)
			c[i].b50 = pair_l2(f, y, c[i].who);
		qsort(c, *n, sizeof *c, cmp_choice);
		*n = NEAR;
	}
	size_t k = 0;
	for (size_t i = 0; i < *n; i++) {
		double d = pair_b50(f, y, c[i].who, SIDE);
		if (!isnan(d))
			c[k++] = (struct choice){c[i].who, d};
	}
	*n = k;
	qsort(c, k, sizeof *c, cmp_choice);
	return 0;
}

/* Is y below x, as seen from each model above x? sets *first to the betweenness on the nearest step. */
static bool on_path(const struct fam *f, uint32_t x, uint32_t y, double *first)
{
	*first = NAN;
	const struct node *n = &f->node[x];
	for (size_t i = 0; i < n->n_merged; i++) {
		double w = pair_between(f, n->merged[i], x, y, SIDE);
		*first = isnan(*first) ? w : fmin(*first, w);
		if (w < between_low || w > between_high)
			return false;
	}
	bool nearest = true;
	for (uint32_t z = x, p = n->parent; p != UINT32_MAX; z = p, p = f->node[p].parent) {
		if (f->node[z].state == NODE_DERIVED)
			continue;
		double w = pair_between(f, p, z, y, SIDE);
		if (nearest)
			*first = w;
		if (nearest ? w < between_low || w > between_high : w < above_low || w > above_high)
			return false;
		nearest = false;
	}
	return true;
}

static int place(struct fam *f, uint32_t y, struct placed *pl, struct choice *c)
{
	size_t n;
	int rc = candidates(f, y, c, &n);
	*pl = (struct placed){.between = NAN, .runner = UINT32_MAX, .next = INFINITY};
	if (rc || !n)
		return rc;
	size_t take = n;
	for (size_t i = 0; i < n && take == n; i++) {
		bool merge = f->node[c[i].who].state == NODE_MERGE;
		if (merge && i > 0)	/* a merge lies between its parents by its making: only when it is nearest */
			continue;
		if (on_path(f, c[i].who, y, &pl->between))
			take = i;
	}
	if (take == n) {
		take = 0;
		pl->between = NAN;
	}
	f->node[y].parent = c[take].who;
	pl->b50 = c[take].b50;
	if (n > 1) {
		pl->runner = c[take ? 0 : 1].who;
		pl->next = c[take ? 0 : 1].b50;
	}
	return 0;
}

struct timed { double clock, norm; uint32_t m; };

static int cmp_timed(const void *x, const void *y)
{
	const struct timed *a = x, *b = y;
	if (a->clock != b->clock)
		return a->clock < b->clock ? -1 : 1;
	if (a->norm != b->norm)
		return a->norm < b->norm ? -1 : 1;
	return (a->m > b->m) - (a->m < b->m);
}

static size_t trunk_in_order(const struct fam *f, struct timed *t)
{
	size_t n = 0;
	for (uint32_t m = 0; m < f->n; m++) {
		const struct node *x = &f->node[m];
		if (x->state == NODE_TRUNK && !x->quantised)
			t[n++] = (struct timed){x->counter > 0 ? x->counter : x->clock > 0 ? x->clock : 0, x->norm, m};
	}
	qsort(t, n, sizeof *t, cmp_timed);
	return n;
}

static size_t other_children(const struct fam *f, uint32_t p, uint32_t x, uint32_t y)
{
	size_t n = 0;
	for (uint32_t m = 0; m < f->n; m++)
		n += m != x && m != y && f->node[m].state == NODE_TRUNK && f->node[m].parent == p;
	return n;
}

/* Runs on one corpus from one start drift alike, so that a short run seems to lie on the path to a longer one: below a
 * model with other children they are taken for siblings, along a lone line for a chain. */
static void lift_siblings(struct fam *f, const struct timed *t, size_t n, struct placed *pl)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t y = t[i].m, x = f->node[y].parent;
		if (x == UINT32_MAX || f->node[x].state != NODE_TRUNK || f->node[x].parent == UINT32_MAX)
			continue;
		uint32_t p = f->node[x].parent;
		if (pair_step_cosine(f, p, x, x, y) <= same_data)
			continue;
		pl[y].sibling_data = true;
		if (other_children(f, p, x, y) < 2)
			continue;
		f->node[y].parent = p;
		pl[y].lifted = true;
	}
}

static size_t count_fresh(const struct fam *f, uint32_t a, uint32_t b)
{
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	return fresh ? fam_fresh(f, a, b, fresh) : 0;
}

static double sureness(const struct placed *pl, double direction)
{
	double s = direction;
	if (pl->sibling_data)
		s *= 0.75;
	if (!isnan(pl->between))
		s *= fabs(pl->between - 1) < 0.15 ? 0.98 : 0.9;
	if (pl->next < 1.1 * pl->b50)
		s *= 0.9;
	return s;
}

static int emit(struct fam *f, uint32_t y, const struct placed *pl)
{
	uint32_t p = f->node[y].parent;
	double sure = 0.5;
	const char *by = "";
	clock_compare(f, p, y, &sure, &by);
	size_t fresh = count_fresh(f, p, y);
	struct update u = update_of(f, p, y);
	struct verdict v = {fresh ? RELATION_REINITIALIZED : u.low_rank ? RELATION_LORA : RELATION_FINETUNE, 1, sureness(pl, sure), BASIS_WEIGHTS,
			    fresh ? "unlike in some matrices, alike in the rest" : u.low_rank ? "update of low rank" : "nearest earlier model"};
	char why[400], rank[96] = "";
	if (u.low_rank)
		snprintf(rank, sizeof rank, "rank %u in %zu matrices (%zu untouched), gap %.3g; ", u.rank, u.changed, u.kept, u.gap);
	if (fresh)
		snprintf(rank, sizeof rank, "%zu matrices drawn anew; ", fresh);
	snprintf(why, sizeof why, "no earlier model is nearer in the lower half of the spectrum of the difference%s\ndirection: %s\n",
		 pl->lifted ? " except a sibling trained on the same data" : "", by);
	return fam_edge(f, y, p, &v, why, "%sdistance %.4g, next %.4g; betweenness %.3g; direction by %s", rank, sqrt(pl->b50), sqrt(pl->next), pl->between, by);
}

int tree_find(struct fam *f, struct err *e)
{
	cleanup_free struct timed *t = mem_array(f->n + 1, sizeof *t);
	cleanup_free struct placed *pl = mem_array(f->n + 1, sizeof *pl);
	cleanup_free struct choice *c = mem_array(f->n + 1, sizeof *c);
	if (!t || !pl || !c)
		return -ENOMEM;
	size_t n = trunk_in_order(f, t);
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		if (cancel_asked(f->cancel))
			return err_set(e, ECANCELED, "asked to stop");
		rc = place(f, t[i].m, &pl[t[i].m], c);
	}
	if (rc)
		return rc;
	lift_siblings(f, t, n, pl);
	for (size_t i = 0; i < n && !rc; i++)
		if (f->node[t[i].m].parent != UINT32_MAX)
			rc = emit(f, t[i].m, &pl[t[i].m]);
	return rc;
}
