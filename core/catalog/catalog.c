/* The SQLite side of the catalog: connections, migrations, and running the named statements. */
#include "core/catalog/catalog.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x7461726e /* "tarn" */, BUSY_MS = 20000 };

static const char *const sql[] = {
#define X(name, text) [Q_##name] = text,
#include "core/catalog/queries.h"
#undef X
};

static const char *const steps[] = {
#include "core/catalog/schema.h"
};

struct connection {
	struct connection *next;
	sqlite3 *db;
	sqlite3_stmt *st[Q_COUNT];
};

struct catalog {
	char *path;
	char *uri;
	pthread_mutex_t lock;		/* the list of idle readers */
	struct connection *idle;
	pthread_mutex_t write_lock;	/* recursive: held from begin to commit */
	struct connection *writer;
	int64_t data_version;
	int depth;			/* of transactions on the writer */
};

struct catalog_row {
	sqlite3_stmt *st;
};

static int say(const struct catalog *c, struct err *e, sqlite3 *db, int rc)
{
	const char *path = c->path ? c->path : "in memory";
	switch (rc & 0xff) {
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return err_set(
			e, EUCLEAN,
			"the catalog %s is damaged (%s): delete it and tarn will make a new one; only time is lost",
			path, sqlite3_errstr(rc));
	case SQLITE_FULL:
		return err_set(
			e, ENOSPC,
			"no space left for the catalog %s: free some, or choose another place with --catalog FILE",
			path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return err_set(
			e, EACCES,
			"the catalog %s cannot be written: mend its permissions or choose another with --catalog FILE",
			path);
	case SQLITE_CANTOPEN:
		return err_set(e, EACCES, "cannot open the catalog %s (%s): choose another place with --catalog FILE",
			       path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, EBUSY, "the catalog %s is locked by another process", path);
	case SQLITE_NOMEM:
		return err_nomem(e);
	default:
		return err_set(e, EIO, "catalog %s: %s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	}
}

static int run(const struct catalog *c, sqlite3 *db, const char *text, struct err *e)
{
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : say(c, e, db, rc);
}

static void connection_free(struct connection *k)
{
	if (!k)
		return;
	for (int i = 0; i < Q_COUNT; i++)
		sqlite3_finalize(k->st[i]);
	sqlite3_close(k->db);
	free(k);
}

static int connect(const struct catalog *c, struct connection **out, struct err *e)
{
	struct connection *k = mem_alloc(sizeof *k);
	if (!k)
		return err_nomem(e);
	int rc = sqlite3_open_v2(c->uri, &k->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
				 NULL);
	int r = rc == SQLITE_OK ? 0 : say(c, e, k->db, rc);
	if (!r) {
		sqlite3_extended_result_codes(k->db, 1);
		sqlite3_busy_timeout(k->db, BUSY_MS);
		r = run(c, k->db,
			"PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA synchronous=NORMAL;"
			"PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
			e);
	}
	if (r < 0) {
		connection_free(k);
		return r;
	}
	*out = k;
	return 0;
}

static int64_t pragma(sqlite3 *db, const char *text)
{
	sqlite3_stmt *st;
	int64_t v = -1;
	if (sqlite3_prepare_v2(db, text, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

static int migrate(struct catalog *c, struct err *e)
{
	sqlite3 *db = c->writer->db;
	int r = run(c, db, "PRAGMA journal_mode=WAL", e);
	if (r < 0)
		return r;
	int64_t version = pragma(db, "PRAGMA user_version"), app = pragma(db, "PRAGMA application_id");
	int64_t tables = pragma(db, "SELECT count(*) FROM sqlite_schema");
	if (version < 0 || app < 0 || tables < 0)
		return say(c, e, db, sqlite3_extended_errcode(db));
	if ((tables || version) && app != APPLICATION_ID)
		return err_set(e, EUCLEAN,
			       "%s is an SQLite file but not a tarn catalog: choose another with --catalog FILE",
			       c->path);
	if (version > (int64_t)COUNT(steps))
		return err_set(e, EPROTO,
			       "the catalog %s was made by a newer tarn (schema %lld, this one knows %zu): "
			       "use that tarn, or delete the file (only time is lost)",
			       c->path, (long long)version, COUNT(steps));
	for (size_t i = (size_t)version; i < COUNT(steps); i++) {
		char tail[96];
		snprintf(tail, sizeof tail, "PRAGMA user_version=%zu; PRAGMA application_id=%d; COMMIT", i + 1,
			 APPLICATION_ID);
		if ((r = run(c, db, "BEGIN EXCLUSIVE", e)) < 0)
			return r;
		if (pragma(db, "PRAGMA user_version") > (int64_t)i) {	/* another process was faster */
			run(c, db, "ROLLBACK", NULL);
			continue;
		}
		if ((r = run(c, db, steps[i], e)) < 0 || (r = run(c, db, tail, e)) < 0) {
			run(c, db, "ROLLBACK", NULL);
			return r;
		}
	}
	return 0;
}

/* SQLite reads '?', '#' and '%' of a URI: the path is escaped. Memory: shared by the connections of this catalog only. */
static char *make_uri(const char *path, const void *unique)
{
	if (!path) {
		char *s = mem_alloc(80);
		if (s)
			snprintf(s, 80, "file:tarn%p?mode=memory&cache=shared", unique);
		return s;
	}
	char *s = mem_alloc(strlen(path) * 3 + 8), *p = s;
	if (!s)
		return NULL;
	p += sprintf(p, "file:");
	for (; *path; path++)
		p += strchr("?#%", *path) ? sprintf(p, "%%%02X", (unsigned char)*path) : sprintf(p, "%c", *path);
	return s;
}

/*
 * What it tells of a private lake is private; SQLite gives -wal and -shm the same mode. Only a file that was not there is ever
 * opened here: closing any descriptor of a database drops the locks that this process holds on it (sqlite.org/howtocorrupt.html 2.2).
 */
static void create_private(const char *path)
{
	int fd = path ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	if (fd >= 0)
		close(fd);
}

int catalog_open(struct catalog **out, const char *path, struct err *e)
{
	struct catalog *c = mem_alloc(sizeof *c);
	if (!c)
		return err_nomem(e);
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&c->write_lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_mutex_init(&c->lock, NULL);
	c->path = path ? mem_strdup(path) : NULL;
	c->uri = make_uri(path, c);
	create_private(path);
	int r = (path && !c->path) || !c->uri ? err_nomem(e) : connect(c, &c->writer, e);
	if (r == 0)
		r = migrate(c, e);
	if (r == 0) {
		c->data_version = pragma(c->writer->db, sql[Q_DATA_VERSION]);
		*out = c;
		return 0;
	}
	catalog_close(c);
	return r;
}

void catalog_close(struct catalog *c)
{
	if (!c)
		return;
	for (struct connection *k = c->idle, *next; k; k = next) {
		next = k->next;
		connection_free(k);
	}
	connection_free(c->writer);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->write_lock);
	free(c->path);
	free(c->uri);
	free(c);
}

const char *catalog_file(const struct catalog *c)
{
	return c->path ? c->path : "";
}

static int take_reader(struct catalog *c, struct connection **k, struct err *e)
{
	pthread_mutex_lock(&c->lock);
	*k = c->idle;
	if (*k)
		c->idle = (*k)->next;
	pthread_mutex_unlock(&c->lock);
	return *k ? 0 : connect(c, k, e);
}

static void give_reader(struct catalog *c, struct connection *k)
{
	pthread_mutex_lock(&c->lock);
	k->next = c->idle;
	c->idle = k;
	pthread_mutex_unlock(&c->lock);
}

static int prepare(const struct catalog *c, struct connection *k, enum query q, struct err *e)
{
	if (k->st[q])
		return 0;
	int rc = sqlite3_prepare_v3(k->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT, &k->st[q], NULL);
	return rc == SQLITE_OK ? 0 : say(c, e, k->db, rc);
}

static void bind(sqlite3_stmt *st, const char *fmt, va_list ap)
{
	for (int i = 1; *fmt; fmt++, i++) {
		const void *p;
		switch (*fmt) {
		case 'i':
			sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			sqlite3_bind_double(st, i, va_arg(ap, double));
			break;
		case 's':
			sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
			break;
		case 't':
		case 'b':
			p = va_arg(ap, const void *);
			sqlite3_bind_blob64(st, i, p ? p : "", va_arg(ap, size_t), SQLITE_STATIC);
			break;
		}
	}
}

/* Readers of a shared in-memory catalog may meet a writer's table lock: they use the writer instead. */
static int checkout(struct catalog *c, struct connection **k, struct err *e)
{
	if (c->path)
		return take_reader(c, k, e);
	pthread_mutex_lock(&c->write_lock);
	*k = c->writer;
	return 0;
}

static void checkin(struct catalog *c, struct connection *k)
{
	if (c->path)
		give_reader(c, k);
	else
		pthread_mutex_unlock(&c->write_lock);
}

/* A callback may run the same query again (in memory there is one connection): then a statement of its own. */
static sqlite3_stmt *borrow(struct connection *k, enum query q, bool *own)
{
	*own = sqlite3_stmt_busy(k->st[q]);
	sqlite3_stmt *st = k->st[q];
	if (*own && sqlite3_prepare_v2(k->db, sql[q], -1, &st, NULL) != SQLITE_OK)
		st = NULL;
	return st;
}

static int each(struct catalog *c, enum query q, struct err *e, int (*row)(void *, const struct catalog_row *),
		void *arg, const char *fmt, va_list ap)
{
	struct connection *k;
	int r = checkout(c, &k, e);
	if (r < 0)
		return r;
	bool own = false;
	sqlite3_stmt *st = NULL;
	if ((r = prepare(c, k, q, e)) == 0 && !(st = borrow(k, q, &own)))
		r = err_nomem(e);
	if (r == 0) {
		struct catalog_row at = {st};
		int rc;
		bind(st, fmt, ap);
		while ((rc = sqlite3_step(st)) == SQLITE_ROW)
			if ((r = row(arg, &at)))
				break;
		if (rc != SQLITE_ROW && rc != SQLITE_DONE)
			r = say(c, e, k->db, rc);
		sqlite3_reset(st);
		sqlite3_clear_bindings(st);
		if (own)
			sqlite3_finalize(st);
	}
	checkin(c, k);
	return r;
}

int catalog_each(struct catalog *c, enum query q, struct err *e,
		 int (*row)(void *arg, const struct catalog_row *r), void *arg, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = each(c, q, e, row, arg, fmt, ap);
	va_end(ap);
	return r;
}

static int first_number(void *arg, const struct catalog_row *r)
{
	*(int64_t *)arg = catalog_int(r, 0);
	return 1;
}

int64_t catalog_number(struct catalog *c, enum query q, int64_t fallback, const char *fmt, ...)
{
	int64_t v = fallback;
	va_list ap;
	va_start(ap, fmt);
	each(c, q, NULL, first_number, &v, fmt, ap);
	va_end(ap);
	return v;
}

int catalog_do(struct catalog *c, enum query q, struct err *e, const char *fmt, ...)
{
	va_list ap;
	pthread_mutex_lock(&c->write_lock);
	int r = prepare(c, c->writer, q, e);
	if (r == 0) {
		sqlite3_stmt *st = c->writer->st[q];
		va_start(ap, fmt);
		bind(st, fmt, ap);
		va_end(ap);
		int rc = sqlite3_step(st);
		if (rc != SQLITE_DONE && rc != SQLITE_ROW)
			r = say(c, e, c->writer->db, rc);
		sqlite3_reset(st);
		sqlite3_clear_bindings(st);
	}
	pthread_mutex_unlock(&c->write_lock);
	return r;
}

static int begin_locked(struct catalog *c, struct err *e)
{
	int r = c->depth ? 0 : run(c, c->writer->db, "BEGIN IMMEDIATE", e);
	if (r < 0)
		pthread_mutex_unlock(&c->write_lock);
	else
		c->depth++;
	return r;
}

int catalog_begin(struct catalog *c, struct err *e)
{
	pthread_mutex_lock(&c->write_lock);
	return begin_locked(c, e);
}

int catalog_try_begin(struct catalog *c, struct err *e)
{
	if (pthread_mutex_trylock(&c->write_lock))
		return err_set(e, EBUSY, "another thread is writing the catalog");
	sqlite3_busy_timeout(c->writer->db, 0);		/* nor for another process */
	int r = begin_locked(c, e);
	sqlite3_busy_timeout(c->writer->db, BUSY_MS);
	return r;
}

int catalog_commit(struct catalog *c, struct err *e)
{
	int r = --c->depth ? 0 : run(c, c->writer->db, "COMMIT", e);
	if (r < 0)
		run(c, c->writer->db, "ROLLBACK", NULL);
	pthread_mutex_unlock(&c->write_lock);
	return r;
}

void catalog_rollback(struct catalog *c)
{
	if (!--c->depth)
		run(c, c->writer->db, "ROLLBACK", NULL);
	pthread_mutex_unlock(&c->write_lock);
}

int64_t catalog_int(const struct catalog_row *r, int col) { return sqlite3_column_int64(r->st, col); }
double catalog_real(const struct catalog_row *r, int col) { return sqlite3_column_double(r->st, col); }
bool catalog_null(const struct catalog_row *r, int col) { return sqlite3_column_type(r->st, col) == SQLITE_NULL; }

const char *catalog_text(const struct catalog_row *r, int col, size_t *len)
{
	const unsigned char *s = sqlite3_column_text(r->st, col);
	if (len)
		*len = s ? (size_t)sqlite3_column_bytes(r->st, col) : 0;
	return s ? (const char *)s : "";
}

const void *catalog_blob(const struct catalog_row *r, int col, size_t *len)
{
	const void *p = sqlite3_column_blob(r->st, col);
	*len = p ? (size_t)sqlite3_column_bytes(r->st, col) : 0;
	return p;
}

bool catalog_changed(struct catalog *c)
{
	if (!c->path)
		return false;
	pthread_mutex_lock(&c->write_lock);
	int64_t v = pragma(c->writer->db, sql[Q_DATA_VERSION]);
	bool changed = v != c->data_version;
	c->data_version = v;
	pthread_mutex_unlock(&c->write_lock);
	return changed;
}
