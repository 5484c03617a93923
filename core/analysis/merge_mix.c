/* The values that merges are looked for in: a sample of the matrices that the candidates share, and their Gram matrix. */
#include "core/analysis/merge.h"

#include "core/analysis/lanes.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Slots that most of who[0..n) have, then those of them that have all of these. */
static int choose_slots(const struct fam *f, const uint32_t *who, size_t n, struct mix *x)
{
	size_t all = n;
	x->slot = arena_array(&x->arena, f->v.slots + 1, sizeof *x->slot);
	x->who = arena_array(&x->arena, n + 1, sizeof *x->who);
	if (!x->slot || !x->who)
		return -ENOMEM;
	for (size_t i = 0; i < f->v.slots; i++) {
		size_t have = 0;
		for (size_t k = 0; k < n; k++)
			have += fam_x(f, who[k], i) != NULL;
		if (fam_matrix(f, i) && have * 5 >= all * 4)
			x->slot[x->n_slots++] = (uint32_t)i;
	}
	for (size_t i = 0; i < n; i++) {
		size_t have = 0;
		for (size_t k = 0; k < x->n_slots; k++)
			have += fam_x(f, who[i], x->slot[k]) != NULL;
		if (x->n_slots && have == x->n_slots)
			x->who[x->n++] = who[i];
	}
	return 0;
}

static int fill(const struct fam *f, struct mix *x)
{
	size_t total = 0;
	for (size_t k = 0; k < x->n_slots; k++)
		total += f->v.slot[x->slot[k]].n;
	size_t step = total / MERGE_SAMPLE + 1;
	x->len = (total + step - 1) / step;
	x->x = arena_array(&x->arena, x->n * x->len + 1, sizeof *x->x);
	x->ulp = arena_array(&x->arena, x->n * x->len + 1, sizeof *x->ulp);
	if (!x->x || !x->ulp)
		return -ENOMEM;
	struct ulp_table ulp = {0};
	for (size_t i = 0; i < x->n; i++) {
		size_t at = 0, k0 = 0;
		for (size_t k = 0; k < x->n_slots; k++) {
			size_t s = x->slot[k], n = f->v.slot[s].n;
			const float *v = fam_x(f, x->who[i], s);
			ulp_table(&ulp, (enum dtype)fam_part(f, x->who[i], s)->dtype);
			size_t j = (step - k0 % step) % step;
			for (; j < n; j += step, at++) {
				x->x[i * x->len + at] = v[j];
				x->ulp[i * x->len + at] = ulp_of(&ulp, v[j]);
			}
			k0 += n;
		}
	}
	return 0;
}

/* All distances, and a typical one to the nearest other model: steps above the rounding are those it can be seen in. */
static double spread(struct mix *x)
{
	double sum = 0;
	for (size_t a = 0; a < x->n; a++)
		for (size_t b = 0; b < a; b++)
			x->distance2[a * x->n + b] = x->distance2[b * x->n + a] =
				lanes_distance2(x->x + a * x->len, x->x + b * x->len, x->len);
	for (size_t a = 0; a < x->n; a++) {
		double least = INFINITY;
		for (size_t b = 0; b < x->n; b++) {
			double d = b == a ? INFINITY : mix_distance2(x, a, b);
			least = d > 0 && d < least ? d : least;
		}
		sum += isfinite(least) ? sqrt(least / (double)x->len) : 0;
	}
	return sum / (double)x->n;
}

enum { BLOCK = 256 };

/* One block of values k0 … k0 + len of all models: differences from the first model into z, 0 where a
 * rounding is above the limit. */
static size_t take_block(struct mix *x, size_t k0, size_t len, double limit, double *z)
{
	float top[BLOCK] = {0};
	double weight[BLOCK];
	size_t used = 0;
	for (size_t i = 0; i < x->n; i++)
		for (size_t k = 0; k < len; k++) {
			float u = x->ulp[i * x->len + k0 + k];
			top[k] = u > top[k] ? u : top[k];
		}
	for (size_t k = 0; k < len; k++) {
		weight[k] = top[k] <= limit;
		used += top[k] <= limit;
	}
	for (size_t i = 0; i < x->n; i++) {
		double floor = 0;
		for (size_t k = 0; k < len; k++) {
			double u = x->ulp[i * x->len + k0 + k];
			z[i * BLOCK + k] = ((double)x->x[i * x->len + k0 + k] - x->x[k0 + k]) * weight[k];
			floor += u * u * weight[k] / 12;
		}
		x->floor[i] += floor;
	}
	return used;
}

static int make_gram(struct mix *x)
{
	size_t n = x->n;
	x->gram = arena_array(&x->arena, n * n + 1, sizeof *x->gram);
	x->distance2 = arena_array(&x->arena, n * n + 1, sizeof *x->distance2);
	x->floor = arena_array(&x->arena, n + 1, sizeof *x->floor);
	cleanup_free double *z = mem_array(n * BLOCK, sizeof *z);
	if (!x->gram || !x->floor || !x->distance2 || !z)
		return -ENOMEM;
	double limit = spread(x) / 2;
	for (int pass = 0; pass < 2 && x->used < 1000; pass++) {	/* too few are that fine: all of them */
		memset(x->gram, 0, n * n * sizeof *x->gram);
		memset(x->floor, 0, n * sizeof *x->floor);
		x->used = 0;
		for (size_t k = 0; k < x->len; k += BLOCK) {
			size_t len = MIN(x->len - k, (size_t)BLOCK);
			x->used += take_block(x, k, len, pass ? INFINITY : limit, z);
			for (size_t i = 1; i < n; i++)
				for (size_t j = 1; j <= i; j++)
					x->gram[i * n + j] += lanes_dot_double(z + i * BLOCK, z + j * BLOCK, len);
		}
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			x->gram[i * n + j] = x->gram[j * n + i];
	return 0;
}

int mix_make(const struct fam *f, const uint32_t *who, size_t n, struct mix *x)
{
	*x = (struct mix){0};
	int rc = choose_slots(f, who, n, x);
	if (!rc && x->n >= 3) {
		rc = fill(f, x);
		rc = rc ? rc : make_gram(x);
	}
	return rc;
}

void mix_release(struct mix *x)
{
	arena_release(&x->arena);
	*x = (struct mix){0};
}
