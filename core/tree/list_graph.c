/* graph/FLATID/: kin as directories of links, and diff/FLATID/, which lists the parents. */
#include "core/base/mem.h"
#include "core/job/nearest.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"
#include "core/job/index.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { KIN_BITS = 3 };

static struct node kin_node(struct view *v, uint32_t model, unsigned kin)
{
	return (struct node){.kind = KIND_GRAPH_KIN, .model = model,
			     .x = (uint32_t)(v->generation << KIN_BITS & NODE_MASK) | kin};
}

static struct node near_node(struct view *v, uint32_t model)
{
	return (struct node){.kind = KIND_GRAPH_NEAR, .model = model, .x = tree_x(&rows[KIND_GRAPH_NEAR], v)};
}

int lookup_graph_model(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	for (unsigned k = 0; k < KIN_COUNT; k++)
		if (!strcmp(name, kin_names[k]))
			return node_attr(t, v, kin_node(v, dir.model, k), a);
	if (!strcmp(name, "neighbours"))
		return node_attr(t, v, near_node(v, dir.model), a);
	uint32_t root = strcmp(name, "root") ? 0 : kin_root(t, v, dir.model);
	if (root)
		return node_attr(t, v, (struct node){.kind = KIND_GRAPH_ROOT, .x = root, .model = dir.model}, a);
	return -ENOENT;
}

int list_graph_model(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	static const char *const names[] = {"parents",  "ancestors",  "children", "descendants",
					    "siblings", "neighbours", "root"};
	for (uint64_t i = cookie; i < COUNT(names); i++) {
		struct tree_attr a;
		int r = lookup_graph_model(t, v, dir, names[i], &a);
		if (r == 0 && (r = fill(arg, names[i], &a, i + 1)))
			return r;
	}
	return 0;
}

/* The lineage is needed to say who is there, not to say that parents/ is. */
bool ready_lineage(struct tree *t, struct view *v, struct node n, const char *name)
{
	if (n.kind == KIND_GRAPH_MODEL && name && strcmp(name, "root"))
		return true;
	return index_lineage_known(tree_index(t), v);
}

/* diff/FLATID: any other model by name needs nothing. */
bool ready_lineage_list(struct tree *t, struct view *v, struct node n, const char *name)
{
	(void)n;
	return name || index_lineage_known(tree_index(t), v);
}

int prepare_lineage(struct render *r)
{
	return need_lineage(r);
}

/* Numbered where there is a rank: padded to the width of the count. */
static void entry_name(struct buf *out, struct view *v, const struct view_model *m, size_t rank, size_t count)
{
	char width[24];
	if (rank)
		buf_printf(out, "%0*zu-", snprintf(width, sizeof width, "%zu", count), rank);
	tree_flat_name(out, v, m);
}

struct entries {
	struct ids ids;
	bool ranked;
	enum kind child;
	uint32_t model;
};

static int list_entries(struct tree *t, struct view *v, const struct entries *x, uint64_t cookie, tree_fill fill,
			void *arg)
{
	struct buf name = {0};
	int r = 0;
	size_t start = 0;
	if (cookie) {
		while (start < x->ids.n && x->ids.id[start] != (uint32_t)cookie)
			start++;
		start++;
	}
	for (size_t i = start; i < x->ids.n && !r; i++) {
		struct tree_attr a;
		buf_clear(&name);
		entry_name(&name, v, view_by_id(v, x->ids.id[i]), x->ranked ? i + 1 : 0, x->ids.n);
		struct node n = {.kind = (uint8_t)x->child, .x = x->ids.id[i], .model = x->model};
		if ((r = name.failed ? -ENOMEM : node_attr(t, v, n, &a)) == 0)
			r = fill(arg, name.data, &a, COOKIE_DYNAMIC | x->ids.id[i]);
	}
	buf_release(&name);
	return r;
}

struct search {
	const char *name;
	struct tree_attr *a;
};

static int match(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	struct search *s = arg;
	(void)cookie;
	if (strcmp(name, s->name))
		return 0;
	*s->a = *a;
	return 1;
}

static int collect_kin(struct tree *t, struct view *v, struct node dir, struct entries *x)
{
	unsigned kin = dir.x & ((1 << KIN_BITS) - 1);
	*x = (struct entries){.ranked = kin == KIN_PARENTS, .child = KIND_GRAPH_LINK, .model = dir.model};
	return kin >= KIN_COUNT ? -ESTALE : kin_collect(t, v, dir.model, (enum kin)kin, &x->ids);
}

static int collect_near(struct tree *t, struct view *v, struct node dir, struct entries *x)
{
	struct neighbour_row list[NEAR_COUNT];
	size_t n;
	*x = (struct entries){.ranked = true, .child = KIND_GRAPH_LINK, .model = dir.model};
	int r = near_get(tree_index(t), v, dir.model, list, &n);
	for (size_t i = 0; i < n && !r; i++) {
		const struct view_model *m = view_by_id(v, list[i].model);
		if (m && model_shown(t, m))
			r = ids_add(&x->ids, list[i].model);
	}
	return r;
}

static int collect_parents(struct tree *t, struct view *v, struct node dir, struct entries *x)
{
	*x = (struct entries){.child = KIND_DIFF_PAIR, .model = dir.model};
	return kin_collect(t, v, dir.model, KIN_PARENTS, &x->ids);
}

typedef int collect_fn(struct tree *t, struct view *v, struct node dir, struct entries *x);

static int list_with(collect_fn *collect, struct tree *t, struct view *v, struct node dir, uint64_t cookie,
		     tree_fill fill, void *arg)
{
	struct entries x;
	int r = collect(t, v, dir, &x);
	if (!r)
		r = list_entries(t, v, &x, cookie, fill, arg);
	ids_release(&x.ids);
	return r;
}

static int lookup_with(collect_fn *collect, struct tree *t, struct view *v, struct node dir, const char *name,
		       struct tree_attr *a)
{
	struct search s = {name, a};
	int r = list_with(collect, t, v, dir, 0, match, &s);
	return r == 1 ? 0 : r < 0 ? r : -ENOENT;
}

int list_kin(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	return list_with(collect_kin, t, v, dir, cookie, fill, arg);
}

int lookup_kin(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	return lookup_with(collect_kin, t, v, dir, name, a);
}

bool ready_near(struct tree *t, struct view *v, struct node n, const char *name)
{
	size_t count;
	(void)name;
	return near_get(tree_index(t), v, n.model, NULL, &count) == 0;
}

int prepare_near(struct render *r)
{
	int rc = need_state(r, r->model, VIEW_SIGNED);
	return rc < 0 ? rc : near_compute(tree_index(r->tree), r->view, r->model->id, r->cancel, r->err);
}

int list_near(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	return list_with(collect_near, t, v, dir, cookie, fill, arg);
}

int lookup_near(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	return lookup_with(collect_near, t, v, dir, name, a);
}

int target_kin(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	return link_to_model(out, 3, v, n.x);
}

int target_root(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	return link_to_model(out, 2, v, n.x);
}

int list_diff_model(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	return list_with(collect_parents, t, v, dir, cookie, fill, arg);
}

int lookup_diff_model(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	const struct view_model *m = tree_flat(t, v, name);
	if (!m || !model_has(m, VIEW_WEIGHTS) || m->id == dir.model)
		return -ENOENT;
	return node_attr(t, v, (struct node){.kind = KIND_DIFF_PAIR, .x = m->id, .model = dir.model}, a);
}
