#ifndef TARN_TREE_GRAPH_H
#define TARN_TREE_GRAPH_H
/* Lineage as a graph to draw or to give away: the models of a family, of a lake, or of a model and its kin. */
#include "core/tree/row.h"

struct graph_edge {
	uint32_t child, parent;		/* model rows */
	double weight, confidence, distance;	/* weight: NAN for none */
	char relation[16], basis[24];
};

struct graph {
	uint32_t *nodes;		/* in id (view) order */
	size_t n, cap;
	struct graph_edge *edges;	/* by child in node order, then rank; `related` ones too */
	size_t n_edges, cap_edges;
};

void graph_release(struct graph *g);
int graph_of_family(struct graph *g, struct tree *t, struct view *v, uint32_t member, struct err *e);
int graph_of_lake(struct graph *g, struct tree *t, struct view *v, struct err *e);

enum { GRAPH_DRAWN = 1000 };	/* beyond, a drawing is a summary by family */

/* Graphviz' language. `self` is marked (0: none). A lake's drawing shows kin only; loners are counted. */
void graph_dot(struct buf *out, const struct graph *g, struct tree *t, struct view *v, uint32_t self);
void graph_json(struct buf *out, const struct graph *g, struct tree *t, struct view *v, uint32_t self);
/* dot -Tsvg in a child process; ENOENT where Graphviz is not installed. */
int graph_svg(struct buf *out, const struct buf *dot, const struct cancel *c, struct err *e);

#endif
