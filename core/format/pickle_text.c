/* The numbers and strings that protocols 0 and 1 write as text. */
#include "core/format/pickle_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int give(struct pickle *p, enum pick_kind kind, struct pick **out)
{
	*out = pick_new(p, kind, p->machine->e);
	return *out ? 0 : -p->machine->e->code;
}

/* The line as a C string; what does not fit is no number that matters, and *fits says so. */
static int number_line(struct pickle *p, char *digits, size_t size, bool *fits)
{
	const char *s;
	size_t n;
	int r = pickle_take_line(p, &s, &n);
	if (r < 0)
		return r;
	if (!n)
		return pickle_bad(p, "not a number");
	*fits = n < size;
	if (*fits) {
		memcpy(digits, s, n);
		digits[n] = 0;
	}
	return 0;
}

int pickle_text_int(struct pickle *p, bool is_long, struct pick **out)
{
	char digits[32], *end;
	bool fits;
	int r = number_line(p, digits, sizeof digits, &fits);
	if (r < 0)
		return r;
	if (!fits)
		return give(p, PICK_LONG, out);
	bool truth = !is_long && (!strcmp(digits, "00") || !strcmp(digits, "01"));
	errno = 0;
	long long i = strtoll(digits, &end, 10);
	if (errno == ERANGE)
		return give(p, PICK_LONG, out);
	if (end == digits || (*end && !(*end == 'L' && !end[1])))
		return pickle_bad(p, "not a number");
	r = give(p, truth ? PICK_BOOL : PICK_INT, out);
	if (!r && truth)
		(*out)->b = i;
	else if (!r)
		(*out)->i = i;
	return r;
}

int pickle_text_float(struct pickle *p, struct pick **out)
{
	char digits[64], *end;
	bool fits;
	int r = number_line(p, digits, sizeof digits, &fits);
	if (r < 0)
		return r;
	double f = fits ? strtod(digits, &end) : 0;
	if (!fits || *end || end == digits)
		return pickle_bad(p, "not a number");
	r = give(p, PICK_FLOAT, out);
	if (!r)
		(*out)->f = f;
	return r;
}

static int hex_digits(const char *s, size_t have, size_t want, uint32_t *out)
{
	*out = 0;
	if (have < want)
		return -1;
	for (size_t i = 0; i < want; i++) {
		int c = s[i] | 32, d = s[i] >= '0' && s[i] <= '9' ? s[i] - '0'
				       : c >= 'a' && c <= 'f'     ? c - 'a' + 10
								  : -1;
		if (d < 0)
			return -1;
		*out = *out << 4 | (uint32_t)d;
	}
	return 0;
}

static size_t put_utf8(char *o, uint32_t c)
{
	if (c < 0x80)
		return (size_t)(*o = (char)c, 1);
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		o[i] = (char)(0x80 | (c & 63));
	o[0] = (char)((0xf00 >> n & 0xff) | c);
	return n;
}

/* raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX */
static size_t decode_unicode(char *o, const char *s, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n;) {
		uint32_t c = (unsigned char)s[i], v;
		size_t want = i + 1 < n && c == '\\' ? (s[i + 1] == 'u' ? 4 : s[i + 1] == 'U' ? 8 : 0) : 0;
		if (want && !hex_digits(s + i + 2, n - i - 2, want, &v) && v < 0x110000) {
			k += put_utf8(o + k, v);
			i += 2 + want;
		} else {
			k += put_utf8(o + k, c);
			i++;
		}
	}
	return k;
}

/* repr() of a str of Python 2 */
static size_t decode_escapes(char *o, const char *s, size_t n)
{
	static const char from[] = "nrtabfv\\'\"", to[] = "\n\r\t\a\b\f\v\\'\"";
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t v;
		const char *f = s[i] == '\\' && i + 1 < n && s[i + 1] ? strchr(from, s[i + 1]) : NULL;
		if (f) {
			o[k++] = to[f - from];
			i++;
		} else if (s[i] == '\\' && i + 1 < n && s[i + 1] == 'x' && !hex_digits(s + i + 2, n - i - 2, 2, &v)) {
			o[k++] = (char)v;
			i += 3;
		} else {
			o[k++] = s[i];
		}
	}
	return k;
}

int pickle_text_string(struct pickle *p, bool unicode, struct pick **out)
{
	const char *s;
	size_t n;
	int r = pickle_take_line(p, &s, &n);
	if (r < 0)
		return r;
	if (!unicode) {
		while (n && (s[n - 1] == ' ' || s[n - 1] == '\r'))
			n--;
		if (n < 2 || s[0] != s[n - 1] || (s[0] != '\'' && s[0] != '"'))
			return pickle_bad(p, "a string without quotes");
		s++;
		n -= 2;
	}
	struct pick *v = pick_new(p, PICK_STR, p->machine->e);
	char *o = v ? arena_alloc(p->arena, 2 * n + 1) : NULL;
	if (!o)
		return err_nomem(p->machine->e);
	v->str.s = o;
	v->str.pos = p->pos;
	v->str.len = unicode ? decode_unicode(o, s, n) : decode_escapes(o, s, n);
	*out = v;
	return 0;
}
