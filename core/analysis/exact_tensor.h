#ifndef TARN_ANALYSIS_EXACT_TENSOR_H
#define TARN_ANALYSIS_EXACT_TENSOR_H
/* One tensor's sweep, with the memory that a worker uses for one after the other. Private to exact*.c. */
#include "core/analysis/exact.h"
#include "core/analysis/moments.h"

enum {
	EXACT_RANKS = 2 * EXACT_QUANTILES,	/* order statistics: the one below and the one above each point */
	EXACT_KEYS = 1 << 16,
	EXACT_CHUNK = 1 << 18,			/* bytes read at a time: stays in the second-level cache */
	EXACT_SORT = 1 << 16,			/* tensors of at most so many elements are sorted in memory */
};

struct exact_worker {
	const struct cancel *cancel;
	unsigned char *raw;			/* EXACT_CHUNK */
	float *values;				/* MOMENTS_BLOCK; codes' values: EXACT_KEYS */
	uint32_t *keys, *spare;			/* EXACT_SORT each */
	uint32_t *count;			/* by leading 16 bits, or by code */
	uint64_t *total;			/* count, when it might overflow, goes here */
	uint64_t *fine;				/* EXACT_RANKS x EXACT_KEYS, only once it is needed */
};

int exact_worker_init(struct exact_worker *k, const struct cancel *cancel, struct err *e);
void exact_worker_release(struct exact_worker *k);

/* All but the name. `file`: NULL, or the hash of the file so far, to go on with the tensor's bytes. */
int exact_sweep(struct exact_worker *k, const struct weights *w, const struct tensor *t, struct hash_state *file,
		struct exact_tensor *out, struct err *e);
/* May a sweep go on with the hash of t's file: are its bytes there in one piece, and read as they are? */
bool exact_in_place(const struct weights *w, const struct tensor *t);

#endif
