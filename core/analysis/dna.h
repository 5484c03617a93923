#ifndef TARN_ANALYSIS_DNA_H
#define TARN_ANALYSIS_DNA_H
/*
 * Model DNA (the question of Mu et al., arXiv 2308.02121) without training: are two models kin? The statistic is the
 * best cosine of the sampled values over the parts both have, times sqrt(n): standard normal for unrelated models
 * (independent weights), calibrated by the lake's own unrelated pairs.
 */
#include "core/analysis/lineage.h"

enum dna_verdict { DNA_UNRELATED, DNA_SHARES_ANCESTOR, DNA_DESCENDANT, DNA_ANCESTOR, DNA_SAME };

struct dna {
	enum dna_verdict verdict;	/* of a towards b: DNA_DESCENDANT: a is a descendant of b */
	double cosine, z;		/* of the part that decides, and the statistic */
	double median_cosine;		/* over all parts compared */
	double distance;		/* signature_distance */
	struct lineage_background background;
	double error;			/* probability that the verdict on kinship is wrong */
	size_t parts, equal;		/* compared; with the same values wherever they were sampled */
	bool constants;			/* those equal are taken for constants: the others have nothing in common */
	const char *role;		/* of the part that decides, NULL when none (points into a) */
	int32_t layer;			/* of that part, -1 outside the layers */
};

/* edges: what lineage found, decides descent (may be NULL: then kinship alone). a_index, b_index: in those edges. */
int dna_compare(struct dna *d, const struct signature *a, const struct signature *b, const struct lineage *l,
		uint32_t a_index, uint32_t b_index, const struct lineage_background *bg, struct err *e);
/* "is a descendant of", "shares an ancestor with", "unrelated to", … */
const char *dna_verdict_name(enum dna_verdict v);

#endif
