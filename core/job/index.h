#ifndef TARN_JOB_INDEX_H
#define TARN_JOB_INDEX_H
/*
 * The running lake: its directories, its catalog, what is known of it now (the view), and the work
 * that makes more known: scan, headers, signatures, lineage, in that order, on threads of its own.
 *
 * index_open answers at once for a lake that the catalog knows (its view is loaded), and after a
 * names-only scan for a new one. Nothing is computed until index_start (background, for mounts) or
 * index_run (foreground, for `tarn index`). Open no index before a fork.
 */
#include "core/base/err.h"
#include "core/base/pool.h"

#include <stdint.h>

struct catalog;
struct lake;
struct view;
struct view_model;
struct index;

struct index_options {
	const char *const *lakes;
	size_t n_lakes;
	const char *catalog;		/* file, or NULL: index_catalog_path */
	const char *const *allow;	/* directories that links may lead to when contained */
	size_t n_allow;
	bool contain;			/* allow_other is on */
	bool cached;			/* compute=cached: compute nothing that was not asked for by name, and not even that */
	unsigned jobs;			/* workers; 0: one a core */
};

enum index_phase { INDEX_IDLE, INDEX_SCAN, INDEX_HEADERS, INDEX_SIGNATURES, INDEX_LINEAGE };

struct index_status {
	enum index_phase phase;
	uint64_t generation;
	uint64_t models, inspected, signed_, failed, problems;	/* of the current view */
	uint64_t done, total;			/* models in the running phase */
	uint64_t bytes_done, bytes_total;	/* of what the phase reads; 0 where it is not known */
	uint64_t bytes_read;			/* by this process from the lake */
	uint64_t computations;			/* files computed since start */
	uint64_t queued, running;
	char current[256];			/* a model being worked on, or "" */
	char last_error[360];			/* of the last scan or catalog write that failed, or "" */
};

/* Where the catalog of these directories (real paths, any order) is: free *path. Warns through `warning`
 * (may be NULL; a buffer of n bytes) when the cache directory is on a network file system and another was chosen. */
int index_catalog_path(const char *const *lakes, size_t n, char **path, char *warning, size_t n_warning, struct err *e);

/* Is there a catalog of these directories? Makes nothing. */
bool index_catalog_known(const char *const *lakes, size_t n);
/* Can a catalog be at this path? The message says why not, and what to do. */
int index_catalog_check(const char *path, struct err *e);

/* Errors: those of lake_open, index_catalog_check and catalog_open; the messages are for people. */
int index_open(struct index **ix, const struct index_options *o, struct err *e);
int index_start(struct index *ix, struct err *e);	/* background scan, inspection, signatures, lineage, watching */
/* Foreground: everything cheap; progress is called about 10 times a second. -EINTR when cancelled; what was done is kept.
 * (Hashes and statistics of whole weights: tree_exact_all.) */
int index_run(struct index *ix, const struct cancel *c,
	      void (*progress)(void *arg, const struct index_status *s), void *arg, struct err *e);
/* Wait until everything cheap is known (after index_start). -EINTR when cancelled. */
int index_wait(struct index *ix, const struct cancel *c);
void index_status(struct index *ix, struct index_status *s);
void index_stop(struct index *ix);			/* no more work, no more index_on_change: before the tree over it is freed */
void index_close(struct index *ix);			/* stops the work, loses nothing */

/* On a worker: make sure that a model is inspected (VIEW_INSPECTED) or signed (VIEW_SIGNED), that the lineage of the
 * lake as it is now is known. Errors: what inspecting met (EIO, EINVAL…: also in problems.tsv), ECANCELED, ESTALE. */
int index_need_scan(struct index *ix, const struct cancel *c, struct err *e);	/* that index_scanned */
int index_need_model(struct index *ix, uint32_t id, int state, const struct cancel *c, struct err *e);
int index_need_lineage(struct index *ix, const struct cancel *c, struct err *e);
bool index_scanned(struct index *ix);			/* all of the lake was looked at once, not only for names */
bool index_lineage_known(struct index *ix, const struct view *v);
bool index_settled_lineage(struct index *ix);	/* of the lake as it is now */
/* More is known of a model: flags and computed bits are added, the state grows. */
void index_note_model(struct index *ix, uint32_t id, uint32_t flags, int state, uint64_t computed);
/* m, of any view, learns what the present view knows of its model. */
void index_catch_up(struct index *ix, const struct view_model *m);
void index_note_error(struct index *ix, const struct err *e);	/* for index_status.last_error */

struct view *index_view(struct index *ix);		/* a reference: view_unref */
const struct lake *index_lake(const struct index *ix);
struct catalog *index_catalog(struct index *ix);

/* Told after a new view is in place, from the indexing thread, which holds no lock: old and new may be compared. */
void index_on_change(struct index *ix, void (*changed)(void *arg, struct view *old, struct view *now), void *arg);
/* Told when bringing the lake up to date fails, once for each error that differs from the last. */
void index_on_error(struct index *ix, void (*failed)(void *arg, const struct err *e), void *arg);

#endif
