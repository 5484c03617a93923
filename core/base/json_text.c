/* Values as JSON text, in a form that does not depend on how they were written. */
#include "core/base/json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void indent(struct buf *out, unsigned depth)
{
	buf_char(out, '\n');
	while (depth--)
		buf_str(out, "  ");
}

static void number(struct buf *out, double f)
{
	char s[40];
	if (!isfinite(f)) {	/* as Python writes them */
		buf_str(out, isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity");
		return;
	}
	snprintf(s, sizeof s, "%.15g", f);
	if (strtod(s, NULL) != f)
		snprintf(s, sizeof s, "%.17g", f);
	if (f == floor(f) && !strpbrk(s, ".e"))
		strcat(s, ".0");
	buf_str(out, s);
}

static int by_key(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;
	int c = strcmp((*x)->key, (*y)->key);
	return c ? c : *x < *y ? -1 : *x > *y;
}

static int write_value(struct buf *out, const struct value *v, unsigned depth);

/* Nested as deep as the parser lets it be. */
static int write_object(struct buf *out, const struct value *v, unsigned depth)
{
	cleanup_free const struct member **m = mem_array(v->obj.n, sizeof *m);
	int r = m ? 0 : -ENOMEM;
	for (size_t i = 0; i < v->obj.n && !r; i++)
		m[i] = &v->obj.items[i];
	if (!r)
		qsort(m, v->obj.n, sizeof *m, by_key);
	buf_char(out, '{');
	for (size_t i = 0; i < v->obj.n && !r; i++) {
		if (i)
			buf_char(out, ',');
		indent(out, depth + 1);
		buf_json(out, m[i]->key, strlen(m[i]->key));
		buf_str(out, ": ");
		r = write_value(out, &m[i]->value, depth + 1);
	}
	if (v->obj.n)
		indent(out, depth);
	buf_char(out, '}');
	return r;
}

static int write_array(struct buf *out, const struct value *v, unsigned depth)
{
	int r = 0;
	buf_char(out, '[');
	for (size_t i = 0; i < v->arr.n && !r; i++) {
		if (i)
			buf_char(out, ',');
		indent(out, depth + 1);
		r = write_value(out, &v->arr.items[i], depth + 1);
	}
	if (v->arr.n)
		indent(out, depth);
	buf_char(out, ']');
	return r;
}

static int write_value(struct buf *out, const struct value *v, unsigned depth)
{
	switch (v->kind) {
	case VALUE_NULL:
		buf_str(out, "null");
		return 0;
	case VALUE_BOOL:
		buf_str(out, v->b ? "true" : "false");
		return 0;
	case VALUE_INT:
		buf_printf(out, "%" PRId64, v->i);
		return 0;
	case VALUE_FLOAT:
		number(out, v->f);
		return 0;
	case VALUE_STRING:
		buf_json(out, v->str.s, v->str.len);
		return 0;
	case VALUE_ARRAY:
		return write_array(out, v, depth);
	case VALUE_OBJECT:
		return write_object(out, v, depth);
	case VALUE_SPAN:
		buf_printf(out, "\"%" PRIu64 " values\"", v->span.n);
		return 0;
	}
	return 0;
}

int json_text(struct buf *out, const struct value *v, struct err *e)
{
	int r = write_value(out, v, 0);
	buf_char(out, '\n');
	return r < 0 || buf_failed(out) ? err_nomem(e) : 0;
}
