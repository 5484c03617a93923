/* Aligned walks over two signatures, and kinship. */
#include "core/analysis/pair.h"

#include "core/analysis/renamed.h"

#include <math.h>
#include <string.h>

enum { CONSTANTS = 2 };	/* equal matrices that may be no kinship */

enum { STRIP = 32 };

void pair_init(struct pair *p, const struct signature *a, const struct signature *b)
{
	*p = (struct pair){.a = a, .b = b};
}

void pair_release(struct pair *p)
{
	free(p->buf);
	p->buf = NULL;
}

static int cmp_place(const struct sigpart *a, const struct sigpart *b)
{
	if (a->role_hash != b->role_hash)
		return a->role_hash < b->role_hash ? -1 : 1;
	if (a->layer != b->layer)
		return a->layer < b->layer ? -1 : 1;
	return (a->expert > b->expert) - (a->expert < b->expert);
}

/* Positions (in their own lists) of the indices that both have. */
static uint32_t common(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m, uint32_t *ia, uint32_t *ib)
{
	uint32_t k = 0;
	for (uint32_t i = 0, j = 0; i < n && j < m;) {
		if (a[i] == b[j]) {
			ia[k] = i++;
			ib[k++] = j++;
		} else if (a[i] < b[j]) {
			i++;
		} else {
			j++;
		}
	}
	return k;
}

static void copy_grid(const struct sigpart *p, const uint32_t *ri, uint32_t nr, const uint32_t *ci, uint32_t nc,
		      float *out)
{
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t j = 0; j < nc; j++)
			out[(size_t)i * nc + j] = p->v[(size_t)ri[i] * p->nc + ci[j]];
}

/* Fill x, y with what both have; false when that is nothing. */
static bool align(struct pair *p)
{
	const struct sigpart *a = p->pa, *b = p->pb;
	if (a->grid == b->grid) {
		p->nr = a->nr;
		p->nc = a->nc;
		p->n = (size_t)a->nr * a->nc;
		p->x = a->v;
		p->y = b->v;
		return p->n > 0;
	}
	size_t lists = 2 * ((size_t)MIN(a->nr, b->nr) + MIN(a->nc, b->nc));
	cleanup_free uint32_t *idx = mem_array(lists, sizeof *idx);
	if (!idx) {
		p->failed = true;
		return false;
	}
	uint32_t *ra = idx, *rb = ra + MIN(a->nr, b->nr), *ca = rb + MIN(a->nr, b->nr), *cb = ca + MIN(a->nc, b->nc);
	p->nr = common(a->row, a->nr, b->row, b->nr, ra, rb);
	p->nc = common(a->col, a->nc, b->col, b->nc, ca, cb);
	p->n = (size_t)p->nr * p->nc;
	if (!p->n)
		return false;
	if (mem_grow(&p->buf, &p->cap, 2 * p->n)) {
		p->failed = true;
		return false;
	}
	copy_grid(a, ra, p->nr, ca, p->nc, p->buf);
	copy_grid(b, rb, p->nr, cb, p->nc, p->buf + p->n);
	p->x = p->buf;
	p->y = p->buf + p->n;
	return true;
}

bool pair_next(struct pair *p)
{
	while (p->i < p->a->n_parts && p->j < p->b->n_parts && !p->failed) {
		int c = cmp_place(&p->a->parts[p->i], &p->b->parts[p->j]);
		if (c < 0) {
			p->i++;
		} else if (c > 0) {
			p->j++;
		} else {
			p->pa = &p->a->parts[p->i++];
			p->pb = &p->b->parts[p->j++];
			if (align(p))
				return true;
		}
	}
	return false;
}

/* Up to STRIP columns from j on: sums of products about the columns' means. */
static void add_strip(const float *x, const float *y, uint32_t nr, uint32_t nc, uint32_t j, uint32_t n, double *sum)
{
	double mx[STRIP] = {0}, my[STRIP] = {0}, xy[STRIP] = {0}, xx[STRIP] = {0}, yy[STRIP] = {0};
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < n; k++) {
			mx[k] += x[(size_t)i * nc + j + k];
			my[k] += y[(size_t)i * nc + j + k];
		}
	for (uint32_t k = 0; k < n; k++) {
		mx[k] /= nr;
		my[k] /= nr;
	}
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t k = 0; k < n; k++) {
			double a = x[(size_t)i * nc + j + k] - mx[k], b = y[(size_t)i * nc + j + k] - my[k];
			xy[k] += a * b;
			xx[k] += a * a;
			yy[k] += b * b;
		}
	for (uint32_t k = 0; k < n; k++) {
		sum[0] += xy[k];
		sum[1] += xx[k];
		sum[2] += yy[k];
	}
}

double grid_cosine(const float *x, const float *y, uint32_t nr, uint32_t nc)
{
	double sum[3] = {0};
	for (uint32_t j = 0; j < nc; j += STRIP)
		add_strip(x, y, nr, nc, j, MIN(nc - j, (uint32_t)STRIP), sum);
	double c = sum[0] / sqrt(sum[1] * sum[2]);
	return isfinite(c) ? c : 0;
}

static bool few_values(const struct sigpart *p)
{
	float seen[8];
	size_t k = 0, n = (size_t)p->nr * p->nc;
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;
		while (j < k && seen[j] != p->v[i])
			j++;
		if (j < k)
			continue;
		if (k == COUNT(seen))
			return false;
		seen[k++] = p->v[i];
	}
	return true;
}

/* Is the value in grid row r, grid column j the sine or cosine of row * 10000^(-2i/d), in pairs (layout 0) or in halves? */
static bool on_wave(const struct sigpart *p, uint32_t r, uint32_t j, int layout)
{
	static const double half_pi = 1.57079632679489662;
	uint64_t half = p->cols / 2, c = p->col[j], i = layout ? c % half : c / 2;
	double v = p->v[(size_t)r * p->nc + j], pos = p->row[r], divisor[] = {(double)half, (double)half - 1};
	for (int k = 0; k <= layout; k++) {
		double w = pos * pow(10000, -(double)i / divisor[k]);
		if (fabs(v - sin(w)) < 2e-2 || fabs(v - sin(w + half_pi)) < 2e-2)
			return true;
	}
	return false;
}

/* A table of sines, with either order of the halves: nine values in ten. Of a few, spread over the grid, half at least: what is no
 * table is told by these. */
static bool sinusoid(const struct sigpart *p)
{
	enum { FEW = 32 };
	size_t all = (size_t)p->nr * p->nc, limit = all / 10;
	for (int layout = 0; layout < 2 && p->cols / 2 > 1; layout++) {
		size_t bad = 0, missed = 0;
		for (size_t k = 0; k < FEW && missed <= FEW / 2; k++) {
			size_t at = hash_mix(k) % all;
			missed += !on_wave(p, (uint32_t)(at / p->nc), (uint32_t)(at % p->nc), layout);
		}
		if (missed > FEW / 2)
			continue;
		for (uint32_t j = 0; j < p->nc && bad <= limit; j++)
			for (uint32_t r = 0; r < p->nr && bad <= limit; r++)
				bad += !on_wave(p, r, j, layout);
		if (bad <= limit)
			return true;
	}
	return false;
}

bool part_is_table(const struct sigpart *p)
{
	return p->nr < 2 || p->nc < 2 || few_values(p) || sinusoid(p);
}

static bool all_equal(const struct pair *p)
{
	return !memcmp(p->x, p->y, p->n * sizeof *p->x);
}

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Does this place say anything of kinship? */
static bool telling(const struct pair *p)
{
	return p->nr >= 2 && p->nc >= 2 && p->n >= 64 && part_is_telling(p->pa) && part_is_telling(p->pb);
}

/* What a walk over a pair finds. */
struct found {
	double *cosines;
	double size, equal;		/* elements of the parts, and of those that are equal */
	double z, cosine;		/* the best of the equal ones */
	const struct sigpart *best;
};

static void add_part(struct kinship *k, struct found *f, const struct pair *p)
{
	const struct sigpart *a = p->pa, *b = p->pb;
	if (!telling(p) || part_is_table(a) || part_is_table(b))
		return;
	double c = grid_cosine(p->x, p->y, p->nr, p->nc), z = c * sqrt((double)p->n),
	       size = (double)a->rows * (double)a->cols;
	f->cosines[k->parts++] = c;
	f->size += size;
	if (all_equal(p)) {
		k->equal++;
		f->equal += size;
		if (!f->best || z > f->z) {
			f->best = a;
			f->z = z;
			f->cosine = c;
		}
		return;
	}
	bool rows = a->sorted_rows && a->sorted_rows == b->sorted_rows,
	     cols = a->sorted_cols && a->sorted_cols == b->sorted_cols;
	k->permuted += a->rows == b->rows && a->cols == b->cols &&
		       ((a->sorted_all && a->sorted_all == b->sorted_all) || rows || cols);
	if (!k->best || z > k->z) {
		k->best = a;
		k->z = z;
		k->cosine = c;
	}
}

/* Equal parts decide, unless they are few and small and all others, two at least, have nothing in common. */
static void weigh_equal(struct kinship *k, const struct found *f)
{
	size_t others = k->parts - k->equal;
	bool alone = others >= 2 && k->equal <= CONSTANTS && 2 * f->equal < f->size;
	if (alone && !kinship_holds(k)) {
		k->constants = k->equal;
	} else if (f->best && (!k->best || f->z > k->z)) {
		k->best = f->best;
		k->z = f->z;
		k->cosine = f->cosine;
	}
}

int kinship_of(struct kinship *k, const struct signature *a, const struct signature *b, struct err *e)
{
	*k = (struct kinship){0};
	cleanup_free double *cosines = mem_array(MIN(a->n_parts, b->n_parts) + 1, sizeof *cosines);
	if (!cosines)
		return err_nomem(e);
	struct found f = {.cosines = cosines};
	struct pair p;
	pair_init(&p, a, b);
	while (pair_next(&p))
		add_part(k, &f, &p);
	pair_release(&p);
	if (p.failed)
		return err_nomem(e);
	weigh_equal(k, &f);
	if (k->parts) {
		qsort(cosines, k->parts, sizeof *cosines, cmp_double);
		k->median = cosines[k->parts / 2];
	}
	return 0;
}

bool kinship_holds(const struct kinship *k)
{
	return (k->z > KIN_Z && k->cosine > KIN_COSINE) || k->permuted > 0;
}
