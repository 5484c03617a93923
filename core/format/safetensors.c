/*
 * safetensors (github.com/huggingface/safetensors, README and tensor.rs): u64 length, a JSON header of
 * name -> {dtype, shape, data_offsets}, then the data. The header is streamed: its size costs time but no memory.
 *
 * Refused: what keeps a tensor from being read as the header says. Only warned about: what the reference reader refuses
 * although every tensor can be read (a header over 100 MB, holes, overlaps, trailing bytes, odd metadata).
 */
#include "core/base/buf.h"
#include "core/base/json_sax.h"
#include "core/format/formats_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STREAM = 1 << 17, STREAM_MAX = 1 << 25, DEPTH = 64 };
static const uint64_t reference_header = 100000000, largest_header = (uint64_t)2 << 30;

enum field { FIELD_NONE, FIELD_DTYPE, FIELD_SHAPE, FIELD_OFFSETS, FIELD_OTHER };

struct header {
	struct weights *w;
	const struct weights_file *file;
	struct err *e;
	size_t *cap;			/* of w->tensors */
	uint64_t length, done;		/* of the header, and how much of it has been given to the parser */
	char *chunk;
	size_t stream, filled;		/* bytes of the chunk: room, and what the last read put there */
	bool ended;			/* a key, string or number since the last chunk */
	/* the parser's place */
	unsigned depth;			/* of open objects and arrays */
	bool metadata, skipping;	/* in __metadata__; in a value that means nothing to us (below `skip_depth`) */
	bool had_metadata, keep_metadata, other_field, other_metadata;
	unsigned skip_depth;
	const char *key;		/* of the metadata pair being read */
	size_t meta_cap;
	struct tensor t;
	enum field field;
	unsigned seen;			/* bit a field */
	unsigned n_offsets;
	uint64_t offsets[2];
};

static int refuse(struct header *h, const char *expected, const char *found, size_t len)
{
	err_set(h->e, EINVAL, "%.150s: expected %s, found %.*s", h->t.name ? h->t.name : "the header", expected,
		(int)MIN(len, (size_t)60), found);
	return 0;
}

/* --- scalars --- */

static int begin_skip(struct header *h)
{
	h->skipping = true;
	h->skip_depth = h->depth;
	return 1;
}

/* A scalar that is not what its place asks for. */
static int odd_scalar(struct header *h, const char *what, size_t len)
{
	h->ended = true;
	if (h->skipping) {
		h->skipping = h->depth > h->skip_depth;
		return 1;
	}
	if (h->metadata && h->depth < 3) {
		h->other_metadata = true;
		h->metadata = h->depth == 2;
		return 1;
	}
	if (h->depth == 0)
		return refuse(h, "an object", what, len);
	return refuse(h,
		      h->depth == 1             ? "an object"
		      : h->field == FIELD_DTYPE ? "a type's name"
						: "an array of integers",
		      what, len);
}

static int on_null(void *c)
{
	struct header *h = c;
	if (!h->skipping && h->metadata && h->depth == 1) {	/* means that there is none */
		h->metadata = false;
		return 1;
	}
	return odd_scalar(c, "null", 4);
}

static int on_bool(void *c, int v)
{
	return odd_scalar(c, v ? "true" : "false", v ? 4 : 5);
}

/* Digits alone: no sign, no point, no exponent. */
static bool parse_u64(const char *s, size_t n, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(*out, (uint64_t)10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(s[i] - '0'), out))
			return false;
	return n > 0;
}

static int on_number(void *c, const char *s, size_t n)
{
	struct header *h = c;
	uint64_t v;
	h->ended = true;
	if (h->skipping || h->metadata || h->depth != 3)
		return odd_scalar(h, s, n);
	if (!parse_u64(s, n, &v))
		return refuse(h, "a non-negative integer", s, n);
	if (h->field == FIELD_SHAPE) {
		if (h->t.ndim == TENSOR_DIMS)
			return refuse(h, "at most 8 dimensions", "more", 4);
		h->t.shape[h->t.ndim++] = v;
		return 1;
	}
	if (h->n_offsets == 2)
		return refuse(h, "two data_offsets", "more", 4);
	h->offsets[h->n_offsets++] = v;
	return 1;
}

static int add_metadata(struct header *h, const char *s, size_t n)
{
	struct weights *w = h->w;
	if (w->meta.obj.n == h->meta_cap) {
		size_t cap = h->meta_cap ? h->meta_cap * 2 : 4;
		struct member *p = arena_array(&w->arena, cap, sizeof *p);
		if (!p)
			return weights_nomem(w, h->e), 0;
		if (w->meta.obj.n)
			memcpy(p, w->meta.obj.items, w->meta.obj.n * sizeof *p);
		w->meta.obj.items = p;
		h->meta_cap = cap;
	}
	char *text = arena_strndup(&w->arena, s, n);
	if (!text)
		return weights_nomem(w, h->e), 0;
	w->meta.obj.items[w->meta.obj.n++] = (struct member){h->key, {.kind = VALUE_STRING, .str = {text, n}}};
	return 1;
}

static int on_string(void *c, const unsigned char *text, size_t n)
{
	struct header *h = c;
	const char *s = (const char *)text;
	h->ended = true;
	if (!h->skipping && h->metadata && h->depth == 2)
		return h->keep_metadata ? add_metadata(h, s, n) : 1;
	if (h->skipping || h->depth != 2 || h->field != FIELD_DTYPE)
		return odd_scalar(h, s, n);
	char name[16] = "";
	if (n < sizeof name)
		memcpy(name, s, n);
	h->t.dtype = dtype_by_name(name);
	if (h->t.dtype == DTYPE_NONE) {
		err_set(h->e, ENOTSUP, "%.150s: the type '%.*s' is not known", h->t.name, (int)MIN(n, (size_t)40), s);
		return 0;
	}
	return 1;
}

/* --- structure --- */

/* No NUL, and UTF-8, of which yajl lets overlong forms pass. */
static bool good_name(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_len(s + i, n - i);
		if (!len || !s[i])
			return false;
	}
	return true;
}

static int on_key(void *c, const unsigned char *text, size_t n)
{
	struct header *h = c;
	const char *s = (const char *)text;
	h->ended = true;
	if (h->skipping)
		return 1;
	if (h->depth == 1 && n == 12 && !memcmp(s, "__metadata__", 12)) {
		if (h->had_metadata)
			return refuse(h, "one __metadata__", "two", 3);
		h->metadata = h->had_metadata = true;
		return 1;
	}
	if (h->depth == 2 && !h->metadata) {
		static const struct { const char *name; size_t len;
		} fields[] = {
			[FIELD_DTYPE] = {"dtype", 5},
			[FIELD_SHAPE] = {"shape", 5},
			[FIELD_OFFSETS] = {"data_offsets", 12},
		};
		for (h->field = FIELD_DTYPE; h->field < FIELD_OTHER; h->field++)
			if (n == fields[h->field].len && !memcmp(s, fields[h->field].name, n))
				break;
		if (h->field == FIELD_OTHER) {
			h->other_field = true;
			return begin_skip(h);
		}
		if (h->seen & 1u << h->field)
			return refuse(h, "each field once", s, n);
		h->seen |= 1u << h->field;
		return 1;
	}
	if (!good_name(s, n))
		return refuse(h, "a name", "one with a NUL or invalid UTF-8 in it", 37);
	char *name = h->metadata && !h->keep_metadata ? (char *)"" : arena_strndup(&h->w->arena, s, n);
	if (!name)
		return weights_nomem(h->w, h->e), 0;
	if (h->metadata)
		h->key = name;
	else
		h->t = (struct tensor){.name = name};
	return 1;
}

static int on_open_map(void *c)
{
	struct header *h = c;
	if (h->depth >= DEPTH)
		return refuse(h, "values nested at most 64 deep", "more", 4);
	if (!h->skipping && h->metadata && h->depth == 2) {
		h->other_metadata = true;
		begin_skip(h);
	} else if (!h->skipping && h->depth > 1) {
		return refuse(h, h->field == FIELD_DTYPE ? "a type's name" : "an array of integers", "an object", 9);
	}
	h->seen = h->depth == 1 ? 0 : h->seen;
	h->n_offsets = h->depth == 1 ? 0 : h->n_offsets;
	h->depth++;
	return 1;
}

static int finish_tensor(struct header *h)
{
	static const unsigned all = 1u << FIELD_DTYPE | 1u << FIELD_SHAPE | 1u << FIELD_OFFSETS;
	struct tensor *t = &h->t;
	if (h->seen != all)
		return refuse(h, "dtype, shape and data_offsets", "not all of them", 15);
	if (h->n_offsets != 2)
		return refuse(h, "two data_offsets", "fewer", 5);
	if (tensor_measure(t, h->e) < 0)
		return 0;
	if (h->offsets[1] < h->offsets[0] || h->offsets[1] - h->offsets[0] != t->bytes) {
		err_set(h->e, EINVAL,
			"%.150s: its type and shape take %" PRIu64 " bytes, data_offsets are [%" PRIu64 ", %" PRIu64
			"]",
			t->name, t->bytes, h->offsets[0], h->offsets[1]);
		return 0;
	}
	t->file = h->w->reading;
	if (__builtin_add_overflow(h->offsets[0], 8 + h->length, &t->offset))
		return refuse(h, "data_offsets in the file", "one that overflows", 18);
	if (tensor_check(h->w, t, h->e) < 0)
		return 0;
	struct tensor *slot = weights_add(h->w, h->cap, h->e);
	if (!slot)
		return 0;
	*slot = *t;
	t->name = NULL;
	return 1;
}

static int on_close(void *c)
{
	struct header *h = c;
	h->depth--;
	h->ended = true;
	if (h->skipping) {
		h->skipping = h->depth > h->skip_depth;
		return 1;
	}
	if (h->depth == 1 && h->metadata) {
		h->metadata = false;
		return 1;
	}
	return h->depth == 1 ? finish_tensor(h) : 1;
}

static int on_open_array(void *c)
{
	struct header *h = c;
	if (h->depth >= DEPTH)
		return refuse(h, "values nested at most 64 deep", "more", 4);
	if (!h->skipping && h->metadata && h->depth == 2) {
		h->other_metadata = true;
		begin_skip(h);
	} else if (!h->skipping && (h->depth != 2 || h->field == FIELD_DTYPE)) {
		return refuse(h,
			      h->depth == 2  ? "a type's name"
			      : h->depth > 2 ? "integers"
					     : "an object",
			      "an array", 8);
	}
	h->depth++;
	return 1;
}

static const yajl_callbacks events = {
	.yajl_null = on_null, .yajl_boolean = on_bool, .yajl_number = on_number, .yajl_string = on_string,
	.yajl_start_map = on_open_map, .yajl_map_key = on_key, .yajl_end_map = on_close,
	.yajl_start_array = on_open_array, .yajl_end_array = on_close,
};

/* --- a file --- */

static bool is_blank(const char *s, size_t n)
{
	while (n && strchr(" \t\r\n", s[n - 1]) && s[n - 1])
		n--;
	return !n;
}

/* The parser begins an open string anew with every chunk: they double until it ends, so that it costs what it weighs. */
static int make_room(struct header *h, struct err *e)
{
	bool ended = h->ended || (!h->depth && is_blank(h->chunk, h->filled));	/* padding */
	h->ended = false;
	if (h->chunk && ended)
		return 0;
	if (h->stream == STREAM_MAX)
		return err_set(e, EFBIG, "a name or text of more than %d MiB in the header", STREAM_MAX >> 20);
	h->stream = h->chunk ? h->stream * 2 : STREAM;
	free(h->chunk);
	h->chunk = mem_alloc(h->stream);
	return h->chunk ? 0 : err_nomem(e);
}

static int next_chunk(void *ctx, const char **p, size_t *n, struct err *e)
{
	struct header *h = ctx;
	const struct weights_file *f = h->file;
	uint64_t at = 8 + h->done, left = h->length - h->done;
	if (at < f->head_len) {
		*p = (const char *)f->head + at;
		*n = MIN(left, f->head_len - at);
	} else {
		int r = left ? make_room(h, e) : 0;
		*n = MIN(left, (uint64_t)h->stream);
		*p = h->chunk;
		if (!r && *n)
			r = io_pread(&f->io, h->chunk, *n, at, e);
		if (r < 0)
			return r;
		h->filled = *n;
	}
	h->done += *n;
	return 0;
}

static int check_oddities(struct header *h)
{
	struct weights *w = h->w;
	const char *path = h->file->path;
	int r = 0;
	if (h->length > reference_header)
		r = weights_warn(w, path, "large header",
				 "the header has %" PRIu64 " bytes; common readers refuse more than %" PRIu64,
				 h->length, reference_header);
	if (!r && h->other_field)
		r = weights_warn(w, path, "unknown field", "a tensor has fields beside dtype, shape and data_offsets");
	if (!r && h->other_metadata)
		r = weights_warn(w, path, "odd metadata",
				 "__metadata__ holds values that are not strings; they are left out");
	return r < 0 ? weights_nomem(w, h->e) : 0;
}

static int read_length(const struct weights_file *f, uint64_t *length, struct err *e)
{
	unsigned char b[9];
	if (f->io.size < 10)
		return err_at(e, EINVAL, 0, "expected at least 10 bytes of safetensors, the file has %" PRIu64,
			      f->io.size);
	int r = head_pread(f, b, sizeof b, 0, e);
	if (r < 0)
		return r;
	memcpy(length, b, 8);
	if (*length > f->io.size - 8)
		return err_at(e, EINVAL, 0, "the header is said to have %" PRIu64 " bytes, the file has %" PRIu64,
			      *length, f->io.size);
	if (*length > largest_header)
		return err_at(e, EFBIG, 0, "a header of %" PRIu64 " bytes, at most %" PRIu64 " are read",
			      *length, largest_header);
	if (b[8] != '{')
		return err_at(e, EINVAL, 8, "expected the header to begin with '{', found byte 0x%02x", b[8]);
	return 0;
}

static int open_one(struct weights *w, size_t *cap, struct err *e)
{
	struct header h = {.w = w, .file = &w->files[w->reading], .e = e, .cap = cap, .keep_metadata = !w->meta.obj.n};
	struct json_source src = {next_chunk, &h};
	size_t first = w->n_tensors;
	int r = read_length(h.file, &h.length, e);
	if (r < 0)
		return r;
	r = json_sax(&events, &h, &src, e);
	free(h.chunk);
	if (r < 0) {
		if (e->pos != ERR_NOPOS && r != -EIO)
			e->pos += 8;
		return r == -ECANCELED ? -e->code : r;
	}
	r = weights_cover(w, first, 8 + h.length, 1, e);
	if (!r && h.keep_metadata)
		r = weights_check_keys(w, &w->meta, e);
	if (!r)
		r = check_oddities(&h);
	return r;
}

static int open_all(struct weights *w, struct err *e)
{
	size_t cap = 0;
	for (w->reading = 0; w->reading < w->n_files; w->reading++) {
		int r = open_one(w, &cap, e);
		if (r < 0)
			return r;
	}
	w->reading = 0;
	return weights_check_names(w, e);
}

static int probe(const unsigned char *head, size_t len, uint64_t file_size)
{
	uint64_t n;
	if (len < 9)
		return 0;
	memcpy(&n, head, 8);
	if (head[8] != '{')
		return 0;
	/* A length beyond the file's end is a damaged safetensors rather than anything else. */
	return n <= file_size - 8 ? 90 : n <= largest_header ? 50 : 10;
}

const struct format format_safetensors = {
	.name = "safetensors",
	.extensions = " safetensors sft ",
	.probe = probe,
	.open = open_all,
};
