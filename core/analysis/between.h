#ifndef TARN_ANALYSIS_BETWEEN_H
#define TARN_ANALYSIS_BETWEEN_H
/*
 * Is y below x, or beside it? Seen from x's parent p, in the lower half of the spectrum of x - p, where x's own noise lies: a
 * descendant of x has all of it (coefficient 1), a sibling has what siblings share of their drift (a correlation of 0 to 0.2, on one corpus
 * 0.4 to 0.8, times the ratio of their steps). The basis depends on p and x alone, so that y is not judged in
 * directions chosen for it. An update of low rank (a merged LoRA) has its own in the upper part, which is then used.
 */
#include "core/analysis/lineage_internal.h"

struct step_basis;	/* of x - p */

struct step_basis *step_basis_new(const struct fam *f, uint32_t p, uint32_t x, size_t side);	/* NULL: out of memory */
void step_basis_free(struct step_basis *b);

struct between {
	double share;		/* B: median over the basis of the coefficients of y - p, relative to those of x - p */
	double error;		/* its standard error */
	double ratio;		/* length of y - p in that part of the space, over that of x - p */
	double onward;		/* the same of y - x */
	double along;		/* cosine of x - p and y - x over everything */
	bool same;		/* which says that both were trained on the same data */
	double odds;		/* log of the odds that y is below x */
	size_t values, block;	/* coefficients and values of the blocks they stand in; 0: nothing can be said */
};
struct between step_between(const struct fam *f, const struct step_basis *b, uint32_t y);

#endif
