#ifndef TARN_ANALYSIS_FROZEN_H
#define TARN_ANALYSIS_FROZEN_H
/*
 * Rows that a run left where they were. A token that a run never saw keeps its row of the embedding (but for weight
 * decay along the row itself, and in the head for the drift that all unseen tokens share). Where x's run moved a row
 * from p and y has it as in x, y is below x; where y has it as in p, y is not. This needs no likeness of the runs'
 * drifts, and tells siblings on one corpus apart: rare tokens are drawn by one run and not by the other.
 */
#include "core/analysis/lineage_internal.h"

/* What such rows say on y being below x, a child of p: log odds, 0 when there are none. */
double frozen_odds(const struct fam *f, uint32_t p, uint32_t x, uint32_t y);

#endif
