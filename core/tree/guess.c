/*
 * Sizes before anything was computed: from what the view and the catalog know, rather too large than too small. None
 * reads the lake; those of files in models/ take no lock.
 */
#include "core/base/mem.h"
#include "core/lake/scan.h"
#include "core/tree/functions.h"

/* `times` the bytes of a table with a row a tensor, of both models where there are two; unknown: the row's estimate. */
static uint64_t tensors_times(struct view *v, struct node n, uint64_t times)
{
	const struct row *row = &rows[n.kind];
	const struct view_model *m = view_by_id(v, n.model), *o = row->flags & ROW_PAIR ? view_by_id(v, n.x) : m;
	uint64_t of_m = m ? view_breadth(m) : 0, of_o = o ? view_breadth(o) : 0;
	return of_m && of_o ? times * (o == m ? of_m : of_m + of_o) : row->estimate;
}

uint64_t guess_tensors(struct tree *t, struct view *v, struct node n) { (void)t; return tensors_times(v, n, 1); }
uint64_t guess_statistics(struct tree *t, struct view *v, struct node n) { (void)t; return tensors_times(v, n, 4); }
uint64_t guess_sources(struct tree *t, struct view *v, struct node n) { (void)t; return tensors_times(v, n, 8); }
uint64_t guess_diff(struct tree *t, struct view *v, struct node n) { (void)t; return tensors_times(v, n, 4); }

/* A sample is not larger than the whole. */
uint64_t guess_signature(struct tree *t, struct view *v, struct node n)
{
	(void)t;
	const struct view_model *m = view_by_id(v, n.model);
	uint64_t elements = m ? view_elements(m) : 0, most = rows[n.kind].estimate;
	return elements && elements < most / 8 ? elements * 4 + 4096 : most;
}

static uint64_t bytes_of(struct tree *t, enum query q, uint32_t model, int kind)
{
	int64_t n = kind < 0 ? catalog_number(tree_catalog(t), q, 0, "i", (int64_t)model) :
			       catalog_number(tree_catalog(t), q, 0, "ii", (int64_t)model, (int64_t)kind);
	return n > 0 ? (uint64_t)MIN(n, (int64_t)1 << 50) : 0;
}

/* Until its header is known: as float32, of which the smallest types take an eighth. */
uint64_t guess_export(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	return 8 * bytes_of(t, Q_FILE_BYTES, n.model, SCAN_WEIGHTS) + (1 << 20);
}

/* All lines of both; JSON is written out, a value on a line. */
uint64_t guess_documents(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	int kind = n.kind == KIND_DIFF_CONFIG ? SCAN_CONFIG : n.kind == KIND_DIFF_CARD ? SCAN_CARD : SCAN_TOKENIZER;
	return 6 * (bytes_of(t, Q_FILE_BYTES, n.model, kind) + bytes_of(t, Q_FILE_BYTES, n.x, kind)) + 16384;
}

/* Each byte may take four to show. */
uint64_t guess_evaluations(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	return 4 * bytes_of(t, Q_EVALUATION_BYTES, n.model, -1) + 4096;
}

uint64_t guess_problems(struct tree *t, struct view *v, struct node n)
{
	const struct view_model *m = view_by_id(v, n.model);
	uint64_t some = m && (m->flags & VIEW_PROBLEMS) ? 4 * bytes_of(t, Q_PROBLEM_BYTES, n.model, -1) : 0;
	return some + rows[n.kind].estimate + (m && (m->flags & VIEW_HAZARDS) ? 1 << 18 : 0);
}

/* Lake-wide tables: some rows a model, of some names. */
uint64_t guess_lake(struct tree *t, struct view *v, struct node n)
{
	(void)t, (void)n;
	return 65536 + (uint64_t)v->pool_len * 8 + (uint64_t)v->n * 1024;
}

/* Of a model's kin, who may be all of the lake. */
uint64_t guess_kin(struct tree *t, struct view *v, struct node n)
{
	(void)t;
	uint64_t most = rows[n.kind].estimate, all = 8192 + (uint64_t)v->pool_len * 8 + (uint64_t)v->n * 1536;
	return MIN(most, all);
}
