/* The first of a tree: a common ancestor that is missing, a direction that is a toss-up, and what may decide that. */
#include "core/analysis/lineage_open.h"

#include "core/analysis/between.h"
#include "core/analysis/lineage_pair.h"
#include "core/analysis/matrix.h"
#include "core/analysis/near.h"

#include <math.h>

enum { CHILDREN = 8, DAY = 86400 };
/* Measured at the first models of 52 trees of eleven trained lakes, and of ten of them without those models: true roots of
 * three children and more reach 0.18, of two children 0.32. */
static const double by_drift = 0.45, allowed = 0.19, shared_by_many = 0.22, shared_by_two = 0.36;
static const double toss_up = 0.62;	/* log odds 0.5 */

/* The nearest trained children, at most CHILDREN. */
static size_t children_of(const struct fam *f, uint32_t p, uint32_t *out)
{
	double d[CHILDREN];
	size_t n = 0;
	for (uint32_t x = 0; x < f->n; x++) {
		if (f->node[x].state != NODE_TRUNK || f->node[x].parent != p || fam_sparser(f, x, p) ||
		    fam_any_fresh(f, p, x))
			continue;
		n = near_keep(d, out, n, CHILDREN, pair_l2(f, p, x), x);
	}
	return n;
}

/* Cosine of two children's steps in the lower half of the spectrum of the first. */
static double low_cosine(const struct fam *f, const struct step_basis *b, uint32_t y)
{
	struct between s = step_between(f, b, y, y);
	return s.values && s.ratio > 0 ? s.share / s.ratio : NAN;
}

bool open_ancestor(const struct fam *f, const struct looks *l, uint32_t p, double *shared)
{
	uint32_t x[CHILDREN];
	double pair[CHILDREN * CHILDREN], length;
	size_t n = children_of(f, p, x), pairs = 0;
	struct step_basis *own[CHILDREN] = {0};
	const struct step_basis *b[CHILDREN] = {0};
	cleanup_free bool *without = mem_array(f->v.slots + 1, sizeof *without);
	*shared = NAN;
	for (size_t i = 0; i < n && n > 1; i++) {
		b[i] = looks_basis(l, p, x[i], MATRIX_MAX);
		if (!b[i])
			b[i] = own[i] = step_basis_new(f, p, x[i], MATRIX_MAX);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i && without && b[i] && b[k]; k++) {
			double low = fmin(low_cosine(f, b[i], x[k]), low_cosine(f, b[k], x[i]));
			double all = pair_step_cosine(f, p, x[i], p, x[k], without, &length);
			if (!isnan(low))
				pair[pairs++] = fmin(low, low - by_drift * fmax(all, 0) + allowed);
		}
	for (size_t i = 0; i < n; i++)
		step_basis_free(own[i]);
	*shared = median_of(pair, pairs);
	return *shared > (pairs > 1 ? shared_by_many : shared_by_two);
}

enum open open_between(const struct fam *f, uint32_t p, uint32_t y, const struct first *of_p, double sure)
{
	if (fam_sparser(f, y, p))
		return OPEN_PRUNED;
	if (of_p->sibling)
		return OPEN_ANCESTOR;
	return of_p->is && sure < toss_up ? OPEN_DIRECTION : OPEN_NOT;
}

static bool declares(const struct fam *f, uint32_t child, uint32_t parent)
{
	const struct lineage_model *m = &f->in->models[f->member[child]];
	for (size_t i = 0; i < m->n_declared; i++)
		if (m->declared[i] == f->member[parent])
			return true;
	return false;
}

/* -1 a is the parent, 1 b is, 0 nothing told. */
static int open_decide(const struct fam *f, uint32_t a, uint32_t b, enum basis *basis)
{
	const struct lineage_model *x = &f->in->models[f->member[a]], *y = &f->in->models[f->member[b]];
	bool of_a = declares(f, b, a), of_b = declares(f, a, b);
	bool created = x->created > 0 && y->created > 0, none = x->created <= 0 && y->created <= 0;
	int64_t from = created ? x->created : x->modified, to = created ? y->created : y->modified;
	*basis = BASIS_WEIGHTS_DECLARED;
	if (of_a != of_b)
		return of_a ? -1 : 1;
	*basis = BASIS_WEIGHTS_DATES;
	if ((!created && !none) || from <= 0 || to <= 0 || (from < to ? to - from : from - to) < DAY)
		return 0;
	return from < to ? -1 : 1;
}

static int decided_edge(struct fam *f, uint32_t parent, uint32_t child, enum relation relation, enum basis basis)
{
	const struct verdict v = {relation, 1, 0.9, basis,
				  basis == BASIS_WEIGHTS_DATES ? "kin by weights, earlier by date"
							       : "kin by weights, parent as declared"};
	return fam_edge(f, child, parent, &v, "the weights show the kinship and leave the direction open\n",
			"distance %.4g", pair_l2(f, parent, child));
}

int open_edge(struct fam *f, uint32_t p, uint32_t y, enum open open, struct first *of_p, enum relation relation,
	      double sure)
{
	enum basis basis;
	int decided = open == OPEN_DIRECTION ? open_decide(f, p, y, &basis) : 0;
	decided = decided > 0 && of_p->turned ? 0 : decided;
	of_p->turned |= decided > 0;
	struct verdict v = {RELATION_RELATED, 1, 0.9, BASIS_WEIGHTS, "common ancestor not in the lake"};
	const char *why = "the steps to all that look like children share one step: that of the model itself\n";
	uint32_t later = MAX(p, y), other = MIN(p, y);
	double distance = pair_l2(f, p, y);
	if (decided)
		return decided < 0 ? decided_edge(f, p, y, relation, basis) : decided_edge(f, y, p, relation, basis);
	if (open == OPEN_DIRECTION) {
		v.method = "direction not told";
		why = "the clock is as good as a toss-up, and no date or card decides\n";
		return fam_edge(f, later, other, &v, why, "distance %.4g; direction sure to %.2g", distance, sure);
	}
	if (open == OPEN_PRUNED) {
		why = "zeros in one where the other has values, and other differences besides\n";
		return fam_edge(f, later, other, &v, why,
				"pruned from another model: %.3g of the values are zeros; distance %.4g",
				f->node[y].zeros, distance);
	}
	return fam_edge(f, later, other, &v, why, "%.3g of two steps is shared beyond a common drift; distance %.4g",
			of_p->shared, distance);
}
