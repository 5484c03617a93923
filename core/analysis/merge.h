#ifndef TARN_ANALYSIS_MERGE_H
#define TARN_ANALYSIS_MERGE_H
/*
 * Merges (mergekit's linear, SLERP, task arithmetic, TIES, DARE): which members a member is made of, and with what
 * weights. Private to lineage: merge_mix.c samples, merge.c searches and certifies, merge_sparse.c does TIES and DARE.
 */
#include "core/analysis/lineage_internal.h"

enum { MERGE_PARENTS = 6, MERGE_SAMPLE = 12288, MERGE_NEAR = 48 };

enum merge_kind { MERGE_LINEAR, MERGE_SLERP, MERGE_TASK, MERGE_TIES, MERGE_DARE };

/* Less residual over rounding than this: a copy, no sum. */
#define MERGE_LEAST 0.2

struct merge {
	enum merge_kind kind;
	uint32_t child;			/* members */
	uint32_t parent[MERGE_PARENTS];
	double weight[MERGE_PARENTS];	/* NAN: the base */
	size_t n;
	double ratio;			/* residual over the child's rounding; 1 is exact. Sparse merges: share of values not explained */
	double density;			/* of sparse merges, else NAN */
	size_t used;			/* values that the certificate stands on */
	double next;			/* ratio of the best other explanation, INFINITY: none */
	double score;			/* smaller is better, over all kinds */
};

/* The candidates' values at a seeded sample of the common matrices. */
struct mix {
	struct arena arena;
	uint32_t *who;			/* members, n of them */
	size_t n, len;			/* models, values each */
	float *x;			/* n x len */
	float *ulp;			/* n x len: of the type each value is stored in */
	uint32_t *slot;			/* slots all candidates have, n_slots of them */
	size_t n_slots;
	double *gram;			/* n x n of x - x[0], over the values whose rounding is below the models' spread */
	double *floor;			/* n: sum of ulp^2 / 12 over the same values */
	size_t used;
	double *distance2;		/* n x n, over all sampled values */
};

/* Of the members who[0..n), those that have all of the slots that most have; below 3 nothing more is made. -ENOMEM; release always. */
int mix_make(const struct fam *f, const uint32_t *who, size_t n, struct mix *x);
void mix_release(struct mix *x);
static inline double mix_distance2(const struct mix *x, size_t a, size_t b) { return x->distance2[a * x->n + b]; }

/* A model that may be a merge, and the rounding of all its sampled values in the mix's slots. */
struct merge_target {
	size_t y;			/* in the mix */
	double limit;			/* of the residual over the rounding: sums that must end above it stop early */
	double floor[256];		/* sums of ulp^2 / 12 by the exponent of the last place */
};
void merge_target(struct merge_target *t, const struct fam *f, const struct mix *x, size_t y, double limit);

/* Affine least squares of y by the models m[0..n) of the mix, over every sampled value whose rounding is a quarter of
 * their distance or less: weights w, the residual over the rounding, and how many values count. False when they are too
 * few, when m is dependent, or when the residual is beyond the limit or far below MERGE_LEAST. */
bool merge_refit(const struct fam *f, const struct mix *x, const struct merge_target *t, const uint32_t *m, size_t n,
		 double *w, double *ratio, size_t *used);

/* Two free weights in each slot (spherical interpolation does not sum to one): residual over rounding, and the mean
 * share of b. INFINITY beyond the limit. */
double merge_slerp(const struct fam *f, const struct mix *x, const struct merge_target *t, size_t a, size_t b,
		   double *share);

/* 1 and *out when y is one, 0 when not, -ENOMEM. mixed (NULL: none): members of the mix that are mixtures themselves; they are
 * experts only where nothing explains y without them. */
int merge_sparse(const struct fam *f, const struct mix *m, size_t y, const bool *mixed, struct merge *out);

#endif
