#ifndef TARN_TREE_ROW_H
#define TARN_TREE_ROW_H
/*
 * The table of the virtual tree: one row for each kind of node, from a path pattern to the function
 * that renders, lists or points. A new virtual file is one render function and one row (rows.c).
 *
 * A node is a number: kind (8 bits), detail x (28), model (28). What x means is the row's: a generation of the
 * lake (ROW_LAKE: contents that depend on other models), another model (ROW_PAIR), a file, a facet…
 */
#include "core/base/buf.h"
#include "core/base/pool.h"
#include "core/catalog/view.h"
#include "core/lake/inspect.h"
#include "core/tree/tree.h"

struct node {
	uint8_t kind;	/* index into rows[] */
	bool json;	/* the twin of a table */
	uint32_t x, model;
};
enum { NODE_BITS = 28, NODE_MASK = (1 << NODE_BITS) - 1 };
uint64_t node_ino(struct node n);
struct node node_of(uint64_t ino);

enum row_flag {
	ROW_DIR = 1, ROW_LINK = 2,	/* else a file */
	ROW_MODEL = 4,		/* belongs to a model: its owner, mode and time */
	ROW_LAKE = 8,		/* depends on the whole lake: x is the generation */
	ROW_PAIR = 16,		/* x is another model */
	ROW_TABLE = 32,		/* name ends in .tsv; has a .json twin */
	ROW_WORK = 64,		/* rendering reads the lake or takes long: on a worker, and the content is kept */
	ROW_LIVE = 128,		/* another content at each open: never kept */
	ROW_STREAM = 256,	/* opened by row->open, never kept */
	ROW_COMPUTED = 512,	/* a computed directory: listing and looking up may have to compute (row->ready says) */
	ROW_HIDDEN = 1024,	/* reached by name only, not listed by its parent's static listing */
	ROW_SIGNATURES = 2048,	/* needs the model's signature */
	ROW_LINEAGE = 4096,	/* needs the lake's lineage */
	ROW_EXACT_SIZE = 8192,	/* size() is exact without rendering */
	ROW_KIN = 16384,	/* of a pair, and says what the lake's lineage does: kept until that may have changed */
	ROW_PASS = 32768,	/* whole weights are read, or documents compared: compute=cached gives only what was computed */
	ROW_HEADERS = 65536,	/* needs the headers of all models; compute=cached tells of those that were read */
};

/* What a renderer sees. It appends to out; on failure it returns -errno with err set, and nothing is kept. */
struct render {
	struct tree *tree;
	struct view *view;
	const struct view_model *model, *other;	/* NULL where the row has none */
	struct node node;
	bool json;			/* the twin is wanted */
	const struct cancel *cancel;	/* poll it in long work: -ECANCELED */
	struct buf *out;
	struct err *err;
};

struct row {
	const char *pattern;	/* "models/ID/tensors.tsv": for the reader, and for the docs; the last part is the name */
	uint8_t parent;		/* kind of the directory it is in */
	uint32_t flags;
	uint32_t needs;		/* enum view_flag bits of the model, all of them, else not listed */
	uint32_t estimate;	/* generous size in bytes before it is known; 0: 4096 */
	int (*render)(struct render *r);
	/* directories with other than static entries */
	int (*list)(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg);
	int (*lookup)(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a);
	/* links */
	int (*target)(struct tree *t, struct view *v, struct node n, struct buf *out);	/* 0, -ESTALE, -ENOENT */
	/* exact size of a file without rendering it (ROW_EXACT_SIZE); -ENOENT when the file does not exist, -EAGAIN: not yet known */
	int64_t (*size)(struct tree *t, struct view *v, struct node n);
	/* what is shown while the size is not yet known, too large rather than too small; NULL: the estimate */
	uint64_t (*guess)(struct tree *t, struct view *v, struct node n);
	/* streams */
	int (*open)(struct render *r, struct tree_file **f);
	/* whether an analysis applies at all (m NULL where the row has no model); NULL: yes */
	bool (*applies)(struct tree *t, const struct view_model *m);
	/* computed directories: is what listing (name NULL) or looking up name needs known? And what makes it so, on a worker */
	bool (*ready)(struct tree *t, struct view *v, struct node n, const char *name);
	int (*prepare)(struct render *r);
};

/* Kinds: an enum with one name a row, in the same order as rows[] (checked at compile time). */
enum kind {
#define ROW(kind, ...) KIND_##kind,
#include "core/tree/rows.h"
#undef ROW
	KIND_COUNT
};
extern const struct row rows[KIND_COUNT];

const char *row_name(const struct row *r);	/* the last component of the pattern */
uint32_t tree_x(const struct row *r, const struct view *v);	/* of a static child: the generation for ROW_LAKE, else 0 */

/* --- what row functions use --- */
struct index *tree_index(struct tree *t);
const struct tree_options *tree_opts(const struct tree *t);
struct catalog *tree_catalog(struct tree *t);
const struct lake *tree_lake(struct tree *t);
/* Attributes of a node as its row, its model and what is known of its size say. */
int node_attr(struct tree *t, struct view *v, struct node n, struct tree_attr *a);
/* Static children: by name (-ENOENT), and all after a cookie; cookies of others must be >= COOKIE_DYNAMIC. */
#define COOKIE_DYNAMIC (1ull << 32)
int lookup_static(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a);
int list_static(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg);
/* Does a model have what a row needs? One that has not been looked into yet may have weights: opening will tell. */
bool model_has(const struct view_model *m, uint32_t needs);
/* May everyone see it in a file about the whole lake? With allow_other only what its mode shows everyone (unless share=all). */
bool tree_hides(const struct tree *t);	/* do views leave out what not everyone may read? */
bool model_shown(const struct tree *t, const struct view_model *m);
/* The model a FLATID names, NULL if none. */
const struct view_model *tree_flat(struct tree *t, struct view *v, const char *flat);
void tree_flat_name(struct buf *out, const struct view *v, const struct view_model *m);
/* FLATIDs of all models as links or directories of `kind`, with `x`; for directories that hold one entry a model. */
int list_flat(struct tree *t, struct view *v, enum kind kind, uint64_t cookie, tree_fill fill, void *arg);
int lookup_flat(struct tree *t, struct view *v, enum kind kind, const char *name, struct tree_attr *a);
/* Relative link from a directory `depth` components below the root to a model's directory; -ESTALE without one. */
int link_to_model(struct buf *out, int depth, const struct view *v, uint32_t model);
/* Make sure that a model is inspected or signed, or that the lake's lineage is known. On workers only. */
int need_state(struct render *r, const struct view_model *m, enum view_state s);
int need_lineage(struct render *r);
/* A model's files, documents and weights, opened as for its inspection: o->inspect.weights and .canon when o->inspect.open.
 * Without readable weights: the error says why (the first problem). Nothing to release after an error. */
struct opened {
	struct arena arena;		/* of files */
	struct scan_model files;	/* the model as the scan saw it */
	struct inspect inspect;
};
int open_model(struct render *r, const struct view_model *m, struct opened *o);
void opened_release(struct opened *o);

#endif
