#ifndef TARN_FORMAT_SOURCE_H
#define TARN_FORMAT_SOURCE_H
/*
 * Bytes to read from: a window of a file, memory, or an entry of an archive that has to be inflated.
 * A plain value without ownership; what it points to must outlive it.
 */
#include "core/base/io.h"

struct source {
	const struct io *io;		/* bytes [base, base+size) of this file, or */
	const unsigned char *mem;	/* size bytes here, or */
	int (*read)(const void *ctx, void *out, size_t len, uint64_t off, struct err *e);
	const void *ctx;
	uint64_t base, size;
};

struct source source_file(const struct io *io);
struct source source_memory(const void *mem, size_t size);
/* The part [off, off+size) of s, which must lie within it. */
struct source source_part(const struct source *s, uint64_t off, uint64_t size);

/* Read exactly len bytes at off. Beyond its size: EINVAL with both lengths. */
int source_pread(const struct source *s, void *out, size_t len, uint64_t off, struct err *e);
/* The position in the file of byte `off`, for messages; ERR_NOPOS where it has none. */
uint64_t source_pos(const struct source *s, uint64_t off);

#endif
