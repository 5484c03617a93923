/* diff/FLATID/OTHER/tensors.tsv: what became of each tensor. */
#include "core/lake/inspect.h"
#include "core/tree/diffs.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <math.h>
#include <string.h>

static void cell_shape(struct table *tb, const struct diff_model *m, uint32_t tensor, uint32_t part)
{
	if (tensor == DIFF_NONE) {
		table_none(tb);
	} else if (part == DIFF_NONE) {
		table_shape(tb, m->w->tensors[tensor].shape, m->w->tensors[tensor].ndim);
	} else {
		const struct part *p = &m->c->parts[part];
		table_shape(tb, (uint64_t[]){p->rows, p->cols}, 2);
	}
}

static const char *type_name(const struct diff_model *m, uint32_t tensor)
{
	return tensor == DIFF_NONE ? NULL : dtype_info(m->w->tensors[tensor].dtype)->name;
}

static void numbers(struct table *tb, const struct diff_row *row)
{
	const struct diff_sums *s = &row->sums;
	if (row->status >= DIFF_ADDED || !s->elements) {
		for (int i = 0; i < 4; i++)
			table_none(tb);
		return;
	}
	bool same = !s->changed;
	if (!same && s->nonfinite == s->elements) {
		for (int i = 0; i < 3; i++)
			table_num(tb, NAN);
		table_num(tb, (double)s->changed / (double)s->elements);
		return;
	}
	table_num(tb, same ? 0 : diff_rel_l2(s));
	table_opt(tb, same ? 1 : diff_cosine(s));
	table_num(tb, s->max_abs);
	table_num(tb, (double)s->changed / (double)s->elements);
}

static void tensor_row(struct table *tb, const struct two *t, const struct diff_row *row)
{
	table_text(tb, row->a == DIFF_NONE ? NULL : t->a.w->tensors[row->a].name);
	table_text(tb, row->b == DIFF_NONE ? NULL : t->b.w->tensors[row->b].name);
	table_text(tb, diff_status_name(row->status));
	table_text(tb, type_name(&t->a, row->a));
	table_text(tb, type_name(&t->b, row->b));
	cell_shape(tb, &t->a, row->a, row->part_a);
	cell_shape(tb, &t->b, row->b, row->part_b);
	numbers(tb, row);
}

static int tensor_rows(struct render *r, const struct two *t)
{
	struct diff d;
	struct table tb;
	int rc = two_diff(r, t, &d);
	if (rc < 0)
		return rc;
	table_begin(&tb, r->out, r->json,
		    "name other_name status dtype other_dtype shape other_shape rel_l2 cosine max_abs changed");
	for (size_t i = 0; i < d.n; i++)
		tensor_row(&tb, t, &d.rows[i]);
	table_end(&tb);
	diff_release(&d);
	return 0;
}

int render_diff_tensors(struct render *r)
{
	struct two t;
	int rc = two_open(r, &t);
	if (rc < 0)
		return rc;
	rc = tensor_rows(r, &t);
	two_release(&t);
	return rc;
}
