/*
 * Linear merges, SLERP and task arithmetic: affine least squares over pairs, triples and more of a family's members,
 * accepted when the residual is the rounding of the child's own type: RSS / sum(ulp^2 / 12) near 1 (sota.md's simulation:
 * true 0.96 to 4, impostors from 190). A merge's inverse (a parent out of the merge and the other parents) has negative weights,
 * a residual that is too large or too small for its type.
 */
#include "core/analysis/merge.h"

#include "core/analysis/matrix.h"
#include "core/analysis/near.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEEP = 60 };
static const double least_weight = 0.02;

struct set { uint32_t m[MERGE_PARENTS]; size_t n; double rss; double w[MERGE_PARENTS]; };

static bool candidate(const struct fam *f, uint32_t m)
{
	const struct node *n = &f->node[m];
	return n->state == NODE_TRUNK && !n->quantised;
}

static double dot(const struct mix *x, size_t a, size_t b) { return x->gram[a * x->n + b]; }

/* Affine least squares of y by s->m; the weights sum to one. */
static bool solve(const struct mix *x, size_t y, struct set *s)
{
	double a[MERGE_PARENTS * MERGE_PARENTS], b[MERGE_PARENTS], rhs[MERGE_PARENTS];
	size_t k = s->n - 1, o = s->m[k];
	double oo = dot(x, o, o), yo = dot(x, y, o), rest = 1;
	for (size_t i = 0; i < k; i++) {
		size_t p = s->m[i];
		for (size_t j = 0; j < k; j++)
			a[i * k + j] = dot(x, p, s->m[j]) - dot(x, p, o) - dot(x, s->m[j], o) + oo;
		b[i] = rhs[i] = dot(x, y, p) - yo - dot(x, p, o) + oo;
	}
	if (!matrix_solve(a, b, k))
		return false;
	s->rss = dot(x, y, y) - 2 * yo + oo;
	for (size_t i = 0; i < k; i++) {
		s->w[i] = b[i];
		s->rss -= b[i] * rhs[i];
		rest -= b[i];
	}
	s->w[k] = rest;
	return true;
}

/* A merge's weights: none small, at most one negative (task arithmetic's base), and then at least two positive beside it. */
static bool plausible(const struct set *s)
{
	size_t negative = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (!(fabs(s->w[i]) > least_weight) || fabs(s->w[i]) > 3)
			return false;
		negative += s->w[i] < 0;
	}
	return negative == 0 || (negative == 1 && s->n >= 3);
}

static void keep_best(struct set *best, size_t *n, const struct set *s)
{
	if (*n == KEEP && s->rss >= best[KEEP - 1].rss)
		return;
	for (size_t i = 0; i < *n; i++) {	/* the same set may be reached by several ways */
		size_t same = 0;
		for (size_t a = 0; a < s->n; a++)
			for (size_t b = 0; b < s->n; b++)
				same += best[i].m[b] == s->m[a];
		if (same == s->n && best[i].n == s->n)
			return;
	}
	size_t at = *n < KEEP ? (*n)++ : KEEP - 1;
	for (; at > 0 && best[at - 1].rss > s->rss; at--)
		best[at] = best[at - 1];
	best[at] = *s;
}

/* The candidates nearest to y, at most MERGE_NEAR. */
static size_t nearest(const struct mix *x, size_t y, const bool *without, uint32_t *out)
{
	double d[MERGE_NEAR];
	size_t n = 0;
	for (uint32_t i = 0; i < x->n; i++) {
		if (i == y || (without && without[i]))
			continue;
		double v = dot(x, y, y) - 2 * dot(x, y, i) + dot(x, i, i);
		n = v > 0 ? near_keep(d, out, n, MERGE_NEAR, v, i) : n;
	}
	return n;
}

static size_t start_pairs(const struct mix *x, size_t y, const uint32_t *c, size_t n, struct set *best)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			struct set s = {.m = {c[i], c[j]}, .n = 2};
			if (solve(x, y, &s))
				keep_best(best, &k, &s);
		}
	return k;
}

/* All triples; more parents grow from the best of one fewer. */
static size_t grow_sets(const struct mix *x, size_t y, const uint32_t *c, size_t n, const struct set *from,
			size_t n_from, struct set *best)
{
	size_t k = 0;
	for (size_t i = 0; i < n_from; i++)
		for (size_t j = 0; j < n; j++) {
			struct set s = from[i];
			bool in = false;
			for (size_t a = 0; a < s.n; a++)
				in = in || s.m[a] == c[j];
			if (in)
				continue;
			s.m[s.n++] = c[j];
			if (solve(x, y, &s))
				keep_best(best, &k, &s);
		}
	return k;
}

/* Differences from o: gram and right-hand sides of the sets that contain it. */
static void relative_gram(const struct mix *x, size_t y, const uint32_t *c, size_t n, size_t o, double *a, double *b)
{
	double oo = dot(x, o, o), yo = dot(x, y, o);
	for (size_t i = 0; i < n; i++) {
		double io = dot(x, c[i], o);
		for (size_t j = 0; j <= i; j++)
			a[i * n + j] = dot(x, c[i], c[j]) - io - dot(x, c[j], o) + oo;
		b[i] = dot(x, y, c[i]) - yo - io + oo;
	}
}

/* All triples: residuals in closed form, and solved where that may be among the best. */
static size_t all_triples(const struct mix *x, size_t y, const uint32_t *c, size_t n, struct set *best)
{
	double a[MERGE_NEAR * MERGE_NEAR], b[MERGE_NEAR];
	size_t k = 0;
	for (size_t h = 2; h < n; h++) {
		double yy = dot(x, y, y) - 2 * dot(x, y, c[h]) + dot(x, c[h], c[h]);
		relative_gram(x, y, c, h, c[h], a, b);
		for (size_t i = 1; i < h; i++) {
			double rss[MERGE_NEAR], aii = a[i * h + i], bi = b[i];
			for (size_t j = 0; j < i; j++) {
				double ajj = a[j * h + j], aij = a[i * h + j], det = aii * ajj - aij * aij;
				rss[j] = yy - (bi * bi * ajj - 2 * bi * b[j] * aij + b[j] * b[j] * aii) / det;
			}
			for (size_t j = 0; j < i; j++) {
				struct set s = {.m = {c[h], c[i], c[j]}, .n = 3};
				if (k == KEEP && rss[j] > best[KEEP - 1].rss + 1e-6 * yy)
					continue;
				if (solve(x, y, &s) && (k < KEEP || s.rss < best[KEEP - 1].rss))
					keep_best(best, &k, &s);
			}
		}
	}
	return k;
}

/* Rounding after every step instead of once makes a few ulp (float32 sums); impostors are thousands of times further in float32. */
static double limit_of(const struct fam *f, const struct mix *x, size_t y)
{
	const struct sigpart *p = fam_part(f, x->who[y], x->slot[0]);
	return p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64 ? 60 : 6;
}

static void accept_set(const struct mix *x, size_t y, const struct set *s, double ratio, size_t used, struct merge *m)
{
	*m = (struct merge){.kind = MERGE_LINEAR, .child = x->who[y], .n = s->n, .ratio = ratio, .density = NAN, .used = used, .next = INFINITY};
	for (size_t i = 0; i < s->n; i++) {
		m->parent[i] = x->who[s->m[i]];
		m->weight[i] = s->w[i];
		if (s->w[i] < 0) {
			m->kind = MERGE_TASK;
			m->weight[i] = NAN;
		}
	}
	m->score = fabs(log(fmax(ratio, 1e-6))) + (m->kind == MERGE_TASK ? 1 : 0);
}

/* Of sets of one size: the best that is plausible and within the limit. */
static bool try_sets(const struct fam *f, const struct mix *x, const struct merge_target *t, struct set *best, size_t n,
		     struct merge *m)
{
	double limit = t->limit;
	size_t y = t->y;
	bool found = false;
	for (size_t i = 0; i < n && i < 5; i++) {
		struct set s = best[i];
		double ratio;
		size_t used;
		if (s.rss > 6 * limit * x->floor[y] || !merge_refit(f, x, t, s.m, s.n, s.w, &ratio, &used) ||
		    !plausible(&s) || ratio > limit || ratio < MERGE_LEAST)
			continue;
		struct merge c;
		accept_set(x, y, &s, ratio, used, &c);
		if (!found || c.score < m->score) {
			double next = found ? m->ratio : INFINITY;
			*m = c;
			m->next = next;
		} else {
			m->next = fmin(m->next, ratio);
		}
		found = true;
	}
	return found;
}

static bool try_slerp(const struct fam *f, const struct mix *x, const struct merge_target *t, const struct set *best,
		      size_t n, struct merge *m)
{
	bool found = false;
	for (size_t i = 0; i < n && i < 8; i++) {
		const struct set *s = &best[i];
		double share;
		if (s->w[0] < least_weight || s->w[1] < least_weight)
			continue;
		double ratio = merge_slerp(f, x, t, s->m[0], s->m[1], &share);
		if (ratio > t->limit || ratio < MERGE_LEAST || !(share > least_weight && share < 1 - least_weight) ||
		    (found && ratio >= m->ratio))
			continue;
		accept_set(x, t->y, s, ratio, x->len, m);
		m->kind = MERGE_SLERP;
		m->weight[0] = 1 - share;
		m->weight[1] = share;
		found = true;
	}
	return found;
}

/* A residual well above rounding: one parent more may explain it. */
static bool coarse(const struct merge_target *t, const struct merge *m)
{
	return m->kind != MERGE_SLERP && m->ratio > (t->limit > 10 ? 20 : 2);
}

/* Take the best of these sets if nothing is found yet, or if it halves the residual of what is. */
static void improve(const struct fam *f, const struct mix *x, const struct merge_target *t, struct set *best, size_t n,
		    struct merge *m, bool *found)
{
	struct merge c;
	if (!try_sets(f, x, t, best, n, &c) || (*found && c.ratio > m->ratio / 2))
		return;
	*m = c;
	*found = true;
}

static int search(const struct fam *f, const struct mix *x, size_t y, const bool *without, struct merge *m, bool *found)
{
	uint32_t c[MERGE_NEAR];
	size_t n = nearest(x, y, without, c), k, k2;
	cleanup_free struct set *a = mem_array(KEEP, sizeof *a), *b = mem_array(KEEP, sizeof *b);
	if (!a || !b)
		return -ENOMEM;
	*found = false;
	if (f->near && !near_mixture(f, x->who[y]))	/* no sum of others */
		return 0;
	struct merge_target t;
	merge_target(&t, f, x, y, limit_of(f, x, y));
	k = start_pairs(x, y, c, n, a);
	*found = try_sets(f, x, &t, a, k, m);
	if (!*found || coarse(&t, m)) {
		k = all_triples(x, y, c, n, b);
		improve(f, x, &t, b, k, m, found);
	}
	if (!*found) {
		k2 = start_pairs(x, y, c, n, a);
		*found = try_slerp(f, x, &t, a, k2, m);
	}
	for (size_t size = 4; size < MERGE_PARENTS && (!*found || (m->n == size - 1 && coarse(&t, m))) && n >= size;
	     size++) {
		k2 = grow_sets(x, y, c, n, b, k, a);
		improve(f, x, &t, a, k2, m, found);
		struct set *swap = a;
		a = b;
		b = swap;
		k = k2;
	}
	return 0;
}

static bool is_parent(const struct merge *m, uint32_t who)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->parent[i] == who)
			return true;
	return false;
}

/* Does the base come first by the training clock? Where four models are affinely dependent that tells which is the
 * merge; and the base of sparse merges has in common with each what they have of it. */
static double clock_penalty(const struct fam *f, const struct merge *m)
{
	double bad = 0;
	for (size_t i = 0; i < m->n; i++)
		for (size_t j = 0; j < m->n && isnan(m->weight[i]); j++)
			bad += clock_compare(f, m->parent[i], j == i ? m->child : m->parent[j], NULL, NULL) > 0;
	return bad;
}

static const char *kind_name(enum merge_kind k)
{
	static const char *const name[] = {"linear", "SLERP", "task arithmetic", "TIES", "DARE"};
	return name[k];
}

static int record(struct fam *f, const struct merge *m)
{
	struct node *n = &f->node[m->child];
	char why[400];
	bool sparse = m->kind == MERGE_TIES || m->kind == MERGE_DARE;
	n->state = NODE_MERGE;
	n->merged = arena_array(&f->arena, m->n, sizeof *n->merged);
	if (!n->merged)
		return -ENOMEM;
	memcpy(n->merged, m->parent, m->n * sizeof *n->merged);
	n->n_merged = m->n;
	snprintf(
		why, sizeof why,
		sparse ? "the child's values are the base's, or the base plus one fixed multiple of an expert's difference, in %.4g of %zu values\n"
		       : "the parents, weighted, give the child up to the rounding of its own type (residual %.4g times that rounding, over %zu values)\n",
		sparse ? 1 - m->ratio : m->ratio, m->used);
	for (size_t i = 0; i < m->n; i++) {
		struct verdict v = {RELATION_MERGE, m->weight[i], m->next < 2 * m->ratio && !sparse ? 0.8 : 0.99,
				    BASIS_WEIGHTS, kind_name(m->kind)};
		int rc = sparse ? fam_edge(f, m->child, m->parent[i], &v, why, "%s of %zu, %.4g of values explained%s",
					   isnan(m->weight[i]) ? "base" : "expert", m->n, 1 - m->ratio,
					   said(", density ", m->density).text)
				: fam_edge(f, m->child, m->parent[i], &v, why,
					   "%s of %zu, residual over rounding %.4g%s",
					   isnan(m->weight[i]) ? "base" : "parent", m->n, m->ratio,
					   said(", next explanation ", m->next).text);
		if (rc)
			return rc;
	}
	return 0;
}

/* A model that is found to be a merge cannot be a parent in the same merge turned round: the better explanation stands. */
static void resolve(struct merge *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			if (i == j || !all[i].n || !all[j].n || !is_parent(&all[i], all[j].child) ||
			    !is_parent(&all[j], all[i].child))
				continue;
			if (all[i].score < all[j].score || (all[i].score == all[j].score && i < j))
				all[j].n = 0;
			else
				all[i].n = 0;
		}
}

struct searching {
	const struct fam *f;
	const struct mix *x;
	struct merge *all;
	bool *merged;		/* found to be merges; NULL: none */
	bool sparse;
};

static bool from_merges(const struct searching *j, const struct merge *m)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < j->x->n; k++)
			if (j->merged[k] && j->x->who[k] == m->parent[i])
				return true;
	return false;
}

static int search_job(void *arg, size_t y)
{
	struct searching *j = arg;
	bool found = false;
	struct merge m = {0};
	if (cancel_asked(j->f->cancel))
		return -ECANCELED;
	if (j->sparse ? j->all[y].n > 0 : j->merged && !(j->all[y].n && from_merges(j, &j->all[y])))
		return 0;
	int rc = 0;
	if (!j->sparse) {
		rc = search(j->f, j->x, y, j->merged, &m, &found);
	} else {
		rc = merge_sparse(j->f, j->x, y, j->merged, &m);
		found = rc > 0;
		rc = MIN(rc, 0);
	}
	if (found) {
		j->all[y] = m;
		j->all[y].score += clock_penalty(j->f, &m);
	}
	return rc;
}

static int search_round(struct searching *j, bool sparse)
{
	j->sparse = sparse;
	int rc = pool_for(fam_threads(j->f), j->x->n, search_job, j);
	if (!rc)
		resolve(j->all, j->x->n);
	return rc;
}

static void mark_merged(struct searching *j, bool *merged)
{
	j->merged = NULL;
	for (size_t i = 0; i < j->x->n; i++) {
		merged[i] = j->all[i].n > 0;
		j->merged = merged[i] ? merged : j->merged;
	}
}

/* Merges of merges are sums of the same parents: where the originals explain one too, they are told. */
static int search_all(struct fam *f, const struct mix *x, struct merge *all)
{
	struct searching job = {.f = f, .x = x, .all = all};
	cleanup_free bool *merged = mem_array(x->n + 1, sizeof *merged);
	int rc = merged ? search_round(&job, false) : -ENOMEM;
	for (int sparse = 0; sparse < 2 && !rc; sparse++) {
		mark_merged(&job, merged);
		rc = sparse || job.merged ? search_round(&job, sparse) : 0;
	}
	for (size_t i = 0; i < x->n && !rc; i++)
		rc = all[i].n ? record(f, &all[i]) : 0;
	return rc;
}

/* One member; its parents are searched too, in case one of them is the merge. */
static int search_one(struct fam *f, const struct mix *x, struct merge *all)
{
	struct searching job = {.f = f, .x = x, .all = all};
	int rc = 0;
	for (int sparse = 0; sparse < 2 && !rc && !all[0].n; sparse++) {
		job.sparse = sparse;
		rc = search_job(&job, 0);
		for (size_t i = 1; i < x->n && !rc && all[0].n; i++)
			rc = is_parent(&all[0], x->who[i]) ? search_job(&job, i) : 0;
	}
	if (rc)
		return rc;
	resolve(all, x->n);
	return all[0].n ? record(f, &all[0]) : 0;
}

/* All members of a family, or one of a large family with its near ones. */
static int among(struct fam *f, const uint32_t *who, size_t n)
{
	struct mix x;
	int rc = mix_make(f, who, n, &x);
	cleanup_free struct merge *all = mem_array(x.n + 1, sizeof *all);
	rc = rc || all ? rc : -ENOMEM;
	if (!rc && x.n >= 3) {
		rc = f->large ? (x.who[0] == who[0] ? search_one(f, &x, all) : 0) : search_all(f, &x, all);
	}
	mix_release(&x);
	return rc;
}

int merge_find(struct fam *f, struct err *e)
{
	cleanup_free uint32_t *who = mem_array(f->n + 1, sizeof *who);
	size_t n = 0;
	int rc = 0;
	if (!who)
		return -ENOMEM;
	for (uint32_t m = 0; m < f->n && !f->large; m++)
		if (candidate(f, m))
			who[n++] = m;
	if (n)
		rc = among(f, who, n);
	for (uint32_t y = 0; y < f->n && f->large && !rc; y++) {
		if (!candidate(f, y) || !near_mixture(f, y))
			continue;
		who[0] = y;
		n = 1;
		for (size_t k = 0; k < NEAR_KEPT && f->near[(size_t)y * NEAR_KEPT + k] != UINT32_MAX; k++)
			if (candidate(f, f->near[(size_t)y * NEAR_KEPT + k]))
				who[n++] = f->near[(size_t)y * NEAR_KEPT + k];
		rc = cancel_asked(f->cancel) ? -ECANCELED : among(f, who, n);
	}
	return rc == -ECANCELED ? err_set(e, ECANCELED, "asked to stop") : rc;
}
