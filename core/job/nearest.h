#ifndef TARN_JOB_NEAREST_H
#define TARN_JOB_NEAREST_H
/* The nearest neighbours of a model by weights, kept in the catalog for one generation of the lake. */
#include "core/catalog/view.h"
#include "core/job/index.h"

enum { NEAR_COUNT = 10 };

struct neighbour_row { uint32_t model; double distance; };

/* What is known: fills list (NULL: only asks) of at most NEAR_COUNT, nearest first; -EAGAIN when not computed yet. */
int near_get(struct index *ix, const struct view *v, uint32_t model, struct neighbour_row *list, size_t *n);
/* On a worker. The model must be signed; those that are not are not found. */
int near_compute(struct index *ix, const struct view *v, uint32_t model, const struct cancel *c, struct err *e);

#endif
