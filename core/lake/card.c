/* Finding and parsing the front matter of a model card. */
#include "core/lake/card.h"

#include "core/base/buf.h"

#include <errno.h>
#include <string.h>

enum { SALVAGE_TRIES = 8 };

/* The end of the line at p, its break not counted; *next is where the next one begins. CR, LF and CRLF end lines. */
static const char *line_end(const char *p, const char *end, const char **next)
{
	const char *q = p;

	while (q < end && *q != '\n' && *q != '\r')
		q++;
	*next = q < end ? q + 1 : q;
	if (q + 1 < end && q[0] == '\r' && q[1] == '\n')
		*next = q + 2;
	return q;
}

static bool blank(const char *p, const char *q)
{
	while (p < q && (*p == ' ' || *p == '\t'))
		p++;
	return p == q;
}

/* "---" and nothing but blanks after it. */
static bool fence(const char *p, const char *q)
{
	return q - p >= 3 && !memcmp(p, "---", 3) && blank(p + 3, q);
}

struct front {
	const char *fence;	/* the first "---" */
	const char *from, *to;	/* the YAML */
	const char *body;
	bool open;		/* never closed */
};

/* Where the YAML of an unclosed front matter probably ends: at a blank line or a heading. */
static const char *guess_end(const char *p, const char *end)
{
	const char *next;

	for (; p < end; p = next) {
		const char *q = line_end(p, end, &next);

		if (blank(p, q) || (q - p > 1 && p[0] == '#' && (p[1] == ' ' || p[1] == '#')))
			return p;
	}
	return end;
}

static bool find_front(const char *text, size_t len, struct front *f)
{
	const char *p = text, *end = text + len, *next, *q;

	if (len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3;
	for (; p < end; p = next) {
		q = line_end(p, end, &next);
		if (!blank(p, q))
			break;
	}
	if (p >= end || !fence(p, line_end(p, end, &next)))
		return false;
	f->fence = p;
	f->from = p = next;
	for (; p < end; p = next) {
		q = line_end(p, end, &next);
		if (!fence(p, q))
			continue;
		f->to = p;
		f->body = next;
		f->open = false;
		return true;
	}
	f->to = f->body = guess_end(f->from, end);
	f->open = true;
	return true;
}

static size_t line_of(const char *text, const char *at)
{
	size_t n = 1;

	for (const char *p = text; p < at; p++)
		n += *p == '\n' || (*p == '\r' && p[1] != '\n');
	return n;
}

/* libyaml counts characters; the text is valid UTF-8 by now. */
static const char *nth_character(const char *p, const char *end, uint64_t n)
{
	while (n-- && p < end)
		p += MAX(utf8_len(p, (size_t)(end - p)), (size_t)1);
	return p;
}

static bool no_text(const char *p, const char *end, size_t *n)
{
	*n = utf8_len(p, (size_t)(end - p));
	bool bad = !*n || (*n == 1 && (unsigned char)*p < ' ' && *p != '\n' && *p != '\r' && *p != '\t');
	*n = bad ? 1 : *n;
	return bad;
}

/*
 * YAML is text: while it is parsed, a byte that is none is a character for private use, U+10FE00 and the byte, and a
 * byte again in the values. The text moves into the arena. *first: the first such byte, NULL when all is well. -ENOMEM.
 */
static int make_text(struct arena *a, const char **from, const char **to, const char **first)
{
	size_t bad = 0, n;
	char *out, *at;

	*first = NULL;
	for (const char *p = *from; p < *to; p += n)
		bad += no_text(p, *to, &n);
	out = at = arena_array(a, (size_t)(*to - *from) + 3 * bad + 1, 1);
	if (!out)
		return -ENOMEM;
	for (const char *p = *from; p < *to; p += n) {
		unsigned char c = (unsigned char)*p;

		if (!no_text(p, *to, &n)) {
			at = mempcpy(at, p, n);
			continue;
		}
		if (!*first)
			*first = at;
		*at++ = '\xf4';
		*at++ = '\x8f';
		*at++ = (char)(0xb8 + (c >> 6));
		*at++ = (char)(0x80 + (c & 0x3f));
	}
	*from = out;
	*to = at;
	return 0;
}

static size_t bytes_again(const char *text, size_t len)
{
	char *to = (char *)text;	/* the parser's copy, in our arena */

	len = strnlen(text, len);	/* an alias that was met before is shorter now */
	for (size_t i = 0; i < len;) {
		const unsigned char *p = (const unsigned char *)text + i;

		if (p[0] == 0xf4 && p[1] == 0x8f && p[2] >= 0xb8 && p[2] < 0xbc && (p[3] & 0xc0) == 0x80) {
			unsigned char c = (unsigned char)((p[2] - 0xb8) << 6 | (p[3] & 0x3f));

			*to++ = (char)(c ? c : '_');
			i += 4;
		} else {
			*to++ = text[i++];
		}
	}
	*to = 0;
	return (size_t)(to - text);
}

static void restore(struct value *v)
{
	if (v->kind == VALUE_STRING)
		v->str.len = bytes_again(v->str.s, v->str.len);
	for (size_t i = 0; v->kind == VALUE_ARRAY && i < v->arr.n; i++)
		restore(&v->arr.items[i]);
	for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->obj.n; i++) {
		bytes_again(v->obj.items[i].key, strlen(v->obj.items[i].key));
		restore(&v->obj.items[i].value);
	}
}

/* The last line before `at` that begins a top-level entry. */
static const char *entry_before(const char *from, const char *at)
{
	const char *last = from, *next;

	for (const char *p = from; p < at; p = next) {
		const char *q = line_end(p, at, &next);

		if (p < q && *p != ' ' && *p != '\t' && *p != '-' && *p != '#')
			last = p;
	}
	return last;
}

/* The entries before the defect at `at`, fewer if those are no YAML either. */
static int salvage(struct card *c, struct arena *a, const struct front *f, const char *at, struct err *e)
{
	struct value_limits lim = {.depth = 32, .count = 100000};

	while (at > f->from && at[-1] != '\n' && at[-1] != '\r')
		at--;
	for (int i = 0; i < SALVAGE_TRIES && at > f->from; i++, at = entry_before(f->from, at)) {
		struct err ignored = ERR_INIT;
		int r;

		r = yaml_parse(a, f->from, (size_t)(at - f->from), &lim, &c->front, &ignored);
		if (r == -ENOMEM)
			return err_nomem(e);
		if (!r && c->front.kind == VALUE_OBJECT)
			return 0;
	}
	c->front = (struct value){.kind = VALUE_NULL};
	return 0;
}

static int said(struct card *c, char *detail, struct err *e)
{
	c->problem = "malformed front matter";
	c->detail = detail;
	return detail ? 0 : err_nomem(e);
}

static int not_yaml(struct card *c, struct arena *a, const struct front *f, size_t line, const struct err *why,
		    struct err *e)
{
	const char *at = nth_character(f->from, f->to, why->pos == ERR_NOPOS ? 0 : why->pos), *msg = why->msg;
	int r;

	if (!strncmp(msg, "not YAML at line", 16) && strstr(msg, ": "))	/* its line counts from the front matter */
		msg = strstr(msg, ": ") + 2;
	r = said(c, arena_printf(a, "line %zu: not YAML: %s", line - 1 + line_of(f->from, at), msg), e);
	return r ? r : salvage(c, a, f, at, e);
}

static int parse_front(struct card *c, struct arena *a, const struct front *f, const char *bad, size_t line,
		       struct err *e)
{
	struct value_limits lim = {.depth = 32, .count = 100000};
	struct err why = ERR_INIT;
	int r = yaml_parse(a, f->from, (size_t)(f->to - f->from), &lim, &c->front, &why);

	if (r == -ENOMEM)
		return err_nomem(e);
	if (r)
		return not_yaml(c, a, f, line, &why, e);
	if (c->front.kind != VALUE_OBJECT && c->front.kind != VALUE_NULL) {
		c->front = (struct value){.kind = VALUE_NULL};
		return said(c, arena_printf(a, "line %zu: expected keys and values", line), e);
	}
	if (bad)
		return said(c, arena_printf(a, "line %zu: not UTF-8 text", line - 1 + line_of(f->from, bad)), e);
	if (f->open)
		return said(c, arena_printf(a, "the --- of line %zu is never closed", line - 1), e);
	return 0;
}

int card_parse(struct card *c, struct arena *a, const char *raw, size_t len, struct err *e)
{
	struct front f;
	const char *bad;
	size_t line;
	int r;

	*c = (struct card){.body = raw, .body_len = len, .front = {.kind = VALUE_NULL}};
	if (!find_front(raw, len, &f))
		return 0;
	c->body = f.body;
	c->body_len = (size_t)(raw + len - f.body);
	line = line_of(raw, f.fence) + 1;
	if (make_text(a, &f.from, &f.to, &bad))
		return err_nomem(e);
	r = parse_front(c, a, &f, bad, line, e);
	if (!r && bad)
		restore(&c->front);
	return r;
}
