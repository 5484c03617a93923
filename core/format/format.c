/* The table of formats, and what all of them share: opening, appending, checking and reading contiguous tensors. */
#include "core/format/formats_internal.h"

#include "core/base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	PROBE = 4096,
	HEAD = 16384,			/* read of every file before anything else: most headers whole */
	CHUNK = 32768,			/* of stored bytes decoded at a time: stays in the first-level cache */
	WARNINGS = 1000,		/* kept a model; a hostile file could make millions */
	ARENA_LIMIT = 1 << 30,
	INFLATED = 64 << 20,		/* bytes that opening may inflate, and */
	INFLATED_TIMES = 16,		/* these for each of the files' own */
};

const struct format *const formats[] = {
	&format_gguf,
	&format_safetensors,
	&format_npy,
	&format_npz,
	&format_onnx,
	&format_ggml,
	&format_msgpack,
	&format_hdf5,
	&format_keras,
	&format_pytorch,
	NULL,
};

const struct format *format_by_name(const char *name)
{
	for (size_t i = 0; formats[i]; i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

static const struct format *probe(const unsigned char *head, size_t len, uint64_t size)
{
	const struct format *best = NULL;
	int score = 0;
	for (size_t i = 0; formats[i]; i++) {
		int s = formats[i]->probe(head, MIN(len, (size_t)PROBE), size);
		if (s > score) {
			score = s;
			best = formats[i];
		}
	}
	return best;
}

static int unknown(const unsigned char *head, size_t len, struct err *e)
{
	char hex[3 * 8 + 1] = "";
	if (!len)
		return err_at(e, EINVAL, 0, "the file is empty");
	for (size_t i = 0; i < MIN(len, (size_t)8); i++)
		snprintf(hex + 3 * i, 4, " %02x", head[i]);
	return err_at(e, EINVAL, 0, "not a known format: begins with%s", hex);
}

const struct format *format_probe(const struct io *io, struct err *e)
{
	unsigned char head[PROBE];
	size_t len = MIN(io->size, (uint64_t)PROBE);
	if (io_pread(io, head, len, 0, e) < 0)
		return NULL;
	const struct format *f = probe(head, len, io->size);
	if (!f)
		unknown(head, len, e);
	return f;
}

/* --- opening --- */

int head_pread(const struct weights_file *f, void *out, size_t len, uint64_t off, struct err *e)
{
	if (f->head && off <= f->head_len && len <= f->head_len - off) {
		memcpy(out, f->head + off, len);
		return 0;
	}
	return io_pread(&f->io, out, len, off, e);
}

static int read_heads(struct weights *w, unsigned char *heads, struct err *e)
{
	for (size_t i = 0; i < w->n_files; i++) {
		struct weights_file *f = &w->files[i];
		w->reading = (uint32_t)i;
		f->head = heads + i * HEAD;
		f->head_len = MIN(f->io.size, (uint64_t)HEAD);
		int r = io_pread(&f->io, heads + i * HEAD, f->head_len, 0, e);
		if (r < 0)
			return r;
		const struct format *is = probe(f->head, f->head_len, f->io.size);
		if (!is)
			return unknown(f->head, f->head_len, e);
		if (i && is != w->format)
			return err_set(e, EINVAL, "expected another shard of %s, found %s", w->format->name, is->name);
		w->format = is;
	}
	w->reading = 0;
	return 0;
}

/* A small archive can hold very long entries, and be read to and fro: the work is bounded by what there is on disk. */
static int allow_inflating(struct weights *w, struct err *e)
{
	uint64_t size = 0;
	w->inflatable = arena_alloc(&w->arena, sizeof *w->inflatable);
	if (!w->inflatable)
		return err_nomem(e);
	for (size_t i = 0; i < w->n_files; i++)
		size += MIN(w->files[i].io.size, UINT64_MAX / 64 / w->n_files);
	*w->inflatable = INFLATED + INFLATED_TIMES * size;
	return 0;
}

static int open_files(struct weights *w, struct err *e)
{
	cleanup_free unsigned char *heads = mem_array(w->n_files, HEAD);
	if (!heads)
		return err_nomem(e);
	int r = allow_inflating(w, e);
	if (!r)
		r = read_heads(w, heads, e);
	if (!r)
		r = w->format->open(w, e);
	if (!r)
		*w->inflatable = UINT64_MAX;
	for (size_t i = 0; i < w->n_files; i++)
		w->files[i].head = NULL;
	if (r < 0 && e && e->code)
		err_prefix(e, "%s: ", w->files[w->reading].path);
	return r;
}

/* Takes the ios also on error. */
static int adopt_files(struct weights *w, struct io *ios, const char *const *paths, size_t n, struct err *e)
{
	*w = (struct weights){.arena.limit = ARENA_LIMIT, .meta.kind = VALUE_OBJECT};
	w->files = arena_array(&w->arena, n, sizeof *w->files);
	for (size_t i = 0; i < n && !w->files; i++)
		io_close(&ios[i]);
	if (!w->files)
		return err_nomem(e);
	w->n_files = n;
	for (size_t i = 0; i < n; i++) {
		w->files[i].io = ios[i];
		ios[i] = IO_INIT;
	}
	for (size_t i = 0; i < n; i++) {
		w->files[i].path = arena_strdup(&w->arena, paths[i]);
		if (!w->files[i].path)
			return err_nomem(e);
	}
	return 0;
}

int weights_open_io(struct weights *w, struct io *ios, const char *const *paths, size_t n, struct err *e)
{
	return weights_open_beside(w, ios, paths, n, NULL, e);
}

int weights_open_beside(struct weights *w, struct io *ios, const char *const *paths, size_t n,
			const struct beside *beside, struct err *e)
{
	struct err local = ERR_INIT;
	int r = adopt_files(w, ios, paths, n, e);
	w->beside = beside;
	if (!r)
		r = n ? open_files(w, e ? e : &local) : err_set(e, EINVAL, "no files");
	w->beside = NULL;
	if (r == -ENOMEM && w->arena.full) {	/* by one that asks for too much nobody else may be harmed */
		r = weights_nomem(w, e);
		if (e)
			err_prefix(e, "%s: ", w->files[w->reading].path);
	}
	w->arena.limit = 0;	/* what is made of the tensors from now on is in proportion to them */
	w->arena.full = false;
	if (r < 0)
		weights_release(w);
	return r;
}

struct directory { int fd; const char *const *paths; };

static int open_beside(void *ctx, uint32_t file, const char *name, struct io *io, struct err *e)
{
	const struct directory *d = ctx;
	const char *path = d->paths[file], *slash = strrchr(path, '/');
	char full[4096];
	int n = snprintf(full, sizeof full, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
	if (n < 0 || (size_t)n >= sizeof full)
		return err_set(e, ENAMETOOLONG, "a path of %d bytes", n);
	return io_open(io, d->fd, full, e);
}

int weights_open(struct weights *w, int dirfd, const char *const *paths, size_t n, struct err *e)
{
	struct io one, *ios = &one;
	cleanup_free struct io *many = NULL;
	*w = (struct weights){0};
	if (n > 1) {
		ios = many = mem_array(n, sizeof *many);
		if (!many)
			return err_nomem(e);
	}
	for (size_t i = 0; i < n; i++) {
		int r = io_open(&ios[i], dirfd, paths[i], e);
		if (r < 0) {
			for (size_t j = 0; j < i; j++)
				io_close(&ios[j]);
			return e ? err_prefix(e, "%s: ", paths[i]) : r;
		}
	}
	struct directory d = {dirfd, paths};
	return weights_open_beside(w, ios, paths, n, &(struct beside){open_beside, &d}, e);
}

void weights_release(struct weights *w)
{
	if (w->format && w->format->close)
		w->format->close(w);
	for (size_t i = 0; i < w->n_files; i++)
		io_close(&w->files[i].io);
	arena_release(&w->arena);
	*w = (struct weights){0};
}

/* --- looking up and reading --- */

const struct tensor *weights_find(const struct weights *w, const char *name)
{
	for (size_t i = 0; i < w->n_tensors; i++)
		if (!strcmp(w->tensors[i].name, name))
			return &w->tensors[i];
	return NULL;
}

/* One block, of which elements [skip, skip+n) are wanted. */
static int read_part(const struct weights *w, const struct tensor *t, uint64_t block, uint32_t skip, uint32_t n,
		     float *out, struct err *e)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	unsigned char raw[512];
	float f[256];
	int r = io_pread(&w->files[t->file].io, raw, d->bytes, t->offset + block * d->bytes, e);
	if (r < 0)
		return r;
	d->to_f32(raw, f, d->block);
	memcpy(out, f + skip, n * sizeof *f);
	return 0;
}

static int read_blocks(const struct weights *w, const struct tensor *t, uint64_t block, uint64_t n, float *out,
		       struct err *e)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	const struct io *io = &w->files[t->file].io;
	uint64_t off = t->offset + block * d->bytes;
	if (t->dtype == DTYPE_F32)
		return io_pread(io, out, n * sizeof *out, off, e);
	_Alignas(64) unsigned char raw[CHUNK];
	while (n) {
		uint64_t m = MIN(n, (uint64_t)CHUNK / d->bytes);
		int r = io_pread(io, raw, m * d->bytes, off, e);
		if (r < 0)
			return r;
		d->to_f32(raw, out, m * d->block);
		n -= m;
		off += m * d->bytes;
		out += m * d->block;
	}
	return 0;
}

static int read_contiguous(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
			   struct err *e)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	if (!d->to_f32 || !d->bytes)
		return err_set(e, ENOTSUP, "%s: values of type %s are not read", t->name, d->name);
	uint64_t block = first / d->block, skip = first % d->block;
	int r = 0;
	if (skip) {
		uint32_t m = (uint32_t)MIN(n, d->block - skip);
		r = read_part(w, t, block, (uint32_t)skip, m, out, e);
		block++;
		n -= m;
		out += m;
	}
	uint64_t whole = n / d->block, rest = n % d->block;
	if (!r && whole)
		r = read_blocks(w, t, block, whole, out, e);
	if (!r && rest)
		r = read_part(w, t, block + whole, 0, (uint32_t)rest, out + whole * d->block, e);
	return r;
}

int weights_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out, struct err *e)
{
	if (first > t->elements || n > t->elements - first)
		return err_set(e, EINVAL, "%s: elements %" PRIu64 "+%" PRIu64 " asked for, it has %" PRIu64,
			       t->name, first, n, t->elements);
	if (!n)
		return 0;
	return w->format->read ? w->format->read(w, t, first, n, out, e) : read_contiguous(w, t, first, n, out, e);
}

int weights_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
		     struct err *e)
{
	if (off > t->bytes || n > t->bytes - off)
		return err_set(e, EINVAL, "%s: bytes %" PRIu64 "+%" PRIu64 " asked for, it has %" PRIu64,
			       t->name, off, n, t->bytes);
	if (!n)
		return 0;
	if (w->format->read_raw)
		return w->format->read_raw(w, t, off, n, out, e);
	return io_pread(&w->files[t->file].io, out, n, t->offset + off, e);
}

/* --- for the formats --- */

int weights_nomem(const struct weights *w, struct err *e)
{
	if (w->arena.full)
		return err_set(e, EFBIG, "its headers would take more than %zu MiB of memory", w->arena.limit >> 20);
	return err_nomem(e);
}

struct tensor *weights_add(struct weights *w, size_t *cap, struct err *e)
{
	if (w->n_tensors >= *cap) {	/* arenas cannot grow in place: double, the old half is lost */
		size_t n = w->n_tensors ? w->n_tensors * 2 : 32;
		struct tensor *p = w->n_tensors < UINT32_MAX / 2 ? arena_array(&w->arena, n, sizeof *p) : NULL;
		if (!p) {
			weights_nomem(w, e);
			return NULL;
		}
		if (w->n_tensors)
			memcpy(p, w->tensors, w->n_tensors * sizeof *p);
		w->tensors = p;
		*cap = n;
	}
	return &w->tensors[w->n_tensors++];
}

int tensor_measure(struct tensor *t, struct err *e)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	uint64_t n = 1;
	if (t->ndim > TENSOR_DIMS)
		return err_set(e, EINVAL, "%.200s: %u dimensions, at most %d are read", t->name, t->ndim, TENSOR_DIMS);
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(n, t->shape[i], &n))
			return err_set(e, EINVAL, "%.200s: its shape overflows 64 bits", t->name);
	if (d->bytes && !dtype_size(t->dtype, n, &t->bytes))
		return err_set(e, EINVAL, "%.200s: %" PRIu64 " elements of %s are %s", t->name, n, d->name,
			       n % d->block ? "not whole blocks" : "more than 64 bits of bytes");
	t->elements = n;
	return 0;
}

int tensor_check(const struct weights *w, const struct tensor *t, struct err *e)
{
	uint64_t size = w->files[t->file].io.size;
	if (t->offset > size || t->bytes > size - t->offset)
		return err_at(e, EINVAL, t->offset,
			      "%.200s: expected %" PRIu64 " bytes at %" PRIu64 ", the file has %" PRIu64, t->name,
			      t->bytes, t->offset, size);
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct tensor *x = a, *y = b;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

int weights_cover(struct weights *w, size_t first, uint64_t begin, uint64_t align, struct err *e)
{
	const struct weights_file *f = &w->files[w->reading];
	uint64_t at = begin, holes = 0, overlaps = 0;
	const char *hole = "", *overlap = "";
	for (size_t i = first + 1; i < w->n_tensors; i++)
		if (by_offset(&w->tensors[i - 1], &w->tensors[i]) > 0) {
			qsort(w->tensors + first, w->n_tensors - first, sizeof *w->tensors, by_offset);
			break;
		}
	for (size_t i = first; i < w->n_tensors; i++) {
		const struct tensor *t = &w->tensors[i];
		if (t->offset > at && t->offset - at >= align && !holes++)
			hole = t->name;
		if (t->offset < at && t->bytes && !overlaps++)
			overlap = t->name;
		at = MAX(at, t->offset + t->bytes);
	}
	int r = 0;
	if (holes)
		r = weights_warn(w, f->path, "hole",
				 "bytes that no tensor holds before '%.150s' (%" PRIu64 " such holes)", hole, holes);
	if (!r && overlaps)
		r = weights_warn(w, f->path, "overlap", "'%.150s' shares bytes with another tensor (%" PRIu64 " do)",
				 overlap, overlaps);
	if (!r && at < f->io.size && f->io.size - at >= align)
		r = weights_warn(w, f->path, "trailing bytes",
				 "%" PRIu64 " bytes after the last tensor, which ends at %" PRIu64, f->io.size - at,
				 at);
	return r < 0 ? weights_nomem(w, e) : 0;
}

/* Room for one more in an arena array whose capacity is the power of two at or above n. */
static void *append(struct arena *a, void *items, size_t *n, size_t size)
{
	char *p = items;
	if ((*n & (*n - 1)) == 0) {
		p = arena_array(a, *n ? *n * 2 : 1, size);
		if (p && *n)
			memcpy(p, items, *n * size);
	}
	if (p)
		++*n;
	return p;
}

__attribute__((format(printf, 2, 0)))
static char *detail(struct weights *w, const char *fmt, va_list ap)
{
	char text[512];
	vsnprintf(text, sizeof text, fmt, ap);
	return arena_strdup(&w->arena, text);
}

int weights_warn(struct weights *w, const char *file, const char *problem, const char *fmt, ...)
{
	if (w->n_warnings >= WARNINGS)
		return 0;
	va_list ap;
	va_start(ap, fmt);
	char *text = detail(w, fmt, ap);
	va_end(ap);
	struct warning *p = text ? append(&w->arena, w->warnings, &w->n_warnings, sizeof *p) : NULL;
	if (!p)
		return -ENOMEM;
	w->warnings = p;
	p[w->n_warnings - 1] = (struct warning){file, problem, text};
	return 0;
}

int weights_hazard(struct weights *w, const char *file, const char *kind, uint64_t pos, bool runs_code,
		   const char *fmt, ...)
{
	if (w->n_hazards >= (runs_code ? 2 * WARNINGS : WARNINGS))	/* oddities leave room for what matters */
		return 0;
	va_list ap;
	va_start(ap, fmt);
	char *text = detail(w, fmt, ap);
	va_end(ap);
	struct hazard *p = text ? append(&w->arena, w->hazards, &w->n_hazards, sizeof *p) : NULL;
	if (!p)
		return -ENOMEM;
	w->hazards = p;
	p[w->n_hazards - 1] = (struct hazard){file, kind, text, pos, runs_code};
	return 0;
}

struct name_key { uint64_t hash; const char *name; };

static int by_hash(const void *a, const void *b)
{
	const struct name_key *x = a, *y = b;
	return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : strcmp(x->name, y->name);
}

/* Sorted by hash, then name: fast for a million, and n log n whatever someone has made the hashes be. */
int weights_check_names(const struct weights *w, struct err *e)
{
	struct name_key few[64], *keys = few;
	cleanup_free struct name_key *many = NULL;
	if (w->n_tensors > COUNT(few)) {
		keys = many = mem_array(w->n_tensors, sizeof *many);
		if (!many)
			return err_nomem(e);
	}
	for (size_t i = 0; i < w->n_tensors; i++)
		keys[i] = (struct name_key){hash64(w->tensors[i].name, strlen(w->tensors[i].name), 0),
					    w->tensors[i].name};
	qsort(keys, w->n_tensors, sizeof *keys, by_hash);
	for (size_t i = 1; i < w->n_tensors; i++)
		if (!by_hash(&keys[i - 1], &keys[i]))
			return err_set(e, EINVAL, "two tensors are named '%.200s'", keys[i].name);
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

/* A copy is sorted, so that a hostile header costs n log n. */
int weights_check_keys(struct weights *w, const struct value *object, struct err *e)
{
	size_t n = object->obj.n;
	if (n < 2)
		return 0;
	cleanup_free struct member *sorted = mem_array(n, sizeof *sorted);
	if (!sorted)
		return err_nomem(e);
	memcpy(sorted, object->obj.items, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_key);
	for (size_t i = 1; i < n; i++)
		if (!by_key(&sorted[i - 1], &sorted[i]) &&
		    weights_warn(w, w->files[w->reading].path, "duplicate key",
				 "the key '%.100s' appears twice; the last counts", sorted[i].key) < 0)
			return weights_nomem(w, e);
	return 0;
}
