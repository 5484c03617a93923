/* Eigenvalues, Cholesky and sub-matrices against their definitions. */
#include "tests/support/cm.h"

#include "core/analysis/matrix.h"
#include "core/analysis/rounding.h"
#include "core/base/hash.h"
#include "core/base/mem.h"

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

/* Of several at once as of each alone: sizes that differ, an odd number of them, one that is not finite. */
static void spectra_together(void **state)
{
	(void)state;
	enum { N = 5 };
	static struct submatrix m[N];
	static double w[N][MATRIX_MAX];
	static const size_t side[N] = {32, 7, 64, 1, 33};
	bool ok[N];
	uint64_t s = 11;
	for (size_t k = 0; k < N; k++) {
		m[k].r = side[k];
		m[k].c = side[k] < 60 ? side[k] + 4 : side[k];
		for (size_t i = 0; i < m[k].r * m[k].c; i++)
			m[k].v[i] = uniform(&s);
	}
	m[1].v[3] = INFINITY;
	submatrix_spectra(m, N, w, ok);
	for (size_t k = 0; k < N; k++) {
		double one[MATRIX_MAX], g[MATRIX_MAX * MATRIX_MAX], trace = 0, sum = 0;
		assert_int_equal(ok[k], k != 1);
		assert_int_equal(submatrix_spectrum(&m[k], one), ok[k]);
		matrix_abt(m[k].v, m[k].v, m[k].r, m[k].c, g);
		for (size_t i = 0; i < m[k].r && ok[k]; i++) {
			assert_true(w[k][i] == one[i] && (!i || w[k][i] >= w[k][i - 1]));
			trace += g[i * m[k].r + i];
			sum += w[k][i];
		}
		assert_true(fabs(sum - trace) <= 1e-12 * trace);
	}
}

static void products(void **state)
{
	(void)state;
	double a[6] = {1, 2, 3, 4, 5, 6}, b[15], out[10], t[4], same[4], copy[6];
	for (int i = 0; i < 15; i++)
		b[i] = i % 4 - 1;
	matrix_ab(a, b, 2, 3, 5, out);
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 5; j++)
			assert_true(out[i * 5 + j] ==
				    a[i * 3] * b[j] + a[i * 3 + 1] * b[5 + j] + a[i * 3 + 2] * b[10 + j]);
	memcpy(copy, a, sizeof a);
	matrix_abt(a, a, 2, 3, same);
	matrix_abt(a, copy, 2, 3, t);
	assert_memory_equal(same, t, sizeof t);
	assert_true(t[0] == 14 && t[1] == 32 && t[3] == 77);
}

/* Rounding to half a precision as the two conversions do it: floats of all kinds, and those around the ends of its range. */
static void test_round_f16(void **state)
{
	static const uint32_t ends[] = {0, 0x33000000, 0x387fffff, 0x38800000, 0x477fdfff, 0x477fe000, 0x477fefff,
					0x477ff000, 0x7f800000, 0x7fc01234};
	(void)state;
	for (uint64_t i = 0; i < (1ull << 32) / 9973 + COUNT(ends); i++) {
		uint32_t u = i < COUNT(ends) ? ends[i] : (uint32_t)(i * 9973), got, want;
		float v, a, b;
		memcpy(&v, &u, sizeof v);
		a = dtype_round(v, DTYPE_F16);
		b = f16_to_f32(f32_to_f16(v));
		memcpy(&got, &a, sizeof got);
		memcpy(&want, &b, sizeof want);
		if (got != want)
			fail_msg("%08x gives %08x, not %08x", u, got, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_f16),
		cmocka_unit_test(eigen_pairs),      cmocka_unit_test(eigen_refuses),
		cmocka_unit_test(solves),           cmocka_unit_test(spectrum_of_known_rank),
		cmocka_unit_test(spectra_together), cmocka_unit_test(products),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
