/* families/: each family of the lake as a directory, named by its root; without one by its smallest id and '~'. */
#include "core/base/mem.h"
#include "core/job/index.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <string.h>

static void family_name(struct buf *out, struct view *v, const struct view_model *m, bool rooted)
{
	(void)v;
	struct buf id = {0};
	buf_str(&id, view_name(v, m));
	if (!rooted)
		buf_char(&id, '~');
	flat_encode(out, id.data ? id.data : "", id.len);
	out->failed |= id.failed;
	buf_release(&id);
}

static struct node family_node(struct view *v, uint32_t root)
{
	return (struct node){.kind = KIND_FAMILY, .model = root, .x = tree_x(&rows[KIND_FAMILY], v)};
}

bool ready_families(struct tree *t, struct view *v, struct node n, const char *name)
{
	(void)n, (void)name;
	return index_lineage_known(tree_index(t), v);
}

struct lister {
	struct tree *t;
	struct view *v;
	struct node dir;
	uint64_t cookie;
	tree_fill fill;
	void *arg;
};

static int root_row(void *arg, const struct catalog_row *r)
{
	struct lister *l = arg;
	uint32_t root = (uint32_t)catalog_int(r, 0);
	const struct view_model *m = view_by_id(l->v, root);
	struct tree_attr a;
	struct buf name = {0};
	if (!m || root <= (uint32_t)l->cookie || !model_shown(l->t, m))
		return 0;
	family_name(&name, l->v, m, catalog_int(r, 1));
	node_attr(l->t, l->v, family_node(l->v, root), &a);
	int rc = name.failed ? -ENOMEM : l->fill(l->arg, name.data, &a, COOKIE_DYNAMIC | root);
	buf_release(&name);
	return rc;
}

int list_families(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct lister l = {t, v, dir, cookie, fill, arg};
	return catalog_each(tree_catalog(t), Q_FAMILY_ROOTS, NULL, root_row, &l, "");
}

int lookup_families(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	(void)dir;
	struct buf id = {0};
	bool rooted = true;
	const struct view_model *m = tree_flat(t, v, name);
	if (!m && flat_decode(&id, name) && id.len && id.data[id.len - 1] == '~') {
		id.data[--id.len] = 0;
		rooted = false;
		m = view_by_name(v, id.data);
	}
	buf_release(&id);
	if (!m || !model_shown(t, m) || catalog_number(tree_catalog(t), Q_FAMILY_OF, 0, "i", (int64_t)m->id) != m->id ||
	    (catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)m->id) == m->id) != rooted)
		return -ENOENT;
	return node_attr(t, v, family_node(v, m->id), a);
}

static int member_row(void *arg, const struct catalog_row *r)
{
	struct lister *l = arg;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	const struct view_model *m = view_by_id(l->v, id);
	struct tree_attr a;
	struct buf name = {0};
	if (!m || id <= (uint32_t)l->cookie || !model_shown(l->t, m))
		return 0;
	tree_flat_name(&name, l->v, m);
	node_attr(l->t, l->v, (struct node){.kind = KIND_FAMILY_LINK, .model = id}, &a);
	int rc = name.failed ? -ENOMEM : l->fill(l->arg, name.data, &a, COOKIE_DYNAMIC | id);
	buf_release(&name);
	return rc;
}

int list_members(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct lister l = {t, v, dir, cookie, fill, arg};
	return catalog_each(tree_catalog(t), Q_FAMILY_MEMBERS, NULL, member_row, &l, "i", (int64_t)dir.model);
}

int lookup_members(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	const struct view_model *m = tree_flat(t, v, name);
	if (!m || !model_shown(t, m) ||
	    catalog_number(tree_catalog(t), Q_FAMILY_OF, 0, "i", (int64_t)m->id) != dir.model)
		return -ENOENT;
	return node_attr(t, v, (struct node){.kind = KIND_FAMILY_LINK, .model = m->id}, a);
}

int target_member(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	return link_to_model(out, 3, v, n.model);
}

/* --- metadata/family and metadata/root: known with the lineage --- */

bool has_family(struct tree *t, const struct view_model *m)
{
	return index_settled_lineage(tree_index(t)) &&
	       catalog_number(tree_catalog(t), Q_FAMILY_OF, 0, "i", (int64_t)m->id) > 0;
}

bool has_root(struct tree *t, const struct view_model *m)
{
	return index_settled_lineage(tree_index(t)) &&
	       catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)m->id) > 0;
}

int family_fact(struct tree *t, struct view *v, uint32_t model, bool root, struct buf *out)
{
	int64_t of = catalog_number(tree_catalog(t), root ? Q_FAMILY_ROOT : Q_FAMILY_OF, 0, "i", (int64_t)model);
	const struct view_model *m = of > 0 ? view_by_id(v, (uint32_t)of) : NULL;
	if (!m || !model_shown(t, m))
		return -ENOENT;
	buf_text(out, view_name(v, m), strlen(view_name(v, m)));
	if (!root && catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)model) != of)
		buf_char(out, '~');
	return out->failed ? -ENOMEM : 0;
}

static int64_t fact_size(struct tree *t, struct view *v, struct node n, bool root)
{
	struct buf b = {0};
	int r = family_fact(t, v, n.model, root, &b);
	int64_t size = (int64_t)b.len + 1;
	buf_release(&b);
	return r < 0 ? r : size;
}

static int fact_render(struct render *r, bool root)
{
	int rc = family_fact(r->tree, r->view, r->model->id, root, r->out);
	buf_char(r->out, '\n');
	return rc < 0 ? err_set(r->err, -rc, "not known") : 0;
}

int64_t size_family(struct tree *t, struct view *v, struct node n) { return fact_size(t, v, n, false); }
int64_t size_root(struct tree *t, struct view *v, struct node n) { return fact_size(t, v, n, true); }
int render_family(struct render *r) { return fact_render(r, false); }
int render_root(struct render *r) { return fact_render(r, true); }
