#ifndef TARN_TREE_TREE_H
#define TARN_TREE_TREE_H
/*
 * The virtual tree of TREE.md: nodes, their attributes, contents and names. Knows nothing of FUSE;
 * the mount and `tarn ls`/`tarn cat` are two adapters over it.
 *
 * A node is its inode number: arithmetic over (row of the table, a detail, the model), so there is
 * no table of nodes and nothing to forget. One number stands for one content: when the lake changes,
 * the name gets another number. A number whose model is gone: ESTALE.
 *
 * Nothing here waits, but for tree_wait_*: what would have to be computed answers EAGAIN, and
 * tree_start computes it (or joins the computation that runs) and calls back.
 */
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/pool.h"

#include <sys/types.h>

enum { TREE_ROOT = 1 };

struct index;
struct tree;
struct tree_file;	/* an open file: an immutable content, or a stream */

struct tree_options {
	bool serve;		/* files=serve: the bytes themselves, else links into the lake */
	bool cached;		/* compute=cached */
	bool others;		/* allow_other: lake-wide views hold only what everyone may read … */
	bool share_all;		/* … unless -o share=all */
	unsigned workers;	/* computing threads; 0: one a core */
	unsigned queue;		/* distinct computations that may wait; 0: 256; beyond it EBUSY */
};

struct tree_attr {
	uint64_t ino;
	mode_t mode;		/* with the file type */
	nlink_t nlink;
	uid_t uid;
	gid_t gid;
	uint64_t size;		/* a generous estimate where !exact */
	int64_t mtime_ns;
	bool exact;		/* else: keep no attributes, the size is known after open */
	bool steady;		/* the name keeps this number until told otherwise; else keep the entry for a moment only */
};

int tree_new(struct tree **t, struct index *ix, const struct tree_options *o, struct err *e);
void tree_free(struct tree *t);	/* stops the workers; waiters are told ESHUTDOWN first */

/* ENOENT, ENOTDIR, ESTALE, ENODATA (compute=cached and not computed), EAGAIN (tree_start it). */
int tree_getattr(struct tree *t, uint64_t ino, struct tree_attr *a);
int tree_lookup(struct tree *t, uint64_t dir, const char *name, struct tree_attr *a);
int tree_readlink(struct tree *t, uint64_t ino, struct buf *target);	/* ENAMETOOLONG, EINVAL: not a link */

/* Entries of a directory after `cookie` (0: from the start), without "." and "..". `fill` gets each entry with the
 * cookie that resumes after it, and returns nonzero to stop. Cookies stay good when the lake changes. EAGAIN as above. */
typedef int (*tree_fill)(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie);
int tree_list(struct tree *t, uint64_t dir, uint64_t cookie, tree_fill fill, void *arg);
uint64_t tree_parent(struct tree *t, uint64_t ino);	/* of a directory, for ".." */
void tree_describe(struct tree *t, uint64_t ino, struct buf *out);	/* its place, for a message: the path's pattern */

/* Open for reading. EAGAIN (tree_start it), EISDIR, ELOOP (a link), EIO and others with e set for the log. */
int tree_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e);
uint64_t tree_file_size(const struct tree_file *f);
/* At most n bytes at off; 0 at the end; -errno. Streams may read the lake here (bounded work). */
ssize_t tree_read(struct tree_file *f, void *out, size_t n, uint64_t off);
/* The content where it is in memory: NULL for streams and served files. Valid until close. */
const void *tree_file_data(const struct tree_file *f);
/* The descriptor whose bytes are the content (files=serve), or -1. */
int tree_file_fd(const struct tree_file *f);
bool tree_file_keep(const struct tree_file *f);	/* the page cache may keep it between opens */
void tree_close(struct tree_file *f);

/*
 * Compute what tree_open(ino) (name NULL), tree_list(ino) (name "") or tree_lookup(ino, name) answered EAGAIN for.
 * done(arg, result, f) is called exactly once, from a worker, unless tree_cancel returned true; result 0 or -errno;
 * for an open, f is the open file (owned by the callee), else NULL and the call is to be repeated.
 * Returns 0 with *w set, or -EBUSY (queue full), -ENOMEM, -ESHUTDOWN, with no callback.
 * done may run before tree_start returns. The wait is freed by whichever ends it.
 */
struct tree_wait;
int tree_start(struct tree *t, uint64_t ino, const char *name, struct tree_wait **w,
	       void (*done)(void *arg, int result, struct tree_file *f), void *arg);
/* Leave. When nobody waits any more, the computation is told to stop. False: done has been or will be called. */
bool tree_cancel(struct tree *t, struct tree_wait *w);

/* The same, waiting (for the command line). `path` is relative to the root of the tree. */
int tree_wait_path(struct tree *t, const char *path, struct tree_attr *a, struct err *e);
int tree_wait_list(struct tree *t, uint64_t dir, tree_fill fill, void *arg, struct err *e);
int tree_wait_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e);

/* Compute exact/ of every model (for `tarn index --exact`), one after the other; progress before each, about 10 times
 * a second meanwhile, and at the end.
 * A model that fails is counted and passed over. -EINTR when cancelled; what was done is kept. */
struct tree_progress { uint64_t done, total, failed; const char *model; };
int tree_exact_all(struct tree *t, const struct cancel *c, void (*progress)(void *arg, const struct tree_progress *p),
		   void *arg, struct err *e);

/* What a change of the lake makes stale in a client's caches: a name in a directory, or (name NULL) a directory's
 * listing and attributes. Called without locks from the indexing thread, after the new view is in place. */
void tree_on_change(struct tree *t, void (*stale)(void *arg, uint64_t dir, const char *name), void *arg);

struct tree_counts { uint64_t models, computed, failed, joined, cancelled, busy, waiting, queued, running; };
void tree_counts(struct tree *t, struct tree_counts *c);

#endif
