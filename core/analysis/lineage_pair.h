#ifndef TARN_ANALYSIS_LINEAGE_PAIR_H
#define TARN_ANALYSIS_LINEAGE_PAIR_H
/*
 * Measures between members of a family (lineage-lab.md §3). Fine-tunes share a low-rank drift, so that in plain L2 a
 * sibling that took small steps is nearer than the parent; what is a run's own lies in the lower half of a
 * difference's spectrum.
 */
#include "core/analysis/lineage_internal.h"

enum { SPECTRAL_SLOTS = 12 };

/* Mean over slots of the energy in the lower half of the spectrum of a - b, relative to the weights; slots drawn
 * anew count against the pair. NAN when nothing can be compared. *full_rank (NULL: not asked): no slot's spectrum has
 * the gap that an update of low rank leaves. */
double pair_b50(const struct fam *f, uint32_t a, uint32_t b, size_t side, bool *full_rank);

/* Up to SPECTRAL_SLOTS of the tree's slots that a, b and c have and that are not fresh (NULL: all), evenly. Returns
 * how many. */
size_t spectral_slots(const struct fam *f, uint32_t a, uint32_t b, uint32_t c, const bool *fresh, uint32_t *out);

/* Cosine of the steps p to x and q to y, but for some slots; *ratio: length of the second over the first. */
double pair_step_cosine(const struct fam *f, uint32_t p, uint32_t x, uint32_t q, uint32_t y, const bool *without,
			double *ratio);

/* Root mean square difference relative to the weights. */
double pair_l2(const struct fam *f, uint32_t a, uint32_t b);

/* The update from parent to child: is it of low rank (a merged LoRA)? The largest gap between neighbouring singular
 * values, the energy above it, and whether slots agree on where it lies (sota.md A4.3). */
struct update {
	bool low_rank;
	uint32_t rank;
	double gap, energy, agree;	/* medians over changed slots; share of slots with this rank */
	size_t changed, kept;		/* slots */
};
struct update update_of(const struct fam *f, uint32_t parent, uint32_t child, size_t side);

double median_of(double *v, size_t n);	/* sorts; NAN when empty */

#endif
