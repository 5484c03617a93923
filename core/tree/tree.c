/* Nodes: names to numbers, numbers to attributes, listings. Nothing here computes a content. */
#include "core/tree/tree_internal.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/tree/flat.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct index *tree_index(struct tree *t) { return t->index; }
const struct tree_options *tree_opts(const struct tree *t) { return &t->o; }
struct catalog *tree_catalog(struct tree *t) { return index_catalog(t->index); }
const struct lake *tree_lake(struct tree *t) { return index_lake(t->index); }

static void dir_attr(struct tree_attr *a, mode_t readable)
{
	mode_t search = (readable & 0444) >> 2;
	a->mode = S_IFDIR | (readable & 0444) | search;
	a->nlink = 2;
	a->size = 4096;
	a->exact = true;
}

static int link_attr(struct tree *t, struct view *v, struct node n, struct tree_attr *a)
{
	struct buf b = {0};
	int r = rows[n.kind].target(t, v, n, &b);
	a->mode = S_IFLNK | 0777;
	a->size = b.len;
	a->exact = true;
	if (r == 0 && b.failed)
		r = -ENOMEM;
	buf_release(&b);
	return r;
}

static int file_attr(struct tree *t, struct view *v, struct node n, struct tree_attr *a)
{
	const struct row *row = &rows[n.kind];
	if (row->flags & ROW_EXACT_SIZE) {
		int64_t size = row->size(t, v, n);
		if (size < 0 && size != -EAGAIN)
			return (int)size;
		a->size = size >= 0 ? (uint64_t)size : row->guess ? row->guess(t, v, n) : row->estimate;
		a->exact = size >= 0;
		return 0;
	}
	int64_t size = row->flags & ROW_LIVE ? -1 : stored_size(t, v, n);
	a->exact = size >= 0 && !(row->flags & ROW_KIN);	/* the number stays when the lineage changes */
	a->size = size >= 0 ? (uint64_t)size : row->guess ? row->guess(t, v, n) : row->estimate ? row->estimate : 4096;
	/* twins are wordier than their tables */
	if (!a->exact && n.json)
		a->size *= 4;
	return 0;
}

/* Who may read what was made of two models: those who may read both. */
static mode_t both_readable(const struct view_model *a, const struct view_model *b, struct tree_attr *out)
{
	bool all_a = (a->mode & 0444) == 0444, all_b = (b->mode & 0444) == 0444;
	const struct view_model *owner = all_a ? b : a;
	out->uid = owner->uid;
	out->gid = owner->gid;
	if (all_a || all_b)
		return owner->mode & 0444;
	mode_t mode = a->mode & b->mode & 0004;
	if (a->uid == b->uid)
		mode |= a->mode & b->mode & 0400;
	else
		out->uid = 0;
	if (a->gid == b->gid)
		mode |= a->mode & b->mode & 0040;
	return mode;
}

int node_attr(struct tree *t, struct view *v, struct node n, struct tree_attr *a)
{
	const struct row *row = &rows[n.kind];
	*a = (struct tree_attr){.ino = node_ino(n), .nlink = 1, .uid = t->uid, .gid = t->gid, .mtime_ns = v->newest_ns,
				.steady = !(row->flags & ROW_LAKE)};
	mode_t readable = 0444;
	if (row->flags & ROW_MODEL) {
		const struct view_model *m = view_by_id(v, n.model);
		if (!m || ((row->flags & ROW_PAIR) && !view_by_id(v, n.x)))
			return -ESTALE;
		a->uid = m->uid;
		a->gid = m->gid;
		a->mtime_ns = m->mtime_ns;
		readable = m->mode;
		if (row->flags & ROW_PAIR)
			readable = both_readable(m, view_by_id(v, n.x), a);
	}
	if (row->flags & ROW_DIR) {
		dir_attr(a, readable);
		return 0;
	}
	if (row->flags & ROW_LINK)
		return link_attr(t, v, n, a);
	a->mode = S_IFREG | (readable & 0444);
	return file_attr(t, v, n, a);
}

bool tree_hides(const struct tree *t)
{
	return t->o.others && !t->o.share_all;
}

bool model_shown(const struct tree *t, const struct view_model *m)
{
	return !tree_hides(t) || (m->mode & 0004);
}

bool model_has(const struct view_model *m, uint32_t needs)
{
	return !(needs & ~(m->flags | (m->state < VIEW_INSPECTED ? VIEW_WEIGHTS : 0)));
}

/* Is a static entry there for this model, in this mode? */
static int present(struct tree *t, struct view *v, struct node n)
{
	const struct row *row = &rows[n.kind];
	const struct view_model *m = row->flags & ROW_MODEL ? view_by_id(v, n.model) : NULL;
	if ((row->flags & ROW_MODEL) && !m)
		return -ESTALE;
	if ((m && !model_has(m, row->needs)) || (row->applies && !row->applies(t, m)))
		return -ENOENT;
	bool at_hand = row->flags & (ROW_DIR | ROW_LINK | ROW_LIVE) ||
		       ((row->flags & (ROW_EXACT_SIZE | ROW_STREAM)) && !(row->flags & ROW_WORK));
	if (t->o.cached && !at_hand && !row_is_cheap(t, v, n) && !row_is_known(t, v, n) && stored_size(t, v, n) < 0)
		return -ENODATA;
	return 0;
}

static struct node static_child(struct view *v, struct node dir, unsigned kind, bool json)
{
	const struct row *row = &rows[kind];
	return (struct node){
		.kind = (uint8_t)kind, .json = json, .model = row->flags & ROW_MODEL ? dir.model : 0,
		.x = row->flags & ROW_PAIR ? dir.x : tree_x(row, v),
	};
}

static bool in_dir(const struct row *row, struct node dir)
{
	return row->parent == dir.kind && !(row->flags & ROW_HIDDEN) && row != &rows[dir.kind];
}

/* "x.json" for the table "x.tsv" */
static bool twin_name(const char *name, const char *table)
{
	size_t n = strlen(table) - 4;
	return !strncmp(name, table, n) && !strcmp(name + n, ".json");
}

int lookup_static(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	for (unsigned k = KIND_ROOT + 1; k < KIND_COUNT; k++) {
		if (!in_dir(&rows[k], dir))
			continue;
		bool table = rows[k].flags & ROW_TABLE, json = table && twin_name(name, row_name(&rows[k]));
		if (!json && strcmp(name, row_name(&rows[k])))
			continue;
		struct node n = static_child(v, dir, k, json);
		int r = present(t, v, n);
		return r < 0 ? r : node_attr(t, v, n, a);
	}
	return -ENOENT;
}

static int emit_static(struct tree *t, struct view *v, struct node n, tree_fill fill, void *arg)
{
	struct tree_attr a;
	char name[64];
	const char *s = row_name(&rows[n.kind]);
	if (present(t, v, n) < 0 || node_attr(t, v, n, &a) < 0)
		return 0;
	size_t len = strlen(s);
	if (n.json) {
		memcpy(name, s, len - 4);
		memcpy(name + len - 4, ".json", 6);
		s = name;
	}
	return fill(arg, s, &a, n.kind * 2u + n.json + 1);
}

int list_static(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	if (cookie >= COOKIE_DYNAMIC)
		return 0;
	for (unsigned k = KIND_ROOT + 1; k < KIND_COUNT; k++) {
		if (!in_dir(&rows[k], dir))
			continue;
		for (unsigned json = 0; json <= !!(rows[k].flags & ROW_TABLE); json++) {
			if (k * 2 + json + 1 <= cookie)
				continue;
			int r = emit_static(t, v, static_child(v, dir, k, json), fill, arg);
			if (r)
				return r;
		}
	}
	return 0;
}

/* A directory node that can be looked into now: 0, or -ENOTDIR, -ESTALE, -EAGAIN, -ENODATA. */
static int enter(struct tree *t, struct view *v, struct node dir, const char *name)
{
	const struct row *row = &rows[dir.kind];
	if (!(row->flags & ROW_DIR))
		return dir.kind == KIND_NONE ? -ESTALE : -ENOTDIR;
	if ((row->flags & ROW_MODEL) && !view_by_id(v, dir.model))
		return -ESTALE;
	if ((row->flags & ROW_PAIR) && !view_by_id(v, dir.x))
		return -ESTALE;
	if ((row->flags & ROW_COMPUTED) && !row->ready(t, v, dir, name))
		return t->o.cached && !row_is_known(t, v, dir) ? -ENODATA : -EAGAIN;
	return 0;
}

int tree_getattr(struct tree *t, uint64_t ino, struct tree_attr *a)
{
	struct view *v = index_view(t->index);
	struct node n = node_of(ino);
	int r = n.kind == KIND_NONE ? -ESTALE : node_attr(t, v, n, a);
	view_unref(v);
	return r;
}

int tree_lookup(struct tree *t, uint64_t ino, const char *name, struct tree_attr *a)
{
	struct view *v = index_view(t->index);
	struct node dir = node_of(ino);
	const struct row *row = &rows[dir.kind];
	int r = -ENAMETOOLONG;
	if (strlen(name) <= 255 && (r = enter(t, v, dir, name)) == 0)
		r = row->lookup ? row->lookup(t, v, dir, name, a) : lookup_static(t, v, dir, name, a);
	if (r == -ENOENT && (row->flags & ROW_MODEL) && model_gone(t, view_by_id(v, dir.model)))
		r = -ESTALE;	/* the caller's path leads elsewhere by now */
	view_unref(v);
	return r;
}

int tree_list(struct tree *t, uint64_t ino, uint64_t cookie, tree_fill fill, void *arg)
{
	struct view *v = index_view(t->index);
	struct node dir = node_of(ino);
	const struct row *row = &rows[dir.kind];
	int r = enter(t, v, dir, NULL);
	if (r == -ENODATA)	/* compute=cached: what is not known is not listed */
		r = 0;
	else if (r == 0)
		r = row->list ? row->list(t, v, dir, cookie, fill, arg) : list_static(t, v, dir, cookie, fill, arg);
	view_unref(v);
	return r < 0 ? r : 0;
}

int tree_readlink(struct tree *t, uint64_t ino, struct buf *target)
{
	struct view *v = index_view(t->index);
	struct node n = node_of(ino);
	int r = -EINVAL;
	if (n.kind == KIND_NONE || ((rows[n.kind].flags & ROW_MODEL) && !view_by_id(v, n.model)))
		r = -ESTALE;
	else if (rows[n.kind].flags & ROW_LINK)
		r = rows[n.kind].target(t, v, n, target);
	if (r == 0 && target->failed)
		r = -ENOMEM;
	if (r == 0 && target->len > 4095)
		r = -ENAMETOOLONG;
	view_unref(v);
	return r;
}

uint64_t tree_parent(struct tree *t, uint64_t ino)
{
	struct node n = node_of(ino);
	const struct row *row = &rows[n.kind];
	struct node up = {.kind = row->parent};
	if (n.kind == KIND_NONE || n.kind == KIND_ROOT)
		return TREE_ROOT;
	if (rows[up.kind].flags & ROW_MODEL)
		up.model = n.model;
	struct view *v = index_view(t->index);
	up.x = tree_x(&rows[up.kind], v);
	view_unref(v);
	return node_ino(up);
}

void tree_describe(struct tree *t, uint64_t ino, struct buf *out)
{
	struct view *v = index_view(t->index);
	struct node n = node_of(ino);
	const struct view_model *m = rows[n.kind].flags & ROW_MODEL ? view_by_id(v, n.model) : NULL;
	const char *s = rows[n.kind].pattern, *id = m ? strstr(s, "FLATID") : NULL;
	size_t len = id ? 6 : 2;
	if (m && !id)
		id = strstr(s, "ID");
	if (id) {
		buf_add(out, s, (size_t)(id - s));
		if (len == 6)
			tree_flat_name(out, v, m);
		else
			buf_str(out, view_name(v, m));
		s = id + len;
	}
	buf_str(out, s);
	view_unref(v);
}

const struct view_model *tree_flat(struct tree *t, struct view *v, const char *flat)
{
	(void)t;
	struct buf id = {0};
	const struct view_model *m = flat_decode(&id, flat) ? view_by_name(v, id.data ? id.data : "") : NULL;
	for (uint32_t i = 0; flat_is_short(flat) && i < v->n && !m; i++) {
		buf_clear(&id);
		if (strlen(view_name(v, &v->models[i])) * 3 < FLAT_MAX)
			continue;
		tree_flat_name(&id, v, &v->models[i]);
		if (!id.failed && !strcmp(id.data, flat))
			m = &v->models[i];
	}
	buf_release(&id);
	return m;
}

void tree_flat_name(struct buf *out, const struct view *v, const struct view_model *m)
{
	const char *s = view_name(v, m);
	flat_encode(out, s, strlen(s));
}

int link_to_model(struct buf *out, int depth, const struct view *v, uint32_t model)
{
	const struct view_model *m = view_by_id(v, model);
	if (!m)
		return -ESTALE;
	while (depth-- > 0)
		buf_str(out, "../");
	buf_str(out, "models/");
	buf_str(out, view_name(v, m));
	return 0;
}

void tree_on_change(struct tree *t, void (*stale)(void *arg, uint64_t dir, const char *name), void *arg)
{
	t->stale_arg = arg;
	t->stale = stale;
}
