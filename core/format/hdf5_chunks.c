/*
 * Chunked datasets of HDF5: a B-tree says where each chunk is; chunks pass through filters. Bytes are served row-major; the
 * chunks that a row crosses are kept, so that reading forwards unpacks each once.
 */
#include "core/format/hdf5_internal.h"

#include "core/base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <zlib.h>

enum {
	CHUNK_MAX = 256 << 20,		/* bytes of one, unpacked */
	CACHE_BYTES = 32 << 20, CACHE_SLOTS = 256,
	DEFLATE_RATIO = 1032,
	FILTER_DEFLATE = 1, FILTER_SHUFFLE = 2, FILTER_FLETCHER = 3, FILTER_LZF = 32000,
};

struct chunk { uint64_t number, address; uint32_t size, mask; };	/* number: row-major among all chunks */
struct slot { uint64_t number, used; unsigned char *data; };

struct chunked {
	struct source src;
	uint64_t base;
	unsigned ndim;
	uint64_t shape[TENSOR_DIMS], chunk[TENSOR_DIMS], across[TENSOR_DIMS];	/* chunks along each axis */
	uint32_t item;
	uint64_t bytes;			/* of a chunk */
	struct chunk *chunks;		/* sorted by number; in the arena, doubled as it grows */
	size_t n, cap;
	struct hdf5_filter filters[HDF5_FILTERS];
	unsigned n_filters;
	pthread_mutex_t lock;
	struct slot slots[CACHE_SLOTS];
	size_t n_slots;
	uint64_t clock;
};

/* --- the tree --- */

static int add_chunk(struct hdf5 *h, struct chunked *k, const unsigned char *key, uint64_t address)
{
	uint64_t number = 0;
	for (unsigned i = 0; i < k->ndim; i++) {
		uint64_t at = hdf5_number(key + 8 + 8 * i, 8);
		if (at % k->chunk[i] || at / k->chunk[i] >= k->across[i])
			return hdf5_bad(h, address, "a chunk outside of its dataset, at");
		number = number * k->across[i] + at / k->chunk[i];
	}
	if (k->n == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 16;
		struct chunk *more = arena_array(&h->w->arena, cap, sizeof *more);
		if (!more)
			return err_nomem(h->e);
		if (k->n)
			memcpy(more, k->chunks, k->n * sizeof *more);
		k->chunks = more;
		k->cap = cap;
	}
	struct chunk c = {number, address, (uint32_t)hdf5_number(key, 4), (uint32_t)hdf5_number(key + 4, 4)};
	if (address > h->src.size || h->base > h->src.size - address || c.size > h->src.size - address - h->base)
		return hdf5_bad(h, address, "a chunk beyond the end: cut short, or");
	if (c.size < k->bytes / DEFLATE_RATIO - (k->bytes >= DEFLATE_RATIO))
		return hdf5_bad(h, address, "a chunk too small for what it should hold");
	k->chunks[k->n++] = c;
	return 0;
}

static int walk_chunks(struct hdf5 *h, struct chunked *k, uint64_t node, int level)
{
	unsigned char head[24], entry[8 + 8 * (TENSOR_DIMS + 1) + 8];
	size_t key = 8 + 8 * (k->ndim + 1u);
	int r = hdf5_step(h, node);
	if (!r)
		r = hdf5_at(h, node, head, sizeof head);
	if (!r && (memcmp(head, "TREE", 4) || head[4] != 1 || (level >= 0 && head[5] != level) || head[5] > 16))
		return hdf5_bad(h, node, "expected a tree of chunks");
	unsigned n = r < 0 ? 0 : (unsigned)hdf5_number(head + 6, 2);
	for (unsigned i = 0; !r && i < n; i++) {
		r = hdf5_at(h, node + 24 + (uint64_t)i * (key + 8), entry, key + 8);
		if (r < 0)
			return r;
		uint64_t child = hdf5_number(entry + key, 8);
		r = head[5] ? walk_chunks(h, k, child, head[5] - 1) : add_chunk(h, k, entry, child);
	}
	return r;
}

static int by_number(const void *a, const void *b)
{
	const struct chunk *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* --- filters --- */

static int inflate_chunk(const unsigned char *in, size_t n, unsigned char *out, size_t want, struct err *e)
{
	uLongf got = want;
	int z = uncompress(out, &got, in, n);
	if (z == Z_MEM_ERROR)
		return err_nomem(e);
	return z == Z_OK && got == want
		       ? 0
		       : err_set(e, EINVAL, "HDF5: a chunk of %zu bytes does not inflate to %zu", n, want);
}

/* Bytes of equal significance stand together. */
static void unshuffle(const unsigned char *in, unsigned char *out, size_t n, uint32_t item)
{
	size_t count = item ? n / item : 0, whole = count * item;
	for (uint32_t b = 0; b < item; b++)
		for (size_t i = 0; i < count; i++)
			out[i * item + b] = in[b * count + i];
	memcpy(out + whole, in + whole, n - whole);
}

/* LibLZF's format: literal runs and references back. */
static int expand_lzf(const unsigned char *in, size_t n, unsigned char *out, size_t want, struct err *e)
{
	size_t i = 0, o = 0;
	while (i < n) {
		unsigned c = in[i++];
		if (c < 32) {
			c++;
			if (c > n - i || c > want - o)
				break;
			memcpy(out + o, in + i, c);
			i += c;
			o += c;
			continue;
		}
		size_t len = c >> 5;
		if (len == 7 && i < n)
			len += in[i++];
		if (i >= n)
			break;
		size_t back = ((c & 31) << 8 | in[i++]) + 1u;
		len += 2;
		if (back > o || len > want - o)
			break;
		for (; len; len--, o++)
			out[o] = out[o - back];
	}
	return i == n && o == want ? 0
				   : err_set(e, EINVAL, "HDF5: a chunk of %zu bytes does not expand to %zu", n, want);
}

/* Undo the filters, last first, those whose bit is set in the mask excepted. *data is replaced; k->bytes in the end. */
static int unfilter(const struct chunked *k, const struct chunk *c, unsigned char **data, size_t *n, struct err *e)
{
	for (unsigned i = k->n_filters; i-- > 0;) {
		unsigned id = k->filters[i].id;
		if (c->mask & 1u << i)
			continue;
		if (id == FILTER_FLETCHER) {
			if (*n < 4)
				return err_set(e, EINVAL, "HDF5: a chunk without its checksum");
			*n -= 4;
			continue;
		}
		/* a checksum below the compression is inside of what is expanded */
		size_t want = k->bytes;
		for (unsigned j = 0; j < i; j++)
			want += k->filters[j].id == FILTER_FLETCHER && !(c->mask & 1u << j) ? 4 : 0;
		cleanup_free unsigned char *out = mem_alloc(id == FILTER_SHUFFLE ? *n : want);
		if (!out)
			return err_nomem(e);
		int r = 0;
		if (id == FILTER_SHUFFLE)
			unshuffle(*data, out, *n, k->filters[i].value ? k->filters[i].value : k->item);
		else
			r = id == FILTER_DEFLATE ? inflate_chunk(*data, *n, out, want, e)
						 : expand_lzf(*data, *n, out, want, e);
		if (r < 0)
			return r;
		if (id != FILTER_SHUFFLE)
			*n = want;
		free(*data);
		*data = steal(&out);
	}
	return *n == k->bytes ? 0 : err_set(e, EINVAL, "HDF5: a chunk of %zu bytes, expected %" PRIu64, *n, k->bytes);
}

static int load(const struct chunked *k, uint64_t number, unsigned char **out, struct err *e)
{
	const struct chunk want = {.number = number};
	const struct chunk *c = k->n ? bsearch(&want, k->chunks, k->n, sizeof *c, by_number) : NULL;
	size_t n = c ? c->size : k->bytes;
	cleanup_free unsigned char *data = mem_alloc(n);
	if (!data)
		return err_nomem(e);
	int r = c ? source_pread(&k->src, data, n, k->base + c->address, e) : 0;	/* never written: zeros */
	if (!r && c)
		r = unfilter(k, c, &data, &n, e);
	if (!r)
		*out = steal(&data);
	return r;
}

/* --- reading --- */

/* With the lock held: the chunk's bytes, valid until the next call. */
static int get(struct chunked *k, uint64_t number, const unsigned char **out, struct err *e)
{
	struct slot *s = NULL;
	for (size_t i = 0; i < k->n_slots; i++) {
		if (k->slots[i].data && k->slots[i].number == number) {
			k->slots[i].used = ++k->clock;
			*out = k->slots[i].data;
			return 0;
		}
		if (!s || k->slots[i].used < s->used)
			s = &k->slots[i];
	}
	unsigned char *data = NULL;
	int r = load(k, number, &data, e);
	if (r < 0)
		return r;
	free(s->data);
	*s = (struct slot){number, ++k->clock, data};
	*out = data;
	return 0;
}

/* Elements from `first` on, as far as they lie together in one chunk: at most n. */
static int run(struct chunked *k, uint64_t first, uint64_t n, unsigned char *out, uint64_t *done, struct err *e)
{
	uint64_t at[TENSOR_DIMS] = {0}, number = 0, inside = 0, rest = first;
	for (unsigned i = k->ndim; i-- > 0; rest /= k->shape[i])
		at[i] = rest % k->shape[i];
	for (unsigned i = 0; i < k->ndim; i++) {
		number = number * k->across[i] + at[i] / k->chunk[i];
		inside = inside * k->chunk[i] + at[i] % k->chunk[i];
	}
	unsigned last = k->ndim - 1;
	uint64_t m = MIN(k->chunk[last] - at[last] % k->chunk[last], k->shape[last] - at[last]);
	*done = MIN(m, n);
	const unsigned char *data;
	int r = get(k, number, &data, e);
	if (!r)
		memcpy(out, data + inside * k->item, *done * k->item);
	return r;
}

static int read_range(struct chunked *k, unsigned char *out, size_t len, uint64_t off, struct err *e)
{
	unsigned char one[16];
	while (len) {
		uint64_t skip = off % k->item, m;
		int r;
		if (skip || len < k->item) {
			r = run(k, off / k->item, 1, one, &m, e);
			m = MIN((uint64_t)len, k->item - skip);
			if (!r)
				memcpy(out, one + skip, m);
		} else {
			r = run(k, off / k->item, len / k->item, out, &m, e);
			m *= k->item;
		}
		if (r < 0)
			return r;
		out += m;
		off += m;
		len -= m;
	}
	return 0;
}

static int read_chunked(const void *ctx, void *out, size_t len, uint64_t off, struct err *e)
{
	struct chunked *k = (struct chunked *)ctx;	/* only its cache changes, under its lock */
	pthread_mutex_lock(&k->lock);
	int r = read_range(k, out, len, off, e);
	pthread_mutex_unlock(&k->lock);
	return r;
}

static void release(void *p)
{
	struct chunked *k = p;
	for (size_t i = 0; i < k->n_slots; i++)
		free(k->slots[i].data);
	pthread_mutex_destroy(&k->lock);
}

/* --- opening --- */

static int describe(struct hdf5 *h, struct chunked *k, const struct hdf5_object *o)
{
	uint64_t chunks = 1;
	k->bytes = k->item = o->item;
	if (o->data_size != o->ndim || !o->ndim || o->item != dtype_info(o->dtype)->bytes)
		return hdf5_bad(h, o->data, "chunks of other dimensions than the dataset, whose tree is");
	for (unsigned i = 0; i < o->ndim; i++) {
		k->shape[i] = o->shape[i];
		k->chunk[i] = o->chunk[i];
		if (!k->chunk[i] || __builtin_mul_overflow(k->bytes, k->chunk[i], &k->bytes))
			return hdf5_bad(h, o->data, "chunks of no size, or too large, whose tree is");
		k->across[i] = o->shape[i] / k->chunk[i] + (o->shape[i] % k->chunk[i] != 0);
		if (__builtin_mul_overflow(chunks, k->across[i], &chunks))
			return hdf5_bad(h, o->data, "more chunks than 64 bits count, whose tree is");
	}
	if (k->bytes > CHUNK_MAX)
		return err_set(h->e, EFBIG, "HDF5: chunks of %" PRIu64 " bytes, at most %d are read", k->bytes,
			       CHUNK_MAX);
	for (unsigned i = 0; i < o->n_filters; i++) {
		unsigned id = o->filters[i].id;
		if (id != FILTER_DEFLATE && id != FILTER_SHUFFLE && id != FILTER_FLETCHER && id != FILTER_LZF)
			return err_set(h->e, ENOTSUP, "HDF5: filter %u (deflate, shuffle, fletcher32 and LZF are read)",
				       id);
		k->filters[i] = o->filters[i];
		if (id == FILTER_SHUFFLE && o->filters[i].value > 256)
			return hdf5_bad(h, o->data, "a shuffle of too many bytes, whose tree is");
	}
	k->n_filters = o->n_filters;
	return 0;
}

int hdf5_chunked(struct hdf5 *h, const struct hdf5_object *o, const struct tensor *t, struct source *out)
{
	struct chunked *k = arena_alloc(&h->w->arena, sizeof *k);
	if (!k)
		return err_nomem(h->e);
	k->src = h->src;
	k->base = h->base;
	k->ndim = o->ndim;
	int r = describe(h, k, o);
	if (!r && o->data != HDF5_UNDEFINED)
		r = walk_chunks(h, k, o->data, -1);
	if (r < 0)
		return r;
	if (k->n)
		qsort(k->chunks, k->n, sizeof *k->chunks, by_number);
	k->n_slots = (size_t)MIN(MAX((uint64_t)1, CACHE_BYTES / k->bytes), (uint64_t)CACHE_SLOTS);
	r = stored_cleanup(h->w, release, k, h->e);
	if (r < 0)
		return r;
	pthread_mutex_init(&k->lock, NULL);
	*out = (struct source){.read = read_chunked, .ctx = k, .size = t->bytes};
	return 0;
}
