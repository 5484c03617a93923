/* Betweenness: bases of steps, and the odds that a model lies below one. */
#include "core/analysis/between.h"

#include "core/analysis/lineage_pair.h"
#include "core/analysis/matrix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HALF = MATRIX_MAX / 2 };

struct part_basis {
	uint32_t slot;
	size_t h, r, c;
	double s[HALF];		/* singular values of x - p */
	double *u, *v;		/* h x r, h x c */
};

struct step_basis {
	struct arena arena;
	uint32_t p, x;
	size_t side, n;
	struct part_basis part[SPECTRAL_SLOTS];
};

/* The part of the spectrum with x's own: the lower half, or, when nearly nothing is there, the few values above the gap. */
static size_t choose_part(const double *w, size_t r, size_t *from)
{
	double low = 0, all = 0;
	size_t half = r - r / 2;
	for (size_t i = 0; i < r; i++) {
		all += fmax(w[i], 0);
		low += i < half ? fmax(w[i], 0) : 0;
	}
	*from = 0;
	if (low > 2e-3 * all)
		return half;
	size_t k = 0;
	while (k < half && w[r - 1 - k] > 1e-2 * w[r - 1])
		k++;
	*from = r - k;
	return k;
}

static bool make_part(struct step_basis *b, struct part_basis *p, const struct fam *f, uint32_t slot, struct submatrix *m)
{
	const struct slot *s = &f->v.slot[slot];
	double g[MATRIX_MAX * MATRIX_MAX], w[MATRIX_MAX];
	size_t from;
	submatrix_difference(m, fam_x(f, b->x, slot), fam_x(f, b->p, slot), s->nr, s->nc, b->side);
	matrix_abt(m->v, m->v, m->r, m->c, g);
	if (!matrix_eigen(g, m->r, w, true) || !(w[m->r - 1] > 0))
		return false;
	*p = (struct part_basis){.slot = slot, .r = m->r, .c = m->c};
	p->h = choose_part(w, m->r, &from);
	p->u = arena_array(&b->arena, p->h * m->r + 1, sizeof *p->u);
	p->v = arena_array(&b->arena, p->h * m->c + 1, sizeof *p->v);
	if (!p->u || !p->v)
		return false;
	for (size_t i = 0; i < p->h; i++) {
		p->s[i] = sqrt(fmax(w[from + i], 0));
		for (size_t q = 0; q < m->r; q++) {
			p->u[i * m->r + q] = g[q * m->r + from + i];
			for (size_t t = 0; t < m->c; t++)
				p->v[i * m->c + t] += p->u[i * m->r + q] * m->v[q * m->c + t];
		}
		for (size_t t = 0; t < m->c && p->s[i] > 0; t++)
			p->v[i * m->c + t] /= p->s[i];
	}
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
	for (size_t i = 0; i < n; i++)
		b->n += make_part(b, &b->part[b->n], f, slot[i], m);
	return b;
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
	double energy = 0;
	for (size_t i = 0; i < p->h; i++) {
		double t[MATRIX_MAX] = {0};
		for (size_t q = 0; q < p->r; q++)
			for (size_t j = 0; j < p->c; j++)
				t[j] += p->u[i * p->r + q] * m->v[q * p->c + j];
		for (size_t k = 0; k < p->h; k++) {
			double s = 0;
			for (size_t j = 0; j < p->c; j++)
				s += t[j] * p->v[k * p->c + j];
			energy += s * s;
			if (k == i)
				d[i] = s;
		}
	}
	return energy;
}

static double log_normal(double x, double mean, double sd)
{
	double z = (x - mean) / sd;
	return -0.5 * z * z - log(sd);
}

static double log_sum(double a, double b)
{
	return a > b ? a + log1p(exp(b - a)) : b + log1p(exp(a - b));
}

/* Log odds from the mixture that the measured lakes show (docs/lineage.md): other data or the same, below or beside. */
static double odds_of(const struct between *b)
{
	double e = 1.5 * b->error, r = b->ratio, o = b->onward;
	bool same = b->same;
	double below = log_sum(log(same ? 0.01 : 0.8) + log_normal(b->share, 1, hypot(0.035, e)),
			       log(same ? 0.99 : 0.2) + log_normal(b->share, 1 + 0.25 * o, hypot(0.1 * o + 0.03, e)));
	double beside = log_sum(log(same ? 0.3 : 0.85) + log_normal(b->share, 0.05 * r, hypot(0.06 * r + 0.05, b->error)),
				log(same ? 0.7 : 0.15) + log_normal(b->share, 0.62 * r, hypot(0.16 * r + 0.03, b->error)));
	/* the same by energy, where the median is misled by few or heavy-tailed coefficients: (1 + ratio^2 - onward^2) / 2 */
	double energy = (1 + r * r - o * o) / 2 + 2 * o / sqrt((double)b->block);
	double odds = below - beside;
	if (b->error > 0.5)	/* nothing of x's own was seen */
		odds = fmin(odds, 0.3);
	return energy < 0.4 ? fmin(odds, -3) : odds;
}

struct between step_between(const struct fam *f, const struct step_basis *b, uint32_t y)
{
	struct between out = {0};
	double each[SPECTRAL_SLOTS * HALF], dev[SPECTRAL_SLOTS * HALF], own = 0, step = 0, onward = 0;
	cleanup_free struct submatrix *m = mem_alloc(sizeof *m);
	for (size_t k = 0; m && k < b->n; k++) {
		const struct part_basis *p = &b->part[k];
		const struct slot *s = &f->v.slot[p->slot];
		const float *py = fam_x(f, y, p->slot);
		double d[HALF], scale = 1 / (s->rms * s->rms);
		if (!py)
			continue;
		submatrix_difference(m, py, fam_x(f, b->p, p->slot), s->nr, s->nc, b->side);
		double energy = block(p, m, d), gone = energy;
		out.block += p->h * p->h;
		for (size_t i = 0; i < p->h; i++) {
			own += p->s[i] * p->s[i] * scale;
			gone += p->s[i] * p->s[i] - 2 * p->s[i] * d[i];	/* |y - x|^2 in the block: x - p is diagonal there */
			if (p->s[i] > 1e-6 * p->s[p->h - 1] && p->s[i] > 0)
				each[out.values++] = d[i] / p->s[i];
		}
		step += energy * scale;
		onward += fmax(gone, 0) * scale;
	}
	if (out.values < 8 || !(own > 0)) {
		out.values = 0;
		return out;
	}
	out.share = median_of(each, out.values);
	for (size_t i = 0; i < out.values; i++)
		dev[i] = fabs(each[i] - out.share);
	out.error = 1.25 * 1.4826 * median_of(dev, out.values) / sqrt((double)out.values);
	out.ratio = sqrt(step / own);
	out.onward = sqrt(onward / own);
	out.along = pair_step_cosine(f, b->p, b->x, b->x, y);
	out.same = out.along > 0.18;
	out.odds = odds_of(&out);
	return out;
}
