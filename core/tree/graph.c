#include "core/tree/graph.h"

#include "core/base/mem.h"
#include "core/base/process.h"
#include "core/tree/kin.h"

#include <errno.h>
#include <math.h>
#include <string.h>

void graph_release(struct graph *g)
{
	free(g->nodes);
	free(g->edges);
	*g = (struct graph){0};
}

struct load {
	struct graph *g;
	struct tree *t;
	struct view *v;
	uint32_t child;		/* 0: the first column says */
};

static int add_node(struct graph *g, uint32_t id)
{
	if (mem_grow(&g->nodes, &g->cap, g->n + 1) < 0)
		return -ENOMEM;
	g->nodes[g->n++] = id;
	return 0;
}

static int member_row(void *arg, const struct catalog_row *r)
{
	struct load *l = arg;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	const struct view_model *m = view_by_id(l->v, id);
	return m && model_shown(l->t, m) ? add_node(l->g, id) : 0;
}

static int edge_row(void *arg, const struct catalog_row *r)
{
	struct load *l = arg;
	int k = l->child ? 0 : 1;
	struct graph_edge d = {
		.child = l->child ? l->child : (uint32_t)catalog_int(r, 0),
		.parent = (uint32_t)catalog_int(r, k),
		.weight = catalog_null(r, k + 2) ? NAN : catalog_real(r, k + 2),
		.confidence = catalog_real(r, k + 3),
		.distance = NAN,
	};
	const struct view_model *c = view_by_id(l->v, d.child), *p = view_by_id(l->v, d.parent);
	if (!c || !p || !model_shown(l->t, c) || !model_shown(l->t, p))
		return 0;
	strncpy(d.relation, catalog_text(r, k + 1, NULL), sizeof d.relation - 1);
	strncpy(d.basis, catalog_text(r, k + 4, NULL), sizeof d.basis - 1);
	if (l->child && !catalog_null(r, 5))
		d.distance = catalog_real(r, 5);
	if (mem_grow(&l->g->edges, &l->g->cap_edges, l->g->n_edges + 1) < 0)
		return -ENOMEM;
	l->g->edges[l->g->n_edges++] = d;
	return 0;
}

static int in_view_order(const void *a, const void *b, void *arg)
{
	struct view *v = arg;
	const struct view_model *x = view_by_id(v, *(const uint32_t *)a), *y = view_by_id(v, *(const uint32_t *)b);
	return (x > y) - (x < y);
}

int graph_of_family(struct graph *g, struct tree *t, struct view *v, uint32_t member, struct err *e)
{
	struct load l = {.g = g, .t = t, .v = v};
	int64_t root = catalog_number(tree_catalog(t), Q_FAMILY_OF, 0, "i", (int64_t)member);
	*g = (struct graph){0};
	int r = root ? catalog_each(tree_catalog(t), Q_FAMILY_MEMBERS, e, member_row, &l, "i", root)
		     : add_node(g, member);
	if (g->n)
		qsort_r(g->nodes, g->n, sizeof *g->nodes, in_view_order, v);
	for (size_t i = 0; i < g->n && !r; i++) {
		l.child = g->nodes[i];
		r = catalog_each(tree_catalog(t), Q_EDGES_OF, e, edge_row, &l, "i", (int64_t)l.child);
	}
	if (r < 0)
		graph_release(g);
	return r;
}

static int edge_order(const void *a, const void *b, void *arg)
{
	const struct graph_edge *x = a, *y = b;
	int c = in_view_order(&x->child, &y->child, arg);
	return c ? c : in_view_order(&x->parent, &y->parent, arg);
}

int graph_of_lake(struct graph *g, struct tree *t, struct view *v, struct err *e)
{
	struct load l = {.g = g, .t = t, .v = v};
	*g = (struct graph){0};
	int r = 0;
	for (uint32_t i = 0; i < v->n && !r; i++)
		if (model_shown(t, &v->models[i]))
			r = add_node(g, v->models[i].id);
	if (!r)
		r = catalog_each(tree_catalog(t), Q_EDGE_ALL, e, edge_row, &l, "");
	if (!r && g->n_edges)
		qsort_r(g->edges, g->n_edges, sizeof *g->edges, edge_order, v);
	if (r < 0)
		graph_release(g);
	return r;
}

/* --- Graphviz --- */

/* A quoted string of the DOT language: only '"' and '\' are special; what is not text is shown as \xHH. */
static void dot_string(struct buf *out, const char *s)
{
	struct buf safe = {0};
	buf_text(&safe, s, strlen(s));
	buf_char(out, '"');
	for (size_t i = 0; i < safe.len; i++) {
		if (safe.data[i] == '"' || safe.data[i] == '\\')
			buf_char(out, '\\');
		buf_char(out, safe.data[i]);
	}
	buf_char(out, '"');
	out->failed |= safe.failed;
	buf_release(&safe);
}

static const char *name_of(struct view *v, uint32_t id)
{
	const struct view_model *m = view_by_id(v, id);
	return m ? view_name(v, m) : "";
}

static const char *color_of(const char *relation)
{
	static const struct { const char *relation, *color;
	} colors[] = {
		{"finetune", "#1f6f8b"}, {"lora", "#2e8b57"},      {"adapter", "#2e8b57"},
		{"merge", "#8e44ad"},    {"stitch", "#c0392b"},    {"quantized", "#b9770e"},
		{"cast", "#7f8c8d"},     {"duplicate", "#7f8c8d"}, {"permuted", "#7f8c8d"},
		{"pruned", "#b9770e"},   {"extended", "#1f6f8b"},  {"reinitialized", "#c0392b"},
	};
	for (size_t i = 0; i < COUNT(colors); i++)
		if (!strcmp(colors[i].relation, relation))
			return colors[i].color;
	return "#555555";
}

static void dot_begin(struct buf *out)
{
	buf_str(out,
		"digraph lineage {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#f4f6f7\", "
		"color=\"#85929e\", fontname=\"Helvetica\", fontsize=11];\n  edge [fontname=\"Helvetica\", fontsize=9];\n");
}

static void dot_edge(struct buf *out, const struct graph_edge *d)
{
	bool related = !strcmp(d->relation, "related");
	buf_printf(out, "  n%u -> n%u [label=\"%s", d->parent, d->child, d->relation);
	if (!strcmp(d->relation, "merge") && !isnan(d->weight)) {
		buf_char(out, ' ');
		buf_num(out, d->weight);
	}
	buf_printf(out, "\", color=\"%s\"%s%s];\n", color_of(d->relation), related ? ", dir=none, style=dotted" : "",
		   d->confidence < 0.8 && !related ? ", style=dashed" : "");
}

static void dot_models(struct buf *out, const struct graph *g, struct view *v, uint32_t self, const bool *linked)
{
	size_t loners = 0;
	for (size_t i = 0; i < g->n; i++) {
		if (linked && !linked[i]) {
			loners++;
			continue;
		}
		buf_printf(out, "  n%u [label=", g->nodes[i]);
		dot_string(out, name_of(v, g->nodes[i]));
		buf_str(out, g->nodes[i] == self ? ", fillcolor=\"#fdebd0\", penwidth=2];\n" : "];\n");
	}
	if (loners)
		buf_printf(out, "  loners [shape=plaintext, style=\"\", label=\"and %zu models without kin\"];\n",
			   loners);
	for (size_t i = 0; i < g->n_edges; i++)
		dot_edge(out, &g->edges[i]);
}

/* One box a family: its root, how many, and what relations. */
struct family_boxes { struct buf *out; struct view *v; };

static int family_row(void *arg, const struct catalog_row *r)
{
	struct family_boxes *x = arg;
	uint32_t root = (uint32_t)catalog_int(r, 0);
	int64_t n = catalog_int(r, 2);
	if (n < 2 || !view_by_id(x->v, root))
		return 0;
	cleanup_buf struct buf label = {0};
	buf_printf(&label, "%s%s: %lld models", name_of(x->v, root), catalog_int(r, 1) ? "" : "~", (long long)n);
	buf_printf(x->out, "  n%u [label=", root);
	dot_string(x->out, label.data ? label.data : "");
	buf_str(x->out, "];\n");
	return 0;
}

void graph_dot(struct buf *out, const struct graph *g, struct tree *t, struct view *v, uint32_t self)
{
	dot_begin(out);
	if (g->n > GRAPH_DRAWN) {
		struct family_boxes x = {out, v};
		buf_printf(out, "  label=\"%zu models: one box a family; lake/lineage.tsv has all edges\";\n", g->n);
		if (catalog_each(tree_catalog(t), Q_FAMILY_SIZES, NULL, family_row, &x, "i", (int64_t)GRAPH_DRAWN) < 0)
			out->failed = true;
	} else {
		/* in a lake's drawing (no self) those without kin are only counted */
		cleanup_free bool *linked = self ? NULL : mem_array(g->n ? g->n : 1, sizeof *linked);
		for (size_t i = 0; linked && i < g->n_edges; i++)
			for (size_t k = 0; k < g->n; k++)	/* at most GRAPH_DRAWN */
				linked[k] |= g->nodes[k] == g->edges[i].child || g->nodes[k] == g->edges[i].parent;
		dot_models(out, g, v, self, linked);
	}
	buf_str(out, "}\n");
}

int graph_svg(struct buf *out, const struct buf *dot, const struct cancel *c, struct err *e)
{
	static const char *const argv[] = {"dot", "-Tsvg", NULL};
	if (dot->failed)
		return err_nomem(e);
	return process_run(argv, dot->data, dot->len, out, 64 << 20, 60, c, e);
}

/* --- JSON --- */

static void json_number(struct buf *out, const char *key, double v)
{
	buf_printf(out, ", \"%s\": ", key);
	if (isfinite(v))
		buf_num(out, v);
	else
		buf_str(out, "null");
}

static void json_name(struct buf *out, struct view *v, uint32_t id)
{
	const char *s = name_of(v, id);
	buf_json(out, s, strlen(s));
}

void graph_json(struct buf *out, const struct graph *g, struct tree *t, struct view *v, uint32_t self)
{
	buf_str(out, "{\n");
	if (self) {
		buf_str(out, "  \"model\": ");
		json_name(out, v, self);
		int64_t root = catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)self);
		buf_str(out, ",\n  \"root\": ");
		if (root > 0 && view_by_id(v, (uint32_t)root))
			json_name(out, v, (uint32_t)root);
		else
			buf_str(out, "null");
		buf_str(out, ",\n");
	}
	struct hash128 snapshot = {0};
	char hex[33];
	out->failed |= kin_snapshot(t, v, &snapshot, NULL) < 0;
	hash128_hex(snapshot, hex);
	buf_printf(out, "  \"snapshot\": \"%s\",\n  \"nodes\": [", hex);
	for (size_t i = 0; i < g->n; i++) {
		buf_str(out, i ? ",\n    " : "\n    ");
		json_name(out, v, g->nodes[i]);
	}
	buf_str(out, g->n ? "\n  ],\n  \"edges\": [" : "],\n  \"edges\": [");
	for (size_t i = 0; i < g->n_edges; i++) {
		const struct graph_edge *d = &g->edges[i];
		buf_str(out, i ? ",\n    {\"child\": " : "\n    {\"child\": ");
		json_name(out, v, d->child);
		buf_str(out, ", \"parent\": ");
		json_name(out, v, d->parent);
		buf_printf(out, ", \"relation\": \"%s\", \"basis\": \"%s\"", d->relation, d->basis);
		json_number(out, "weight", d->weight);
		json_number(out, "confidence", d->confidence);
		if (!isnan(d->distance))
			json_number(out, "distance", d->distance);
		buf_char(out, '}');
	}
	buf_str(out, g->n_edges ? "\n  ]\n}\n" : "]\n}\n");
}
