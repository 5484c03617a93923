/* The plan of an export: which tensors, as what, in which order, and the header that says so. */
#include "core/analysis/export_internal.h"

#include "core/base/hash.h"
#include "core/format/compose.h"
#include "core/lake/hf_names.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Has safetensors this type? (dtype.rs of its reference implementation) */
static bool has_type(enum dtype d)
{
	switch (d) {
	case DTYPE_F64:
	case DTYPE_F32:
	case DTYPE_F16:
	case DTYPE_BF16:
	case DTYPE_F8_E4M3:
	case DTYPE_F8_E5M2:
	case DTYPE_F8_E8M0:
	case DTYPE_F6_E2M3:
	case DTYPE_F6_E3M2:
	case DTYPE_F4:
	case DTYPE_I64:
	case DTYPE_I32:
	case DTYPE_I16:
	case DTYPE_I8:
	case DTYPE_U64: case DTYPE_U32: case DTYPE_U16: case DTYPE_U8: case DTYPE_BOOL: case DTYPE_C64:
		return true;
	default:
		return false;
	}
}

static enum dtype type_written(enum dtype d)
{
	if (has_type(d))
		return d;
	switch (d) {
	case DTYPE_C128: return DTYPE_F64;
	case DTYPE_MXFP4: case DTYPE_NVFP4: case DTYPE_CT_MXFP4: case DTYPE_CT_MXFP8: case DTYPE_CT_NVFP4: return DTYPE_F32;
	default: return DTYPE_F16;
	}
}

const char *export_architecture(const struct weights *w)
{
	return strcmp(w->format->name, "gguf") ? NULL : value_str(value_get(&w->meta, "general.architecture"));
}

static bool is_read(const struct tensor *t)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	return d->to_f32 || !d->bytes || has_type(t->dtype) || t->dtype == DTYPE_C128;
}

/* The only part of a tensor, or DIFF_NONE. */
static uint32_t only_part(const struct canon *c, uint32_t tensor, size_t *at)
{
	while (*at < c->n_parts && c->parts[*at].tensor < tensor)
		++*at;
	size_t first = *at;
	if (first == c->n_parts || c->parts[first].tensor != tensor ||
	    (first + 1 < c->n_parts && c->parts[first + 1].tensor == tensor))
		return DIFF_NONE;
	return (uint32_t)first;
}

/* Another name may mean another order of rows, a transposed matrix, another zero. */
static int rename_entry(struct export *x, struct export_entry *t, const char *architecture, const struct tensor *src,
			uint32_t part, struct err *e)
{
	struct hf_tensor hf;
	if (!hf_name(architecture, src->name, &hf) || hf.experts)
		return 0;
	t->name = arena_strdup(&x->arena, hf.name);
	if (!t->name)
		return err_nomem(e);
	if (part != DIFF_NONE && x->c->parts[part].offset != 0) {
		t->how = EXPORT_CONVERT;
		t->add = x->c->parts[part].offset;
	}
	if (part != DIFF_NONE && x->c->parts[part].rope_heads) {
		t->how = EXPORT_ROWS;
		t->part = part;
	}
	if (hf.transpose && src->ndim == 2) {
		t->how = EXPORT_CONVERT;
		export_turn(t, src);
	}
	/* values are made on the way, so the type must be one that can be written from float32 */
	if (t->how != EXPORT_RAW && t->dtype != DTYPE_F32 && t->dtype != DTYPE_F16 && t->dtype != DTYPE_BF16)
		t->dtype = DTYPE_F32;
	return 0;
}

enum { EXPERTS_MAX = 4096 /* of a tensor */, SPLIT_MAX = 1 << 17 /* of a model */ };

struct naming {
	const char *architecture;
	bool split;		/* stacked experts are told apart */
	uint32_t ids;		/* the next of an expert */
};

/* The matrices of experts that are stacked in one tensor, each under its own name. */
static int split_entry(struct export *x, struct naming *nm, const char *name, const struct tensor *src, struct err *e)
{
	const struct export_entry whole = x->entries[x->n];
	const char *at = strchr(name, '@');
	for (uint64_t k = 0; k < src->shape[0]; k++) {
		struct export_entry *t = &x->entries[x->n++];
		*t = whole;
		t->ndim = 2;
		t->shape[0] = src->shape[1];
		t->shape[1] = src->shape[2];
		t->first = k * src->shape[1] * src->shape[2];
		t->id = nm->ids++;
		t->name = arena_printf(&x->arena, "%.*s%" PRIu64 "%s", (int)(at - name), name, k, at + 1);
		if (!t->name)
			return err_nomem(e);
	}
	return 0;
}

/* How many tensors it is there; 0: it keeps its name and shape. */
static uint64_t experts_of(const char *architecture, const struct tensor *src, struct hf_tensor *hf)
{
	bool stacked = src->ndim == 3 && src->shape[0] && src->shape[0] <= EXPERTS_MAX && src->elements;
	return stacked && architecture && hf_name(architecture, src->name, hf) && hf->experts ? src->shape[0] : 0;
}

static int plan_entry(struct export *x, uint32_t i, struct naming *nm, uint32_t part, struct err *e)
{
	const struct tensor *src = &x->w->tensors[i];
	struct export_entry *t = &x->entries[x->n];
	*t = (struct export_entry){.name = src->name,
				   .dtype = type_written(src->dtype),
				   .ndim = src->ndim,
				   .tensor = i,
				   .id = i,
				   .part = DIFF_NONE,
				   .how = has_type(src->dtype) || src->dtype == DTYPE_C128 ? EXPORT_RAW :
											     EXPORT_CONVERT};
	memcpy(t->shape, src->shape, sizeof t->shape);
	if (src->dtype == DTYPE_C128) {
		if (t->ndim == TENSOR_DIMS) {
			x->left_out++;
			return 0;
		}
		t->shape[t->ndim++] = 2;
	}
	if (weights_turned(x->w, src))
		export_turn(t, src);
	struct hf_tensor hf;
	if (nm->split && experts_of(nm->architecture, src, &hf))
		return split_entry(x, nm, hf.name, src, e);
	int r = nm->architecture ? rename_entry(x, t, nm->architecture, src, part, e) : 0;
	x->n += !r;
	return r;
}

int export_plan(struct export *x, const struct weights *w, const struct canon *c, const char *architecture,
		struct err *e)
{
	struct naming nm = {architecture, false, (uint32_t)w->n_tensors};
	struct hf_tensor hf;
	uint64_t experts = 0;
	size_t at = 0;
	for (size_t i = 0; i < w->n_tensors; i++)
		experts += experts_of(architecture, &w->tensors[i], &hf);
	nm.split = experts && experts <= SPLIT_MAX;
	*x = (struct export){.w = w, .c = c, .kept_entry = SIZE_MAX};
	pthread_mutex_init(&x->lock, NULL);
	x->entries = arena_array(&x->arena, w->n_tensors + (nm.split ? experts : 0), sizeof *x->entries);
	int r = x->entries ? 0 : err_nomem(e);
	for (uint32_t i = 0; i < w->n_tensors && !r; i++) {
		uint32_t part = only_part(c, i, &at);
		if (is_read(&w->tensors[i]))
			r = plan_entry(x, i, &nm, part, e);
		else
			x->left_out++;
	}
	if (!r)
		r = export_finish(x, &w->meta, NULL, e);
	if (r < 0)
		export_release(x);
	return r;
}

void export_release(struct export *x)
{
	free(x->kept);
	free(x->header);
	diff_release(&x->diff);
	arena_release(&x->arena);
	pthread_mutex_destroy(&x->lock);
	*x = (struct export){0};
}

/* --- the order and the header --- */

static uint32_t width(enum dtype d)
{
	return dtype_info(d)->block_bits ? 1 : dtype_info(d)->bytes;
}

static int by_width(const void *a, const void *b)
{
	const struct export_entry *x = a, *y = b;
	if (width(x->dtype) != width(y->dtype))
		return width(x->dtype) > width(y->dtype) ? -1 : 1;
	if (x->tensor != y->tensor)
		return x->tensor < y->tensor ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

struct named { uint64_t hash; const char *name; };

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : strcmp(x->name, y->name);
}

/* A JSON object must not name two members alike, and "__metadata__" is taken. */
static int check_names(const struct export *x, struct err *e)
{
	cleanup_free struct named *k = mem_array(x->n, sizeof *k);
	if (!k)
		return err_nomem(e);
	for (size_t i = 0; i < x->n; i++) {
		k[i] = (struct named){hash64(x->entries[i].name, strlen(x->entries[i].name), 0), x->entries[i].name};
		if (!strcmp(x->entries[i].name, "__metadata__"))
			return err_set(e, EINVAL, "a tensor is named __metadata__");
	}
	qsort(k, x->n, sizeof *k, by_name);
	for (size_t i = 1; i < x->n; i++)
		if (!by_name(&k[i - 1], &k[i]))
			return err_set(e, EINVAL, "two tensors would be named '%.200s'", k[i].name);
	return 0;
}

static int measure(struct export *x, struct err *e)
{
	uint64_t at = 0;
	for (size_t i = 0; i < x->n; i++) {
		struct export_entry *t = &x->entries[i];
		t->elements = 1;
		for (unsigned k = 0; k < t->ndim; k++)
			if (__builtin_mul_overflow(t->elements, t->shape[k], &t->elements))
				return err_set(e, EOVERFLOW, "%.200s: its shape overflows 64 bits", t->name);
		t->offset = at;
		if (!dtype_size(t->dtype, t->elements, &t->bytes) || __builtin_add_overflow(at, t->bytes, &at) ||
		    at > INT64_MAX / 2)
			return err_set(e, EOVERFLOW, "%.200s: more bytes than a file can have", t->name);
	}
	x->size = at;
	return 0;
}

static void write_hex(struct buf *b, const char *before, unsigned char c, const char *digits)
{
	buf_str(b, before);
	buf_char(b, digits[c >> 4]);
	buf_char(b, digits[c & 15]);
}

/* As the reference implementation writes it, so that names read back the same: only bytes that are no UTF-8, which JSON
 * cannot express, become \xHH. */
static void write_string(struct buf *b, const char *s, size_t len)
{
	static const char controls[] = "btn?fr";
	buf_char(b, '"');
	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		unsigned char c = (unsigned char)s[i];
		n = utf8_len(s + i, len - i);
		if (!n)
			write_hex(b, "\\\\x", c, "0123456789ABCDEF");
		else if (c == '"' || c == '\\' || (c >= '\b' && c <= '\r' && c != '\v'))
			buf_add(b, (char[]){'\\', c < ' ' ? controls[c - '\b'] : (char)c}, 2);
		else if (c < ' ')
			write_hex(b, "\\u00", c, "0123456789abcdef");
		else
			buf_add(b, s + i, n);
	}
	buf_char(b, '"');
}

static void pair(struct buf *b, const char *key, const char *value, size_t len, bool *first)
{
	buf_str(b, *first ? "\"__metadata__\":{" : ",");
	*first = false;
	write_string(b, key, strlen(key));
	buf_char(b, ':');
	write_string(b, value, len);
}

static void write_metadata(struct buf *b, const struct value *meta, bool keep, const char *base)
{
	bool first = true, format = false;
	for (size_t i = 0; i < value_count(meta) && keep && meta->kind == VALUE_OBJECT; i++) {
		const struct member *m = &meta->obj.items[i];
		if (m->value.kind != VALUE_STRING)
			continue;
		format |= !strcmp(m->key, "format");
		pair(b, m->key, m->value.str.s, m->value.str.len, &first);
	}
	if (!format)
		pair(b, "format", "pt", 2, &first);
	if (base)
		pair(b, "delta_of", base, strlen(base), &first);
	buf_char(b, '}');
}

/* Every model is planned when it is looked into: without printf that is four times as fast. */
static void write_number(struct buf *b, uint64_t v)
{
	char digits[20], *p = digits + sizeof digits;
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	buf_add(b, p, (size_t)(digits + sizeof digits - p));
}

static void write_entry(struct buf *b, const struct export_entry *t)
{
	buf_char(b, ',');
	write_string(b, t->name, strlen(t->name));
	buf_str(b, ":{\"dtype\":\"");
	buf_str(b, dtype_info(t->dtype)->name);
	buf_str(b, "\",\"shape\":[");
	for (unsigned k = 0; k < t->ndim; k++) {
		if (k)
			buf_char(b, ',');
		write_number(b, t->shape[k]);
	}
	buf_str(b, "],\"data_offsets\":[");
	write_number(b, t->offset);
	buf_char(b, ',');
	write_number(b, t->offset + t->bytes);
	buf_str(b, "]}");
}

int export_finish(struct export *x, const struct value *meta, const char *base, struct err *e)
{
	struct buf b = {0};
	uint64_t len;
	if (x->n)
		qsort(x->entries, x->n, sizeof *x->entries, by_width);
	int r = check_names(x, e);
	if (!r)
		r = measure(x, e);
	if (r < 0)
		return r;
	buf_add(&b, "\0\0\0\0\0\0\0\0{", 9);
	write_metadata(&b, meta, !strcmp(x->w->format->name, "safetensors") && !base, base);
	for (size_t i = 0; i < x->n; i++)
		write_entry(&b, &x->entries[i]);
	buf_char(&b, '}');
	while (b.len % 8 && !b.failed)
		buf_char(&b, ' ');
	x->header_len = b.len;
	x->header = buf_take(&b);
	if (!x->header)
		return err_nomem(e);
	len = x->header_len - 8;
	memcpy(x->header, &len, sizeof len);
	x->size += x->header_len;
	return 0;
}
