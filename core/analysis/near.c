/* Nearest members of a large family. */
#include "core/analysis/near.h"

#include "core/analysis/lanes.h"

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

enum { STRIP = 64 };

static float distance(const float *x, const float *y, size_t n, float stop)
{
	float d = 0;
	for (size_t i = 0; i < n && d <= stop; i += STRIP)
		d += lanes_distance2_float(x + i, y + i, MIN(n - i, (size_t)STRIP));
	return d > stop ? INFINITY : d;
}

static int near_job(void *arg, size_t m)
{
	struct fam *f = arg;
	uint32_t *who = f->near + m * NEAR_KEPT;
	double d[NEAR_KEPT];
	size_t n = 0;
	memset(who, 0xff, NEAR_KEPT * sizeof *who);
	for (uint32_t k = 0; k < f->n; k++) {
		if (k == m || !fam_live(f, k) || f->node[k].quantised || f->node[k].permuted)
			continue;
		float v = distance(f->mini + m * f->mini_len, f->mini + k * f->mini_len, f->mini_len,
				   n == NEAR_KEPT ? (float)d[n - 1] : INFINITY);
		if (isfinite(v))
			n = near_keep(d, who, n, NEAR_KEPT, v, k);
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

static void difference(const float *x, const float *o, size_t n, double *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (double)x[i] - o[i];
}

/* The near one whose step from the nearest explains most of r; UINT32_MAX: none. */
static uint32_t pick_next(const struct fam *f, const uint32_t *who, const double *r)
{
	const float *o = f->mini + who[0] * f->mini_len;
	double best = 0, v[NEAR_VALUES + 1];
	uint32_t pick = UINT32_MAX;
	for (size_t k = 1; k < NEAR_KEPT && who[k] != UINT32_MAX; k++) {
		difference(f->mini + who[k] * f->mini_len, o, f->mini_len, v);
		double xy = lanes_dot_double(v, r, f->mini_len), xx = lanes_dot_double(v, v, f->mini_len);
		if (xx > 0 && xy * xy / xx > best) {
			best = xy * xy / xx;
			pick = who[k];
		}
	}
	return pick;
}

bool near_mixture(const struct fam *f, uint32_t y)
{
	enum { STEPS = 4 };
	const uint32_t *who = f->near + (size_t)y * NEAR_KEPT;
	const size_t len = f->mini_len;
	double q[STEPS][NEAR_VALUES + 1], r[NEAR_VALUES + 1];
	if (who[0] == UINT32_MAX || len > NEAR_VALUES + 1)
		return who[0] != UINT32_MAX;
	const float *o = f->mini + who[0] * len;
	difference(f->mini + y * len, o, len, r);
	double first = lanes_dot_double(r, r, len);
	for (size_t s = 0; s < STEPS; s++) {
		uint32_t pick = pick_next(f, who, r);
		if (pick == UINT32_MAX)
			break;
		difference(f->mini + pick * len, o, len, q[s]);
		for (size_t p = 0; p < s; p++)
			lanes_take_out(q[s], q[p], len);
		double norm = lanes_dot_double(q[s], q[s], len);
		for (size_t i = 0; i < len; i++)
			q[s][i] = norm > 0 ? q[s][i] / sqrt(norm) : 0;
		lanes_take_out(r, q[s], len);
	}
	/* of a parent of many the mean of five children leaves a fifth */
	return lanes_dot_double(r, r, len) < (f->large ? 0.15 : 0.85) * first;
}
