/* The lineage of a snapshot as rows: edges, families, sources, reasons, and the facets that follow from them. */
#include "core/job/store.h"

#include "core/base/mem.h"

#include <math.h>
#include <string.h>

static int put_edges(struct catalog *c, const struct lineage *l, const uint32_t *ids, struct err *e)
{
	int r = 0;
	uint32_t child = LINEAGE_NONE, n = 0;
	for (size_t i = 0; i < l->n_edges && !r; i++) {
		const struct lineage_edge *d = &l->edges[i];
		n = d->child == child ? n + 1 : 0;
		child = d->child;
		r = catalog_do(c, Q_EDGE_PUT, e, "iiisddsdsss", (int64_t)ids[d->child], (int64_t)n,
			       (int64_t)ids[d->parent], relation_name(d->relation), d->weight, d->confidence,
			       basis_name(d->basis), d->distance, d->method, d->evidence, d->why);
	}
	return r;
}

static int put_sources(struct catalog *c, const struct lineage *l, const uint32_t *ids, struct err *e)
{
	int r = 0;
	uint32_t child = LINEAGE_NONE, n = 0;
	for (size_t i = 0; i < l->n_sources && !r; i++) {
		const struct lineage_source *s = &l->sources[i];
		n = s->child == child ? n + 1 : 0;
		child = s->child;
		bool none = s->source == LINEAGE_NONE;
		r = catalog_do(c, Q_ORIGIN_PUT, e, "iiiiidsd", (int64_t)ids[s->child], (int64_t)n, (int64_t)s->tensor,
			       none ? (int64_t)0 : (int64_t)ids[s->source],
			       none ? (int64_t)-1 : (int64_t)s->source_tensor, s->weight, match_name(s->match),
			       s->distance);
	}
	return r;
}

static int join(struct catalog *c, const char *key, const char *value, uint32_t id, struct err *e)
{
	int r = catalog_do(c, Q_FACET_PUT, e, "ss", key, value);
	return r < 0 ? r : catalog_do(c, Q_FACET_JOIN, e, "ssi", key, value, (int64_t)id);
}

static int put_families(struct catalog *c, const struct lineage *l, const struct view *v, const uint32_t *ids,
			struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < l->n_families && !r; i++) {
		const struct lineage_family *f = &l->families[i];
		bool rooted = f->root != LINEAGE_NONE;
		/* without a root in the lake the family is named by its smallest id and '~' */
		uint32_t root = ids[rooted ? f->root : f->members[0]];
		cleanup_buf struct buf name = {0};
		buf_printf(&name, "%s%s", view_name(v, view_by_id(v, root)), rooted ? "" : "~");
		for (char *p = name.data; p && *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p += 'a' - 'A';
		for (size_t k = 0; k < f->n && !r; k++) {
			r = catalog_do(c, Q_FAMILY_PUT, e, "iii", (int64_t)ids[f->members[k]], (int64_t)root,
				       (int64_t)rooted);
			if (!r)
				r = join(c, "family", name.failed ? "" : name.data, ids[f->members[k]], e);
		}
	}
	return r;
}

static int put_relations(struct catalog *c, const struct lineage *l, const uint32_t *ids, struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < l->n_edges && !r; i++)
		r = join(c, "relation", relation_name(l->edges[i].relation), ids[l->edges[i].child], e);
	return r;
}

static const char *const facets[] = {"family", "relation"};

static int clear_all(struct catalog *c, struct err *e)
{
	static const enum query clears[] = {Q_EDGE_CLEAR, Q_ORIGIN_CLEAR, Q_FAMILY_CLEAR};
	int r = 0;
	for (size_t i = 0; i < COUNT(clears) && !r; i++)
		r = catalog_do(c, clears[i], e, "");
	for (size_t i = 0; i < COUNT(facets) && !r; i++)
		r = catalog_do(c, Q_FACET_KEY_DROP, e, "s", facets[i]);
	return r;
}

static int clear_some(struct catalog *c, const uint32_t *ids, size_t n, struct err *e)
{
	static const enum query drops[] = {Q_EDGES_DROP, Q_ORIGINS_DROP, Q_FAMILY_DROP};
	int r = 0;
	for (size_t k = 0; k < n && !r; k++) {
		for (size_t i = 0; i < COUNT(drops) && !r; i++)
			r = catalog_do(c, drops[i], e, "i", (int64_t)ids[k]);
		for (size_t i = 0; i < COUNT(facets) && !r; i++)
			r = catalog_do(c, Q_FACET_OF_DROP, e, "is", (int64_t)ids[k], facets[i]);
	}
	return r;
}

int store_put_lineage(struct catalog *c, const struct lineage *l, const struct view *v, const uint32_t *ids, size_t n,
		      bool all, struct err *e)
{
	int r = all ? clear_all(c, e) : clear_some(c, ids, n, e);
	if (!r)
		r = put_edges(c, l, ids, e);
	if (!r)
		r = put_sources(c, l, ids, e);
	if (!r)
		r = put_families(c, l, v, ids, e);
	if (!r)
		r = put_relations(c, l, ids, e);
	for (size_t i = 0; i < COUNT(facets) && !r; i++) {
		r = catalog_do(c, Q_FACET_PUT, e, "ss", facets[i], "_none");
		if (!r)
			r = catalog_do(c, Q_FACET_EMPTY, e, "s", facets[i]);
	}
	for (size_t i = 0; i < l->n_problems && !r; i++)
		r = catalog_do(c, Q_PROBLEM_ADD, e, "isss", (int64_t)ids[l->problems[i].model], "",
			       l->problems[i].problem, l->problems[i].detail);
	return r;
}
