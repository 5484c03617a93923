/* by/KEY/VALUE/: models by a fact, for globs. */
#include "core/base/mem.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"
#include "core/job/facets.h"

#include <errno.h>
#include <string.h>

static struct node key_node(uint32_t i)
{
	return (struct node){.kind = KIND_BY_KEY, .x = i};
}

int list_by(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	(void)dir;
	for (uint32_t i = (uint32_t)cookie; i < FACET_KEYS; i++) {
		struct tree_attr a;
		node_attr(t, v, key_node(i), &a);
		int r = fill(arg, facet_keys[i], &a, i + 1);
		if (r)
			return r;
	}
	return 0;
}

int lookup_by(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	(void)dir;
	for (uint32_t i = 0; i < FACET_KEYS; i++)
		if (!strcmp(facet_keys[i], name))
			return node_attr(t, v, key_node(i), a);
	return -ENOENT;
}

static int text_row(void *arg, const struct catalog_row *r)
{
	size_t len;
	const char *s = catalog_text(r, 1, &len);
	buf_add(arg, s, len);
	return 1;
}

struct values {
	struct tree *t;
	struct view *v;
	tree_fill fill;
	void *arg;
};

static int shown_row(void *arg, const struct catalog_row *r)
{
	struct values *x = arg;
	const struct view_model *m = view_by_id(x->v, (uint32_t)catalog_int(r, 0));
	return m && model_shown(x->t, m);
}

/* Has it a model that may be told of? */
static bool value_shown(struct tree *t, struct view *v, uint32_t id)
{
	struct values x = {.t = t, .v = v};
	return !tree_hides(t) ||
	       catalog_each(tree_catalog(t), Q_FACET_MODELS, NULL, shown_row, &x, "ii", (int64_t)id, (int64_t)0) == 1;
}

static int value_row(void *arg, const struct catalog_row *r)
{
	struct values *x = arg;
	struct tree_attr a;
	struct buf name = {0};
	size_t len;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	const char *s = catalog_text(r, 1, &len);
	if (!value_shown(x->t, x->v, id))
		return 0;
	flat_encode(&name, s, len);
	node_attr(x->t, x->v, (struct node){.kind = KIND_BY_VALUE, .x = id}, &a);
	int rc = name.failed ? -ENOMEM : x->fill(x->arg, name.data, &a, COOKIE_DYNAMIC | id);
	buf_release(&name);
	return rc;
}

int list_values(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct values x = {t, v, fill, arg};
	struct buf after = {0};
	if (dir.x >= FACET_KEYS)
		return -ESTALE;
	buf_str(&after, "");
	if (cookie)
		catalog_each(tree_catalog(t), Q_FACET_NAME, NULL, text_row, &after, "i", (int64_t)(uint32_t)cookie);
	int r = after.failed ? -ENOMEM :
		catalog_each(tree_catalog(t), Q_FACET_VALUES, NULL, value_row, &x, "ss", facet_keys[dir.x], after.data);
	buf_release(&after);
	return r;
}

struct short_name { const char *name; int64_t id; };

/* The value that was shortened to this name. */
static int short_row(void *arg, const struct catalog_row *r)
{
	struct short_name *s = arg;
	struct buf name = {0};
	size_t len;
	const char *value = catalog_text(r, 1, &len);
	if (len * 3 < FLAT_MAX)
		return 0;
	flat_encode(&name, value, len);
	bool same = !name.failed && !strcmp(name.data, s->name);
	buf_release(&name);
	if (same)
		s->id = catalog_int(r, 0);
	return same;
}

int lookup_values(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	struct buf value = {0};
	int r;
	if (dir.x >= FACET_KEYS)
		return -ESTALE;
	int64_t id = !flat_decode(&value, name) ? 0
						: catalog_number(tree_catalog(t), Q_FACET_ID, 0, "ss",
								 facet_keys[dir.x], value.data ? value.data : "");
	buf_release(&value);
	if (id <= 0 && flat_is_short(name)) {
		struct short_name s = {.name = name};
		r = catalog_each(tree_catalog(t), Q_FACET_VALUES, NULL, short_row, &s, "ss", facet_keys[dir.x], "");
		if (r < 0)
			return r;
		id = s.id;
	}
	if (id > 0 && catalog_number(tree_catalog(t), Q_FACET_USED, 0, "i", id) && value_shown(t, v, (uint32_t)id))
		return node_attr(t, v, (struct node){.kind = KIND_BY_VALUE, .x = (uint32_t)id}, a);
	return -ENOENT;
}

static int model_row(void *arg, const struct catalog_row *r)
{
	struct values *x = arg;
	struct tree_attr a;
	struct buf name = {0};
	const struct view_model *m = view_by_id(x->v, (uint32_t)catalog_int(r, 0));
	if (!m || !model_shown(x->t, m))
		return 0;
	tree_flat_name(&name, x->v, m);
	node_attr(x->t, x->v, (struct node){.kind = KIND_BY_LINK, .model = m->id}, &a);
	int rc = name.failed ? -ENOMEM : x->fill(x->arg, name.data, &a, COOKIE_DYNAMIC | m->id);
	buf_release(&name);
	return rc;
}

int list_facet(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct values x = {t, v, fill, arg};
	return catalog_each(tree_catalog(t), Q_FACET_MODELS, NULL, model_row, &x, "ii", (int64_t)dir.x,
			    (int64_t)(uint32_t)cookie);
}

int lookup_facet(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	const struct view_model *m = tree_flat(t, v, name);
	if (!m || !model_shown(t, m) ||
	    !catalog_number(tree_catalog(t), Q_FACET_HAS, 0, "ii", (int64_t)dir.x, (int64_t)m->id))
		return -ENOENT;
	return node_attr(t, v, (struct node){.kind = KIND_BY_LINK, .model = m->id}, a);
}

int target_facet(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	return link_to_model(out, 3, v, n.model);
}
