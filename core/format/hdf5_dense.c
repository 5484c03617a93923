/*
 * HDF5's dense storage (file format specification 3.0, III.A.2 and III.G): links and attributes of an object that has many
 * stand in a fractal heap, found through a version 2 B-tree of their names. Files of HDF5 2.0 have it by default.
 */
#include "core/format/hdf5_internal.h"

#include <errno.h>
#include <string.h>

enum {
	TREE_HEAD = 38, NODE_HEAD = 6, NODE_MAX = 1 << 16, TREE_DEPTH = 16,
	HEAP_HEAD = 146, ID_MAX = 32,
	LINK_NAMES = 5, ATTRIBUTE_NAMES = 8, HUGE = 1,	/* what a tree's records are */
	MANAGED_ID = 0, HUGE_ID = 1,
};

/* --- trees --- */

struct tree {
	struct hdf5 *h;
	unsigned type;
	uint32_t node_size, record;
	size_t count_width;		/* bytes of a child's number of records */
	size_t total_width[TREE_DEPTH + 1];	/* and of all below it, by its level */
	int (*each)(void *arg, const unsigned char *record, size_t size);
	void *arg;
};

/* Bytes that a number up to `limit` is written in. */
static size_t bytes_for(uint64_t limit)
{
	size_t n = 1;
	while (limit >>= 8)
		n++;
	return n;
}

/* How many records there may be below nodes of each level: that says how wide the counts in their parents are. */
static void measure(struct tree *t, unsigned depth)
{
	uint64_t most = (t->node_size - NODE_HEAD - 4) / t->record, total = most;
	t->count_width = bytes_for(most);
	t->total_width[0] = 0;
	for (unsigned level = 1; level <= depth; level++) {
		size_t pointer = 8 + t->count_width + t->total_width[level - 1];
		uint64_t n = t->node_size > NODE_HEAD + 4 + pointer ?
			(t->node_size - NODE_HEAD - 4 - pointer) / (t->record + pointer) : 0;
		if (__builtin_mul_overflow(total, n + 1, &total) || __builtin_add_overflow(total, n, &total))
			total = UINT64_MAX;
		t->total_width[level] = bytes_for(total);
	}
}

/* Levels fall by one a step, which ends any circle; the budget ends what branches into itself. */
static int walk_node(struct tree *t, uint64_t at, unsigned level, uint64_t n)
{
	size_t pointer = level ? 8 + t->count_width + t->total_width[level - 1] : 0;
	if (n > (t->node_size - NODE_HEAD - pointer) / (t->record + pointer))
		return hdf5_bad(t->h, at, "more records than a tree's node can hold");
	size_t size = NODE_HEAD + n * t->record + (level ? (n + 1) * pointer : 0);
	cleanup_free unsigned char *b = mem_alloc(size);
	if (!b)
		return err_nomem(t->h->e);
	int r = hdf5_step(t->h, at);
	if (!r)
		r = hdf5_at(t->h, at, b, size);
	if (!r && (memcmp(b, level ? "BTIN" : "BTLF", 4) || b[5] != t->type))
		return hdf5_bad(t->h, at, "expected a tree's node");
	for (uint64_t i = 0; i < n && !r; i++) {
		r = hdf5_step(t->h, at);
		if (!r)
			r = t->each(t->arg, b + NODE_HEAD + i * t->record, t->record);
	}
	const unsigned char *child = b + NODE_HEAD + n * t->record;
	for (uint64_t i = 0; level && i <= n && !r; i++, child += pointer)
		r = walk_node(t, hdf5_number(child, 8), level - 1, hdf5_number(child + 8, t->count_width));
	return r;
}

static int walk_tree(struct tree *t, uint64_t at)
{
	unsigned char b[TREE_HEAD];
	int r = hdf5_at(t->h, at, b, sizeof b);
	if (r < 0)
		return r;
	unsigned depth = (unsigned)hdf5_number(b + 12, 2);
	uint64_t root = hdf5_number(b + 16, 8);
	t->node_size = (uint32_t)hdf5_number(b + 6, 4);
	t->record = (uint32_t)hdf5_number(b + 10, 2);
	if (memcmp(b, "BTHD", 4) || b[5] != t->type || depth > TREE_DEPTH || t->node_size > NODE_MAX || !t->record ||
	    t->node_size < NODE_HEAD + 4 + t->record + 64)
		return hdf5_bad(t->h, at, "expected a tree of names");
	measure(t, depth);
	return root == HDF5_UNDEFINED ? 0 : walk_node(t, root, depth, hdf5_number(b + 24, 2));
}

/* --- heaps --- */

struct heap {
	struct hdf5 *h;
	uint64_t at;
	size_t id;			/* bytes of an object's id */
	size_t offset_width, length_width;
	unsigned start, width, direct;	/* log2 of the first blocks' size, the blocks of a row, the largest direct block */
	unsigned rows;			/* of the root; 0: it is a direct block */
	uint64_t root, huge;
};

static bool power(uint64_t v, unsigned most, unsigned *log2)
{
	*log2 = v ? 63 - (unsigned)__builtin_clzll(v) : 0;
	return v && !(v & (v - 1)) && *log2 <= most;
}

static int read_heap(struct heap *p)
{
	unsigned char b[HEAP_HEAD];
	int r = hdf5_at(p->h, p->at, b, sizeof b);
	if (r < 0)
		return r;
	uint64_t largest = hdf5_number(b + 10, 4), bits = hdf5_number(b + 128, 2);
	p->id = (size_t)hdf5_number(b + 5, 2);
	if (memcmp(b, "FRHP", 4) || p->id > ID_MAX || bits > 64 || !power(hdf5_number(b + 110, 2), 16, &p->width) ||
	    !power(hdf5_number(b + 112, 8), 32, &p->start) || !power(hdf5_number(b + 120, 8), 32, &p->direct))
		return hdf5_bad(p->h, p->at, "expected a heap of links or attributes");
	if (hdf5_number(b + 7, 2))
		return err_set(p->h->e, ENOTSUP, "HDF5: a filtered heap");
	p->offset_width = (size_t)(bits + 7) / 8;
	p->length_width = MIN((size_t)(p->direct + 7) / 8, bytes_for(largest));
	p->huge = hdf5_number(b + 22, 8);
	p->root = hdf5_number(b + 132, 8);
	p->rows = (unsigned)hdf5_number(b + 140, 2);
	return 0;
}

/* The block of a table that an offset lies in: blocks are of the first size in the first two rows, then doubling. */
static bool find_block(const struct heap *p, uint64_t offset, uint64_t *entry, uint64_t *begin, unsigned *size)
{
	unsigned row_bits = p->start + p->width, row = 0;
	if (offset >> row_bits)
		row = 64 - (unsigned)__builtin_clzll(offset >> row_bits);
	*size = p->start + (row ? row - 1 : 0);
	if (row_bits + row > 62)
		return false;
	uint64_t first = row ? (uint64_t)1 << (row_bits + row - 1) : 0, column = (offset - first) >> *size;
	*entry = ((uint64_t)row << p->width) + column;
	*begin = first + (column << *size);
	return true;
}

/* Where the `n` bytes at a managed offset are in the file. */
static int managed(const struct heap *p, uint64_t offset, uint64_t n, uint64_t *out)
{
	uint64_t at = p->root, rows = p->rows, entry, begin;
	unsigned size = p->start;
	unsigned char b[8];
	if (!rows) {
		if (n > (uint64_t)1 << size || offset > ((uint64_t)1 << size) - n || at > UINT64_MAX - offset)
			return hdf5_bad(p->h, p->at, "an object beyond its heap");
		*out = at + offset;
		return 0;
	}
	for (;;) {
		int r = hdf5_step(p->h, at);
		if (!r)
			r = hdf5_at(p->h, at, b, 4);
		if (r < 0)
			return r;
		if (memcmp(b, "FHIB", 4) || !find_block(p, offset, &entry, &begin, &size) || entry >> p->width >= rows)
			return hdf5_bad(p->h, at, "an object beyond its heap");
		r = hdf5_at(p->h, at + 13 + p->offset_width + 8 * entry, b, 8);
		if (r < 0)
			return r;
		at = hdf5_number(b, 8);
		offset -= begin;
		if (size <= p->direct)
			break;
		rows = size + 1 - (p->start + p->width);	/* as many as make up the block */
		if (size < p->start + p->width)
			return hdf5_bad(p->h, at, "a heap's table that is not understood");
	}
	if (n > (uint64_t)1 << size || offset > ((uint64_t)1 << size) - n || at > UINT64_MAX - offset)
		return hdf5_bad(p->h, at, "an object beyond its heap");
	*out = at + offset;
	return 0;
}

struct wanted { uint64_t id, at, size; };

/* address, length, number */
static int huge_record(void *arg, const unsigned char *record, size_t size)
{
	struct wanted *w = arg;
	if (size == 24 && hdf5_number(record + 16, 8) == w->id) {
		w->at = hdf5_number(record, 8);
		w->size = hdf5_number(record + 8, 8);
	}
	return 0;
}

/* 1: of a kind that is not read */
static int find_object(const struct heap *p, const unsigned char *id, uint64_t *at, uint64_t *size)
{
	unsigned kind = id[0] >> 4 & 3;
	if (kind == MANAGED_ID && 1 + p->offset_width + p->length_width <= p->id) {
		*size = hdf5_number(id + 1 + p->offset_width, p->length_width);
		return managed(p, hdf5_number(id + 1, p->offset_width), *size, at);
	}
	if (kind != HUGE_ID || p->id > 9 || p->huge == HDF5_UNDEFINED)
		return 1;
	struct wanted w = {.id = hdf5_number(id + 1, p->id - 1), .at = HDF5_UNDEFINED};
	struct tree t = {.h = p->h, .type = HUGE, .each = huge_record, .arg = &w};
	int r = walk_tree(&t, p->huge);
	*at = w.at;
	*size = w.size;
	return r < 0 ? r : w.at == HDF5_UNDEFINED;
}

/* --- both together --- */

struct dense {
	struct heap heap;
	size_t id_at;			/* in a record */
	int (*each)(void *arg, uint64_t at, uint64_t size);
	void *arg;
	size_t *left_out;
};

static int name_record(void *arg, const unsigned char *record, size_t size)
{
	struct dense *d = arg;
	uint64_t at = 0, bytes = 0;
	if (d->id_at + d->heap.id > size || !d->heap.id)
		return hdf5_bad(d->heap.h, d->heap.at, "a heap whose ids do not fit its tree");
	int r = find_object(&d->heap, record + d->id_at, &at, &bytes);
	if (r == 1) {
		++*d->left_out;
		return 0;
	}
	return r < 0 ? r : d->each(d->arg, at, bytes);
}

int hdf5_dense(struct hdf5 *h, const struct hdf5_dense *where, bool links,
	       int (*each)(void *arg, uint64_t address, uint64_t size), void *arg)
{
	struct dense d = {.heap = {.h = h, .at = where->heap}, .id_at = links ? 4 : 0, .each = each, .arg = arg,
			  .left_out = links ? &h->links : &h->texts};
	struct tree t = {.h = h, .type = links ? LINK_NAMES : ATTRIBUTE_NAMES, .each = name_record, .arg = &d};
	int r = read_heap(&d.heap);
	return r < 0 ? r : walk_tree(&t, where->names);
}
