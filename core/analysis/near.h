#ifndef TARN_ANALYSIS_NEAR_H
#define TARN_ANALYSIS_NEAR_H
/*
 * In a large family not every pair is looked at closely: a few hundred sampled values of each member give its nearest ones, and
 * tell which members may be merges at all (orthogonal matching pursuit, Pati et al. 1993, on the same values).
 */
#include "core/analysis/lineage_internal.h"

enum { NEAR_LEAST = 16, NEAR_MANY = 64, NEAR_LARGE = 96, NEAR_KEPT = 32, NEAR_VALUES = 384 };

/* near_find (lineage_internal.h) fills f->near (n x NEAR_KEPT members, UINT32_MAX where there are fewer) when the family has
 * NEAR_LEAST members. With more than NEAR_LARGE only these are looked at, and beyond NEAR_MANY fewer spectra are taken. */
/* Could y be a mixture of its near ones? */
bool near_mixture(const struct fam *f, uint32_t y);

/* Keeps the cap smallest: m at distance v among the n kept, ascending in d. Returns how many there are then. */
static inline size_t near_keep(double *d, uint32_t *who, size_t n, size_t cap, double v, uint32_t m)
{
	if (n == cap && v >= d[n - 1])
		return n;
	size_t at = n < cap ? n++ : n - 1;
	for (; at > 0 && d[at - 1] > v; at--) {
		d[at] = d[at - 1];
		who[at] = who[at - 1];
	}
	d[at] = v;
	who[at] = m;
	return n;
}

#endif
