/*
 * GGUF versions 1 to 3 (github.com/ggml-org/ggml, docs/gguf.md): key-values, tensor descriptions, aligned data.
 *
 * The header is walked through a window, every count checked against the bytes that remain. Long arrays
 * (vocabularies) stay in the file as VALUE_SPAN. Refused: what keeps a tensor from being read as described. Warned
 * about: what llama.cpp refuses although the tensors can be read (duplicate or empty keys, long names, misplaced data,
 * empty tensors).
 */
#include "core/format/formats_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum gguf_type {
	GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
	GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPES
};
static const uint8_t type_size[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

enum {
	WINDOW_MIN = 1 << 15, WINDOW_MAX = 1 << 18,
	KEY_MAX = 1 << 16, STRING_MAX = 1 << 24,
	INLINE_MAX = 1024,		/* elements of an array that is read at once */
	STRINGS_MAX = 1 << 24,		/* in all arrays of a file: the largest vocabularies have a million */
	MAX_DIMS = 4, MAX_NAME = 64,	/* ggml's GGML_MAX_DIMS, GGML_MAX_NAME */
	DEFAULT_ALIGNMENT = 32,
};

/* A cursor over the header. The first failure sticks: from then on everything read is zero. */
struct reader {
	struct weights *w;
	const struct weights_file *f;
	struct err *e;
	int failed;
	uint32_t version;
	uint64_t pos;
	const unsigned char *window;	/* bytes [at, at + len) of the file */
	uint64_t at;
	size_t len;
	unsigned char *mem;		/* what window points to once the head does not do */
	size_t next;			/* how much the next refill reads */
	uint64_t strings;		/* passed over */
};

__attribute__((format(printf, 3, 4)))
static void fail(struct reader *r, int code, const char *fmt, ...)
{
	if (r->failed)
		return;
	va_list ap;
	char text[256];
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->failed = err_at(r->e, code, r->pos, "%s", text);
}

static void fail_nomem(struct reader *r)
{
	if (!r->failed)
		r->failed = weights_nomem(r->w, r->e);
}

static uint64_t left(const struct reader *r)
{
	return r->f->io.size - r->pos;
}

/* Room for `n` more bytes in the file? */
static bool want(struct reader *r, uint64_t n, const char *what)
{
	if (!r->failed && n > left(r))
		fail(r, EINVAL, "expected %" PRIu64 " bytes of %s at byte %" PRIu64 ", the file ends at %" PRIu64,
		     n, what, r->pos, r->f->io.size);
	return !r->failed;
}

static bool refill(struct reader *r)
{
	if (!r->mem && !(r->mem = mem_alloc(WINDOW_MAX))) {
		fail_nomem(r);
		return false;
	}
	size_t n = MIN(left(r), (uint64_t)r->next);
	r->failed = io_pread(&r->f->io, r->mem, n, r->pos, r->e);
	if (r->failed)
		return false;
	r->window = r->mem;
	r->at = r->pos;
	r->len = n;
	r->next = MIN(r->next * 2, (size_t)WINDOW_MAX);
	return true;
}

/* The next n <= WINDOW_MIN bytes, or NULL. Good until the next call. */
static const unsigned char *take(struct reader *r, size_t n, const char *what)
{
	if (!want(r, n, what))
		return NULL;
	if ((r->pos < r->at || r->pos - r->at > r->len || n > r->len - (r->pos - r->at)) && !refill(r))
		return NULL;
	const unsigned char *p = r->window + (r->pos - r->at);
	r->pos += n;
	return p;
}

static uint32_t read_u32(struct reader *r, const char *what)
{
	uint32_t v = 0;
	const unsigned char *p = take(r, sizeof v, what);
	if (p)
		memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t read_u64(struct reader *r, const char *what)
{
	uint64_t v = 0;
	const unsigned char *p = take(r, sizeof v, what);
	if (p)
		memcpy(&v, p, sizeof v);
	return v;
}

/* A length or a count: 32 bits in version 1. */
static uint64_t read_count(struct reader *r, const char *what)
{
	return r->version == 1 ? read_u32(r, what) : read_u64(r, what);
}

static size_t count_size(const struct reader *r)
{
	return r->version == 1 ? 4 : 8;
}

/* Into the arena, NUL-terminated. NULL after a failure. */
static char *read_string(struct reader *r, uint64_t max, const char *what, size_t *len)
{
	uint64_t n = read_count(r, what);
	if (!want(r, n, what))
		return NULL;
	if (n > max) {
		fail(r, EFBIG, "%s of %" PRIu64 " bytes, at most %" PRIu64 " are read", what, n, max);
		return NULL;
	}
	char *s = arena_alloc(&r->w->arena, n + 1);
	if (!s) {
		fail_nomem(r);
		return NULL;
	}
	*len = n;
	if (n > WINDOW_MIN) {
		r->failed = io_pread(&r->f->io, s, n, r->pos, r->e);
		r->pos += n;
	} else if (n) {
		const unsigned char *p = take(r, n, what);
		if (p)
			memcpy(s, p, n);
	}
	return r->failed ? NULL : s;
}

/* A key or a tensor's name: no NUL may hide its tail. */
static const char *read_name(struct reader *r, const char *what)
{
	size_t n;
	char *s = read_string(r, KEY_MAX, what, &n);
	if (s && strlen(s) != n) {
		fail(r, EINVAL, "%s with a NUL in it", what);
		return NULL;
	}
	return s;
}

/* --- values --- */

static struct value scalar_of(const unsigned char *p, enum gguf_type type)
{
	union { uint64_t u; int64_t i; double d; float f; uint8_t b[8]; } x = {0};
	memcpy(x.b, p, type_size[type]);
	switch (type) {
	case GGUF_I8: return (struct value){.kind = VALUE_INT, .i = (int8_t)x.u};
	case GGUF_I16: return (struct value){.kind = VALUE_INT, .i = (int16_t)x.u};
	case GGUF_I32: return (struct value){.kind = VALUE_INT, .i = (int32_t)x.u};
	case GGUF_F32: return (struct value){.kind = VALUE_FLOAT, .f = x.f};
	case GGUF_F64: return (struct value){.kind = VALUE_FLOAT, .f = x.d};
	case GGUF_BOOL: return (struct value){.kind = VALUE_BOOL, .b = x.u != 0};
	case GGUF_U64:
		if (x.u > INT64_MAX)
			return (struct value){.kind = VALUE_FLOAT, .f = (double)x.u};
		break;
	default:
		break;
	}
	return (struct value){.kind = VALUE_INT, .i = x.i};
}

static struct value read_scalar(struct reader *r, enum gguf_type type)
{
	if (type == GGUF_STRING) {
		struct value v = {.kind = VALUE_STRING};
		v.str.s = read_string(r, STRING_MAX, "a string", &v.str.len);
		return v.str.s ? v : (struct value){0};
	}
	const unsigned char *p = take(r, type_size[type], "a value");
	return p ? scalar_of(p, type) : (struct value){0};
}

static void skip_elements(struct reader *r, enum gguf_type type, uint64_t n)
{
	if (type != GGUF_STRING) {
		r->pos += n * type_size[type];
		return;
	}
	if (n > STRINGS_MAX - r->strings) {
		fail(r, EFBIG, "an array of %" PRIu64 " strings, at most %d are read", n, STRINGS_MAX);
		return;
	}
	r->strings += n;
	for (uint64_t i = 0; i < n && !r->failed; i++) {
		uint64_t len = read_count(r, "a string's length");
		if (want(r, len, "a string"))
			r->pos += len;
	}
}

static struct value read_array(struct reader *r)
{
	struct value v = {0};
	uint32_t type = read_u32(r, "an array's type");
	uint64_t n = read_count(r, "an array's length");
	if (r->failed)
		return v;
	if (type == GGUF_ARRAY || type >= GGUF_TYPES) {
		fail(r, type == GGUF_ARRAY ? ENOTSUP : EINVAL, "an array of %s (type %" PRIu32 ")",
		     type == GGUF_ARRAY ? "arrays" : "an unknown type", type);
		return v;
	}
	uint64_t least = type == GGUF_STRING ? count_size(r) : type_size[type];
	if (n > left(r) / least) {
		fail(r, EINVAL, "an array of %" PRIu64 " elements, the file has %" PRIu64 " bytes left", n, left(r));
		return v;
	}
	if (n > INLINE_MAX) {
		v = (struct value){.kind = VALUE_SPAN, .span = {type, n, r->pos}};
		skip_elements(r, type, n);
		return v;
	}
	v = (struct value){.kind = VALUE_ARRAY, .arr = {arena_array(&r->w->arena, n, sizeof *v.arr.items), n}};
	if (!v.arr.items) {
		fail_nomem(r);
		return v;
	}
	for (size_t i = 0; i < n && !r->failed; i++)
		v.arr.items[i] = read_scalar(r, type);
	return v;
}

static struct value read_value(struct reader *r)
{
	uint32_t type = read_u32(r, "a value's type");
	if (type == GGUF_ARRAY)
		return read_array(r);
	if (type >= GGUF_TYPES) {
		fail(r, EINVAL, "expected a value's type below %d, found %" PRIu32, GGUF_TYPES, type);
		return (struct value){0};
	}
	return read_scalar(r, type);
}

static void check_keys(struct reader *r, const struct value *keys)
{
	struct weights *w = r->w;
	if (weights_check_keys(w, keys, r->e) < 0)
		r->failed = -ENOMEM;
	for (size_t i = 0; i < keys->obj.n && !r->failed; i++)
		if (!*keys->obj.items[i].key &&
		    weights_warn(w, r->f->path, "empty key", "a key-value without a name") < 0)
			fail_nomem(r);
}

static struct value read_keys(struct reader *r, uint64_t n)
{
	struct value v = {.kind = VALUE_OBJECT};
	if (n > left(r) / (count_size(r) + 4 + 1)) {
		fail(r, EINVAL, "%" PRIu64 " key-values, the file has %" PRIu64 " bytes left", n, left(r));
		return v;
	}
	v.obj.items = arena_array(&r->w->arena, n, sizeof *v.obj.items);
	if (!v.obj.items)
		fail_nomem(r);
	for (; v.obj.n < n && !r->failed; v.obj.n++) {
		struct member *m = &v.obj.items[v.obj.n];
		m->key = read_name(r, "a key");
		m->value = read_value(r);
	}
	if (!r->failed)
		check_keys(r, &v);
	return v;
}

/* --- tensors --- */

/* ggml's order is innermost first. */
static void read_shape(struct reader *r, struct tensor *t)
{
	uint32_t n = read_u32(r, "a number of dimensions");
	if (n > MAX_DIMS) {
		fail(r, EINVAL, "'%.80s': expected at most %d dimensions, found %" PRIu32, t->name, MAX_DIMS, n);
		return;
	}
	t->ndim = (uint8_t)n;
	for (unsigned i = 0; i < n; i++)
		t->shape[n - 1 - i] = read_count(r, "a dimension");
}

static void describe(struct reader *r, struct tensor *t, uint32_t type)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	if (t->dtype == DTYPE_NONE) {
		fail(r, ENOTSUP, "'%.80s': the tensor type %" PRIu32 " is not known", t->name, type);
		return;
	}
	uint64_t row = t->ndim ? t->shape[t->ndim - 1] : 1;
	if (row % d->block) {
		fail(r, EINVAL,
		     "'%.80s': expected rows of whole blocks of %" PRIu32 " for %s, found %" PRIu64 " elements",
		     t->name, d->block, d->name, row);
		return;
	}
	struct err e = ERR_INIT;
	if (tensor_measure(t, &e) < 0) {
		fail(r, EINVAL, "%s", e.msg);
		return;
	}
	int bad = 0;
	if (strlen(t->name) >= MAX_NAME)
		bad = weights_warn(r->w, r->f->path, "long name",
				   "'%.150s' is longer than the %d bytes that llama.cpp reads", t->name, MAX_NAME - 1);
	if (!bad && !t->elements)
		bad = weights_warn(r->w, r->f->path, "empty tensor", "'%.150s' has no elements", t->name);
	if (bad)
		fail_nomem(r);
}

static void read_tensor(struct reader *r, size_t *cap)
{
	struct tensor t = {.file = r->w->reading};
	uint64_t start = r->pos;
	t.name = read_name(r, "a tensor's name");
	if (r->failed)
		return;
	read_shape(r, &t);
	uint32_t type = read_u32(r, "a tensor's type");
	t.offset = read_u64(r, "a tensor's offset");
	t.dtype = dtype_by_ggml(type);
	uint64_t end = r->pos;
	r->pos = start;			/* what is wrong with it is wrong there */
	if (!r->failed)
		describe(r, &t, type);
	r->pos = end;
	struct err e = ERR_INIT;
	struct tensor *slot = r->failed ? NULL : weights_add(r->w, cap, &e);
	if (slot)
		*slot = t;
	else if (!r->failed)
		fail_nomem(r);
}

static uint64_t alignment_of(struct reader *r, const struct value *meta)
{
	const struct value *v = value_get(meta, "general.alignment");
	if (!v)
		return DEFAULT_ALIGNMENT;
	if (v->kind != VALUE_INT || v->i <= 0 || v->i > UINT32_MAX || (v->i & (v->i - 1)))
		fail(r, EINVAL, "expected general.alignment to be a power of two, found %s %lld",
		     v->kind == VALUE_INT ? "the integer" : "something else:",
		     v->kind == VALUE_INT ? (long long)v->i : 0);
	return v->kind == VALUE_INT ? (uint64_t)v->i : 0;
}

/* Offsets in the header count from the first aligned byte after it. */
static void place_tensors(struct reader *r, size_t first, uint64_t align)
{
	struct weights *w = r->w;
	uint64_t data = (r->pos + align - 1) / align * align;
	for (size_t i = first; i < w->n_tensors && !r->failed; i++) {
		struct tensor *t = &w->tensors[i];
		bool misaligned = t->offset % align;
		if (__builtin_add_overflow(t->offset, data, &t->offset))
			fail(r, EINVAL, "'%.80s': its offset overflows", t->name);
		else if (tensor_check(w, t, r->e) < 0)
			r->failed = -EINVAL;
		else if (misaligned && weights_warn(w, r->f->path, "misaligned",
						    "'%.150s' is not at a multiple of %" PRIu64, t->name, align) < 0)
			fail_nomem(r);
	}
	if (!r->failed && w->n_tensors > first)
		r->failed = weights_cover(w, first, data, align, r->e);
}

static void read_file(struct reader *r, size_t *cap)
{
	uint64_t n_tensors, n_keys;
	const unsigned char *magic = take(r, 4, "a magic number");
	if (magic && magic[0] != 'G' &&
	    weights_warn(r->w, r->f->path, "odd magic", "begins with FUGG instead of GGUF") < 0)
		fail_nomem(r);
	r->version = read_u32(r, "a version");
	if (!r->failed && r->version && !(r->version & 0xffff))
		fail(r, ENOTSUP, "a big-endian GGUF (version %" PRIu32 ") is not read", __builtin_bswap32(r->version));
	else if (!r->failed && (r->version < 1 || r->version > 3))
		fail(r, ENOTSUP, "expected GGUF version 1 to 3, found %" PRIu32, r->version);
	n_tensors = read_count(r, "a number of tensors");
	n_keys = read_count(r, "a number of key-values");
	struct value meta = r->failed ? (struct value){0} : read_keys(r, n_keys);
	if (r->failed)
		return;
	uint64_t align = alignment_of(r, &meta);
	if (n_tensors > left(r) / (2 * count_size(r) + 8))
		fail(r, EINVAL, "%" PRIu64 " tensors, the file has %" PRIu64 " bytes left", n_tensors, left(r));
	size_t first = r->w->n_tensors;
	for (uint64_t i = 0; i < n_tensors && !r->failed; i++)
		read_tensor(r, cap);
	if (!r->failed)
		place_tensors(r, first, align);
	if (!r->w->reading)		/* of a split model the first file has the description */
		r->w->meta = meta;
}

/* --- what llama.cpp calls the mix of types (llama.h's enum llama_ftype) --- */

static const char *const file_types[] = {
	[2] = "Q4_0", [3] = "Q4_1", [7] = "Q8_0", [8] = "Q5_0", [9] = "Q5_1", [10] = "Q2_K", [11] = "Q3_K_S",
	[12] = "Q3_K_M", [13] = "Q3_K_L", [14] = "Q4_K_S", [15] = "Q4_K_M", [16] = "Q5_K_S", [17] = "Q5_K_M",
	[18] = "Q6_K", [19] = "IQ2_XXS", [20] = "IQ2_XS", [21] = "Q2_K_S", [22] = "IQ3_XS", [23] = "IQ3_XXS",
	[24] = "IQ1_S", [25] = "IQ4_NL", [26] = "IQ3_S",
	[27] = "IQ3_M", [28] = "IQ2_S", [29] = "IQ2_M", [30] = "IQ4_XS", [31] = "IQ1_M", [36] = "TQ1_0", [37] = "TQ2_0",
	[38] = "MXFP4_MOE", [39] = "NVFP4", [40] = "Q1_0",
};

/* Declared, as long as anything is quantised at all; else the type that most elements have. */
static const char *quantization_of(const struct weights *w)
{
	uint64_t elements[DTYPE_COUNT] = {0};
	enum dtype most = DTYPE_NONE;
	for (size_t i = 0; i < w->n_tensors; i++)
		elements[w->tensors[i].dtype] += w->tensors[i].elements;
	for (int d = 0; d < DTYPE_COUNT; d++)
		if (dtype_info((enum dtype)d)->quantised && elements[d] > elements[most])
			most = (enum dtype)d;
	int64_t declared;
	if (most == DTYPE_NONE)
		return NULL;
	if (value_int(value_get(&w->meta, "general.file_type"), &declared)) {
		declared &= ~(int64_t)1024;	/* "guessed" */
		if (declared >= 0 && declared < (int64_t)COUNT(file_types) && file_types[declared])
			return file_types[declared];
	}
	return dtype_info(most)->name;
}

static int open_all(struct weights *w, struct err *e)
{
	size_t cap = 0;
	for (w->reading = 0; w->reading < w->n_files; w->reading++) {
		const struct weights_file *f = &w->files[w->reading];
		struct reader r = {.w = w, .f = f, .e = e, .window = f->head, .len = f->head_len, .next = WINDOW_MIN};
		read_file(&r, &cap);
		free(r.mem);
		if (r.failed)
			return r.failed;
	}
	w->reading = 0;
	w->quantization = quantization_of(w);
	return weights_check_names(w, e);
}

static int probe(const unsigned char *head, size_t len, uint64_t file_size)
{
	(void)file_size;
	if (len >= 4 && !memcmp(head, "GGUF", 4))
		return 100;
	/* written backwards by the first converters, in August 2023 */
	return len >= 8 && !memcmp(head, "FUGG\1\0\0", 8) ? 100 : 0;
}

const struct format format_gguf = {
	.name = "gguf",
	.extensions = " gguf ",
	.probe = probe,
	.open = open_all,
};
