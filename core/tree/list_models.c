/* Directories of models: models/ with its nesting, and the flat ones (all, exact, graph, diff). */
#include "core/base/mem.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <string.h>

/* The id below which a directory of models/ lists: bytes of a model's name. False: gone. */
static bool prefix_of(const struct view *v, struct node dir, const char **s, size_t *len)
{
	*s = "";
	*len = 0;
	if (dir.kind == KIND_MODELS)
		return true;
	const char *name = view_name_of(v, dir.model);
	if (!name)
		return false;
	*s = name;
	*len = strlen(name);
	if (dir.kind == KIND_MODEL)
		return true;
	size_t at = 0;		/* a prefix: its first x components */
	for (uint32_t depth = dir.x; depth && at < *len; depth--)
		at += strcspn(name + at, "/") + 1;
	*len = at ? at - 1 : 0;
	return true;
}

static uint32_t components(const char *s, size_t len)
{
	uint32_t n = len > 0;
	for (size_t i = 0; i < len; i++)
		n += s[i] == '/';
	return n;
}

static int entry_attr(struct tree *t, struct view *v, const struct view_model *first, size_t len, struct tree_attr *a)
{
	const char *name = view_name(v, first);
	struct node n = {.kind = KIND_MODEL, .model = first->id};
	if (name[len])
		n = (struct node){.kind = KIND_PREFIX, .model = first->id, .x = components(name, len)};
	return node_attr(t, v, n, a);
}

int lookup_models(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	if (dir.kind == KIND_MODEL) {
		int r = lookup_static(t, v, dir, name, a);
		if (r != -ENOENT)
			return r;
	}
	const char *prefix;
	size_t len;
	if (!prefix_of(v, dir, &prefix, &len))
		return -ESTALE;
	struct buf id = {0};
	buf_add(&id, prefix, len);
	if (len)
		buf_char(&id, '/');
	buf_str(&id, name);
	int r = -ENOMEM;
	if (!id.failed) {
		uint32_t first, last;
		const struct view_model *m = view_by_name(v, id.data);
		view_below(v, id.data, id.len, &first, &last);
		if (!m && first < last)
			m = &v->models[first];
		r = m ? entry_attr(t, v, m, id.len, a) : -ENOENT;
	}
	buf_release(&id);
	return r;
}

/* The first model after all that share the component which `name` has at `len` (after the prefix). */
static uint32_t after_group(const struct view *v, const char *name, size_t len)
{
	uint32_t first, last;
	size_t end = len + strcspn(name + len, "/");
	cleanup_free char *group = mem_strndup(name, end);
	if (!group)
		return v->n;
	view_below(v, group, end, &first, &last);
	uint32_t self = view_after(v, group);
	return MAX(last, self);
}

static uint32_t resume(const struct view *v, uint64_t cookie, const char *prefix, size_t len, uint32_t first)
{
	if (cookie < COOKIE_DYNAMIC)
		return first;
	const char *name = view_name_of(v, (uint32_t)cookie);
	if (!name || strncmp(name, prefix, len) || (len && name[len] != '/'))
		return v->n;
	return after_group(v, name, len ? len + 1 : 0);
}

int list_models(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	if (dir.kind == KIND_MODEL) {
		int r = list_static(t, v, dir, cookie, fill, arg);
		if (r)
			return r;
	}
	const char *prefix;
	size_t len;
	uint32_t first, last;
	if (!prefix_of(v, dir, &prefix, &len))
		return -ESTALE;
	view_below(v, prefix, len, &first, &last);
	size_t start = len ? len + 1 : 0;
	for (uint32_t i = resume(v, cookie, prefix, len, first); i < last;) {
		const struct view_model *m = &v->models[i];
		const char *name = view_name(v, m);
		size_t part = strcspn(name + start, "/");
		struct tree_attr a;
		cleanup_free char *entry = mem_strndup(name + start, part);
		if (!entry)
			return -ENOMEM;
		int r = entry_attr(t, v, m, start + part, &a);
		if (r == 0 && (r = fill(arg, entry, &a, COOKIE_DYNAMIC | m->id)))
			return r;
		/* a leaf that is alone needs no search for the end of its group */
		bool alone =
			!name[start + part] && (i + 1 == last || strncmp(view_name(v, m + 1), name, start + part) ||
						view_name(v, m + 1)[start + part] != '/');
		i = alone ? i + 1 : after_group(v, name, start);
	}
	return 0;
}

static uint32_t child_x(enum kind kind, struct view *v)
{
	return tree_x(&rows[kind], v);
}

/* A view of the lake as a whole; the others hold a directory of each model's own, which is as open as the model. */
static bool is_wide(enum kind kind)
{
	return kind == KIND_ALL_LINK || kind == KIND_GRAPH_MODEL;
}

int list_flat(struct tree *t, struct view *v, enum kind kind, uint64_t cookie, tree_fill fill, void *arg)
{
	uint32_t i = 0;
	if (cookie) {
		const char *name = view_name_of(v, (uint32_t)cookie);
		i = name ? view_after(v, name) : v->n;
	}
	struct buf flat = {0};
	int r = 0;
	for (; i < v->n && !r; i++) {
		const struct view_model *m = &v->models[i];
		struct tree_attr a;
		if (!model_has(m, rows[kind].needs) || (is_wide(kind) && !model_shown(t, m)))
			continue;
		buf_clear(&flat);
		tree_flat_name(&flat, v, m);
		if (flat.failed)
			r = -ENOMEM;
		else if (node_attr(t, v, (struct node){.kind = (uint8_t)kind, .model = m->id, .x = child_x(kind, v)},
				   &a) == 0)
			r = fill(arg, flat.data, &a, COOKIE_DYNAMIC | m->id);
	}
	buf_release(&flat);
	return r;
}

int lookup_flat(struct tree *t, struct view *v, enum kind kind, const char *name, struct tree_attr *a)
{
	const struct view_model *m = tree_flat(t, v, name);
	if (!m || !model_has(m, rows[kind].needs) || (is_wide(kind) && !model_shown(t, m)))
		return -ENOENT;
	return node_attr(t, v, (struct node){.kind = (uint8_t)kind, .model = m->id, .x = child_x(kind, v)}, a);
}

#define FLAT(dir, child) \
	int list_##dir(struct tree *t, struct view *v, struct node n, uint64_t cookie, tree_fill fill, void *arg) \
	{ (void)n; return list_flat(t, v, child, cookie, fill, arg); } \
	int lookup_##dir(struct tree *t, struct view *v, struct node n, const char *name, struct tree_attr *a) \
	{ (void)n; return lookup_flat(t, v, child, name, a); }
FLAT(all, KIND_ALL_LINK)
FLAT(exact, KIND_EXACT_MODEL)
FLAT(graph, KIND_GRAPH_MODEL)
FLAT(diff, KIND_DIFF_MODEL)
FLAT(export, KIND_EXPORT_MODEL)

int target_all(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	return link_to_model(out, 1, v, n.model);
}

/* models/ID/exact → ../…/exact/FLATID, and the like: the row's own name is the directory's */
int target_part(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t;
	const struct view_model *m = view_by_id(v, n.model);
	if (!m)
		return -ESTALE;
	for (uint32_t up = components(view_name(v, m), strlen(view_name(v, m))) + 1; up; up--)
		buf_str(out, "../");
	buf_str(out, row_name(&rows[n.kind]));
	buf_char(out, '/');
	tree_flat_name(out, v, m);
	return 0;
}
