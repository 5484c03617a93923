#ifndef TARN_ANALYSIS_EXACT_H
#define TARN_ANALYSIS_EXACT_H
/*
 * Facts of whole weights, in one sweep over them: hash, moments, extremes and quantiles of each tensor.
 *
 * Hashes are XXH3-128 of the stored bytes in row-major order; where a tensor is not stored in one piece
 * (a quantised weight with its scales beside it), of its values as little-endian float32. Statistics are of the values
 * as float32, the non-finite ones counted and left out:
 *   std       population, sqrt(m2), m_k = mean of (x - mean)^k
 *   kurtosis  m4 / m2^2 - 3: excess and biased, as MoTHer takes it (arXiv 2405.18432); NAN where m2 is 0
 *   l2        sqrt of the sum of squares
 *   quantile  order statistics with linear interpolation at p (n - 1) (Hyndman and Fan's type 7), exact for every size:
 *             counted by the leading 16 bits of the value, and a second reading of what fell where a quantile lies;
 *             types of one or two bytes are counted whole and read once
 * Sums are float64 in blocks of a fixed size joined pairwise (Pébay's formulas, SAND2008-6212), so the result
 * depends neither on the number of threads nor on the machine. A worker holds less than 8 MiB.
 */
#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/format/format.h"

enum { EXACT_VERSION = 1, EXACT_QUANTILES = 5 };

extern const double exact_points[EXACT_QUANTILES];	/* .01 .25 .5 .75 .99 */

struct exact_tensor {
	const char *name;		/* in the exact's arena */
	uint64_t elements, zeros, nonfinite;
	struct hash128 hash;
	double mean, std, min, max, l2, kurtosis;	/* NAN: no finite values, or a type that is not decoded */
	double quantile[EXACT_QUANTILES];
	bool values;			/* false: a type that is hashed but not decoded */
};

struct exact {
	struct arena arena;
	struct exact_tensor *tensors;	/* as in weights */
	size_t n;
	/* Hashes of whole files where the sweep gave them on the way (as many files as threads at least, each tensor
	 * stored in one piece); else exact_file is another reading. */
	struct hash128 *files;
	size_t n_files;			/* of weights, or 0 */
};

/* Errors: ECANCELED, ENOMEM, what reading gives with the tensor's name in front. */
int exact_of(struct exact *x, const struct weights *w, unsigned threads, const struct cancel *cancel, struct err *e);
void exact_release(struct exact *x);

/* The hash of a whole file. ECANCELED, EIO. */
int exact_file(struct hash128 *h, const struct io *io, const struct cancel *cancel, struct err *e);

/* One blob, little-endian, without the files' hashes. Decode trusts nothing: EINVAL, ESTALE for another version. */
int exact_encode(const struct exact *x, struct buf *out, struct err *e);
int exact_decode(struct exact *x, const void *blob, size_t len, struct err *e);

#endif
