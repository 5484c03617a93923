/* Lineage and neighbours as tables and as a text tree. */
#include "core/base/mem.h"
#include "core/job/nearest.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct rows_out {
	struct render *r;
	struct table tb;
	size_t rank;
};

static double real_or_nan(const struct catalog_row *row, int col)
{
	return catalog_null(row, col) ? NAN : catalog_real(row, col);
}

static int parent_row(void *arg, const struct catalog_row *row)
{
	struct rows_out *x = arg;
	const struct view_model *p = view_by_id(x->r->view, (uint32_t)catalog_int(row, 0));
	if (!p || !model_shown(x->r->tree, p) || !strcmp(catalog_text(row, 1, NULL), "related"))
		return 0;
	table_int(&x->tb, ++x->rank);
	table_text(&x->tb, view_name(x->r->view, p));
	table_text(&x->tb, catalog_text(row, 1, NULL));
	table_opt(&x->tb, real_or_nan(row, 2));
	table_num(&x->tb, catalog_real(row, 3));
	table_text(&x->tb, catalog_text(row, 4, NULL));
	table_opt(&x->tb, real_or_nan(row, 5));
	table_text(&x->tb, catalog_text(row, 6, NULL));
	table_text(&x->tb, catalog_text(row, 7, NULL));
	return 0;
}

int render_parents(struct render *r)
{
	struct rows_out x = {.r = r};
	table_begin(&x.tb, r->out, r->json, "rank parent relation weight confidence basis distance method evidence");
	int rc = catalog_each(tree_catalog(r->tree), Q_EDGES_OF, r->err, parent_row, &x, "i", (int64_t)r->model->id);
	table_end(&x.tb);
	return rc;
}

int render_neighbours(struct render *r)
{
	struct neighbour_row list[NEAR_COUNT];
	struct table tb;
	size_t n, rank = 0;
	struct index *ix = tree_index(r->tree);
	int rc = near_get(ix, r->view, r->model->id, list, &n);
	if (rc == -EAGAIN && (rc = near_compute(ix, r->view, r->model->id, r->cancel, r->err)) == 0)
		rc = near_get(ix, r->view, r->model->id, list, &n);
	if (rc < 0)
		return rc;
	table_begin(&tb, r->out, r->json, "rank model distance");
	for (size_t i = 0; i < n; i++) {
		const struct view_model *m = view_by_id(r->view, list[i].model);
		if (!m || !model_shown(r->tree, m))
			continue;
		table_int(&tb, ++rank);
		table_text(&tb, view_name(r->view, m));
		table_num(&tb, list[i].distance);
	}
	table_end(&tb);
	return 0;
}

/* --- the whole lake --- */

struct lake_edge { uint32_t child, parent; double weight, confidence; char relation[16], basis[24]; };

struct lake_edges {
	struct tree *t;
	struct view *v;
	struct lake_edge *e;
	size_t n, cap;
};

static int lake_row(void *arg, const struct catalog_row *row)
{
	struct lake_edges *l = arg;
	if (mem_grow(&l->e, &l->cap, l->n + 1) < 0)
		return -ENOMEM;
	struct lake_edge *d = &l->e[l->n];
	*d = (struct lake_edge){.child = (uint32_t)catalog_int(row, 0), .parent = (uint32_t)catalog_int(row, 1),
				.weight = real_or_nan(row, 3), .confidence = catalog_real(row, 4)};
	strncpy(d->relation, catalog_text(row, 2, NULL), sizeof d->relation - 1);
	strncpy(d->basis, catalog_text(row, 5, NULL), sizeof d->basis - 1);
	const struct view_model *c = view_by_id(l->v, d->child), *p = view_by_id(l->v, d->parent);
	if (c && p && !strcmp(d->relation, "related") && strcmp(view_name(l->v, c), view_name(l->v, p)) < 0) {
		d->child = p->id;	/* no direction: the later id is told as the child */
		d->parent = c->id;
	}
	if (c && p && model_shown(l->t, c) && model_shown(l->t, p))
		l->n++;
	return 0;
}

static int by_child(const void *a, const void *b, void *arg)
{
	struct view *v = arg;
	const struct lake_edge *x = a, *y = b;
	int c = strcmp(view_name(v, view_by_id(v, x->child)), view_name(v, view_by_id(v, y->child)));
	return c ? c : strcmp(view_name(v, view_by_id(v, x->parent)), view_name(v, view_by_id(v, y->parent)));
}

int render_lake_lineage(struct render *r)
{
	struct lake_edges l = {.t = r->tree, .v = r->view};
	struct table tb;
	int rc = catalog_each(tree_catalog(r->tree), Q_EDGE_ALL, r->err, lake_row, &l, "");
	if (rc == 0 && l.n)
		qsort_r(l.e, l.n, sizeof *l.e, by_child, r->view);
	table_begin(&tb, r->out, r->json, "child parent relation weight confidence basis");
	for (size_t i = 0; i < l.n && rc == 0; i++) {
		table_text(&tb, view_name(r->view, view_by_id(r->view, l.e[i].child)));
		table_text(&tb, view_name(r->view, view_by_id(r->view, l.e[i].parent)));
		table_text(&tb, l.e[i].relation);
		table_opt(&tb, l.e[i].weight);
		table_num(&tb, l.e[i].confidence);
		table_text(&tb, l.e[i].basis);
	}
	table_end(&tb);
	free(l.e);
	return rc;
}
