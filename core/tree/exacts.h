#ifndef TARN_TREE_EXACTS_H
#define TARN_TREE_EXACTS_H
/* Facts of whole files and weights, from the catalog or computed and kept there. On workers only. */
#include "core/analysis/exact.h"
#include "core/lake/scan.h"
#include "core/tree/row.h"

/* The full hash of a file of the lake. Errors: of opening and reading it, ECANCELED. */
int exact_hash(struct render *r, uint32_t root, const struct scan_file *f, struct hash128 *h, struct err *e);
/* The same, where it is known already. */
bool exact_hash_known(struct render *r, const struct scan_file *f, struct hash128 *h);
/* A model's statistics: exact_release. Errors: of open_model and exact_of. */
int exact_get(struct render *r, const struct view_model *m, struct exact *x);
/* The same, where they are known already; else -EAGAIN. */
int exact_known(struct render *r, const struct view_model *m, struct exact *x);

/* render_alike.c: 1, 0, or why it cannot be told. Two files; the tensors of two models, of `bytes` bytes each. */
struct exact_place { uint32_t root; const struct scan_file *file; };
int alike_files(struct render *r, const struct exact_place *x, const struct exact_place *y);
int alike_tensors(struct render *r, const struct view_model *a, const struct view_model *b, uint64_t bytes);

#endif
