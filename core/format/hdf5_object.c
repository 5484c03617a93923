/* HDF5 object headers of both versions, and the messages in them that describe datasets, groups and texts. */
#include "core/format/hdf5_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
	MESSAGE_MAX = 65536,
	MSG_SPACE = 1,
	MSG_LINK_INFO = 2,
	MSG_TYPE = 3,
	MSG_LINK = 6,
	MSG_LAYOUT = 8,
	MSG_FILTERS = 11,
	MSG_ATTRIBUTE = 12,
	MSG_CONTINUE = 16,
	MSG_GROUP = 17,
	MSG_ATTRIBUTE_INFO = 21,
	CLASS_FIXED = 0,
	CLASS_FLOAT = 1,
	CLASS_STRING = 3,
	CLASS_ENUM = 8,
	CLASS_VLEN = 9,
	TEXT_MAX = 16 << 20, /* a model's config as an attribute */
	ATTRIBUTES = 4096,
};

void hdf5_object_release(struct hdf5_object *o)
{
	free(o->link_at);
	free(o->link_size);
}

/* --- single messages; m has n bytes --- */

static bool read_space(const unsigned char *m, size_t n, unsigned *ndim, uint64_t *shape, bool *too_many)
{
	size_t at = n > 0 && m[0] == 1 ? 8 : 4;
	if (n < at || m[0] < 1 || m[0] > 2)
		return false;
	*ndim = m[1];
	*too_many = m[1] > TENSOR_DIMS || (m[0] == 2 && m[3] == 2);
	if (*too_many) {
		*ndim = 0;
		return true;
	}
	if (n < at + 8u * *ndim)
		return false;
	for (unsigned i = 0; i < *ndim; i++)
		shape[i] = hdf5_number(m + at + 8 * i, 8);
	return true;
}

struct type { unsigned cls; uint32_t size; enum dtype dtype; bool swap, text; };

static enum dtype float_of(uint32_t size, unsigned exponent, unsigned mantissa)
{
	return size == 4 && exponent == 8 && mantissa == 23    ? DTYPE_F32
	       : size == 2 && exponent == 5 && mantissa == 10  ? DTYPE_F16
	       : size == 8 && exponent == 11 && mantissa == 52 ? DTYPE_F64
	       : size == 2 && exponent == 8 && mantissa == 7   ? DTYPE_BF16
							       : DTYPE_NONE;
}

static enum dtype fixed_of(uint32_t size, bool is_signed)
{
	switch (size) {
	case 1: return is_signed ? DTYPE_I8 : DTYPE_U8;
	case 2: return is_signed ? DTYPE_I16 : DTYPE_U16;
	case 4: return is_signed ? DTYPE_I32 : DTYPE_U32;
	case 8: return is_signed ? DTYPE_I64 : DTYPE_U64;
	default: return DTYPE_NONE;
	}
}

/* Types that are no numbers stay DTYPE_NONE. An enumeration of bytes is how h5py writes booleans. */
static bool read_type(const unsigned char *m, size_t n, struct type *t)
{
	if (n < 8)
		return false;
	*t = (struct type){.cls = m[0] & 15, .size = (uint32_t)hdf5_number(m + 4, 4), .swap = m[1] & 1};
	if (t->cls == CLASS_FIXED && n >= 12 && hdf5_number(m + 8, 2) == 0 && hdf5_number(m + 10, 2) == 8ull * t->size)
		t->dtype = fixed_of(t->size, m[1] & 8);
	else if (t->cls == CLASS_FLOAT && n >= 20 && !(m[1] & 0x40))
		t->dtype = float_of(t->size, m[13], m[15]);
	else if (t->cls == CLASS_ENUM && t->size == 1)
		t->dtype = DTYPE_BOOL;
	t->text = t->cls == CLASS_STRING || (t->cls == CLASS_VLEN && (m[1] & 15) == 1);
	return true;
}

static int read_layout(struct hdf5 *h, const unsigned char *m, size_t n, uint64_t at, struct hdf5_object *o)
{
	o->has_layout = true;
	o->layout = LAYOUT_OTHER;
	if (n < 2 || (m[0] != 3 && !(m[0] == 4 && m[1] < 2)))	/* 4 is new for chunks only */
		return 0;
	if (m[1] == 0 && n >= 4) {
		o->layout = LAYOUT_COMPACT;
		o->data_size = hdf5_number(m + 2, 2);
		o->data = at + 4 - h->base;
		if (o->data_size > n - 4)
			return hdf5_bad(h, at - h->base, "compact data larger than its message");
	} else if (m[1] == 1 && n >= 18) {
		o->layout = LAYOUT_CONTIGUOUS;
		o->data = hdf5_number(m + 2, 8);
		o->data_size = hdf5_number(m + 10, 8);
	} else if (m[1] == 2 && n >= 11) {
		unsigned nd = m[2];
		if (!nd || nd > TENSOR_DIMS + 1)
			return 0;
		if (n < 11 + 4u * nd)
			return hdf5_bad(h, at - h->base, "a layout cut short");
		o->layout = LAYOUT_CHUNKED;
		o->data = hdf5_number(m + 3, 8);
		for (unsigned i = 0; i + 1 < nd; i++)
			o->chunk[i] = (uint32_t)hdf5_number(m + 11 + 4 * i, 4);
		o->data_size = nd - 1;		/* checked against the dataspace's */
	}
	return 0;
}

static int read_filters(struct hdf5 *h, const unsigned char *m, size_t n, uint64_t at, struct hdf5_object *o)
{
	size_t p = n && m[0] == 1 ? 8 : 2;
	if (n < p || m[0] < 1 || m[0] > 2 || m[1] > HDF5_FILTERS)
		return hdf5_bad(h, at - h->base, "filters that are not understood");
	o->n_filters = m[1];
	for (unsigned i = 0; i < o->n_filters; i++) {
		bool name = m[0] == 1 || (p + 2 <= n && hdf5_number(m + p, 2) >= 256);
		size_t head = name ? 8 : 6;
		if (p + head > n)
			return hdf5_bad(h, at - h->base, "filters cut short");
		size_t chars = name ? (size_t)hdf5_number(m + p + 2, 2) : 0,
		       values = (size_t)hdf5_number(m + p + head - 2, 2);
		if (m[0] == 1)
			chars = (chars + 7) / 8 * 8;
		o->filters[i].id = (uint16_t)hdf5_number(m + p, 2);
		p += head + chars;
		if (p + 4 * values > n)
			return hdf5_bad(h, at - h->base, "filters cut short");
		o->filters[i].value = values ? (uint32_t)hdf5_number(m + p, 4) : 0;
		p += 4 * values + (m[0] == 1 && values % 2 ? 4 : 0);
	}
	return 0;
}

/* --- attributes of text --- */

/* A string in a global heap: a collection of numbered objects. */
static int heap_text(struct hdf5 *h, uint64_t collection, uint32_t index, uint64_t len, char **out)
{
	unsigned char head[16];
	int r = hdf5_at(h, collection, head, sizeof head);
	*out = NULL;
	if (!r && memcmp(head, "GCOL", 4))
		return hdf5_bad(h, collection, "expected a global heap");
	uint64_t size = r < 0 ? 0 : hdf5_number(head + 8, 8), at = 16;
	while (!r && at + 16 <= size) {
		if (!h->heap_budget--)
			return hdf5_bad(h, collection, "more objects in heaps than the file can hold, at");
		if (collection > UINT64_MAX - at)
			return hdf5_bad(h, collection, "a heap beyond the end");
		r = hdf5_at(h, collection + at, head, sizeof head);
		if (r < 0)
			return r;
		uint64_t bytes = hdf5_number(head + 8, 8);
		if (hdf5_number(head, 2) == index && index) {
			if (len > bytes || len > h->src.size)
				return hdf5_bad(h, collection + at, "a text longer than its heap object");
			*out = arena_alloc(&h->w->arena, len + 1);
			return *out ? hdf5_at(h, collection + at + 16, *out, (size_t)len) : err_nomem(h->e);
		}
		if (!hdf5_number(head, 2) || bytes > size)
			break;
		at += 16 + (bytes + 7) / 8 * 8;
	}
	return r;
}

static int add_attribute(struct hdf5 *h, const char *path, const unsigned char *name, size_t n, char *text, size_t len)
{
	struct arena *a = &h->w->arena;
	if (h->n_attributes >= ATTRIBUTES)
		return 0;
	if (h->n_attributes == h->attribute_cap) {
		size_t cap = h->attribute_cap ? h->attribute_cap * 2 : 8;
		struct hdf5_attribute *more = arena_array(a, cap, sizeof *more);
		if (!more)
			return err_nomem(h->e);
		if (h->n_attributes)
			memcpy(more, h->attributes, h->n_attributes * sizeof *more);
		h->attributes = more;
		h->attribute_cap = cap;
	}
	char *copy = arena_strndup(a, (const char *)name, n);
	if (!copy)
		return err_nomem(h->e);
	h->attributes[h->n_attributes++] = (struct hdf5_attribute){path, copy, text, len};
	return 0;
}

/* Version 1 pads its parts to 8 bytes; 2 and 3 do not, and 3 says the name's encoding. */
static int read_attribute(struct hdf5 *h, const unsigned char *m, size_t n, uint64_t at, const char *path)
{
	if (n < 9 || m[0] < 1 || m[0] > 3 || (m[0] > 1 && m[1] & 3))
		return 0;
	size_t pad = m[0] == 1 ? 7 : 0, p = m[0] == 3 ? 9 : 8;
	size_t name = (size_t)hdf5_number(m + 2, 2), type = (size_t)hdf5_number(m + 4, 2),
	       space = (size_t)hdf5_number(m + 6, 2);
	size_t type_at = p + ((name + pad) & ~pad), space_at = type_at + ((type + pad) & ~pad),
	       data = space_at + ((space + pad) & ~pad);
	struct type t;
	unsigned ndim;
	uint64_t shape[TENSOR_DIMS];
	bool too_many;
	if (data > n || !name)
		return hdf5_bad(h, at - h->base, "an attribute cut short");
	if (!read_type(m + type_at, type, &t) || !t.text || !read_space(m + space_at, space, &ndim, shape, &too_many) ||
	    ndim || too_many)
		return 0;
	char *text = NULL;
	uint64_t len = t.size;
	int r = 0;
	if (t.cls == CLASS_VLEN) {
		if (n - data < 16)
			return hdf5_bad(h, at - h->base, "an attribute cut short");
		len = hdf5_number(m + data, 4);
		if (len > TEXT_MAX)
			return 0;
		r = heap_text(h, hdf5_number(m + data + 4, 8), (uint32_t)hdf5_number(m + data + 12, 4), len, &text);
	} else if (len <= n - data && !(text = arena_strndup(&h->w->arena, (const char *)m + data, len))) {
		return err_nomem(h->e);
	}
	return r < 0 || !text ? r
			      : add_attribute(h, path, m + p, strnlen((const char *)m + p, name), text, (size_t)len);
}

struct named { struct hdf5 *h; const char *path; };

static int dense_attribute(void *arg, uint64_t address, uint64_t size)
{
	struct named *k = arg;
	if (size > TEXT_MAX + MESSAGE_MAX || size > k->h->src.size) {
		k->h->texts++;
		return 0;
	}
	cleanup_free unsigned char *m = mem_alloc(size + 1);
	if (!m)
		return err_nomem(k->h->e);
	int r = hdf5_at(k->h, address, m, (size_t)size);
	return r < 0 ? r : read_attribute(k->h, m, (size_t)size, k->h->base + address, k->path);
}

/* --- headers --- */

/* p: where the heap's address stands in the message, the tree's behind it */
static int read_dense(struct hdf5 *h, const unsigned char *m, size_t n, size_t p, uint64_t at, struct hdf5_dense *out)
{
	if (n < p + 16)
		return hdf5_bad(h, at - h->base, "a message on links or attributes cut short");
	out->heap = hdf5_number(m + p, 8);
	out->names = hdf5_number(m + p + 8, 8);
	return 0;
}

static int add_link(struct hdf5 *h, struct hdf5_object *o, uint64_t at, uint32_t size)
{
	if (mem_grow(&o->link_at, &o->link_cap, o->n_links + 1) < 0 ||
	    mem_grow(&o->link_size, &o->size_cap, o->n_links + 1) < 0)
		return err_nomem(h->e);
	o->link_at[o->n_links] = at;
	o->link_size[o->n_links++] = size;
	return 0;
}

struct reading {
	struct hdf5 *h;
	struct hdf5_object *o;
	const char *path;
	bool newer;			/* OHDR */
	bool ordered;			/* messages carry their creation order */
	uint64_t next, next_size;	/* a continuation, 0: none */
};

static int message(struct reading *x, unsigned type, unsigned flags, const unsigned char *m, size_t n, uint64_t at)
{
	struct hdf5_object *o = x->o;
	struct type t;
	if (flags & 2)	/* kept elsewhere: a named type */
		return 0;
	switch (type) {
	case MSG_SPACE:
		o->has_space = true;
		return read_space(m, n, &o->ndim, o->shape, &o->too_many)
			       ? 0
			       : hdf5_bad(x->h, at - x->h->base, "a shape that is not understood");
	case MSG_TYPE:
		o->has_type = read_type(m, n, &t);
		if (o->has_type) {
			o->dtype = t.dtype;
			o->swap = t.swap;
			o->item = t.size;
		}
		return 0;
	case MSG_LAYOUT: return read_layout(x->h, m, n, at, o);
	case MSG_FILTERS: return read_filters(x->h, m, n, at, o);
	case MSG_ATTRIBUTE: return read_attribute(x->h, m, n, at, x->path);
	case MSG_LINK: return add_link(x->h, o, at, (uint32_t)n);
	case MSG_LINK_INFO:
		if (n >= 18)
			return read_dense(x->h, m, n, m[1] & 1 ? 10 : 2, at, &o->many_links);
		return 0;
	case MSG_ATTRIBUTE_INFO:
		if (n >= 18)
			return read_dense(x->h, m, n, m[1] & 1 ? 4 : 2, at, &o->many_attributes);
		return 0;
	case MSG_GROUP:
		if (n < 16)
			return hdf5_bad(x->h, at - x->h->base, "a group cut short");
		o->tree = hdf5_number(m, 8);
		o->heap = hdf5_number(m + 8, 8);
		return 0;
	case MSG_CONTINUE:
		if (n < 16 || x->next_size)
			return n < 16 ? hdf5_bad(x->h, at - x->h->base, "a continuation cut short") : 0;
		x->next = hdf5_number(m, 8);
		x->next_size = hdf5_number(m + 8, 8);
		return 0;
	default: return 0;
	}
}

/* The messages in [address, address+size). */
static int block(struct reading *x, uint64_t address, uint64_t size)
{
	size_t head = x->newer ? (x->ordered ? 6 : 4) : 8;
	unsigned char h[8];
	cleanup_free unsigned char *m = NULL;
	size_t cap = 0;
	for (uint64_t p = 0; p + head <= size;) {
		int r = hdf5_step(x->h, address);
		if (!r && address > UINT64_MAX - p)
			return hdf5_bad(x->h, address, "a header beyond the end");
		if (!r)
			r = hdf5_at(x->h, address + p, h, head);
		if (r < 0)
			return r;
		unsigned type = x->newer ? h[0] : (unsigned)hdf5_number(h, 2), flags = x->newer ? h[3] : h[4];
		size_t n = (size_t)hdf5_number(x->newer ? h + 1 : h + 2, 2);
		p += head;
		if (n > size - p)
			return hdf5_bad(x->h, address + p, "a message longer than its header");
		if (mem_grow(&m, &cap, n + 1) < 0)
			return err_nomem(x->h->e);
		r = hdf5_at(x->h, address + p, m, n);
		if (!r)
			r = message(x, type, flags, m, n, x->h->base + address + p);
		if (r < 0)
			return r;
		p += n;
	}
	return 0;
}

static int continuations(struct reading *x)
{
	unsigned char sign[4];
	while (x->next_size) {
		uint64_t at = x->next, size = x->next_size;
		x->next_size = 0;
		int r = hdf5_step(x->h, at);
		if (!r && x->newer) {
			r = hdf5_at(x->h, at, sign, 4);
			if (!r && (memcmp(sign, "OCHK", 4) || size < 8))
				return hdf5_bad(x->h, at, "expected a continuation");
			at += 4;
			size -= 8;
		}
		if (!r)
			r = block(x, at, size);
		if (r < 0)
			return r;
	}
	return 0;
}

int hdf5_object_read(struct hdf5 *h, uint64_t address, const char *path, struct hdf5_object *o)
{
	struct reading x = {.h = h, .o = o, .path = path};
	unsigned char b[48] = {0};
	int r = hdf5_at(h, address, b, 16);
	if (r < 0)
		return r;
	uint64_t size, from;
	if (!memcmp(b, "OHDR", 4)) {
		unsigned flags = b[5], width = 1u << (flags & 3);
		size_t p = 6 + (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0);
		r = hdf5_at(h, address, b, p + width);
		if (r < 0)
			return r;
		x.newer = true;
		x.ordered = flags & 4;
		size = hdf5_number(b + p, width);
		from = address + p + width;
	} else if (b[0] == 1) {
		size = hdf5_number(b + 8, 4);
		from = address + 16;
	} else {
		return hdf5_bad(h, address, "expected an object header");
	}
	r = block(&x, from, size);
	if (!r)
		r = continuations(&x);
	struct named k = {h, path};
	return r < 0 || o->many_attributes.heap == HDF5_UNDEFINED ? r :
		hdf5_dense(h, &o->many_attributes, false, dense_attribute, &k);
}
