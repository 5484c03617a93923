#include "core/tree/kin.h"

#include "core/base/mem.h"

#include <errno.h>
#include <string.h>

const char *const kin_names[KIN_COUNT] = {"parents", "ancestors", "children", "descendants", "siblings"};

void ids_release(struct ids *s)
{
	free(s->id);
	*s = (struct ids){0};
}

bool ids_has(const struct ids *s, uint32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->id[i] == id)
			return true;
	return false;
}

int ids_add(struct ids *s, uint32_t id)
{
	if (ids_has(s, id))
		return 0;
	if (mem_grow(&s->id, &s->cap, s->n + 1) < 0)
		return -ENOMEM;
	s->id[s->n++] = id;
	return 0;
}

struct step {
	struct tree *t;
	struct view *v;
	struct ids *out;
	uint32_t self;
};

static int kin_row(void *arg, const struct catalog_row *r)
{
	struct step *s = arg;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	const struct view_model *m = view_by_id(s->v, id);
	if (!strcmp(catalog_text(r, 1, NULL), "related") || id == s->self || !m || !model_shown(s->t, m))
		return 0;
	return ids_add(s->out, id);
}

static int one_step(struct tree *t, struct view *v, uint32_t model, bool up, uint32_t self, struct ids *out)
{
	struct step s = {t, v, out, self};
	return catalog_each(tree_catalog(t), up ? Q_EDGES_OF : Q_EDGES_FROM, NULL, kin_row, &s, "i", (int64_t)model);
}

static int in_name_order(const void *a, const void *b, void *arg)
{
	struct view *v = arg;
	return view_cmp(view_name(v, view_by_id(v, *(const uint32_t *)a)),
			view_name(v, view_by_id(v, *(const uint32_t *)b)));
}

int kin_collect(struct tree *t, struct view *v, uint32_t model, enum kin kind, struct ids *out)
{
	bool up = kind == KIN_PARENTS || kind == KIN_ANCESTORS;
	int r = 0;
	if (kind == KIN_SIBLINGS) {
		struct ids parents = {0};
		r = one_step(t, v, model, true, model, &parents);
		for (size_t i = 0; i < parents.n && !r; i++)
			r = one_step(t, v, parents.id[i], false, model, out);
		ids_release(&parents);
	} else {
		r = one_step(t, v, model, up, model, out);
		bool far = kind == KIN_ANCESTORS || kind == KIN_DESCENDANTS;
		for (size_t i = 0; far && i < out->n && !r; i++)
			r = one_step(t, v, out->id[i], up, model, out);
	}
	if (!r && kind != KIN_PARENTS && out->n)
		qsort_r(out->id, out->n, sizeof *out->id, in_name_order, v);
	return r;
}

uint32_t kin_root(struct tree *t, struct view *v, uint32_t model)
{
	int64_t root = catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)model);
	const struct view_model *m = root > 0 ? view_by_id(v, (uint32_t)root) : NULL;
	return m && model_shown(t, m) ? m->id : 0;
}

struct snapshot {
	struct view *v;
	struct hash128 *keys;	/* by view index */
	struct hash_state *h;
};

static int signed_row(void *arg, const struct catalog_row *r)
{
	struct snapshot *s = arg;
	size_t len;
	const struct view_model *m = view_by_id(s->v, (uint32_t)catalog_int(r, 0));
	const void *key = catalog_blob(r, 1, &len);
	if (m && len == sizeof *s->keys)
		memcpy(&s->keys[m - s->v->models], key, len);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct lines { struct view *v; char **line; size_t n, cap; };

static int edge_line(void *arg, const struct catalog_row *r)
{
	struct lines *l = arg;
	const struct view_model *c = view_by_id(l->v, (uint32_t)catalog_int(r, 0)),
				*p = view_by_id(l->v, (uint32_t)catalog_int(r, 1));
	struct buf b = {0};
	if (!c || !p)
		return 0;
	buf_printf(&b, "%s\t%s\t%s", view_name(l->v, c), view_name(l->v, p), catalog_text(r, 2, NULL));
	char *s = buf_take(&b);
	if (!s || mem_grow(&l->line, &l->cap, l->n + 1) < 0) {
		free(s);
		return -ENOMEM;
	}
	l->line[l->n++] = s;
	return 0;
}

int kin_snapshot(struct tree *t, struct view *v, struct hash128 *out, struct err *e)
{
	struct snapshot s = {.v = v, .keys = mem_array(v->n ? v->n : 1, sizeof *s.keys), .h = hash_new()};
	struct lines l = {.v = v};
	int r = s.keys && s.h ? catalog_each(tree_catalog(t), Q_SIGNED_KEYS, e, signed_row, &s, "") : err_nomem(e);
	if (!r)
		r = catalog_each(tree_catalog(t), Q_EDGE_ALL, e, edge_line, &l, "");
	for (uint32_t i = 0; i < v->n && !r; i++) {
		const char *name = view_name(v, &v->models[i]);
		hash_update(s.h, name, strlen(name) + 1);
		hash_update(s.h, &s.keys[i], sizeof *s.keys);
	}
	if (l.n)
		qsort(l.line, l.n, sizeof *l.line, by_text);
	for (size_t i = 0; i < l.n; i++) {
		if (!r)
			hash_update(s.h, l.line[i], strlen(l.line[i]) + 1);
		free(l.line[i]);
	}
	if (!r)
		*out = hash_digest(s.h);
	free(l.line);
	free(s.keys);
	if (s.h)
		hash_free(s.h);
	return r;
}
