/* YAML 1.1 documents through libyaml: the first document, scalars by the core schema, aliases refused. */
#include "core/base/tree_builder.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

static struct value plain(const char *s, size_t n)
{
	struct value v = {.kind = VALUE_STRING, .str = {s, n}};
	if (!n || !strcmp(s, "~") || !strcasecmp(s, "null"))
		return (struct value){.kind = VALUE_NULL};
	/* "no" is Norwegian in a model card's language list: only true and false are booleans here */
	if (!strcasecmp(s, "true") || !strcasecmp(s, "false"))
		return (struct value){.kind = VALUE_BOOL, .b = !strcasecmp(s, "true")};
	if (!strchr("+-.0123456789", s[0]) || strlen(s) != n)
		return v;
	char *end;
	errno = 0;
	long long i = strtoll(s, &end, 10);
	if (!*end && !errno)
		return (struct value){.kind = VALUE_INT, .i = i};
	double f = strtod(s, &end);
	if (!*end && end != s && strspn(s, "+-.0123456789eE") == n)
		return (struct value){.kind = VALUE_FLOAT, .f = f};
	return v;
}

static int scalar(struct builder *b, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	size_t n = ev->data.scalar.length;
	bool key = b->top && b->top->into->kind == VALUE_OBJECT && !b->top->key;
	if (key)
		return builder_key(b, s, n);
	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return builder_add(b, plain(s, n));
	return builder_add(b, (struct value){.kind = VALUE_STRING, .str = {s, n}});
}

static int event(struct builder *b, const yaml_event_t *ev)
{
	bool key = b->top && b->top->into->kind == VALUE_OBJECT && !b->top->key;
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return scalar(b, ev);
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		if (key)
			return b->failed = err_set(b->err, EINVAL, "a list or map as a key");
		return builder_open(b, ev->type == YAML_MAPPING_START_EVENT ? VALUE_OBJECT : VALUE_ARRAY);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return builder_close(b);
	case YAML_ALIAS_EVENT:	/* the way to make a small file huge */
		return b->failed = err_set(b->err, EINVAL, "YAML aliases are not read");
	default:
		return 0;
	}
}

int yaml_parse(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
	       struct value *out, struct err *e)
{
	struct builder b;
	struct err local = ERR_INIT;
	yaml_parser_t p;
	builder_init(&b, a, lim, out, e ? e : &local);
	b.keep_last = true;
	if (!yaml_parser_initialize(&p))
		return err_nomem(e);
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	int r = 0;
	for (bool done = false; !done && !r;) {
		yaml_event_t ev;
		if (!yaml_parser_parse(&p, &ev)) {
			r = p.error == YAML_MEMORY_ERROR ? err_nomem(e) :
			    err_at(e, EINVAL, p.problem_mark.index, "not YAML at line %zu column %zu: %s",
				   p.problem_mark.line + 1, p.problem_mark.column + 1, p.problem ? p.problem : "?");
			break;
		}
		r = event(&b, &ev);
		if (r < 0 && e)
			e->pos = ev.start_mark.index;
		done = ev.type == YAML_STREAM_END_EVENT || ev.type == YAML_DOCUMENT_END_EVENT;
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&p);
	return r;
}
