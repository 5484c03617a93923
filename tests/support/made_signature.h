#ifndef TARN_TEST_MADE_SIGNATURE_H
#define TARN_TEST_MADE_SIGNATURE_H
/* Tests and benchmarks: signatures made in memory, of small transformers whose weights follow from seeds. */
#include "core/analysis/sample.h"
#include "core/analysis/sigblob.h"
#include "core/analysis/sketch.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct made_model {
	uint32_t layers, side;		/* every matrix is side x side; 0 layers: none */
	enum dtype dtype;
};

/* A standard normal from a counter (sum of uniforms: near enough, and cheap). */
static inline float made_normal(uint64_t *state)
{
	uint64_t a = *state = *state * 6364136223846793005u + 1442695040888963407u;
	int32_t s = (int32_t)(a >> 48 & 0xffff) + (int32_t)(a >> 32 & 0xffff) + (int32_t)(a >> 16 & 0xffff) +
		    (int32_t)((a ^ a >> 29) & 0xffff);
	return ((float)s - 131070.0f) / 37837.0f;
}

static inline int made_part(struct signature *s, const char *role, int32_t layer, uint32_t rows, uint32_t cols,
			    enum dtype d)
{
	struct sigpart *p = &s->parts[s->n_parts];
	*p = (struct sigpart){.role = arena_strdup(&s->arena, role),
			      .role_hash = sample_role_hash(role),
			      .layer = layer,
			      .expert = -1,
			      .tensor = (uint32_t)s->n_parts,
			      .dtype = (uint8_t)d,
			      .rows = rows,
			      .cols = cols,
			      .nr = rows,
			      .nc = cols,
			      .flags = (uint8_t)(SIGPART_WHOLE | (cols == 1 ? SIGPART_VECTOR : 0))};
	p->row = arena_array(&s->arena, rows, sizeof *p->row);
	p->col = arena_array(&s->arena, cols, sizeof *p->col);
	p->v = arena_array(&s->arena, (size_t)rows * cols, sizeof *p->v);
	if (!p->role || !p->row || !p->col || !p->v)
		return -ENOMEM;
	for (uint32_t i = 0; i < rows; i++)
		p->row[i] = i;
	for (uint32_t i = 0; i < cols; i++)
		p->col[i] = i;
	p->grid = sigpart_grid(p);
	p->name = hash64(role, strlen(role), (uint64_t)(layer + 1));
	s->n_parts++;
	return 0;
}

static inline void made_fill(struct signature *s, uint64_t seed, float scale)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		uint64_t state = hash_mix(seed ^ hash_mix(p->role_hash + (uint64_t)(int64_t)p->layer));
		for (size_t k = 0; k < (size_t)p->nr * p->nc; k++)
			p->v[k] += scale * made_normal(&state);
	}
}

/* Round to the stored type and bring hashes and sketch up to date: after every change of values. */
static inline void made_finish(struct signature *s)
{
	qsort(s->parts, s->n_parts, sizeof *s->parts, sigpart_cmp);
	s->parameters = 0;
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		size_t n = (size_t)p->nr * p->nc, bad = 0;
		for (size_t k = 0; k < n; k++) {
			if (p->dtype == DTYPE_BF16)
				p->v[k] = bf16_to_f32(f32_to_bf16(p->v[k]));
			bad += !isfinite(p->v[k]);
		}
		p->nonfinite = (float)bad / (float)n;
		p->content = hash64(p->v, n * sizeof *p->v, 3) | 1;
		s->parameters += n;
	}
	sketch_of(&s->sketch, s);
	s->key = sigblob_key(s);
}

/* A transformer whose weights are 0. */
static inline int made_shape(struct signature *s, const struct made_model *m)
{
	static const char *const roles[] = {"attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down"};
	*s = (struct signature){.version = SIGNATURE_VERSION, .layers = m->layers};
	s->parts = arena_array(&s->arena, 2 + m->layers * (COUNT(roles) + 1), sizeof *s->parts);
	int rc = s->parts ? 0 : -ENOMEM;
	rc = rc ? rc : made_part(s, "embed", -1, 2 * m->side, m->side, m->dtype);
	rc = rc ? rc : made_part(s, "norm.final", -1, m->side, 1, m->dtype);
	for (uint32_t l = 0; l < m->layers && !rc; l++) {
		for (size_t r = 0; r < COUNT(roles) && !rc; r++)
			rc = made_part(s, roles[r], (int32_t)l, m->side, m->side, m->dtype);
		rc = rc ? rc : made_part(s, "norm.attn", (int32_t)l, m->side, 1, m->dtype);
	}
	if (rc)
		signature_release(s);
	return rc;
}

/* An untrained transformer: base weights of `seed`. made_fill adds to it, made_finish ends it. */
static inline int made_signature(struct signature *s, const struct made_model *m, uint64_t seed)
{
	int rc = made_shape(s, m);
	if (!rc)
		made_fill(s, seed, 0.05f);
	return rc;
}

#endif
