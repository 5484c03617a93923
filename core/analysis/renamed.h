#ifndef TARN_ANALYSIS_RENAMED_H
#define TARN_ANALYSIS_RENAMED_H
/*
 * The same weights under names that no role is known for (another exporter's, a graph's): parts are told by their content.
 * Known for parts that were read whole, so for small models only.
 */
#include "core/analysis/signature.h"

/* Parts of s at places that ref does not have take the place and the sample of ref's part with equal values, when these and those
 * that are equal at their places make up half of the smaller model's matrices: less may be a constant that both were made with. s borrows from ref, which must outlive it.
 * The number of parts that moved, or -ENOMEM. */
int renamed_take(struct signature *s, const struct signature *ref);

/* Does this part say whose weights these are? A matrix of numbers that was not computed from a formula. */
bool part_is_telling(const struct sigpart *p);

#endif
