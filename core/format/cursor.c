/* A window that follows a position through a source. */
#include "core/format/cursor.h"

#include "core/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int ends(const struct cursor *c, uint64_t n, struct err *e)
{
	return err_at(e, EINVAL, source_pos(c->src, c->pos),
		      "expected %" PRIu64 " bytes at %" PRIu64 ", %" PRIu64 " remain: cut short", n, c->pos,
		      cursor_left(c));
}

int cursor_take(struct cursor *c, size_t n, const unsigned char **out, struct err *e)
{
	assert(n <= sizeof c->buf);
	if (n > cursor_left(c))
		return ends(c, n, e);
	if (c->pos < c->at || c->pos + n > c->at + c->len) {
		size_t len = (size_t)MIN(cursor_left(c), (uint64_t)sizeof c->buf);
		c->len = 0;
		int r = source_pread(c->src, c->buf, len, c->pos, e);
		if (r < 0)
			return r;
		c->at = c->pos;
		c->len = len;
	}
	*out = c->buf + (c->pos - c->at);
	c->pos += n;
	return 0;
}

int cursor_read(struct cursor *c, void *out, size_t n, struct err *e)
{
	const unsigned char *b;
	if (n > cursor_left(c))
		return ends(c, n, e);
	if (n <= sizeof c->buf) {
		int r = cursor_take(c, n, &b, e);
		if (!r)
			memcpy(out, b, n);
		return r;
	}
	int r = source_pread(c->src, out, n, c->pos, e);
	c->pos += n;
	return r;
}

int cursor_skip(struct cursor *c, uint64_t n, struct err *e)
{
	if (n > cursor_left(c))
		return ends(c, n, e);
	c->pos += n;
	return 0;
}

int cursor_number(struct cursor *c, size_t n, uint64_t *out, struct err *e)
{
	const unsigned char *b;
	int r = cursor_take(c, n, &b, e);
	if (r < 0)
		return r;
	*out = 0;
	while (n--)
		*out = *out << 8 | b[n];
	return 0;
}
