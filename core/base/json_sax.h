#ifndef TARN_BASE_JSON_SAX_H
#define TARN_BASE_JSON_SAX_H
/*
 * JSON as a stream of yajl's events, read chunk by chunk. yajl itself does not survive a failed
 * allocation; here it is an error like any other.
 */
#include "core/base/err.h"

#include <stddef.h>
#include <yajl/yajl_parse.h>

struct json_source {
	/* The next bytes, valid until the next call; *n = 0 at the end. Returns 0 or -errno with e set. */
	int (*next)(void *ctx, const char **p, size_t *n, struct err *e);
	void *ctx;
};

/*
 * Feed one document to `events`. A callback that returns 0 stops the parse: -ECANCELED, and e is left
 * as the callback set it, but for e->pos. Otherwise -EINVAL (not JSON, or it ends too early), -ENOMEM, or what
 * next returned. e must not be NULL. Positions count from the first chunk's first byte.
 */
int json_sax(const yajl_callbacks *events, void *ctx, const struct json_source *src, struct err *e);

#endif
