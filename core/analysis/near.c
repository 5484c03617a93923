/* Nearest members of a large family. */
#include "core/analysis/near.h"

#include "core/analysis/matrix.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Values of each member at the same places; NAN-free: a missing slot counts as zeros, far from all that have it. */
static int gather(struct fam *f)
{
	size_t total = 0;
	for (size_t i = 0; i < f->v.slots; i++)
		total += fam_matrix(f, i) ? f->v.slot[i].n : 0;
	size_t step = total / NEAR_VALUES + 1;
	f->mini_len = total ? (total - 1) / step + 1 : 0;
	f->mini = arena_array(&f->arena, f->n * f->mini_len + 1, sizeof *f->mini);
	if (!f->mini)
		return -ENOMEM;
	for (uint32_t m = 0; m < f->n; m++) {
		size_t at = 0, before = 0;
		for (size_t i = 0; i < f->v.slots; i++) {
			if (!fam_matrix(f, i))
				continue;
			const float *x = fam_x(f, m, i);
			size_t j = (step - before % step) % step;
			for (; j < f->v.slot[i].n; j += step)
				f->mini[m * f->mini_len + at++] = x ? (float)(x[j] / f->v.slot[i].rms) : 0;
			before += f->v.slot[i].n;
		}
	}
	return 0;
}

static void insert(uint32_t *who, float *d, size_t *n, uint32_t m, float v)
{
	if (*n == NEAR_KEPT && v >= d[NEAR_KEPT - 1])
		return;
	size_t at = *n < NEAR_KEPT ? (*n)++ : NEAR_KEPT - 1;
	for (; at > 0 && d[at - 1] > v; at--) {
		d[at] = d[at - 1];
		who[at] = who[at - 1];
	}
	d[at] = v;
	who[at] = m;
}

static float distance(const float *x, const float *y, size_t n, float stop)
{
	float d = 0;
	for (size_t i = 0; i < n; i += 32) {
		float part = 0;
		size_t end = i + 32 < n ? i + 32 : n;
		for (size_t k = i; k < end; k++)
			part += (x[k] - y[k]) * (x[k] - y[k]);
		d += part;
		if (d > stop)
			return INFINITY;
	}
	return d;
}

static int near_job(void *arg, size_t m)
{
	struct fam *f = arg;
	uint32_t *who = f->near + m * NEAR_KEPT;
	float d[NEAR_KEPT];
	size_t n = 0;
	memset(who, 0xff, NEAR_KEPT * sizeof *who);
	for (uint32_t k = 0; k < f->n; k++) {
		if (k == m || !fam_live(f, k) || f->node[k].quantised || f->node[k].permuted)
			continue;
		float v = distance(f->mini + m * f->mini_len, f->mini + k * f->mini_len, f->mini_len, n == NEAR_KEPT ? d[n - 1] : INFINITY);
		if (isfinite(v))
			insert(who, d, &n, k, v);
	}
	return cancel_asked(f->cancel) ? -ECANCELED : 0;
}

int near_find(struct fam *f, struct err *e)
{
	f->large = f->n > NEAR_LARGE;
	f->spectral = f->large ? 3 : f->n > NEAR_MANY ? 6 : 12;
	if (f->n < NEAR_LEAST)
		return 0;
	int rc = gather(f);
	f->near = rc ? NULL : arena_array(&f->arena, f->n * NEAR_KEPT, sizeof *f->near);
	if (!f->near)
		return -ENOMEM;
	rc = pool_for(fam_threads(f), f->n, near_job, f);
	return rc == -ECANCELED ? err_set(e, ECANCELED, "asked to stop") : rc;
}

bool near_mixture(const struct fam *f, uint32_t y)
{
	enum { STEPS = 4 };
	const uint32_t *who = f->near + (size_t)y * NEAR_KEPT;
	const size_t len = f->mini_len;
	double q[STEPS][NEAR_VALUES + 1], r[NEAR_VALUES + 1], first = 0, left = 0;
	if (who[0] == UINT32_MAX || len > NEAR_VALUES + 1)
		return who[0] != UINT32_MAX;
	const float *o = f->mini + who[0] * len, *t = f->mini + y * len;
	for (size_t i = 0; i < len; i++) {
		r[i] = (double)t[i] - o[i];
		first += r[i] * r[i];
	}
	for (size_t s = 0; s < STEPS; s++) {
		double best = 0, v[NEAR_VALUES + 1];
		uint32_t pick = UINT32_MAX;
		for (size_t k = 1; k < NEAR_KEPT && who[k] != UINT32_MAX; k++) {
			const float *x = f->mini + who[k] * len;
			double xy = 0, xx = 0;
			for (size_t i = 0; i < len; i++) {
				double d = (double)x[i] - o[i];
				xy += d * r[i];
				xx += d * d;
			}
			if (xx > 0 && xy * xy / xx > best) {
				best = xy * xy / xx;
				pick = who[k];
			}
		}
		if (pick == UINT32_MAX)
			break;
		double norm = 0;
		for (size_t i = 0; i < len; i++)
			v[i] = (double)f->mini[pick * len + i] - o[i];
		for (size_t p = 0; p < s; p++) {
			double c = 0;
			for (size_t i = 0; i < len; i++)
				c += q[p][i] * v[i];
			for (size_t i = 0; i < len; i++)
				v[i] -= c * q[p][i];
		}
		for (size_t i = 0; i < len; i++)
			norm += v[i] * v[i];
		double c = 0;
		for (size_t i = 0; i < len; i++) {
			q[s][i] = norm > 0 ? v[i] / sqrt(norm) : 0;
			c += q[s][i] * r[i];
		}
		for (size_t i = 0; i < len; i++)
			r[i] -= c * q[s][i];
	}
	for (size_t i = 0; i < len; i++)
		left += r[i] * r[i];
	/* of a parent of many the mean of five children leaves a fifth */
	return left < (f->large ? 0.15 : 0.85) * first;
}
