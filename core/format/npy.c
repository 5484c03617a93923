/* NumPy's arrays: one in a .npy file, several in a .npz, which is a zip of them (numpy.lib.format, versions 1 to 3). */
#include "core/format/formats_internal.h"
#include "core/format/pickle.h"
#include "core/format/stored.h"
#include "core/format/zip.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_MAX = 1 << 20 };

struct header {
	char descr[64];
	bool fortran, structured, have_descr, have_order, have_shape;
	uint64_t shape[TENSOR_DIMS];
	unsigned ndim;
	uint64_t data;			/* offset of the first element */
};

/* --- the dictionary, a Python literal --- */

struct text { const char *s, *end; };

static void blanks(struct text *t)
{
	while (t->s < t->end && (*t->s == ' ' || *t->s == '\n' || *t->s == '\t'))
		t->s++;
}

static bool accept(struct text *t, const char *word)
{
	size_t n = strlen(word);
	blanks(t);
	if ((size_t)(t->end - t->s) < n || memcmp(t->s, word, n))
		return false;
	t->s += n;
	return true;
}

static bool quoted(struct text *t, char *out, size_t size)
{
	blanks(t);
	if (t->s >= t->end || (*t->s != '\'' && *t->s != '"'))
		return false;
	char q = *t->s++;
	const char *end = memchr(t->s, q, (size_t)(t->end - t->s));
	if (!end || (size_t)(end - t->s) >= size)
		return false;
	memcpy(out, t->s, (size_t)(end - t->s));
	out[end - t->s] = 0;
	t->s = end + 1;
	return true;
}

static bool number(struct text *t, uint64_t *out)
{
	const char *start;
	blanks(t);
	*out = 0;
	for (start = t->s; t->s < t->end && *t->s >= '0' && *t->s <= '9'; t->s++)
		if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t)(*t->s - '0'), out))
			return false;
	if (t->s < t->end && *t->s == 'L')	/* Python 2's long */
		t->s++;
	return t->s > start;
}

static bool tuple(struct text *t, struct header *h)
{
	if (!accept(t, "("))
		return false;
	while (!accept(t, ")")) {
		if (h->ndim == TENSOR_DIMS || !number(t, &h->shape[h->ndim++]))
			return false;
		accept(t, ",");
	}
	return true;
}

/* A list of fields: skipped, balanced. */
static bool skip_list(struct text *t)
{
	int depth = 0;
	do {
		if (t->s >= t->end)
			return false;
		depth += *t->s == '[' || *t->s == '(' ? 1 : *t->s == ']' || *t->s == ')' ? -1 : 0;
		t->s++;
	} while (depth > 0);
	return true;
}

static bool parse(struct text *t, struct header *h)
{
	char key[32];
	if (!accept(t, "{"))
		return false;
	while (!accept(t, "}")) {
		if (!quoted(t, key, sizeof key) || !accept(t, ":"))
			return false;
		blanks(t);
		if (!strcmp(key, "descr") && !h->have_descr) {
			h->have_descr = true;
			h->structured = t->s < t->end && *t->s == '[';
			if (h->structured ? !skip_list(t) : !quoted(t, h->descr, sizeof h->descr))
				return false;
		} else if (!strcmp(key, "fortran_order") && !h->have_order) {
			h->have_order = true;
			h->fortran = accept(t, "True");
			if (!h->fortran && !accept(t, "False"))
				return false;
		} else if (!strcmp(key, "shape") && !h->have_shape) {
			h->have_shape = true;
			if (!tuple(t, h))
				return false;
		} else {
			return false;
		}
		accept(t, ",");
	}
	return h->have_descr && h->have_order && h->have_shape;
}

static int read_header(const struct source *s, struct header *h, struct err *e)
{
	unsigned char b[12];
	*h = (struct header){.data = 10};
	int r = source_pread(s, b, 10, 0, e);
	if (r < 0)
		return r;
	if (memcmp(b, "\x93NUMPY", 6) || b[6] < 1 || b[6] > 3)
		return err_at(e, EINVAL, source_pos(s, 0),
			      "expected \\x93NUMPY and a version from 1 to 3, found something else");
	uint32_t n = b[8] | (uint32_t)b[9] << 8;
	if (b[6] > 1) {
		r = source_pread(s, b, 12, 0, e);
		if (r < 0)
			return r;
		n |= (uint32_t)b[10] << 16 | (uint32_t)b[11] << 24;
		h->data = 12;
	}
	if (n > HEADER_MAX || n > s->size - h->data)
		return err_at(e, EINVAL, source_pos(s, 8), "a header of %u bytes, %" PRIu64 " remain", n,
			      s->size - h->data);
	cleanup_free char *text = mem_alloc(n);
	if (!text)
		return err_nomem(e);
	r = source_pread(s, text, n, h->data, e);
	if (r < 0)
		return r;
	struct text t = {text, text + n};
	if (!parse(&t, h))
		return err_at(e, EINVAL, source_pos(s, h->data + (uint64_t)(t.s - text)),
			      "expected {'descr': …, 'fortran_order': …, "
			      "'shape': (at most 8 sizes)}, found something else");
	h->data += n;
	return 0;
}

/* --- one array --- */

static enum dtype dtype_of(const char *descr, bool *swap)
{
	static const struct { char code[4]; enum dtype d;
	} known[] = {
		{"f2", DTYPE_F16}, {"f4", DTYPE_F32},   {"f8", DTYPE_F64},  {"i1", DTYPE_I8},
		{"i2", DTYPE_I16}, {"i4", DTYPE_I32},   {"i8", DTYPE_I64},  {"u1", DTYPE_U8},
		{"u2", DTYPE_U16}, {"u4", DTYPE_U32},   {"u8", DTYPE_U64},  {"b1", DTYPE_BOOL},
		{"c8", DTYPE_C64}, {"c16", DTYPE_C128}, {"V2", DTYPE_BF16}, /* how NumPy writes the bfloat16 of JAX and MLX */
	};
	*swap = *descr == '>';
	if (*descr && strchr("<>|=", *descr))
		descr++;
	for (size_t i = 0; i < COUNT(known); i++)
		if (!strcmp(descr, known[i].code))
			return known[i].d;
	return DTYPE_NONE;
}

static bool is_object(const struct header *h)
{
	const char *d = h->descr;
	return !h->structured && d[*d && strchr("<>|=", *d)] == 'O';
}

/* An array of objects is a pickle: looked at for what it would run, never made. */
static int look_at_objects(struct weights *w, const char *file, const char *name, const struct source *s, uint64_t at,
			   struct err *e)
{
	struct arena values = {.limit = (size_t)(MIN(s->size, (uint64_t)1 << 22) * 128 + (1 << 20))};
	struct source rest = source_part(s, at, s->size - at);
	struct pickle p;
	struct pick *root;
	if (weights_hazard(w, file, "object-array", source_pos(s, at), true,
			   "%.200s: an array of Python objects, which is a pickle", name) < 0)
		return err_nomem(e);
	int r = pickle_init(&p, rest, w, file, &values, e);
	if (!r)
		r = pickle_load(&p, &root, e);
	pickle_release(&p);
	arena_release(&values);
	if (r == -EINVAL)
		return weights_warn(w, file, "malformed", "%.200s: %s", name, e->msg) < 0 ? err_nomem(e) : 0;
	return r;
}

static int add_array(struct weights *w, uint32_t file, const char *name, const struct source *s, struct err *e)
{
	struct header h;
	struct stored st = {.src = *s, .contiguous = true};
	struct tensor t = {.name = name, .file = file};
	const char *path = w->files[file].path;
	int r = read_header(s, &h, e);
	if (r < 0)
		return r;
	if (is_object(&h))
		return look_at_objects(w, path, name, s, h.data, e);
	t.dtype = h.structured ? DTYPE_NONE : dtype_of(h.descr, &st.swap);
	if (t.dtype == DTYPE_NONE)
		return weights_warn(w, path, "type", "%.200s: elements of type %s are not read", name,
				    h.structured ? "(several fields)" : h.descr) < 0 ? err_nomem(e) : 0;
	t.ndim = (uint8_t)h.ndim;
	memcpy(t.shape, h.shape, sizeof t.shape);
	st.start = h.data;
	st.contiguous = !h.fortran || h.ndim < 2;
	uint64_t step = 1;
	for (unsigned i = 0; i < h.ndim; i++) {
		st.stride[i] = step;
		if (__builtin_mul_overflow(step, MAX(h.shape[i], (uint64_t)1), &step))
			return err_at(e, EINVAL, source_pos(s, 0), "%.200s: its shape overflows 64 bits", name);
	}
	return stored_add(w, t, &st, e);
}

/* --- the formats --- */

/* Names come from outside; nothing follows a NUL in them. */
static char *array_name(struct weights *w, const struct zip_entry *t)
{
	size_t n = strlen(t->name);
	if (n > 4 && !strcmp(t->name + n - 4, ".npy"))
		n -= 4;
	return arena_strndup(&w->arena, t->name, n);
}

static bool is_array(const struct source *s, int *r, struct err *e)
{
	char head[6];
	if (s->size < sizeof head)
		return false;
	*r = source_pread(s, head, sizeof head, 0, e);
	return !*r && !memcmp(head, "\x93NUMPY", 6);
}

static int open_entry(struct weights *w, uint32_t file, const struct zip_entry *t, struct err *e)
{
	struct source s;
	int r = zip_source(t, &s, e);
	if (r < 0)
		return r;
	if (!is_array(&s, &r, e)) {
		if (!r && t->size && weights_warn(w, w->files[file].path, "entry", "%.120s: not an array", t->name) < 0)
			return err_nomem(e);
		return r;
	}
	const char *name = array_name(w, t);
	r = name ? add_array(w, file, name, &s, e) : err_nomem(e);
	return r == -EINVAL ? err_prefix(e, "%.120s: ", t->name) : r;
}

static int open_zip(struct weights *w, uint32_t file, struct err *e)
{
	struct zip *z = stored_zip(w, e);
	int r = z ? zip_open(z, source_file(&w->files[file].io), w, w->files[file].path, e) : -e->code;
	for (size_t i = 0; !r && i < z->n; i++) {
		r = open_entry(w, file, &z->entries[i], e);
		if (r == -ENOTSUP && z->n > 1) {	/* the others can still be read */
			r = weights_warn(w, w->files[file].path, "entry", "%.300s", e->msg) < 0 ? err_nomem(e) : 0;
		}
	}
	return r;
}

static int open_files(struct weights *w, bool zip, struct err *e)
{
	int r = stored_init(w, e);
	for (uint32_t i = 0; !r && i < w->n_files; i++) {
		w->reading = i;
		struct source s = source_file(&w->files[i].io);
		r = zip ? open_zip(w, i, e) : add_array(w, i, w->n_files > 1 ? w->files[i].path : "array", &s, e);
	}
	if (!r && !w->n_tensors && !w->n_hazards)
		r = err_set(e, ENOTSUP, "no array of numbers: %s",
			    w->n_warnings ? w->warnings[0].detail : "the archive is empty");
	return r < 0 ? r : weights_check_names(w, e);
}

static int npy_open(struct weights *w, struct err *e)
{
	return open_files(w, false, e);
}

static int npz_open(struct weights *w, struct err *e)
{
	return open_files(w, true, e);
}

static int npy_probe(const unsigned char *head, size_t len, uint64_t size)
{
	(void)size;
	return len >= 6 && !memcmp(head, "\x93NUMPY", 6) ? 100 : 0;
}

/* A zip whose first entry is an array. */
static int npz_probe(const unsigned char *head, size_t len, uint64_t size)
{
	(void)size;
	if (len < 30 || memcmp(head, "PK\3\4", 4))
		return 0;
	size_t n = head[26] | (size_t)head[27] << 8;
	return n >= 4 && n <= len - 30 && !memcmp(head + 30 + n - 4, ".npy", 4) ? 95 : 0;
}

const struct format format_npy = {
	.name = "npy",
	.extensions = " npy ",
	.probe = npy_probe,
	.open = npy_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};

const struct format format_npz = {
	.name = "npz",
	.extensions = " npz ",
	.probe = npz_probe,
	.open = npz_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};
