#ifndef TARN_ANALYSIS_LANES_H
#define TARN_ANALYSIS_LANES_H
/*
 * Sums over many values, kept in LANES partial sums that a compiler can hold in vector registers. The order of the
 * additions is fixed, so that every machine and every compiler gives the same bits.
 */
#include <stddef.h>

enum { LANES = 8 };

/* A function whose loops are worth wider registers where the machine has them. The same operations in the same order: the same
 * bits. Sanitizers cannot look into what chooses between the two when the program is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

#define LANES_SUM(acc) (((acc)[0] + (acc)[4]) + ((acc)[1] + (acc)[5]) + (((acc)[2] + (acc)[6]) + ((acc)[3] + (acc)[7])))

/* Each defines NAME(x, y, n): the sum of `term` of u = x[i] and v = y[i] in `type`. */
#define LANES_REDUCE(name, type, term)							\
	static inline type name(const float *restrict x, const float *restrict y, size_t n)	\
	{										\
		type acc[LANES] = {0}, rest = 0;					\
		size_t whole = n - n % LANES;						\
		for (size_t i = 0; i < whole; i += LANES)				\
			for (size_t k = 0; k < LANES; k++) {				\
				type u = (type)x[i + k], v = (type)y[i + k];		\
				acc[k] += (term);					\
			}								\
		for (size_t i = whole; i < n; i++) {					\
			type u = (type)x[i], v = (type)y[i];				\
			rest += (term);							\
		}									\
		return LANES_SUM(acc) + rest;						\
	}

LANES_REDUCE(lanes_dot, double, u * v)
LANES_REDUCE(lanes_dot_float, float, u * v)
LANES_REDUCE(lanes_distance2, double, (u - v) * (u - v))
LANES_REDUCE(lanes_distance2_float, float, (u - v) * (u - v))
LANES_REDUCE(lanes_norms2, double, u * u + v * v)

/* The sum of the values from lo to hi, and how many they are. */
static inline double lanes_between(const float *v, size_t n, float lo, float hi, double *count)
{
	double acc[LANES] = {0}, in[LANES] = {0}, rest = 0, more = 0;
	size_t whole = n - n % LANES;
	for (size_t i = 0; i < whole; i += LANES)
		for (size_t k = 0; k < LANES; k++) {
			double x = v[i + k], one = x >= lo && x <= hi ? 1 : 0;
			acc[k] += x >= lo && x <= hi ? x : 0;
			in[k] += one;
		}
	for (size_t i = whole; i < n; i++) {
		rest += v[i] >= lo && v[i] <= hi ? v[i] : 0;
		more += v[i] >= lo && v[i] <= hi;
	}
	*count = LANES_SUM(in) + more;
	return LANES_SUM(acc) + rest;
}

/* Products of the steps u = b - a and v = d - c. */
struct lanes_steps { double uu, uv, vv; };

static inline struct lanes_steps lanes_steps(const float *restrict a, const float *restrict b, const float *restrict c,
					     const float *restrict d, size_t n)
{
	double uu[LANES] = {0}, uv[LANES] = {0}, vv[LANES] = {0};
	size_t whole = n - n % LANES;
	struct lanes_steps out = {0};
	for (size_t i = 0; i < whole; i += LANES)
		for (size_t k = 0; k < LANES; k++) {
			double u = (double)b[i + k] - a[i + k], v = (double)d[i + k] - c[i + k];
			uu[k] += u * u;
			uv[k] += u * v;
			vv[k] += v * v;
		}
	for (size_t i = whole; i < n; i++) {
		double u = (double)b[i] - a[i], v = (double)d[i] - c[i];
		out.uu += u * u;
		out.uv += u * v;
		out.vv += v * v;
	}
	out.uu += LANES_SUM(uu);
	out.uv += LANES_SUM(uv);
	out.vv += LANES_SUM(vv);
	return out;
}

/* The same of values that are double already. */
static inline double lanes_dot_double(const double *restrict x, const double *restrict y, size_t n)
{
	double acc[LANES] = {0}, rest = 0;
	size_t whole = n - n % LANES;
	for (size_t i = 0; i < whole; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			acc[k] += x[i + k] * y[i + k];
	for (size_t i = whole; i < n; i++)
		rest += x[i] * y[i];
	return LANES_SUM(acc) + rest;
}

/* v less its part along the unit vector q. */
static inline void lanes_take_out(double *restrict v, const double *restrict q, size_t n)
{
	double c = lanes_dot_double(q, v, n);
	for (size_t i = 0; i < n; i++)
		v[i] -= c * q[i];
}

#endif
