/*
 * diff/FLATID/OTHER/explain.tsv: the transformation of each tensor, those of one role that were transformed alike on
 * one line: their name with the layers it stands for in brackets, "model.layers.[0-3 5].mlp.up_proj.weight"; an
 * expert's number is "*".
 */
#include "core/analysis/explain.h"
#include "core/base/mem.h"
#include "core/lake/inspect.h"
#include "core/tree/diffs.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct item {
	char *before, *after;	/* the name around the layer's number; after NULL: there is none */
	int32_t layer;
	const struct diff_row *row;
	const struct explanation *x;
	const char *type, *other_type;
};

/* Copies the name, numbers of experts replaced. The first component that is the layer's number parts it. */
static int split_name(struct arena *a, const char *name, int32_t layer, int32_t expert, struct item *it)
{
	char layer_text[16], expert_text[16];
	cleanup_buf struct buf out = {0};
	size_t cut = SIZE_MAX;
	snprintf(layer_text, sizeof layer_text, "%d", (int)layer);
	snprintf(expert_text, sizeof expert_text, "%d", (int)expert);
	for (const char *p = name; ; p++) {
		size_t n = strcspn(p, ".");
		bool is_layer = layer >= 0 && cut == SIZE_MAX && n == strlen(layer_text) && !strncmp(p, layer_text, n);
		bool is_expert = !is_layer && expert >= 0 && cut != SIZE_MAX && n == strlen(expert_text) &&
				 !strncmp(p, expert_text, n);
		if (is_layer)
			cut = out.len;
		else if (is_expert)
			buf_char(&out, '*');
		else
			buf_add(&out, p, n);
		p += n;
		if (!*p)
			break;
		buf_char(&out, '.');
	}
	if (buf_failed(&out))
		return -ENOMEM;
	it->layer = cut == SIZE_MAX ? -1 : layer;
	it->before = arena_strndup(a, out.data ? out.data : "", cut == SIZE_MAX ? out.len : cut);
	it->after = cut == SIZE_MAX ? NULL : arena_strndup(a, out.data + cut, out.len - cut);
	return it->before && (cut == SIZE_MAX || it->after) ? 0 : -ENOMEM;
}

static int item_of(struct arena *a, const struct two *t, const struct diff_row *row, const struct explanation *x,
		   struct item *it)
{
	const struct diff_model *m = row->a == DIFF_NONE ? &t->b : &t->a;
	struct diff_parts p = diff_row_parts(row, &t->a, &t->b);
	const struct part *part = &m->c->parts[row->a == DIFF_NONE ? p.b : p.a];
	*it = (struct item){.row = row, .x = x};
	it->type = row->a == DIFF_NONE ? "" : dtype_info(t->a.w->tensors[row->a].dtype)->name;
	it->other_type = row->b == DIFF_NONE ? "" : dtype_info(t->b.w->tensors[row->b].dtype)->name;
	return split_name(a, m->w->tensors[part->tensor].name, part->layer, part->expert, it);
}

/* Kinds that say a type say it of one. */
static int cmp_group(const struct item *x, const struct item *y)
{
	int c = strcmp(x->before, y->before);
	if (!c)
		c = strcmp(x->after ? x->after : "", y->after ? y->after : "");
	if (!c && !x->after != !y->after)
		c = x->after ? 1 : -1;
	if (!c)
		c = x->x->kind < y->x->kind ? -1 : x->x->kind > y->x->kind;
	if (!c)
		c = strcmp(x->type, y->type);
	return c ? c : strcmp(x->other_type, y->other_type);
}

static int by_group(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int c = cmp_group(x, y);
	return c ? c : x->layer < y->layer ? -1 : x->layer > y->layer;
}

/* "0-3 5"; a layer may be there several times (experts, parts). */
static void write_layers(struct buf *out, const struct item *it, size_t n)
{
	if (it[0].layer == it[n - 1].layer) {
		buf_printf(out, "%d", (int)it[0].layer);
		return;
	}
	buf_char(out, '[');
	for (size_t i = 0, end; i < n; i = end) {
		int32_t last = it[i].layer;
		for (end = i + 1; end < n && it[end].layer <= last + 1; end++)
			last = it[end].layer;
		buf_printf(out, "%s%d", i ? " " : "", (int)it[i].layer);
		if (last != it[i].layer)
			buf_printf(out, "-%d", (int)last);
	}
	buf_char(out, ']');
}

static void write_range(struct buf *out, const struct item *it, size_t n, double times)
{
	double low = it[0].x->value, high = low;
	for (size_t i = 1; i < n; i++) {
		low = fmin(low, it[i].x->value);
		high = fmax(high, it[i].x->value);
	}
	buf_num(out, low * times);
	if (high != low) {
		buf_str(out, "..");
		buf_num(out, high * times);
	}
}

static void write_transformation(struct buf *out, const struct item *it, size_t n)
{
	enum explain_kind kind = it[0].x->kind;
	buf_str(out, explain_words(kind));
	switch (kind) {
	case EXPLAIN_CAST:
	case EXPLAIN_QUANTIZED:
	case EXPLAIN_DEQUANTIZED:
		buf_printf(out, " from %s to %s", it[0].other_type, it[0].type);
		return;
	case EXPLAIN_PRUNED:
		buf_char(out, ' ');
		write_range(out, it, n, 100);
		buf_str(out, " % of the values");
		return;
	case EXPLAIN_FEW:
		buf_char(out, ' ');
		write_range(out, it, n, 100);
		buf_str(out, " %");
		return;
	case EXPLAIN_SCALED:
		buf_str(out, " by ");
		write_range(out, it, n, 1);
		return;
	case EXPLAIN_LOW_RANK:
		buf_str(out, " of rank ");
		write_range(out, it, n, 1);
		return;
	case EXPLAIN_DENSE:
		buf_str(out, " of relative size ");
		write_range(out, it, n, 1);
		return;
	case EXPLAIN_ROWS_ADDED:
	case EXPLAIN_ROWS_REMOVED:
	case EXPLAIN_COLUMNS_ADDED:
	case EXPLAIN_COLUMNS_REMOVED:
		buf_str(out, ": ");
		write_range(out, it, n, 1);
		return;
	default:
		return;
	}
}

struct line {
	struct buf tensors, transformation;
	double validity, conciseness;
};

static void line_release(struct line *l)
{
	buf_release(&l->tensors);
	buf_release(&l->transformation);
}

/* Validity is that of all their values together, conciseness the least. */
static void line_of(struct line *l, const struct item *it, size_t n)
{
	double sum = 0, weight = 0;
	*l = (struct line){.conciseness = it[0].x->conciseness};
	buf_str(&l->tensors, it[0].before);
	if (it[0].after) {
		write_layers(&l->tensors, it, n);
		buf_str(&l->tensors, it[0].after);
	}
	write_transformation(&l->transformation, it, n);
	for (size_t i = 0; i < n; i++) {
		double elements = (double)MAX(it[i].row->sums.elements, (uint64_t)1);
		sum += elements * it[i].x->validity;
		weight += elements;
		l->conciseness = fmin(l->conciseness, it[i].x->conciseness);
	}
	l->validity = sum / weight;
}

static int write_lines(struct render *r, const struct item *it, size_t n)
{
	cleanup_free struct line *l = mem_array(n, sizeof *l);
	struct table tb;
	size_t lines = 0;
	bool failed = !l;
	for (size_t i = 0, end; i < n && l; i = end) {
		for (end = i + 1; end < n && !cmp_group(&it[i], &it[end]); end++)
			;
		line_of(&l[lines], it + i, end - i);
		failed |= l[lines].tensors.failed || l[lines].transformation.failed;
		lines++;
	}
	table_begin(&tb, r->out, r->json, "tensors transformation validity conciseness");
	for (size_t i = 0; i < lines && !failed; i++) {
		table_text(&tb, l[i].tensors.data);
		table_text(&tb, l[i].transformation.data);
		table_opt(&tb, l[i].validity);
		table_opt(&tb, l[i].conciseness);
	}
	table_end(&tb);
	for (size_t i = 0; i < lines; i++)
		line_release(&l[i]);
	return failed ? err_nomem(r->err) : 0;
}

static int explain(struct render *r, const struct two *t, const struct diff *d)
{
	struct arena a = {0};
	cleanup_free struct explanation *x = mem_array(d->n, sizeof *x);
	cleanup_free struct item *it = mem_array(d->n, sizeof *it);
	int rc = x && it ? explain_diff(x, d, &t->a, &t->b, 0, r->cancel, r->err) : err_nomem(r->err);
	for (size_t i = 0; i < d->n && !rc; i++)
		if (item_of(&a, t, &d->rows[i], &x[i], &it[i]) < 0)
			rc = err_nomem(r->err);
	if (!rc) {
		if (d->n)
			qsort(it, d->n, sizeof *it, by_group);
		rc = write_lines(r, it, d->n);
	}
	arena_release(&a);
	return rc;
}

int render_diff_explain(struct render *r)
{
	struct two t;
	struct diff d;
	int rc = two_open(r, &t);
	if (rc < 0)
		return rc;
	rc = two_diff(r, &t, &d);
	if (!rc) {
		rc = explain(r, &t, &d);
		diff_release(&d);
	}
	two_release(&t);
	return rc;
}
