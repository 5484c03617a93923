/* yajl behind a stream of chunks, its allocations tracked so that one that fails can unwind it. */
#include "core/base/json_sax.h"

#include "core/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

/* yajl writes through whatever malloc returns: a failure must not return to it. Its blocks are kept in a ring and
 * freed after the jump; only yajl's frames are skipped by it. */
struct block {
	_Alignas(16) struct block *prev;
	struct block *next;
};

struct memory {
	struct block ring;
	jmp_buf full;
};

static void unlink_block(struct block *b)
{
	b->prev->next = b->next;
	b->next->prev = b->prev;
}

static void link_block(struct memory *m, struct block *b)
{
	b->prev = &m->ring;
	b->next = m->ring.next;
	b->next->prev = b;
	m->ring.next = b;
}

static void *y_realloc(void *ctx, void *p, size_t n)
{
	struct memory *m = ctx;
	struct block *b = p ? (struct block *)p - 1 : NULL;
	if (b)
		unlink_block(b);
	struct block *grown = n > SIZE_MAX / 2 ? NULL : mem_realloc(b, sizeof *b + n);
	if (!grown) {
		if (b)
			link_block(m, b);
		longjmp(m->full, 1);
	}
	link_block(m, grown);
	return grown + 1;
}

static void *y_malloc(void *ctx, size_t n)
{
	return y_realloc(ctx, NULL, n);
}

static void y_free(void *ctx, void *p)
{
	(void)ctx;
	if (!p)
		return;
	struct block *b = (struct block *)p - 1;
	unlink_block(b);
	free(b);
}

static int bad_json(yajl_handle h, uint64_t base, struct err *e)
{
	unsigned char *why = yajl_get_error(h, 0, NULL, 0);
	uint64_t at = base + yajl_get_bytes_consumed(h);
	size_t n = why ? strcspn((char *)why, "\n") : 0;
	int r = err_at(e, EINVAL, at, "not JSON: %.*s", (int)n, why ? (char *)why : "");
	if (why)
		yajl_free_error(h, why);
	return r;
}

static int feed(yajl_handle h, const struct json_source *src, struct err *e)
{
	uint64_t base = 0;
	yajl_status s = yajl_status_ok;
	while (s == yajl_status_ok) {
		const char *p;
		size_t n;
		int r = src->next(src->ctx, &p, &n, e);
		if (r < 0)
			return r;
		s = n ? yajl_parse(h, (const unsigned char *)p, n) : yajl_complete_parse(h);
		if (s == yajl_status_ok && !n)
			return 0;
		if (s == yajl_status_ok)
			base += n;
	}
	if (s == yajl_status_error)
		return bad_json(h, base, e);
	e->pos = base + yajl_get_bytes_consumed(h);
	return -ECANCELED;
}

/* In a frame of its own: `m` lives in the caller's, so that it is defined after the jump. */
static int guarded(struct memory *m, const yajl_callbacks *events, void *ctx,
		   const struct json_source *src, struct err *e)
{
	yajl_alloc_funcs funcs = {y_malloc, y_realloc, y_free, m};
	if (setjmp(m->full))
		return err_nomem(e);
	yajl_handle h = yajl_alloc(events, &funcs, ctx);
	int r = feed(h, src, e);
	yajl_free(h);
	return r;
}

int json_sax(const yajl_callbacks *events, void *ctx, const struct json_source *src, struct err *e)
{
	struct memory m = {.ring = {&m.ring, &m.ring}};
	int r = guarded(&m, events, ctx, src, e);
	for (struct block *b = m.ring.next, *next; b != &m.ring; b = next) {
		next = b->next;
		free(b);
	}
	return r;
}
