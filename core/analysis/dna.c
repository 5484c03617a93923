/* The verdict on two models. */
#include "core/analysis/dna.h"

#include "core/analysis/neighbours.h"
#include "core/analysis/pair.h"

#include <math.h>

const char *dna_verdict_name(enum dna_verdict v)
{
	static const char *const name[] = {"unrelated to", "shares an ancestor with", "is a descendant of",
					   "is an ancestor of", "has the same weights as"};
	return name[v];
}

/* Is `from` reached from `to` by edges that claim a direction? Each round goes one generation up. */
static bool descends(const struct lineage *l, uint32_t from, uint32_t to, struct err *e, int *rc)
{
	size_t cap = 0, n = 1;
	cleanup_free uint32_t *up = NULL;
	if (!l || mem_grow(&up, &cap, 1)) {
		*rc = l ? err_nomem(e) : 0;
		return false;
	}
	up[0] = from;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < l->n_edges; k++) {
			const struct lineage_edge *d = &l->edges[k];
			if (d->child != up[i] || d->relation == RELATION_RELATED || d->relation == RELATION_DUPLICATE)
				continue;
			if (d->parent == to)
				return true;
			bool seen = false;
			for (size_t j = 0; j < n && !seen; j++)
				seen = up[j] == d->parent;
			if (seen)
				continue;
			if (mem_grow(&up, &cap, n + 1)) {
				*rc = err_nomem(e);
				return false;
			}
			up[n++] = d->parent;
		}
	return false;
}

/* Chance that unrelated models reach z in the best of n parts: a normal tail (Bonferroni), floored at what was ever seen. */
static double tail(double z, const struct lineage_background *bg, size_t parts)
{
	double sd = bg->pairs >= 4 && bg->sd > 1 ? bg->sd : 1, mean = bg->pairs >= 4 && bg->mean > 0 ? bg->mean : 0;
	double p = 0.5 * erfc((z - mean) / sd / sqrt(2)) * (double)(parts ? parts : 1);
	return p > 1 ? 1 : p;
}

int dna_compare(struct dna *d, const struct signature *a, const struct signature *b, const struct lineage *l,
		uint32_t a_index, uint32_t b_index, const struct lineage_background *bg, struct err *e)
{
	struct kinship k;
	int rc = kinship_of(&k, a, b, e);
	if (rc)
		return rc;
	*d = (struct dna){.cosine = k.cosine,
			  .z = k.z,
			  .median_cosine = k.median,
			  .distance = signature_distance(a, b),
			  .parts = k.parts,
			  .equal = k.equal,
			  .constants = k.constants,
			  .role = k.best ? k.best->role : NULL,
			  .layer = k.best ? k.best->layer : -1,
			  .background = bg ? *bg : (struct lineage_background){.sd = 1}};
	bool same = k.parts && k.equal == k.parts && d->distance == 0;
	bool kin = kinship_holds(&k);
	d->verdict = same ? DNA_SAME : kin ? DNA_SHARES_ANCESTOR : DNA_UNRELATED;
	double chance = tail(k.z, &d->background, k.parts);
	d->error = !k.parts      ? 0.5
		   : kin || same ? (k.permuted ? fmin(chance, 1e-9) : chance)
				 : 1 - fmin(fmax(chance, 0.5), 1);
	if (kin && !same) {
		if (descends(l, a_index, b_index, e, &rc))
			d->verdict = DNA_DESCENDANT;
		else if (!rc && descends(l, b_index, a_index, e, &rc))
			d->verdict = DNA_ANCESTOR;
	}
	return rc;
}
