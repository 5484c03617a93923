#ifndef TARN_ANALYSIS_SKETCH_H
#define TARN_ANALYSIS_SKETCH_H
/* The count sketch of a signature's grids: signature.c makes it, family.c and neighbours.c compare it. */
#include "core/analysis/signature.h"

void sketch_of(struct sketch *out, const struct signature *s);

#endif
