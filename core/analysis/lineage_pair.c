/* Members against each other: ancestry, and the spectral measures that the tree is made with. */
#include "core/analysis/lineage_pair.h"

#include "core/analysis/lanes.h"
#include "core/analysis/matrix.h"

#include <math.h>
#include <string.h>

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double median_of(double *v, size_t n)
{
	if (!n)
		return NAN;
	qsort(v, n, sizeof *v, cmp_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static bool reaches(const struct fam *f, uint32_t a, uint32_t b, uint8_t *seen)
{
	if (a == b)
		return true;
	if (seen[b])
		return false;
	seen[b] = 1;
	const struct node *n = &f->node[b];
	if (n->parent != UINT32_MAX && reaches(f, a, n->parent, seen))
		return true;
	for (size_t i = 0; i < n->n_merged; i++)
		if (reaches(f, a, n->merged[i], seen))
			return true;
	return false;
}

bool fam_ancestor(const struct fam *f, uint32_t a, uint32_t b)
{
	cleanup_free uint8_t *seen = mem_array(f->n + 1, 1);
	return !seen || reaches(f, a, b, seen);
}

/* Up to SPECTRAL_SLOTS of the tree's slots that both have, evenly. */
size_t spectral_slots(const struct fam *f, uint32_t a, uint32_t b, uint32_t c, const bool *fresh, uint32_t *out)
{
	size_t n = 0, have = 0, most = f->spectral < SPECTRAL_SLOTS ? f->spectral : SPECTRAL_SLOTS;
	for (int pass = 0; pass < 2; pass++) {
		size_t k = 0;
		for (size_t i = 0; i < f->n_tree; i++) {
			uint32_t s = f->tree_slot[i];
			if (!fam_x(f, a, s) || !fam_x(f, b, s) || !fam_x(f, c, s) || (fresh && fresh[s]))
				continue;
			bool take = have <= most || k * most / have != (k + 1) * most / have;
			if (pass && take && n < most)
				out[n++] = s;
			k++;
		}
		have = k;
	}
	return n;
}

static const double LORA_GAP = 3;

/* A gap anywhere but among the smallest, where noise has them too. */
static bool has_gap(const double *w, size_t r)
{
	for (size_t k = r / 4; k + 1 < r; k++)
		if (w[k + 1] > LORA_GAP * LORA_GAP * fmax(w[k], 1e-300))
			return true;
	return false;
}

double pair_b50(const struct fam *f, uint32_t a, uint32_t b, size_t side, bool *full_rank)
{
	uint32_t slot[SPECTRAL_SLOTS];
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	if (!fresh)
		return NAN;
	size_t anew = fam_fresh(f, a, b, fresh), n = spectral_slots(f, a, b, a, fresh, slot), used = 0;
	cleanup_free struct submatrix *m = mem_realloc(NULL, (n + 1) * sizeof *m);
	if (!m)
		return NAN;
	double sum = 0, most = 0, w[SPECTRAL_SLOTS][MATRIX_MAX];
	bool ok[SPECTRAL_SLOTS], gap = false;
	for (size_t k = 0; k < n; k++)
		submatrix_difference(&m[k], fam_x(f, a, slot[k]), fam_x(f, b, slot[k]), f->v.slot[slot[k]].nr,
				     f->v.slot[slot[k]].nc, side);
	submatrix_spectra(m, n, w, ok);
	for (size_t k = 0; k < n; k++) {
		const struct slot *s = &f->v.slot[slot[k]];
		double low = 0;
		if (!ok[k])
			continue;
		size_t half = (m[k].r + 1) / 2;
		for (size_t i = 0; i < half; i++)
			low += fmax(w[k][i], 0);
		double d = low / (s->rms * s->rms * (double)(m[k].r * m[k].c));
		gap |= has_gap(w[k], m[k].r);
		sum += d;
		most = fmax(most, d);
		used++;
	}
	if (full_rank)
		*full_rank = used > 0 && !gap;
	if (!used)
		return NAN;
	return (sum + (double)anew * most) / (double)(used + anew) * (1 + (double)anew);
}

/* Cosine of two steps over the tree's slots; of all of it. */
double pair_step_cosine(const struct fam *f, uint32_t p, uint32_t x, uint32_t q, uint32_t y, const bool *without,
			double *ratio)
{
	double xy = 0, xx = 0, yy = 0;
	for (size_t k = 0; k < f->n_tree; k++) {
		uint32_t s = f->tree_slot[k];
		const float *a = fam_x(f, p, s), *b = fam_x(f, x, s), *c = fam_x(f, q, s), *d = fam_x(f, y, s);
		if (!a || !b || !c || !d || without[s])
			continue;
		double w = 1 / (f->v.slot[s].rms * f->v.slot[s].rms);
		struct lanes_steps l = lanes_steps(a, b, c, d, f->v.slot[s].n);
		xy += w * l.uv;
		xx += w * l.uu;
		yy += w * l.vv;
	}
	double c = xy / sqrt(xx * yy);
	*ratio = xx > 0 ? sqrt(yy / xx) : 0;
	return isfinite(c) ? c : 0;
}

double pair_l2(const struct fam *f, uint32_t a, uint32_t b)
{
	double d2 = 0;
	size_t n = 0;
	for (size_t k = 0; k < f->n_tree; k++) {
		uint32_t s = f->tree_slot[k];
		const float *x = fam_x(f, a, s), *y = fam_x(f, b, s);
		if (!x || !y)
			continue;
		double w = 1 / (f->v.slot[s].rms * f->v.slot[s].rms);
		d2 += w * lanes_distance2(x, y, f->v.slot[s].n);
		n += f->v.slot[s].n;
	}
	return n ? sqrt(d2 / (double)n) : 1;
}

/* Of the singular values squared of one slot's update, ascending: where the largest gap lies. */
struct gap { double gap, energy; uint32_t rank; };

static struct gap largest_gap(const double *w, size_t r, double sum)
{
	struct gap g = {0};
	double top = 0;
	for (size_t k = 1; k <= r / 2; k++) {
		double hi = sqrt(fmax(w[r - k], 0)), lo = sqrt(fmax(w[r - k - 1], 1e-300));
		if (hi / lo > g.gap) {
			g.gap = hi / lo;
			g.rank = (uint32_t)k;
		}
	}
	for (size_t i = 0; i < g.rank; i++)
		top += w[r - 1 - i];
	g.gap = fmin(g.gap, 1e6);
	g.energy = top / sum;
	return g;
}

/* Differences of up to two more slots that changed, from tree slot *k on. */
static size_t next_changed(const struct fam *f, uint32_t parent, uint32_t child, size_t side, size_t *k, size_t most,
			   struct submatrix *m, struct update *u)
{
	size_t n = 0;
	for (; *k < f->n_tree && n < 2 && n < most; ++*k) {
		uint32_t s = f->tree_slot[*k];
		const struct slot *sl = &f->v.slot[s];
		const float *x = fam_x(f, child, s), *y = fam_x(f, parent, s);
		if (!x || !y)
			continue;
		if (!memcmp(x, y, sl->n * sizeof *x))
			u->kept++;
		else
			submatrix_difference(&m[n++], x, y, sl->nr, sl->nc, side);
	}
	return n;
}

struct update update_of(const struct fam *f, uint32_t parent, uint32_t child, size_t side)
{
	struct update u = {0};
	cleanup_free struct submatrix *m = mem_realloc(NULL, 2 * sizeof *m);
	cleanup_free double *gap = mem_array(f->v.slots + 1, sizeof *gap),
			    *energy = mem_array(f->v.slots + 1, sizeof *energy);
	cleanup_free uint32_t *rank = mem_array(f->v.slots + 1, sizeof *rank);
	if (!m || !gap || !energy || !rank)
		return u;
	size_t n = 0, low = 0, most = MIN(f->n_tree, f->spectral), k = 0, two;
	for (size_t done = 0; (two = next_changed(f, parent, child, side, &k, f->spectral - done, m, &u)) > 0;
	     done += two) {
		double w[2][MATRIX_MAX];
		bool ok[2];
		if (low > most / 2)		/* the median gap is below what a low rank needs, whatever follows */
			return u;
		submatrix_spectra(m, two, w, ok);
		for (size_t i = 0; i < two; i++) {
			double sum = 0;
			for (size_t j = 0; j < m[i].r && ok[i]; j++)
				sum += fmax(w[i][j], 0);
			if (m[i].r < 8 || !ok[i])
				continue;
			if (!(sum > 0)) {
				u.kept++;
				continue;
			}
			struct gap g = largest_gap(w[i], m[i].r, sum);
			gap[n] = g.gap;
			energy[n] = g.energy;
			rank[n++] = g.rank;
			low += g.gap < LORA_GAP;
		}
	}
	u.changed = n;
	for (size_t i = 0; i < n; i++) {
		size_t same = 0;
		for (size_t j = 0; j < n; j++)
			same += rank[j] == rank[i];
		if ((double)same / (double)n > u.agree) {
			u.agree = (double)same / (double)n;
			u.rank = rank[i];
		}
	}
	u.gap = median_of(gap, n);
	u.energy = median_of(energy, n);
	u.low_rank = n > 0 && u.gap >= LORA_GAP && u.energy > 0.8 && u.agree > 0.6;
	return u;
}
