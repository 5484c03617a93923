#include "core/tree/table.h"

#include <math.h>
#include <string.h>

void table_begin(struct table *t, struct buf *out, bool json, const char *columns)
{
	*t = (struct table){.out = out, .json = json, .columns = columns, .at = columns};
	if (json) {
		buf_char(out, '[');
		return;
	}
	for (const char *p = columns; *p; p++)
		buf_char(out, *p == ' ' ? '\t' : *p);
	buf_char(out, '\n');
}

void table_end(struct table *t)
{
	if (t->json)
		buf_str(t->out, t->rows ? "\n]\n" : "]\n");
}

/* What comes before a cell: its separator, and in JSON its key. */
static void begin_cell(struct table *t)
{
	size_t n = strcspn(t->at, " ");
	bool first = t->at == t->columns;
	if (t->json) {
		buf_str(t->out, !first ? ", " : t->rows ? ",\n  {" : "\n  {");
		buf_json(t->out, t->at, n);
		buf_str(t->out, ": ");
	} else if (!first) {
		buf_char(t->out, '\t');
	}
}

static void end_cell(struct table *t)
{
	t->at += strcspn(t->at, " ");
	if (*t->at) {
		t->at++;
		return;
	}
	buf_str(t->out, t->json ? "}" : "\n");
	t->at = t->columns;
	t->rows++;
}

void table_bytes(struct table *t, const char *s, size_t len)
{
	begin_cell(t);
	if (t->json && !len)
		buf_str(t->out, "null");
	else if (t->json)
		buf_json(t->out, s, len);
	else
		buf_tsv(t->out, s, len);
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
	buf_printf(t->out, "%llu", (unsigned long long)v);
	end_cell(t);
}

void table_num(struct table *t, double v)
{
	bool quote = t->json && !isfinite(v);
	begin_cell(t);
	if (quote)
		buf_char(t->out, '"');
	buf_num(t->out, v);
	if (quote)
		buf_char(t->out, '"');
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
	buf_str(t->out, t->json ? (v ? "true" : "false") : (v ? "yes" : "no"));
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
void table_list(struct table *t, const char *const *items, size_t n)
{
	struct buf *out = t->out;
	if (!n) {
		table_none(t);
		return;
	}
	begin_cell(t);
	if (t->json)
		buf_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		const char *s = items[i];
		if (i)
			buf_str(out, t->json ? ", " : ",");
		if (t->json) {
			buf_json(out, s, strlen(s));
			continue;
		}
		if (n == 1 && !strcmp(s, "-")) {
			buf_str(out, "\\-");
			continue;
		}
		for (size_t len; *s; s += len + (s[len] == ',')) {
			len = strcspn(s, ",");
			if (len) {
				struct buf cell = {0};
				buf_tsv(&cell, s, len);
				buf_add(out, cell.len == 2 && cell.data[0] == '\\' && cell.data[1] == '-' ? "-" : cell.data, cell.len == 2 && cell.data[1] == '-' ? 1 : cell.len);
				buf_release(&cell);
			}
			if (s[len] == ',')
				buf_str(out, "\\x2C");
		}
	}
	if (t->json)
		buf_char(out, ']');
	end_cell(t);
}
