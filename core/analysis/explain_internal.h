#ifndef TARN_ANALYSIS_EXPLAIN_INTERNAL_H
#define TARN_ANALYSIS_EXPLAIN_INTERNAL_H
/* The rungs that read the weights again. Private to explain*.c. Each looks at a row whose tensors are both there. */
#include "core/analysis/explain.h"

struct explain_row {
	const struct diff_row *row;
	const struct diff_model *a, *b;
	struct diff_parts parts;
	enum dtype ta, tb;
	const struct cancel *cancel;
};

/* Shares of values: within rounding of factor times the other's; within a step of the quantised one's levels. */
int explain_scaled(const struct explain_row *x, double factor, double *share, struct err *e);
int explain_levels(const struct explain_row *x, bool of_b, double *share, struct err *e);
/* Shares of rows and columns that are the other's, wherever they stand. */
int explain_permuted(const struct explain_row *x, double *rows, double *cols, struct err *e);
/* Rank of the difference and the share of its energy that it has; rank 0: there is no gap. */
int explain_rank(const struct explain_row *x, uint32_t *rank, double *energy, struct err *e);

#endif
