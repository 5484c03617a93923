/* Lineage of made families: every relation that needs no training, the tree of random steps, and what must not be kin.
 */
#include "tests/support/cm.h"

#include "tests/support/made_signature.h"

#include "core/analysis/dna.h"
#include "core/analysis/lineage.h"
#include "core/analysis/pair.h"
#include "core/analysis/rounding.h"

#include <errno.h>
#include <math.h>

enum { MOST = 24 };
static const struct made_model shape = {3, 48, DTYPE_BF16};

struct lake {
	struct signature s[MOST];
	struct lineage_model m[MOST];
	uint32_t order[MOST];	/* position in the input -> model */
	int64_t created[MOST], modified[MOST];
	uint32_t base_of[MOST];	/* 1 + whom its card names as its base; 0: nobody */
	uint32_t declared[MOST];
	size_t n;
	struct lineage l;
};

static int copy_out(const struct signature *from, struct signature *to, struct err *e)
{
	struct buf b = {0};
	int rc = signature_encode(from, &b, e);
	rc = rc ? rc : signature_decode(to, b.data, b.len, e);
	buf_release(&b);
	return rc;
}

static int load(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	struct lake *k = arg;
	return copy_out(&k->s[k->order[i]], s, e);
}

/* A model: the base of `seed`, or a copy of model `of` with a step of its own added. */
static uint32_t base(struct lake *k, uint64_t seed)
{
	assert_int_equal(made_signature(&k->s[k->n], &shape, seed), 0);
	made_finish(&k->s[k->n]);
	return (uint32_t)k->n++;
}

static uint32_t step(struct lake *k, uint32_t of, uint64_t seed, float size)
{
	assert_int_equal(copy_out(&k->s[of], &k->s[k->n], NULL), 0);
	if (size > 0)
		made_fill(&k->s[k->n], seed, size);
	made_finish(&k->s[k->n]);
	return (uint32_t)k->n++;
}

static void run(struct lake *k, size_t turn)
{
	struct err e = ERR_INIT;
	for (size_t i = 0; i < k->n; i++) {
		k->order[i] = (uint32_t)((i * 11 + turn) % k->n);
		uint32_t o = k->order[i];
		k->m[i].sketch = &k->s[o].sketch;
		k->m[i].rank = o;
		k->m[i].created = k->created[o];
		k->m[i].modified = k->modified[o];
		k->m[i].declared = &k->declared[i];
		k->m[i].n_declared = k->base_of[o] > 0;
	}
	for (size_t i = 0; i < k->n; i++)
		for (uint32_t j = 0; j < k->n; j++)
			if (k->order[j] + 1 == k->base_of[k->order[i]])
				k->declared[i] = j;
	struct lineage_input in = {.models = k->m, .n = k->n, .load = load, .arg = k, .threads = 2};
	if (lineage_all(&k->l, &in, NULL, &e))
		fail_msg("%s", e.msg);
}

static const struct lineage_edge *edge(const struct lake *k, uint32_t child, uint32_t parent)
{
	for (size_t i = 0; i < k->l.n_edges; i++)
		if (k->order[k->l.edges[i].child] == child && k->order[k->l.edges[i].parent] == parent)
			return &k->l.edges[i];
	return NULL;
}

static void expect(const struct lake *k, uint32_t child, uint32_t parent, enum relation r)
{
	const struct lineage_edge *d = edge(k, child, parent);
	if (!d)
		fail_msg("no edge from %u to %u", child, parent);
	assert_string_equal(relation_name(d->relation), relation_name(r));
}

static void done(struct lake *k)
{
	lineage_release(&k->l);
	for (size_t i = 0; i < k->n; i++)
		signature_release(&k->s[i]);
}

/* The first of the lake leaves it; the others stand one place before. */
static void take_first_out(struct lake *k)
{
	signature_release(&k->s[0]);
	memmove(k->s, k->s + 1, --k->n * sizeof *k->s);
}

static void expect_related(const struct lake *k, uint32_t later, uint32_t other, const char *method)
{
	expect(k, later, other, RELATION_RELATED);
	assert_string_equal(edge(k, later, other)->method, method);
	assert_null(edge(k, other, later));
}

static void a_tree_of_steps(void **state)
{
	(void)state;
	for (size_t turn = 0; turn < 5; turn += 4) {
		struct lake k = {0};
		uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f), c = step(&k, a, 3, 0.006f),
			 d = step(&k, b, 4, 0.004f), other = base(&k, 99);
		uint32_t e = step(&k, d, 5, 0.005f), twin = step(&k, c, 0, 0);
		run(&k, turn);
		expect(&k, b, a, RELATION_FINETUNE);
		expect(&k, c, a, RELATION_FINETUNE);
		expect(&k, d, b, RELATION_FINETUNE);
		expect(&k, e, d, RELATION_FINETUNE);
		expect(&k, twin, c, RELATION_DUPLICATE);
		assert_int_equal(k.l.n_families, 2);
		for (size_t i = 0; i < k.l.n_edges; i++)
			assert_true(k.order[k.l.edges[i].child] != other && k.order[k.l.edges[i].parent] != other);
		assert_int_equal(k.order[k.l.families[0].root], a);
		done(&k);
	}
}

static void a_missing_ancestor(void **state)
{
	(void)state;
	for (size_t turn = 0; turn < 3; turn += 2) {
		struct lake k = {0};
		uint32_t gone = base(&k, 1);
		for (uint64_t i = 0; i < 4; i++)
			step(&k, gone, 2 + i, 0.005f + 0.0003f * (float)i);
		step(&k, 3, 9, 0.004f);
		run(&k, turn);
		for (uint32_t i = 1; i < 5; i++)
			expect(&k, i, gone, RELATION_FINETUNE);
		lineage_release(&k.l);
		take_first_out(&k);
		run(&k, turn);
		size_t siblings = 0;
		for (size_t i = 0; i < k.l.n_edges; i++) {
			const struct lineage_edge *d = &k.l.edges[i];
			siblings += d->relation == RELATION_RELATED;
			if (d->relation == RELATION_RELATED) {
				assert_string_equal(d->method, "common ancestor not in the lake");
				assert_true(k.order[d->child] > k.order[d->parent]);
			}
		}
		assert_int_equal(siblings, 3);
		assert_int_equal(k.l.n_edges, 4);
		expect(&k, 4, 2, RELATION_FINETUNE);
		assert_int_equal(k.l.n_families, 1);
		assert_int_equal(k.l.families[0].root, LINEAGE_NONE);
		done(&k);
	}
}

/* Half of its values are zero, the others are those of a model that is not there. */
static void pruned_from_what_is_not_there(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t gone = base(&k, 1), a = step(&k, gone, 2, 0.005f), pruned = step(&k, gone, 0, 0);
	for (size_t i = 0; i < k.s[pruned].n_parts; i++) {
		struct sigpart *p = &k.s[pruned].parts[i];
		for (size_t j = 0; p->nc > 1 && p->layer >= 0 && j < (size_t)p->nr * p->nc; j++)
			p->v[j] = fabsf(p->v[j]) < 0.03f ? 0 : p->v[j];
	}
	made_finish(&k.s[pruned]);
	take_first_out(&k);
	run(&k, 0);
	expect_related(&k, pruned - 1, a - 1, "common ancestor not in the lake");
	assert_int_equal(k.l.n_edges, 1);
	done(&k);
}

static void what_decides_an_open_direction(void **state)
{
	enum { DAY = 86400 };
	static const struct {
		int64_t created[2], modified[2];
		uint32_t base_of[2];
		int first;
		enum basis basis;
	} t[] = {
		{{0, 0}, {0, 0}, {0, 0}, -1, BASIS_WEIGHTS},
		{{0, 0}, {9 * DAY, 9 * DAY + 5}, {0, 0}, -1, BASIS_WEIGHTS},
		{{0, 0}, {9 * DAY, 11 * DAY}, {0, 0}, 0, BASIS_WEIGHTS_DATES},
		{{0, 0}, {11 * DAY, 9 * DAY}, {0, 0}, 1, BASIS_WEIGHTS_DATES},
		{{8 * DAY, 5 * DAY}, {9 * DAY, 11 * DAY}, {0, 0}, 1, BASIS_WEIGHTS_DATES},
		{{8 * DAY, 0}, {9 * DAY, 11 * DAY}, {0, 0}, -1, BASIS_WEIGHTS},
		{{8 * DAY, 5 * DAY}, {0, 0}, {0, 1}, 0, BASIS_WEIGHTS_DECLARED},
		{{0, 0}, {0, 0}, {2, 0}, 1, BASIS_WEIGHTS_DECLARED},
		{{0, 0}, {0, 0}, {2, 1}, -1, BASIS_WEIGHTS},
	};
	(void)state;
	struct lake k = {0};
	uint32_t gone = base(&k, 1);
	step(&k, gone, 2, 0.005f);
	step(&k, gone, 3, 0.005f);
	base(&k, 99);		/* what a card or a date says makes nobody kin */
	take_first_out(&k);
	k.base_of[2] = 1;
	for (size_t i = 0; i < COUNT(t); i++) {
		memcpy(k.created, t[i].created, sizeof t[i].created);
		memcpy(k.modified, t[i].modified, sizeof t[i].modified);
		memcpy(k.base_of, t[i].base_of, sizeof t[i].base_of);
		run(&k, i);
		assert_int_equal(k.l.n_edges, 1);
		if (t[i].first < 0) {
			expect_related(&k, 1, 0, "direction not told");
		} else {
			uint32_t first = (uint32_t)t[i].first;
			expect(&k, 1 - first, first, RELATION_FINETUNE);
			assert_string_equal(basis_name(edge(&k, 1 - first, first)->basis), basis_name(t[i].basis));
		}
		lineage_release(&k.l);
	}
	done(&k);
}

static void exact_relations(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f);
	uint32_t f16 = step(&k, b, 0, 0), pruned = step(&k, a, 0, 0);
	for (size_t i = 0; i < k.s[f16].n_parts; i++) {
		struct sigpart *p = &k.s[f16].parts[i];
		p->dtype = DTYPE_F16;
		for (size_t j = 0; j < (size_t)p->nr * p->nc; j++)
			p->v[j] = f16_to_f32(f32_to_f16(p->v[j]));
	}
	for (size_t i = 0; i < k.s[pruned].n_parts; i++) {
		struct sigpart *p = &k.s[pruned].parts[i];
		for (size_t j = 0; p->nc > 1 && p->layer >= 0 && j < (size_t)p->nr * p->nc; j++)
			p->v[j] = fabsf(p->v[j]) < 0.03f ? 0 : p->v[j];
		if (!strcmp(p->role, "norm.final"))	/* as pruners do that take a class token for a matrix */
			p->v[3] = p->v[5] = 0;
	}
	made_finish(&k.s[f16]);
	made_finish(&k.s[pruned]);
	run(&k, 0);
	expect(&k, f16, b, RELATION_CAST);
	expect(&k, pruned, a, RELATION_PRUNED);
	expect(&k, b, a, RELATION_FINETUNE);
	done(&k);
}

/* The same model with a table of constants beside it, and one that was sampled more sparsely in its narrower type. */
static void tables_and_budgets(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), twin = step(&k, a, 0, 0), cast = step(&k, a, 0, 0);
	struct signature *s = &k.s[twin];
	struct sigpart *more = arena_array(&s->arena, s->n_parts + 1, sizeof *more);
	assert_non_null(more);
	memcpy(more, s->parts, s->n_parts * sizeof *more);
	s->parts = more;
	assert_int_equal(made_part(s, "table.betas", -1, 30, 1, DTYPE_F32), 0);
	for (size_t i = 0; i < 30; i++)
		s->parts[s->n_parts - 1].v[i] = (float)i;
	made_finish(s);
	s = &k.s[cast];
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		p->dtype = DTYPE_F8_E5M2;
		for (size_t j = 0; j < (size_t)p->nr * p->nc; j++)
			p->v[j] = dtype_round(p->v[j], DTYPE_F8_E5M2);
		if (p->nc > 24) {	/* half of the columns */
			for (size_t r = 0; r < p->nr; r++)
				memmove(p->v + r * 24, p->v + r * p->nc, 24 * sizeof *p->v);
			p->nc = 24;
			p->grid = sigpart_grid(p);
		}
	}
	made_finish(s);
	run(&k, 0);
	expect(&k, twin, a, RELATION_DUPLICATE);
	expect(&k, cast, a, RELATION_CAST);
	done(&k);
}

/* An adapter of one component, and a base that has several: their roles differ in the component's name. */
static void adapters_of_a_component(void **state)
{
	static const char *const roles[][2] = {
		{"attn.q", "unet:attn.q"}, {"unet:attn.q", "attn.q"}, {"attn.q", "attn.q"},
		{"vae:attn.q", "vae:attn.k"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(roles); i++) {
		struct lake k = {0};
		uint32_t b = base(&k, 1), a = (uint32_t)k.n++, named[] = {b};
		struct adapter_hints h = {.bases = named, .n_bases = 1};
		struct signature *s = &k.s[a];
		char role[64];
		for (size_t p = 0; p < k.s[b].n_parts; p++)
			if (!strcmp(k.s[b].parts[p].role, "attn.q")) {
				k.s[b].parts[p].role = roles[i][1];
				k.s[b].parts[p].role_hash = sample_role_hash(roles[i][1]);
			}
		made_finish(&k.s[b]);
		s->version = SIGNATURE_VERSION;
		s->parts = arena_array(&s->arena, 2, sizeof *s->parts);
		assert_non_null(s->parts);
		for (int side = 'a'; side <= 'b'; side++) {
			snprintf(role, sizeof role, "%s.lora_%c", roles[i][0], side);
			uint32_t rows = side == 'a' ? 4 : shape.side, cols = side == 'a' ? shape.side : 4;
			assert_int_equal(made_part(s, role, 1, rows, cols, DTYPE_F32), 0);
		}
		made_fill(s, 7, 0.1f);
		made_finish(s);
		k.m[a].adapter = &h;
		run(&k, 0);
		assert_int_equal(k.l.n_edges, i < 3);
		if (i < 3)
			expect(&k, a, b, RELATION_ADAPTER);
		done(&k);
	}
}

/* Norms in float32 beside bf16 matrices, and the same in float32 throughout: the widest types are equal. */
static void widened_but_for_the_norms(void **state)
{
	(void)state;
	for (size_t turn = 0; turn < 2; turn++) {
		struct lake k = {0};
		uint32_t first = base(&k, 1), second = step(&k, first, 0, 0), wide = turn ? first : second;
		for (uint32_t m = first; m <= second; m++) {
			for (size_t i = 0; i < k.s[m].n_parts; i++)
				if (m == wide || k.s[m].parts[i].nc == 1)
					k.s[m].parts[i].dtype = DTYPE_F32;
			made_finish(&k.s[m]);
		}
		run(&k, 0);
		expect(&k, wide, wide == first ? second : first, RELATION_CAST);
		done(&k);
	}
}

enum { RANK = 4 };

/* Adds scale * u v^T, of RANK pairs that follow from seed, to every attn.q. */
static void add_low_rank(struct signature *s, uint64_t seed, float scale)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		float u[RANK][64], v[RANK][64];
		uint64_t state = seed + (uint64_t)p->layer;
		if (strcmp(p->role, "attn.q"))
			continue;
		for (size_t k = 0; k < RANK * 64; k++) {
			u[k / 64][k % 64] = made_normal(&state);
			v[k / 64][k % 64] = made_normal(&state);
		}
		for (size_t r = 0; r < p->nr; r++)
			for (size_t c = 0; c < p->nc; c++)
				for (size_t k = 0; k < RANK; k++)
					p->v[r * p->nc + c] += scale * u[k][r] * v[k][c];
	}
	made_finish(s);
}

/* The factors of the same update of every layer's attn.q. */
static uint32_t adapter_of(struct lake *k, uint64_t seed, float scale)
{
	struct signature *s = &k->s[k->n];
	s->version = SIGNATURE_VERSION;
	s->parts = arena_array(&s->arena, 2 * shape.layers, sizeof *s->parts);
	assert_non_null(s->parts);
	for (uint32_t l = 0; l < shape.layers; l++) {
		uint64_t state = seed + l;
		assert_int_equal(made_part(s, "attn.q.lora_a", (int32_t)l, RANK, shape.side, DTYPE_F32), 0);
		assert_int_equal(made_part(s, "attn.q.lora_b", (int32_t)l, shape.side, RANK, DTYPE_F32), 0);
		struct sigpart *a = &s->parts[s->n_parts - 2], *b = &s->parts[s->n_parts - 1];
		for (size_t i = 0; i < RANK * 64; i++) {
			float u = made_normal(&state), v = made_normal(&state);
			if (i % 64 < shape.side) {
				b->v[i % 64 * RANK + i / 64] = scale * u;
				a->v[i / 64 * shape.side + i % 64] = v;
			}
		}
	}
	made_finish(s);
	return (uint32_t)k->n++;
}

/* No base is named. The factors lie where one family's weights do; an update that takes a member's step back was made
 * on that member, one that goes the same way on its parent; factors from anywhere claim nothing. */
static void bases_that_the_weights_tell(void **state)
{
	static const struct adapter_hints unnamed = {0};
	static const struct { uint64_t seed; float scale; bool of_child; enum relation told;
	} wanted[] = {
		{7, -0.004f, true, RELATION_ADAPTER},
		{7, 0.004f, false, RELATION_ADAPTER},
		{5, 0.004f, false, RELATION_RELATED},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(wanted); i++) {
		struct lake k = {0};
		uint32_t stranger = base(&k, 99), b = base(&k, 1), c, a;
		add_low_rank(&k.s[stranger], 8, 0.02f);
		add_low_rank(&k.s[b], 7, 0.02f);
		c = step(&k, b, 2, 0.0005f);
		add_low_rank(&k.s[c], 7, 0.002f);
		a = adapter_of(&k, wanted[i].seed, wanted[i].scale);
		for (size_t at = 0; at < k.n; at++)
			k.m[at].adapter = at * 11 % k.n == a ? &unnamed : NULL;
		run(&k, 0);
		assert_non_null(edge(&k, c, b));
		expect(&k, a, wanted[i].of_child ? c : b, wanted[i].told);
		assert_true((edge(&k, a, stranger) != NULL) == (wanted[i].told == RELATION_RELATED));
		assert_null(edge(&k, a, wanted[i].of_child ? b : c));
		done(&k);
	}
}

/* An adapter of four places; A follows from `start`, B is zero. */
static uint32_t untrained_adapter(struct lake *k, uint64_t start)
{
	struct signature *s = &k->s[k->n];
	s->version = SIGNATURE_VERSION;
	s->parts = arena_array(&s->arena, 8, sizeof *s->parts);
	assert_non_null(s->parts);
	for (int layer = 0; layer < 4; layer++) {
		assert_int_equal(made_part(s, "attn.q.lora_a", layer, RANK, shape.side, DTYPE_F32), 0);
		assert_int_equal(made_part(s, "attn.q.lora_b", layer, shape.side, RANK, DTYPE_F32), 0);
	}
	made_fill(s, start, 0.1f);
	for (size_t i = 1; i < s->n_parts; i += 2)
		memset(s->parts[i].v, 0, (size_t)s->parts[i].nr * s->parts[i].nc * sizeof(float));
	made_finish(s);
	return (uint32_t)k->n++;
}

/* Training: what the data have in common moves B along one direction, the rest is the run's own; A hardly moves. */
static uint32_t trained_adapter(struct lake *k, uint32_t from, uint64_t seed, float common, float own)
{
	uint32_t at = step(k, from, 0, 0);
	for (size_t i = 0; i < k->s[at].n_parts; i++) {
		struct sigpart *p = &k->s[at].parts[i];
		uint64_t drift = 77 + i, state = hash_mix(seed) + i;
		float along[64];
		bool b = p->nc == RANK;
		for (uint32_t r = 0; r < p->nr && r < COUNT(along); r++)
			along[r] = made_normal(&drift);
		for (uint32_t r = 0; r < p->nr; r++)
			for (uint32_t c = 0; c < p->nc; c++)
				p->v[r * p->nc + c] +=
					b ? common * along[r] + own * made_normal(&state) : 0.01f * made_normal(&state);
	}
	made_finish(&k->s[at]);
	return at;
}

static void adapters_of_a_run(void **state)
{
	static const struct adapter_hints unnamed = {0};
	(void)state;
	for (size_t turn = 0; turn < 2; turn++) {
		struct lake k = {0};
		uint32_t start = untrained_adapter(&k, 1), first = trained_adapter(&k, start, 2, 0.05f, 0.01f);
		uint32_t later = trained_adapter(&k, first, 3, 0.03f, 0.005f),
			 last = trained_adapter(&k, later, 4, 0.02f, 0.004f);
		uint32_t other = trained_adapter(&k, start, 5, 0.06f, 0.01f),
			 copy = trained_adapter(&k, later, 0, 0, 0);
		uint32_t apart = trained_adapter(&k, untrained_adapter(&k, 9), 2, 0.05f, 0.01f);
		for (size_t i = 0; i < k.s[copy].n_parts; i++)	/* A as well */
			memcpy(k.s[copy].parts[i].v, k.s[later].parts[i].v,
			       (size_t)k.s[copy].parts[i].nr * k.s[copy].parts[i].nc * sizeof(float));
		made_finish(&k.s[copy]);
		for (size_t i = 0; i < k.n; i++)
			k.m[i].adapter = &unnamed;
		run(&k, turn);
		expect(&k, later, first, RELATION_FINETUNE);
		expect(&k, last, later, RELATION_FINETUNE);
		expect(&k, copy, later, RELATION_DUPLICATE);
		assert_int_equal(k.l.n_edges, 3);
		size_t alone = 0;
		for (size_t i = 0; i < k.l.n_families; i++) {
			const struct lineage_family *f = &k.l.families[i];
			alone += f->n == 1;
			if (f->n > 1)
				assert_int_equal(k.order[f->root], first);
			assert_true(f->n == 1 || f->n == 4);
		}
		assert_int_equal(alone, 4);
		assert_true(start != other && apart != other);
		done(&k);
	}
}

/* One parent is the other with one kind of matrix changed, as by a LoRA: most values of the merge are exact. */
static void a_merge_with_its_near_twin(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.01f), c = step(&k, b, 0, 0), m = step(&k, b, 0, 0);
	step(&k, a, 4, 0.01f);
	for (size_t i = 0; i < k.s[c].n_parts; i++) {
		struct sigpart *p = &k.s[c].parts[i];
		uint64_t state2 = i;
		for (size_t j = 0; !strcmp(p->role, "attn.q") && j < (size_t)p->nr * p->nc; j++)
			p->v[j] += 0.01f * made_normal(&state2);
	}
	made_finish(&k.s[c]);
	for (size_t i = 0; i < k.s[m].n_parts; i++)
		for (size_t j = 0; j < (size_t)k.s[m].parts[i].nr * k.s[m].parts[i].nc; j++)
			k.s[m].parts[i].v[j] = 0.4f * k.s[b].parts[i].v[j] + 0.6f * k.s[c].parts[i].v[j];
	made_finish(&k.s[m]);
	run(&k, 0);
	expect(&k, m, b, RELATION_MERGE);
	expect(&k, m, c, RELATION_MERGE);
	assert_true(fabs(edge(&k, m, b)->weight - 0.4) < 0.01);
	done(&k);
}

/* TIES of three at density 0.6, weights 0.5, 0.3 and 0.2: values in which two or three survive are the rule. */
static void a_ties_merge_of_three(void **state)
{
	(void)state;
	static const float w[] = {0.5f, 0.3f, 0.2f};
	struct lake k = {0};
	uint32_t a = base(&k, 1), x[3] = {step(&k, a, 2, 0.02f), step(&k, a, 3, 0.02f), step(&k, a, 4, 0.02f)};
	uint32_t m = step(&k, a, 0, 0);
	step(&k, a, 5, 0.02f);
	for (size_t i = 0; i < k.s[m].n_parts; i++) {
		struct sigpart *p = &k.s[m].parts[i];
		for (size_t j = 0; j < (size_t)p->nr * p->nc; j++) {
			float sum = 0, weights = 0, elected = 0, d[3];
			for (size_t t = 0; t < 3; t++) {
				d[t] = k.s[x[t]].parts[i].v[j] - p->v[j];
				d[t] = fabsf(d[t]) > 0.0105f ? d[t] : 0;
				elected += w[t] * d[t];
			}
			for (size_t t = 0; t < 3; t++)
				if (d[t] * elected > 0) {
					sum += w[t] * d[t];
					weights += w[t];
				}
			p->v[j] += weights > 0 ? sum / weights : 0;
		}
	}
	made_finish(&k.s[m]);
	run(&k, 0);
	for (size_t t = 0; t < 3; t++) {
		expect(&k, m, x[t], RELATION_MERGE);
		assert_true(fabs(edge(&k, m, x[t])->weight - w[t]) < 0.02);
	}
	done(&k);
}

/* The beginning of a run is less like a merged LoRA than like the others, here in one matrix: that draws nothing anew. */
static void the_beginning_of_a_run(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t first = base(&k, 1), last = step(&k, first, 0, 0), lora;
	for (size_t i = 0; i < k.s[last].n_parts; i++) {
		struct sigpart *p = &k.s[last].parts[i];
		uint64_t seed = 77 + i;
		bool far = p->layer == 0 && !strcmp(p->role, "attn.q");
		for (size_t j = 0; j < (size_t)p->nr * p->nc; j++)
			p->v[j] += (far ? 0.11f : 0.02f) * made_normal(&seed);	/* cosine 0.41 there, */
	}
	made_finish(&k.s[last]);
	for (uint64_t i = 0; i < 3; i++)
		step(&k, last, 10 + i, 0.004f);
	lora = step(&k, last, 0, 0);
	add_low_rank(&k.s[lora], 7, 0.074f);	/* 0.27 here */
	for (uint64_t i = 0; i < 2; i++)
		step(&k, lora, 20 + i, 0.015f);
	run(&k, 0);
	expect(&k, lora, last, RELATION_LORA);
	assert_non_null(edge(&k, last, first));
	assert_null(edge(&k, first, lora));
	done(&k);
}

static void merges_and_their_weights(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.01f), c = step(&k, a, 3, 0.012f), d = step(&k, a, 4, 0.01f),
		 m = step(&k, b, 0, 0);
	for (size_t i = 0; i < k.s[m].n_parts; i++)
		for (size_t j = 0; j < (size_t)k.s[m].parts[i].nr * k.s[m].parts[i].nc; j++)
			k.s[m].parts[i].v[j] = 0.3f * k.s[b].parts[i].v[j] + 0.7f * k.s[c].parts[i].v[j];
	made_finish(&k.s[m]);
	run(&k, 3);
	expect(&k, m, b, RELATION_MERGE);
	expect(&k, m, c, RELATION_MERGE);
	assert_null(edge(&k, m, d));
	assert_true(fabs(edge(&k, m, b)->weight - 0.3) < 0.002 && fabs(edge(&k, m, c)->weight - 0.7) < 0.002);
	expect(&k, b, a, RELATION_FINETUNE);
	done(&k);
}

/* SLERP of a model with its own merged LoRA: most tensors are equal in both, and exact in the child. */
static void slerp_with_an_own_lora(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 0, 0), m, other = step(&k, a, 3, 0.01f);
	add_low_rank(&k.s[b], 7, 0.01f);
	m = step(&k, a, 0, 0);
	for (size_t i = 0; i < k.s[m].n_parts; i++) {
		const float *x = k.s[a].parts[i].v, *y = k.s[b].parts[i].v;
		size_t n = (size_t)k.s[m].parts[i].nr * k.s[m].parts[i].nc;
		double xx = 0, xy = 0, yy = 0;
		for (size_t j = 0; j < n; j++) {
			xx += (double)x[j] * x[j];
			xy += (double)x[j] * y[j];
			yy += (double)y[j] * y[j];
		}
		double o = acos(fmin(xy / sqrt(xx * yy), 1));
		for (size_t j = 0; j < n && o > 0.01; j++)
			k.s[m].parts[i].v[j] = (float)((sin(0.6 * o) * x[j] + sin(0.4 * o) * y[j]) / sin(o));
	}
	made_finish(&k.s[m]);
	run(&k, 0);
	expect(&k, b, a, RELATION_LORA);
	expect(&k, m, a, RELATION_MERGE);
	expect(&k, m, b, RELATION_MERGE);
	assert_null(edge(&k, m, other));
	assert_true(fabs(edge(&k, m, a)->weight - 0.6) < 0.01 && fabs(edge(&k, m, b)->weight - 0.4) < 0.01);
	done(&k);
}

static void stitches_are_traced(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.01f), c = step(&k, a, 3, 0.012f), s = step(&k, b, 0, 0);
	for (size_t i = 0; i < k.s[s].n_parts; i++) {
		struct sigpart *p = &k.s[s].parts[i];
		if (p->layer >= 2)
			memcpy(p->v, k.s[c].parts[i].v, (size_t)p->nr * p->nc * sizeof *p->v);
	}
	made_finish(&k.s[s]);
	run(&k, 0);
	expect(&k, s, b, RELATION_STITCH);
	expect(&k, s, c, RELATION_STITCH);
	size_t traced = 0;
	for (size_t i = 0; i < k.l.n_sources; i++) {
		const struct lineage_source *x = &k.l.sources[i];
		if (k.order[x->child] != s)
			continue;
		traced++;
		assert_int_equal(x->match, MATCH_COPIED);
		int32_t layer = 0;
		for (size_t p = 0; p < k.s[s].n_parts; p++)
			if (k.s[s].parts[p].tensor == x->tensor)
				layer = k.s[s].parts[p].layer;
		assert_int_equal(k.order[x->source], layer >= 2 ? c : b);
	}
	assert_int_equal(traced, k.s[s].n_parts);
	done(&k);
}

/* A last norm that a pruned copy still has was taken from the model, not from the copy. */
static void stitches_name_originals(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), pruned = step(&k, a, 4, 0.02f), b = step(&k, a, 2, 0.01f), c = step(&k, a, 3, 0.012f),
		 d = step(&k, a, 4, 0.02f), s = step(&k, b, 0, 0);
	for (size_t i = 0; i < k.s[s].n_parts; i++) {
		struct sigpart *p = &k.s[s].parts[i], *q = &k.s[pruned].parts[i];
		size_t n = (size_t)p->nr * p->nc;
		if (p->layer >= 2 || !strcmp(p->role, "norm.final"))
			memcpy(p->v, k.s[p->layer >= 2 ? c : d].parts[i].v, n * sizeof *p->v);
		for (size_t j = 0; q->nc > 1 && q->layer >= 0 && j < n; j++)
			q->v[j] = fabsf(q->v[j]) < 0.03f ? 0 : q->v[j];
	}
	made_finish(&k.s[s]);
	made_finish(&k.s[pruned]);
	run(&k, 0);
	expect(&k, pruned, d, RELATION_PRUNED);
	expect(&k, s, b, RELATION_STITCH);
	expect(&k, s, c, RELATION_STITCH);
	expect(&k, s, d, RELATION_STITCH);
	done(&k);
}

static void bad_members_harm_nobody(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f), zero = step(&k, a, 0, 0), nan = step(&k, a, 9, 0.005f),
		 ones = base(&k, 5), more = base(&k, 6);
	for (size_t i = 0; i < k.s[a].n_parts; i++) {
		size_t n = (size_t)k.s[a].parts[i].nr * k.s[a].parts[i].nc;
		memset(k.s[zero].parts[i].v, 0, n * sizeof(float));
		k.s[nan].parts[i].v[0] = NAN;
		for (size_t j = 0; j < n; j++)	/* constants and one norm: alike in models that are not kin */
			k.s[ones].parts[i].v[j] = k.s[more].parts[i].v[j] = 1;
	}
	for (uint32_t m = zero; m <= more; m++)
		made_finish(&k.s[m]);
	run(&k, 1);
	expect(&k, b, a, RELATION_FINETUNE);
	for (size_t i = 0; i < k.l.n_edges; i++) {
		uint32_t c = k.order[k.l.edges[i].child], p = k.order[k.l.edges[i].parent];
		assert_true(c != zero && p != zero && (c == ones) == (p == ones) && c != nan && p != nan);
	}
	done(&k);
}

static void rename_parts(struct signature *s, const char *prefix)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		p->role = arena_printf(&s->arena, "%s%zu", prefix, i);
		assert_non_null(p->role);
		p->role_hash = sample_role_hash(p->role);
		p->layer = -1;
	}
	s->layers = 0;
}

static void names_that_say_nothing(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f), other = base(&k, 99), copy = step(&k, b, 0, 0),
		 piece = step(&k, b, 0, 0);
	uint32_t changed = step(&k, other, 0, 0);
	k.s[piece].n_parts -= 8;
	rename_parts(&k.s[copy], "node_");
	rename_parts(&k.s[piece], "x.");
	rename_parts(&k.s[changed], "y.");
	for (size_t i = 3; i < k.s[changed].n_parts; i++)	/* three equal matrices are not half of a model */
		k.s[changed].parts[i].v[0] += 1;
	made_finish(&k.s[copy]);
	made_finish(&k.s[piece]);
	made_finish(&k.s[changed]);
	for (size_t turn = 0; turn < 3; turn += 2) {
		run(&k, turn);
		expect(&k, b, a, RELATION_FINETUNE);
		expect(&k, copy, b, RELATION_DUPLICATE);
		expect(&k, piece, b, RELATION_PRUNED);
		assert_null(edge(&k, changed, other));
		lineage_release(&k.l);
	}
	done(&k);
}

static void shared_constants_are_no_kinship(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f), other = base(&k, 99);
	for (size_t i = 0; i < k.s[a].n_parts; i++) {
		const struct sigpart *p = &k.s[a].parts[i];
		if (p->layer >= 0 || p->nc < 2)
			continue;
		for (uint32_t m = b; m <= other; m++)	/* all that the sketch has outside the layers */
			memcpy(k.s[m].parts[i].v, p->v, (size_t)p->nr * p->nc * sizeof *p->v);
	}
	made_finish(&k.s[b]);
	made_finish(&k.s[other]);
	assert_true(sketch_z(&k.s[a].sketch, &k.s[other].sketch) > 9);
	run(&k, 0);
	expect(&k, b, a, RELATION_FINETUNE);
	assert_null(edge(&k, other, a));
	assert_null(edge(&k, a, other));
	struct dna d;
	assert_int_equal(dna_compare(&d, &k.s[other], &k.s[a], NULL, 0, 1, NULL, NULL), 0);
	assert_int_equal(d.verdict, DNA_UNRELATED);
	assert_true(d.z < KIN_Z);
	done(&k);
}

static void dequantised_copies(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), quantised = step(&k, a, 0, 0), plain;
	for (size_t i = 0; i < k.s[quantised].n_parts; i++) {
		struct sigpart *p = &k.s[quantised].parts[i];
		if (p->nc < 2)
			continue;
		p->dtype = DTYPE_Q8_0;
		p->flags |= SIGPART_QUANTISED;
		for (size_t j = 0; j < (size_t)p->nr * p->nc; j++)
			p->v[j] = (float)lrintf(p->v[j] * 1024) / 1024;
	}
	made_finish(&k.s[quantised]);
	plain = step(&k, quantised, 0, 0);
	for (size_t i = 0; i < k.s[plain].n_parts; i++) {
		k.s[plain].parts[i].dtype = DTYPE_F32;
		k.s[plain].parts[i].flags &= (uint8_t)~SIGPART_QUANTISED;
	}
	made_finish(&k.s[plain]);
	run(&k, 0);
	expect(&k, quantised, a, RELATION_QUANTIZED);
	expect(&k, plain, quantised, RELATION_CAST);
	done(&k);
}

static void verdicts(void **state)
{
	(void)state;
	struct lake k = {0};
	uint32_t a = base(&k, 1), b = step(&k, a, 2, 0.005f), c = step(&k, a, 3, 0.005f), other = base(&k, 99);
	run(&k, 0);
	struct dna d;
	uint32_t at[MOST];
	for (uint32_t i = 0; i < k.n; i++)
		at[k.order[i]] = i;
	assert_int_equal(dna_compare(&d, &k.s[b], &k.s[a], &k.l, at[b], at[a], NULL, NULL), 0);
	assert_int_equal(d.verdict, DNA_DESCENDANT);
	assert_true(d.error < 1e-9);
	assert_int_equal(dna_compare(&d, &k.s[b], &k.s[c], &k.l, at[b], at[c], NULL, NULL), 0);
	assert_int_equal(d.verdict, DNA_SHARES_ANCESTOR);
	assert_int_equal(dna_compare(&d, &k.s[b], &k.s[other], &k.l, at[b], at[other], NULL, NULL), 0);
	assert_int_equal(d.verdict, DNA_UNRELATED);
	done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_of_steps),
		cmocka_unit_test(a_missing_ancestor),
		cmocka_unit_test(pruned_from_what_is_not_there),
		cmocka_unit_test(what_decides_an_open_direction),
		cmocka_unit_test(exact_relations),
		cmocka_unit_test(adapters_of_a_component),
		cmocka_unit_test(tables_and_budgets),
		cmocka_unit_test(bases_that_the_weights_tell),
		cmocka_unit_test(widened_but_for_the_norms),
		cmocka_unit_test(adapters_of_a_run),
		cmocka_unit_test(the_beginning_of_a_run),
		cmocka_unit_test(merges_and_their_weights),
		cmocka_unit_test(a_merge_with_its_near_twin),
		cmocka_unit_test(a_ties_merge_of_three),
		cmocka_unit_test(slerp_with_an_own_lora),
		cmocka_unit_test(stitches_are_traced),
		cmocka_unit_test(stitches_name_originals),
		cmocka_unit_test(bad_members_harm_nobody),
		cmocka_unit_test(names_that_say_nothing),
		cmocka_unit_test(shared_constants_are_no_kinship),
		cmocka_unit_test(dequantised_copies),
		cmocka_unit_test(verdicts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
