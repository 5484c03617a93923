#include "core/base/buf.h"

#include "core/base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

char *buf_take(struct buf *b)
{
	buf_add(b, "", 0);
	char *s = b->failed ? NULL : steal(&b->data);
	buf_release(b);
	return s;
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = 0;
}

static char *room(struct buf *b, size_t len)
{
	size_t need;
	if (b->failed || __builtin_add_overflow(b->len, len, &need) || __builtin_add_overflow(need, 1, &need) ||
	    mem_grow(&b->data, &b->cap, need) < 0) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *p = room(b, len);
	if (!p)
		return;
	if (len)
		memcpy(p, data, len);
	b->len += len;
	p[len] = 0;
}

void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *p = n < 0 ? NULL : room(b, (size_t)n);
	if (p) {
		vsnprintf(p, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void buf_num(struct buf *b, double v)
{
	if (isnan(v))
		buf_str(b, "nan");
	else if (isinf(v))
		buf_str(b, v < 0 ? "-inf" : "inf");
	else
		buf_printf(b, "%.6g", v == 0 ? 0.0 : v);
}

size_t utf8_len(const char *str, size_t len)
{
	const unsigned char *s = (const unsigned char *)str;
	if (!len)
		return 0;
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||	/* overlong, surrogates */
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* How a byte sequence may appear in generated text: its length when it may appear as it is, else 0. */
static size_t plain_len(const char *s, size_t len)
{
	size_t n = utf8_len(s, len);
	unsigned char c = (unsigned char)s[0];
	if (n == 1 && (c < 0x20 || c == 0x7f))
		return 0;
	if (n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0)	/* C1 */
		return 0;
	return n;
}

void buf_text(struct buf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = plain_len(s + i, len - i);
		if (n)
			buf_add(b, s + i, n);
		else
			buf_printf(b, "\\x%02X", (unsigned char)s[i]);
		i += n ? n : 1;
	}
}

void buf_tsv(struct buf *b, const char *s, size_t len)
{
	if (!len) {
		buf_char(b, '-');
		return;
	}
	if (len == 1 && s[0] == '-') {
		buf_str(b, "\\-");
		return;
	}
	for (size_t i = 0; i < len;) {
		const char *esc = s[i] == '\t'   ? "\\t"
				  : s[i] == '\n' ? "\\n"
				  : s[i] == '\r' ? "\\r"
				  : s[i] == '\\' ? "\\\\"
						 : NULL;
		size_t n = esc ? 1 : plain_len(s + i, len - i);
		if (esc)
			buf_str(b, esc);
		else if (n)
			buf_add(b, s + i, n);
		else
			buf_printf(b, "\\x%02X", (unsigned char)s[i]);
		i += n ? n : 1;
	}
}

void buf_json(struct buf *b, const char *s, size_t len)
{
	buf_char(b, '"');
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = plain_len(s + i, len - i);
		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			buf_str(b, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
		else if (n)
			buf_add(b, s + i, n);
		else
			buf_printf(b, "\\\\x%02X", c);
		i += n ? n : 1;
	}
	buf_char(b, '"');
}

void buf_xml(struct buf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = plain_len(s + i, len - i);
		const char *esc = s[i] == '<'    ? "&lt;"
				  : s[i] == '>'  ? "&gt;"
				  : s[i] == '&'  ? "&amp;"
				  : s[i] == '"'  ? "&quot;"
				  : s[i] == '\'' ? "&#39;"
						 : NULL;
		if (esc)
			buf_str(b, esc);
		else if (n)
			buf_add(b, s + i, n);
		else
			buf_printf(b, "\\x%02X", (unsigned char)s[i]);
		i += n ? n : 1;
	}
}
