#ifndef TARN_FORMAT_PROTOBUF_H
#define TARN_FORMAT_PROTOBUF_H
/*
 * Protocol Buffers' wire format (protobuf.dev/programming-guides/encoding), read field by field from a source through a
 * window. A message is a range of bytes; whoever knows the schema descends into the ranges that are messages.
 */
#include "core/format/source.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_window { const struct source *src; uint64_t at; size_t len; unsigned char buf[16384]; };

struct pb {
	struct pb_window *win;		/* shared by all messages of one source */
	uint64_t pos, end;
};

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t value;			/* of a varint or a fixed number */
	uint64_t pos, size;		/* where its bytes are; of numbers: their encoding */
};

/* The next field: 1, or 0 at the end of the message, or -errno (EINVAL with the offset). */
int pb_next(struct pb *m, struct pb_field *f, struct err *e);
/* One number of a packed field (a range of bytes without tags): 1, 0 at its end, -errno. */
int pb_packed(struct pb *m, enum pb_wire wire, uint64_t *out, struct err *e);
/* The message that is a field's content. */
static inline struct pb pb_inside(const struct pb *m, const struct pb_field *f)
{
	return (struct pb){m->win, f->pos, f->pos + f->size};
}
/* Its bytes as a string in the arena, NUL-terminated, at most `max` (EINVAL beyond). */
struct arena;
int pb_string(const struct pb *m, const struct pb_field *f, struct arena *a, uint64_t max, const char **out,
	      struct err *e);

#endif
