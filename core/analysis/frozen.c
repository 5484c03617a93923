/* Token rows that stayed as they were, between three members. */
#include "core/analysis/frozen.h"

#include "core/analysis/lanes.h"

#include <math.h>
#include <string.h>

/* Mean displacement over the unseen rows (all, when too few are known), of unit length; false when there is none. */
static bool common_drift(const struct fam *f, const struct slot *s, const float *a, const float *b, double *c)
{
	double sq = 0;
	memset(c, 0, s->nc * sizeof *c);
	for (uint32_t i = 0; i < s->nr; i++)
		for (uint32_t j = 0; j < s->nc && (f->n_unseen < UNSEEN_LEAST || f->unseen[i]); j++)
			c[j] += (double)b[(size_t)i * s->nc + j] - a[(size_t)i * s->nc + j];
	for (uint32_t j = 0; j < s->nc; j++)
		sq += c[j] * c[j];
	for (uint32_t j = 0; j < s->nc && sq > 0; j++)
		c[j] /= sqrt(sq);
	return sq > 0;
}

enum { STRIP = 128 };

/* Squared displacement of a row from a to b, without what weight decay (along a) and the common drift (along c; NULL:
 * none) make. */
static double displacement(const float *a, const float *b, const double *c, uint32_t n)
{
	double aa = 0, da = 0, dd = 0, dc = 0, ac = 0, d[STRIP], v[STRIP];
	for (uint32_t at = 0; at < n; at += STRIP) {
		uint32_t k = MIN(n - at, (uint32_t)STRIP);
		for (uint32_t j = 0; j < k; j++) {
			v[j] = a[at + j];
			d[j] = b[at + j] - v[j];
		}
		aa += lanes_dot_double(v, v, k);
		da += lanes_dot_double(d, v, k);
		dd += lanes_dot_double(d, d, k);
		dc += c ? lanes_dot_double(d, c + at, k) : 0;
		ac += c ? lanes_dot_double(v, c + at, k) : 0;
	}
	double along = aa > 0 ? da / aa : 0, rest = dc - along * ac;	/* d - along a, then its part along c */
	return fmax(dd - along * da - rest * rest, 0);
}

struct extremes { double most, least; };	/* of log(distance to p / distance to x) over rows */

static void look_at(const struct fam *f, size_t slot, const float *p, const float *x, const float *y, double *drift,
		    struct extremes *out)
{
	const struct slot *s = &f->v.slot[slot];
	bool head = slot == f->head_slot;
	const double *cp = head && common_drift(f, s, p, y, drift) ? drift : NULL;
	const double *cx = head && common_drift(f, s, x, y, drift + s->nc) ? drift + s->nc : NULL;
	for (uint32_t i = 0; i < s->nr; i++) {
		const float *rp = p + (size_t)i * s->nc, *rx = x + (size_t)i * s->nc, *ry = y + (size_t)i * s->nc;
		if (head && f->unseen[i])
			continue;
		double size = lanes_dot(rp, rp, s->nc), floor = 1e-6 * size;
		double ep = displacement(rp, ry, cp, s->nc), ex = displacement(rx, ry, cx, s->nc);
		double l = size > 0 ? 0.5 * log((ep + floor) / (ex + floor)) : 0;
		out->most = fmax(out->most, l);
		out->least = fmin(out->least, l);
	}
}

double frozen_odds(const struct fam *f, uint32_t p, uint32_t x, uint32_t y)
{
	struct extremes e = {0, 0};
	for (size_t i = 0; i < f->v.slots; i++) {
		const float *a = fam_x(f, p, i), *b = fam_x(f, x, i), *c = fam_x(f, y, i);
		if (f->v.slot[i].kind != SLOT_VOCAB || !a || !b || !c)
			continue;
		cleanup_free double *drift = mem_array(2 * (size_t)f->v.slot[i].nc + 1, sizeof *drift);
		if (drift)
			look_at(f, i, a, b, c, drift, &e);
	}
	/* over 504 measured triples: below x never under -0.95, of the others half are under -2; beside x never over
	 * 2.65 */
	return fmin(4 * fmax(e.most - 2.65, 0), 6) - fmin(4 * fmax(-1 - e.least, 0), 8);
}
