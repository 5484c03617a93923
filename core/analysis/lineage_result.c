/* What lineage found out: edges, sources, families and problems, gathered and put in order. */
#include "core/analysis/lineage_internal.h"

#include <errno.h>
#include <math.h>

const char *relation_name(enum relation r)
{
	static const char *const name[RELATION_COUNT] = {
		"finetune", "lora",     "adapter",  "quantized",     "cast",      "merge",   "stitch",
		"pruned",   "extended", "permuted", "reinitialized", "duplicate", "related",
	};
	return r < RELATION_COUNT ? name[r] : "related";
}

const char *basis_name(enum basis b)
{
	return b == BASIS_WEIGHTS ? "weights" : b == BASIS_WEIGHTS_DATES ? "weights+dates" : "weights+declared";
}

const char *match_name(enum match m)
{
	static const char *const name[] = {"copied", "rounded", "mixed", "changed", "new"};
	return m < COUNT(name) ? name[m] : "new";
}

void lineage_release(struct lineage *l)
{
	free(l->edges);
	free(l->sources);
	free(l->families);
	free(l->problems);
	arena_release(&l->arena);
	*l = (struct lineage){0};
}

/* Grows by doubling, keeping the count beside; capacities are powers of two so that none need be stored. */
static int grow(void **p, size_t n, size_t size, struct err *e)
{
	if (n & (n - 1) || (n && n < 16))
		return 0;
	size_t cap = n ? 2 * n : 16;
	void *q = cap > SIZE_MAX / size ? NULL : mem_realloc(*p, cap * size);
	if (!q)
		return err_nomem(e);
	*p = q;
	return 0;
}

int lineage_add_edge(struct lineage *l, const struct lineage_edge *d, const char *evidence, const char *why)
{
	int rc = grow((void **)&l->edges, l->n_edges, sizeof *l->edges, NULL);
	struct lineage_edge out = *d;
	out.evidence = rc ? NULL : arena_strdup(&l->arena, evidence);
	out.why = rc ? NULL : arena_strdup(&l->arena, why);
	if (!out.evidence || !out.why)
		return -ENOMEM;
	l->edges[l->n_edges++] = out;
	return 0;
}

int lineage_add_source(struct lineage *l, const struct lineage_source *s, struct err *e)
{
	int rc = grow((void **)&l->sources, l->n_sources, sizeof *l->sources, e);
	if (!rc)
		l->sources[l->n_sources++] = *s;
	return rc;
}

int lineage_add_problem(struct lineage *l, uint32_t model, const char *problem, const char *detail, struct err *e)
{
	int rc = grow((void **)&l->problems, l->n_problems, sizeof *l->problems, e);
	const char *text = rc ? NULL : arena_strdup(&l->arena, detail);
	if (!rc && !text)
		rc = err_nomem(e);
	if (!rc)
		l->problems[l->n_problems++] = (struct lineage_problem){model, problem, text};
	return rc;
}

int lineage_add_family(struct lineage *l, uint32_t *members, size_t n, struct err *e)
{
	int rc = grow((void **)&l->families, l->n_families, sizeof *l->families, e);
	if (!rc)
		l->families[l->n_families++] = (struct lineage_family){LINEAGE_NONE, members, n};
	return rc;
}

int lineage_absorb(struct lineage *l, const struct lineage *p, struct err *e)
{
	for (size_t i = 0; i < p->n_edges; i++) {
		const struct lineage_edge *d = &p->edges[i];
		if (lineage_add_edge(l, d, d->evidence, d->why))
			return err_nomem(e);
	}
	for (size_t i = 0; i < p->n_sources; i++) {
		int rc = lineage_add_source(l, &p->sources[i], e);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < p->n_problems; i++) {
		int rc = lineage_add_problem(l, p->problems[i].model, p->problems[i].problem, p->problems[i].detail, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int cmp_size(const void *x, const void *y, void *arg)
{
	const struct lineage_family *f = arg;
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
	return f[a].n != f[b].n ? (f[a].n > f[b].n ? -1 : 1) : (a > b) - (a < b);
}

void lineage_by_size(const struct lineage *l, uint32_t *order)
{
	for (size_t i = 0; i < l->n_families; i++)
		order[i] = (uint32_t)i;
	if (l->n_families)
		qsort_r(order, l->n_families, sizeof *order, cmp_size, l->families);
}

static int cmp_edges(const void *x, const void *y, void *arg)
{
	const struct lineage_edge *a = x, *b = y;
	const struct lineage_model *m = arg;
	if (a->child != b->child)
		return m[a->child].rank != m[b->child].rank ? (m[a->child].rank < m[b->child].rank ? -1 : 1)
							    : (a->child < b->child ? -1 : 1);
	double wa = isnan(a->weight) ? -INFINITY : a->weight, wb = isnan(b->weight) ? -INFINITY : b->weight;
	if (wa != wb)
		return wa > wb ? -1 : 1;
	if (a->confidence != b->confidence)
		return a->confidence > b->confidence ? -1 : 1;
	return (m[a->parent].rank > m[b->parent].rank) - (m[a->parent].rank < m[b->parent].rank);
}

static int cmp_sources(const void *x, const void *y)
{
	const struct lineage_source *a = x, *b = y;
	if (a->child != b->child)
		return a->child < b->child ? -1 : 1;
	if (a->tensor != b->tensor)
		return a->tensor < b->tensor ? -1 : 1;
	return a->weight > b->weight ? -1 : a->weight < b->weight;
}

/* The root of a family: the one member with children and no parent; none when there are several. */
static int name_roots(struct lineage *l, size_t n, struct err *e)
{
	cleanup_free uint8_t *has = mem_array(n + 1, 1);
	if (!has)
		return err_nomem(e);
	for (size_t i = 0; i < l->n_edges; i++) {
		has[l->edges[i].child] |= l->edges[i].relation == RELATION_RELATED ? 4 : 1;
		has[l->edges[i].parent] |= l->edges[i].relation == RELATION_RELATED ? 4 : 2;
	}
	for (size_t i = 0; i < l->n_families; i++) {
		struct lineage_family *fm = &l->families[i];
		uint32_t root = LINEAGE_NONE;
		size_t k = 0;
		for (size_t j = 0; j < fm->n; j++)
			if (!(has[fm->members[j]] & 1)) {
				root = fm->members[j];
				k++;
			}
		fm->root = k == 1 && (fm->n == 1 || (has[root] & 2)) ? root : LINEAGE_NONE;
	}
	return 0;
}

int lineage_finish(struct lineage *l, const struct lineage_input *in, struct err *e)
{
	if (l->n_edges)
		qsort_r(l->edges, l->n_edges, sizeof *l->edges, cmp_edges, (void *)in->models);
	if (l->n_sources)
		qsort(l->sources, l->n_sources, sizeof *l->sources, cmp_sources);
	return name_roots(l, in->n, e);
}
