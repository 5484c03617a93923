/* Connected components of kinship. */
#include "core/analysis/family.h"

#include "core/analysis/pair.h"
#include "core/analysis/renamed.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
	BRUTE_MAX = 3000,	/* models up to which all pairs are looked at */
	TABLES = 24,		/* a block */
	BATCH = 8,		/* tables made at a time; divides TABLES */
	PROJECTED = 16,		/* coordinates summed for one bit */
	REPRESENTATIVES = 24,	/* of a bucket */
	BACKGROUND_PAIRS = 64,
	CHANCES = 8,		/* models with one content that may turn out no kin before that content says nothing */
};
/* Chance of a pair of unrelated models: 3e-7 and 1e-19 a block. */
static const float weak_z = 5.0f, strong_z = 9.0f, shown_z = 3.0f;

struct doubt { uint32_t a, b; float z; };

struct search {
	const struct lineage_input *in;
	uint32_t *up;			/* union-find */
	struct doubt *doubt;
	size_t n_doubt, cap;
};

static uint32_t find(uint32_t *up, uint32_t i)
{
	while (up[i] != i)
		i = up[i] = up[up[i]];
	return i;
}

static void join(uint32_t *up, uint32_t a, uint32_t b)
{
	a = find(up, a);
	b = find(up, b);
	if (a < b)
		up[b] = a;
	else
		up[a] = b;
}

static bool takes_part(const struct lineage_model *m)
{
	return m->sketch && !m->adapter && m->sketch->parts;
}

/* In more than half of the blocks: in one alone it may be a constant that both were made with. */
static bool is_broad(const struct sketch *a, const struct sketch *b)
{
	int both = 0, shown = 0;
	for (int i = 0; i < SKETCH_BLOCKS; i++) {
		if (a->scale[i] <= 0 || b->scale[i] <= 0)
			continue;
		both++;
		shown += sketch_cosine(a, b, i) * sqrtf(SKETCH_DIMS) >= shown_z;
	}
	return 2 * shown > both;
}

/* Looks at one pair; true when they are (now) in one family. */
static bool look(struct search *s, uint32_t a, uint32_t b, struct err *e, int *rc)
{
	if (find(s->up, a) == find(s->up, b))
		return true;
	const struct sketch *x = s->in->models[a].sketch, *y = s->in->models[b].sketch;
	float z = sketch_z(x, y);
	if ((x->invariant && x->invariant == y->invariant) || (z >= strong_z && is_broad(x, y))) {
		join(s->up, a, b);
		return true;
	}
	if (z < weak_z)
		return false;
	if (mem_grow(&s->doubt, &s->cap, s->n_doubt + 1)) {
		*rc = err_nomem(e);
		return false;
	}
	s->doubt[s->n_doubt++] = (struct doubt){a, b, z};
	return false;
}

static int all_pairs(struct search *s, const struct cancel *cancel, struct err *e)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->in->n && !rc; i++) {
		if (!takes_part(&s->in->models[i]))
			continue;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		for (uint32_t j = 0; j < i && !rc; j++)
			if (takes_part(&s->in->models[j]))
				look(s, i, j, e, &rc);
	}
	return rc;
}

struct keyed { uint64_t key, order; uint32_t model; };

static int cmp_keyed(const void *x, const void *y)
{
	const struct keyed *a = x, *b = y;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* `bits` signs of sums of PROJECTED coordinates; a count sketch's coordinates are already random. */
static uint64_t bucket_of(const struct sketch *s, int block, unsigned table, unsigned bits)
{
	uint64_t key = 0, h = hash_mix(table * 7919u + (unsigned)block);
	for (unsigned b = 0; b < bits; b++) {
		int sum = 0;
		for (int i = 0; i < PROJECTED; i++) {
			h = h * 6364136223846793005u + 1442695040888963407u;
			int v = s->v[block][(h >> 33) % SKETCH_DIMS];
			sum += h >> 63 ? v : -v;
		}
		key = key << 1 | (sum > 0);
	}
	return key;
}

/* Within a bucket each model meets a few representatives of what is not yet one family. */
static int meet(struct search *s, const struct keyed *k, size_t n, struct err *e)
{
	uint32_t rep[REPRESENTATIVES];
	size_t reps = 0;
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		bool known = false;
		for (size_t j = 0; j < reps && !known && !rc; j++)
			known = look(s, k[i].model, rep[j], e, &rc);
		if (!known && reps < REPRESENTATIVES)
			rep[reps++] = k[i].model;
	}
	return rc;
}

static unsigned bits_for(size_t n)
{
	unsigned bits = 4;
	while (bits < 24 && ((size_t)1 << bits) < n / 4)
		bits++;
	return bits;
}

/* Tables of one batch, made on all threads: which block and table each is, and its models in the order of buckets. */
struct batch {
	const struct lineage_input *in;
	unsigned first, bits;
	struct keyed *k[BATCH];
	size_t n[BATCH];
};

static int fill_table(void *arg, size_t at)
{
	struct batch *t = arg;
	unsigned table = (t->first + (unsigned)at) % TABLES;
	int block = (int)((t->first + (unsigned)at) / TABLES);
	size_t n = 0;
	for (uint32_t i = 0; i < t->in->n; i++) {
		const struct sketch *s = t->in->models[i].sketch;
		if (takes_part(&t->in->models[i]) && s->scale[block] > 0)
			t->k[at][n++] = (struct keyed){bucket_of(s, block, table, t->bits),
						       hash64(s->v, sizeof s->v, table), i};
	}
	qsort(t->k[at], n, sizeof *t->k[at], cmp_keyed);
	t->n[at] = n;
	return 0;
}

static int meet_in_table(struct search *s, const struct keyed *k, size_t n, struct err *e)
{
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && k[j].key == k[i].key; j++)
			;
		int rc = meet(s, k + i, j - i, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int by_buckets(struct search *s, const struct cancel *cancel, struct err *e)
{
	const struct lineage_input *in = s->in;
	cleanup_free struct keyed *k = mem_array(BATCH * (in->n + 1), sizeof *k);
	if (!k)
		return err_nomem(e);
	struct batch t = {.in = in, .bits = bits_for(in->n)};
	for (size_t i = 0; i < BATCH; i++)
		t.k[i] = k + i * (in->n + 1);
	for (; t.first < SKETCH_BLOCKS * TABLES; t.first += BATCH) {
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		pool_for(in->threads ? in->threads : pool_cores(), BATCH, fill_table, &t);
		for (size_t i = 0; i < BATCH; i++) {
			int rc = meet_in_table(s, t.k[i], t.n[i], e);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Copies permuted in every way share nothing else. */
static int by_invariant(struct search *s, struct err *e)
{
	const struct lineage_input *in = s->in;
	cleanup_free struct keyed *k = mem_array(in->n + 1, sizeof *k);
	if (!k)
		return err_nomem(e);
	size_t n = 0;
	for (uint32_t i = 0; i < in->n; i++)
		if (takes_part(&in->models[i]) && in->models[i].sketch->invariant)
			k[n++] = (struct keyed){in->models[i].sketch->invariant, i, i};
	qsort(k, n, sizeof *k, cmp_keyed);
	for (size_t i = 1; i < n; i++)
		if (k[i].key == k[i - 1].key)
			join(s->up, k[i].model, k[i - 1].model);
	return 0;
}

static int cmp_doubt(const void *x, const void *y)
{
	const struct doubt *a = x, *b = y;
	if (a->z != b->z)
		return a->z > b->z ? -1 : 1;
	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return (a->b > b->b) - (a->b < b->b);
}

/* 1 kin, 0 not, or -errno. A signature that cannot be loaded says nothing. */
static int verify(const struct lineage_input *in, uint32_t a, uint32_t b, struct kinship *k, struct err *e)
{
	struct signature x, y;
	if (in->load(in->arg, a, &x, e))
		return 0;
	if (in->load(in->arg, b, &y, e)) {
		signature_release(&x);
		return 0;
	}
	int rc = renamed_take(&y, &x);
	rc = rc < 0 ? err_nomem(e) : kinship_of(k, &x, &y, e);
	signature_release(&x);
	signature_release(&y);
	return rc ? rc : kinship_holds(k);
}

struct content { uint32_t hash, model; };

static int cmp_content(const void *x, const void *y)
{
	const struct content *a = x, *b = y;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->model > b->model) - (a->model < b->model);
}

/* Models with an equal matrix, whatever it is called, against the first of them. */
static int look_inside(struct search *s, const struct content *c, size_t n, struct err *e)
{
	size_t strangers = 0;
	for (size_t i = 1; i < n && strangers < CHANCES; i++) {
		struct kinship k;
		if (find(s->up, c[i].model) == find(s->up, c[0].model))
			continue;
		int rc = verify(s->in, c[0].model, c[i].model, &k, e);
		if (rc < 0)
			return rc;
		if (rc)
			join(s->up, c[0].model, c[i].model);
		strangers += !rc;
	}
	return 0;
}

static int by_content(struct search *s, const struct cancel *cancel, struct err *e)
{
	const struct lineage_input *in = s->in;
	cleanup_free struct content *c = mem_array(in->n * SKETCH_CONTENTS + 1, sizeof *c);
	size_t n = 0;
	if (!c)
		return err_nomem(e);
	for (uint32_t i = 0; i < in->n; i++)
		for (int k = 0; takes_part(&in->models[i]) && k < SKETCH_CONTENTS && in->models[i].sketch->content[k];
		     k++)
			c[n++] = (struct content){in->models[i].sketch->content[k], i};
	qsort(c, n, sizeof *c, cmp_content);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && c[j].hash == c[i].hash; j++)
			;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		int rc = look_inside(s, c + i, j - i, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int settle(struct search *s, const struct cancel *cancel, struct err *e)
{
	if (s->n_doubt)
		qsort(s->doubt, s->n_doubt, sizeof *s->doubt, cmp_doubt);
	for (size_t i = 0; i < s->n_doubt; i++) {
		struct doubt d = s->doubt[i];
		if (find(s->up, d.a) == find(s->up, d.b))
			continue;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		struct kinship k;
		int rc = verify(s->in, d.a, d.b, &k, e);
		if (rc < 0)
			return rc;
		if (rc)
			join(s->up, d.a, d.b);
	}
	return 0;
}

int family_components(const struct lineage_input *in, uint32_t *family, const struct cancel *cancel, struct err *e)
{
	struct search s = {.in = in, .up = family};
	for (uint32_t i = 0; i < in->n; i++)
		family[i] = i;
	int rc = by_invariant(&s, e);
	if (!rc)
		rc = in->n <= BRUTE_MAX ? all_pairs(&s, cancel, e) : by_buckets(&s, cancel, e);
	rc = rc ? rc : settle(&s, cancel, e);
	rc = rc ? rc : by_content(&s, cancel, e);
	free(s.doubt);
	for (uint32_t i = 0; i < in->n; i++)
		family[i] = find(family, i);
	return rc;
}

int family_background(const struct lineage_input *in, const uint32_t *family, struct lineage_background *bg,
		      const struct cancel *cancel, struct err *e)
{
	*bg = (struct lineage_background){.sd = 1};
	cleanup_free struct keyed *k = mem_array(in->n + 1, sizeof *k);
	if (!k)
		return err_nomem(e);
	size_t n = 0;
	for (uint32_t i = 0; i < in->n; i++)
		if (takes_part(&in->models[i]))
			k[n++] = (struct keyed){in->models[i].sketch->shape,
						hash64(in->models[i].sketch, sizeof(struct sketch), 5), i};
	if (n)
		qsort(k, n, sizeof *k, cmp_keyed);	/* models of one shape stand together: the hardest to tell apart */
	double sum = 0, sq = 0;
	size_t step = n / BACKGROUND_PAIRS + 1;
	for (size_t i = 0; i < n && bg->pairs < BACKGROUND_PAIRS; i += step) {
		size_t j = i + 1;
		while (j < n && family[k[j].model] == family[k[i].model])
			j++;
		if (j >= n)
			continue;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		struct kinship kin = {0};
		int rc = verify(in, k[i].model, k[j].model, &kin, e);
		if (rc < 0)
			return rc;
		if (!kin.parts)
			continue;
		bg->pairs++;
		sum += kin.z;
		sq += kin.z * kin.z;
		bg->largest = kin.z > bg->largest ? kin.z : bg->largest;
	}
	if (bg->pairs >= 4) {
		bg->mean = sum / (double)bg->pairs;
		double var = sq / (double)bg->pairs - bg->mean * bg->mean;
		bg->sd = var > 0.01 ? sqrt(var) : 0.1;
	}
	return 0;
}
