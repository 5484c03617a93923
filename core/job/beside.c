/* Have the files changed that weights name beside them? */
#include "core/job/beside.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/lake/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct looking { struct beside_models *b; const struct lake *l; };

static struct io_id id_now(const struct lake *l, uint32_t root, const char *path)
{
	struct stat st;
	cleanup_fd int fd = lake_open_at(l, root, path, O_PATH);
	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? io_id_of(&st) : (struct io_id){0};
}

static int row(void *arg, const struct catalog_row *r)
{
	struct looking *k = arg;
	struct beside_models *b = k->b;
	uint32_t id = (uint32_t)catalog_int(r, 0);
	const char *path = catalog_text(r, 2, NULL);
	struct io_id was = {.size = (uint64_t)catalog_int(r, 3),
			    .mtime_ns = catalog_int(r, 4),
			    .ctime_ns = catalog_int(r, 5),
			    .dev = (uint64_t)catalog_int(r, 6),
			    .ino = (uint64_t)catalog_int(r, 7)};
	struct io_id now = id_now(k->l, (uint32_t)catalog_int(r, 1), path);
	if (!b->n || b->at[b->n - 1].id != id) {
		if (mem_grow(&b->at, &b->cap, b->n + 1) < 0)
			return -ENOMEM;
		b->at[b->n++] = (struct beside_model){.id = id};
	}
	struct beside_model *m = &b->at[b->n - 1];
	m->now = hash64(&now, sizeof now, hash64(path, strlen(path), m->now));
	m->changed |= now.size != was.size || now.mtime_ns != was.mtime_ns || now.ctime_ns != was.ctime_ns ||
		      now.dev != was.dev || now.ino != was.ino;
	return 0;
}

int beside_look(struct beside_models *b, struct catalog *c, const struct lake *l, struct err *e)
{
	struct looking k = {b, l};
	*b = (struct beside_models){0};
	int r = catalog_each(c, Q_BESIDE_ALL, e, row, &k, "");
	for (size_t i = 0; i < b->n; i++)
		b->at[i].now >>= 1;	/* identities are positive in SQLite */
	return r < 0 ? r : 0;
}

void beside_release(struct beside_models *b)
{
	free(b->at);
	*b = (struct beside_models){0};
}

const struct beside_model *beside_find(const struct beside_models *b, uint32_t id)
{
	size_t lo = 0, hi = b->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (b->at[mid].id == id)
			return &b->at[mid];
		if (b->at[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
