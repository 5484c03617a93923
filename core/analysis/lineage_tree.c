/*
 * The tree of what was trained: each model goes down from the root to whichever earlier one (by the clock) it is likely
 * to be below, in rounds, so that in the end each was placed knowing all the others; then each edge is given its type.
 */
#include "core/analysis/between.h"
#include "core/analysis/lineage_open.h"
#include "core/analysis/lineage_pair.h"
#include "core/analysis/looks.h"
#include "core/analysis/matrix.h"
#include "core/analysis/near.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NEAR = 12, NEAR_FEW = 4, TRIED = 12, SIDE = 32, SIDE_FEW = 24, ROUNDS = 3 };
static const double NEARER = 4;	/* what being nearer is worth among the likely ones, in log odds */
struct choice { uint32_t who; double b50; bool full_rank; };	/* full_rank: the update is, for sure */

/* Distances to those from which the update is of low rank, INFINITY to others: what was asked so far. */
struct low_rank { uint32_t who[8]; double distance[8]; size_t n; };

struct placed {
	uint32_t parent;
	double b50, next;		/* to the parent, to the nearest other */
	struct between between;		/* on the last step down; values 0: the parent is a root */
	struct between refused;		/* the likeliest child of the parent that y is not below; odds -INFINITY: none */
};

struct tree {
	struct looks *looks;
	uint32_t near;			/* nearest to the one being placed */
	int *children, *below;		/* of each member: trained models that stand under it; the size of its side of the tree */
	struct low_rank *low;		/* by member */
};

static bool can_be_parent(const struct fam *f, uint32_t p, uint32_t y)
{
	const struct node *n = &f->node[p];
	return p != y && fam_live(f, p) && !n->quantised && !n->permuted && !fam_ancestor(f, y, p);
}

static bool earlier(const struct fam *f, uint32_t p, uint32_t y)
{
	int c = clock_compare(f, p, y, NULL, NULL);
	return c < 0 || (c == 0 && p < y);
}

/* Where x is p in another type or with rows added, either may be y's parent: y's step from p runs along x - p when
 * it is x (share 1) and not when it is p (share 0); where that cannot be told, the original. */
static uint32_t original_of(const struct fam *f, uint32_t x, uint32_t y)
{
	uint32_t p = f->node[x].parent;
	if (f->node[x].state != NODE_DERIVED || p == UINT32_MAX || fam_ancestor(f, y, p))
		return x;
	double along = 0, own = 0, step = 0;
	size_t n = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const float *a = fam_x(f, p, i), *b = fam_x(f, x, i), *c = fam_x(f, y, i);
		const struct sigpart *pp = fam_part(f, p, i), *px = fam_part(f, x, i), *py = fam_part(f, y, i);
		if (pp && px && py && px->rows == py->rows && px->rows != pp->rows)
			return x;
		for (size_t k = 0; a && b && c && fam_matrix(f, i) && k < f->v.slot[i].n; k++, n++) {
			double u = (double)b[k] - a[k], v = (double)c[k] - a[k];
			along += u * v;
			own += u * u;
			step += v * v;
		}
	}
	/* the share's deviation: sqrt(step / n) / sqrt(own) */
	return own > 0 && along / own > 0.5 && step < own * (double)n / 16 ? x : original_of(f, p, y);
}

static int cmp_choice(const void *x, const void *y)
{
	const struct choice *a = x, *b = y;
	if (a->b50 != b->b50)
		return a->b50 < b->b50 ? -1 : 1;
	return (a->who > b->who) - (a->who < b->who);
}

struct shortlist { struct choice c[NEAR]; size_t n; };

/* Earlier models, nearest first by b50; beyond NEAR the plain distance chooses. */
static int candidates(const struct fam *f, uint32_t y, struct shortlist *out)
{
	cleanup_free struct choice *c = mem_array(f->n + 1, sizeof *c);
	size_t n = 0;
	if (!c)
		return -ENOMEM;
	const uint32_t *near = f->large ? f->near + (size_t)y * NEAR_KEPT : NULL;
	size_t most = near ? NEAR_FEW : NEAR;
	for (uint32_t i = 0; i < (near ? NEAR_KEPT : f->n) && (!near || (near[i] != UINT32_MAX && n < most)); i++) {
		uint32_t p = near ? near[i] : i;
		if (can_be_parent(f, p, y) && earlier(f, p, y))
			c[n++] = (struct choice){p, 0, false};
	}
	if (n > most) {
		for (size_t i = 0; i < n; i++)
			c[i].b50 = pair_l2(f, y, c[i].who);
		qsort(c, n, sizeof *c, cmp_choice);
		n = most;
	}
	out->n = 0;
	for (size_t i = 0; i < n; i++) {
		bool full_rank = false;
		double d = pair_b50(f, y, c[i].who, f->large ? SIDE_FEW : SIDE, f->large ? &full_rank : NULL);
		if (!isnan(d))
			out->c[out->n++] = (struct choice){c[i].who, d, full_rank};
	}
	qsort(out->c, out->n, sizeof *out->c, cmp_choice);
	return 0;
}

/* p, or a copy of it in another type or with more rows that y follows rather than p. */
static uint32_t copy_followed(const struct fam *f, uint32_t p, uint32_t y)
{
	for (uint32_t x = 0; x < f->n; x++)
		if (f->node[x].state == NODE_DERIVED && f->node[x].parent == p && can_be_parent(f, x, y) &&
		    original_of(f, x, y) == x && pair_l2(f, x, y) < pair_l2(f, p, y))
			return x;
	return p;
}

static uint32_t root_of(const struct fam *f, uint32_t m)
{
	for (size_t depth = 0; depth < f->n; depth++) {
		const struct node *n = &f->node[m];
		if (n->parent != UINT32_MAX)
			m = n->parent;
		else if (n->n_merged)
			m = n->merged[0];
		else
			break;
	}
	return m;
}

/* Children of p on the way to the near ones, at most TRIED. */
static size_t children_of(const struct fam *f, uint32_t p, const struct choice *c, size_t n, uint32_t *out)
{
	size_t k = 0;
	for (size_t i = 0; i < n && k < TRIED; i++) {
		uint32_t x = c[i].who;
		for (size_t depth = 0; x != UINT32_MAX && f->node[x].parent != p; depth++)
			x = depth < f->n ? f->node[x].parent : UINT32_MAX;
		bool known = x == UINT32_MAX || f->node[x].state != NODE_TRUNK;
		for (size_t j = 0; j < k && !known; j++)
			known = out[j] == x;
		if (!known)
			out[k++] = x;
	}
	return k;
}

/* What was made of several models (merges, stitches) or pruned, and is nearer to y than p is. */
static size_t made_nearer(const struct fam *f, uint32_t p, const struct choice *c, size_t n, uint32_t *out)
{
	size_t k = 0;
	for (size_t i = 0; i < n && k < TRIED && c[i].who != p; i++) {
		enum node_state s = f->node[c[i].who].state;
		if (s == NODE_MERGE || s == NODE_STITCH ||
		    (s == NODE_DERIVED && original_of(f, c[i].who, p) == c[i].who))
			out[k++] = c[i].who;
	}
	return k;
}

/* Who has children gets more (preferential attachment): a model's weight as a parent, and that of all below it. */
static double weight_of(const struct tree *t, uint32_t p)
{
	return 0.7 + t->children[p];
}

static double weight_below(const struct tree *t, uint32_t p)
{
	return 0.7 * t->below[p] + (t->below[p] - 1);
}

/* Give y a parent (UINT32_MAX: none), and count it there and above. */
static void attach(struct fam *f, struct tree *t, uint32_t y, uint32_t parent)
{
	uint32_t was = f->node[y].parent;
	f->node[y].parent = parent;
	for (int side = 0; side < 2; side++) {
		uint32_t p = side ? parent : was;
		int sign = side ? 1 : -1;
		if (p == UINT32_MAX)
			continue;
		t->children[p] += sign;
		for (size_t depth = 0; depth < f->n && p != UINT32_MAX && f->node[p].state == NODE_TRUNK; depth++) {
			t->below[p] += sign * t->below[y];
			p = f->node[p].parent;
		}
	}
}

/* Log odds, before looking, that a model below p is below a certain child of p: own, below: weights of p and of that
 * child's side. Fitted with those of between.c, each of eleven lakes told by the others; no further beyond ten children:
 * in a fan of hundreds a child's own is seen as clearly. Without a vocabulary the look itself was fitted with them. */
static double attachment(const struct fam *f, double own, double below)
{
	if (f->head_slot == SIZE_MAX)
		return 0;
	return 5.4 - 3 * log(fmin(own, 10)) + 0.9 * log(below);
}

/* The likeliest of x[0..k), nearest first, for y to be below, seen from p; UINT32_MAX when none is likely. prior:
 * log odds before looking; attached: these are by the weight of what is below x over that of p itself. */
static uint32_t likeliest(const struct fam *f, struct tree *t, uint32_t p, uint32_t y, const uint32_t *x, size_t k,
			  double prior, bool attached, struct placed *pl)
{
	uint32_t best = UINT32_MAX;
	double top = 0, own = attached ? weight_of(t, p) : 1;
	struct between look[TRIED];
	looks_at(t->looks, p, x, k, y, t->near, look);
	for (size_t i = 0; i < k; i++) {
		struct between b = look[i];
		b.odds += attached ? attachment(f, own, weight_below(t, x[i])) : prior;
		if (b.values && b.odds > (best == UINT32_MAX ? 0 : top + NEARER)) {
			top = b.odds;
			best = x[i];
			pl->between = b;
		} else if (b.values && b.odds > pl->refused.odds) {
			pl->refused = b;
		}
	}
	return best;
}

/* Of several small steps followed by a large one the first is hard to see: is y below the nearest model? Then it is
 * below all between p and that. */
static uint32_t towards_near(const struct fam *f, struct tree *t, uint32_t p, uint32_t y, struct placed *pl)
{
	uint32_t x = t->near;
	if (p == x || f->node[x].state != NODE_TRUNK || f->node[x].parent == p || !fam_ancestor(f, p, x))
		return UINT32_MAX;
	struct between b;
	looks_at(t->looks, p, &x, 1, y, t->near, &b);
	for (size_t depth = 0; depth < f->n && x != UINT32_MAX && f->node[x].parent != p; depth++)
		x = f->node[x].parent;
	b.odds--;
	if (!b.values || x == UINT32_MAX || f->node[x].state != NODE_TRUNK || !(b.odds > 0))
		return UINT32_MAX;
	pl->between = b;
	return x;
}

/* From p down the trained models to the one that y is most likely a child of. A lone child is more likely on the way
 * (checkpoints of one run) than one of several. */
static uint32_t descend(const struct fam *f, struct tree *t, uint32_t p, uint32_t y, const struct choice *c, size_t n,
			struct placed *pl)
{
	for (size_t depth = 0; depth < f->n; depth++) {
		uint32_t child[TRIED];
		size_t k = children_of(f, p, c, n, child);
		pl->refused.odds = -INFINITY;
		uint32_t next = likeliest(f, t, p, y, child, k, 0, true, pl);
		next = next != UINT32_MAX ? next : towards_near(f, t, p, y, pl);
		if (next == UINT32_MAX)
			return p;
		p = next;
	}
	return p;
}

static uint32_t find_parent(const struct fam *f, struct tree *t, uint32_t near, uint32_t y, const struct choice *c,
			    size_t n, struct placed *pl)
{
	uint32_t made[TRIED], p = descend(f, t, root_of(f, near), y, c, n, pl);
	size_t k = made_nearer(f, p, c, n, made);
	struct placed other = *pl;
	uint32_t m = likeliest(f, t, p, y, made, k, -3 - log((double)k + 1), false, &other);
	if (m == UINT32_MAX)
		return p;
	*pl = other;
	return descend(f, t, m, y, c, n, pl);
}

/* A merged LoRA leaves all but a few directions of its base as they were: of the nearest models the one from which
 * the update has the lowest rank; UINT32_MAX when none is of low rank. Two LoRAs of one base differ by a low rank
 * too, but a higher one. */
static uint32_t low_rank_base(const struct fam *f, struct low_rank *known, uint32_t y, const struct choice *c, size_t n)
{
	uint32_t best = UINT32_MAX;
	double least = INFINITY;
	for (size_t i = 0; i < n && i < 4 && c[i].b50 <= 16 * c[0].b50; i++) {
		if (f->node[c[i].who].state != NODE_TRUNK || c[i].full_rank)
			continue;
		size_t k = 0;
		while (k < known->n && known->who[k] != c[i].who)
			k++;
		if (k == known->n) {
			struct update u = update_of(f, c[i].who, y, SIDE);
			k = k < COUNT(known->who) ? known->n++ : k - 1;
			known->who[k] = c[i].who;
			known->distance[k] = u.low_rank && u.gap >= 8 ? pair_l2(f, c[i].who, y) : INFINITY;
		}
		if (known->distance[k] < least) {
			least = known->distance[k];
			best = c[i].who;
		}
	}
	return best;
}

static void place(struct fam *f, struct tree *t, uint32_t y, const struct shortlist *l, struct placed *pl)
{
	struct choice c[NEAR];
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!fam_ancestor(f, y, l->c[i].who))
			c[n++] = l->c[i];
	*pl = (struct placed){.parent = UINT32_MAX, .next = INFINITY, .refused = {.odds = -INFINITY}};
	if (!n)
		return;
	size_t trained = 0;
	while (trained < n && f->node[c[trained].who].state != NODE_TRUNK)
		trained++;
	t->near = c[0].who;
	uint32_t base = low_rank_base(f, &t->low[y], y, c, n);
	pl->parent = base != UINT32_MAX ? base
		     : trained < n      ? find_parent(f, t, c[trained].who, y, c, n, pl)
					: c[0].who;
	for (size_t i = 0; i < n; i++) {
		if (c[i].who == pl->parent)
			pl->b50 = c[i].b50;
		else if (isinf(pl->next))
			pl->next = c[i].b50;
	}
	pl->parent = copy_followed(f, original_of(f, pl->parent, y), y);
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
	/* both clocks tell pairs apart, not models: then by how many others are earlier */
	cleanup_free double *before = mem_array(n + 1, sizeof *before);
	for (size_t i = 0; before && !f->large && i < n; i++)
		for (size_t j = 0; j < n; j++)
			before[i] += j != i && earlier(f, t[j].m, t[i].m);
	for (size_t i = 0; before && !f->large && i < n; i++)
		t[i].clock = before[i];
	qsort(t, n, sizeof *t, cmp_timed);
	return n;
}

/* A classifier for other classes is how a model is fine-tuned to another task: it does not count. */
static size_t count_fresh(const struct fam *f, uint32_t a, uint32_t b)
{
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	size_t n = 0;
	if (!fresh || !fam_fresh(f, a, b, fresh))
		return 0;
	for (size_t i = 0; i < f->v.slots; i++)
		n += fresh[i] && strcmp(f->v.slot[i].role, "classifier") != 0;
	return n;
}

static double sureness(const struct placed *pl, double direction)
{
	double s = direction;
	if (pl->between.values)
		s /= 1 + exp(-fmin(pl->between.odds, 8));
	if (pl->refused.odds > -8)
		s /= 1 + exp(pl->refused.odds);
	return s;
}

static int emit(struct fam *f, uint32_t y, const struct placed *pl, const struct update *update,
		struct first *first)
{
	uint32_t p = f->node[y].parent;
	double sure = 0.5;
	const char *by = "";
	clock_compare(f, p, y, &sure, &by);
	size_t fresh = count_fresh(f, p, y);
	struct update u = *update;
	struct verdict v = {fresh        ? RELATION_REINITIALIZED
			    : u.low_rank ? RELATION_LORA
					 : RELATION_FINETUNE,
			    1, sureness(pl, sure), BASIS_WEIGHTS,
			    fresh        ? "unlike in some matrices, alike in the rest"
			    : u.low_rank ? "update of low rank"
					 : "nearest earlier model"};
	enum open open = open_between(f, p, y, &first[p], sure);
	if (open != OPEN_NOT)
		return open_edge(f, p, y, open, &first[p], v.relation, sure);
	char why[400], rank[192] = "", own[192] = "", other[192] = "";
	if (u.low_rank)
		snprintf(rank, sizeof rank, "rank %u in %zu matrices (%zu untouched)%s; ", u.rank, u.changed, u.kept,
			 said(", gap ", u.gap).text);
	if (fresh)
		snprintf(rank, sizeof rank, "%zu matrices drawn anew; ", fresh);
	int at = snprintf(why, sizeof why, "direction: %s\n", *by ? by : "not told");
	if (pl->between.values) {
		at += snprintf(
			why + at, sizeof why - (size_t)at,
			"%.3g of what is the parent's own is in the child (1 for a descendant; standard error %.2g)\n",
			pl->between.share, pl->between.error);
		snprintf(own, sizeof own, "%.3g of the parent's own is in it%s; ", pl->between.share,
			 said(", log odds ", pl->between.odds).text);
	}
	if (pl->refused.values && isfinite(pl->refused.odds)) {
		snprintf(why + at, sizeof why - (size_t)at,
			 "the nearest to being between the two has %.3g of its own in the child%s\n", pl->refused.share,
			 said(", log odds ", pl->refused.odds).text);
		snprintf(other, sizeof other, "%.3g of the next candidate's own%s; ", pl->refused.share,
			 said(", log odds ", pl->refused.odds).text);
	}
	return fam_edge(f, y, p, &v, why, "%s%s%sdistance %.4g%s%s%s", rank, own, other, sqrt(pl->b50),
			said(", next model ", sqrt(pl->next)).text, *by ? "; direction by " : "", by);
}

static void tree_release(struct tree *t)
{
	looks_free(t->looks);
	free(t->children);
	free(t->below);
	free(t->low);
}

static int tree_init(struct tree *t, const struct fam *f)
{
	t->looks = looks_new(f);
	t->children = mem_array(f->n + 1, sizeof *t->children);
	t->below = mem_array(f->n + 1, sizeof *t->below);
	t->low = mem_array(f->n + 1, sizeof *t->low);
	for (size_t i = 0; t->below && i < f->n; i++)
		t->below[i] = 1;
	return t->looks && t->children && t->below && t->low ? 0 : -ENOMEM;
}

struct listing {
	const struct fam *f;
	const struct timed *t;
	struct shortlist *list;
	struct update *update;
	struct first *first;
	const struct looks *looks;
};

static int list_job(void *arg, size_t i)
{
	struct listing *j = arg;
	return cancel_asked(j->f->cancel) ? -ECANCELED : candidates(j->f, j->t[i].m, &j->list[i]);
}

static int update_job(void *arg, size_t i)
{
	struct listing *j = arg;
	uint32_t y = j->t[i].m, p = j->f->node[y].parent;
	if (p != UINT32_MAX)
		j->update[i] = update_of(j->f, p, y, j->f->large ? SIDE : MATRIX_MAX);
	return cancel_asked(j->f->cancel) ? -ECANCELED : 0;
}

static int first_job(void *arg, size_t m)
{
	struct listing *j = arg;
	const struct node *n = &j->f->node[m];
	struct first *first = &j->first[m];
	first->is = n->state == NODE_TRUNK && n->parent == UINT32_MAX;
	first->sibling = first->is && open_ancestor(j->f, j->looks, (uint32_t)m, &first->shared);
	return cancel_asked(j->f->cancel) ? -ECANCELED : 0;
}

int tree_find(struct fam *f, struct err *e)
{
	cleanup_free struct timed *t = mem_array(f->n + 1, sizeof *t);
	cleanup_free struct placed *pl = mem_array(f->n + 1, sizeof *pl);
	cleanup_free struct shortlist *list = mem_array(f->n + 1, sizeof *list);
	cleanup_free struct update *update = mem_array(f->n + 1, sizeof *update);
	cleanup_free struct first *first = mem_array(f->n + 1, sizeof *first);
	struct tree tree cleanup_with(tree_release) = {.near = UINT32_MAX};
	if (!t || !pl || !list || !update || !first || tree_init(&tree, f))
		return -ENOMEM;
	size_t n = trunk_in_order(f, t);
	struct listing job = {f, t, list, NULL, first, tree.looks};
	int rc = pool_for(fam_threads(f), n, list_job, &job);
	/* again, knowing all the others, so that the order no longer counts */
	for (size_t i = 0; i < ROUNDS * n && !rc; i++) {
		uint32_t y = t[i % n].m, was = f->node[y].parent;
		struct placed now;
		attach(f, &tree, y, UINT32_MAX);
		place(f, &tree, y, &list[i % n], &now);
		bool circle = now.parent != UINT32_MAX && fam_ancestor(f, y, now.parent);
		attach(f, &tree, y, circle ? was : now.parent);
		if (!circle)
			pl[i % n] = now;
	}
	job.update = update;
	rc = rc ? rc : pool_for(fam_threads(f), n, update_job, &job);
	rc = rc ? rc : pool_for(fam_threads(f), f->n, first_job, &job);
	for (size_t i = 0; i < n && !rc; i++)
		if (f->node[t[i].m].parent != UINT32_MAX)
			rc = emit(f, t[i].m, &pl[i], &update[i], first);
	return rc == -ECANCELED ? err_set(e, ECANCELED, "asked to stop") : rc;
}
