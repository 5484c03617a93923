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
	struct view *v;
	struct ids *out;
	uint32_t self;
};

static int kin_row(void *arg, const struct catalog_row *r)
{
	struct step *s = arg;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	if (!strcmp(catalog_text(r, 1, NULL), "related") || id == s->self || !view_by_id(s->v, id))
		return 0;
	return ids_add(s->out, id);
}

static int one_step(struct tree *t, struct view *v, uint32_t model, bool up, uint32_t self, struct ids *out)
{
	struct step s = {v, out, self};
	return catalog_each(tree_catalog(t), up ? Q_EDGES_OF : Q_EDGES_FROM, NULL, kin_row, &s, "i", (int64_t)model);
}

static int in_name_order(const void *a, const void *b, void *arg)
{
	struct view *v = arg;
	return view_cmp(view_name(v, view_by_id(v, *(const uint32_t *)a)), view_name(v, view_by_id(v, *(const uint32_t *)b)));
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

uint32_t kin_root(struct tree *t, uint32_t model)
{
	int64_t root = catalog_number(tree_catalog(t), Q_FAMILY_ROOT, 0, "i", (int64_t)model);
	return root > 0 ? (uint32_t)root : 0;
}
