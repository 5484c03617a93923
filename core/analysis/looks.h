#ifndef TARN_ANALYSIS_LOOKS_H
#define TARN_ANALYSIS_LOOKS_H
/*
 * Whether y lies below x, as between.h tells it, remembered: members are placed in several rounds and the same is asked
 * again. What is asked at once is worked out on all threads. Not for threads to share.
 */
#include "core/analysis/between.h"

struct looks;

struct looks *looks_new(const struct fam *f);	/* NULL: out of memory */
void looks_free(struct looks *l);

/* step_between of y for each x[0 … k), seen from p; values 0 where memory ran out. near as for step_between. The bases
 * of x whose parent is p are kept. */
void looks_at(struct looks *l, uint32_t p, const uint32_t *x, size_t k, uint32_t y, uint32_t near, struct between *out);

/* The kept basis of the step from p to x over blocks of `side`; NULL: there is none. l's own. */
const struct step_basis *looks_basis(const struct looks *l, uint32_t p, uint32_t x, size_t side);

#endif
