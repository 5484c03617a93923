/* Windows of files, memory and inflated entries behind one read function. */
#include "core/format/source.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct source source_file(const struct io *io)
{
	return (struct source){.io = io, .size = io->size};
}

struct source source_memory(const void *mem, size_t size)
{
	return (struct source){.mem = mem, .size = size};
}

struct source source_part(const struct source *s, uint64_t off, uint64_t size)
{
	assert(off <= s->size && size <= s->size - off);
	struct source part = *s;
	part.size = size;
	if (s->mem)
		part.mem += off;
	else
		part.base += off;
	return part;
}

uint64_t source_pos(const struct source *s, uint64_t off)
{
	return s->io ? s->base + off : ERR_NOPOS;
}

int source_pread(const struct source *s, void *out, size_t len, uint64_t off, struct err *e)
{
	if (off > s->size || len > s->size - off)
		return err_at(e, EINVAL, source_pos(s, off), "expected %zu bytes at %" PRIu64 ", there are %" PRIu64,
			      len, off, s->size);
	if (!len)
		return 0;
	if (s->io)
		return io_pread(s->io, out, len, s->base + off, e);
	if (s->read)
		return s->read(s->ctx, out, len, s->base + off, e);
	memcpy(out, s->mem + off, len);
	return 0;
}
