#ifndef TARN_ANALYSIS_LINEAGE_H
#define TARN_ANALYSIS_LINEAGE_H
/*
 * Who descends from whom, from signatures alone.
 *
 * Given models (sketches at hand, signatures loaded by family) lineage_all finds families, then
 * within each: copies, casts, quantisations, prunings, extensions, permutations, stitches, merges, and places what
 * remains in a tree. docs/lineage.md has the method, its formulas and where they come from.
 *
 * Names, ids and cards are never seen here. Dates and declared parents decide directions that the weights leave open,
 * and nothing else; the edge's basis says so. The result depends on the set of models, not on their order; ties break by
 * lineage_model.rank.
 */
#include "core/analysis/signature.h"

enum relation {
	RELATION_FINETUNE, RELATION_LORA, RELATION_ADAPTER, RELATION_QUANTIZED, RELATION_CAST, RELATION_MERGE,
	RELATION_STITCH, RELATION_PRUNED, RELATION_EXTENDED, RELATION_PERMUTED, RELATION_REINITIALIZED,
	RELATION_DUPLICATE, RELATION_RELATED, RELATION_COUNT
};
enum basis { BASIS_WEIGHTS, BASIS_WEIGHTS_DATES, BASIS_WEIGHTS_DECLARED };
enum match {		/* of a tensor with its source */
	MATCH_COPIED,	/* bit for bit */
	MATCH_ROUNDED,	/* the same, cast or quantised */
	MATCH_MIXED,	/* one of several sources, with `weight` */
	MATCH_CHANGED,	/* trained, pruned, extended: at `distance` */
	MATCH_NEW	/* from no model of the lake; source is LINEAGE_NONE */
};
#define LINEAGE_NONE UINT32_MAX

const char *relation_name(enum relation r);	/* as TREE.md writes it */
const char *basis_name(enum basis b);		/* "weights", "weights+dates", "weights+declared" */
const char *match_name(enum match m);

/* Of an unmerged adapter, from its config. Its parts have roles ending in ".lora_a" and ".lora_b". */
struct adapter_hints {
	const uint32_t *bases;		/* models that the config's base names, best first; none: unknown */
	size_t n_bases;
};

struct lineage_model {
	const struct sketch *sketch;	/* NULL: no signature; the model is left out */
	uint32_t rank;			/* position in id order: breaks ties, says which copy is the later id */
	int64_t created;		/* seconds, as its metadata say; 0: they don't */
	int64_t modified;		/* seconds, of its files; counts where neither of two says when it was created */
	const uint32_t *declared;	/* indices of parents that the card declares */
	size_t n_declared;
	const struct adapter_hints *adapter;	/* NULL: not an adapter */
};

/* What unrelated pairs of the lake look like: cosine times sqrt(n) of their common samples. */
struct lineage_background {
	double mean, sd, largest;	/* of z over unrelated pairs */
	uint64_t pairs;			/* 0: too few; theory is used (0, 1) */
};

struct lineage_input {
	const struct lineage_model *models;
	size_t n;
	/* Give model i's signature (released by the caller of load with signature_release). Must be thread-safe. */
	int (*load)(void *arg, uint32_t i, struct signature *s, struct err *e);
	void *arg;
	unsigned threads;		/* 0: all cores */
	const struct lineage_background *frozen;	/* of an earlier snapshot; NULL: lineage_all measures it on this input */
};

struct lineage_edge {
	uint32_t child, parent;
	enum relation relation;
	double weight;			/* NAN: none ("-") */
	double confidence;		/* 0..1 */
	enum basis basis;
	double distance;		/* signature_distance of the two */
	const char *method;		/* a few words */
	const char *evidence;		/* the numbers */
	const char *why;		/* the smallest evidence without which the edge would not stand; lines */
};

struct lineage_source {			/* where a tensor of child comes from */
	uint32_t child, tensor;		/* tensor: index into the child's weights->tensors */
	uint32_t source, source_tensor;	/* LINEAGE_NONE: from nowhere in the lake */
	double weight;
	enum match match;
	double distance;
};

struct lineage_family {
	uint32_t root;			/* LINEAGE_NONE: the common ancestor is not in the lake */
	uint32_t *members;		/* ascending index */
	size_t n;
};

struct lineage_problem { uint32_t model; const char *problem, *detail; };	/* for problems.tsv */

struct lineage {
	struct arena arena;
	struct lineage_edge *edges;	/* by child's rank, then by weight and confidence downwards */
	size_t n_edges;
	struct lineage_source *sources;	/* by child, then tensor; only of models with a parent */
	size_t n_sources;
	struct lineage_family *families;	/* of one or more; by smallest rank */
	size_t n_families;
	struct lineage_problem *problems;
	size_t n_problems;
	struct lineage_background background;
};

/* Everything: families, then the edges of each. Errors: ENOMEM, ECANCELED, what load gives is a problem, not an error. */
int lineage_all(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e);

/* The families alone. bg: NULL or a frozen background. Adapters are families of their own here. */
int lineage_families(struct lineage *out, const struct lineage_input *in, const struct lineage_background *bg,
		     const struct cancel *cancel, struct err *e);

/* The edges of one family, given its members: what an added or a removed model makes necessary. */
int lineage_family(struct lineage *out, const struct lineage_input *in, const uint32_t *members, size_t n,
		   const struct lineage_background *bg, const struct cancel *cancel, struct err *e);

/* Models whose family a model may belong to, by sketch (of: any sketch; itself is not left out). Free *out. */
int lineage_candidates(const struct lineage_input *in, const struct sketch *of, uint32_t **out, size_t *n,
		       struct err *e);

/* The edges of adapters: out gets them appended, and they join the families of their bases. Run last. */
int lineage_adapters(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e);

/* Put edges and sources in their order and name the families' roots: after the last family or adapter. lineage_all does it. */
int lineage_finish(struct lineage *l, const struct lineage_input *in, struct err *e);

void lineage_release(struct lineage *l);

#endif
