#ifndef TARN_TREE_EXACTS_H
#define TARN_TREE_EXACTS_H
/* Facts of whole files and weights, from the catalog or computed and kept there. On workers only. */
#include "core/analysis/exact.h"
#include "core/lake/scan.h"
#include "core/tree/row.h"

/* The full hash of a file of the lake. Errors: of opening and reading it, ECANCELED. */
int exact_hash(struct render *r, uint32_t root, const struct scan_file *f, struct hash128 *h, struct err *e);
/* A model's statistics: exact_release. Errors: of open_model and exact_of. */
int exact_get(struct render *r, const struct view_model *m, struct exact *x);

#endif
