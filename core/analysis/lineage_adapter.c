/*
 * Unmerged adapters and their bases. The weights of an adapter say little of its base: the config names it, shapes check it.
 * Where the config names none that is in the lake, the roots of families whose shapes fit are told as related, with the
 * confidence that choosing among them has; a base that is alone in fitting is the base.
 */
#include "core/analysis/lineage_internal.h"

#include "core/analysis/sample.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROOTS_TRIED = 256, ROOTS_TOLD = 5 };

struct fit { size_t places, fitting; uint32_t rank; };

enum { COMPONENTS = 16, COMPONENT_LEN = 32 };

/* A role is preceded by its component's name where a model has several, and a pipeline has more than
 * its adapter. */
struct components { char name[COMPONENTS][COMPONENT_LEN]; size_t n; };

static void components_of(const struct signature *s, struct components *c)
{
	c->n = 0;
	for (size_t i = 0; i < s->n_parts && c->n < COMPONENTS; i++) {
		const char *role = s->parts[i].role, *colon = strchr(role, ':');
		size_t len = colon ? (size_t)(colon + 1 - role) : 0, k = 0;
		if (!len || len >= COMPONENT_LEN)
			continue;
		while (k < c->n && (strncmp(c->name[k], role, len) || c->name[k][len]))
			k++;
		if (k == c->n)
			snprintf(c->name[c->n++], COMPONENT_LEN, "%.*s", (int)len, role);
	}
}

static const struct sigpart *adapted(const struct signature *base, const struct components *c, const char *role,
				     const struct sigpart *a)
{
	const char *bare = strchr(role, ':');
	const struct sigpart *p = signature_find(base, sample_role_hash(role), a->layer, a->expert);
	if (!p && bare)
		return signature_find(base, sample_role_hash(bare + 1), a->layer, a->expert);
	for (size_t i = 0; !p && i < c->n; i++) {
		uint64_t hash;
		cleanup_free char *full = mem_alloc(strlen(c->name[i]) + strlen(role) + 1);
		if (!full)
			return NULL;
		hash = sample_role_hash(strcat(strcpy(full, c->name[i]), role));
		p = signature_find(base, hash, a->layer, a->expert);
	}
	return p;
}

/* How many of the adapter's pairs (A: rank x in, B: out x rank) have the shape of the base's matrix in their place. */
static int shapes(const struct signature *adapter, const struct signature *base, struct fit *out, struct err *e)
{
	struct components c;
	*out = (struct fit){0};
	components_of(base, &c);
	for (size_t i = 0; i < adapter->n_parts; i++) {
		const struct sigpart *a = &adapter->parts[i];
		size_t n = strlen(a->role);
		if (n <= 7 || strcmp(a->role + n - 7, ".lora_a"))
			continue;
		cleanup_free char *role = mem_strdup(a->role);
		if (!role)
			return err_nomem(e);
		role[n - 1] = 'b';
		const struct sigpart *b = signature_find(adapter, sample_role_hash(role), a->layer, a->expert);
		role[n - 7] = 0;
		const struct sigpart *w = adapted(base, &c, role, a);
		out->places++;
		out->rank = (uint32_t)MIN(a->rows, (uint64_t)UINT32_MAX);
		out->fitting += b && w && a->rows == b->cols && a->cols == w->cols && b->rows == w->rows;
	}
	return 0;
}

struct bases { uint32_t who[ROOTS_TRIED]; size_t n; struct fit fit; };

static int try_base(const struct lineage_input *in, const struct signature *adapter, uint32_t who, struct bases *out, struct err *e)
{
	struct signature s;
	struct fit fit;
	if (in->load(in->arg, who, &s, NULL))
		return 0;
	int rc = shapes(adapter, &s, &fit, e);
	signature_release(&s);
	if (!rc && fit.places && fit.fitting == fit.places && out->n < ROOTS_TRIED) {
		out->who[out->n++] = who;
		out->fit = fit;
	}
	return rc;
}

static int add_edge(struct lineage *l, uint32_t child, uint32_t parent, enum relation r, double confidence, enum basis basis,
		    const char *method, const char *evidence, struct err *e)
{
	int rc = lineage_add_edge(l, &(struct lineage_edge){.child = child, .parent = parent, .relation = r, .weight = 1, .confidence = confidence,
				  .basis = basis, .distance = 1, .method = method}, evidence,
				  "every pair of low-rank factors has the shape of the base's matrix in its place\n");
	return rc ? err_nomem(e) : 0;
}

/* The roots of families, where a base that is not named would most likely stand. */
static int try_roots(const struct lineage *l, const struct lineage_input *in, const struct signature *adapter, struct bases *out, struct err *e)
{
	for (size_t i = 0; i < l->n_families && i < ROOTS_TRIED; i++) {
		const struct lineage_family *fm = &l->families[i];
		uint32_t root = fm->root != LINEAGE_NONE ? fm->root : fm->members[0];
		if (!in->models[root].sketch || in->models[root].adapter)
			continue;
		int rc = try_base(in, adapter, root, out, e);
		if (rc)
			return rc;
	}
	return 0;
}

static int one_adapter(struct lineage *l, const struct lineage_input *in, uint32_t a, struct err *e)
{
	const struct adapter_hints *h = in->models[a].adapter;
	struct signature s;
	struct bases b = {0};
	char text[200];
	if (in->load(in->arg, a, &s, NULL))
		return 0;
	int rc = 0;
	for (size_t i = 0; i < h->n_bases && !rc && !b.n; i++)
		if (h->bases[i] < in->n && h->bases[i] != a)
			rc = try_base(in, &s, h->bases[i], &b, e);
	bool named = b.n > 0;
	if (!rc && !named)
		rc = try_roots(l, in, &s, &b, e);
	signature_release(&s);
	if (rc || !b.n)
		return rc;
	snprintf(text, sizeof text, "rank %u, %zu matrices, all shapes fit%s", b.fit.rank, b.fit.places, named ? "" : "; the config names no model of the lake");
	if (named)
		return add_edge(l, a, b.who[0], RELATION_ADAPTER, 0.95, BASIS_WEIGHTS_DECLARED, "base of the config, checked by shape", text, e);
	for (size_t i = 0; i < b.n && i < ROOTS_TOLD && !rc; i++)
		rc = add_edge(l, a, b.who[i], RELATION_RELATED, 0.5 / (double)b.n, BASIS_WEIGHTS, "shapes fit", text, e);
	return rc;
}

int lineage_adapters(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e)
{
	for (uint32_t i = 0; i < in->n; i++) {
		if (!in->models[i].adapter || !in->models[i].sketch)
			continue;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		int rc = one_adapter(out, in, i, e);
		if (rc)
			return rc;
	}
	return 0;
}
