#include "core/catalog/view.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include <errno.h>
#include <string.h>

enum { GRAVES = 4096 };

struct view_model view_model_copy(const struct view_model *m)
{
	struct view_model c = {
		.id = m->id, .name = m->name, .uid = m->uid, .gid = m->gid, .mode = m->mode, .root = m->root,
		.mtime_ns = m->mtime_ns, .identity = m->identity,
	};
	atomic_init(&c.flags, atomic_load(&m->flags));
	atomic_init(&c.state, atomic_load(&m->state));
	atomic_init(&c.computed, atomic_load(&m->computed));
	return c;
}

enum { LOG_ELEMENTS = 18, LOG_BREADTH = 24 };

static uint32_t log_up(uint64_t n)
{
	return n < 2 ? (uint32_t)n : (uint32_t)MIN(64 - __builtin_clzll(n - 1), 62);
}

static uint64_t power(uint32_t flags, int shift)
{
	uint32_t n = flags >> shift & 63;
	return n ? 1ull << n : 0;
}

uint64_t view_breadth(const struct view_model *m) { return power(m->flags, LOG_BREADTH); }
uint64_t view_elements(const struct view_model *m) { return power(m->flags, LOG_ELEMENTS); }

uint32_t view_sizes(uint64_t elements, uint64_t breadth)
{
	return log_up(elements) << LOG_ELEMENTS | log_up(breadth) << LOG_BREADTH;
}

struct view *view_ref(struct view *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void view_unref(struct view *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return;
	free(v->models);
	free(v->by_id);
	free(v->pool);
	free(v->graves);
	free(v);
}

const char *view_name(const struct view *v, const struct view_model *m)
{
	return v->pool + m->name;
}

static inline unsigned rank_of(char c)
{
	return c == '/' ? 1 : c == 1 ? 2 : (unsigned char)c + 1u;
}

int view_cmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	unsigned x = *a ? rank_of(*a) : 0, y = *b ? rank_of(*b) : 0;
	return (x > y) - (x < y);
}

const struct view_model *view_by_id(const struct view *v, uint32_t id)
{
	if (!v->n || id < v->models[v->by_id[0]].id)
		return NULL;
	/* Ids grow, so it stands no later than where it would without gaps; mostly there are none. */
	uint32_t no_gaps = id - v->models[v->by_id[0]].id, lo = 0, hi = no_gaps < v->n ? no_gaps + 1 : v->n;
	for (uint32_t mid = hi - 1; lo < hi; mid = lo + (hi - lo) / 2) {
		const struct view_model *m = &v->models[v->by_id[mid]];
		if (m->id == id)
			return m;
		if (m->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static uint32_t bound(const struct view *v, const char *name, bool after)
{
	uint32_t lo = 0, hi = v->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = view_cmp(view_name(v, &v->models[mid]), name);
		if (c < 0 || (after && c == 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct view_model *view_by_name(const struct view *v, const char *name)
{
	uint32_t i = bound(v, name, false);
	return i < v->n && !strcmp(view_name(v, &v->models[i]), name) ? &v->models[i] : NULL;
}

uint32_t view_after(const struct view *v, const char *name)
{
	return bound(v, name, true);
}

/* -1 before the range, 0 inside, 1 after */
static int below(const char *name, const char *prefix, size_t len)
{
	int c = strncmp(name, prefix, len);
	if (c) {
		size_t i = 0;
		while (name[i] == prefix[i])
			i++;
		unsigned x = name[i] ? rank_of(name[i]) : 0, y = rank_of(prefix[i]);
		return x < y ? -1 : 1;
	}
	return name[len] == '/' ? 0 : name[len] ? 1 : -1;
}

void view_below(const struct view *v, const char *prefix, size_t len, uint32_t *first, uint32_t *last)
{
	*first = 0;
	*last = v->n;
	if (!len)
		return;
	for (int end = 0; end < 2; end++) {
		uint32_t lo = 0, hi = v->n;
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;
			if (below(view_name(v, &v->models[mid]), prefix, len) < end)
				lo = mid + 1;
			else
				hi = mid;
		}
		*(end ? last : first) = lo;
	}
}

const char *view_name_of(const struct view *v, uint32_t id)
{
	const struct view_model *m = view_by_id(v, id);
	if (m)
		return view_name(v, m);
	for (uint32_t i = 0; i < v->n_graves; i++)
		if (v->graves[i].id == id)
			return v->pool + v->graves[i].name;
	return NULL;
}

void view_builder_release(struct view_builder *b)
{
	free(b->models);
	free(b->pool);
	*b = (struct view_builder){0};
}

static int intern(struct view_builder *b, const char *name, uint32_t *at)
{
	size_t len = strlen(name) + 1;
	if (b->pool_len + len > UINT32_MAX || mem_grow(&b->pool, &b->pool_cap, b->pool_len + len) < 0)
		return -ENOMEM;
	memcpy(b->pool + b->pool_len, name, len);
	*at = (uint32_t)b->pool_len;
	b->pool_len += len;
	return 0;
}

int view_builder_add(struct view_builder *b, const struct view_model *m, const char *name)
{
	uint32_t at;
	if (b->n >= UINT32_MAX || mem_grow(&b->models, &b->cap, b->n + 1) < 0 || intern(b, name, &at) < 0)
		return -ENOMEM;
	struct view_model *d = &b->models[b->n++];
	*d = view_model_copy(m);
	d->name = at;
	return 0;
}

static int by_name(const void *a, const void *b, void *pool)
{
	return view_cmp((char *)pool + ((const struct view_model *)a)->name,
			(char *)pool + ((const struct view_model *)b)->name);
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct view_model *m = arg;
	uint32_t x = m[*(const uint32_t *)a].id, y = m[*(const uint32_t *)b].id;
	return (x > y) - (x < y);
}

static int bury(struct view_builder *b, struct view *v, const struct view *old)
{
	size_t cap = 0;
	for (uint32_t i = 0; old && i < old->n + old->n_graves && v->n_graves < GRAVES; i++) {
		uint32_t id = i < old->n ? old->models[i].id : old->graves[i - old->n].id;
		if (view_by_id(v, id))
			continue;
		uint32_t at;
		if (mem_grow(&v->graves, &cap, v->n_graves + 1u) < 0 || intern(b, view_name_of(old, id), &at) < 0)
			return -ENOMEM;
		v->graves[v->n_graves++] = (struct view_grave){id, at};
	}
	return 0;
}

struct view *view_build(struct view_builder *b, uint64_t generation, const struct view *old)
{
	struct view *v = mem_alloc(sizeof *v);
	if (!v)
		return NULL;
	atomic_init(&v->refs, 1);
	v->generation = generation;
	v->n = (uint32_t)b->n;
	bool sorted = true;
	for (size_t i = 1; i < b->n && sorted; i++)
		sorted = by_name(&b->models[i - 1], &b->models[i], b->pool) < 0;
	if (!sorted)
		qsort_r(b->models, b->n, sizeof *b->models, by_name, b->pool);
	v->models = b->models;
	b->models = NULL;
	v->by_id = mem_array(b->n, sizeof *v->by_id);
	if (!v->by_id) {
		view_unref(v);
		return NULL;
	}
	for (uint32_t i = 0; i < v->n; i++) {
		v->by_id[i] = i;
		v->newest_ns = MAX(v->newest_ns, v->models[i].mtime_ns);
		const char *name = b->pool + v->models[i].name;
		v->snapshot = hash64(name, strlen(name), v->snapshot ^ v->models[i].identity);
	}
	qsort_r(v->by_id, v->n, sizeof *v->by_id, by_id, v->models);
	v->pool = b->pool;	/* view_by_id needs no names; bury() may move the pool */
	int r = bury(b, v, old);
	v->pool = b->pool;
	v->pool_len = b->pool_len;
	*b = (struct view_builder){0};
	if (r < 0) {
		view_unref(v);
		return NULL;
	}
	return v;
}

static int load_row(void *arg, const struct catalog_row *r)
{
	struct view_model m = {
		.id = (uint32_t)catalog_int(r, 0),
		.root = (uint8_t)catalog_int(r, 2),
		.flags = (uint32_t)catalog_int(r, 3),
		.state = (uint8_t)catalog_int(r, 4),
		.mtime_ns = catalog_int(r, 5),
		.uid = (uint32_t)catalog_int(r, 6),
		.gid = (uint32_t)catalog_int(r, 7),
		.mode = (uint16_t)catalog_int(r, 8),
		.identity = (uint64_t)catalog_int(r, 9),
	};
	atomic_init(&m.computed, (uint64_t)catalog_int(r, 10));
	return view_builder_add(arg, &m, catalog_text(r, 1, NULL));
}

int view_load(struct view **v, struct catalog *c, uint64_t generation, const struct view *old, struct err *e)
{
	struct view_builder b = {0};
	int r = catalog_each(c, Q_MODELS, e, load_row, &b, "");
	if (r == 0 && !(*v = view_build(&b, generation, old)))
		r = err_nomem(e);
	else if (r == -ENOMEM)
		err_nomem(e);
	view_builder_release(&b);
	return r;
}
