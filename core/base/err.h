#ifndef TARN_BASE_ERR_H
#define TARN_BASE_ERR_H
/*
 * An error is filled at the place that knows, carried up, and printed once.
 *
 * Functions that can fail return 0 or -errno and take `struct err *` last; the pointer may be
 * NULL. `code` is a positive errno. `pos` is a byte offset in the input where that means something
 * (ERR_NOPOS otherwise). Messages say what was expected and what was found. Nothing is allocated.
 */
#include <stdint.h>

#define ERR_NOPOS UINT64_MAX

struct err {
	int code;
	uint64_t pos;
	char msg[360];
};

#define ERR_INIT ((struct err){0, ERR_NOPOS, ""})

/* Fill `e` and return -code. */
__attribute__((format(printf, 3, 4))) int err_set(struct err *e, int code, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) int err_at(struct err *e, int code, uint64_t pos, const char *fmt, ...);
/* Put words in front of the message ("config.json: …"); returns -e->code. */
__attribute__((format(printf, 2, 3))) int err_prefix(struct err *e, const char *fmt, ...);
/* Out of memory, said the same way everywhere. */
int err_nomem(struct err *e);

#endif
