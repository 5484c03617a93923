#ifndef TARN_FORMAT_ZIP_H
#define TARN_FORMAT_ZIP_H
/*
 * Zip archives (PKWARE APPNOTE 6.3.9), read by their central directory: zip64, stored and deflated
 * entries. What deceives one reader or another (overlapping entries, sizes that lie, a local header
 * that says otherwise, names that climb out, bytes before the archive) is told to w as hazards and
 * warnings; entries that cannot be read carry the reason. Inflating is bounded by the entry's
 * declared size, which is bounded by what deflate can do to its stored bytes; while w is being opened
 * also by w->inflatable (EFBIG).
 */
#include "core/format/format.h"
#include "core/format/source.h"

struct zip;

struct zip_entry {
	const char *name;	/* as in the central directory; in w's arena */
	uint32_t name_len;	/* may hold NULs */
	uint16_t method, flags;
	uint64_t header, data;	/* offsets in the archive's source */
	uint64_t stored, size;
	uint32_t crc;
	bool flagged;		/* says that it is encrypted */
	const char *refused;	/* why its content is not read, or NULL */
	struct zip *zip;
};

struct zip_cursor;

struct zip {
	struct source src;
	uint64_t pos;			/* of the archive in its source: bytes before it */
	struct zip_entry *entries;	/* in the directory's order; in w's arena */
	uint32_t *by_name;		/* sorted */
	size_t n;
	struct zip_cursor *cursors;	/* inflating, kept between reads; its own lock */
	uint64_t *inflatable;		/* w's */
};

/* `z` zeroed. Errors: EINVAL not a zip or a directory that cannot be followed, EFBIG, ENOMEM, EIO. */
int zip_open(struct zip *z, struct source src, struct weights *w, const char *file, struct err *e);
void zip_release(struct zip *z);

const struct zip_entry *zip_find(const struct zip *z, const char *name);
/* The entry's content, to be read by several threads at once. Errors: ENOTSUP where it is refused. */
int zip_source(const struct zip_entry *entry, struct source *out, struct err *e);
/* The whole content on the heap (NUL after it), at most `max` bytes (EFBIG). */
int zip_slurp(const struct zip_entry *entry, uint64_t max, char **out, size_t *len, struct err *e);
/* Read it all: does its checksum hold? 1 yes, 0 no, -errno */
int zip_check(const struct zip_entry *entry, struct err *e);

#endif
