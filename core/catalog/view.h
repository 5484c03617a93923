#ifndef TARN_CATALOG_VIEW_H
#define TARN_CATALOG_VIEW_H
/*
 * The models of the lake at one moment, in memory: sorted by id, small, immutable (but for what
 * is found out about a model, which only ever grows) and counted. About 50 bytes a model and its id.
 * Row ids are never used again, so that a number seen by the kernel can never mean another model.
 */
#include "core/catalog/catalog.h"

#include <stdatomic.h>
#include <sys/types.h>

enum view_flag {
	VIEW_CARD = 1, VIEW_EVALUATIONS = 2, VIEW_ADAPTER = 4, VIEW_WEIGHTS = 8 /* readable tensors */, VIEW_PROBLEMS = 16,
	VIEW_DECLARED = 32, VIEW_CONFIG = 64, VIEW_HAZARDS = 128, VIEW_PIPELINE = 256, VIEW_TOKENIZER = 512,
	/* logarithms of sizes, for estimates; 0: not known */
	VIEW_ELEMENTS = 63 << 18,	/* of all tensors together */
	VIEW_BREADTH = 63 << 24,	/* of a table with a row a tensor, in bytes */
};

enum view_state { VIEW_NAMED, VIEW_INSPECTED, VIEW_SIGNED };

struct view_model {
	uint32_t id;		/* row in the catalog, > 0 */
	uint32_t name;		/* offset in the pool */
	uint32_t uid, gid;
	_Atomic uint32_t flags;	/* enum view_flag; grows as the model is looked into */
	uint16_t mode;		/* permission bits of a file of the model: the intersection */
	uint8_t root;
	_Atomic uint8_t state;	/* enum view_state; only ever grows */
	int64_t mtime_ns;	/* of the newest source file */
	uint64_t identity;	/* of all its files; 0: not looked at yet */
	_Atomic uint64_t computed;	/* files of the model whose size is known: bits by the tree's slots */
};

struct view {
	atomic_uint refs;
	uint64_t generation;
	uint64_t snapshot;	/* hash of all names and identities: the same lake has the same */
	int64_t newest_ns;	/* mtime of the newest model */
	uint32_t n;
	struct view_model *models;	/* in view_cmp order */
	uint32_t *by_id;		/* indices, by row id */
	char *pool;
	size_t pool_len;
	struct view_grave { uint32_t id, name; } *graves;	/* lately removed: their cookies still resume */
	uint32_t n_graves;
};

/* Powers of two that are not less than what they estimate; 0: not known. */
uint64_t view_breadth(const struct view_model *m);
uint64_t view_elements(const struct view_model *m);
uint32_t view_sizes(uint64_t elements, uint64_t breadth);	/* as flags */

/* A copy of its own, of one that others may be growing. */
struct view_model view_model_copy(const struct view_model *m);

struct view *view_ref(struct view *v);
void view_unref(struct view *v);	/* NULL is fine */

const char *view_name(const struct view *v, const struct view_model *m);
const struct view_model *view_by_id(const struct view *v, uint32_t id);	/* NULL */
const struct view_model *view_by_name(const struct view *v, const char *name);
/* Models whose id begins with `prefix` (len bytes) and '/': indices [*first, *last). len 0: all. */
void view_below(const struct view *v, const char *prefix, size_t len, uint32_t *first, uint32_t *last);
/* Index of the first model whose name is > name (in order). */
uint32_t view_after(const struct view *v, const char *name);
/* The name of a model of this view or of one lately removed; NULL. */
const char *view_name_of(const struct view *v, uint32_t id);

/* Bytewise, but '/' before every other byte: what is below a model follows it. */
int view_cmp(const char *a, const char *b);

struct view_builder {
	struct view_model *models;
	size_t n, cap;
	char *pool;
	size_t pool_len, pool_cap;
};
int view_builder_add(struct view_builder *b, const struct view_model *m, const char *name);	/* -ENOMEM */
/* Sorts and finishes; b is empty after. `old` (may be NULL): whose vanished models become graves. NULL: out of memory. */
struct view *view_build(struct view_builder *b, uint64_t generation, const struct view *old);
void view_builder_release(struct view_builder *b);

/* All models of the catalog. */
int view_load(struct view **v, struct catalog *c, uint64_t generation, const struct view *old, struct err *e);

#endif
