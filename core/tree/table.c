#include "core/tree/table.h"

#include "core/base/mem.h"

#include <math.h>
#include <string.h>

void table_begin(struct table *t, struct buf *out, bool json, const char *columns)
{
	*t = (struct table){.out = out, .json = json, .columns = columns, .at = columns};
	for (const char *p = columns; *p && !json; p++)
		buf_char(out, *p == ' ' ? '\t' : *p);
	buf_char(out, json ? '[' : '\n');
}

static bool has_rank(const char *columns)
{
	const char *p = strstr(columns, "rank");
	return p && (p == columns || p[-1] == ' ') && (!p[4] || p[4] == ' ');
}

/* A tab is less than every byte of a cell as printed: rows compare as their cells do, one after the other. */
static int by_cells(const void *a, const void *b, void *text)
{
	const struct table_row *x = a, *y = b;
	int c = memcmp((const char *)text + x->at, (const char *)text + y->at, MIN(x->len, y->len));
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

void table_end(struct table *t)
{
	struct buf *out = t->out;
	out->failed |= t->text.failed || t->twin.failed;
	if (!out->failed && t->n && !has_rank(t->columns))
		qsort_r(t->rows, t->n, sizeof *t->rows, by_cells, t->text.data);
	for (size_t i = 0; i < t->n && !out->failed; i++) {
		const struct table_row *r = &t->rows[i];
		if (t->json) {
			buf_str(out, i ? ",\n  {" : "\n  {");
			buf_add(out, t->twin.data + r->twin_at, r->twin_len);
			buf_char(out, '}');
		} else {
			buf_add(out, t->text.data + r->at, r->len);
			buf_char(out, '\n');
		}
	}
	if (t->json)
		buf_str(out, t->n ? "\n]\n" : "]\n");
	buf_release(&t->text);
	buf_release(&t->twin);
	free(t->rows);
	t->rows = NULL;
}

static void begin_row(struct table *t)
{
	if (mem_grow(&t->rows, &t->cap, t->n + 1) < 0)
		t->out->failed = true;
	else
		t->rows[t->n] = (struct table_row){.at = t->text.len, .twin_at = t->twin.len};
}

static void end_row(struct table *t)
{
	t->at = t->columns;
	if (t->out->failed)
		return;
	t->rows[t->n].len = t->text.len - t->rows[t->n].at;
	t->rows[t->n].twin_len = t->twin.len - t->rows[t->n].twin_at;
	t->n++;
}

/* What comes before a cell: its separator, and in JSON its key. */
static void begin_cell(struct table *t)
{
	size_t n = strcspn(t->at, " ");
	if (t->at == t->columns)
		begin_row(t);
	else
		buf_char(&t->text, '\t');
	if (!t->json)
		return;
	if (t->at != t->columns)
		buf_str(&t->twin, ", ");
	buf_json(&t->twin, t->at, n);
	buf_str(&t->twin, ": ");
}

static void end_cell(struct table *t)
{
	t->at += strcspn(t->at, " ");
	if (*t->at)
		t->at++;
	else
		end_row(t);
}

void table_bytes(struct table *t, const char *s, size_t len)
{
	begin_cell(t);
	buf_tsv(&t->text, s, len);
	if (t->json && !len)
		buf_str(&t->twin, "null");
	else if (t->json)
		buf_json(&t->twin, s, len);
	end_cell(t);
}

void table_text(struct table *t, const char *s)
{
	table_bytes(t, s ? s : "", s ? strlen(s) : 0);
}

void table_none(struct table *t)
{
	table_bytes(t, "", 0);
}

void table_int(struct table *t, uint64_t v)
{
	begin_cell(t);
	buf_printf(&t->text, "%llu", (unsigned long long)v);
	if (t->json)
		buf_printf(&t->twin, "%llu", (unsigned long long)v);
	end_cell(t);
}

void table_num(struct table *t, double v)
{
	bool quote = !isfinite(v);
	begin_cell(t);
	buf_num(&t->text, v);
	if (t->json && quote)
		buf_char(&t->twin, '"');
	if (t->json)
		buf_num(&t->twin, v);
	if (t->json && quote)
		buf_char(&t->twin, '"');
	end_cell(t);
}

void table_opt(struct table *t, double v)
{
	if (isnan(v))
		table_none(t);
	else
		table_num(t, v);
}

void table_yesno(struct table *t, bool v)
{
	begin_cell(t);
	buf_str(&t->text, v ? "yes" : "no");
	if (t->json)
		buf_str(&t->twin, v ? "true" : "false");
	end_cell(t);
}

void table_shape(struct table *t, const uint64_t *shape, size_t n)
{
	struct buf b = {0};
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%llu", i ? "x" : "", (unsigned long long)shape[i]);
	t->out->failed |= b.failed;
	table_bytes(t, b.data ? b.data : "", b.len);
	buf_release(&b);
}

/* Commas separate, so a comma inside an item is escaped as \x2C. */
static void list_item(struct buf *out, const char *s)
{
	for (size_t len; *s; s += len + (s[len] == ',')) {
		len = strcspn(s, ",");
		if (len == 1 && *s == '-')
			buf_char(out, '-');
		else if (len)
			buf_tsv(out, s, len);
		if (s[len] == ',')
			buf_str(out, "\\x2C");
	}
}

void table_list(struct table *t, const char *const *items, size_t n)
{
	/* one item without a name would look like none */
	if (!n || (n == 1 && !*items[0])) {
		table_none(t);
		return;
	}
	begin_cell(t);
	if (n == 1 && !strcmp(items[0], "-"))
		buf_str(&t->text, "\\-");
	for (size_t i = 0; i < n && (n > 1 || strcmp(items[0], "-")); i++) {
		if (i)
			buf_char(&t->text, ',');
		list_item(&t->text, items[i]);
	}
	for (size_t i = 0; i < n && t->json; i++) {
		buf_str(&t->twin, i ? ", " : "[");
		buf_json(&t->twin, items[i], strlen(items[i]));
	}
	if (t->json)
		buf_char(&t->twin, ']');
	end_cell(t);
}
