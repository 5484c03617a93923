/* Ranges of an export's bytes: raw where they can be, else values made on the way, a bounded number at a time. */
#include "core/analysis/export_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

enum { KEPT_MAX = 1 << 24 };	/* bytes of a transposed tensor that are kept for the next range */

/* --- values --- */

/* Rows of a part, of which the values [first, first+n) are wanted. */
static int read_rows(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
		     struct err *e)
{
	const struct part *p = &x->c->parts[t->part];
	while (n) {
		uint64_t row = first / p->cols, col = first % p->cols, m = MIN(p->cols - col, n), rows = n / p->cols;
		int r;
		if (!col && rows) {
			m = rows * p->cols;
			r = canon_read_rows(x->w, p, row, rows, out, e);
		} else {
			cleanup_free uint64_t *cols = mem_array(m, sizeof *cols);
			if (!cols)
				return err_nomem(e);
			for (uint64_t i = 0; i < m; i++)
				cols[i] = col + i;
			r = canon_read_grid(x->w, p, &row, 1, cols, m, out, e);
		}
		if (r < 0)
			return r;
		first += m;
		out += m;
		n -= m;
	}
	return 0;
}

/* As if nothing were turned; what is added is not. */
static int source_values(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
			 struct err *e)
{
	switch (t->how) {
	case EXPORT_ROWS:
		return read_rows(x, t, first, n, out, e);
	case EXPORT_DELTA:
		return export_delta_values(x, t, first, n, out, e);
	default:
		return weights_read(x->w, &x->w->tensors[t->tensor], t->first + first, n, out, e);
	}
}

/* Where value `at` of a tensor [.., cols, rows] is in its source [.., rows, cols]. */
static uint64_t turned_at(uint64_t at, uint64_t rows, uint64_t cols)
{
	return at - at % (rows * cols) + at % rows * cols + at % (rows * cols) / rows;
}

/* Rows [row, row + n) of one matrix as they will be written: columns of the source. */
static int turn_over(const struct export *x, const struct export_entry *t, uint64_t row, uint64_t n, float *to, struct err *e)
{
	uint64_t rows = t->shape[t->ndim - 1], cols = t->shape[t->ndim - 2], from = row / cols * cols * rows + row % cols;
	cleanup_free float *line = mem_array(n, sizeof *line);
	if (!line)
		return err_nomem(e);
	for (uint64_t i = 0; i < rows; i++) {
		int r = source_values(x, t, from + i * cols, n, line, e);
		if (r < 0)
			return r;
		for (uint64_t k = 0; k < n; k++)
			to[k * rows + i] = line[k];
	}
	return 0;
}

/* Written rows are columns that lie far apart: so many at a time that they fit, kept for the next range. */
static int read_turned(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
			   struct err *e)
{
	struct export *own = (struct export *)x;	/* what is kept is not what an export says */
	size_t entry = (size_t)(t - x->entries);
	uint64_t rows = t->shape[t->ndim - 1], cols = t->shape[t->ndim - 2], high = KEPT_MAX / sizeof(float) / rows;
	int r = 0;
	if (!high) {	/* too long to keep one: each value where it is */
		for (uint64_t i = first; i < first + n && !r; i++)
			r = source_values(x, t, turned_at(i, rows, cols), 1, out++, e);
		return r;
	}
	pthread_mutex_lock(&own->lock);
	while (n && !r) {
		uint64_t row = first / rows, begin = row - row % cols % high, some = MIN(high, cols - begin % cols), at;
		if (x->kept_entry != entry || x->kept_row != begin) {
			own->kept_entry = SIZE_MAX;
			free(own->kept);
			own->kept = mem_array(some * rows, sizeof *own->kept);
			r = own->kept ? turn_over(x, t, begin, some, own->kept, e) : err_nomem(e);
			if (r < 0)
				break;
			own->kept_entry = entry;
			own->kept_row = begin;
		}
		at = first - begin * rows;
		uint64_t m = MIN(n, some * rows - at);
		memcpy(out, x->kept + at, m * sizeof *out);
		first += m;
		out += m;
		n -= m;
	}
	pthread_mutex_unlock(&own->lock);
	return r;
}

int export_values(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
		  struct err *e)
{
	int r = t->turned ? read_turned(x, t, first, n, out, e) : source_values(x, t, first, n, out, e);
	for (uint64_t i = 0; !r && t->add != 0 && i < n; i++)
		out[i] += t->add;
	return r;
}

/* --- values as bytes --- */

/* Without branches, so that it is done for several at once; the same as f32_to_f16. */
static inline uint16_t to_f16(float f)
{
	union { float f; uint32_t u; } v = {f}, small;
	uint32_t sign = v.u >> 16 & 0x8000, mag = v.u & 0x7fffffff;
	small.u = mag;
	small.f += 0.5f;
	uint32_t normal = (mag + 0xc8000fffu + (mag >> 13 & 1)) >> 13, sub = small.u - 0x3f000000;
	uint32_t h = mag < 0x38800000 ? sub : normal;
	h = mag >= 0x477ff000 ? 0x7c00 : h;
	h = mag > 0x7f800000 ? 0x7e00 | (mag >> 13 & 0x3ff) : h;
	return (uint16_t)(sign | h);
}

static void write_values(enum dtype to, const float *v, size_t n, unsigned char *out)
{
	if (to == DTYPE_F32) {
		memcpy(out, v, n * sizeof *v);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint16_t h = to == DTYPE_F16 ? to_f16(v[i]) : f32_to_bf16(v[i]);
		memcpy(out + 2 * i, &h, sizeof h);
	}
}

int export_converted(const struct export *x, const struct export_entry *t, enum dtype to, uint64_t off, uint64_t n,
		     void *out, struct err *e)
{
	uint64_t wide = to == DTYPE_F32 ? 4 : 2;
	cleanup_free float *v = mem_array(EXPORT_VALUES, sizeof *v);
	unsigned char *p = out, cut[4];
	if (!v)
		return err_nomem(e);
	while (n) {
		uint64_t skip = off % wide, whole = MIN(n / wide, (uint64_t)EXPORT_VALUES), m;
		if (skip || !whole) {	/* part of a value */
			m = MIN(wide - skip, n);
			int r = export_values(x, t, off / wide, 1, v, e);
			if (r < 0)
				return r;
			write_values(to, v, 1, cut);
			memcpy(p, cut + skip, m);
		} else {
			m = whole * wide;
			int r = export_values(x, t, off / wide, whole, v, e);
			if (r < 0)
				return r;
			write_values(to, v, whole, p);
		}
		off += m;
		p += m;
		n -= m;
	}
	return 0;
}

/* --- the file --- */

static int read_entry(const struct export *x, const struct export_entry *t, uint64_t off, uint64_t n, void *out,
		      struct err *e)
{
	if (t->how == EXPORT_RAW)
		return weights_read_raw(x->w, &x->w->tensors[t->tensor], export_raw_at(t) + off, n, out, e);
	return export_converted(x, t, t->dtype, off, n, out, e);
}

/* The last entry that begins at or before a place in the data. */
static size_t entry_at(const struct export *x, uint64_t off)
{
	size_t low = 0, high = x->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (x->entries[mid].offset <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

int export_read(const struct export *x, uint64_t off, uint64_t n, void *out, struct err *e)
{
	unsigned char *p = out;
	if (off > x->size || n > x->size - off)
		return err_set(e, EINVAL, "bytes %" PRIu64 "+%" PRIu64 " asked for, there are %" PRIu64, off, n,
			       x->size);
	if (off < x->header_len) {
		uint64_t m = MIN(n, x->header_len - off);
		memcpy(p, x->header + off, m);
		p += m;
		off += m;
		n -= m;
	}
	if (!n)
		return 0;
	off -= x->header_len;
	for (size_t i = entry_at(x, off); n; i++) {
		const struct export_entry *t = &x->entries[i];
		uint64_t at = off - t->offset, m = MIN(n, t->bytes - at);
		int r = m ? read_entry(x, t, at, m, p, e) : 0;
		if (r < 0)
			return e && e->code ? err_prefix(e, "%.150s: ", t->name) : r;
		p += m;
		off += m;
		n -= m;
	}
	return 0;
}
