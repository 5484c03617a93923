/* Values against values: sums over a tile, and reading the tiles. */
#include "core/analysis/diff_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

enum { LANES = 8, BLOCK = 4096 };	/* the order of additions is written out, so that every compiler keeps it */

struct diff_sums diff_sums_add(struct diff_sums x, struct diff_sums y)
{
	return (struct diff_sums){
		.elements = x.elements + y.elements,
		.changed = x.changed + y.changed,
		.zeroed = x.zeroed + y.zeroed,
		.rounded = x.rounded + y.rounded,
		.nonfinite = x.nonfinite + y.nonfinite,
		.dd = x.dd + y.dd,
		.aa = x.aa + y.aa,
		.bb = x.bb + y.bb,
		.ab = x.ab + y.ab,
		.max_abs = MAX(x.max_abs, y.max_abs),
	};
}

double diff_rel_l2(const struct diff_sums *s)
{
	if (s->dd == 0)
		return 0;
	return s->bb > 0 ? sqrt(s->dd / s->bb) : INFINITY;
}

double diff_cosine(const struct diff_sums *s)
{
	if (!(s->aa > 0 && s->bb > 0))
		return NAN;
	double c = s->ab / (sqrt(s->aa) * sqrt(s->bb));
	return c > 1 ? 1 : c < -1 ? -1 : c;
}

/* --- rounding --- */

/* A type of one byte has at most 256 values: is a the nearest of them to b? */
static bool is_nearest(enum dtype type, float a, float b)
{
	const struct dtype_info *d = dtype_info(type);
	uint8_t code[256];
	float value[256];
	for (int i = 0; i < 256; i++)
		code[i] = (uint8_t)i;
	d->to_f32(code, value, 256);
	float best = INFINITY;
	for (int i = 0; i < 256; i++)
		if (isfinite(value[i]) && fabsf(value[i] - b) < best)
			best = fabsf(value[i] - b);
	return fabsf(a - b) <= best;
}

static bool is_rounded(enum dtype type, float a, float b)
{
	switch (type) {
	case DTYPE_F16:
		return a == f16_to_f32(f32_to_f16(b));
	case DTYPE_BF16:
		return a == bf16_to_f32(f32_to_bf16(b));
	case DTYPE_F8_E4M3:
	case DTYPE_F8_E5M2:
	case DTYPE_F8_E4M3FNUZ:
	case DTYPE_F8_E5M2FNUZ:
		return is_nearest(type, a, b);
	default:
		return a == b;
	}
}

/* Equal values first: the slow question is asked of the others. */
static uint64_t count_rounded(const float *a, const float *b, size_t n, enum dtype ta, enum dtype tb)
{
	uint64_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += a[i] == b[i] || is_rounded(ta, a[i], b[i]) || is_rounded(tb, b[i], a[i]);
	return count;
}

/* --- sums --- */

static double lanes_sum(const double *s)
{
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

struct lanes {
	double dd[LANES], aa[LANES], bb[LANES], ab[LANES], max[LANES];
	uint32_t changed[LANES], zeroed[LANES];
};

static inline void take(struct lanes *l, int k, float a, float b)
{
	double x = a, y = b, d = x - y, m = fabs(d);
	l->dd[k] += d * d;
	l->aa[k] += x * x;
	l->bb[k] += y * y;
	l->ab[k] += x * y;
	l->max[k] = m > l->max[k] ? m : l->max[k];
	l->changed[k] += a != b;
	l->zeroed[k] += (a == 0) & (b != 0);
}

/* At most BLOCK finite values. */
static void compare_finite(struct diff_sums *s, const float *a, const float *b, size_t n)
{
	struct lanes l = {0};
	size_t whole = n - n % LANES;
	for (size_t i = 0; i < whole; i += LANES)
		for (int k = 0; k < LANES; k++)
			take(&l, k, a[i + k], b[i + k]);
	for (size_t i = whole; i < n; i++)
		take(&l, (int)(i - whole), a[i], b[i]);
	s->dd += lanes_sum(l.dd);
	s->aa += lanes_sum(l.aa);
	s->bb += lanes_sum(l.bb);
	s->ab += lanes_sum(l.ab);
	for (int k = 0; k < LANES; k++) {
		s->max_abs = MAX(s->max_abs, l.max[k]);
		s->changed += l.changed[k];
		s->zeroed += l.zeroed[k];
	}
}

static bool all_finite(const float *v, size_t n)
{
	uint32_t odd = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t u;
		memcpy(&u, &v[i], sizeof u);
		odd += (u & 0x7f800000) == 0x7f800000;
	}
	return !odd;
}

/* The pairs that are finite on both sides to the front of x and y; what the others say goes to s. */
static size_t keep_finite(struct diff_sums *s, const float *a, const float *b, size_t n, float *x, float *y)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (isfinite(a[i]) && isfinite(b[i])) {
			x[kept] = a[i];
			y[kept++] = b[i];
			continue;
		}
		bool differ = memcmp(&a[i], &b[i], sizeof *a) != 0;
		s->nonfinite++;
		s->changed += differ;
		s->rounded += !differ;
	}
	return kept;
}

void diff_compare(struct diff_sums *s, const float *a, const float *b, size_t n, enum dtype ta, enum dtype tb)
{
	float x[BLOCK], y[BLOCK];
	for (size_t i = 0, m; i < n; i += m) {
		m = MIN(n - i, (size_t)BLOCK);
		const float *p = a + i, *q = b + i;
		size_t kept = m;
		if (!all_finite(p, m) || !all_finite(q, m)) {
			kept = keep_finite(s, p, q, m, x, y);
			p = x;
			q = y;
		}
		compare_finite(s, p, q, kept);
		if (ta != tb)
			s->rounded += count_rounded(p, q, kept, ta, tb);
	}
	s->elements += n;
}

/* --- reading --- */

int diff_read(const struct diff_model *m, uint32_t part, uint64_t row, uint64_t nr, uint64_t col, uint64_t nc,
	      float *out, struct err *e)
{
	const struct part *p = &m->c->parts[part];
	if (!col && nc == p->cols)
		return canon_read_rows(m->w, p, row, nr, out, e);
	cleanup_free uint64_t *index = mem_array(nr + nc, sizeof *index);
	if (!index)
		return err_nomem(e);
	for (uint64_t i = 0; i < nr; i++)
		index[i] = row + i;
	for (uint64_t i = 0; i < nc; i++)
		index[nr + i] = col + i;
	return canon_read_grid(m->w, p, index, nr, index + nr, nc, out, e);
}

int diff_tiles(const struct diff_model *a, uint32_t pa, const struct diff_model *b, uint32_t pb, uint64_t first,
	       uint64_t n, const struct cancel *cancel, int (*use)(void *arg, const struct diff_tile *t), void *arg,
	       struct err *e)
{
	uint64_t cols = a->c->parts[pa].cols;
	cleanup_free float *x = mem_array(DIFF_TILE, sizeof *x),
			   *y = pb == DIFF_NONE ? NULL : mem_array(DIFF_TILE, sizeof *y);
	if (!x || (!y && pb != DIFF_NONE))
		return err_nomem(e);
	if (pb != DIFF_NONE)
		cols = MIN(cols, b->c->parts[pb].cols);
	if (!cols)
		return 0;
	uint64_t wide = MIN(cols, (uint64_t)DIFF_TILE), high = DIFF_TILE / wide;
	for (uint64_t row = first, nr; row < first + n; row += nr) {
		nr = MIN(first + n - row, high);
		for (uint64_t col = 0, nc; col < cols; col += nc) {
			nc = MIN(cols - col, wide);
			if (cancel_asked(cancel))
				return err_set(e, ECANCELED, "cancelled");
			int r = diff_read(a, pa, row, nr, col, nc, x, e);
			if (!r && y)
				r = diff_read(b, pb, row, nr, col, nc, y, e);
			struct diff_tile t = {row, col, nr, nc, x, y};
			if (!r)
				r = use(arg, &t);
			if (r)
				return r;
		}
	}
	return 0;
}
