#ifndef TARN_ANALYSIS_RUNS_H
#define TARN_ANALYSIS_RUNS_H
/*
 * Unmerged adapters of one training run: kin by their own weights, whatever base they name. B begins at zero and grows,
 * so a later checkpoint holds what an earlier one learned, down to its noise: in the lower half of the spectrum of the
 * earlier B the later has the same, and more. Runs that began with the same A (one seed) share A, and of B what their
 * data have in common, which is little there.
 */
#include "core/analysis/lineage.h"

struct same_run {
	double start;		/* median cosine of the A's */
	double share;		/* median coefficient of x's own in y: the lower half of the spectra of x's B's */
	double growth;		/* norm of y's B's over that of x's */
	double distance;	/* of the B's, relative */
	size_t places;		/* pairs of factors that both have */
	bool equal;		/* every part has the same values */
};

/* x before y. places 0: they cannot be compared. */
int same_run_of(const struct signature *x, const struct signature *y, struct same_run *out, struct err *e);
bool same_run_holds(const struct same_run *r);

/* Appends edges between the adapters of a run: finetune from the one before, or related where neither grew. */
int lineage_runs(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e);

#endif
