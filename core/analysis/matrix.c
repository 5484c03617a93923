/* Symmetric eigenvalues, a Cholesky solve, and sub-matrices of differences. */
#include "core/analysis/matrix.h"

#include "core/analysis/lanes.h"

#include <math.h>
#include <string.h>

/* Householder reduction to tridiagonal form: diagonal d, subdiagonal e (e[0] = 0), the transformation in a. */
static void tridiagonalise(double *a, size_t n, double *d, double *e)
{
	for (size_t i = n - 1; i > 0; i--) {
		double scale = 0, h = 0;
		for (size_t k = 0; k < i; k++)
			scale += fabs(a[i * n + k]);
		if (i == 1 || scale == 0) {
			e[i] = a[i * n + i - 1];
			d[i] = 0;
			continue;
		}
		for (size_t k = 0; k < i; k++) {
			a[i * n + k] /= scale;
			h += a[i * n + k] * a[i * n + k];
		}
		double f = a[i * n + i - 1], g = f >= 0 ? -sqrt(h) : sqrt(h), p = 0;
		e[i] = scale * g;
		h -= f * g;
		a[i * n + i - 1] = f - g;
		for (size_t j = 0; j < i; j++) {
			a[j * n + i] = a[i * n + j] / h;
			g = 0;
			for (size_t k = 0; k <= j; k++)
				g += a[j * n + k] * a[i * n + k];
			for (size_t k = j + 1; k < i; k++)
				g += a[k * n + j] * a[i * n + k];
			e[j] = g / h;
			p += e[j] * a[i * n + j];
		}
		double hh = p / (h + h);
		for (size_t j = 0; j < i; j++) {
			f = a[i * n + j];
			e[j] = g = e[j] - hh * f;
			for (size_t k = 0; k <= j; k++)
				a[j * n + k] -= f * e[k] + g * a[i * n + k];
		}
		d[i] = h;
	}
	e[0] = d[0] = 0;
	for (size_t i = 0; i < n; i++) {
		if (d[i] != 0)
			for (size_t j = 0; j < i; j++) {
				double g = 0;
				for (size_t k = 0; k < i; k++)
					g += a[i * n + k] * a[k * n + j];
				for (size_t k = 0; k < i; k++)
					a[k * n + j] -= g * a[k * n + i];
			}
		d[i] = a[i * n + i];
		a[i * n + i] = 1;
		for (size_t j = 0; j < i; j++)
			a[j * n + i] = a[i * n + j] = 0;
	}
}

/* One implicit QL sweep between l and m. */
static void ql_sweep(double *d, double *e, double *z, size_t n, size_t l, size_t m)
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
		for (size_t k = 0; k < n; k++) {
			f = z[k * n + i + 1];
			z[k * n + i + 1] = s * z[k * n + i] + c * f;
			z[k * n + i] = c * z[k * n + i] - s * f;
		}
	}
	d[l] -= p;
	e[l] = g;
	e[m] = 0;
}

static void sort_ascending(double *w, double *z, size_t n, bool vectors)
{
	for (size_t i = 0; i + 1 < n; i++) {
		size_t k = i;
		for (size_t j = i + 1; j < n; j++)
			if (w[j] < w[k])
				k = j;
		if (k == i)
			continue;
		double t = w[k];
		w[k] = w[i];
		w[i] = t;
		for (size_t j = 0; j < n && vectors; j++) {
			t = z[j * n + k];
			z[j * n + k] = z[j * n + i];
			z[j * n + i] = t;
		}
	}
}

/* The same without the transformation: rows of the lower triangle are gone along, never columns. */
static void tridiagonalise_values(double *a, size_t n, double *d, double *e)
{
	for (size_t i = n - 1; i > 0; i--) {
		double *v = a + i * n, scale = 0, h = 0, p = 0;
		d[i] = v[i];
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

/* One sweep of the square-root free QL of Pal, Walker and Kahan (LAPACK's dsterf) between l and m: e holds squares. */
static void ql_sweep_squares(double *d, double *e, size_t l, size_t m)
{
	double root = sqrt(e[l]), sigma = (d[l + 1] - d[l]) / (2 * root), r = sqrt(sigma * sigma + 1);
	sigma = d[l] - root / (sigma + (sigma >= 0 ? r : -r));
	double c = 1, s = 0, gamma = d[m] - sigma, p = gamma * gamma;
	for (size_t i = m; i-- > l;) {
		double b = e[i], q = p + b, old_c = c, old_gamma = gamma, inverse = 1 / q, slope = q / p;	/* 1 / c, at once */
		if (i + 1 != m)
			e[i + 1] = s * q;
		c = p * inverse;
		s = b * inverse;
		gamma = c * (d[i] - sigma) - s * old_gamma;
		d[i + 1] = old_gamma + (d[i] - gamma);
		p = c > 1e-290 ? gamma * gamma * slope : old_c * b;
	}
	e[l] = s * p;
	d[l] = sigma + gamma;
}

/* Eigenvalues of a tridiagonal matrix, unsorted: diagonal d, subdiagonal e[0 … n-2]. */
static bool ql_values(double *d, double *e, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		e[i] *= e[i];
	for (size_t l = 0; l < n; l++)
		for (int tries = 0;; tries++) {
			size_t m = l;
			for (; m + 1 < n; m++) {
				double dd = fabs(d[m]) + fabs(d[m + 1]);
				if (e[m] <= 1e-32 * dd * dd || e[m] < 1e-300)
					break;
			}
			if (m == l)
				break;
			if (tries == 60)
				return false;
			ql_sweep_squares(d, e, l, m);
		}
	return true;
}

static bool all_finite(const double *a, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += a[i] * 0;
	return sum == 0;
}

bool matrix_eigen(double *a, size_t n, double *w, bool vectors)
{
	double e[MATRIX_EIGEN_MAX + 1];
	if (!n || n > MATRIX_EIGEN_MAX)
		return false;
	if (!all_finite(a, n * n))
		return false;
	if (vectors)
		tridiagonalise(a, n, w, e);
	else
		tridiagonalise_values(a, n, w, e);
	for (size_t i = 1; i < n; i++)
		e[i - 1] = e[i];
	e[n - 1] = 0;
	if (!vectors && !ql_values(w, e, n))
		return false;
	for (size_t l = 0; l < n && vectors; l++) {
		for (int tries = 0;; tries++) {
			size_t m = l;
			for (; m + 1 < n; m++) {
				double dd = fabs(w[m]) + fabs(w[m + 1]);
				if (fabs(e[m]) <= 1e-16 * dd)
					break;
			}
			if (m == l)
				break;
			if (tries == 60)
				return false;
			ql_sweep(w, e, a, n, l, m);
		}
	}
	sort_ascending(w, a, n, vectors);
	return true;
}

void matrix_abt(const double *a, const double *b, size_t r, size_t c, double *out)
{
	double bt[MATRIX_MAX * MATRIX_MAX];
	for (size_t i = 0; i < r; i++)
		for (size_t j = 0; j < c; j++)
			bt[j * r + i] = b[i * c + j];
	memset(out, 0, r * r * sizeof *out);
	for (size_t i = 0; i < r; i++)
		for (size_t k = 0; k < c; k++) {
			double f = a[i * c + k];
			for (size_t j = 0; j < r; j++)
				out[i * r + j] += f * bt[k * r + j];
		}
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

static void difference(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t r, size_t c)
{
	bool turn = r > c;
	m->r = turn ? c : r;
	m->c = turn ? r : c;
	for (size_t i = 0; i < r; i++) {
		size_t at = i * nr / r * nc;
		for (size_t j = 0; j < c; j++) {
			size_t k = at + j * nc / c;
			double d = (double)x[k] - (double)(y ? y[k] : 0);
			m->v[turn ? j * m->c + i : i * m->c + j] = d;
		}
	}
}

void submatrix_difference(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side)
{
	side = side > MATRIX_MAX ? MATRIX_MAX : side;
	difference(m, x, y, nr, nc, nr < side ? nr : side, nc < side ? nc : side);
}

void submatrix_square(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side)
{
	side = side > MATRIX_MAX ? MATRIX_MAX : side;
	size_t r = nr < side ? nr : side, c = nc < side ? nc : side, low = r < c ? r : c, wide = low + low / 4;
	difference(m, x, y, nr, nc, r < wide ? r : wide, c < wide ? c : wide);
}

/* The lower triangle of m mT is enough: tridiagonalise reads no other. */
static void gram(const struct submatrix *m, double *g)
{
	double t[MATRIX_MAX * MATRIX_MAX];
	for (size_t i = 0; i < m->r; i++)
		for (size_t j = 0; j < m->c; j++)
			t[j * m->r + i] = m->v[i * m->c + j];
	size_t k = 0, r = m->r;
	memset(g, 0, r * r * sizeof *g);
	for (; k + 4 <= m->c; k += 4)		/* four columns for one pass over the sums */
		for (size_t i = 0; i < r; i++) {
			const double *p = t + k * r, f[] = {p[i], p[r + i], p[2 * r + i], p[3 * r + i]};
			for (size_t j = 0; j <= i; j++)
				g[i * r + j] += (f[0] * p[j] + f[1] * p[r + j]) + (f[2] * p[2 * r + j] + f[3] * p[3 * r + j]);
		}
	for (; k < m->c; k++)
		for (size_t i = 0; i < r; i++)
			for (size_t j = 0; j <= i; j++)
				g[i * r + j] += t[k * r + i] * t[k * r + j];
}

bool submatrix_spectrum(const struct submatrix *m, double *w)
{
	double g[MATRIX_MAX * MATRIX_MAX];
	gram(m, g);
	return matrix_eigen(g, m->r, w, false);
}
