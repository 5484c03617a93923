/* Merges checked over every sampled value: least squares against the rounding of the child's own type, and SLERP. */
#include "core/analysis/merge.h"

#include "core/analysis/lanes.h"
#include "core/analysis/matrix.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

/* A least squares fit of y by several models, over values of y whose rounding is at most `limit`. */
struct fit {
	size_t k, n;			/* unknowns; values used */
	const float *v[MERGE_PARENTS], *y;
	double limit, yy, floor, a[MERGE_PARENTS * MERGE_PARENTS], b[MERGE_PARENTS];
	struct ulp_table ulp;
};

/* Up to BLOCK values relative to the last model, 0 where not used; u: their rounding, 0 also where all models agree:
 * there the sum is exact (most of a merge with a LoRA of the other parent). */
struct block { size_t n; double z[MERGE_PARENTS][BLOCK], t[BLOCK], u[BLOCK]; };

WIDE static void take_block(const struct fit *s, size_t at, size_t len, struct block *out)
{
	double use[BLOCK], differ[BLOCK] = {0};
	const float *y = s->y + at, *o = s->v[s->k] + at;
	for (size_t e = 0; e < len; e++)
		out->u[e] = ulp_of(&s->ulp, y[e]);
	size_t n = 0;
	for (size_t e = 0; e < len; e++) {
		use[e] = out->u[e] <= s->limit;
		out->u[e] *= use[e];
		out->t[e] = ((double)y[e] - o[e]) * use[e];
	}
	for (size_t i = 0; i < s->k; i++)
		for (size_t e = 0; e < len; e++) {
			out->z[i][e] = ((double)s->v[i][at + e] - o[e]) * use[e];
			differ[e] = out->z[i][e] != 0 ? 1 : differ[e];
		}
	for (size_t e = 0; e < len; e++) {
		out->u[e] *= differ[e];
		n += differ[e] > 0;
	}
	out->n = n;
}

WIDE static void add_products(struct fit *s, const struct block *b, size_t len)
{
	s->n += b->n;
	s->floor += lanes_dot_double(b->u, b->u, len) / 12;
	s->yy += lanes_dot_double(b->t, b->t, len);
	for (size_t i = 0; i < s->k; i++) {
		s->b[i] += lanes_dot_double(b->z[i], b->t, len);
		for (size_t j = 0; j <= i; j++)
			s->a[i * s->k + j] += lanes_dot_double(b->z[i], b->z[j], len);
	}
}

/* With the solution in s->b. */
WIDE static double residual(const struct fit *s, const struct block *b, size_t len)
{
	double r[BLOCK];
	memcpy(r, b->t, len * sizeof *r);
	for (size_t i = 0; i < s->k; i++)
		for (size_t e = 0; e < len; e++)
			r[e] -= s->b[i] * b->z[i][e];
	return lanes_dot_double(r, r, len);
}

void merge_target(struct merge_target *t, const struct fam *f, const struct mix *x, size_t y, double limit)
{
	*t = (struct merge_target){.y = y, .limit = limit};
	for (size_t q = 0; q < x->n_slots; q++) {
		const float *v = fam_x(f, x->who[y], x->slot[q]);
		size_t count[256] = {0};
		struct ulp_table ulp = {0};
		ulp_table(&ulp, (enum dtype)fam_part(f, x->who[y], x->slot[q])->dtype);
		for (size_t e = 0; e < f->v.slot[x->slot[q]].n; e++)
			count[ulp_exponent(v[e])]++;
		for (size_t i = 0; i < COUNT(count); i++)
			t->floor[ulp_exponent(ulp.of[i])] += (double)count[i] * ulp.of[i] * ulp.of[i] / 12;
	}
}

/* The same of the values whose last place, a power of two, is at most `limit`. */
static double floor_of(const struct merge_target *t, double limit)
{
	double sum = 0;
	for (uint32_t k = 0; k <= ulp_exponent((float)limit); k++)
		sum += t->floor[k];
	return sum;
}

/* What is left of yy by the best weights so far; NAN when the models are dependent. */
static double left(const struct fit *s)
{
	struct fit c = *s;
	double rss = s->yy;
	if (!matrix_solve(c.a, c.b, c.k))
		return NAN;
	for (size_t i = 0; i < c.k; i++)
		rss -= c.b[i] * s->b[i];
	return rss;
}

/* So much less is left than rounding alone would leave that y is no sum but a copy? Asked of 64 blocks and more, and where
 * the products are exact enough to tell. */
static bool is_copy(const struct fit *s, size_t blocks, double rest)
{
	return blocks >= 64 && s->n >= 200 && rest < MERGE_LEAST / 2 * s->floor && s->floor > 1e-6 * s->yy;
}

/* Once over all values: the products, or the residual. Of the products no more than shows that the residual will be
 * above `most` or next to nothing: then false. */
static bool go_over(const struct fam *f, const struct mix *x, size_t y, const uint32_t *m, struct fit *s, double most,
		    double *rss)
{
	size_t blocks = 0, look = 16;
	struct block b;
	for (size_t q = 0; q < x->n_slots; q++) {
		size_t slot = x->slot[q], n = f->v.slot[slot].n;
		s->y = fam_x(f, x->who[y], slot);
		for (size_t i = 0; i <= s->k; i++)
			s->v[i] = fam_x(f, x->who[m[i]], slot);
		ulp_table(&s->ulp, (enum dtype)fam_part(f, x->who[y], slot)->dtype);
		for (size_t at = 0; at < n; at += BLOCK) {
			size_t len = MIN(n - at, (size_t)BLOCK);
			take_block(s, at, len, &b);
			if (rss)
				*rss += residual(s, &b, len);
			else
				add_products(s, &b, len);
			if (rss || ++blocks < look)
				continue;
			look += look / 2;
			double rest = left(s);
			if (rest > most + 1e-9 * s->yy || is_copy(s, blocks, rest))
				return false;
		}
	}
	return true;
}

bool merge_refit(const struct fam *f, const struct mix *x, const struct merge_target *t, const uint32_t *m, size_t n,
		 double *w, double *ratio, size_t *used)
{
	double least = INFINITY, rest = 1;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			least = fmin(least, mix_distance2(x, m[i], m[j]));
	struct fit all = {.k = n - 1, .limit = sqrt(least / (double)x->len) / 4};
	if (!go_over(f, x, t->y, m, &all, 1.001 * t->limit * floor_of(t, all.limit), NULL))
		return false;
	double rss = left(&all);
	if (all.n < 200 || !matrix_solve(all.a, all.b, all.k))
		return false;
	for (size_t i = 0; i < all.k; i++) {
		w[i] = all.b[i];
		rest -= all.b[i];
	}
	w[all.k] = rest;
	if (rss < 1e-6 * all.yy) {	/* products of this size have lost what is left of so small a difference */
		rss = 0;
		go_over(f, x, t->y, m, &all, 0, &rss);
	}
	*used = all.n;
	*ratio = all.floor > 0 ? rss / all.floor : INFINITY;
	return true;
}

double merge_slerp(const struct fam *f, const struct mix *x, const struct merge_target *target, size_t a, size_t b,
		   double *share)
{
	double rss = 0, floor = 0, sum = 0, shares = 0, most = 1.001 * target->limit * floor_of(target, INFINITY);
	struct ulp_table ulp = {0};
	uint32_t y = x->who[target->y];
	for (size_t q = 0; q < x->n_slots; q++) {
		size_t slot = x->slot[q];
		const float *va = fam_x(f, x->who[a], slot), *vb = fam_x(f, x->who[b], slot), *vy = fam_x(f, y, slot);
		double dd = 0, db = 0, bb = 0, yd = 0, yb = 0, yy = 0, uu = 0;
		ulp_table(&ulp, (enum dtype)fam_part(f, y, slot)->dtype);
		/* y - b = w (a - b) + v b: the same plane, without cancellation */
		for (size_t e0 = 0; e0 < f->v.slot[slot].n; e0 += BLOCK) {
			double u[BLOCK], z[BLOCK], t[BLOCK], v[BLOCK];
			size_t len = MIN(f->v.slot[slot].n - e0, (size_t)BLOCK);
			for (size_t e = 0; e < len; e++) {
				u[e] = ulp_of(&ulp, vy[e0 + e]);
				v[e] = vb[e0 + e];
				z[e] = va[e0 + e] - v[e];
				t[e] = vy[e0 + e] - v[e];
			}
			uu += lanes_dot_double(u, u, len);
			dd += lanes_dot_double(z, z, len);
			db += lanes_dot_double(z, v, len);
			bb += lanes_dot_double(v, v, len);
			yd += lanes_dot_double(t, z, len);
			yb += lanes_dot_double(t, v, len);
			yy += lanes_dot_double(t, t, len);
		}
		double det = dd * bb - db * db;
		floor += dd > 0 ? uu / 12 : 0;	/* of two equal tensors the child has the values, without rounding */
		if (!(det > 1e-12 * dd * bb)) {
			rss += yy;
			continue;
		}
		double w = (yd * bb - yb * db) / det, v = (yb * dd - yd * db) / det;
		rss += fmax(yy - w * yd - v * yb, 0);
		if (rss > most)
			return INFINITY;
		sum += w / (1 + v);
		shares++;
	}
	*share = shares ? 1 - sum / shares : NAN;
	return floor > 0 && shares ? rss / floor : INFINITY;
}
