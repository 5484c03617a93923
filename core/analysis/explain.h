#ifndef TARN_ANALYSIS_EXPLAIN_H
#define TARN_ANALYSIS_EXPLAIN_H
/*
 * What made a tensor of this model out of the other's: the idea of Explain-Da-V (Shraga and Miller, PVLDB 2023) for
 * weights. A ladder of transformations, the cheapest first; the first whose validity reaches .95 (a low rank: .8,
 * since the rounding of the stored type is in its rest) is the explanation.
 *
 * validity     the share of this tensor's values that the transformation gives; for a low rank the share of the
 *              difference's energy, of a dense change and of what has no explanation the share of this tensor's energy
 *              that the other's tells, 1 - |a - b|^2 / |a|^2
 * conciseness  1 / (number of components): coefficients, masks, lists of rows, vectors. A dense change has min(rows,
 *              cols) vectors
 *
 * Ranks are those of a sub-matrix of at most 128 rows and columns, evenly spaced: of a random low-rank difference the
 * rank is the whole's. They are told by the largest gap between neighbouring singular values, at least 3 (full
 * fine-tunes: below 1.6).
 */
#include "core/analysis/diff.h"

enum explain_kind {
	EXPLAIN_IDENTICAL,
	EXPLAIN_MOVED,
	EXPLAIN_CAST,
	EXPLAIN_PRUNED /* value: share zeroed */,
	EXPLAIN_FEW /* share changed */,
	EXPLAIN_SCALED /* factor */,
	EXPLAIN_QUANTIZED,
	EXPLAIN_DEQUANTIZED,
	EXPLAIN_ROWS_ADDED,
	EXPLAIN_ROWS_REMOVED,
	EXPLAIN_COLUMNS_ADDED,
	EXPLAIN_COLUMNS_REMOVED,
	EXPLAIN_RESHAPED,
	EXPLAIN_ROWS_PERMUTED,
	EXPLAIN_COLUMNS_PERMUTED,
	EXPLAIN_LOW_RANK /* rank */,
	EXPLAIN_DENSE /* rel_l2 */,
	EXPLAIN_IDIOPATHIC,
	EXPLAIN_ADDED,
	EXPLAIN_REMOVED,
	EXPLAIN_UNREAD,
	EXPLAIN_KINDS
};
const char *explain_words(enum explain_kind k);	/* "low-rank update", … */

struct explanation {
	enum explain_kind kind;
	double value;		/* what the kind says; NAN: nothing */
	double validity, conciseness;
};

/* One for each row of d, which diff_models made of a and b. out: d->n. Errors: ECANCELED, ENOMEM, what reading
 * gives. */
int explain_diff(struct explanation *out, const struct diff *d, const struct diff_model *a, const struct diff_model *b,
		 unsigned threads, const struct cancel *cancel, struct err *e);

#endif
