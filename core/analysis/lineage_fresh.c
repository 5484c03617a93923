/*
 * Which slots were drawn anew between two members: unlike there while most others are alike. Told by the cosines of at
 * most THIN values a slot, which are kept of each member beside each other; in a family that is not large every pair is
 * looked at once.
 */
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_pair.h"
#include "core/analysis/near.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { THIN = 256 };
enum { ABSENT, CONSTANT_ZERO, DIRECTION };

struct fresh {
	float *v;			/* n x len: each slot's values, scaled to length 1 */
	uint8_t *kind;			/* n x slots */
	uint32_t *at;			/* slots + 1: where each begins */
	size_t len;
	bool **pair;			/* n x n; NULL: none drawn anew */
	bool paired;
};

static size_t thin_step(const struct slot *s) { return s->n / THIN + 1; }

static void thin_out(const struct fam *f, struct fresh *t, uint32_t m, size_t slot)
{
	const float *x = fam_x(f, m, slot);
	size_t n = f->v.slot[slot].n, step = thin_step(&f->v.slot[slot]), k = 0;
	if (!x || !fam_matrix(f, slot))
		return;
	double sq = 0;
	for (size_t i = 0; i < n; i += step)
		sq += (double)x[i] * x[i];
	t->kind[m * f->v.slots + slot] = sq > 0 ? DIRECTION : CONSTANT_ZERO;
	double scale = sq > 0 ? 1 / sqrt(sq) : 0;
	for (size_t i = 0; i < n; i += step)
		t->v[m * t->len + t->at[slot] + k++] = (float)(x[i] * scale);
}

/* NAN where one of the two has nothing. */
static double cosine(const struct fam *f, uint32_t a, uint32_t b, size_t slot)
{
	const struct fresh *t = f->fresh;
	uint8_t ka = t->kind[a * f->v.slots + slot], kb = t->kind[b * f->v.slots + slot];
	if (ka == ABSENT || kb == ABSENT)
		return NAN;
	if (ka == CONSTANT_ZERO || kb == CONSTANT_ZERO)
		return ka == kb;
	uint32_t at = t->at[slot];
	return lanes_dot_float(t->v + a * t->len + at, t->v + b * t->len + at, t->at[slot + 1] - at);
}

/* c: room for two numbers a slot. */
static size_t compare(const struct fam *f, uint32_t a, uint32_t b, double *c, bool *fresh)
{
	size_t n = 0, alike = 0, k = 0;
	double *all = c + f->v.slots;
	for (size_t i = 0; i < f->v.slots; i++) {
		c[i] = cosine(f, a, b, i);
		fresh[i] = c[i] < 0.3;
		k += fresh[i];
		alike += c[i] > 0.6;
		if (!isnan(c[i]))
			all[n++] = c[i];
	}
	if (!k || (alike < n / 2 + 1 && !(median_of(all, n) > 0.6))) {
		memset(fresh, 0, f->v.slots * sizeof *fresh);
		return 0;
	}
	return k;
}

size_t fam_fresh(const struct fam *f, uint32_t a, uint32_t b, bool *fresh)
{
	const struct fresh *t = f->fresh;
	size_t k = 0;
	if (t->paired) {
		const bool *known = t->pair[a * f->n + b];
		for (size_t i = 0; i < f->v.slots; i++)
			k += fresh[i] = known && known[i];
		return k;
	}
	cleanup_free double *c = mem_array(2 * f->v.slots + 1, sizeof *c);
	return c ? compare(f, a, b, c, fresh) : 0;
}

bool fam_any_fresh(const struct fam *f, uint32_t a, uint32_t b)
{
	return !f->fresh->paired || f->fresh->pair[a * f->n + b];
}

static int compare_pairs(struct fam *f)
{
	struct fresh *t = f->fresh;
	t->pair = arena_array(&f->arena, f->n * f->n, sizeof *t->pair);
	cleanup_free double *c = mem_array(2 * f->v.slots + 1, sizeof *c);
	cleanup_free bool *fresh = mem_array(f->v.slots + 1, sizeof *fresh);
	if (!t->pair || !c || !fresh)
		return -ENOMEM;
	for (uint32_t a = 0; a < f->n; a++)
		for (uint32_t b = 0; b < a; b++) {
			if (!compare(f, a, b, c, fresh))
				continue;
			bool *keep = arena_array(&f->arena, f->v.slots, sizeof *keep);
			if (!keep)
				return -ENOMEM;
			memcpy(keep, fresh, f->v.slots * sizeof *keep);
			t->pair[a * f->n + b] = t->pair[b * f->n + a] = keep;
		}
	t->paired = true;
	return 0;
}

int fresh_find(struct fam *f, struct err *e)
{
	(void)e;
	struct fresh *t = f->fresh = arena_array(&f->arena, 1, sizeof *t);
	if (!t || !(t->at = arena_array(&f->arena, f->v.slots + 1, sizeof *t->at)))
		return -ENOMEM;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct slot *s = &f->v.slot[i];
		t->at[i] = (uint32_t)t->len;
		t->len += fam_matrix(f, i) && s->n ? (s->n - 1) / thin_step(s) + 1 : 0;
		t->at[i + 1] = (uint32_t)t->len;
	}
	t->v = arena_array(&f->arena, f->n * t->len + 1, sizeof *t->v);
	t->kind = arena_array(&f->arena, f->n * f->v.slots + 1, sizeof *t->kind);
	if (!t->v || !t->kind)
		return -ENOMEM;
	for (uint32_t m = 0; m < f->n; m++)
		for (size_t i = 0; i < f->v.slots; i++)
			thin_out(f, t, m, i);
	return f->large ? 0 : compare_pairs(f);
}
