/* Where-provenance (Buneman, Khanna, Tan 2001): for each tensor of a child, which tensor of which parent it comes from, and how. */
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double relative(const float *x, const float *y, size_t n)
{
	double d = lanes_distance2(x, y, n), s = lanes_norms2(x, y, n);
	return s > 0 ? sqrt(d / s) : 0;
}

static enum match match_of(const struct fam *f, const struct lineage_edge *d, uint32_t c, uint32_t p, size_t slot,
			   double *distance)
{
	const float *x = fam_x(f, c, slot), *y = fam_x(f, p, slot);
	const struct sigpart *pc = fam_part(f, c, slot), *pp = fam_part(f, p, slot);
	size_t n = f->v.slot[slot].n;
	*distance = 1;
	if (!x || !y)
		return pc->content && pc->content == pp->content ? MATCH_COPIED : MATCH_CHANGED;
	*distance = relative(x, y, n);
	if (d->relation == RELATION_MERGE)
		return MATCH_MIXED;
	if (*distance == 0 && pc->rows == pp->rows && pc->cols == pp->cols &&
	    (!pc->content || !pp->content || pc->content == pp->content))
		return pc->dtype == pp->dtype ? MATCH_COPIED : MATCH_ROUNDED;
	if (d->relation == RELATION_QUANTIZED || d->relation == RELATION_CAST)
		return MATCH_ROUNDED;
	return MATCH_CHANGED;
}

static int edge_sources(struct fam *f, const struct lineage_edge *d, uint32_t c, uint32_t p, struct err *e)
{
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct sigpart *pc = fam_part(f, c, i), *pp = fam_part(f, p, i);
		if (!pc || pc->flags & SIGPART_INTEGER)
			continue;
		struct lineage_source s = {.child = d->child,
					   .tensor = pc->tensor,
					   .source = pp ? d->parent : LINEAGE_NONE,
					   .source_tensor = pp ? pp->tensor : LINEAGE_NONE,
					   .weight = d->weight,
					   .match = MATCH_NEW,
					   .distance = 1};
		if (pp)
			s.match = match_of(f, d, c, p, i, &s.distance);
		if (d->relation == RELATION_REINITIALIZED && s.distance > 0.6 && fam_matrix(f, i)) {
			s.match = MATCH_NEW;
			s.source = s.source_tensor = LINEAGE_NONE;
		}
		int rc = lineage_add_source(f->out, &s, e);
		if (rc)
			return rc;
	}
	return 0;
}

struct place { uint32_t model, member; };

static int cmp_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	return (x->model > y->model) - (x->model < y->model);
}

static uint32_t member_of(const struct place *at, size_t n, uint32_t model)
{
	const struct place key = {model, 0}, *found = bsearch(&key, at, n, sizeof *at, cmp_place);
	return found ? found->member : UINT32_MAX;
}

int sources_find(struct fam *f, struct err *e)
{
	cleanup_free struct place *at = mem_array(f->n + 1, sizeof *at);
	if (!at)
		return err_nomem(e);
	for (uint32_t m = 0; m < f->n; m++)
		at[m] = (struct place){f->member[m], m};
	qsort(at, f->n, sizeof *at, cmp_place);
	for (size_t k = 0; k < f->out->n_edges; k++) {
		const struct lineage_edge d = f->out->edges[k];
		uint32_t c = member_of(at, f->n, d.child), p = member_of(at, f->n, d.parent);
		if (c == UINT32_MAX || p == UINT32_MAX || d.relation == RELATION_RELATED ||
		    f->node[c].state == NODE_STITCH)
			continue;
		int rc = edge_sources(f, &d, c, p, e);
		if (rc)
			return rc;
	}
	return 0;
}
