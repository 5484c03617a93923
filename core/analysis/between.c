/* Betweenness: bases of steps, and the odds that a model lies below one. */
#include "core/analysis/between.h"

#include "core/analysis/frozen.h"
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_pair.h"
#include "core/analysis/matrix.h"

#include <math.h>
#include <stdio.h>

#include <string.h>

enum { HALF = MATRIX_MAX / 2, PARTS = 2 * SPECTRAL_SLOTS };

struct part_basis {
	uint32_t slot;
	size_t which, h, r, c;		/* of the slot's blocks; sizes */
	double s[HALF];		/* singular values of x - p */
	double *u, *v;		/* h x r, h x c */
};

struct step_basis {
	struct arena arena;
	uint32_t p, x;
	size_t side, n;
	struct part_basis part[PARTS];
};

/* The part of the spectrum with x's own: the lower half, or, when nothing but rounding is there, the few values
 * above the gap. */
static size_t choose_part(const double *w, size_t r, double rounding, size_t *from)
{
	double low = 0, all = 0;
	size_t half = r - r / 2;
	for (size_t i = 0; i < r; i++) {
		all += fmax(w[i], 0);
		low += i < half ? fmax(w[i], 0) : 0;
	}
	*from = 0;
	if (low > 2e-3 * all || low > 0.15 * rounding)	/* of rounding a fifteenth lies there */
		return half;
	size_t k = 0;
	while (k < half && w[r - 1 - k] > 1e-2 * w[r - 1])
		k++;
	*from = r - k;
	return k;
}

/* Energy of the rounding of both models in a block of n values. */
static double rounding_of(const struct fam *f, const struct step_basis *b, uint32_t slot, size_t n)
{
	const float *x = fam_x(f, b->x, slot), *p = fam_x(f, b->p, slot);
	enum dtype dx = (enum dtype)fam_part(f, b->x, slot)->dtype;
	enum dtype dp = (enum dtype)fam_part(f, b->p, slot)->dtype;
	double sum = 0;
	size_t all = f->v.slot[slot].n, step = all / 256 + 1, looked = 0;
	for (size_t i = 0; i < all; i += step, looked++) {
		double u = dtype_ulp(x[i], dx), v = dtype_ulp(p[i], dp);
		sum += (u * u + v * v) / 12;
	}
	return looked ? sum / (double)looked * (double)n : 0;
}

static bool make_part(struct step_basis *b, struct part_basis *p, const struct fam *f, uint32_t slot,
		      size_t which, struct submatrix *m)
{
	const struct slot *s = &f->v.slot[slot];
	double g[MATRIX_MAX * MATRIX_MAX], w[MATRIX_MAX];
	size_t from;
	submatrix_square(m, fam_x(f, b->x, slot), fam_x(f, b->p, slot), s->nr, s->nc, b->side, which);
	matrix_abt(m->v, m->v, m->r, m->c, g);
	if (!matrix_eigen(g, m->r, w, true) || !(w[m->r - 1] > 0))
		return false;
	*p = (struct part_basis){.slot = slot, .which = which, .r = m->r, .c = m->c};
	p->h = choose_part(w, m->r, rounding_of(f, b, slot, m->r * m->c), &from);
	p->u = arena_array(&b->arena, p->h * m->r + 1, sizeof *p->u);
	p->v = arena_array(&b->arena, p->h * m->c + 1, sizeof *p->v);
	if (!p->u || !p->v)
		return false;
	for (size_t i = 0; i < p->h; i++) {
		p->s[i] = sqrt(fmax(w[from + i], 0));
		for (size_t q = 0; q < m->r; q++)
			p->u[i * m->r + q] = g[q * m->r + from + i];
	}
	matrix_ab(p->u, m->v, p->h, m->r, m->c, p->v);
	for (size_t i = 0; i < p->h; i++)
		for (size_t t = 0; t < m->c && p->s[i] > 0; t++)
			p->v[i * m->c + t] /= p->s[i];
	return p->h > 0;
}

struct step_basis *step_basis_new(const struct fam *f, uint32_t p, uint32_t x, size_t side)
{
	struct step_basis *b = mem_alloc(sizeof *b);
	cleanup_free struct submatrix *m = mem_alloc(sizeof *m);
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	if (!b || !m || !fresh) {
		free(b);
		return NULL;
	}
	b->p = p;
	b->x = x;
	b->side = side;
	fam_fresh(f, p, x, fresh);
	uint32_t slot[SPECTRAL_SLOTS];
	size_t n = spectral_slots(f, p, x, x, fresh, slot);
	for (size_t which = 0; which < SQUARES_MAX; which++)	/* one block of each slot before a second of any */
		for (size_t i = 0; i < n && b->n < PARTS; i++)
			if (which < submatrix_squares(f->v.slot[slot[i]].nr, f->v.slot[slot[i]].nc, side))
				b->n += make_part(b, &b->part[b->n], f, slot[i], which, m);
	return b;
}

uint32_t step_basis_from(const struct step_basis *b)
{
	return b->p;
}

void step_basis_free(struct step_basis *b)
{
	if (!b)
		return;
	arena_release(&b->arena);
	free(b);
}

/* The block of m in the part's bases: its diagonal into d, its energy returned. */
static double block(const struct part_basis *p, const struct submatrix *m, double *d)
{
	double energy = 0, t[HALF * MATRIX_MAX];
	matrix_ab(p->u, m->v, p->h, p->r, p->c, t);
	for (size_t i = 0; i < p->h; i++)
		for (size_t k = 0; k < p->h; k++) {
			double s = lanes_dot_double(t + i * p->c, p->v + k * p->c, p->c);
			energy += s * s;
			if (k == i)
				d[i] = s;
		}
	return energy;
}

static double log_sum(double a, double b)
{
	return a > b ? a + log1p(exp(b - a)) : b + log1p(exp(a - b));
}

/* Two cosines of a step: in the lower half of x's spectrum, and over everything. */
struct cosines { double low, all; };

/* How they are spread over the measured lakes (docs/lineage.md): means, deviations and correlation. */
struct spread { struct cosines mean, sd; double corr; };

static const struct spread
	below_other = {{0.02, 0.01}, {0.052, 0.20}, 0.8},	/* trained on other data than x */
	below_same = {{0.30, 0.52}, {0.10, 0.15}, 0.3},		/* on the same */
	below_run = {{0.20, 0.20}, {0.09, 0.10}, 0.4},		/* the next checkpoint of a run */
	beside_other = {{0.10, 0.32}, {0.071, 0.22}, 0.85},
	beside_same = {{0.49, 0.82}, {0.14, 0.10}, 0.5};

/* Log density of x; var: of the measurement of x.low. The tail is heavy. */
static double log_density(const struct cosines *x, const struct spread *s, double var)
{
	double vl = s->sd.low * s->sd.low + var, va = s->sd.all * s->sd.all, cov = s->corr * s->sd.low * s->sd.all;
	double det = vl * va - cov * cov, u = x->low - s->mean.low, v = x->all - s->mean.all;
	return log_sum(-0.5 * (u * u * va - 2 * u * v * cov + v * v * vl) / det - 0.5 * log(det), -4);
}

/* Log odds that y is below x. The coefficients give one cosine under each hypothesis: of y's own step y - x with x -
 * p (0 with other data), or of two siblings' steps y - p and x - p (their common drift, larger over everything than
 * in the lower half). all: lengths of y - x and y - p over everything; made: x was made of several models, of one of
 * which y may be a child; then any share is likely. */
struct lengths { double onward, ratio; };

static double odds_of(const struct between *b, struct lengths all, bool made, bool tokens)
{
	double places = 1 / (double)b->block, e2 = b->error * b->error;
	struct cosines onward = {(b->share - 1) / b->onward, b->along};
	struct cosines siblings = {b->share / b->ratio, (1 + b->along * all.onward) / all.ratio};
	double units = log(b->ratio * all.ratio) - log(b->onward * all.onward);
	double vo = e2 / (b->onward * b->onward) + places, vs = e2 / (b->ratio * b->ratio) + places;
	if (!tokens) {	/* no language whose drift runs would share: siblings' cosine is 0 to a tenth */
		double odds = 2.9 * siblings.low / sqrt(vs + 0.01) - 8.2;
		return made ? fmin(odds, 4) : odds;
	}
	double below = log_sum(log(0.86) + log_density(&onward, &below_other, vo),
			       log(0.10) + log_density(&onward, &below_same, vo));
	below = log_sum(below, log(0.04) + log_density(&onward, &below_run, vo));
	double beside = log_sum(log(0.9) + log_density(&siblings, &beside_other, vs),
				log(0.1) + log_density(&siblings, &beside_same, vs));
	if (made)
		return units + below - log_sum(beside, 1);
	/* what the densities leave: all of x's own is in its descendants; a larger step along its drift has more */
	return units + below - beside - 34 * fmax(1 - b->share - b->allowance, 0) - 3.8 * fmax(b->share - 1.5, 0) -
	       5 * b->along;
}

/* Sums over the blocks, and the coefficients of y - p relative to those of x - p. */
struct coefficients { double each[PARTS * HALF], own, step, onward; size_t n, block; };

static bool take_coefficients(const struct fam *f, const struct step_basis *b, uint32_t y, const bool *fresh,
			      struct coefficients *o)
{
	cleanup_free struct submatrix *m = mem_alloc(sizeof *m);
	for (size_t k = 0; m && k < b->n; k++) {
		const struct part_basis *p = &b->part[k];
		const struct slot *s = &f->v.slot[p->slot];
		const float *py = fam_x(f, y, p->slot);
		double d[HALF], scale = 1 / (s->rms * s->rms);
		if (!py || fresh[p->slot])
			continue;
		submatrix_square(m, py, fam_x(f, b->p, p->slot), s->nr, s->nc, b->side, p->which);
		double energy = block(p, m, d), gone = energy;
		o->block += p->h * p->h;
		for (size_t i = 0; i < p->h; i++) {
			o->own += p->s[i] * p->s[i] * scale;
			/* |y - x|^2 in the block: x - p is diagonal there */
			gone += p->s[i] * p->s[i] - 2 * p->s[i] * d[i];
			if (p->s[i] > 1e-6 * p->s[p->h - 1] && p->s[i] > 0)
				o->each[o->n++] = d[i] / p->s[i];
		}
		o->step += energy * scale;
		o->onward += fmax(gone, 0) * scale;
	}
	return o->n >= 8 && o->own > 0;
}

struct between step_between(const struct fam *f, const struct step_basis *b, uint32_t y, uint32_t near)
{
	struct between out = {0};
	struct coefficients o = {0};
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	if (!fresh)
		return out;
	fam_fresh(f, near, y, fresh);
	if (!take_coefficients(f, b, y, fresh, &o))
		return out;
	out.values = o.n;
	out.block = o.block;
	out.share = median_of(o.each, o.n);
	for (size_t i = 0; i < o.n; i++)
		o.each[i] = fabs(o.each[i] - out.share);
	out.error = 1.25 * 1.4826 * median_of(o.each, o.n) / sqrt((double)o.n);
	out.ratio = sqrt(o.step / o.own);
	out.onward = fmax(sqrt(o.onward / o.own), 1e-3);
	struct lengths all;
	out.along = pair_step_cosine(f, b->p, b->x, b->x, y, fresh, &all.onward);
	all.onward = fmax(all.onward, 1e-3);
	all.ratio = sqrt(fmax(1 + all.onward * all.onward + 2 * out.along * all.onward, 1e-6));
	out.allowance = f->large ? 2 * out.error : 0;
	out.odds = odds_of(&out, all, f->node[b->x].state != NODE_TRUNK, f->head_slot != SIZE_MAX);
	out.odds += frozen_odds(f, b->p, b->x, y);
	return out;
}
