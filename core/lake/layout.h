#ifndef TARN_LAKE_LAYOUT_H
#define TARN_LAKE_LAYOUT_H
/*
 * What the scanner, the layouts and the listing share; private to the room.
 *
 * The walk takes a directory at a time: it is listed, the first layout whose `match` says yes `take`s
 * it, and the subdirectories follow. A directory that becomes a model owns what lies below it: files
 * of subdirectories that are no models themselves are the owner's. Directories without an owner are
 * independent of each other and are spread over threads; below an owner one thread recurses.
 */
#include "core/lake/names.h"

enum { LISTING_DENTS = 128 << 10 };	/* bytes of a walker's buffer for getdents */

struct entry {
	const char *name;	/* in its listing */
	struct name info;	/* zeros for directories */
	bool dir, link, linked_dir;	/* linked_dir: a link to a directory; `dir` is false then */
	bool special;		/* a FIFO, a device, a socket */
	bool done;		/* taken by the layout: not the owner's any more */
	uint32_t set;		/* of weights: index into the listing's sets */
	bool broken;
	uint16_t mode;
	uint32_t uid, gid;
	const struct scan_dir *in;
	struct io_id id;
};

/* A set of weights: one file or the shards of one, of one container. */
struct set {
	uint32_t first;		/* entry */
	uint32_t files;
};

struct listing {
	char *names;
	size_t names_len, names_cap;
	struct entry *entries;	/* what is no directory, sorted by name; then directories */
	size_t n, cap;
	size_t n_files;		/* of the sorted part */
	size_t rows;		/* of the walker's unread, before this directory's */
	const struct scan_dir *in;	/* itself and what it lies in */
	struct set *sets;
	size_t n_sets, sets_cap;
};

enum owner_kind {
	OWNER_DIRECTORY,
	OWNER_PIPELINE,		/* diffusers: subdirectories are its components */
	OWNER_MODULES,		/* sentence-transformers */
	OWNER_SOFT,		/* perhaps only a file with other models below */
};

/* A model being gathered. */
struct owner {
	enum owner_kind kind;
	const struct place *place;	/* its directory */
	const char *layout;
	const char *stem;	/* of a single file: its id is the place's and this */
	size_t stem_len;
	bool reads;		/* has files of kind SCAN_WEIGHTS */
	bool own;		/* weights or a config of its own: not links */
	struct scan_file *files;	/* their strings are in the walker's arena */
	size_t n_files, cap;
};

/* A directory on the way. */
struct place {
	uint32_t root;
	const char *path;	/* relative to the root */
	const char *id;		/* what its ids begin with; == path where they are the same */
	const char *revision;	/* of a hub snapshot */
	const char *layout;	/* the name its plain models get, NULL: "directory" */
	const struct scan_dir *in;	/* what it lies in; with itself once walk_place has listed it */
	struct owner *owner;	/* or NULL */
	unsigned depth;		/* of the recursion below an owner */
	bool external;		/* reached through a link out of the lake: loops are possible */
	bool hub;		/* links are to blobs: not worth a stat when names are enough */
	bool component;		/* inside a component of the owner */
	bool quiet;		/* no unread rows for its files */
	bool blobs;		/* a store of blobs: their names say nothing, and their content is not looked at */
};

struct dirlink {		/* a link to a directory, followed after everything else */
	uint32_t root;
	const char *path, *id;
	const char *real;	/* of a walked one: the path it leads to, out of the lake */
	const struct scan_dir *in;
};

struct filelink {		/* a model whose weights are all links: perhaps another's */
	uint32_t root;
	const char *path;	/* of its first weights */
};

struct shared;
struct walker {			/* a thread's part */
	struct shared *shared;
	const struct lake *lake;
	struct arena arena;
	char *chunk;		/* strings are carved from here: the arena's alignment would waste a fifth */
	size_t chunk_left;
	struct listing **spare;	/* listings not in use */
	size_t n_spare, spare_cap;
	struct scan_model *models;
	size_t n_models, models_cap;
	struct scan_unread *unread;
	size_t n_unread, unread_cap;
	struct dirlink *dirlinks;
	size_t n_dirlinks, dirlinks_cap;
	struct filelink *filelinks;
	size_t n_filelinks, filelinks_cap;
	uint64_t files, bytes;
	char *dents;		/* getdents' buffer */
	bool names_only;
};

struct layout {
	const char *name;
	bool (*match)(const struct walker *w, const struct place *p, const struct listing *l);
	int (*take)(struct walker *w, struct place *p, struct listing *l);
};
extern const struct layout *const layouts[];	/* NULL-terminated; the first match takes; the last always matches */

/* --- listing.c --- */
/* List, classify and (unless names are enough) stat a directory. A directory that cannot be read gets an unread row
 * and an empty listing. -ENOMEM, else 0. Give back with listing_put. */
int listing_get(struct walker *w, const struct place *p, struct listing **out);
void listing_put(struct walker *w, struct listing *l);
void listing_free(struct listing *l);
const struct entry *listing_find(const struct listing *l, const char *name);	/* NULL */
bool listing_has_dir(const struct listing *l, const char *name);

/* --- scan.c --- */
const char *walk_str(struct walker *w, const char *s, size_t n);		/* NULL: out of memory */
const char *walk_join(struct walker *w, const char *dir, const char *name);	/* "dir/name", "name" when dir is "" */
int walk_unread(struct walker *w, uint32_t root, const char *dir, const char *name, uint64_t bytes, const char *reason);
int walk_place(struct walker *w, struct place *p);
/* The directory's own name; the lake directory's for a root. */
const char *place_name(const struct walker *w, const struct place *p);
/* "dir/name" on the heap, "name" when dir is ""; NULL: out of memory. */
char *path_join(const char *dir, const char *name);
/* All subdirectories of a listing that are not done; links to directories are kept for later. */
int walk_dirs(struct walker *w, const struct place *p, struct listing *l);

/* The directory behind a descriptor as the last of `in`; NULL: out of memory. */
const struct scan_dir *walk_in(struct walker *w, const struct stat *st, const struct scan_dir *above);
/* What a link's target lies in, behind *in: the directories of a real path below the root or allowed directory that
 * holds it. 0 or -errno. */
int walk_in_target(struct walker *w, const char *real, const struct scan_dir **in);
/* Below links out of the lake: true the first time a directory is seen. *r: -errno. */
bool walk_first_visit(struct walker *w, int fd, int *r);

/* --- layout_hub.c --- */
/* What huggingface-cli has not finished of a download into the directory p gets its rows: it lies in p's .cache. */
int walk_downloads(struct walker *w, const struct place *p);

/* --- owner.c --- */
/* An entry of the directory `dir` becomes a file of the owner. */
int owner_add(struct walker *w, struct owner *o, const char *dir, const struct entry *e, enum scan_kind kind);
/* What is left of a listing becomes the owner's files. `best`: the set to read; NULL: none of these. */
int owner_add_rest(struct walker *w, struct owner *o, const char *dir, const struct listing *l, const struct set *best);
/* Emit the model, unless nothing in it can be read. */
int owner_finish(struct walker *w, struct owner *o);
/* The same; a directory that says it is a model, has no weights, no models below (since `models`) and no other row
 * (since `rows`) gets a row. */
int owner_finish_named(struct walker *w, struct owner *o, size_t models, size_t rows);
void owner_release(struct owner *o);
#define cleanup_owner __attribute__((__cleanup__(owner_release)))

#endif
