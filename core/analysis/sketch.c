/*
 * The 1 KiB sketch: a count sketch (Charikar, Chen, Farach-Colton 2002) of the smallest nested sample of each matrix,
 * so that the dot of two sketches estimates the cosine of the models' samples, whatever their budgets.
 */
#include "core/analysis/sketch.h"

#include "core/analysis/pair.h"
#include "core/analysis/renamed.h"
#include "core/analysis/sample.h"

#include <math.h>
#include <string.h>

enum { SKETCH_GRID = 24 };

/* Vectors (norms, biases, statistics) look alike in unrelated models; an adapter's A is its random start. */
static bool sketched(const struct sigpart *p)
{
	if (p->nc < 2 || p->nr < 2 || (p->flags & (SIGPART_INTEGER | SIGPART_VECTOR)))
		return false;
	return canon_factor(p->role) != 'a' && strcmp(p->role, "embed.pos") && strcmp(p->role, "embed.type");
}

static int block_of(const struct sigpart *p, uint32_t layers)
{
	if (p->layer < 0)
		return 0;
	if (p->layer == 0)
		return 1;
	return (uint32_t)p->layer + 1 == layers ? 3 : 2;
}

/* Positions of the SKETCH_GRID smallest hashes among the sampled indices; the sample is nested, so the same in any budget. */
static uint32_t choose(uint64_t seed, const uint32_t *index, uint32_t n, uint32_t *out)
{
	uint64_t best[SKETCH_GRID];
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t h = hash_mix(seed ^ hash_mix(index[i]));
		if (k == SKETCH_GRID && h >= best[k - 1])
			continue;
		uint32_t at = k < SKETCH_GRID ? k++ : k - 1;
		for (; at > 0 && best[at - 1] > h; at--) {
			best[at] = best[at - 1];
			out[at] = out[at - 1];
		}
		best[at] = h;
		out[at] = i;
	}
	return k;
}

/* Mean and root mean square about it of the chosen finite values; false when they are constant. */
static bool scale_of(const struct sigpart *p, const uint32_t *ri, uint32_t nr, const uint32_t *ci, uint32_t nc,
		     double *mean, double *rms)
{
	double sum = 0, sq = 0;
	size_t n = 0;
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t j = 0; j < nc; j++) {
			double v = p->v[(size_t)ri[i] * p->nc + ci[j]];
			if (isfinite(v)) {
				sum += v;
				n++;
			}
		}
	*mean = n ? sum / (double)n : 0;
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t j = 0; j < nc; j++) {
			double v = p->v[(size_t)ri[i] * p->nc + ci[j]] - *mean;
			if (isfinite(v))
				sq += v * v;
		}
	*rms = n ? sqrt(sq / (double)n) : 0;
	return n > 1 && *rms > 1e-12 * (1e-30 + fabs(*mean)) && isfinite(*rms) && *rms > 0;
}

static void add_part(double acc[SKETCH_BLOCKS][SKETCH_DIMS], const struct sigpart *p, uint32_t layers)
{
	uint32_t ri[SKETCH_GRID], ci[SKETCH_GRID];
	uint32_t nr = choose(p->role_hash, p->row, p->nr, ri), nc = choose(hash_mix(p->role_hash), p->col, p->nc, ci);
	double mean, rms;
	if (!scale_of(p, ri, nr, ci, nc, &mean, &rms))
		return;
	int block = block_of(p, layers);
	/* the last layer keeps its place when the depth changes */
	uint64_t place = block == 3 ? UINT64_MAX : (uint64_t)(int64_t)p->layer;
	uint64_t seed = hash_mix(p->role_hash ^ hash_mix(place * 1000003u + (uint64_t)(int64_t)p->expert));
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t row = hash_mix(seed ^ p->row[ri[i]]);
		for (uint32_t j = 0; j < nc; j++) {
			double v = (p->v[(size_t)ri[i] * p->nc + ci[j]] - mean) / rms;
			if (!isfinite(v))
				continue;
			v = v > 4 ? 4 : v < -4 ? -4 : v;	/* one huge value must not be the whole sketch */
			uint64_t h = hash_mix(row + p->col[ci[j]]);
			acc[block][(h >> 8) % SKETCH_DIMS] += h & 1 ? v : -v;
		}
	}
}

static uint64_t shape_hash(const struct signature *s)
{
	uint64_t h = s->layers;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		/* rows of a vocabulary may be added without making it another architecture */
		h = hash_mix(h ^ p->role_hash) + p->cols + (sample_is_vocab(p->role) ? 0 : 31 * p->rows);
	}
	return h;
}

static uint64_t invariant_hash(const struct signature *s)
{
	uint64_t h = 0;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		if (!sketched(p))
			continue;
		if (!p->sorted_all)
			return 0;
		h += hash_mix(p->sorted_all ^ p->role_hash);
	}
	return h;
}

/* The smallest hashes of contents: models that share many share some of these (bottom-k, Broder 1997). */
static void add_content(struct sketch *out, const struct sigpart *p)
{
	uint32_t h = (uint32_t)(hash_mix(p->content) >> 32);
	size_t at = SKETCH_CONTENTS;
	if (!p->content || !h || !part_is_telling(p))
		return;
	while (at > 0 && (!out->content[at - 1] || out->content[at - 1] > h))
		at--;
	if (at == SKETCH_CONTENTS || (at > 0 && out->content[at - 1] == h))
		return;
	memmove(out->content + at + 1, out->content + at, (SKETCH_CONTENTS - 1 - at) * sizeof *out->content);
	out->content[at] = h;
}

void sketch_of(struct sketch *out, const struct signature *s)
{
	double acc[SKETCH_BLOCKS][SKETCH_DIMS];
	memset(acc, 0, sizeof acc);
	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < s->n_parts; i++)
		if (sketched(&s->parts[i]) && !part_is_table(&s->parts[i])) {
			add_part(acc, &s->parts[i], s->layers);
			add_content(out, &s->parts[i]);
		}
	for (int b = 0; b < SKETCH_BLOCKS; b++) {
		double top = 0;
		for (int i = 0; i < SKETCH_DIMS; i++)
			if (fabs(acc[b][i]) > top)
				top = fabs(acc[b][i]);
		if (top <= 0)
			continue;
		double sq = 0;
		for (int i = 0; i < SKETCH_DIMS; i++) {
			out->v[b][i] = (int8_t)lrint(acc[b][i] / top * 127);
			sq += (double)out->v[b][i] * out->v[b][i];
		}
		out->scale[b] = (float)(1 / sqrt(sq));
	}
	out->shape = shape_hash(s);
	out->parts = (uint32_t)s->n_parts;
	out->invariant = invariant_hash(s);
}

float sketch_cosine(const struct sketch *a, const struct sketch *b, int block)
{
	int32_t dot = 0;
	for (int i = 0; i < SKETCH_DIMS; i++)
		dot += (int32_t)a->v[block][i] * b->v[block][i];
	return (float)dot * a->scale[block] * b->scale[block];
}

float sketch_z(const struct sketch *a, const struct sketch *b)
{
	float best = -1;
	for (int i = 0; i < SKETCH_BLOCKS; i++)
		if (a->scale[i] > 0 && b->scale[i] > 0) {
			float c = sketch_cosine(a, b, i);
			best = c > best ? c : best;
		}
	return best * sqrtf(SKETCH_DIMS);
}
