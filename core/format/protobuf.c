/* Protocol Buffers' wire format: tags, varints, fixed numbers and ranges of bytes. */
#include "core/format/protobuf.h"

#include "core/base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int bad(const struct pb *m, const char *what, struct err *e)
{
	return err_at(e, EINVAL, source_pos(m->win->src, m->pos), "protobuf: %s at byte %" PRIu64, what, m->pos);
}

/* n bytes at pos (n at most 10), which lie in the message. */
static int look(struct pb *m, size_t n, const unsigned char **out, struct err *e)
{
	struct pb_window *w = m->win;
	if (m->pos < w->at || m->pos + n > w->at + w->len) {
		size_t len = (size_t)MIN(w->src->size - m->pos, (uint64_t)sizeof w->buf);
		w->len = 0;
		int r = source_pread(w->src, w->buf, len, m->pos, e);
		if (r < 0)
			return r;
		w->at = m->pos;
		w->len = len;
	}
	*out = w->buf + (m->pos - w->at);
	return 0;
}

static int varint(struct pb *m, uint64_t *out, struct err *e)
{
	const unsigned char *b;
	size_t have = (size_t)MIN(m->end - m->pos, (uint64_t)10);
	int r = look(m, have, &b, e);
	if (r < 0)
		return r;
	*out = 0;
	for (size_t i = 0; i < have; i++) {
		*out |= (uint64_t)(b[i] & 127) << 7 * i;
		if (!(b[i] & 128)) {
			m->pos += i + 1;
			return 0;
		}
	}
	return bad(m, have < 10 ? "a number cut short" : "a number longer than 64 bits", e);
}

static int fixed(struct pb *m, size_t n, uint64_t *out, struct err *e)
{
	const unsigned char *b;
	if (m->end - m->pos < n)
		return bad(m, "a number cut short", e);
	int r = look(m, n, &b, e);
	if (r < 0)
		return r;
	*out = 0;
	for (size_t i = n; i-- > 0;)
		*out = *out << 8 | b[i];
	m->pos += n;
	return 0;
}

int pb_next(struct pb *m, struct pb_field *f, struct err *e)
{
	uint64_t tag;
	if (m->pos >= m->end)
		return 0;
	int r = varint(m, &tag, e);
	if (r < 0)
		return r;
	*f = (struct pb_field){.number = (uint32_t)(tag >> 3), .wire = tag & 7, .pos = m->pos};
	if (!f->number || tag >> 32)
		return bad(m, "not a field", e);
	switch (f->wire) {
	case PB_VARINT: r = varint(m, &f->value, e); break;
	case PB_FIXED64: r = fixed(m, 8, &f->value, e); break;
	case PB_FIXED32: r = fixed(m, 4, &f->value, e); break;
	case PB_BYTES:
		r = varint(m, &f->size, e);
		if (r < 0)
			return r;
		f->pos = m->pos;
		if (f->size > m->end - m->pos)
			return bad(m, "a field longer than what remains", e);
		m->pos += f->size;
		return 1;
	default: return bad(m, "a kind of field that is not known", e);
	}
	f->size = m->pos - f->pos;
	return r < 0 ? r : 1;
}

int pb_packed(struct pb *m, enum pb_wire wire, uint64_t *out, struct err *e)
{
	if (m->pos >= m->end)
		return 0;
	int r = wire == PB_VARINT ? varint(m, out, e) : fixed(m, wire == PB_FIXED64 ? 8 : 4, out, e);
	return r < 0 ? r : 1;
}

int pb_string(const struct pb *m, const struct pb_field *f, struct arena *a, uint64_t max, const char **out,
	      struct err *e)
{
	if (f->wire != PB_BYTES || f->size > max)
		return bad(m, "expected a string", e);
	char *s = arena_alloc(a, f->size + 1);
	if (!s)
		return err_nomem(e);
	*out = s;
	return source_pread(m->win->src, s, f->size, f->pos, e);
}
