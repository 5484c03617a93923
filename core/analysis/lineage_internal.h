#ifndef TARN_ANALYSIS_LINEAGE_INTERNAL_H
#define TARN_ANALYSIS_LINEAGE_INTERNAL_H
/*
 * One family while its edges are found: shared by the lineage_*.c files. Members stand in rank order, so that every
 * tie that falls to the smaller position falls to the smaller rank whatever the caller's order.
 */
#include "core/analysis/lineage.h"
#include "core/analysis/lineup.h"
#include "core/analysis/rounding.h"

enum node_state {
	NODE_TRUNK,		/* to be placed in the tree */
	NODE_DUPLICATE,		/* same values as `leader`; takes no further part */
	NODE_DERIVED,		/* cast, quantised, pruned, extended, permuted: parent known */
	NODE_STITCH, NODE_MERGE,
	NODE_UNREADABLE,
};

struct node {
	enum node_state state;
	uint32_t leader;		/* of a duplicate or a permuted copy */
	uint32_t parent;		/* in the tree or of a derived model; UINT32_MAX: none */
	uint64_t values;		/* hash of all values and shapes, not of stored types */
	uint64_t types;			/* hash of stored types */
	bool quantised, permuted;
	bool renamed;			/* its parts' places are another member's, whose values they have */
	double clock;			/* of training: unseen rows of the head; NAN: not known */
	double counter;			/* batches seen, as normalisation layers count them; NAN */
	double norm;			/* sum of squares over the matrices common to the family */
	double zeros;			/* share of exact zeros in the tree's slots */
	uint32_t *merged;		/* of a merge or a stitch: its parents */
	size_t n_merged;
};

struct fresh;

enum { UNSEEN_LEAST = 12 };	/* fewer unseen rows say nothing */

struct fam {
	const struct lineage_input *in;
	const struct cancel *cancel;
	struct lineage *out;
	uint32_t *member;		/* global index */
	size_t n;
	struct signature *sig;
	struct lineup v;
	struct node *node;
	struct arena arena;		/* dies with the family */
	uint32_t *tree_slot;		/* matrices that distances are taken over */
	size_t n_tree;
	bool *unseen;			/* rows of the head's slot that no training has seen as a token */
	size_t n_unseen;
	size_t head_slot;		/* SIZE_MAX: none */
	double *norm2;			/* n x n_tree: sums of squares, from clock_find on */
	double *step2;			/* n x n: squared distances over the tree's slots that both have; NULL in a large family */
	struct fresh *fresh;		/* what fam_fresh knows, from fresh_find on */
	float *mini;			/* near.h: n x mini_len values */
	size_t mini_len;
	uint32_t *near;			/* n x NEAR_KEPT; NULL: very few members */
	bool large;			/* only near ones are looked at closely */
	size_t spectral;		/* slots that spectra are taken of */
};

struct verdict {
	enum relation relation;
	double weight, confidence;
	enum basis basis;
	const char *method;
};

/* Append an edge between members; evidence is formatted, why is one or more lines. */
__attribute__((format(printf, 6, 7))) int fam_edge(struct fam *f, uint32_t child, uint32_t parent,
						   const struct verdict *v, const char *why, const char *fmt, ...);

/* `before` and the number, for evidence; nothing where it is not known. */
struct said { char text[64]; };
struct said said(const char *before, double value);

/* Indices of l's families, the largest first; equal ones in their order. */
void lineage_by_size(const struct lineage *l, uint32_t *order);

/* Texts are copied. -ENOMEM. */
int lineage_add_edge(struct lineage *l, const struct lineage_edge *d, const char *evidence, const char *why);
int lineage_add_source(struct lineage *l, const struct lineage_source *s, struct err *e);
int lineage_add_problem(struct lineage *l, uint32_t model, const char *problem, const char *detail, struct err *e);
/* members: in l's arena */
int lineage_add_family(struct lineage *l, uint32_t *members, size_t n, struct err *e);
/* What a family gave, into the whole; texts are copied into its arena. */
int lineage_absorb(struct lineage *l, const struct lineage *p, struct err *e);

static inline const float *fam_x(const struct fam *f, uint32_t m, size_t slot) { return lineup_x(&f->v, m, slot); }
static inline const struct sigpart *fam_part(const struct fam *f, uint32_t m, size_t slot)
{
	return lineup_part(&f->v, m, slot);
}
static inline bool fam_live(const struct fam *f, uint32_t m)
{
	return f->node[m].state != NODE_DUPLICATE && f->node[m].state != NODE_UNREADABLE;
}
static inline bool fam_matrix(const struct fam *f, size_t slot)
{
	return f->v.slot[slot].kind == SLOT_MATRIX || f->v.slot[slot].kind == SLOT_VOCAB;
}

/* Threads for work inside a family: one where the family is small. */
unsigned fam_threads(const struct fam *f);

/* Stages, in this order. Each returns 0 or -errno. */
int exact_find(struct fam *f, struct err *e);		/* duplicates, permuted copies, casts, prunings, extensions */
int stitch_find(struct fam *f, struct err *e);
int quantised_find(struct fam *f, struct err *e);
int near_find(struct fam *f, struct err *e);		/* near.h */
int fresh_find(struct fam *f, struct err *e);
int clock_find(struct fam *f, struct err *e);
int merge_find(struct fam *f, struct err *e);
int tree_find(struct fam *f, struct err *e);
int sources_find(struct fam *f, struct err *e);

/* Two members slot by slot: are slots drawn anew between them (unlike, while most are alike)? Fills fresh[slots];
 * returns how many. */
size_t fam_fresh(const struct fam *f, uint32_t a, uint32_t b, bool *fresh);
bool fam_any_fresh(const struct fam *f, uint32_t a, uint32_t b);	/* false: fam_fresh would find none */
/* Has s zeros where m has values larger than what else differs? Then s was pruned, and m is not made of it. */
bool fam_sparser(const struct fam *f, uint32_t s, uint32_t m);
/* Is a an ancestor of b (or b itself) by the edges found so far? */
bool fam_ancestor(const struct fam *f, uint32_t a, uint32_t b);

/* Which of two comes first in training: -1 a, 1 b, 0 not known; how sure, 0.5..1, and by what
 * (NULL: not asked, which is cheaper). */
int clock_compare(const struct fam *f, uint32_t a, uint32_t b, double *sure, const char **by);

#endif
