/* Eigenvalues, Cholesky and sub-matrices against their definitions. */
#include "tests/support/cm.h"

#include "core/analysis/matrix.h"
#include "core/base/hash.h"

#include <math.h>
#include <string.h>

static double uniform(uint64_t *s)
{
	*s = hash_mix(*s);
	return (double)(*s >> 11) / 9007199254740992.0 - 0.5;
}

static void eigen_pairs(void **state)
{
	(void)state;
	uint64_t s = 7;
	for (size_t n = 1; n <= MATRIX_MAX; n += n < 8 ? 1 : 14) {
		static double b[MATRIX_MAX * MATRIX_MAX], g[MATRIX_MAX * MATRIX_MAX], a[MATRIX_MAX * MATRIX_MAX];
		double w[MATRIX_MAX], w2[MATRIX_MAX];
		for (size_t i = 0; i < n * n; i++)
			b[i] = uniform(&s);
		matrix_abt(b, b, n, n, g);
		memcpy(a, g, n * n * sizeof *a);
		assert_true(matrix_eigen(a, n, w, true));
		for (size_t k = 0; k < n; k++) {
			assert_true(!k || w[k] >= w[k - 1]);
			for (size_t i = 0; i < n; i++) {
				double sum = 0;
				for (size_t j = 0; j < n; j++)
					sum += g[i * n + j] * a[j * n + k];
				assert_true(fabs(sum - w[k] * a[i * n + k]) < 1e-11);
			}
		}
		assert_true(matrix_eigen(g, n, w2, false));
		for (size_t k = 0; k < n; k++)
			assert_true(fabs(w[k] - w2[k]) < 1e-11);
	}
}

static void eigen_refuses(void **state)
{
	(void)state;
	double a[4] = {1, NAN, NAN, 1}, w[2];
	assert_false(matrix_eigen(a, 2, w, true));
	assert_false(matrix_eigen(a, 0, w, true));
	double zero[9] = {0}, wz[3];
	assert_true(matrix_eigen(zero, 3, wz, true));
	assert_true(wz[0] == 0 && wz[2] == 0);
}

static void solves(void **state)
{
	(void)state;
	double a[9] = {4, 1, 0, 1, 3, 1, 0, 1, 2}, b[3] = {6, 10, 8};	/* x = 1 2 3 */
	assert_true(matrix_solve(a, b, 3));
	for (int i = 0; i < 3; i++)
		assert_true(fabs(b[i] - (i + 1)) < 1e-12);
	double c[4] = {1, 2, 2, 1}, d[2] = {1, 1};
	assert_false(matrix_solve(c, d, 2));
}

static void spectrum_of_known_rank(void **state)
{
	(void)state;
	static struct submatrix m;
	static float x[80 * 70], y[80 * 70];
	uint64_t s = 3;
	double u[80], v[70], w[MATRIX_MAX];
	for (int i = 0; i < 80; i++)
		u[i] = uniform(&s);
	for (int i = 0; i < 70; i++)
		v[i] = uniform(&s);
	for (int i = 0; i < 80; i++)
		for (int j = 0; j < 70; j++)
			x[i * 70 + j] = (float)(u[i] * v[j]);
	submatrix_difference(&m, x, y, 80, 70, 48);
	assert_int_equal(m.r, 48);
	assert_true(submatrix_spectrum(&m, w));
	assert_true(w[47] > 1e-3 && w[46] < 1e-10 * w[47]);
	submatrix_difference(&m, x, NULL, 80, 3, 48);	/* turned so that it is not higher than wide */
	assert_int_equal(m.r, 3);
	assert_int_equal(m.c, 48);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eigen_pairs), cmocka_unit_test(eigen_refuses), cmocka_unit_test(solves), cmocka_unit_test(spectrum_of_known_rank),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
