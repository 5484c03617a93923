#ifndef TARN_FS_OPENED_H
#define TARN_FS_OPENED_H
/*
 * A lake and its tree, for the commands that need no mount.
 */
#include "core/job/index.h"
#include "core/tree/tree.h"
#include "fs/options.h"

struct opened {
	char **lakes;
	size_t n_lakes;
	struct index *ix;
	struct tree *tree;
};

/* The lake as the catalog knows it, without its tree. `n` LAKE arguments. opened_end also after an error. */
int opened_open(struct opened *l, const struct options *o, const char *const *args, size_t n, struct err *e);
/* Bring everything cheap up to date, behind a progress bar. -EINTR after ^C. */
int opened_refresh(struct opened *l, const struct options *o, struct err *e);
int opened_tree(struct opened *l, const struct options *o, struct err *e);
/* Hashes and statistics of all weights (after opened_tree), likewise. *failed: models where it could not be done. */
int opened_exact(struct opened *l, const struct options *o, uint64_t *failed, struct err *e);
/* All three; compute=cached takes what the catalog has. */
int opened_begin(struct opened *l, const struct options *o, const char *const *args, size_t n, struct err *e);
void opened_end(struct opened *l);

/* A file's whole content to stdout. 0 or -errno. */
int opened_print(struct tree_file *f);

/* Why a path could not be had, for people: without what they know already. */
const char *opened_why(const struct options *o, const char *path, int r, const struct err *e);

/*
 * Walk `path` from the root of the tree, following links. Ends at a node of the tree (*outside NULL),
 * or, through a link into the lake, at a file outside the tree: its path (free *outside). `last`: follow a link at
 * the very end, too. ENOENT, ENOTDIR, ELOOP: e names the component.
 */
int opened_walk(struct opened *l, const char *path, bool last, struct tree_attr *a, char **outside, struct err *e);

#endif
