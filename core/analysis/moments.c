/* Central moments: a block in two passes over the first-level cache, blocks joined by Pébay's formulas. */
#include "core/analysis/moments.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

enum { LANES = 8 };	/* the order of additions is written out, so that every compiler keeps it */

static double lanes_sum(const double *s)
{
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

struct moments moments_block(const float *v, size_t n)
{
	struct moments m = {.n = n};
	double s1[LANES] = {0}, s2[LANES] = {0}, s3[LANES] = {0}, s4[LANES] = {0};
	size_t whole = n - n % LANES;
	if (!n)
		return m;
	for (size_t i = 0; i < whole; i += LANES)
		for (int k = 0; k < LANES; k++)
			s1[k] += v[i + k];
	for (size_t i = whole; i < n; i++)
		s1[i - whole] += v[i];
	m.mean = lanes_sum(s1) / (double)n;
	double mean = m.mean;
	for (size_t i = 0; i < whole; i += LANES)
		for (int k = 0; k < LANES; k++) {
			double d = v[i + k] - mean, q = d * d;
			s2[k] += q;
			s3[k] += q * d;
			s4[k] += q * q;
		}
	for (size_t i = whole; i < n; i++) {
		double d = v[i] - mean, q = d * d;
		s2[i - whole] += q;
		s3[i - whole] += q * d;
		s4[i - whole] += q * q;
	}
	m.m2 = lanes_sum(s2);
	m.m3 = lanes_sum(s3);
	m.m4 = lanes_sum(s4);
	return m;
}

struct moments moments_join(struct moments a, struct moments b)
{
	if (!a.n || !b.n)
		return a.n ? a : b;
	struct moments m = {.n = a.n + b.n};
	double na = (double)a.n, nb = (double)b.n, n = (double)m.n, d = b.mean - a.mean, dn = d / n;
	m.mean = a.mean + nb * dn;
	m.m2 = a.m2 + b.m2 + d * dn * na * nb;
	m.m3 = a.m3 + b.m3 + d * dn * dn * na * nb * (na - nb) + 3 * dn * (na * b.m2 - nb * a.m2);
	m.m4 = a.m4 + b.m4 + d * dn * dn * dn * na * nb * (na * na - na * nb + nb * nb) +
	       6 * dn * dn * (na * na * b.m2 + nb * nb * a.m2) + 4 * dn * (na * b.m3 - nb * a.m3);
	return m;
}

void moments_add(struct moments_sum *s, struct moments block)
{
	unsigned i = 0;
	for (; s->blocks >> i & 1; i++)
		block = moments_join(s->level[i], block);
	s->level[i] = block;
	s->blocks++;
}

struct moments moments_total(const struct moments_sum *s)
{
	struct moments m = {0};
	for (unsigned i = 0; i < 64; i++)
		if (s->blocks >> i & 1)
			m = moments_join(s->level[i], m);
	return m;
}
