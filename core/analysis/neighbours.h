#ifndef TARN_ANALYSIS_NEIGHBOURS_H
#define TARN_ANALYSIS_NEIGHBOURS_H
/*
 * The models nearest to one, by weights: candidates by sketch, then ranked by the distance of
 * signatures, |a - b| / sqrt(|a|^2 + |b|^2) over the parts and positions both have, times the share of
 * parameters they have in common; 0 identical, 1 unrelated. Differences first, in double: a Gram matrix is
 * wrong at this scale.
 */
#include "core/analysis/signature.h"

struct neighbour {
	uint32_t model;		/* index */
	double distance;	/* 0 identical … 1 unrelated */
};

/* 0 identical … 1 unrelated; 1 when nothing can be compared. */
double signature_distance(const struct signature *a, const struct signature *b);

/* The up to k sketches nearest to `of` (an index into all[n], itself left out), nearest first, ties by rank[]
 * (NULL: by index). distance is 1 - cosine of the blocks both have. Entries of all may be NULL. Returns how many. */
size_t neighbours_by_sketch(const struct sketch *const *all, size_t n, const uint32_t *rank, size_t of,
			    size_t k, struct neighbour *out);
/* Rank candidates by signatures: load(arg, i, &s, e) gives model i's signature, which is released here.
 * A candidate that cannot be loaded keeps distance 1. */
int neighbours_by_signature(const struct signature *of, struct neighbour *list, size_t n, const uint32_t *rank,
			    int (*load)(void *arg, uint32_t i, struct signature *s, struct err *e), void *arg,
			    const struct cancel *cancel, struct err *e);

#endif
