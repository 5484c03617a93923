/*
 * Flax checkpoints: MessagePack (github.com/msgpack/msgpack/spec.md) as flax.serialization writes it. Arrays are extensions of
 * type 1 with (shape, element type, bytes) inside; those above 1 GiB are maps of flat chunks.
 */
#include "core/format/cursor.h"
#include "core/format/formats_internal.h"
#include "core/format/stored.h"

#include "core/base/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 64, KEY_BYTES = 4096, EXT_ARRAY = 1 };

enum kind { KIND_NIL, KIND_BOOL, KIND_INT, KIND_FLOAT, KIND_STR, KIND_BIN, KIND_ARRAY, KIND_MAP, KIND_EXT };

struct item {
	enum kind kind;
	uint64_t n;		/* bytes, elements, pairs, or the value of an integer */
	int8_t ext;
};

struct flax {
	struct weights *w;
	uint32_t file;
	struct cursor *c;
	struct source src;
	struct buf path;
	size_t apart;		/* arrays of an optimizer */
	bool counting;
	struct err *e;
};

static int bad(struct flax *x, const char *what)
{
	return err_at(x->e, EINVAL, x->c->pos, "msgpack: %s at byte %" PRIu64, what, x->c->pos);
}

/* --- one item's head; the bytes of strings and the like follow --- */

static int sized(struct flax *x, struct item *it, enum kind kind, size_t width)
{
	it->kind = kind;
	int r = cursor_number(x->c, width, &it->n, x->e);
	if (r < 0)
		return r;
	uint64_t v = it->n;	/* MessagePack is big-endian */
	it->n = 0;
	for (size_t i = 0; i < width; i++, v >>= 8)
		it->n = it->n << 8 | (v & 255);
	return 0;
}

static int extension(struct flax *x, struct item *it, size_t width, uint64_t n)
{
	const unsigned char *b;
	int r = 0;
	if (width)
		r = sized(x, it, KIND_EXT, width);
	else
		*it = (struct item){KIND_EXT, n, 0};
	if (!r)
		r = cursor_take(x->c, 1, &b, x->e);
	if (!r)
		it->ext = (int8_t)*b;
	return r;
}

static int next(struct flax *x, struct item *it)
{
	const unsigned char *b;
	int r = cursor_take(x->c, 1, &b, x->e);
	if (r < 0)
		return r;
	unsigned char op = *b;
	*it = (struct item){KIND_NIL, 0, 0};
	if (op < 0x80 || op >= 0xe0)
		*it = (struct item){KIND_INT, op < 0x80 ? op : UINT64_MAX, 0};
	else if (op < 0x90)
		*it = (struct item){KIND_MAP, op & 15u, 0};
	else if (op < 0xa0)
		*it = (struct item){KIND_ARRAY, op & 15u, 0};
	else if (op < 0xc0)
		*it = (struct item){KIND_STR, op & 31u, 0};
	else
		switch (op) {
		case 0xc0: break;
		case 0xc2: case 0xc3: *it = (struct item){KIND_BOOL, op & 1u, 0}; break;
		case 0xc4: case 0xc5: case 0xc6: return sized(x, it, KIND_BIN, (size_t)1 << (op - 0xc4));
		case 0xc7: case 0xc8: case 0xc9: return extension(x, it, (size_t)1 << (op - 0xc7), 0);
		case 0xca: return sized(x, it, KIND_FLOAT, 4);
		case 0xcb: return sized(x, it, KIND_FLOAT, 8);
		case 0xcc: case 0xcd: case 0xce: case 0xcf: return sized(x, it, KIND_INT, (size_t)1 << (op - 0xcc));
		case 0xd0: case 0xd1: case 0xd2: case 0xd3: return sized(x, it, KIND_INT, (size_t)1 << (op - 0xd0));
		case 0xd4:
		case 0xd5:
		case 0xd6:
		case 0xd7:
		case 0xd8:
			return extension(x, it, 0, (uint64_t)1 << (op - 0xd4));
		case 0xd9: case 0xda: case 0xdb: return sized(x, it, KIND_STR, (size_t)1 << (op - 0xd9));
		case 0xdc: case 0xdd: return sized(x, it, KIND_ARRAY, (size_t)2 << (op - 0xdc));
		case 0xde: case 0xdf: return sized(x, it, KIND_MAP, (size_t)2 << (op - 0xde));
		default: return bad(x, "a byte that begins nothing");
		}
	return 0;
}

static int expect(struct flax *x, enum kind kind, struct item *it, const char *what)
{
	int r = next(x, it);
	return r < 0 ? r : it->kind == kind ? 0 : bad(x, what);
}

static int text(struct flax *x, const struct item *it, char *out, size_t size)
{
	if (it->n >= size)
		return bad(x, "a string longer than expected");
	out[it->n] = 0;
	return cursor_read(x->c, out, (size_t)it->n, x->e);
}

/* --- arrays --- */

static enum dtype dtype_of(const char *name)
{
	static const struct { const char *name; enum dtype d;
	} known[] = {
		{"float32", DTYPE_F32},
		{"bfloat16", DTYPE_BF16},
		{"float16", DTYPE_F16},
		{"float64", DTYPE_F64},
		{"int8", DTYPE_I8},
		{"int16", DTYPE_I16},
		{"int32", DTYPE_I32},
		{"int64", DTYPE_I64},
		{"uint8", DTYPE_U8},
		{"uint16", DTYPE_U16},
		{"uint32", DTYPE_U32},
		{"uint64", DTYPE_U64},
		{"bool", DTYPE_BOOL},
		{"complex64", DTYPE_C64},
		{"complex128", DTYPE_C128},
		{"float8_e4m3fn", DTYPE_F8_E4M3},
		{"float8_e5m2", DTYPE_F8_E5M2},
		{"V2", DTYPE_BF16},
	};
	for (size_t i = 0; i < COUNT(known); i++)
		if (!strcmp(known[i].name, name))
			return known[i].d;
	return DTYPE_NONE;
}

/* The payload of an extension of type 1: its shape, type, and where its bytes are. */
static int read_array(struct flax *x, uint64_t size, struct tensor *t, struct stored *s)
{
	struct item it;
	char name[32];
	uint64_t end = x->c->pos + size;
	int r = size > cursor_left(x->c) ? bad(x, "an array longer than what remains")
					 : expect(x, KIND_ARRAY, &it, "expected (shape, type, bytes)");
	if (!r)
		r = expect(x, KIND_ARRAY, &it, "expected a shape");
	if (!r && it.n > TENSOR_DIMS)
		r = bad(x, "more than 8 dimensions");
	t->ndim = (uint8_t)(r < 0 ? 0 : it.n);
	for (unsigned i = 0; !r && i < t->ndim; i++) {
		r = expect(x, KIND_INT, &it, "expected a size");
		t->shape[i] = it.n;
	}
	if (!r)
		r = next(x, &it);
	if (!r)
		r = it.kind == KIND_STR || it.kind == KIND_BIN ? text(x, &it, name, sizeof name)
							       : bad(x, "expected the name of a type");
	if (!r)
		r = next(x, &it);
	if (!r && it.kind != KIND_BIN && it.kind != KIND_STR)
		r = bad(x, "expected bytes");
	if (r < 0)
		return r;
	if (it.n > end || x->c->pos > end - it.n)
		return bad(x, "bytes that run out of their array");
	t->dtype = dtype_of(name);
	s->src = source_part(&x->src, x->c->pos, it.n);
	x->c->pos = end;
	return 0;
}

static int add(struct flax *x, struct tensor *t, const struct stored *s)
{
	if (x->counting) {
		x->apart++;
		return 0;
	}
	t->file = x->file;
	t->name = buf_failed(&x->path) ? NULL : arena_strdup(&x->w->arena, x->path.len ? x->path.data : "array");
	if (!t->name)
		return err_nomem(x->e);
	if (t->dtype == DTYPE_NONE)
		return weights_warn(x->w, x->w->files[x->file].path, "type", "%.200s: its element type is not known",
				    t->name) < 0
			       ? err_nomem(x->e)
			       : 0;
	return stored_add(x->w, *t, s, x->e);
}

/* --- arrays in chunks --- */

struct chunks { struct source *at; size_t n; };

static int read_chunks(const void *ctx, void *out, size_t len, uint64_t off, struct err *e)
{
	const struct chunks *k = ctx;
	char *p = out;
	for (size_t i = 0; i < k->n && len; i++) {
		if (off >= k->at[i].size) {
			off -= k->at[i].size;
			continue;
		}
		size_t m = (size_t)MIN((uint64_t)len, k->at[i].size - off);
		int r = source_pread(&k->at[i], p, m, off, e);
		if (r < 0)
			return r;
		p += m;
		len -= m;
		off = 0;
	}
	return 0;
}

static int skip(struct flax *x, int depth)
{
	struct item it;
	int r = depth > DEPTH ? bad(x, "nested too deeply") : next(x, &it);
	if (r < 0)
		return r;
	if (it.kind == KIND_STR || it.kind == KIND_BIN || it.kind == KIND_EXT)
		return cursor_skip(x->c, it.n, x->e);
	uint64_t inner = it.kind == KIND_ARRAY ? it.n : it.kind == KIND_MAP ? it.n * 2 : 0;
	for (; !r && inner; inner--)
		r = skip(x, depth + 1);
	return r;
}

/* {"0": value, "1": value, …}, as Flax writes tuples */
static int indexed(struct flax *x, uint64_t *n)
{
	struct item it;
	int r = expect(x, KIND_MAP, &it, "expected a map of indices");
	*n = it.n;
	return r;
}

static int index_key(struct flax *x, uint64_t i)
{
	char key[32];
	struct item it;
	int r = expect(x, KIND_STR, &it, "expected an index");
	if (!r)
		r = text(x, &it, key, sizeof key);
	return r < 0 ? r : strtoull(key, NULL, 10) == i ? 0 : bad(x, "indices out of order");
}

static int chunk_shape(struct flax *x, struct tensor *t)
{
	struct item it;
	uint64_t n;
	int r = indexed(x, &n);
	if (!r && n > TENSOR_DIMS)
		return bad(x, "more than 8 dimensions");
	t->ndim = (uint8_t)(r < 0 ? 0 : n);
	for (uint64_t i = 0; !r && i < n; i++) {
		r = index_key(x, i);
		if (!r)
			r = expect(x, KIND_INT, &it, "expected a size");
		t->shape[i] = r < 0 ? 0 : it.n;
	}
	return r;
}

static int chunk_list(struct flax *x, struct tensor *t, struct stored *s)
{
	uint64_t n;
	int r = indexed(x, &n);
	if (!r && n > cursor_left(x->c) / 8)
		return bad(x, "more chunks than there are bytes");
	struct chunks *k = r < 0 ? NULL : arena_alloc(&x->w->arena, sizeof *k);
	if (!k || !(k->at = arena_array(&x->w->arena, n, sizeof *k->at)))
		return r < 0 ? r : weights_nomem(x->w, x->e);
	for (uint64_t i = 0; !r && i < n; i++) {
		struct tensor piece = {0};
		struct stored at = {0};
		struct item it;
		r = index_key(x, i);
		if (!r)
			r = expect(x, KIND_EXT, &it, "expected an array");
		if (!r)
			r = it.ext == EXT_ARRAY ? read_array(x, it.n, &piece, &at) : bad(x, "expected an array");
		if (!r && i && piece.dtype != t->dtype)
			r = bad(x, "chunks of different types");
		t->dtype = piece.dtype;
		k->at[k->n++] = at.src;
		if (!r && __builtin_add_overflow(s->src.size, at.src.size, &s->src.size))
			r = bad(x, "chunks larger than 64 bits");
	}
	s->src.read = read_chunks;
	s->src.ctx = k;
	return r;
}

/* The pairs after "__msgpack_chunked_array__". */
static int read_chunked(struct flax *x, uint64_t pairs, int depth)
{
	struct tensor t = {0};
	struct stored s = {.contiguous = true};
	char key[64];
	struct item it;
	int r = skip(x, depth);
	while (!r && --pairs) {
		r = expect(x, KIND_STR, &it, "expected a key");
		if (!r)
			r = text(x, &it, key, sizeof key);
		if (!r)
			r = !strcmp(key, "shape")    ? chunk_shape(x, &t)
			    : !strcmp(key, "chunks") ? chunk_list(x, &t, &s)
						     : skip(x, depth);
	}
	return r < 0 ? r : s.src.read ? add(x, &t, &s) : bad(x, "an array in chunks without chunks");
}

/* --- the tree --- */

static int walk(struct flax *x, int depth);

static bool is_apart(const char *key)
{
	return !strcmp(key, "opt_state") || !strcmp(key, "optimizer") || !strcmp(key, "optimizer_state") ||
	       !strcmp(key, "rng");
}

static int walk_member(struct flax *x, const char *key, int depth)
{
	size_t len = x->path.len;
	bool counting = x->counting;
	x->counting |= is_apart(key);
	if (depth || strcmp(key, "params")) {	/* the variables of a module: its parameters go by their own names */
		if (len)
			buf_char(&x->path, '.');
		for (const char *s = key; *s; s++)
			buf_char(&x->path, *s == '/' ? '.' : *s);
	}
	int r = walk(x, depth + 1);
	x->counting = counting;
	x->path.len = len;
	if (x->path.data)
		x->path.data[len] = 0;
	return r;
}

static int walk_map(struct flax *x, uint64_t pairs, int depth)
{
	char key[KEY_BYTES];
	struct item it;
	int r = 0;
	for (uint64_t i = 0; !r && i < pairs; i++) {
		r = next(x, &it);
		if (!r)
			r = it.kind == KIND_STR || it.kind == KIND_BIN ? text(x, &it, key, sizeof key)
								       : bad(x, "a key that is not a string");
		if (!r && !i && !strcmp(key, "__msgpack_chunked_array__"))
			return read_chunked(x, pairs, depth);
		if (!r)
			r = walk_member(x, key, depth);
	}
	return r;
}

static int walk(struct flax *x, int depth)
{
	struct item it;
	char index[24];
	if (depth > DEPTH)
		return bad(x, "nested too deeply");
	int r = next(x, &it);
	if (r < 0)
		return r;
	switch (it.kind) {
	case KIND_MAP: return walk_map(x, it.n, depth);
	case KIND_ARRAY:
		for (uint64_t i = 0; !r && i < it.n; i++) {
			snprintf(index, sizeof index, "%" PRIu64, i);
			r = walk_member(x, index, depth + 1);
		}
		return r;
	case KIND_EXT: {
		struct tensor t = {0};
		struct stored s = {.contiguous = true};
		if (it.ext != EXT_ARRAY)	/* scalars and complex numbers */
			return cursor_skip(x->c, it.n, x->e);
		r = read_array(x, it.n, &t, &s);
		return r < 0 ? r : add(x, &t, &s);
	}
	case KIND_STR: case KIND_BIN: return cursor_skip(x->c, it.n, x->e);
	default: return 0;
	}
}

static int open_file(struct weights *w, uint32_t file, struct cursor *c, struct err *e)
{
	struct flax x = {.w = w, .file = file, .c = c, .src = source_file(&w->files[file].io), .e = e};
	const char *path = w->files[file].path;
	*c = (struct cursor){.src = &x.src};
	int r = walk(&x, 0);
	buf_release(&x.path);
	if (!r && cursor_left(c) &&
	    weights_warn(w, path, "trailing bytes", "%" PRIu64 " bytes after the last array", cursor_left(c)) < 0)
		return err_nomem(e);
	if (!r && x.apart &&
	    weights_warn(w, path, "training state", "%zu arrays of an optimizer are not listed", x.apart) < 0)
		return err_nomem(e);
	return r;
}

static int msgpack_open(struct weights *w, struct err *e)
{
	cleanup_free struct cursor *c = mem_alloc(sizeof *c);
	if (!c)
		return err_nomem(e);
	int r = stored_init(w, e);
	for (uint32_t i = 0; !r && i < w->n_files; i++) {
		w->reading = i;
		r = open_file(w, i, c, e);
	}
	if (!r && !w->n_tensors)
		return err_set(e, ENOTSUP, "a MessagePack file without arrays");
	return r < 0 ? r : weights_check_names(w, e);
}

/* A map whose first key is a word, and whose first value is a map, an array or a number. */
static int msgpack_probe(const unsigned char *head, size_t len, uint64_t size)
{
	(void)size;
	size_t at = len > 8 && head[0] > 0x80 && head[0] < 0x90 ? 1
		    : len > 8 && head[0] == 0xde                ? 3
		    : len > 8 && head[0] == 0xdf                ? 5
								: 0;
	if (!at || ((head[at] < 0xa1 || head[at] > 0xbf) && head[at] != 0xd9))
		return 0;
	size_t n = head[at] == 0xd9 ? head[at + 1] : head[at] & 31u;
	at += head[at] == 0xd9 ? 2 : 1;
	if (n > len - at || at + n >= len)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (head[at + i] < 0x21 || head[at + i] > 0x7e)
			return 0;
	unsigned char v = head[at + n];
	return (v >= 0x80 && v < 0xa0) || (v >= 0xc7 && v <= 0xdf) || v < 0x80 || v == 0xc3 ? 55 : 0;
}

const struct format format_msgpack = {
	.name = "msgpack",
	.extensions = " msgpack flax ",
	.probe = msgpack_probe,
	.open = msgpack_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};
