#ifndef TARN_BASE_PROCESS_H
#define TARN_BASE_PROCESS_H
/* A helper program: fed, read, limited and killed. */
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/pool.h"

/* Is a program of this name on the PATH? */
bool process_found(const char *program);

/* Run argv[0] (from the PATH) with `in` on its standard input; what it prints comes to `out`, at most `max` bytes.
 * Killed after `seconds` or when cancelled. Errors: ENOENT, ETIMEDOUT, ECANCELED, EFBIG, EIO (it failed), ENOMEM. */
int process_run(const char *const *argv, const char *in, size_t n_in, struct buf *out, size_t max, unsigned seconds,
		const struct cancel *c, struct err *e);

#endif
