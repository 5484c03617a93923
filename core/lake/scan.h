#ifndef TARN_LAKE_SCAN_H
#define TARN_LAKE_SCAN_H
/*
 * Walks the lake and decides what is a model, by names alone (and the first bytes of files whose
 * names say nothing). The rules are TREE.md's, "Names"; one layout is one file and one row in
 * layout.c's table. Reads no model, card or config contents except where a layout needs an index
 * (Ollama manifests). Links to directories are followed once; loops end; .git, .locks, .cache and
 * datasets--* are skipped.
 */
#include "core/lake/lake.h"
#include "core/base/pool.h"

enum scan_kind {	/* what a file is for its model */
	SCAN_OTHER, SCAN_WEIGHTS /* the set that is read: one container; in pipelines one a component */,
	SCAN_INDEX /* *.index.json */, SCAN_CONFIG, SCAN_CARD, SCAN_TOKENIZER, SCAN_RESULTS,
	SCAN_WEIGHTS_ALSO,	/* the same weights in another container or variant: for metadata/formats, not read */
};

/* A directory that a file lies in, below the lake's root, which does not count. */
struct scan_dir {
	const struct scan_dir *above;	/* NULL: the root */
	uint32_t uid, gid;
	uint16_t mode;
};

struct scan_file {
	const char *path;	/* relative to the model's root; what lake_open_file takes */
	const char *name;	/* below files/: relative to the model's directory, '/' allowed */
	enum scan_kind kind;
	struct io_id id;	/* after links; zeros in a names-only scan */
	uint32_t uid, gid;
	uint16_t mode;		/* permission bits */
	const struct scan_dir *in;	/* who may not search all of these cannot read it; NULL in a names-only scan */
	bool broken;		/* a dangling or looping link, or not to be stat'ed */
};

struct scan_model {
	const char *id;		/* final: unique in this scan, clashes and virtual names resolved */
	uint32_t root;
	const char *dir;	/* relative to the root, "" for the root itself: metadata/path */
	bool single;		/* a weight file, not a directory: dir/stem */
	const char *layout;	/* "directory", "file", "hub-cache", "ollama", "diffusers", … */
	const char *revision;	/* of a hub snapshot, or NULL */
	const struct scan_file *files;	/* sorted by name bytewise */
	size_t n_files;
};

struct scan_unread {
	uint32_t root;
	const char *path, *reason;
	uint64_t bytes;
};

struct scan {
	struct arena *arenas;	/* one a thread */
	size_t n_arenas;
	struct scan_model *models;	/* sorted by id, in scan_id_cmp order */
	size_t n_models;
	struct scan_unread *unread;	/* sorted by path */
	size_t n_unread;
	uint64_t files, bytes;	/* seen */
};

enum { SCAN_NAMES_ONLY = 1 };	/* no stat of files: who is there, as fast as `find -type f` */

/* `reserved`: names a nested model may not have as a component below another model (NULL-terminated): it gets a '~'. */
int lake_scan(struct scan *s, const struct lake *l, unsigned flags, unsigned threads,
	      const char *const *reserved, const struct cancel *c, struct err *e);
void scan_release(struct scan *s);

/* Ids in tree order: bytewise, but '/' before every other byte, so that a model's nested models follow it. */
int scan_id_cmp(const char *a, const char *b);

/*
 * Watching: inotify as a hint. watch_wait returns 1 when something may have changed (debounced by
 * 200 ms), 0 on timeout, -ENOSYS when watching is impossible (too many directories): rescan by time then; NULL only
 * waits. Follow a lake that was replaced with a new watch.
 */
struct watch;
struct watch *watch_new(const struct lake *l);	/* NULL when impossible */
int watch_wait(struct watch *w, int timeout_ms, int wake_fd);	/* also returns 0 when wake_fd is readable */
void watch_free(struct watch *w);

#endif
