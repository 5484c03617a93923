/* Symmetric eigenvalues, a Cholesky solve, and sub-matrices of differences. */
#include "core/analysis/matrix.h"

#include "core/analysis/lanes.h"
#include "core/base/mem.h"

#include <math.h>
#include <string.h>

/*
 * Householder reduction to tridiagonal form: diagonal d, subdiagonal e (e[0] = 0). Only the lower triangle is read,
 * along rows. Reflection i, 1 - v vT / hs[i], leaves its v in row i; hs[i] 0: none; hs may be NULL.
 */
WIDE static void tridiagonalise(double *a, size_t n, double *d, double *e, double *hs)
{
	for (size_t i = n - 1; i > 0; i--) {
		double *v = a + i * n, scale = 0, h = 0, p = 0;
		d[i] = v[i];
		if (hs)
			hs[i] = 0;
		for (size_t k = 0; k < i; k++)
			scale += fabs(v[k]);
		if (i == 1 || scale == 0) {
			e[i] = v[i - 1];
			continue;
		}
		for (size_t k = 0; k < i; k++)
			v[k] /= scale;
		h = lanes_dot_double(v, v, i);
		double f = v[i - 1], g = f >= 0 ? -sqrt(h) : sqrt(h);
		e[i] = scale * g;
		h -= f * g;
		v[i - 1] = f - g;
		if (hs)
			hs[i] = h;
		for (size_t j = 0; j < i; j++) {	/* e = a v / h */
			const double *row = a + j * n;
			double sum = lanes_dot_double(row, v, j);
			for (size_t k = 0; k < j; k++)
				e[k] += row[k] * v[j];
			e[j] = sum + row[j] * v[j];
		}
		for (size_t j = 0; j < i; j++) {
			e[j] /= h;
			p += e[j] * v[j];
		}
		double hh = p / (h + h);
		for (size_t j = 0; j < i; j++)
			e[j] -= hh * v[j];
		for (size_t j = 0; j < i; j++) {
			double *row = a + j * n, x = v[j], y = e[j];
			for (size_t k = 0; k <= j; k++)
				row[k] -= x * e[k] + y * v[k];
		}
	}
	d[0] = a[0];
	e[0] = 0;
}

/*
 * Eigenvalues of a tridiagonal matrix by the square-root free QL of Pal, Walker and Kahan (LAPACK's dsterf): d the
 * diagonal, e the squares of the subdiagonal, unsorted. One step waits for the division of the one before: two matrices
 * are worked on in turn.
 */
struct values {
	double *d, *e;
	size_t n, l, m, i;		/* a sweep goes from i = m down to l */
	double c, s, sigma, gamma, p;
	int tries;
	bool more, failed;
};

static void begin_sweep(struct values *v)
{
	const double *d = v->d, *e = v->e;
	for (; v->l < v->n; v->l++, v->tries = 0) {
		size_t m = v->l;
		for (; m + 1 < v->n; m++) {
			double dd = fabs(d[m]) + fabs(d[m + 1]);
			if (e[m] <= 1e-28 * dd * dd || e[m] < 1e-300)
				break;
		}
		v->m = v->i = m;
		if (m != v->l)
			break;
	}
	v->failed = v->l < v->n && v->tries++ == 60;
	v->more = v->l < v->n && !v->failed;
	if (!v->more)
		return;
	double root = sqrt(e[v->l]), shift = (d[v->l + 1] - d[v->l]) / (2 * root), r = sqrt(shift * shift + 1);
	v->sigma = d[v->l] - root / (shift + (shift >= 0 ? r : -r));
	v->c = 1;
	v->s = 0;
	v->gamma = d[v->m] - v->sigma;
	v->p = v->gamma * v->gamma;
}

static inline void step(struct values *v)
{
	size_t i = --v->i;
	double b = v->e[i], q = v->p + b, c = v->c, gamma = v->gamma, inverse = 1 / q, slope = q / v->p;
	if (i + 1 != v->m)
		v->e[i + 1] = v->s * q;
	v->c = v->p * inverse;
	v->s = b * inverse;
	v->gamma = v->c * (v->d[i] - v->sigma) - v->s * gamma;
	v->d[i + 1] = gamma + (v->d[i] - v->gamma);
	v->p = v->c > 1e-290 ? v->gamma * v->gamma * slope : c * b;	/* slope: 1 / c, without waiting for c */
}

static void end_sweep(struct values *v)
{
	if (v->more && v->i == v->l) {
		v->e[v->l] = v->s * v->p;
		v->d[v->l] = v->sigma + v->gamma;
		begin_sweep(v);
	}
}

static void run_both(struct values *v, struct values *w)
{
	begin_sweep(v);
	begin_sweep(w);
	while (v->more && w->more) {
		struct values a = *v, b = *w;
		for (size_t k = MIN(a.i - a.l, b.i - b.l); k > 0; k--) {
			step(&a);
			step(&b);
		}
		*v = a;
		*w = b;
		end_sweep(v);
		end_sweep(w);
	}
	for (struct values *x = v; x; x = x == v ? w : NULL)
		while (x->more) {
			struct values a = *x;
			while (a.i > a.l)
				step(&a);
			*x = a;
			end_sweep(x);
		}
}

static void sort_ascending(double *w, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		double x = w[i];
		size_t at = i;
		for (; at > 0 && w[at - 1] > x; at--)
			w[at] = w[at - 1];
		w[at] = x;
	}
}

static bool all_finite(const double *a, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += a[i] * 0;
	return sum == 0;
}

/* The product of all reflections, transposed, into z: later its rows become the vectors. */
WIDE static void reflect(const double *a, const double *hs, size_t n, double *z)
{
	for (size_t i = 0; i < n; i++)
		z[i * n + i] = 1;
	for (size_t k = 2; k < n; k++) {
		const double *v = a + k * n;
		for (size_t r = 0; r < k && hs[k] > 0; r++) {
			double *row = z + r * n, f = lanes_dot_double(row, v, k) / hs[k];
			for (size_t j = 0; j < k; j++)
				row[j] -= f * v[j];
		}
	}
}

/* One implicit QL sweep between l and m; rows of z are turned with it. */
WIDE static void ql_sweep(double *d, double *e, double *z, size_t n, size_t l, size_t m)
{
	double g = (d[l + 1] - d[l]) / (2 * e[l]), r = sqrt(g * g + 1), s = 1, c = 1, p = 0;
	g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
	for (size_t i = m; i-- > l;) {
		double f = s * e[i], b = c * e[i];
		r = sqrt(f * f + g * g);
		e[i + 1] = r;
		if (r == 0) {
			d[i + 1] -= p;
			e[m] = 0;
			return;
		}
		s = f / r;
		c = g / r;
		g = d[i + 1] - p;
		r = (d[i] - g) * s + 2 * c * b;
		p = s * r;
		d[i + 1] = g + p;
		g = c * r - b;
		double *restrict x = z + i * n, *restrict y = x + n;
		for (size_t k = 0; k < n; k++) {
			double t = y[k];
			y[k] = s * x[k] + c * t;
			x[k] = c * x[k] - s * t;
		}
	}
	d[l] -= p;
	e[l] = g;
	e[m] = 0;
}

static bool ql_vectors(double *d, double *e, double *z, size_t n)
{
	for (size_t l = 0; l < n; l++)
		for (int tries = 0;; tries++) {
			size_t m = l;
			for (; m + 1 < n; m++)
				if (fabs(e[m]) <= 1e-16 * (fabs(d[m]) + fabs(d[m + 1])))
					break;
			if (m == l)
				break;
			if (tries == 60)
				return false;
			ql_sweep(d, e, z, n, l, m);
		}
	return true;
}

/* Places in the order of their values. */
static void rank(const double *w, size_t n, size_t *out)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;
		for (; at > 0 && w[out[at - 1]] > w[i]; at--)
			out[at] = out[at - 1];
		out[at] = i;
	}
}

static bool eigen_vectors(double *a, size_t n, double *w)
{
	double d[MATRIX_EIGEN_MAX], e[MATRIX_EIGEN_MAX + 1], hs[MATRIX_EIGEN_MAX];
	size_t at[MATRIX_EIGEN_MAX];
	cleanup_free double *z = mem_array(n * n, sizeof *z);
	if (!z)
		return false;
	tridiagonalise(a, n, d, e, hs);
	for (size_t i = 1; i < n; i++)
		e[i - 1] = e[i];
	e[n - 1] = 0;
	reflect(a, hs, n, z);
	if (!ql_vectors(d, e, z, n))
		return false;
	rank(d, n, at);
	for (size_t i = 0; i < n; i++) {
		w[i] = d[at[i]];
		for (size_t k = 0; k < n; k++)
			a[k * n + i] = z[at[i] * n + k];
	}
	return true;
}

/* Eigenvalues of two matrices; n[1] may be 0. */
static void eigen_values(double *const a[2], const size_t n[2], double *const w[2], bool ok[2])
{
	double e[2][MATRIX_EIGEN_MAX + 1];
	struct values v[2] = {0};
	for (int k = 0; k < 2; k++) {
		ok[k] = n[k] && n[k] <= MATRIX_EIGEN_MAX && all_finite(a[k], n[k] * n[k]);
		if (!ok[k])
			continue;
		tridiagonalise(a[k], n[k], w[k], e[k], NULL);
		for (size_t i = 1; i < n[k]; i++)
			e[k][i - 1] = e[k][i] * e[k][i];
		v[k] = (struct values){.d = w[k], .e = e[k], .n = n[k]};
	}
	run_both(&v[0], &v[1]);
	for (int k = 0; k < 2; k++) {
		ok[k] = ok[k] && !v[k].failed;
		if (ok[k])
			sort_ascending(w[k], n[k]);
	}
}

bool matrix_eigen(double *a, size_t n, double *w, bool vectors)
{
	bool ok[2];
	if (!n || n > MATRIX_EIGEN_MAX || !all_finite(a, n * n))
		return false;
	if (vectors)
		return eigen_vectors(a, n, w);
	eigen_values((double *[2]){a, NULL}, (size_t[2]){n, 0}, (double *[2]){w, NULL}, ok);
	return ok[0];
}

/* out[0 … c) += the row vector f (of k) times b (k x c): four rows of b for one pass over the sums. */
static inline void add_row(const double *restrict f, const double *restrict b, size_t k, size_t ld, size_t c,
			   double *restrict out)
{
	size_t i = 0;
	for (; i + 4 <= k; i += 4) {
		const double *p = b + i * ld;
		for (size_t j = 0; j < c; j++)
			out[j] += (f[i] * p[j] + f[i + 1] * p[ld + j]) +
				  (f[i + 2] * p[2 * ld + j] + f[i + 3] * p[3 * ld + j]);
	}
	for (; i < k; i++)
		for (size_t j = 0; j < c; j++)
			out[j] += f[i] * b[i * ld + j];
}

WIDE void matrix_ab(const double *a, const double *b, size_t r, size_t k, size_t c, double *out)
{
	memset(out, 0, r * c * sizeof *out);
	for (size_t i = 0; i < r; i++)
		add_row(a + i * k, b, k, c, c, out + i * c);
}

WIDE void matrix_abt(const double *a, const double *b, size_t r, size_t c, double *out)
{
	double bt[MATRIX_MAX * MATRIX_MAX];
	for (size_t i = 0; i < r; i++)
		for (size_t j = 0; j < c; j++)
			bt[j * r + i] = b[i * c + j];
	memset(out, 0, r * r * sizeof *out);
	for (size_t i = 0; i < r; i++)
		add_row(a + i * c, bt, c, r, a == b ? i + 1 : r, out + i * r);
	for (size_t i = 0; i < r && a == b; i++)
		for (size_t j = i + 1; j < r; j++)
			out[i * r + j] = out[j * r + i];
}

bool matrix_solve(double *a, double *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j <= i; j++) {
			double s = a[i * n + j];
			for (size_t k = 0; k < j; k++)
				s -= a[i * n + k] * a[j * n + k];
			if (i == j) {
				if (!(s > 1e-14 * fabs(a[i * n + i])))
					return false;
				a[i * n + i] = sqrt(s);
			} else {
				a[i * n + j] = s / a[j * n + j];
			}
		}
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			b[i] -= a[i * n + k] * b[k];
		b[i] /= a[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			b[i] -= a[k * n + i] * b[k];
		b[i] /= a[i * n + i];
	}
	return true;
}

static void difference(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc,
		       size_t r, size_t c, size_t which)
{
	bool turn = r > c;
	m->r = turn ? c : r;
	m->c = turn ? r : c;
	size_t row = nr > nc ? which : 0, col = which - row;
	for (size_t i = 0; i < r; i++) {
		size_t at = (i * nr / r + row) * nc;
		for (size_t j = 0; j < c; j++) {
			size_t k = at + j * nc / c + col;
			double d = (double)x[k] - (double)(y ? y[k] : 0);
			m->v[turn ? j * m->c + i : i * m->c + j] = d;
		}
	}
}

void submatrix_difference(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side)
{
	side = side > MATRIX_MAX ? MATRIX_MAX : side;
	difference(m, x, y, nr, nc, nr < side ? nr : side, nc < side ? nc : side, 0);
}

/* Rows and columns of nearly square blocks: the longer side is at most a quarter longer. */
static void square(uint32_t nr, uint32_t nc, size_t side, size_t *r, size_t *c)
{
	side = side > MATRIX_MAX ? MATRIX_MAX : side;
	*r = nr < side ? nr : side;
	*c = nc < side ? nc : side;
	size_t low = *r < *c ? *r : *c, wide = low + low / 4;
	*r = *r < wide ? *r : wide;
	*c = *c < wide ? *c : wide;
}

size_t submatrix_squares(uint32_t nr, uint32_t nc, size_t side)
{
	size_t r, c;
	square(nr, nc, side, &r, &c);
	size_t n = nr > nc ? (c == nc ? nr / r : 1) : (r == nr ? nc / c : 1);
	return n < SQUARES_MAX ? n : SQUARES_MAX;
}

void submatrix_square(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side,
		      size_t which)
{
	size_t r, c;
	square(nr, nc, side, &r, &c);
	difference(m, x, y, nr, nc, r, c, which);
}

void submatrix_spectra(const struct submatrix *m, size_t n, double (*w)[MATRIX_MAX], bool *ok)
{
	double g[2][MATRIX_MAX * MATRIX_MAX];
	for (size_t i = 0; i < n; i += 2) {
		bool both[2], two = i + 1 < n;
		matrix_abt(m[i].v, m[i].v, m[i].r, m[i].c, g[0]);
		if (two)
			matrix_abt(m[i + 1].v, m[i + 1].v, m[i + 1].r, m[i + 1].c, g[1]);
		eigen_values((double *[2]){g[0], g[1]}, (size_t[2]){m[i].r, two ? m[i + 1].r : 0},
			     (double *[2]){w[i], two ? w[i + 1] : NULL}, both);
		memcpy(ok + i, both, two ? 2 : 1);
	}
}

bool submatrix_spectrum(const struct submatrix *m, double *w)
{
	bool ok;
	submatrix_spectra(m, 1, (double (*)[MATRIX_MAX])w, &ok);
	return ok;
}
