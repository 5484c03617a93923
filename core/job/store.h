#ifndef TARN_JOB_STORE_H
#define TARN_JOB_STORE_H
/* Between what the rooms say (scans, inspections, signatures, lineage) and the rows of the catalog. */
#include "core/analysis/lineage.h"
#include "core/catalog/view.h"
#include "core/lake/inspect.h"
#include "core/lake/scan.h"

/* All within a transaction of the caller's. */
int store_put_model(struct catalog *c, const struct view_model *m, const struct scan_model *s, struct err *e);
int store_drop_model(struct catalog *c, uint32_t id, struct err *e);
int store_put_unread(struct catalog *c, const struct scan *s, struct err *e);
/* Facets that have a row already: most models share theirs with others. Zeroed to begin with, for one transaction. */
struct facets_seen {
	struct arena arena;
	struct { const char *key, *value; } at[512];
};
void facets_seen_release(struct facets_seen *f);
/* flags: what the view is to show; state becomes VIEW_INSPECTED. */
int store_put_inspection(struct catalog *c, uint32_t id, const struct inspect *in, uint32_t flags,
			 struct facets_seen *f, struct err *e);
uint32_t store_flags(const struct inspect *in);
int store_put_signature(struct catalog *c, uint32_t id, const struct signature *s, const struct buf *encoded,
			uint32_t flags, struct err *e);

/* The files of a model as the catalog has them, in a form that inspect_model takes; all in the arena. */
int store_get_files(struct catalog *c, uint32_t id, struct arena *a, struct scan_model *m, struct err *e);

int store_get_signature(struct catalog *c, uint32_t id, struct signature *s, struct err *e);

/* The sketches of all signed models of a view, in view order. */
struct sketches {
	struct sketch *all;
	const struct sketch **sketch;
	uint32_t *id, *rank;	/* model rows, and positions in id order */
	size_t n;
};
int store_get_sketches(struct catalog *c, const struct view *v, struct sketches *s, struct err *e);
void sketches_release(struct sketches *s);

/* Edges, families, sources, reasons of n models; replaces what was there of them, or (all) of every model.
 * ids: model rows by lineage index. */
int store_put_lineage(struct catalog *c, const struct lineage *l, const struct view *v, const uint32_t *ids, size_t n,
		      bool all, struct err *e);

#endif
