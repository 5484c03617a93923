#ifndef TARN_CATALOG_CATALOG_H
#define TARN_CATALOG_CATALOG_H
/*
 * What is known, kept in one SQLite file (WAL): nothing outside core/catalog says SQL. Statements
 * are named in queries.h and run through three functions. Any thread may read (each gets a
 * connection from a pool); writes are serialised on one connection, in transactions.
 *
 * Losing the file loses only time. It is crash-safe at any instruction; a file that is damaged or
 * from a newer tarn is refused with a message that says what to do.
 */
#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;
struct catalog_row;	/* the row at hand, inside a callback only */

enum query {
#define X(name, sql) Q_##name,
#include "core/catalog/queries.h"
#undef X
	Q_COUNT
};

/* path NULL: in memory (nothing survives). Errors: EUCLEAN damaged or not a catalog, EPROTO from a newer tarn,
 * EACCES, EROFS, ENOSPC…; each message says what to do. */
int catalog_open(struct catalog **c, const char *path, struct err *e);
void catalog_close(struct catalog *c);
const char *catalog_file(const struct catalog *c);	/* "" when in memory */

/* Parameters by format: 'i' int64_t, 'd' double, 's' const char * (NULL: null), 't' text of length: const char *, size_t,
 * 'b' blob: const void *, size_t. Text is bound as a blob where it is of the lake (names are bytes), 's' as text. */

/* Read: row() for each row until it returns nonzero, which is returned. */
int catalog_each(struct catalog *c, enum query q, struct err *e,
		 int (*row)(void *arg, const struct catalog_row *r), void *arg, const char *fmt, ...);
/* Read one row's first column as an integer; `fallback` when there is no row. */
int64_t catalog_number(struct catalog *c, enum query q, int64_t fallback, const char *fmt, ...);
/* Write, within catalog_begin … catalog_commit (which also lock other writers out) or on its own. */
int catalog_do(struct catalog *c, enum query q, struct err *e, const char *fmt, ...);

int catalog_begin(struct catalog *c, struct err *e);
int catalog_try_begin(struct catalog *c, struct err *e);	/* EBUSY at once when another thread or process writes */
int catalog_commit(struct catalog *c, struct err *e);
void catalog_rollback(struct catalog *c);

/* Columns of the row at hand. Texts are bytes: lengths count, NUL-terminated, valid until the callback returns. */
int64_t catalog_int(const struct catalog_row *r, int col);
double catalog_real(const struct catalog_row *r, int col);
const char *catalog_text(const struct catalog_row *r, int col, size_t *len);	/* "" for null; len may be NULL */
const void *catalog_blob(const struct catalog_row *r, int col, size_t *len);
bool catalog_null(const struct catalog_row *r, int col);

/* Has another process written since the last call? */
bool catalog_changed(struct catalog *c);

#endif
