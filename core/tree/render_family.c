/* A family as a text tree: each model below its first parent, the other parents named beside it. */
#include "core/base/mem.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"

#include <errno.h>
#include <string.h>

enum { DEPTH_MAX = 200 };

struct relative {
	uint32_t id;
	const char *name;
	size_t edges, n_edges;			/* its rows in family.edges */
	size_t parent;				/* position of the first parent, or none */
	size_t first_child, last_child, next;	/* positions, in name order */
	bool shown;
};

struct edge { uint32_t parent; char relation[16]; double confidence; bool toss_up; };
#define NONE SIZE_MAX

struct family {
	struct render *r;
	bool mark;			/* the model that is asked about */
	struct relative *members;		/* in name order */
	size_t n, cap;
	uint32_t *by_id;		/* positions */
	struct edge *edges;
	size_t n_edges, cap_edges;
};

static int add_member(struct family *f, uint32_t id)
{
	const struct view_model *m = view_by_id(f->r->view, id);
	if (!m || (!model_shown(f->r->tree, m) && m != f->r->model))
		return 0;
	if (mem_grow(&f->members, &f->cap, f->n + 1) < 0)
		return -ENOMEM;
	f->members[f->n++] = (struct relative){.id = id,
					       .name = view_name(f->r->view, m),
					       .parent = NONE,
					       .first_child = NONE,
					       .last_child = NONE,
					       .next = NONE};
	return 0;
}

static int member_row(void *arg, const struct catalog_row *row)
{
	return add_member(arg, (uint32_t)catalog_int(row, 0));
}

static int edge_row(void *arg, const struct catalog_row *row)
{
	struct family *f = arg;
	if (mem_grow(&f->edges, &f->cap_edges, f->n_edges + 1) < 0)
		return -ENOMEM;
	struct edge *d = &f->edges[f->n_edges++];
	*d = (struct edge){.parent = (uint32_t)catalog_int(row, 0), .confidence = catalog_real(row, 3)};
	strncpy(d->relation, catalog_text(row, 1, NULL), sizeof d->relation - 1);
	d->toss_up = !strcmp(catalog_text(row, 6, NULL), "direction not told");
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return view_cmp(((const struct relative *)a)->name, ((const struct relative *)b)->name);
}

static int by_member_id(const void *a, const void *b, void *arg)
{
	const struct relative *m = arg;
	uint32_t x = m[*(const uint32_t *)a].id, y = m[*(const uint32_t *)b].id;
	return (x > y) - (x < y);
}

static size_t position(const struct family *f, uint32_t id)
{
	size_t lo = 0, hi = f->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (f->members[f->by_id[mid]].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->n && f->members[f->by_id[lo]].id == id ? f->by_id[lo] : NONE;
}

static bool certain(const struct edge *d)
{
	return strcmp(d->relation, "related") != 0;
}

/* Hang each model below its first certain parent. */
static void hang(struct family *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct relative *m = &f->members[i];
		for (size_t k = 0; k < m->n_edges && m->parent == NONE; k++)
			if (certain(&f->edges[m->edges + k]))
				m->parent = position(f, f->edges[m->edges + k].parent);
		if (m->parent == NONE)
			continue;
		struct relative *p = &f->members[m->parent];
		if (p->last_child == NONE)
			p->first_child = i;
		else
			f->members[p->last_child].next = i;
		p->last_child = i;
	}
}

static int family_load(struct family *f, uint32_t model)
{
	struct catalog *c = tree_catalog(f->r->tree);
	int64_t root = catalog_number(c, Q_FAMILY_OF, 0, "i", (int64_t)model);
	int r = root ? catalog_each(c, Q_FAMILY_MEMBERS, f->r->err, member_row, f, "i", root) : add_member(f, model);
	if (r == 0 && !(f->by_id = mem_array(f->n ? f->n : 1, sizeof *f->by_id)))
		r = -ENOMEM;
	if (r < 0)
		return r == -ENOMEM ? err_nomem(f->r->err) : r;
	qsort(f->members, f->n, sizeof *f->members, by_name);
	for (uint32_t i = 0; i < f->n; i++)
		f->by_id[i] = i;
	qsort_r(f->by_id, f->n, sizeof *f->by_id, by_member_id, f->members);
	for (size_t i = 0; i < f->n && !r; i++) {
		f->members[i].edges = f->n_edges;
		r = catalog_each(c, Q_EDGES_OF, f->r->err, edge_row, f, "i", (int64_t)f->members[i].id);
		f->members[i].n_edges = f->n_edges - f->members[i].edges;
	}
	if (r == 0)
		hang(f);
	return r;
}

/* "org/name  (merge 0.43, confidence 0.98; also from a, b)" */
static void draw_label(struct family *f, const struct relative *m)
{
	struct buf *out = f->r->out;
	const char *sep = "  (";
	buf_text(out, m->name, strlen(m->name));
	for (size_t k = 0; k < m->n_edges; k++) {
		const struct edge *d = &f->edges[m->edges + k];
		const struct view_model *p = view_by_id(f->r->view, d->parent);
		bool drawn = m->parent != NONE && d->parent == f->members[m->parent].id;
		if (!p || !model_shown(f->r->tree, p))
			continue;
		buf_str(out, sep);
		if (drawn) {
			buf_printf(out, "%s, confidence ", d->relation);
			buf_num(out, d->confidence);
			sep = "; also ";
		} else {
			const char *name = view_name(f->r->view, p);
			buf_printf(out, certain(d) ? "%s of " : "%s to ", d->relation);
			buf_text(out, name, strlen(name));
			sep = ", ";
		}
	}
	if (strcmp(sep, "  ("))
		buf_char(out, ')');
	if (f->mark && m->id == f->r->model->id)
		buf_str(out, "  <-- this model");
	buf_char(out, '\n');
}

static void draw(struct family *f, struct relative *m, struct buf *indent, int depth)
{
	draw_label(f, m);
	m->shown = true;
	for (size_t i = m->first_child; i != NONE && depth < DEPTH_MAX; i = f->members[i].next) {
		size_t len = indent->len;
		bool last = i == m->last_child;
		if (f->members[i].shown)
			continue;
		buf_add(f->r->out, indent->data ? indent->data : "", indent->len);
		buf_str(f->r->out, last ? "└── " : "├── ");
		buf_str(indent, last ? "    " : "│   ");
		draw(f, &f->members[i], indent, depth + 1);
		indent->len = len;
	}
}

/* A family without a root: nobody knows which of two came first, or what all come from is not here. */
static const char *rootless(const struct family *f)
{
	size_t toss_ups = 0, related = 0;
	for (size_t i = 0; i < f->n_edges; i++) {
		related += !certain(&f->edges[i]);
		toss_ups += f->edges[i].toss_up;
	}
	if (toss_ups && toss_ups == related)
		return "Which of those at the top came first is not told by their weights.\n";
	return "The common ancestor is not in the lake.\n";
}

static int render_text(struct render *r, bool mark)
{
	struct family f = {.r = r, .mark = mark};
	struct buf indent = {0};
	int rc = family_load(&f, r->model->id);
	if (rc == 0) {
		if (f.n < 2)
			buf_str(r->out, "No kin in this lake.\n");
		else if (!kin_root(r->tree, r->view, r->model->id))
			buf_str(r->out, rootless(&f));
		for (size_t i = 0; i < f.n; i++)
			if (f.members[i].parent == NONE)
				draw(&f, &f.members[i], &indent, 0);
		for (size_t i = 0; i < f.n; i++)	/* deeper than is drawn, or hanging in a circle */
			if (!f.members[i].shown)
				draw(&f, &f.members[i], &indent, 0);
	}
	r->out->failed |= indent.failed;
	buf_release(&indent);
	free(f.members);
	free(f.by_id);
	free(f.edges);
	return rc;
}

int render_tree(struct render *r) { return render_text(r, true); }
int render_family_tree(struct render *r) { return render_text(r, false); }
