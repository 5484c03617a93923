#ifndef TARN_ANALYSIS_PAIR_H
#define TARN_ANALYSIS_PAIR_H
/* Two signatures against each other: the parts both have at the positions both have, and what they say of kinship. */
#include "core/analysis/signature.h"

/* Walks the places that a and b share. Values are valid until the next step or pair_release. */
struct pair {
	const struct signature *a, *b;
	size_t i, j;
	const struct sigpart *pa, *pb;
	const float *x, *y;		/* n aligned values each */
	uint32_t nr, nc;
	size_t n;
	float *buf;			/* owned, for grids that differ */
	size_t cap;
	bool failed;			/* out of memory: the walk ended early */
};
void pair_init(struct pair *p, const struct signature *a, const struct signature *b);
bool pair_next(struct pair *p);		/* false at the end */
void pair_release(struct pair *p);

/* Cosine of two aligned grids after taking out each column's mean (what unrelated models trained alike may share);
 * 0 where either is constant. */
double grid_cosine(const float *x, const float *y, uint32_t nr, uint32_t nc);

/* A table that no training made: few distinct values, or sines and cosines of the position (Vaswani et al. 2017). */
bool part_is_table(const struct sigpart *p);

/* Kinship of two models. */
struct kinship {
	double z, cosine;		/* of the part that shows most: z = cosine * sqrt(n) */
	double median;			/* cosine over the matrices both have */
	size_t parts;			/* matrices compared */
	size_t permuted;		/* matrices whose sorted values agree while the values do not */
	size_t equal;			/* matrices equal at all sampled positions */
	size_t constants;		/* of these: taken for constants that both were made with, they say nothing */
	const struct sigpart *best;	/* of a; NULL: nothing to compare */
};
/* A few equal matrices among many that have nothing in common are no kinship: a filter bank, a table. */
int kinship_of(struct kinship *k, const struct signature *a, const struct signature *b, struct err *e);

/* What is kin: z and cosine above what chance and likeness of task give (lineage-lab: unrelated z <= 3.7, cosine <= .04). */
#define KIN_Z 8.0
#define KIN_COSINE 0.05
bool kinship_holds(const struct kinship *k);

#endif
