#ifndef TARN_ANALYSIS_DIFF_INTERNAL_H
#define TARN_ANALYSIS_DIFF_INTERNAL_H
/* Shared by diff*.c and explain.c. */
#include "core/analysis/diff.h"

enum { DIFF_TILE = 1 << 16 };	/* values held at a time of each model */

/* Values [row, row+nr) x [col, col+nc) of a part, canonical. */
int diff_read(const struct diff_model *m, uint32_t part, uint64_t row, uint64_t nr, uint64_t col, uint64_t nc,
	      float *out, struct err *e);

/* n values of a and b, of types ta and tb. */
void diff_compare(struct diff_sums *s, const float *a, const float *b, size_t n, enum dtype ta, enum dtype tb);

/* Calls use with tiles of what the parts pa and pb (or DIFF_NONE: a's alone) have in common in rows [first,
 * first+n). */
struct diff_tile { uint64_t row, col, nr, nc; const float *a, *b; };
int diff_tiles(const struct diff_model *a, uint32_t pa, const struct diff_model *b, uint32_t pb, uint64_t first,
	       uint64_t n, const struct cancel *cancel, int (*use)(void *arg, const struct diff_tile *t), void *arg,
	       struct err *e);

/* What has no partner, or is nothing like it: the same values elsewhere in b. Sets b and DIFF_RENAMED, and takes out
 * the rows of removed tensors that were found. */
int diff_find_moved(struct diff *d, const struct diff_model *a, const struct diff_model *b, unsigned threads,
		    const struct cancel *cancel, struct err *e);

#endif
