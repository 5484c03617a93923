/* Which weight files belong together, and which of several sets a loader would take. */
#include "core/lake/sets.h"

#include <errno.h>
#include <string.h>

static int entry_cmp(const struct entry *x, const struct entry *y)
{
	size_t n = MIN(x->info.stem, y->info.stem);
	int r = memcmp(x->name, y->name, n);
	if (!r)
		r = (int)x->info.stem - (int)y->info.stem;
	if (!r && x->info.of != y->info.of)
		r = x->info.of < y->info.of ? -1 : 1;
	return r ? r : strcmp(x->info.ext, y->info.ext);
}

struct order {
	const struct entry *e;
	uint32_t index;
};

static int order_cmp(const void *a, const void *b)
{
	const struct order *x = a, *y = b;
	int r = entry_cmp(x->e, y->e);
	return r ? r : strcmp(x->e->name, y->e->name);
}

int sets_group(struct listing *l)
{
	size_t n = 0;
	l->n_sets = 0;
	for (size_t i = 0; i < l->n; i++)
		n += l->entries[i].info.kind == SCAN_WEIGHTS;
	if (!n)
		return 0;
	if (mem_grow(&l->sets, &l->sets_cap, n) < 0)
		return -ENOMEM;
	cleanup_free struct order *o = mem_array(n, sizeof *o);
	if (!o)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (l->entries[i].info.kind == SCAN_WEIGHTS)
			o[n++] = (struct order){&l->entries[i], (uint32_t)i};
	if (n > 1)
		qsort(o, n, sizeof *o, order_cmp);
	for (size_t i = 0; i < n; i++) {
		struct entry *e = &l->entries[o[i].index];
		/* only shards make one set out of several files; equal stems and no extension cannot be */
		if (!i || !e->info.of || entry_cmp(o[i - 1].e, e) != 0)
			l->sets[l->n_sets++] = (struct set){.first = o[i].index};
		l->sets[l->n_sets - 1].files++;
		e->set = (uint32_t)(l->n_sets - 1);
	}
	return 0;
}

const struct name *set_name(const struct listing *l, const struct set *s)
{
	return &l->entries[s->first].info;
}

const char *set_stem(const struct listing *l, const struct set *s, size_t *len)
{
	*len = l->entries[s->first].info.stem;
	return l->entries[s->first].name;
}

static bool same_stem(const struct listing *l, const struct set *a, const struct set *b)
{
	const struct name *x = set_name(l, a), *y = set_name(l, b);
	if (x->usual >= 0 && y->usual >= 0)
		return true;
	return x->stem == y->stem && memcmp(l->entries[a->first].name, l->entries[b->first].name, x->stem) == 0;
}

static bool is_gguf(const struct name *n)
{
	return n->rank == 2;
}

bool set_is_own(const struct listing *l, const struct set *s)
{
	const struct name *n = set_name(l, s);
	size_t quantisations = 0;
	for (size_t i = 0; is_gguf(n) && i < l->n_sets && quantisations < 2; i++) {
		const struct name *other = set_name(l, &l->sets[i]);
		quantisations += is_gguf(other) && !other->projector;
	}
	return n->step || quantisations > 1;
}

void sets_look(const struct listing *l, bool adapter, struct sets_view *v)
{
	const struct set *last = NULL, *last_weak = NULL, *usual = NULL;
	*v = (struct sets_view){0};
	for (size_t i = 0; i < l->n_sets; i++) {
		const struct set *s = &l->sets[i];
		const struct name *n = set_name(l, s);
		if (set_is_own(l, s)) {
			v->own++;
			continue;
		}
		if (n->weak) {
			v->weak_stems += !last_weak || !same_stem(l, last_weak, s);
			last_weak = s;
		} else if (!n->projector) {
			v->strong++;
			v->stems += n->usual >= 0 ? !usual : !last || !same_stem(l, last, s);
			if (n->usual >= 0)
				usual = s;
			else
				last = s;
		}
		if (!v->best || name_order(n, adapter) < name_order(set_name(l, v->best), adapter))
			v->best = s;
	}
	v->usual = v->best && set_name(l, v->best)->usual >= 0;
}
