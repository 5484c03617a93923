#ifndef TARN_ANALYSIS_BETWEEN_H
#define TARN_ANALYSIS_BETWEEN_H
/*
 * Is y below x, or beside it? Seen from x's parent p, in the lower half of the spectrum of x - p, where x's own
 * noise lies: a descendant of x has all of it (coefficient 1), a sibling has what siblings share of their drift.
 * With the same over everything this gives two cosines under each hypothesis, whose spread was measured. The basis
 * depends on p and x alone, so that y is not judged in directions chosen for it. An update of low rank (a merged
 * LoRA) has its own in the upper part, which is then used. Rows that a run left where they were decide besides
 * (frozen.h).
 */
#include "core/analysis/lineage_internal.h"

struct step_basis;	/* of x - p */

struct step_basis *step_basis_new(const struct fam *f, uint32_t p, uint32_t x, size_t side);	/* NULL: out of memory */
void step_basis_free(struct step_basis *b);
uint32_t step_basis_from(const struct step_basis *b);	/* p */

struct between {
	double share;		/* median over the basis of the coefficients of y - p, relative to those of x - p */
	double error;		/* its standard error */
	double allowance;	/* by how much the share may fall short for few spectra alone, in a large family */
	double ratio;		/* length of y - p in that part of the space, over that of x - p */
	double onward;		/* the same of y - x */
	double along;		/* cosine of x - p and y - x over everything */
	double odds;		/* log of the odds that y is below x */
	size_t values, block;	/* coefficients and values of the blocks they stand in; 0: nothing can be said */
};
/* near: a relative near y; what is drawn anew between the two is left out. */
struct between step_between(const struct fam *f, const struct step_basis *b, uint32_t y, uint32_t near);

#endif
