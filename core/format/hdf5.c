/* HDF5: the superblock, and groups of both kinds, walked to their datasets. */
#include "core/format/hdf5.h"
#include "core/format/hdf5_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 48, NAME_BYTES = 1024, SYMBOL = 40 };

static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

bool hdf5_is(const unsigned char *head, size_t len)
{
	return len >= 8 && !memcmp(head, magic, 8);
}

uint64_t hdf5_number(const unsigned char *p, size_t n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | p[n];
	return v;
}

int hdf5_bad(struct hdf5 *h, uint64_t address, const char *what)
{
	uint64_t at = address <= UINT64_MAX - h->base ? h->base + address : address;
	return err_at(h->e, EINVAL, source_pos(&h->src, at), "HDF5: %s at byte %" PRIu64, what, at);
}

int hdf5_at(struct hdf5 *h, uint64_t address, void *out, size_t n)
{
	if (address > h->src.size || h->base > h->src.size - address || n > h->src.size - address - h->base)
		return hdf5_bad(h, address, "an address beyond the end: cut short, or");
	uint64_t at = h->base + address;
	if (n > sizeof h->window / 4)
		return source_pread(&h->src, out, n, at, h->e);
	if (at < h->window_at || at + n > h->window_at + h->window_len) {
		uint64_t from = at - at % 1024;
		size_t len = (size_t)MIN(h->src.size - from, (uint64_t)sizeof h->window);
		h->window_len = 0;
		int r = source_pread(&h->src, h->window, len, from, h->e);
		if (r < 0)
			return r;
		h->window_at = from;
		h->window_len = len;
	}
	memcpy(out, h->window + (at - h->window_at), n);
	return 0;
}

int hdf5_step(struct hdf5 *h, uint64_t address)
{
	if (!h->budget)
		return hdf5_bad(h, address, "more objects than the file can hold, or a circle,");
	h->budget--;
	return 0;
}

/* --- datasets --- */

static bool is_apart(const char *path)
{
	return !strncmp(path, "optimizer_weights/", 18) || !strncmp(path, "optimizer/", 10);
}

static const char *shown_name(const struct hdf5 *h, const char *path)
{
	const char *name = strncmp(path, "model_weights/", 14) ? path : path + 14;
	return arena_printf(&h->w->arena, "%s%s", h->prefix, name);
}

static int add_dataset(struct hdf5 *h, const char *path, struct hdf5_object *o)
{
	struct tensor t = {.dtype = o->dtype, .ndim = (uint8_t)o->ndim, .file = h->file};
	struct stored s = {.contiguous = true, .swap = o->swap && o->item > 1};
	if (is_apart(path)) {
		h->apart++;
		return 0;
	}
	if (o->dtype == DTYPE_NONE || o->too_many || !o->has_layout) {
		h->types++;
		return 0;
	}
	t.name = shown_name(h, path);
	if (!t.name)
		return err_nomem(h->e);
	memcpy(t.shape, o->shape, sizeof t.shape);
	int r = tensor_measure(&t, h->e);
	if (r < 0)
		return r;
	if (o->layout == LAYOUT_OTHER) {
		h->layouts++;
		return 0;
	}
	if (o->layout == LAYOUT_CHUNKED) {
		r = hdf5_chunked(h, o, &t, &s.src);
	} else if (!t.bytes) {
		s.src = source_memory("", 0);
	} else if (o->n_filters || o->data_size < t.bytes || o->data > h->src.size || h->base > h->src.size - o->data ||
		   t.bytes > h->src.size - o->data - h->base) {
		r = hdf5_bad(h, o->data,
			     o->n_filters ? "filters on a dataset without chunks"
					  : "a dataset that runs past the end or was never written");
	} else {
		s.src = source_part(&h->src, h->base + o->data, t.bytes);
	}
	if (r < 0)
		return err_prefix(h->e, "%.200s: ", t.name);
	return stored_add(h->w, t, &s, h->e);
}

/* --- groups --- */

static int walk(struct hdf5 *h, uint64_t address, const char *path, int depth);

static int walk_child(struct hdf5 *h, const char *path, const char *name, uint64_t address, int depth)
{
	struct arena *a = &h->w->arena;
	char *full = *path ? arena_printf(a, "%s/%s", path, name) : arena_strdup(a, name);
	return full ? walk(h, address, full, depth + 1) : err_nomem(h->e);
}

/* A name in a local heap whose data begins at `data` and is `size` bytes. */
static int heap_name(struct hdf5 *h, uint64_t data, uint64_t size, uint64_t offset, char out[NAME_BYTES])
{
	if (offset >= size)
		return hdf5_bad(h, data, "a name beyond its heap");
	size_t n = (size_t)MIN(size - offset, (uint64_t)NAME_BYTES);
	if (data > UINT64_MAX - offset)
		return hdf5_bad(h, data, "a heap beyond the end");
	int r = hdf5_at(h, data + offset, out, n);
	if (!r && !memchr(out, 0, n))
		return hdf5_bad(h, data + offset, "a name without an end");
	return r;
}

static int walk_symbols(struct hdf5 *h, uint64_t node, uint64_t heap, uint64_t heap_size, const char *path, int depth)
{
	unsigned char head[8], entry[SYMBOL];
	char name[NAME_BYTES];
	int r = hdf5_step(h, node);
	if (!r)
		r = hdf5_at(h, node, head, sizeof head);
	if (!r && memcmp(head, "SNOD", 4))
		return hdf5_bad(h, node, "expected a symbol table node");
	unsigned n = r < 0 ? 0 : (unsigned)hdf5_number(head + 6, 2);
	for (unsigned i = 0; !r && i < n; i++) {
		r = hdf5_at(h, node + 8 + (uint64_t)i * SYMBOL, entry, sizeof entry);
		if (!r)
			r = heap_name(h, heap, heap_size, hdf5_number(entry, 8), name);
		if (r < 0)
			return r;
		if (hdf5_number(entry + 16, 4) == 2)	/* a soft link */
			h->links++;
		else
			r = walk_child(h, path, name, hdf5_number(entry + 8, 8), depth);
	}
	return r;
}

/* Children stand one level lower, which ends any circle. */
static int walk_tree(struct hdf5 *h, uint64_t node, int level, uint64_t heap, uint64_t heap_size, const char *path,
		     int depth)
{
	unsigned char head[24], child[8];
	int r = hdf5_step(h, node);
	if (!r)
		r = hdf5_at(h, node, head, sizeof head);
	if (!r && (memcmp(head, "TREE", 4) || head[4] != 0 || (level >= 0 && head[5] != level) || head[5] > 16))
		return hdf5_bad(h, node, "expected a group's tree");
	unsigned n = r < 0 ? 0 : (unsigned)hdf5_number(head + 6, 2);
	for (unsigned i = 0; !r && i < n; i++) {
		r = hdf5_at(h, node + 24 + 8 + (uint64_t)i * 16, child, sizeof child);
		if (r < 0)
			return r;
		uint64_t at = hdf5_number(child, 8);
		r = head[5] ? walk_tree(h, at, head[5] - 1, heap, heap_size, path, depth)
			    : walk_symbols(h, at, heap, heap_size, path, depth);
	}
	return r;
}

static int walk_old_group(struct hdf5 *h, const struct hdf5_object *o, const char *path, int depth)
{
	unsigned char heap[32];
	int r = hdf5_at(h, o->heap, heap, sizeof heap);
	if (!r && memcmp(heap, "HEAP", 4))
		return hdf5_bad(h, o->heap, "expected a heap of names");
	return r < 0 ? r : walk_tree(h, o->tree, -1, hdf5_number(heap + 24, 8), hdf5_number(heap + 8, 8), path, depth);
}

/* A link message: flags say which fields there are. */
static int walk_link(struct hdf5 *h, uint64_t at, uint32_t size, const char *path, int depth)
{
	unsigned char m[NAME_BYTES + 32];
	size_t have = MIN((size_t)size, sizeof m), p = 2;
	int r = source_pread(&h->src, m, have, at, h->e);
	if (r < 0)
		return r;
	unsigned flags = have > 2 ? m[1] : 0, type = 0;
	size_t width = (size_t)1 << (flags & 3);
	if (flags & 8 && p < have)
		type = m[p++];
	p += (flags & 4 ? 8u : 0u) + (flags & 16 ? 1u : 0u);
	if (have < 3 || m[0] != 1 || p + width > have)
		return hdf5_bad(h, at - h->base, "expected a link");
	uint64_t n = hdf5_number(m + p, width);
	p += width;
	if (type) {
		h->links++;
		return 0;
	}
	if (!n || n >= NAME_BYTES || p + n + 8 > have)
		return hdf5_bad(h, at - h->base, "a link whose name does not fit");
	uint64_t address = hdf5_number(m + p + n, 8);
	m[p + n] = 0;
	return walk_child(h, path, (char *)m + p, address, depth);
}

struct group { struct hdf5 *h; const char *path; int depth; };

static int dense_link(void *arg, uint64_t address, uint64_t size)
{
	const struct group *g = arg;
	if (size > UINT32_MAX || address > g->h->src.size || g->h->base > g->h->src.size - address ||
	    size > g->h->src.size - address - g->h->base)
		return hdf5_bad(g->h, address, "a link beyond the end");
	return walk_link(g->h, g->h->base + address, (uint32_t)size, g->path, g->depth);
}

static int walk_group(struct hdf5 *h, const struct hdf5_object *o, const char *path, int depth)
{
	int r = o->tree != HDF5_UNDEFINED ? walk_old_group(h, o, path, depth) : 0;
	for (size_t i = 0; !r && i < o->n_links; i++)
		r = walk_link(h, o->link_at[i], o->link_size[i], path, depth);
	struct group g = {h, path, depth};
	return r < 0 || o->many_links.heap == HDF5_UNDEFINED ? r : hdf5_dense(h, &o->many_links, true, dense_link, &g);
}

static int walk(struct hdf5 *h, uint64_t address, const char *path, int depth)
{
	static const struct hdf5_dense none = {HDF5_UNDEFINED, HDF5_UNDEFINED};
	struct hdf5_object cleanup_with(hdf5_object_release) o = {.tree = HDF5_UNDEFINED, .heap = HDF5_UNDEFINED,
								  .many_links = none, .many_attributes = none};
	if (depth > DEPTH)
		return hdf5_bad(h, address, "groups nested too deeply, or in a circle,");
	int r = hdf5_step(h, address);
	if (!r)
		r = hdf5_object_read(h, address, path, &o);
	if (r < 0)
		return r;
	return o.has_space && o.has_type ? add_dataset(h, path, &o) : walk_group(h, &o, path, depth);
}

/* --- the superblock --- */

/* It stands at 0, 512, 1024, 2048 …, behind what a user put there. */
static int find_superblock(struct hdf5 *h, uint64_t *at)
{
	unsigned char head[8];
	for (uint64_t p = 0; p + 96 <= h->src.size && p <= 1 << 20; p = p ? p * 2 : 512) {
		int r = source_pread(&h->src, head, sizeof head, p, h->e);
		if (r < 0)
			return r;
		if (hdf5_is(head, sizeof head)) {
			*at = p;
			return 0;
		}
	}
	return err_at(h->e, EINVAL, source_pos(&h->src, 0),
		      "expected \\x89HDF, found something else, or less than a superblock");
}

static int read_superblock(struct hdf5 *h, uint64_t *root)
{
	unsigned char b[104];
	uint64_t at = 0;
	int r = find_superblock(h, &at);
	if (r < 0)
		return r;
	size_t have = (size_t)MIN(h->src.size - at, (uint64_t)sizeof b);
	r = source_pread(&h->src, b, have, at, h->e);
	if (r < 0)
		return r;
	unsigned version = b[8], offsets = version < 2 ? b[13] : b[9], lengths = version < 2 ? b[14] : b[10];
	if (version > 3 || offsets != 8 || lengths != 8)
		return err_at(h->e, ENOTSUP, source_pos(&h->src, at + 8),
			      "HDF5: superblock %u with addresses of %u and lengths of %u bytes", version, offsets,
			      lengths);
	/* version 0: base at 24, end at 40, the root's symbol table entry at 56; version 1 has 4 bytes more before */
	size_t p = version == 0 ? 24 : version == 1 ? 28 : 12;
	uint64_t base = hdf5_number(b + p, 8), end = hdf5_number(b + p + 16, 8);
	*root = hdf5_number(b + p + (version < 2 ? 40 : 24), 8);
	h->base = base == HDF5_UNDEFINED ? at : base;
	if (h->base > h->src.size)
		return err_at(h->e, EINVAL, source_pos(&h->src, at),
			      "HDF5: it begins at byte %" PRIu64 ", the file has %" PRIu64, h->base, h->src.size);
	if (end > h->src.size)
		return err_at(h->e, EINVAL, source_pos(&h->src, at),
			      "HDF5: expected %" PRIu64 " bytes, the file has %" PRIu64 ": cut short", end,
			      h->src.size);
	return 0;
}

static int tell(struct hdf5 *h)
{
	const struct { size_t n; const char *problem, *what; } left[] = {
		{h->links, "links", "soft or external links are not followed"},
		{h->layouts, "layout", "datasets are virtual, or in chunks with an index of HDF5 1.10: not read"},
		{h->texts, "attributes", "attributes are kept in a way that is not read"},
		{h->types, "type", "datasets that are not numbers are not listed"},
		{h->apart, "training state", "tensors of an optimizer are not listed"},
	};
	for (size_t i = 0; i < COUNT(left); i++)
		if (left[i].n && weights_warn(h->w, h->w->files[h->file].path, left[i].problem, "%zu %s", left[i].n,
					      left[i].what) < 0)
			return err_nomem(h->e);
	return 0;
}

int hdf5_read(struct hdf5 *h)
{
	uint64_t root = 0;
	h->budget = h->src.size / 8 + 1024;
	h->heap_budget = h->src.size / 8 + (1 << 18);
	int r = read_superblock(h, &root);
	if (!r)
		r = walk(h, root, "", 0);
	return r < 0 ? r : tell(h);
}

const struct hdf5_attribute *hdf5_find(const struct hdf5 *h, const char *object, const char *name)
{
	for (size_t i = 0; i < h->n_attributes; i++)
		if (!strcmp(h->attributes[i].object, object) && !strcmp(h->attributes[i].name, name))
			return &h->attributes[i];
	return NULL;
}
