#include "core/tree/flat.h"

#include "core/base/hash.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* A lone '-' beside a '/' would make "---", which could be undone two ways. */
static bool beside_slash(const char *id, size_t len, size_t i)
{
	return (i > 0 && id[i - 1] == '/') || (i + 1 < len && id[i + 1] == '/');
}

void flat_encode(struct buf *out, const char *id, size_t len)
{
	size_t start = out->len;
	bool dots = len && len <= 2 && !memcmp(id, "..", len);
	for (size_t i = 0; i < len; i++) {
		char c = id[i];
		if (c == '/') {
			buf_str(out, "--");
		} else if (c == '-' && i + 1 < len && id[i + 1] == '-') {
			buf_str(out, "%2D%2D");
			i++;
		} else if (c == '%' || dots || (c == '-' && beside_slash(id, len, i))) {
			buf_printf(out, "%%%02X", (unsigned char)c);
		} else {
			buf_char(out, c);
		}
	}
	if (!len)
		buf_char(out, '%');
	if (out->failed || out->len - start <= FLAT_MAX)
		return;
	uint64_t h = hash64(out->data + start, out->len - start, 0);
	out->len = start + FLAT_KEEP;
	buf_printf(out, "~%016llx", (unsigned long long)h);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool flat_decode(struct buf *out, const char *flat)
{
	size_t start = out->len;
	if (!strcmp(flat, "%"))
		return true;
	for (const char *p = flat; *p; p++) {
		if (p[0] == '-' && p[1] == '-') {
			buf_char(out, '/');
			p++;
		} else if (*p == '%') {
			if (hex(p[1]) < 0 || hex(p[2]) < 0)
				return false;
			buf_char(out, (char)(hex(p[1]) * 16 + hex(p[2])));
			p += 2;
		} else {
			buf_char(out, *p);
		}
	}
	if (out->failed)
		return false;
	/* only what encodes to this very name: one model has one FLATID */
	struct buf again = {0};
	flat_encode(&again, out->data ? out->data + start : "", out->len - start);
	bool same = !again.failed && !strcmp(again.data, flat);
	buf_release(&again);
	return same;
}

bool flat_is_short(const char *flat)
{
	size_t n = strlen(flat);
	if (n != FLAT_KEEP + 17 || flat[FLAT_KEEP] != '~')
		return false;
	for (size_t i = FLAT_KEEP + 1; i < n; i++)
		if (!isxdigit((unsigned char)flat[i]))
			return false;
	return true;
}
