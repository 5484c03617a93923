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

#endif
