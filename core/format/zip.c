/* The directory of a zip: finding it, reading it, and noticing where it and the local headers disagree. */
#include "core/format/zip.h"
#include "core/format/zip_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	EOCD = 22, EOCD64 = 56, LOCATOR64 = 20, CENTRAL = 46, LOCAL = 30,
	COMMENT_MAX = 65535,
	DIRECTORY_MAX = 256 << 20,
	DEFLATE_RATIO = 1032,		/* zlib's manual: at most 1032:1 */
};

static uint16_t u16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t u32(const unsigned char *p) { return u16(p) | (uint32_t)u16(p + 2) << 16; }
static uint64_t u64(const unsigned char *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

struct opening {
	struct zip *z;
	struct weights *w;
	const char *file;
	uint64_t end;			/* where the end record (or its 64-bit form) begins: the directory ends before it */
	uint64_t dir, dir_size, count;	/* as the end record says */
	struct err *e;
};

/* --- the end record --- */

static int find_end_in(struct opening *o, size_t tail, uint64_t *at, unsigned char rec[EOCD])
{
	cleanup_free unsigned char *buf = mem_alloc(tail);
	if (!buf)
		return err_nomem(o->e);
	uint64_t base = o->z->src.size - tail;
	int r = source_pread(&o->z->src, buf, tail, base, o->e);
	if (r < 0)
		return r;
	for (size_t i = tail - EOCD + 1; i-- > 0;) {
		if (memcmp(buf + i, "PK\5\6", 4) || u16(buf + i + 20) > tail - EOCD - i)
			continue;
		*at = base + i;
		memcpy(rec, buf + i, EOCD);
		size_t after = tail - EOCD - i - u16(buf + i + 20);
		if (after &&
		    weights_warn(o->w, o->file, "trailing bytes", "%zu bytes after the end of the zip", after) < 0)
			return err_nomem(o->e);
		for (size_t k = i + EOCD; k + 4 <= tail; k++)
			if (!memcmp(buf + k, "PK\5\6", 4) || !memcmp(buf + k, "PK\1\2", 4))
				return weights_hazard(o->w, o->file, "zip-ambiguous", source_pos(&o->z->src, base + k),
						      false, "another directory in the archive's comment") < 0
					       ? err_nomem(o->e)
					       : 1;
		return 1;
	}
	return 0;
}

/* The 64-bit end record, where its locator stands before the ordinary one. */
static int read_end64(struct opening *o, uint64_t eocd, bool *found)
{
	unsigned char loc[LOCATOR64], rec[EOCD64];
	const struct source *s = &o->z->src;
	*found = false;
	if (eocd < LOCATOR64 + EOCD64)
		return 0;
	int r = source_pread(s, loc, sizeof loc, eocd - LOCATOR64, o->e);
	if (r < 0 || memcmp(loc, "PK\6\7", 4))
		return r;
	uint64_t at = u64(loc + 8);
	if (at > eocd - LOCATOR64 - EOCD64)
		return 0;
	r = source_pread(s, rec, sizeof rec, at, o->e);
	if (!r && memcmp(rec, "PK\6\6", 4)) {	/* bytes before the archive shift it: it usually stands just here */
		at = eocd - LOCATOR64 - EOCD64;
		r = source_pread(s, rec, sizeof rec, at, o->e);
	}
	if (r < 0 || memcmp(rec, "PK\6\6", 4))
		return r;
	*found = true;
	o->end = at;
	o->count = u64(rec + 32);
	o->dir_size = u64(rec + 40);
	o->dir = u64(rec + 48);
	return 0;
}

static int find_end(struct opening *o)
{
	const struct source *s = &o->z->src;
	unsigned char rec[EOCD];
	uint64_t at = 0;
	int r = 0;
	if (s->size >= EOCD)
		r = find_end_in(o, (size_t)MIN(s->size, (uint64_t)1024), &at, rec);
	if (!r && s->size > 1024)
		r = find_end_in(o, (size_t)MIN(s->size, (uint64_t)COMMENT_MAX + EOCD), &at, rec);
	if (r < 0)
		return r;
	if (!r)
		return err_at(o->e, EINVAL, source_pos(s, s->size), "expected a zip's end record, found none: "
			      "not a zip, or cut short");
	o->end = at;
	o->count = u16(rec + 10);
	o->dir_size = u32(rec + 12);
	o->dir = u32(rec + 16);
	bool wide = o->count == 0xffff || o->dir_size == 0xffffffff || o->dir == 0xffffffff, found;
	if (u16(rec + 4) && u16(rec + 4) != 0xffff)
		return err_at(o->e, ENOTSUP, source_pos(s, at), "a zip in several volumes");
	r = read_end64(o, at, &found);
	if (!r && wide && !found && o->dir == 0xffffffff)
		return err_at(o->e, EINVAL, source_pos(s, at), "expected a zip64 end record, found none");
	return r;
}

/* --- one entry --- */

/* Zip64 values stand in the extra field, in this order, each only where the 32-bit field is all ones. */
static bool widen(const unsigned char *extra, size_t len, uint64_t *fields[3], const bool want[3])
{
	while (len >= 4) {
		size_t n = u16(extra + 2);
		if (n > len - 4)
			return false;
		if (u16(extra) == 1) {
			const unsigned char *p = extra + 4;
			for (int i = 0; i < 3; i++) {
				if (!want[i])
					continue;
				if (n < 8)
					return false;
				*fields[i] = u64(p);
				p += 8;
				n -= 8;
			}
			return true;
		}
		extra += 4 + n;
		len -= 4 + n;
	}
	return !want[0] && !want[1] && !want[2];
}

static bool climbs(const char *name, size_t len)
{
	if (!len || name[0] == '/' || memchr(name, '\\', len) || memchr(name, 0, len) || (len > 1 && name[1] == ':'))
		return true;
	for (size_t i = 0; i + 1 < len; i++)
		if (name[i] == '.' && name[i + 1] == '.' && (!i || name[i - 1] == '/') &&
		    (i + 2 == len || name[i + 2] == '/'))
			return true;
	return false;
}

__attribute__((format(printf, 5, 6)))
static int hazard(struct opening *o, const struct zip_entry *t, const char *kind, bool runs, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	int r = weights_hazard(o->w, o->file, kind, source_pos(&o->z->src, t->header), runs, "%.120s: %s", t->name,
			       text);
	return r < 0 ? err_nomem(o->e) : 0;
}

/* What is odd about an entry by itself. */
static int judge(struct opening *o, struct zip_entry *t)
{
	int r = 0;
	if (climbs(t->name, t->name_len))
		r = hazard(o, t, "zip-traversal", false, "a name that leads out of where it is unpacked");
	if (!r && t->flags & 0x61) {	/* encrypted, patched, strongly encrypted */
		t->flagged = true;
		r = hazard(o, t, "zip-flags", false, "flags 0x%x say that it is encrypted or patched", t->flags);
		if (t->flags & 1 && t->method == 0 && t->stored != t->size)	/* encryption adds 12 bytes */
			t->refused = "encrypted";
	}
	if (!r && t->method == 0 && t->stored != t->size && !t->refused) {
		t->refused = "stored, but its two sizes differ";
		r = hazard(o, t, "zip-sizes", false, "stored as it is in %" PRIu64 " bytes, yet %" PRIu64 " long",
			   t->stored, t->size);
	}
	if (!r && t->method == 8 && t->size / DEFLATE_RATIO > t->stored + 1) {
		t->refused = "declares more bytes than its deflated data can hold";
		r = hazard(o, t, "zip-sizes", false, "%" PRIu64 " deflated bytes cannot hold %" PRIu64, t->stored,
			   t->size);
	}
	if (t->method != 0 && t->method != 8 && !t->refused)
		t->refused = "a compression method other than deflate";
	return r;
}

/* The local header: where the data begins, and whether it says the same as the directory. */
static int read_local(struct opening *o, struct zip_entry *t)
{
	const struct source *s = &o->z->src;
	unsigned char h[LOCAL + 256];
	size_t known = MIN((size_t)t->name_len, sizeof h - LOCAL);	/* the names should agree: one read for both */
	if (t->header > o->z->pos + o->dir || o->z->pos + o->dir - t->header < LOCAL) {
		t->refused = "its local header lies outside the archive";
		return hazard(o, t, "zip-mismatch", false, "local header at %" PRIu64 ", beyond the directory",
			      t->header);
	}
	known = (size_t)MIN((uint64_t)known, o->z->pos + o->dir - t->header - LOCAL);
	int r = source_pread(s, h, LOCAL + known, t->header, o->e);
	if (r < 0)
		return r;
	if (memcmp(h, "PK\3\4", 4)) {
		t->refused = "no local header where the directory says";
		return hazard(o, t, "zip-mismatch", false, "no local header at %" PRIu64, t->header);
	}
	t->data = t->header + LOCAL + u16(h + 26) + u16(h + 28);
	uint64_t dir = o->z->pos + o->dir;
	if (t->data > dir || t->stored > dir - t->data) {
		t->refused = "its data runs past the directory: cut short or overlapping";
		return hazard(o, t, "zip-overlap", false,
			      "%" PRIu64 " bytes at %" PRIu64 " run past the directory at %" PRIu64, t->stored, t->data,
			      dir);
	}
	size_t n = MIN((size_t)u16(h + 26), known);
	if (u16(h + 26) != t->name_len || memcmp(h + LOCAL, t->name, n))
		return hazard(o, t, "zip-mismatch", false, "called '%.*s' in its local header",
			      (int)MIN(n, (size_t)100), (char *)h + LOCAL);
	if (u16(h + 8) != t->method)
		return hazard(o, t, "zip-mismatch", false, "method %u in its local header, %u in the directory",
			      u16(h + 8), t->method);
	if (!(u16(h + 6) & 8)) {	/* otherwise sizes follow the data */
		uint64_t stored = u32(h + 18), size = u32(h + 22);
		bool want[3] = {size == 0xffffffff, stored == 0xffffffff, false};
		if ((!want[0] && size != t->size) || (!want[1] && stored != t->stored) || u32(h + 14) != t->crc)
			return hazard(o, t, "zip-mismatch", false,
				      "sizes or checksum in its local header differ from the directory's");
	}
	return 0;
}

static int read_entry(struct opening *o, const unsigned char *p, size_t left, struct zip_entry *t, size_t *used)
{
	uint64_t at = o->z->pos + o->dir + o->dir_size - left, disk = u16(p + 34);
	size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
	*used = CENTRAL + name + extra + comment;
	if (*used > left)
		return err_at(o->e, EINVAL, source_pos(&o->z->src, at), "a directory entry of %zu bytes, %zu remain",
			      *used, left);
	*t = (struct zip_entry){.name_len = (uint32_t)name, .flags = u16(p + 8), .method = u16(p + 10), .crc = u32(p + 16),
				.stored = u32(p + 20), .size = u32(p + 24), .header = u32(p + 42), .zip = o->z};
	t->name = arena_strndup(&o->w->arena, (const char *)p + CENTRAL, name);
	if (!t->name)
		return err_nomem(o->e);
	bool want[3] = {t->size == 0xffffffff, t->stored == 0xffffffff, t->header == 0xffffffff};
	uint64_t *fields[3] = {&t->size, &t->stored, &t->header};
	if (!widen(p + CENTRAL + name, extra, fields, want))
		return err_at(o->e, EINVAL, source_pos(&o->z->src, at),
			      "%.100s: its extra field is malformed or lacks zip64 sizes", t->name);
	if (disk && disk != 0xffff)
		t->refused = "on another volume";
	if (__builtin_add_overflow(t->header, o->z->pos, &t->header))
		t->header = UINT64_MAX;
	int r = judge(o, t);
	return r < 0 || t->refused ? r : read_local(o, t);
}

/* --- all entries --- */

struct order { uint64_t key; uint32_t i; };

static int by_key(const void *a, const void *b)
{
	const struct order *x = a, *y = b;
	return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->i < y->i ? -1 : x->i > y->i;
}

static int find_overlaps(struct opening *o)
{
	struct zip *z = o->z;
	cleanup_free struct order *by = mem_array(z->n, sizeof *by);
	if (!by)
		return err_nomem(o->e);
	size_t n = 0;
	for (size_t i = 0; i < z->n; i++)
		if (z->entries[i].data)
			by[n++] = (struct order){z->entries[i].header, (uint32_t)i};
	qsort(by, n, sizeof *by, by_key);
	uint64_t end = 0;
	for (size_t i = 0; i < n; i++) {
		struct zip_entry *t = &z->entries[by[i].i];
		if (i && t->header < end && !t->refused) {
			t->refused = "overlaps another entry";
			int r = hazard(o, t, "zip-overlap", false,
				       "begins at %" PRIu64 ", inside an entry that ends at %" PRIu64, t->header, end);
			if (r < 0)
				return r;
		}
		end = MAX(end, t->data + t->stored);
	}
	return 0;
}

/* qsort has no context: the entries' names are reached through pairs. */
struct named { const struct zip_entry *t; uint32_t i; };

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int c = strcmp(x->t->name, y->t->name);
	return c ? c : x->i < y->i ? -1 : x->i > y->i;
}

static int sort_names(struct opening *o)
{
	struct zip *z = o->z;
	cleanup_free struct named *by = mem_array(z->n, sizeof *by);
	z->by_name = arena_array(&o->w->arena, z->n, sizeof *z->by_name);
	if (!by || !z->by_name)
		return err_nomem(o->e);
	for (size_t i = 0; i < z->n; i++)
		by[i] = (struct named){&z->entries[i], (uint32_t)i};
	qsort(by, z->n, sizeof *by, by_name);
	for (size_t i = 0; i < z->n; i++) {
		z->by_name[i] = by[i].i;
		if (!i || strcmp(by[i].t->name, by[i - 1].t->name))
			continue;
		int r = hazard(o, by[i].t, "zip-duplicate", false, "two entries of this name");
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_directory(struct opening *o)
{
	struct zip *z = o->z;
	const struct source *s = &z->src;
	if (o->dir_size > o->end || o->dir > o->end - o->dir_size)
		return err_at(o->e, EINVAL, source_pos(s, o->end),
			      "expected a directory of %" PRIu64 " bytes at %" PRIu64 " before %" PRIu64, o->dir_size,
			      o->dir, o->end);
	if (o->count > o->dir_size / CENTRAL)
		return err_at(o->e, EINVAL, source_pos(s, o->end),
			      "%" PRIu64 " entries in a directory of %" PRIu64 " bytes", o->count, o->dir_size);
	if (o->dir_size > DIRECTORY_MAX)
		return err_set(o->e, EFBIG, "a zip directory of %" PRIu64 " bytes, at most %d are read", o->dir_size,
			       DIRECTORY_MAX);
	z->pos = o->end - o->dir_size - o->dir;
	if (z->pos &&
	    weights_hazard(o->w, o->file, "zip-prefix", source_pos(s, 0), false,
			   "%" PRIu64 " bytes before the archive: other programs may take the file for something else",
			   z->pos) < 0)
		return err_nomem(o->e);
	cleanup_free unsigned char *dir = mem_alloc(o->dir_size);
	z->entries = arena_array(&o->w->arena, o->count, sizeof *z->entries);
	if (!dir || !z->entries)
		return err_nomem(o->e);
	int r = source_pread(s, dir, o->dir_size, z->pos + o->dir, o->e);
	size_t at = 0, used;
	while (!r && z->n < o->count) {
		size_t left = o->dir_size - at;
		if (left < CENTRAL || memcmp(dir + at, "PK\1\2", 4))
			return err_at(o->e, EINVAL, source_pos(s, z->pos + o->dir + at),
				      "expected directory entry %zu of %" PRIu64 ", found something else", z->n + 1,
				      o->count);
		r = read_entry(o, dir + at, left, &z->entries[z->n], &used);
		z->n++;
		at += used;
	}
	if (!r && at < o->dir_size && weights_warn(o->w, o->file, "trailing bytes", "%" PRIu64
						   " bytes at the end of the zip's directory", o->dir_size - at) < 0)
		return err_nomem(o->e);
	return r;
}

int zip_open(struct zip *z, struct source src, struct weights *w, const char *file, struct err *e)
{
	struct err local = ERR_INIT;
	struct opening o = {.z = z, .w = w, .file = file, .e = e ? e : &local};
	*z = (struct zip){.src = src, .cursors = zip_cursors_new(), .inflatable = w->inflatable};
	if (!z->cursors)
		return err_nomem(o.e);
	int r = find_end(&o);
	if (!r)
		r = read_directory(&o);
	if (!r)
		r = find_overlaps(&o);
	if (!r)
		r = sort_names(&o);
	return r;
}

void zip_release(struct zip *z)
{
	zip_cursors_free(z->cursors);
	*z = (struct zip){0};
}

const struct zip_entry *zip_find(const struct zip *z, const char *name)
{
	size_t lo = 0, hi = z->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct zip_entry *t = &z->entries[z->by_name[mid]];
		int c = strcmp(name, t->name);
		if (!c)
			return t;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}
