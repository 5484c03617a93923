#ifndef TARN_FORMAT_CURSOR_H
#define TARN_FORMAT_CURSOR_H
/* Reading a source forwards through a window: headers of small fields between large data that is skipped. */
#include "core/format/source.h"

struct cursor {
	const struct source *src;
	uint64_t pos;			/* the next byte */
	uint64_t at;			/* of buf */
	size_t len;
	unsigned char buf[16384];
};

/* n bytes (at most 16384) at pos, then advance; *out stays valid until the next call. EINVAL where the source ends before. */
int cursor_take(struct cursor *c, size_t n, const unsigned char **out, struct err *e);
/* n bytes to `out`, of any number. */
int cursor_read(struct cursor *c, void *out, size_t n, struct err *e);
int cursor_skip(struct cursor *c, uint64_t n, struct err *e);
/* A little-endian number of n bytes. */
int cursor_number(struct cursor *c, size_t n, uint64_t *out, struct err *e);
static inline uint64_t cursor_left(const struct cursor *c) { return c->src->size - c->pos; }

#endif
