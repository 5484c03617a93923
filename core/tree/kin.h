#ifndef TARN_TREE_KIN_H
#define TARN_TREE_KIN_H
/* Who is kin to whom, as the catalog's edges say: sets of models for graph/ and for the text trees. */
#include "core/base/hash.h"
#include "core/tree/row.h"

enum kin { KIN_PARENTS, KIN_ANCESTORS, KIN_CHILDREN, KIN_DESCENDANTS, KIN_SIBLINGS, KIN_COUNT };
extern const char *const kin_names[KIN_COUNT];

struct ids { uint32_t *id; size_t n, cap; };
void ids_release(struct ids *s);
int ids_add(struct ids *s, uint32_t id);	/* -ENOMEM; once each */
bool ids_has(const struct ids *s, uint32_t id);

/* Models in a relation to `model`: parents by rank, the others in id order. `related` edges make no kin here.
 * Models that are no longer in the view are left out. */
int kin_collect(struct tree *t, struct view *v, uint32_t model, enum kin kind, struct ids *out);
/* What names the lineage of this lake: a hash of ids, signatures and edges, the same on any machine. */
int kin_snapshot(struct tree *t, struct view *v, struct hash128 *out, struct err *e);
/* The family's root, 0 when none is in the lake. */
uint32_t kin_root(struct tree *t, struct view *v, uint32_t model);

#endif
