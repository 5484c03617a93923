#include "core/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0)))
__attribute__((format(printf, 4, 0)))
static int fill(struct err *e, int code, uint64_t pos, const char *fmt, va_list ap)
{
	if (e) {
		e->code = code;
		e->pos = pos;
		vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	}
	return -code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = fill(e, code, ERR_NOPOS, fmt, ap);
	va_end(ap);
	return r;
}

int err_at(struct err *e, int code, uint64_t pos, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = fill(e, code, pos, fmt, ap);
	va_end(ap);
	return r;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	if (!e)
		return -EIO;
	char tail[sizeof e->msg];
	memcpy(tail, e->msg, sizeof tail);
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof e->msg)
		snprintf(e->msg + n, sizeof e->msg - (size_t)n, "%s", tail);
	return -e->code;
}

int err_nomem(struct err *e)
{
	return err_set(e, ENOMEM, "out of memory");
}
