/*
 * Gathering elements of strided, swapped or archived tensors into row-major order. A range of a
 * strided tensor is cut into boxes (a partial row, whole rows, …); a box is walked along its largest
 * strides first, so that the source is read forwards through a window whatever the order of its axes.
 */
#include "core/format/stored.h"

#include "core/format/zip.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { WINDOW = 65536, CHUNK = 32768 };

int stored_init(struct weights *w, struct err *e)
{
	w->priv = arena_alloc(&w->arena, sizeof(struct stored_set));
	return w->priv ? 0 : err_nomem(e);
}

struct zip *stored_zip(struct weights *w, struct err *e)
{
	struct stored_set *set = w->priv;
	struct zip *z = mem_alloc(sizeof *z);
	if (!z || mem_grow(&set->zips, &set->zip_cap, set->n_zips + 1) < 0) {
		free(z);
		err_nomem(e);
		return NULL;
	}
	return set->zips[set->n_zips++] = z;
}

int stored_cleanup(struct weights *w, void (*run)(void *), void *arg, struct err *e)
{
	struct stored_set *set = w->priv;
	if (mem_grow(&set->releases, &set->release_cap, set->n_releases + 1) < 0)
		return err_nomem(e);
	set->releases[set->n_releases++] = (struct stored_release){run, arg};
	return 0;
}

struct io *stored_file(struct weights *w, struct err *e)
{
	struct stored_set *set = w->priv;
	struct io *io = arena_alloc(&w->arena, sizeof *io);
	if (!io || mem_grow(&set->extra, &set->extra_cap, set->n_extra + 1) < 0) {
		err_nomem(e);
		return NULL;
	}
	*io = IO_INIT;
	return set->extra[set->n_extra++] = io;
}

void stored_close(struct weights *w)
{
	struct stored_set *set = w->priv;
	if (!set)
		return;
	for (size_t i = 0; i < set->n_zips; i++) {
		zip_release(set->zips[i]);
		free(set->zips[i]);
	}
	for (size_t i = 0; i < set->n_releases; i++)
		set->releases[i].run(set->releases[i].arg);
	free(set->releases);
	for (size_t i = 0; i < set->n_extra; i++)
		io_close(set->extra[i]);
	for (size_t i = 0; i < set->n_arenas; i++)
		arena_release(&set->arenas[i]);
	free(set->arenas);
	free(set->zips);
	free(set->extra);
	free(set->items);
	w->priv = NULL;
}

/* Bytes of one element of a plain type; 0 for types that are stored in blocks or below a byte. */
static uint32_t item_size(enum dtype d)
{
	const struct dtype_info *i = dtype_info(d);
	return i->block == 1 ? i->bytes : 0;
}

/* One past the last byte of src that t's elements touch. */
static int extent(const struct tensor *t, const struct stored *s, uint64_t *end, struct err *e)
{
	uint64_t last = 0, span;
	uint32_t item = item_size(t->dtype);
	if (!t->elements) {
		*end = s->start;
		return 0;
	}
	if (s->contiguous || !item) {
		if (__builtin_add_overflow(s->start, t->bytes, end))
			return err_set(e, EINVAL, "%.200s: its end overflows 64 bits", t->name);
		return 0;
	}
	for (unsigned i = 0; i < t->ndim; i++)
		if (__builtin_mul_overflow(t->shape[i] - 1, s->stride[i], &span) ||
		    __builtin_add_overflow(last, span, &last))
			return err_set(e, EINVAL, "%.200s: its strides overflow 64 bits", t->name);
	if (__builtin_add_overflow(last, 1, &last) || __builtin_mul_overflow(last, item, &last) ||
	    __builtin_add_overflow(last, s->start, end))
		return err_set(e, EINVAL, "%.200s: its strides overflow 64 bits", t->name);
	return 0;
}

static bool is_row_major(const struct tensor *t, const struct stored *s)
{
	uint64_t expect = 1;
	for (unsigned i = t->ndim; i-- > 0;) {
		if (t->shape[i] != 1 && s->stride[i] != expect)
			return false;
		expect *= t->shape[i];
	}
	return true;
}

int stored_add(struct weights *w, struct tensor t, const struct stored *s, struct err *e)
{
	struct stored_set *set = w->priv;
	uint64_t end = 0;
	int r = tensor_measure(&t, e);
	if (!r)
		r = extent(&t, s, &end, e);
	if (r < 0)
		return r;
	if (end > s->src.size || s->start > end)
		return err_at(e, EINVAL, source_pos(&s->src, s->start), "%.200s: expected bytes up to %" PRIu64
			      ", its storage has %" PRIu64, t.name, end, s->src.size);
	struct stored mine = *s;
	if (!mine.contiguous)
		mine.contiguous = !t.elements || is_row_major(&t, s);
	if (!mine.contiguous && !item_size(t.dtype))
		return err_set(e, ENOTSUP, "%.200s: strides of type %s", t.name, dtype_info(t.dtype)->name);
	if (set->n >= UINT32_MAX || mem_grow(&set->items, &set->cap, set->n + 1) < 0)
		return err_nomem(e);
	t.aux = (uint32_t)set->n;
	t.offset = mine.contiguous && !mine.swap && s->src.io == &w->files[t.file].io ? s->src.base + s->start : 0;
	struct tensor *place = weights_add(w, &set->tensor_cap, e);
	if (!place)
		return e ? -e->code : -ENOMEM;
	*place = t;
	set->items[set->n++] = mine;
	return 0;
}

/* --- gathering --- */

static void swap_items(unsigned char *p, size_t n, uint32_t item)
{
	for (size_t i = 0; i < n; i++, p += item)
		for (uint32_t a = 0, b = item - 1; a < b; a++, b--) {
			unsigned char c = p[a];
			p[a] = p[b];
			p[b] = c;
		}
}

/* Complex numbers swap each half. */
static uint32_t swap_unit(enum dtype d)
{
	return d == DTYPE_C64 ? 4 : d == DTYPE_C128 ? 8 : item_size(d);
}

/* A source read forwards through a small window. */
struct window {
	const struct source *src;
	uint64_t at, limit;	/* of the bytes in buf; one past what may be read */
	size_t len;
	unsigned char buf[WINDOW];
};

/* ahead: how many bytes are worth reading at once from off on */
static int window_copy(struct window *v, uint64_t off, size_t n, uint64_t ahead, unsigned char *out, struct err *e)
{
	if (off < v->at || off + n > v->at + v->len) {
		uint64_t len = MIN(ahead, (uint64_t)WINDOW);
		len = MIN(len, v->limit - off);
		if (len < n)
			return source_pread(v->src, out, n, off, e);
		v->len = 0;
		int r = source_pread(v->src, v->buf, (size_t)len, off, e);
		if (r < 0)
			return r;
		v->at = off;
		v->len = (size_t)len;
	}
	memcpy(out, v->buf + (off - v->at), n);
	return 0;
}

struct axis { uint64_t n, from, to; };	/* length, source stride and destination stride, in bytes */

/* All elements of a box, axes sorted by falling source stride; the last one is walked innermost. */
static int copy_box(struct window *v, const struct axis *ax, unsigned nax, uint64_t from, unsigned char *out,
		    uint32_t item, struct err *e)
{
	uint64_t idx[TENSOR_DIMS] = {0}, to = 0, run = item;
	while (nax && ax[nax - 1].from == run && ax[nax - 1].to == run) {	/* both sides contiguous */
		run *= ax[nax - 1].n;
		nax--;
	}
	uint64_t ahead = run;
	for (unsigned k = nax; k-- > 0 && ax[k].from <= WINDOW / 4;)
		ahead = WINDOW;
	for (;;) {
		int r = window_copy(v, from, run, ahead, out + to, e);
		if (r < 0)
			return r;
		unsigned k = nax;
		for (; k > 0; k--) {
			from += ax[k - 1].from;
			to += ax[k - 1].to;
			if (++idx[k - 1] < ax[k - 1].n)
				break;
			from -= ax[k - 1].from * ax[k - 1].n;
			to -= ax[k - 1].to * ax[k - 1].n;
			idx[k - 1] = 0;
		}
		if (!k)
			return 0;
	}
}

/* The box whose first `fixed` coordinates are at[…], the next runs over [at, at+count), the rest whole. */
static int gather_box(const struct tensor *t, const struct stored *s, struct window *v, const uint64_t *at,
		      unsigned fixed, uint64_t count, unsigned char *out, struct err *e)
{
	uint32_t item = item_size(t->dtype);
	struct axis ax[TENSOR_DIMS];
	unsigned n = 0;
	uint64_t from = s->start, dense = item;
	for (unsigned i = 0; i <= fixed && i < t->ndim; i++)
		from += at[i] * s->stride[i] * item;
	for (unsigned i = t->ndim; i-- > fixed;) {
		uint64_t len = i == fixed ? count : t->shape[i];
		struct axis a = {len, s->stride[i] * item, dense};
		dense *= len;
		if (len == 1)
			continue;
		unsigned k = n++;
		for (; k > 0 && ax[k - 1].from < a.from; k--)
			ax[k] = ax[k - 1];
		ax[k] = a;
	}
	return copy_box(v, ax, n, from, out, item, e);
}

/* Elements [first, first+n) in row-major order, cut into boxes: up to the end of a row, whole rows, and so on outwards. */
static int gather(const struct tensor *t, const struct stored *s, uint64_t first, uint64_t n, unsigned char *out,
		  struct err *e)
{
	uint32_t item = item_size(t->dtype);
	cleanup_free struct window *v = mem_alloc(sizeof *v);
	if (!v)
		return err_nomem(e);
	v->src = &s->src;
	v->limit = s->src.size;
	while (n) {
		uint64_t at[TENSOR_DIMS] = {0}, rest = first, below = 1;
		for (unsigned i = t->ndim; i-- > 0; rest /= t->shape[i])
			at[i] = rest % t->shape[i];
		unsigned axis = t->ndim - 1;	/* the outermost along which whole slices of `below` elements can be taken */
		for (; axis > 0 && !at[axis] && n / below >= t->shape[axis]; axis--)
			below *= t->shape[axis];
		uint64_t count = MIN(n / below, t->shape[axis] - at[axis]);
		int r = gather_box(t, s, v, at, axis, count, out, e);
		if (r < 0)
			return r;
		first += count * below;
		n -= count * below;
		out += count * below * item;
	}
	return 0;
}

/* --- reading --- */

static int raw_items(const struct tensor *t, const struct stored *s, uint64_t first, uint64_t n, unsigned char *out,
		     struct err *e)
{
	uint32_t item = item_size(t->dtype);
	int r = s->contiguous ? source_pread(&s->src, out, n * item, s->start + first * item, e)
			      : gather(t, s, first, n, out, e);
	if (!r && s->swap)
		swap_items(out, n * item / swap_unit(t->dtype), swap_unit(t->dtype));
	return r;
}

/* Block types are always contiguous: bytes as they are. */
static int read_blocks(const struct tensor *t, const struct stored *s, uint64_t first, uint64_t n, float *out,
		       struct err *e)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	unsigned char raw[512];
	float f[256];
	while (n) {
		uint64_t block = first / d->block, skip = first % d->block, m = MIN(n, d->block - skip);
		int r = source_pread(&s->src, raw, d->bytes, s->start + block * d->bytes, e);
		if (r < 0)
			return r;
		d->to_f32(raw, f, d->block);
		memcpy(out, f + skip, m * sizeof *f);
		first += m;
		out += m;
		n -= m;
	}
	return 0;
}

int stored_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out, struct err *e)
{
	const struct stored_set *set = w->priv;
	const struct stored *s = &set->items[t->aux];
	const struct dtype_info *d = dtype_info(t->dtype);
	if (!d->to_f32 || !d->bytes)
		return err_set(e, ENOTSUP, "%s: values of type %s are not read", t->name, d->name);
	if (!item_size(t->dtype))
		return read_blocks(t, s, first, n, out, e);
	if (t->dtype == DTYPE_F32)
		return raw_items(t, s, first, n, (unsigned char *)out, e);
	_Alignas(64) unsigned char small[CHUNK];
	unsigned char *raw = small;
	cleanup_free unsigned char *big = NULL;
	uint64_t step = CHUNK / d->bytes;
	if (!s->contiguous && n > step) {	/* few large boxes beat many small ones */
		step = MIN(n, ((uint64_t)16 << 20) / d->bytes);
		raw = big = mem_alloc(step * d->bytes);
		if (!raw)
			return err_nomem(e);
	}
	for (uint64_t m; n; first += m, out += m, n -= m) {
		m = MIN(n, step);
		int r = raw_items(t, s, first, m, raw, e);
		if (r < 0)
			return r;
		d->to_f32(raw, out, m);
	}
	return 0;
}

int stored_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out, struct err *e)
{
	const struct stored_set *set = w->priv;
	const struct stored *s = &set->items[t->aux];
	if (s->contiguous && !s->swap)
		return source_pread(&s->src, out, n, s->start + off, e);
	uint32_t item = item_size(t->dtype);
	unsigned char *p = out, one[16];
	for (uint64_t m; n; off += m, p += m, n -= m) {
		uint64_t skip = off % item, whole = n / item;
		if (!skip && whole) {
			m = whole * item;
			int r = raw_items(t, s, off / item, whole, p, e);
			if (r < 0)
				return r;
			continue;
		}
		m = MIN(n, item - skip);
		int r = raw_items(t, s, off / item, 1, one, e);
		if (r < 0)
			return r;
		memcpy(p, one + skip, m);
	}
	return 0;
}
