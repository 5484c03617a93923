/* JSON documents as values. Numbers that do not fit an int64 become floats. */
#include "core/base/json_sax.h"
#include "core/base/tree_builder.h"

#include <errno.h>
#include <string.h>

static int on_null(void *c) { return builder_add(c, (struct value){.kind = VALUE_NULL}) == 0; }
static int on_bool(void *c, int v) { return builder_add(c, (struct value){.kind = VALUE_BOOL, .b = v}) == 0; }
static int on_open_map(void *c) { return builder_open(c, VALUE_OBJECT) == 0; }
static int on_open_array(void *c) { return builder_open(c, VALUE_ARRAY) == 0; }
static int on_close(void *c) { return builder_close(c) == 0; }
static int on_key(void *c, const unsigned char *s, size_t n) { return builder_key(c, (const char *)s, n) == 0; }

static int on_string(void *c, const unsigned char *s, size_t n)
{
	return builder_add(c, (struct value){.kind = VALUE_STRING, .str = {(const char *)s, n}}) == 0;
}

static int on_number(void *c, const char *s, size_t n)
{
	char text[64];
	struct value v = {.kind = VALUE_INT};
	if (n >= sizeof text)	/* longer than any number that means something */
		n = sizeof text - 1;
	memcpy(text, s, n);
	text[n] = 0;
	char *end;
	errno = 0;
	v.i = strtoll(text, &end, 10);
	if (*end || errno)
		v = (struct value){.kind = VALUE_FLOAT, .f = strtod(text, NULL)};
	return builder_add(c, v) == 0;
}

static const yajl_callbacks events = {
	.yajl_null = on_null, .yajl_boolean = on_bool, .yajl_number = on_number, .yajl_string = on_string,
	.yajl_start_map = on_open_map, .yajl_map_key = on_key, .yajl_end_map = on_close,
	.yajl_start_array = on_open_array, .yajl_end_array = on_close,
};

struct text { const char *s; size_t len; };

static int next(void *ctx, const char **p, size_t *n, struct err *e)
{
	struct text *t = ctx;
	(void)e;
	*p = t->s;
	*n = t->len;
	t->len = 0;
	return 0;
}

static int parse(struct arena *a, const char *text, size_t len, const struct value_limits *lim, bool keep_last,
		 struct value *out, struct err *e)
{
	struct builder b;
	struct err local = ERR_INIT;
	struct text t = {text, len};
	struct json_source src = {next, &t};
	if (!e)
		e = &local;
	builder_init(&b, a, lim, out, e);
	b.keep_last = keep_last;
	int r = json_sax(&events, &b, &src, e);
	if (b.failed)
		return b.failed;
	if (!r && (!b.have_root || b.top))
		return err_at(e, EINVAL, len, "JSON ends in the middle of a value");
	return r;
}

int json_parse(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
	       struct value *out, struct err *e)
{
	return parse(a, text, len, lim, false, out, e);
}

/* Python writes NaN and Infinity bare: outside strings they become null (NaN: an empty list), byte for byte, so that
 * offsets hold. */
static void blank_nan(char *s, size_t len)
{
	static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"') {
			for (i++; i < len && s[i] != '"'; i++)
				if (s[i] == '\\')
					i++;
			continue;
		}
		for (size_t w = 0; w < COUNT(words); w++) {
			size_t n = strlen(words[w]);
			if (len - i < n || memcmp(s + i, words[w], n))
				continue;
			if (n < 4) {	/* NaN is shorter than null: what is no number either takes its place */
				memcpy(s + i, "[] ", 3);
			} else {
				memset(s + i, ' ', n);
				memcpy(s + i, "null", 4);
			}
			i += n - 1;
			break;
		}
	}
}

int json_parse_loose(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
		     struct value *out, struct err *e)
{
	char *copy = arena_strndup(a, text, len);
	if (!copy)
		return err_nomem(e);
	if (len >= 3 && !memcmp(copy, "\xef\xbb\xbf", 3))
		memset(copy, ' ', 3);
	blank_nan(copy, len);
	return parse(a, copy, len, lim, true, out, e);
}
