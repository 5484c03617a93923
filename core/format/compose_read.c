/* The values of composites: packed integers, their scales and zero points, to float32. */
#include "core/format/compose_internal.h"

#include <errno.h>
#include <string.h>

enum { BUDGET = 1 << 20 };	/* elements decoded at a time */

bool is_composite(const struct tensor *t)
{
	return t->dtype >= DTYPE_BNB_INT8 && t->dtype <= DTYPE_CT_NVFP4;
}

const struct composed *composed_of(const struct weights *w)
{
	return w->format && w->format->read == compose_read ? (const struct composed *)w->format : NULL;
}

static uint32_t word_at(const unsigned char *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The b bits (at most 8: they lie in two bytes) at bit `at` of a little-endian stream. */
static uint32_t bits_at(const unsigned char *p, uint64_t at, uint32_t b)
{
	uint32_t two = p[at / 8];
	if (at % 8 + b > 8)
		two |= (uint32_t)p[at / 8 + 1] << 8;
	return two >> at % 8 & ((1u << b) - 1);
}

/* --- matrices with a grid of scales --- */

/* What one call needs of the scales: rows [row, row + rows) of the grid and their columns [col, col + cols). */
struct grid { float *scale, *bias; int32_t *zero; uint64_t row, rows, col, cols; };

static void grid_release(struct grid *g)
{
	free(g->scale);
	free(g->bias);
	free(g->zero);
}

static int read_floats(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float **out,
		       struct err *e)
{
	*out = mem_array(n, sizeof **out);
	return *out ? weights_read(w, t, first, n, *out, e) : err_nomem(e);
}

static int read_bytes(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, unsigned char **out,
		      struct err *e)
{
	*out = mem_alloc(n + 1);	/* bits_at may look one byte further */
	return *out ? weights_read_raw(w, t, off, n, *out, e) : err_nomem(e);
}

/* Zero points: one number a scale, or (compressed-tensors) packed downwards, 32/bits rows in a word; rows are whole. */
static int read_zeros(const struct weights *w, const struct composite *c, struct grid *g, struct err *e)
{
	cleanup_free unsigned char *raw = NULL;
	cleanup_free float *f = NULL;
	uint64_t n = g->rows * g->cols;
	g->zero = mem_array(n, sizeof *g->zero);
	if (!g->zero)
		return err_nomem(e);
	if (c->packing != PACK_BITS) {
		int r = read_floats(w, c->zeros, g->row * c->scale_cols + g->col, n, &f, e);
		for (uint64_t i = 0; !r && i < n; i++)
			g->zero[i] = (int32_t)f[i];
		return r;
	}
	uint64_t each = 32 / c->bits, row = g->row / each, rows = (g->row + g->rows - 1) / each - row + 1;
	int r = read_bytes(w, c->zeros, row * c->scale_cols * 4, rows * c->scale_cols * 4, &raw, e);
	for (uint64_t i = 0; !r && i < g->rows; i++)
		for (uint64_t k = 0; k < g->cols; k++) {
			uint64_t at = ((g->row + i) / each - row) * c->scale_cols + g->col + k;
			g->zero[i * g->cols + k] =
				(int32_t)(word_at(raw + 4 * at) >> (g->row + i) % each * c->bits & ((1u << c->bits) - 1)) -
				c->zero;
		}
	return r;
}

static int read_scales(const struct weights *w, const struct composite *c, uint64_t first, uint64_t n, float **out,
		       struct err *e)
{
	int r;
	if (c->scale_type == DTYPE_NONE) {
		r = read_floats(w, c->scale, first, n, out, e);
	} else {
		cleanup_free unsigned char *raw = NULL;
		*out = mem_array(n, sizeof **out);
		r = *out ? read_bytes(w, c->scale, first, n, &raw, e) : err_nomem(e);
		if (!r)
			dtype_info(c->scale_type)->to_f32(raw, *out, n);
	}
	for (uint64_t i = 0; !r && c->outer != 0 && i < n; i++)
		(*out)[i] = c->outer_divides ? (*out)[i] / c->outer : (*out)[i] * c->outer;
	return r;
}

/* Blocks begin anew with each matrix. */
static uint64_t grid_row(const struct composite *c, uint64_t row)
{
	return row / c->matrix_rows * ((c->matrix_rows - 1) / c->block_rows + 1) + row % c->matrix_rows / c->block_rows;
}

/* Of one row only the columns that are needed; an index may need any. */
static int read_grid(const struct weights *w, const struct composite *c, uint64_t r0, uint64_t nr, uint64_t c0,
		     uint64_t nc, struct grid *g, struct err *e)
{
	*g = (struct grid){.row = grid_row(c, r0), .cols = c->scale_cols};
	g->rows = grid_row(c, r0 + nr - 1) - g->row + 1;
	if (g->rows == 1 && !c->index) {
		g->col = c0 / c->block_cols;
		g->cols = (c0 + nc - 1) / c->block_cols - g->col + 1;
	}
	uint64_t first = g->row * c->scale_cols + g->col, n = g->rows * g->cols;
	int r = read_scales(w, c, first, n, &g->scale, e);
	if (!r && c->bias)
		r = read_floats(w, c->bias, first, n, &g->bias, e);
	if (!r && c->zeros)
		r = read_zeros(w, c, g, e);
	return r;
}

/* The group of each column, where an index says so. */
static int read_index(const struct weights *w, const struct composite *c, uint64_t groups, uint32_t **out,
		      struct err *e)
{
	cleanup_free unsigned char *raw = NULL;
	*out = NULL;
	if (!c->index)
		return 0;
	int r = read_bytes(w, c->index, 0, c->cols * 4, &raw, e);
	*out = r < 0 ? NULL : mem_array(c->cols, sizeof **out);
	if (r < 0 || !*out)
		return r < 0 ? r : err_nomem(e);
	for (uint64_t i = 0; i < c->cols; i++) {
		(*out)[i] = word_at(raw + 4 * i);
		if ((*out)[i] >= groups)
			return err_set(e, EINVAL, "%.200s: group %u of column %llu, there are %llu", c->index->name,
				       (*out)[i], (unsigned long long)i, (unsigned long long)groups);
	}
	return 0;
}

/* What each pattern of bits is. */
static void element_values(const struct composite *c, float values[256])
{
	for (int i = 0; i < 1 << c->bits; i++) {
		uint8_t byte = (uint8_t)i;
		float two[2] = {(float)(i - c->zero)};
		if (c->element != DTYPE_NONE)
			dtype_info(c->element)->to_f32(&byte, two, dtype_info(c->element)->block);
		values[i] = two[0];
	}
}

/* The packed numbers of rows [r0, r0+nr), columns [c0, c0+nc), before zero point and scale. */
static int read_numbers(const struct weights *w, const struct composite *c, uint64_t r0, uint64_t nr, uint64_t c0,
			uint64_t nc, float *out, struct err *e)
{
	cleanup_free unsigned char *raw = NULL;
	if (c->packing == PACK_FLOAT)
		return weights_read(w, c->q, r0 * c->cols + c0, (nr - 1) * c->cols + nc, out, e);
	if (c->packing == PACK_I8) {
		uint64_t n = (nr - 1) * c->cols + nc;
		int r = read_bytes(w, c->q, r0 * c->cols + c0, n, &raw, e);
		for (uint64_t i = 0; !r && i < n; i++)
			out[i] = (int8_t)raw[i];
		return r;
	}
	uint64_t stride = c->q->bytes / c->rows, from = c0 * c->bits / 8, to = ((c0 + nc) * c->bits + 7) / 8;
	float values[256];
	element_values(c, values);
	int r = read_bytes(w, c->q, r0 * stride + from, (nr - 1) * stride + to - from, &raw, e);
	for (uint64_t k = 0; !r && k < nr; k++)
		for (uint64_t i = 0; i < nc; i++)
			out[k * nc + i] = values[bits_at(raw + k * stride, (c0 + i) * c->bits - from * 8, c->bits)];
	return r;
}

/* nr > 1 only for whole rows. */
static int read_matrix(const struct weights *w, const struct composite *c, uint64_t r0, uint64_t nr, uint64_t c0,
		       uint64_t nc, float *out, struct err *e)
{
	struct grid cleanup_with(grid_release) g = {0};
	cleanup_free uint32_t *index = NULL;
	int r = read_grid(w, c, r0, nr, c0, nc, &g, e);
	if (!r)
		r = read_index(w, c, c->scale_cols, &index, e);
	if (!r)
		r = read_numbers(w, c, r0, nr, c0, nc, out, e);
	for (uint64_t k = 0; !r && k < nr; k++) {
		uint64_t row = (grid_row(c, r0 + k) - g.row) * g.cols;
		for (uint64_t i = 0; i < nc; i++) {
			uint64_t at = row + (index ? index[c0 + i] : (c0 + i) / c->block_cols - g.col);
			float q = out[k * nc + i];
			if (g.zero)
				q -= (float)g.zero[at];
			q = q * g.scale[at] * c->factor;
			out[k * nc + i] = g.bias ? q + g.bias[at] : q;	/* adding 0 would lose the sign of -0 */
		}
	}
	return r;
}

/* --- bitsandbytes, 4 bits --- */

static int read_absmax(const struct weights *w, const struct composite *c, uint64_t b0, uint64_t n, float **out,
		       struct err *e)
{
	if (!c->nested_scale)
		return read_floats(w, c->scale, b0, n, out, e);
	cleanup_free unsigned char *q = NULL;
	cleanup_free float *outer = NULL;
	uint64_t o0 = b0 / c->nested_block;
	int r = read_bytes(w, c->scale, b0, n, &q, e);
	if (!r)
		r = read_floats(w, c->nested_scale, o0, (b0 + n - 1) / c->nested_block - o0 + 1, &outer, e);
	*out = r < 0 ? NULL : mem_array(n, sizeof **out);
	if (!*out)
		return r < 0 ? r : err_nomem(e);
	for (uint64_t i = 0; i < n; i++)
		(*out)[i] = c->nested_codes[q[i]] * outer[(b0 + i) / c->nested_block - o0] + c->nested_offset;
	return 0;
}

static int read_codes(const struct weights *w, const struct composite *c, uint64_t first, uint64_t n, float *out,
		      struct err *e)
{
	cleanup_free unsigned char *raw = NULL;
	cleanup_free float *absmax = NULL;
	uint64_t b0 = first / c->block_cols;
	int r = read_bytes(w, c->q, first / 2, (first + n - 1) / 2 - first / 2 + 1, &raw, e);
	if (!r)
		r = read_absmax(w, c, b0, (first + n - 1) / c->block_cols - b0 + 1, &absmax, e);
	for (uint64_t i = 0; !r && i < n; i++) {
		uint64_t at = first + i;
		unsigned byte = raw[at / 2 - first / 2];
		out[i] = c->codes[at % 2 ? byte & 15 : byte >> 4] * absmax[at / c->block_cols - b0];
	}
	return r;
}

/* --- GPTQ and AWQ: stored [in, out], shown [out, in] --- */

/* Where column j of eight stands in a word of AWQ's. */
static const uint8_t awq_place[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static uint32_t packed_column(const struct composite *c, const unsigned char *row, uint64_t o)
{
	if (c->packing == PACK_AWQ)
		return word_at(row + o / 8 * 4) >> 4 * awq_place[o % 8] & 15;
	return bits_at(row, o * c->bits, c->bits);
}

struct transposed { unsigned char *q, *zeros; float *scale; uint32_t *index; uint64_t groups, q_stride, z_stride; };

static void transposed_release(struct transposed *t)
{
	free(t->q);
	free(t->zeros);
	free(t->scale);
	free(t->index);
}

/* Bytes [from, to) of rows [p0, p0+np) of a stored matrix with `width` bytes a row. */
static int read_strip(const struct weights *w, const struct tensor *t, uint64_t p0, uint64_t np, uint64_t width,
		      uint64_t from, uint64_t to, unsigned char *out, struct err *e)
{
	if (from == 0 && to == width)
		return weights_read_raw(w, t, p0 * width, np * width, out, e);
	int r = 0;
	for (uint64_t p = 0; !r && p < np; p++)
		r = weights_read_raw(w, t, (p0 + p) * width + from, to - from, out + p * (to - from), e);
	return r;
}

/* A strip of outputs [r0, r0+nr), rounded outwards to 32 so that no packed word is split. */
static int read_transposed(const struct weights *w, const struct composite *c, uint64_t r0, uint64_t nr, uint64_t c0,
			   uint64_t nc, float *out, struct err *e)
{
	struct transposed cleanup_with(transposed_release) t = {.groups = c->scale->elements / c->rows};
	uint64_t o0 = r0 / 32 * 32, o1 = MIN((r0 + nr + 31) / 32 * 32, c->rows), no = o1 - o0;
	bool awq = c->packing == PACK_AWQ;
	/* GPTQ packs downwards: value i of a column is in the words i·bits/32 …; AWQ packs along the row */
	uint64_t p0 = awq ? c0 : c0 / 32 * c->bits, p1 = awq ? c0 + nc : (c0 + nc + 31) / 32 * c->bits;
	uint64_t q_from = awq ? o0 / 2 : o0 * 4, q_to = awq ? o1 / 2 : o1 * 4;
	uint64_t z_from = o0 * c->bits / 8, z_to = o1 * c->bits / 8;
	p1 = MIN(p1, c->q->shape[0]);
	t.q_stride = q_to - q_from;
	t.z_stride = z_to - z_from;
	t.q = mem_array(p1 - p0, t.q_stride);
	t.zeros = mem_alloc(t.groups * t.z_stride + 1);
	t.scale = mem_array(t.groups, no * sizeof *t.scale);
	if (!t.q || !t.zeros || !t.scale)
		return err_nomem(e);
	int r = read_strip(w, c->q, p0, p1 - p0, c->q->shape[1] * 4, q_from, q_to, t.q, e);
	if (!r)
		r = read_strip(w, c->zeros, 0, t.groups, c->zeros->shape[1] * 4, z_from, z_to, t.zeros, e);
	for (uint64_t g = 0; !r && g < t.groups; g++)
		r = weights_read(w, c->scale, g * c->rows + o0, no, t.scale + g * no, e);
	if (!r)
		r = read_index(w, c, t.groups, &t.index, e);
	uint32_t mask = (1u << c->bits) - 1;
	for (uint64_t i = 0; !r && i < nc; i++) {
		uint64_t in = c0 + i, g = t.index ? t.index[in] : in / c->block_cols;
		uint64_t bit = (in - c0 / 32 * 32) * c->bits;
		for (uint64_t k = 0; k < nr; k++) {
			uint64_t o = r0 + k - o0;
			uint32_t q;
			if (awq) {
				q = packed_column(c, t.q + i * t.q_stride, o);
			} else {
				const unsigned char *at = t.q + bit / 32 * t.q_stride + o * 4;
				uint64_t two = word_at(at);
				if (bit % 32 + c->bits > 32)
					two |= (uint64_t)word_at(at + t.q_stride) << 32;
				q = (uint32_t)(two >> bit % 32) & mask;
			}
			uint32_t z = packed_column(c, t.zeros + g * t.z_stride, o);
			z = (z + (uint32_t)c->zero) & (c->zero ? mask : ~0u);
			out[k * nc + i] = (float)((int32_t)q - (int32_t)z) * t.scale[g * no + o];
		}
	}
	return r;
}

/* --- ranges --- */

static int read_box(const struct weights *w, const struct composite *c, uint64_t r0, uint64_t nr, uint64_t c0,
		    uint64_t nc, float *out, struct err *e)
{
	return c->packing == PACK_GPTQ || c->packing == PACK_AWQ ? read_transposed(w, c, r0, nr, c0, nc, out, e)
								 : read_matrix(w, c, r0, nr, c0, nc, out, e);
}

int compose_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out, struct err *e)
{
	const struct composed *k = composed_of(w);
	if (!is_composite(t))
		return weights_read(&k->stored, t, first, n, out, e);
	const struct composite *c = &k->items[t->aux];
	while (n) {
		uint64_t m;
		int r;
		if (c->packing == PACK_CODES) {
			m = MIN(n, (uint64_t)BUDGET);
			r = read_codes(&k->stored, c, first, m, out, e);
		} else {
			uint64_t row = first / c->cols, col = first % c->cols;
			bool whole = !col && n >= c->cols && c->cols <= BUDGET;
			uint64_t rows = whole ? MIN(n / c->cols, BUDGET / c->cols) : 1;
			uint64_t left = MIN(c->cols - col, (uint64_t)BUDGET), cols = whole ? c->cols : MIN(n, left);
			m = rows * cols;
			r = read_box(&k->stored, c, row, rows, col, cols, out, e);
		}
		if (r < 0)
			return r;
		first += m;
		out += m;
		n -= m;
	}
	return 0;
}

int compose_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
		     struct err *e)
{
	const struct composed *k = composed_of(w);
	if (!is_composite(t))
		return weights_read_raw(&k->stored, t, off, n, out, e);
	const struct composite *c = &k->items[t->aux];
	char *p = out;
	for (size_t i = 0; i < c->n_parts && n; i++) {
		const struct tensor *part = c->parts[i];
		if (off >= part->bytes) {
			off -= part->bytes;
			continue;
		}
		uint64_t m = MIN(n, part->bytes - off);
		int r = weights_read_raw(&k->stored, part, off, m, p, e);
		if (r < 0)
			return r;
		p += m;
		n -= m;
		off = 0;
	}
	return 0;
}
