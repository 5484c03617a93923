/* The rungs of the ladder that read the weights again. */
#include "core/analysis/explain_internal.h"

#include "core/analysis/diff_internal.h"
#include "core/analysis/matrix.h"
#include "core/base/hash.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { GROUP = 16, SIDE = 128 };
#define GAP 3.0

/* All parts of a row, tile by tile. */
static int each_tile(const struct explain_row *x, int (*use)(void *arg, const struct diff_tile *t), void *arg,
		     struct err *e)
{
	int r = 0;
	for (uint32_t k = 0; k < x->parts.n && !r; k++)
		r = diff_tiles(x->a, x->parts.a + k, x->b, x->parts.b + k, 0, x->a->c->parts[x->parts.a + k].rows,
			       x->cancel, use, arg, e);
	return r;
}

/* --- scaled --- */

struct scaled {
	double factor, tolerance;
	uint64_t n, fit;
};

static int count_scaled(void *arg, const struct diff_tile *t)
{
	struct scaled *s = arg;
	for (uint64_t i = 0; i < t->nr * t->nc; i++) {
		double want = s->factor * t->b[i];
		s->fit += fabs(t->a[i] - want) <= s->tolerance * fabs(want);
	}
	s->n += t->nr * t->nc;
	return 0;
}

/* Half a place of the coarser type, and as much again for what the factor itself was rounded from. */
static double tolerance_of(enum dtype t)
{
	switch (t) {
	case DTYPE_F64:
	case DTYPE_F32:
		return ldexp(1, -22);
	case DTYPE_F16:
		return ldexp(1, -10);
	case DTYPE_BF16:
		return ldexp(1, -7);
	default:
		return ldexp(1, -3);
	}
}

int explain_scaled(const struct explain_row *x, double factor, double *share, struct err *e)
{
	double ta = tolerance_of(x->ta), tb = tolerance_of(x->tb);
	struct scaled s = {.factor = factor, .tolerance = MAX(ta, tb)};
	int r = each_tile(x, count_scaled, &s, e);
	*share = s.n ? (double)s.fit / (double)s.n : 0;
	return r;
}

/* --- levels --- */

struct levels {
	bool of_b;
	uint64_t n, fit;
};

/* The smallest step between the values of a group: no block of a quantised type is smaller, and its levels are
 * multiples. */
static float smallest_step(const float *v, size_t n)
{
	float s[GROUP], step = INFINITY, largest = 0;
	for (size_t i = 0; i < n; i++) {
		size_t k = i;
		for (; k > 0 && s[k - 1] > v[i]; k--)
			s[k] = s[k - 1];
		s[k] = v[i];
		largest = fabsf(v[i]) > largest ? fabsf(v[i]) : largest;
	}
	for (size_t i = 1; i < n; i++)
		if (s[i] - s[i - 1] > 1e-6f * largest && s[i] - s[i - 1] < step)
			step = s[i] - s[i - 1];
	return isfinite(step) ? step : largest;
}

static int count_levels(void *arg, const struct diff_tile *t)
{
	struct levels *l = arg;
	for (uint64_t i = 0; i < t->nr; i++)
		for (uint64_t k = 0; k < t->nc; k += GROUP) {
			size_t n = (size_t)MIN(t->nc - k, (uint64_t)GROUP);
			const float *a = t->a + i * t->nc + k, *b = t->b + i * t->nc + k;
			float step = smallest_step(l->of_b ? b : a, n);
			for (size_t m = 0; m < n; m++)
				l->fit += fabsf(a[m] - b[m]) <= step;
			l->n += n;
		}
	return 0;
}

int explain_levels(const struct explain_row *x, bool of_b, double *share, struct err *e)
{
	struct levels l = {.of_b = of_b};
	int r = each_tile(x, count_levels, &l, e);
	*share = l.n ? (double)l.fit / (double)l.n : 0;
	return r;
}

/* --- permuted --- */

struct lines {
	uint64_t *row_a, *row_b, *col_a, *col_b;
};

static uint64_t mix_in(uint64_t h, float v)
{
	uint32_t u;
	v = v == 0 ? 0 : v;
	memcpy(&u, &v, sizeof u);
	return hash_mix(h ^ u);
}

static int hash_lines(void *arg, const struct diff_tile *t)
{
	struct lines *l = arg;
	for (uint64_t i = 0; i < t->nr; i++)
		for (uint64_t k = 0; k < t->nc; k++) {
			float a = t->a[i * t->nc + k], b = t->b[i * t->nc + k];
			uint64_t *ra = &l->row_a[t->row + i], *rb = &l->row_b[t->row + i];
			*ra = mix_in(*ra, a);
			*rb = mix_in(*rb, b);
			l->col_a[t->col + k] = mix_in(l->col_a[t->col + k], a);
			l->col_b[t->col + k] = mix_in(l->col_b[t->col + k], b);
		}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Share of the first that are among the second, each once. */
static double common(uint64_t *x, uint64_t *y, uint64_t n)
{
	uint64_t same = 0;
	qsort(x, n, sizeof *x, by_number);
	qsort(y, n, sizeof *y, by_number);
	for (uint64_t i = 0, k = 0; i < n && k < n;) {
		same += x[i] == y[k];
		uint64_t u = x[i], v = y[k];
		i += u <= v;
		k += v <= u;
	}
	return n ? (double)same / (double)n : 0;
}

int explain_permuted(const struct explain_row *x, double *rows, double *cols, struct err *e)
{
	const struct part *p = &x->a->c->parts[x->parts.a];
	cleanup_free uint64_t *all = NULL;
	uint64_t n;
	if (p->rows < 2 || __builtin_add_overflow(p->rows, p->cols, &n) || n > SIZE_MAX / 32)
		return 0;
	all = mem_array(2 * n, sizeof *all);
	if (!all)
		return err_nomem(e);
	struct lines l = {all, all + p->rows, all + 2 * p->rows, all + 2 * p->rows + p->cols};
	int r = each_tile(x, hash_lines, &l, e);
	if (r < 0)
		return r;
	*rows = common(l.row_a, l.row_b, p->rows);
	*cols = p->cols > 1 ? common(l.col_a, l.col_b, p->cols) : 0;
	return 0;
}

/* --- rank --- */

static void evenly(uint64_t *out, uint64_t k, uint64_t n)
{
	for (uint64_t i = 0; i < k; i++)
		out[i] = (uint64_t)((__uint128_t)i * n / k);
}

/* Gram matrix of the lower side of a difference of nr x nc. */
static size_t gram(const float *a, const float *b, size_t nr, size_t nc, double *out)
{
	size_t n = MIN(nr, nc), len = MAX(nr, nc);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k <= i; k++) {
			double sum = 0;
			for (size_t m = 0; m < len; m++) {
				size_t p = nr <= nc ? i * nc + m : m * nc + i, q = nr <= nc ? k * nc + m : m * nc + k;
				sum += ((double)a[p] - b[p]) * ((double)a[q] - b[q]);
			}
			out[i * n + k] = out[k * n + i] = sum;
		}
	return n;
}

/* Squared singular values, ascending: where is the largest gap? Of at most half of them, or there is no rank to
 * speak of. */
static uint32_t find_gap(const double *w, size_t n, double *energy)
{
	double total = 0, top = 0, best = 0;
	uint32_t rank = 0;
	for (size_t i = 0; i < n; i++)
		total += w[i] > 0 ? w[i] : 0;
	for (uint32_t r = 1; r <= n / 2; r++) {
		double s = w[n - r], next = w[n - r - 1];
		if (!(s > 1e-14 * total))
			break;
		double gap = next > 1e-14 * total ? sqrt(s / next) : 1e7;
		if (gap > best) {
			best = gap;
			rank = r;
		}
	}
	for (uint32_t r = 1; r <= rank; r++)
		top += w[n - r];
	*energy = total > 0 ? top / total : 0;
	return best >= GAP ? rank : 0;
}

struct scratch {
	uint64_t rows[SIDE], cols[SIDE];
	float a[SIDE * SIDE], b[SIDE * SIDE];
	double gram[SIDE * SIDE], w[SIDE];
};

static int part_rank(const struct explain_row *x, uint32_t k, struct scratch *s, uint32_t *rank, double *energy,
		     struct err *e)
{
	const struct part *p = &x->a->c->parts[x->parts.a + k], *q = &x->b->c->parts[x->parts.b + k];
	uint64_t nr = MIN(p->rows, (uint64_t)SIDE), nc = MIN(p->cols, (uint64_t)SIDE);
	*rank = 0;
	*energy = 0;
	if (nr < 8 || nc < 8)
		return 0;
	evenly(s->rows, nr, p->rows);
	evenly(s->cols, nc, p->cols);
	int r = canon_read_grid(x->a->w, p, s->rows, nr, s->cols, nc, s->a, e);
	if (!r)
		r = canon_read_grid(x->b->w, q, s->rows, nr, s->cols, nc, s->b, e);
	if (r < 0)
		return r;
	size_t n = gram(s->a, s->b, nr, nc, s->gram);
	if (matrix_eigen(s->gram, n, s->w, false))
		*rank = find_gap(s->w, n, energy);
	return 0;
}

int explain_rank(const struct explain_row *x, uint32_t *rank, double *energy, struct err *e)
{
	cleanup_free struct scratch *s = mem_alloc(sizeof *s);
	if (!s)
		return err_nomem(e);
	*rank = 0;
	*energy = 1;
	for (uint32_t k = 0; k < x->parts.n; k++) {	/* of a fused tensor the largest, and the poorest fit */
		uint32_t one;
		double share;
		if (cancel_asked(x->cancel))
			return err_set(e, ECANCELED, "cancelled");
		int r = part_rank(x, k, s, &one, &share, e);
		if (r < 0)
			return r;
		if (!one) {
			*rank = 0;
			return 0;
		}
		*rank = MAX(*rank, one);
		*energy = MIN(*energy, share);
	}
	return 0;
}
