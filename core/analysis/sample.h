#ifndef TARN_ANALYSIS_SAMPLE_H
#define TARN_ANALYSIS_SAMPLE_H
/*
 * Which elements of a part are looked at: bottom-k sampling by hash (Broder 1997), so that samples are nested (a smaller
 * one is a subset of a larger one) and agree wherever two models share rows and columns.
 */
#include "core/lake/canon.h"

/* How much of each part is kept; level 0 is the most, SAMPLE_LEVELS - 1 the least. */
enum { SAMPLE_LEVELS = 8, SAMPLE_TAIL = 64, SAMPLE_UNIVERSE = 1 << 24 };

struct sample_caps { uint32_t rows, cols, vocab, vector; };
struct sample_caps sample_caps(int level);

uint64_t sample_role_hash(const char *role);
bool sample_is_vocab(const char *role);		/* embed, head: rows are tokens */

/* Rows and columns of p at this level: counts, and the indices (ascending) when row and col are not NULL. */
struct sample_size { uint32_t nr, nc; };
struct sample_size sample_size(const struct part *p, int level);
int sample_rows(const struct part *p, int level, uint64_t *row, struct err *e);
int sample_cols(const struct part *p, int level, uint64_t *col, struct err *e);

/* The k of n indices with the smallest hashes of (seed, index), ascending. k <= n; n beyond SAMPLE_UNIVERSE is cut to it. */
int sample_bottom(uint64_t seed, uint64_t n, uint32_t k, uint64_t *out, struct err *e);

#endif
