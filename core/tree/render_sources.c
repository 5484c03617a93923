/* lineage/sources.tsv: where each tensor comes from (where-provenance: Buneman, Khanna, Tan, ICDT 2001). */
#include "core/base/mem.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct origin {
	const char *tensor, *source_tensor;	/* names, in the arena; NULL: none */
	int64_t tensor_at, source_at;
	uint32_t source;
	double weight, distance;
	char match[16];
};

struct origins {
	struct origin *o;
	size_t n, cap;
	struct arena arena;
};

static int origin_row(void *arg, const struct catalog_row *r)
{
	struct origins *x = arg;
	if (mem_grow(&x->o, &x->cap, x->n + 1) < 0)
		return -ENOMEM;
	struct origin *o = &x->o[x->n++];
	*o = (struct origin){
		.tensor_at = catalog_int(r, 0),
		.source = (uint32_t)catalog_int(r, 1),
		.source_at = catalog_int(r, 2),
		.weight = catalog_null(r, 3) ? NAN : catalog_real(r, 3),
		.distance = catalog_null(r, 5) ? NAN : catalog_real(r, 5),
	};
	strncpy(o->match, catalog_text(r, 4, NULL), sizeof o->match - 1);
	return 0;
}

static const char *tensor_name(struct origins *x, const struct inspect *in, int64_t at)
{
	return at >= 0 && (uint64_t)at < in->weights.n_tensors ? arena_strdup(&x->arena, in->weights.tensors[at].name)
							       : NULL;
}

/* Names of one model's tensors, wherever it is a source; each model is opened once. */
static int name_source(struct render *r, struct origins *x, uint32_t id)
{
	const struct view_model *m = view_by_id(r->view, id);
	struct opened o;
	if (!m)
		return 0;
	int rc = open_model(r, m, &o);
	if (rc < 0)
		return rc == -ENOMEM ? rc : 0;	/* gone or broken since: its row stays without the tensor's name */
	for (size_t i = 0; i < x->n; i++)
		if (x->o[i].source == id && !x->o[i].source_tensor)
			x->o[i].source_tensor = tensor_name(x, &o.inspect, x->o[i].source_at);
	opened_release(&o);
	return 0;
}

static int name_all(struct render *r, struct origins *x)
{
	struct opened self;
	int rc = open_model(r, r->model, &self);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < x->n; i++)
		x->o[i].tensor = tensor_name(x, &self.inspect, x->o[i].tensor_at);
	opened_release(&self);
	for (size_t i = 0; i < x->n && rc == 0; i++) {
		bool first = x->o[i].source != 0;
		for (size_t k = 0; k < i && first; k++)
			first = x->o[k].source != x->o[i].source;
		if (first)
			rc = name_source(r, x, x->o[i].source);
		if (cancel_asked(r->cancel))
			rc = -ECANCELED;
	}
	return rc;
}

static int cmp_place(const struct origin *x, const struct origin *y)
{
	int c = strcmp(x->tensor ? x->tensor : "", y->tensor ? y->tensor : "");
	if (!c)
		c = (x->source > y->source) - (x->source < y->source);
	return c ? c : (x->source_at > y->source_at) - (x->source_at < y->source_at);
}

static int by_place(const void *a, const void *b)
{
	const struct origin *x = a, *y = b;
	int c = cmp_place(x, y);
	return c ? c : (x->distance < y->distance) - (x->distance > y->distance);
}

/* Parts of one tensor that come from one tensor are one row: of the part that is farthest from it. */
static void join_parts(struct origins *x)
{
	size_t kept = 0;
	if (x->n)
		qsort(x->o, x->n, sizeof *x->o, by_place);
	for (size_t i = 0; i < x->n; i++)
		if (!kept || cmp_place(&x->o[kept - 1], &x->o[i]))
			x->o[kept++] = x->o[i];
	x->n = kept;
}

int render_sources(struct render *r)
{
	struct origins x = {0};
	struct table tb;
	int rc = catalog_each(tree_catalog(r->tree), Q_ORIGINS, r->err, origin_row, &x, "i", (int64_t)r->model->id);
	if (rc == 0 && x.n)
		rc = name_all(r, &x);
	if (rc == 0)
		join_parts(&x);
	table_begin(&tb, r->out, r->json, "tensor source source_tensor weight match distance");
	for (size_t i = 0; i < x.n && rc == 0; i++) {
		const struct view_model *m = x.o[i].source ? view_by_id(r->view, x.o[i].source) : NULL;
		bool told = m && model_shown(r->tree, m);
		table_text(&tb, x.o[i].tensor);
		table_text(&tb, told ? view_name(r->view, m) : NULL);
		table_text(&tb, told ? x.o[i].source_tensor : NULL);
		table_opt(&tb, x.o[i].weight);
		table_text(&tb, x.o[i].match);
		table_opt(&tb, x.o[i].distance);
	}
	table_end(&tb);
	free(x.o);
	arena_release(&x.arena);
	return rc;
}
