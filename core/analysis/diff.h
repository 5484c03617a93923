#ifndef TARN_ANALYSIS_DIFF_H
#define TARN_ANALYSIS_DIFF_H
/*
 * Two models tensor by tensor: `a` is this model, `b` the other one, what is asked is what makes a out of b.
 *
 * Tensors are aligned by what they are (role, layer, expert of core/lake/canon.h), then by name; what then has no
 * partner, or is nothing like it, is looked for by its values. A tensor whose parts all have their partners in one
 * tensor of b is one row; a fused one against split ones is a row a part. Layouts do not matter: values are compared in
 * the canonical orientation. Where shapes differ, the rows and columns that both have are compared.
 *
 * Values are compared as float32. Elements where either is not finite count as changed when their bits differ, and are
 * left out of the sums. Sums are float64 over segments of a fixed size, joined in order: the result depends neither on
 * the number of threads nor on the machine. A worker holds less than 8 MiB.
 */
#include "core/base/buf.h"
#include "core/base/pool.h"
#include "core/lake/canon.h"

#define DIFF_NONE UINT32_MAX
enum { DIFF_VERSION = 1 };

enum diff_status {
	DIFF_SAME,		/* the same type and values, at the same place */
	DIFF_RENAMED,		/* the same values, at another place of b */
	DIFF_CAST,		/* one is the other rounded to its type */
	DIFF_QUANTIZED,		/* of one a quantised type, and near the other (rel_l2 below .2) */
	DIFF_CHANGED,
	DIFF_SHAPE,		/* shapes differ */
	DIFF_ADDED,		/* b has nothing like it */
	DIFF_REMOVED,		/* a has nothing like it */
	DIFF_UNREAD,		/* of a type that is not decoded */
};
const char *diff_status_name(enum diff_status s);

struct diff_model {
	const struct weights *w;
	const struct canon *c;
};

/* What two sets of values have in common, a sum over elements. */
struct diff_sums {
	uint64_t elements;	/* compared */
	uint64_t changed;	/* other bits, other than 0 and -0 */
	uint64_t zeroed;	/* 0 in a, not in b */
	uint64_t rounded;	/* one is the other rounded to its type (counted where types differ) */
	uint64_t nonfinite;	/* not in the sums below */
	double dd, aa, bb, ab;	/* (a - b)^2, a^2, b^2, a b */
	double max_abs;		/* of a - b */
};
struct diff_sums diff_sums_add(struct diff_sums x, struct diff_sums y);
double diff_rel_l2(const struct diff_sums *s);	/* |a - b| / |b|; 0 when both are 0, INFINITY when b alone is */
double diff_cosine(const struct diff_sums *s);	/* NAN when either is 0 */

struct diff_row {
	enum diff_status status;
	uint32_t a, b;		/* tensors, DIFF_NONE where there is none */
	uint32_t part_a, part_b;	/* parts, where a row is only a part of a tensor; else DIFF_NONE */
	struct diff_sums sums;	/* exact; zeros for added and removed */
};

struct diff {
	struct arena arena;
	struct diff_row *rows;	/* in the order of a's tensors; removed ones follow in b's order */
	size_t n;
};

/* Which tensor goes with which, from headers alone: status is SAME, SHAPE, ADDED or REMOVED, sums are empty. */
int diff_align(struct diff *d, const struct diff_model *a, const struct diff_model *b, struct err *e);
/* The same, and all values compared. threads 0: all cores. Errors: ECANCELED, ENOMEM, what reading gives with the
 * tensor's name. */
int diff_models(struct diff *d, const struct diff_model *a, const struct diff_model *b, unsigned threads,
		const struct cancel *cancel, struct err *e);
void diff_release(struct diff *d);

/* One blob, little-endian, which goes with these two models. Decode trusts nothing: EINVAL, ESTALE for another version
 * or for models with other tensors. */
int diff_encode(const struct diff *d, const struct diff_model *a, const struct diff_model *b, struct buf *out,
		struct err *e);
int diff_decode(struct diff *d, const struct diff_model *a, const struct diff_model *b, const void *blob, size_t len,
		struct err *e);

/* The parts that a row compares, pairwise: n of them from part_a and part_b on. */
struct diff_parts { uint32_t a, b, n; };
struct diff_parts diff_row_parts(const struct diff_row *row, const struct diff_model *a, const struct diff_model *b);
/* Are both stored alike, so that elements correspond in stored order? */
bool diff_stored_alike(const struct diff_row *row, const struct diff_model *a, const struct diff_model *b);

#endif
