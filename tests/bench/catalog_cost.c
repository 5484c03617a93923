/*
 * What lineage costs in a large lake: synthetic catalogs of families of 2 to 2,000 models, each a random tree of small
 * steps from one start. Sketches lie in memory; signatures are made again whenever they are loaded, where a catalog
 * would read them: that takes longer than decoding one, and counts.
 *
 *   catalog_cost [MODELS…]      default 1000 10000 100000
 *
 * Prints seconds, peak memory, families found, and the exponent between sizes; exits 1 beyond 120 s, 4 GiB or an
 * exponent of 1.2.
 */
#include "core/analysis/lineage.h"

#include "tests/support/made_signature.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static const struct made_model shape = {4, 32, DTYPE_BF16};

enum { NORMALS = 1 << 16 };

struct catalog {
	uint32_t *family, *parent;
	struct sketch *sketch;
	size_t n, families;
	float normal[NORMALS + 2048];	/* the embedding, the largest part, has 2048 values */
};

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Add normal values from the first thousand of the table, six to a number: no two starts share any. */
static void add_start(const float *normal, struct signature *s, uint64_t seed, float scale)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		size_t n = (size_t)p->nr * p->nc, k = 0;
		for (uint64_t at = hash_mix(seed + i); k < n; at++) {
			uint64_t h = hash_mix(at);
			for (size_t j = 0; j < 6 && k < n; j++, h >>= 10)
				p->v[k++] += scale * normal[h & 1023];
		}
	}
}

/* Add normal values: a stretch of the table that follows from the seed and the part. */
static void add_step(const float *normal, struct signature *s, uint64_t seed, float scale)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		size_t n = (size_t)p->nr * p->nc;
		const float *from = normal + (hash_mix(seed + i) & (NORMALS - 1));
		for (size_t k = 0; k < n; k++)
			p->v[k] += scale * from[k];
	}
}

/* To bf16 and back; all values are finite. */
static float rounded(float x)
{
	union { float f; uint32_t u; } v = {x};
	v.u = (v.u + 0x7fff + (v.u >> 16 & 1)) & 0xffff0000u;
	return v.f;
}

/* As made_finish, but for the sketch and the key: what is loaded has them. */
static void finish(struct signature *s)
{
	qsort(s->parts, s->n_parts, sizeof *s->parts, sigpart_cmp);
	for (size_t i = 0; i < s->n_parts; i++) {
		struct sigpart *p = &s->parts[i];
		size_t n = (size_t)p->nr * p->nc;
		for (size_t k = 0; k < n; k++)
			p->v[k] = rounded(p->v[k]);
		p->content = hash64(p->v, n * sizeof *p->v, 3) | 1;
		s->parameters += n;
	}
}

static int make(const struct catalog *c, uint32_t i, struct signature *s)
{
	if (made_shape(s, &shape))
		return -ENOMEM;
	add_start(c->normal, s, hash_mix(c->family[i] + 1000003u), 0.05f);
	for (uint32_t m = i; c->parent[m] != UINT32_MAX; m = c->parent[m])
		add_step(c->normal, s, hash_mix(m * 2654435761u), 0.004f);
	finish(s);
	return 0;
}

static int load(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	const struct catalog *c = arg;
	if (make(c, i, s))
		return err_nomem(e);
	s->sketch = c->sketch[i];
	return 0;
}

/* Sizes like 1/s between 2 and 2,000: most families small, most models in large ones. */
static void plan(struct catalog *c)
{
	uint64_t r = 42, state = 1;
	for (size_t i = 0; i < COUNT(c->normal); i++)
		c->normal[i] = made_normal(&state);
	uint32_t last = UINT32_MAX, first = 0;
	for (uint32_t i = 0, left = 0; i < c->n; i++, left--) {
		r = hash_mix(r);
		if (!left) {
			left = (uint32_t)(2.0 * pow(1000.0, (double)(r >> 11) / 9007199254740992.0));
			first = i;
			last++;
			r = hash_mix(r);
		}
		c->family[i] = last;
		c->parent[i] = i == first ? UINT32_MAX : first + (uint32_t)(r % (i - first)) / 4;
	}
	c->families = last + 1u;
}

static double measure(size_t n, double *peak)
{
	struct catalog c = {.n = n};
	c.family = mem_array(n, sizeof *c.family);
	c.parent = mem_array(n, sizeof *c.parent);
	c.sketch = mem_array(n, sizeof *c.sketch);
	struct lineage_model *m = mem_array(n, sizeof *m);
	if (!c.family || !c.parent || !c.sketch || !m)
		abort();
	plan(&c);
	double t0 = now(CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < n; i++) {
		struct signature s;
		if (make(&c, i, &s))
			abort();
		sketch_of(&s.sketch, &s);
		c.sketch[i] = s.sketch;
		m[i] = (struct lineage_model){.sketch = &c.sketch[i], .rank = i};
		signature_release(&s);
	}
	double t1 = now(CLOCK_MONOTONIC), c1 = now(CLOCK_PROCESS_CPUTIME_ID);
	struct lineage_input in = {.models = m, .n = n, .load = load, .arg = &c};
	struct lineage l;
	struct err e = ERR_INIT;
	if (lineage_all(&l, &in, NULL, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	double t2 = now(CLOCK_MONOTONIC), c2 = now(CLOCK_PROCESS_CPUTIME_ID);
	size_t right = 0;
	for (size_t i = 0; i < l.n_edges; i++)
		right += c.parent[l.edges[i].child] == l.edges[i].parent;
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	*peak = (double)u.ru_maxrss / 1024 / 1024;
	printf("%7zu models: lineage %.2f s, processor %.2f s (making them %.2f s), peak %.2f GiB, "
	       "families %zu of %zu, edges %zu, the planned parent in %zu\n", n, t2 - t1, c2 - c1, t1 - t0, *peak,
	       l.n_families, c.families, l.n_edges, right);
	fflush(stdout);
	lineage_release(&l);
	free(c.family);
	free(c.parent);
	free(c.sketch);
	free(m);
	return t2 - t1;
}

int main(int argc, char **argv)
{
	size_t sizes[16] = {1000, 10000, 100000}, n = 3;
	double last = 0, peak, worst = 0;
	for (int i = 1; i < argc && i <= 16; i++) {
		sizes[i - 1] = strtoul(argv[i], NULL, 10);
		n = (size_t)i;
	}
	int bad = 0;
	for (size_t i = 0; i < n; i++) {
		double t = measure(sizes[i], &peak);
		if (i) {
			double x = log(t / last) / log((double)sizes[i] / (double)sizes[i - 1]);
			printf("        exponent %.2f\n", x);
			worst = x > worst ? x : worst;
		}
		last = t;
		bad |= t > 120 || peak > 4;
	}
	printf("largest exponent %.2f (at most 1.2), 120 s and 4 GiB %s\n", worst, bad ? "exceeded" : "kept");
	return bad || worst > 1.2;
}
