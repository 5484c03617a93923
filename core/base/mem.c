#include "core/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic uint64_t fail_at, counted;

void mem_fail_at(uint64_t nth)
{
	counted = 0;
	fail_at = nth;
}

uint64_t mem_count(void)
{
	return counted;
}

static bool refused(void)
{
	if (!atomic_load_explicit(&fail_at, memory_order_relaxed))
		return false;
	return atomic_fetch_add(&counted, 1) + 1 == fail_at;
}

void *mem_alloc(size_t size)
{
	return refused() ? NULL : calloc(1, size ? size : 1);
}

void *mem_array(size_t n, size_t size)
{
	size_t bytes;
	return refused() || __builtin_mul_overflow(n, size, &bytes) ? NULL : calloc(1, bytes ? bytes : 1);
}

void *mem_realloc(void *p, size_t size)
{
	return refused() ? NULL : realloc(p, size ? size : 1);
}

char *mem_strndup(const char *s, size_t n)
{
	char *d = refused() ? NULL : malloc(n + 1);
	if (d) {
		memcpy(d, s, n);
		d[n] = 0;
	}
	return d;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

int mem_grow_(void **p, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return 0;
	size_t n = *cap < 8 ? 8 : *cap + *cap / 2, bytes;
	if (n < need)
		n = need;
	if (__builtin_mul_overflow(n, size, &bytes))
		return -ENOMEM;
	void *q = mem_realloc(*p, bytes);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = n;
	return 0;
}

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	bool over = size > SIZE_MAX / 2;
	size = over ? 0 : (size + 15) & ~(size_t)15;
	over |= a->limit && (size > a->limit || a->used > a->limit - size);
	a->full |= over;
	if (over)
		return NULL;
	struct arena_block *b = a->head;
	if (!b || b->size - b->used < size) {
		size_t want = b ? MIN(b->size * 2, (size_t)1 << 20) : 1024;
		if (want < size)
			want = size;
		b = refused() ? NULL : malloc(sizeof *b + want);
		if (!b)
			return NULL;
		*b = (struct arena_block){.next = a->head, .size = want};
		a->head = b;
	}
	void *p = b->data + b->used;
	b->used += size;
	a->used += size;
	return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;
	return arena_alloc(a, __builtin_mul_overflow(n, size, &bytes) ? SIZE_MAX : bytes);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *d = arena_alloc(a, n + 1);
	if (d)
		memcpy(d, s, n);
	return d;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *d = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (d)
		vsnprintf(d, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return d;
}

void arena_release(struct arena *a)
{
	for (struct arena_block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	a->head = NULL;
	a->used = 0;
}
