#include "core/base/tree_builder.h"

#include <errno.h>
#include <string.h>

void builder_init(struct builder *b, struct arena *a, const struct value_limits *lim, struct value *out, struct err *e)
{
	*b = (struct builder){.arena = a, .root = out, .err = e, .lim = lim ? *lim : (struct value_limits){0}};
	if (!b->lim.depth)
		b->lim.depth = 64;
	if (!b->lim.count)
		b->lim.count = 1 << 22;
	*out = (struct value){.kind = VALUE_NULL};
}

static int fail(struct builder *b, int r)
{
	b->failed = r;
	return r;
}

static int nomem(struct builder *b)
{
	return fail(b, err_nomem(b->err));
}

/* The slot for the next value: an array element, a member or the root. */
static struct value *slot(struct builder *b)
{
	if (!b->top) {
		if (b->have_root) {
			fail(b, err_set(b->err, EINVAL, "more than one value"));
			return NULL;
		}
		b->have_root = true;
		return b->root;
	}
	struct value *v = b->top->into;
	bool obj = v->kind == VALUE_OBJECT;
	size_t n = obj ? v->obj.n : v->arr.n, size = obj ? sizeof(struct member) : sizeof(struct value);
	if (n == b->top->cap) {		/* arenas cannot grow in place: double, the old half is lost */
		size_t cap = n ? n * 2 : 4;
		void *p = arena_array(b->arena, cap, size);
		if (!p) {
			nomem(b);
			return NULL;
		}
		void *old = obj ? (void *)v->obj.items : (void *)v->arr.items;
		if (n)
			memcpy(p, old, n * size);
		if (obj)
			v->obj.items = p;
		else
			v->arr.items = p;
		b->top->cap = cap;
	}
	if (!obj)
		return &v->arr.items[v->arr.n++];
	if (!b->top->key) {
		fail(b, err_set(b->err, EINVAL, "a value without a key"));
		return NULL;
	}
	v->obj.items[v->obj.n].key = steal(&b->top->key);
	return &v->obj.items[v->obj.n++].value;
}

static struct value *put(struct builder *b, struct value v)
{
	if (b->failed)
		return NULL;
	if (++b->count > b->lim.count) {
		fail(b, err_set(b->err, E2BIG, "more than %zu values", b->lim.count));
		return NULL;
	}
	struct value *s = slot(b);
	if (s)
		*s = v;
	return s;
}

int builder_key(struct builder *b, const char *s, size_t len)
{
	if (b->failed)
		return b->failed;
	if (!b->top || b->top->into->kind != VALUE_OBJECT)
		return fail(b, err_set(b->err, EINVAL, "a key outside an object"));
	b->top->key = arena_strndup(b->arena, s, len);
	return b->top->key ? 0 : nomem(b);
}

int builder_add(struct builder *b, struct value v)
{
	if (v.kind == VALUE_STRING && !b->failed) {
		v.str.s = arena_strndup(b->arena, v.str.s, v.str.len);
		if (!v.str.s)
			return nomem(b);
	}
	return put(b, v) ? 0 : b->failed;
}

int builder_open(struct builder *b, enum value_kind kind)
{
	if (!b->failed && b->depth >= b->lim.depth)
		return fail(b, err_set(b->err, E2BIG, "nested more than %zu deep", b->lim.depth));
	struct value *v = put(b, (struct value){.kind = kind});
	if (!v)
		return b->failed;
	struct builder_frame *f = arena_alloc(b->arena, sizeof *f);
	if (!f)
		return nomem(b);
	*f = (struct builder_frame){.up = b->top, .into = v};
	b->top = f;
	b->depth++;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
	int c = strcmp(x->key, y->key);
	return c ? c : (x > y) - (x < y);
}

/* Duplicate keys: refused, or the last wins. Sorted pointers, so that a hostile object costs n log n. */
static int check_keys(struct builder *b, struct value *v)
{
	size_t n = v->obj.n;
	if (n < 2)
		return 0;
	cleanup_free struct member **order = mem_array(n, sizeof *order);
	if (!order)
		return nomem(b);
	for (size_t i = 0; i < n; i++)
		order[i] = &v->obj.items[i];
	qsort(order, n, sizeof *order, by_key);
	bool dropped = false;
	for (size_t i = 1; i < n; i++) {
		if (strcmp(order[i - 1]->key, order[i]->key))
			continue;
		if (!b->keep_last)
			return fail(b, err_set(b->err, EINVAL, "the key '%.80s' appears twice", order[i]->key));
		order[i - 1]->key = NULL;
		order[i - 1] = order[i];	/* never compare with a dropped key */
		dropped = true;
	}
	if (dropped) {
		size_t m = 0;
		for (size_t i = 0; i < n; i++)
			if (v->obj.items[i].key)
				v->obj.items[m++] = v->obj.items[i];
		v->obj.n = m;
	}
	return 0;
}

int builder_close(struct builder *b)
{
	if (b->failed)
		return b->failed;
	struct builder_frame *f = b->top;
	if (!f)
		return fail(b, err_set(b->err, EINVAL, "an end without a beginning"));
	if (f->into->kind == VALUE_OBJECT) {
		int r = check_keys(b, f->into);
		if (r < 0)
			return r;
	}
	b->top = f->up;
	b->depth--;
	return 0;
}
