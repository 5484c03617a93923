#ifndef TARN_ANALYSIS_LINEAGE_OPEN_H
#define TARN_ANALYSIS_LINEAGE_OPEN_H
/*
 * What the weights leave open where a tree begins. Below a known ancestor the tree itself gives each step its direction;
 * its first model is only the one that the clock calls the earliest. It may be a sibling of what hangs below it, whose
 * common ancestor is not in the lake, or, where the clock hardly tells the two apart, the child.
 */
#include "core/analysis/lineage_internal.h"
#include "core/analysis/looks.h"

enum open {
	OPEN_NOT,
	OPEN_ANCESTOR,		/* siblings: the common ancestor is not in the lake */
	OPEN_PRUNED,		/* one was pruned from something that is not in the lake */
	OPEN_DIRECTION,		/* kin, but either may have come first */
};

/* Of a member: is it the first of its tree, and a sibling of what hangs below it? */
struct first {
	bool is, sibling;
	bool turned;		/* a child was found to be its parent: one at most */
	double shared;		/* see open_ancestor */
};

/*
 * Is p, the first of its tree, a sibling of its trained children? Then the steps from p to all of them share p's own, noise and
 * all. Children of a true parent share a drift: next to nothing of it stands in the lower half of the spectrum when their
 * data differ; on the same data it is large there too, but much larger over everything. *shared: cosine of two steps in
 * the lower half, less what drift explains; the median over pairs of children (NAN: fewer than two). l: bases that
 * were kept.
 */
bool open_ancestor(const struct fam *f, const struct looks *l, uint32_t p, double *shared);

/* What is open between y and the p that it hangs below, which the clock calls earlier as surely as told. */
enum open open_between(const struct fam *f, uint32_t p, uint32_t y, const struct first *of_p, double sure);

/*
 * The edge between the two when something is open: `related`, listed once; or, where only the direction is, with the
 * direction that a declared parent gives (of one of the two by the other) or else dates a day apart (files that were copied
 * together have times that mean nothing), and that basis. relation: how the step would be called.
 */
int open_edge(struct fam *f, uint32_t p, uint32_t y, enum open open, struct first *of_p, enum relation relation,
	      double sure);

#endif
