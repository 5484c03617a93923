/* Seeded, nested choice of rows and columns. */
#include "core/analysis/sample.h"

#include "core/base/hash.h"

#include <string.h>

struct sample_caps sample_caps(int level)
{
	static const struct sample_caps caps[SAMPLE_LEVELS] = {
		{64, 64, 256, 1024}, {48, 48, 256, 512}, {32, 48, 192, 256}, {32, 32, 128, 128},
		{24, 24, 64, 64}, {16, 16, 32, 32}, {8, 8, 16, 16}, {4, 4, 4, 4},
	};
	return caps[level];
}

uint64_t sample_role_hash(const char *role)
{
	return hash64(role, strlen(role), 1);
}

bool sample_is_vocab(const char *role)
{
	return !strcmp(role, "embed") || !strcmp(role, "head");
}

struct item { uint64_t hash; uint64_t index; };

/* A max-heap of the k smallest seen so far. */
static void sift_down(struct item *h, size_t n, size_t i)
{
	for (;;) {
		size_t c = 2 * i + 1;
		if (c >= n)
			return;
		if (c + 1 < n && h[c + 1].hash > h[c].hash)
			c++;
		if (h[i].hash >= h[c].hash)
			return;
		struct item t = h[i];
		h[i] = h[c];
		h[c] = t;
		i = c;
	}
}

static int by_index(const void *a, const void *b)
{
	uint64_t x = ((const struct item *)a)->index, y = ((const struct item *)b)->index;
	return (x > y) - (x < y);
}

int sample_bottom(uint64_t seed, uint64_t n, uint32_t k, uint64_t *out, struct err *e)
{
	if (n > SAMPLE_UNIVERSE)
		n = SAMPLE_UNIVERSE;
	if (k >= n) {
		for (uint64_t i = 0; i < n; i++)
			out[i] = i;
		return 0;
	}
	if (!k)
		return 0;
	cleanup_free struct item *h = mem_array(k, sizeof *h);
	if (!h)
		return err_nomem(e);
	for (uint32_t i = 0; i < k; i++)
		h[i] = (struct item){hash_mix(seed ^ hash_mix(i)), i};
	for (size_t i = k / 2; i-- > 0;)
		sift_down(h, k, i);
	for (uint64_t i = k; i < n; i++) {
		uint64_t v = hash_mix(seed ^ hash_mix(i));
		if (v < h[0].hash) {
			h[0] = (struct item){v, i};
			sift_down(h, k, 0);
		}
	}
	qsort(h, k, sizeof *h, by_index);
	for (uint32_t i = 0; i < k; i++)
		out[i] = h[i].index;
	return 0;
}

/* Factors of a low-rank update are sampled where their base's matrix is, and alike along the rank, so that their
 * product is known there. */
static uint64_t seed_of(const char *role, bool rows)
{
	char factor = canon_factor(role);
	uint64_t seed = hash64(role, strlen(role) - (factor ? CANON_FACTOR : 0), 1);
	if (factor == (rows ? 'a' : 'b'))
		return ~seed;
	return rows ? seed : hash_mix(seed);
}

static uint64_t universe(uint64_t n)
{
	return MIN(n, (uint64_t)SAMPLE_UNIVERSE);
}

/* Of a vocabulary the last rows are kept too: reserved tokens, the unseen ones, stand there. */
static bool has_tail(const struct part *p, int level)
{
	return sample_is_vocab(p->role) && level < 4 &&
	       universe(p->rows) > sample_caps(level).vocab + (uint64_t)SAMPLE_TAIL;
}

struct sample_size sample_size(const struct part *p, int level)
{
	struct sample_caps c = sample_caps(level);
	uint64_t rows = universe(p->rows), cols = universe(p->cols);
	if (cols == 1)
		return (struct sample_size){(uint32_t)MIN(rows, (uint64_t)c.vector), 1};
	if (rows == 1)
		return (struct sample_size){1, (uint32_t)MIN(cols, (uint64_t)c.vector)};
	if (has_tail(p, level))
		return (struct sample_size){c.vocab + SAMPLE_TAIL, (uint32_t)MIN(cols, (uint64_t)c.cols)};
	uint32_t cap = sample_is_vocab(p->role) ? c.vocab + SAMPLE_TAIL : c.rows;
	uint64_t nr = MIN(rows, (uint64_t)cap), room = (uint64_t)c.rows * c.cols;
	/* a few rows leave room for more columns (first convolutions, classifiers), and the other way round */
	uint64_t want = nr ? room / nr : 0;
	uint64_t nc = MIN(cols, want > c.cols ? want : c.cols);
	want = nc ? room / nc : 0;
	if (!sample_is_vocab(p->role) && want > nr)
		nr = MIN(rows, want);
	return (struct sample_size){(uint32_t)nr, (uint32_t)nc};
}

int sample_rows(const struct part *p, int level, uint64_t *row, struct err *e)
{
	struct sample_size s = sample_size(p, level);
	uint64_t seed = seed_of(p->role, true);
	if (!has_tail(p, level))
		return sample_bottom(seed, p->rows, s.nr, row, e);
	uint64_t body = universe(p->rows) - SAMPLE_TAIL;
	int rc = sample_bottom(seed, body, s.nr - SAMPLE_TAIL, row, e);
	for (uint32_t i = 0; i < SAMPLE_TAIL; i++)
		row[s.nr - SAMPLE_TAIL + i] = body + i;
	return rc;
}

int sample_cols(const struct part *p, int level, uint64_t *col, struct err *e)
{
	return sample_bottom(seed_of(p->role, false), p->cols, sample_size(p, level).nc, col, e);
}
