#ifndef TARN_ANALYSIS_FAMILY_H
#define TARN_ANALYSIS_FAMILY_H
/*
 * Which models are kin. Pairs come from sketches: all of them in a small lake, those that share a bucket of a random
 * hyperplane hash (Charikar 2002) in a large one, so that the cost grows like n log n. What the sketches leave in doubt,
 * the signatures decide. Families are the connected components.
 */
#include "core/analysis/lineage.h"

/* family[i] becomes the smallest index of i's family; models without a sketch and adapters are alone. */
int family_components(const struct lineage_input *in, uint32_t *family, const struct cancel *cancel, struct err *e);

/* From unrelated pairs: up to 64 of them, chosen by their sketches. */
int family_background(const struct lineage_input *in, const uint32_t *family, struct lineage_background *bg,
		      const struct cancel *cancel, struct err *e);

#endif
