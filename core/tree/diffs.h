#ifndef TARN_TREE_DIFFS_H
#define TARN_TREE_DIFFS_H
/* Two models opened, and their exact comparison from the catalog or computed and kept there. On workers only. */
#include "core/analysis/diff.h"
#include "core/lake/scan.h"
#include "core/tree/row.h"

struct two {
	struct opened this, other;
	struct diff_model a, b;		/* a: this */
};
int two_open(struct render *r, struct two *t);	/* nothing to release after an error */
void two_release(struct two *t);
uint64_t two_bytes(const struct two *t);	/* of the weight files */

int two_diff(struct render *r, const struct two *t, struct diff *d);	/* diff_release */

/* Appends the unified diffs of all documents of a kind, other's against this model's. */
int diff_documents(struct render *r, enum scan_kind kind);

#endif
