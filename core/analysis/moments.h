#ifndef TARN_ANALYSIS_MOMENTS_H
#define TARN_ANALYSIS_MOMENTS_H
/*
 * Central moments in float64: of a block, and of blocks joined pairwise in a fixed order (Pébay, SAND2008-6212:
 * no cancellation, whatever the mean). A stack like a binary counter joins equal sizes first.
 */
#include <stddef.h>
#include <stdint.h>

struct moments {
	uint64_t n;
	double mean, m2, m3, m4;	/* sums of (x - mean)^k */
};

enum { MOMENTS_BLOCK = 4096 };

struct moments_sum {
	struct moments level[64];	/* level[i] joins 2^i blocks where bit i of blocks is set */
	uint64_t blocks;
};

/* Of n finite values, n at most MOMENTS_BLOCK. */
struct moments moments_block(const float *v, size_t n);
struct moments moments_join(struct moments a, struct moments b);
void moments_add(struct moments_sum *s, struct moments block);
struct moments moments_total(const struct moments_sum *s);

#endif
