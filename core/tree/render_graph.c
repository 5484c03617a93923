/* Lineage as graphs, of a model's family, of a family and of the lake; and what a model's lineage rests on. */
#include "core/base/mem.h"
#include "core/base/process.h"
#include "core/tree/functions.h"
#include "core/tree/graph.h"
#include "core/tree/table.h"

#include <errno.h>
#include <string.h>

bool has_graphviz(struct tree *t, const struct view_model *m)
{
	(void)t, (void)m;
	return process_found("dot");
}

enum form { FORM_DOT, FORM_SVG, FORM_JSON };

static int draw(struct render *r, struct graph *g, enum form form, uint32_t self)
{
	int rc = 0;
	if (form == FORM_JSON) {
		graph_json(r->out, g, r->tree, r->view, self);
	} else if (form == FORM_DOT) {
		graph_dot(r->out, g, r->tree, r->view, self);
	} else {
		cleanup_buf struct buf dot = {0};
		graph_dot(&dot, g, r->tree, r->view, self);
		rc = graph_svg(r->out, &dot, r->cancel, r->err);
	}
	graph_release(g);
	return rc;
}

static int draw_family(struct render *r, enum form form, bool mark)
{
	struct graph g;
	int rc = graph_of_family(&g, r->tree, r->view, r->model->id, r->err);
	return rc < 0 ? rc : draw(r, &g, form, mark ? r->model->id : 0);
}

static int draw_lake(struct render *r, enum form form)
{
	struct graph g;
	int rc = graph_of_lake(&g, r->tree, r->view, r->err);
	return rc < 0 ? rc : draw(r, &g, form, 0);
}

int render_graph_dot(struct render *r) { return draw_family(r, FORM_DOT, true); }
int render_graph_svg(struct render *r) { return draw_family(r, FORM_SVG, true); }
int render_lineage_json(struct render *r) { return draw_family(r, FORM_JSON, true); }
int render_family_dot(struct render *r) { return draw_family(r, FORM_DOT, false); }
int render_family_svg(struct render *r) { return draw_family(r, FORM_SVG, false); }
int render_lake_dot(struct render *r) { return draw_lake(r, FORM_DOT); }
int render_lake_svg(struct render *r) { return draw_lake(r, FORM_SVG); }
int render_lake_json(struct render *r) { return draw_lake(r, FORM_JSON); }

int render_family_lineage(struct render *r)
{
	struct graph g;
	struct table tb;
	int rc = graph_of_family(&g, r->tree, r->view, r->model->id, r->err);
	if (rc < 0)
		return rc;
	table_begin(&tb, r->out, r->json, "child parent relation weight confidence basis");
	for (size_t i = 0; i < g.n_edges; i++) {
		table_text(&tb, view_name(r->view, view_by_id(r->view, g.edges[i].child)));
		table_text(&tb, view_name(r->view, view_by_id(r->view, g.edges[i].parent)));
		table_text(&tb, g.edges[i].relation);
		table_opt(&tb, g.edges[i].weight);
		table_num(&tb, g.edges[i].confidence);
		table_text(&tb, g.edges[i].basis);
	}
	table_end(&tb);
	graph_release(&g);
	return 0;
}

/* --- why.txt --- */

struct why {
	struct render *r;
	size_t n;
};

static int why_row(void *arg, const struct catalog_row *row)
{
	struct why *w = arg;
	struct buf *out = w->r->out;
	const struct view_model *p = view_by_id(w->r->view, (uint32_t)catalog_int(row, 0));
	if (!p || !model_shown(w->r->tree, p))
		return 0;
	if (w->n++)
		buf_char(out, '\n');
	const char *name = view_name(w->r->view, p);
	buf_printf(out, "%s of ", catalog_text(row, 1, NULL));
	buf_text(out, name, strlen(name));
	buf_str(out, "  (confidence ");
	buf_num(out, catalog_real(row, 3));
	buf_printf(out, ", basis %s)\n", catalog_text(row, 4, NULL));
	size_t len;
	for (const char *s = catalog_text(row, 8, &len), *end = s + len; s < end;) {
		size_t k = strcspn(s, "\n");
		buf_str(out, "  ");
		buf_text(out, s, k);
		buf_char(out, '\n');
		s += k + 1;
	}
	return 0;
}

int render_why(struct render *r)
{
	struct why w = {.r = r};
	int rc = catalog_each(tree_catalog(r->tree), Q_EDGES_OF, r->err, why_row, &w, "i", (int64_t)r->model->id);
	if (rc == 0 && !w.n)
		buf_str(r->out,
			"No parent of this model is in the lake: its weights are consistent with none of the others.\n");
	return rc;
}
