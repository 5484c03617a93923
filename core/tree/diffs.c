/* The exact comparison of two models: kept in the catalog, because several files are told from it. */
#include "core/tree/diffs.h"

#include "core/base/mem.h"
#include "core/catalog/catalog.h"
#include "core/lake/inspect.h"

#include <errno.h>

int two_open(struct render *r, struct two *t)
{
	int rc = open_model(r, r->model, &t->this);
	if (rc < 0)
		return rc;
	rc = open_model(r, r->other, &t->other);
	if (rc < 0) {
		opened_release(&t->this);
		return rc;
	}
	t->a = (struct diff_model){&t->this.inspect.weights, &t->this.inspect.canon};
	t->b = (struct diff_model){&t->other.inspect.weights, &t->other.inspect.canon};
	return 0;
}

void two_release(struct two *t)
{
	opened_release(&t->this);
	opened_release(&t->other);
}

static uint64_t file_bytes(const struct weights *w)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < w->n_files; i++)
		sum += w->files[i].io.size;
	return sum;
}

uint64_t two_bytes(const struct two *t)
{
	return file_bytes(t->a.w) + file_bytes(t->b.w);
}

static int changed_file(const struct weights *w, struct err *e)
{
	for (size_t i = 0; i < w->n_files; i++)
		if (io_changed(&w->files[i].io))
			return err_set(e, EIO, "%s: changed while it was read", w->files[i].path);
	return 0;
}

struct kept {
	const struct two *t;
	struct diff *d;
	int result;
};

static int diff_row_kept(void *arg, const struct catalog_row *row)
{
	struct kept *k = arg;
	size_t len;
	const void *p = catalog_blob(row, 0, &len);
	k->result = diff_decode(k->d, &k->t->a, &k->t->b, p, len, NULL);
	return 1;
}

int two_diff(struct render *r, const struct two *t, struct diff *d)
{
	struct catalog *c = tree_catalog(r->tree);
	struct kept k = {t, d, -ENOENT};
	cleanup_buf struct buf b = {0};
	int rc = catalog_each(c, Q_DIFF_GET, NULL, diff_row_kept, &k, "ii", (int64_t)r->model->id,
			      (int64_t)r->other->id);
	if (rc == 1 && !k.result)
		return 0;
	rc = diff_models(d, &t->a, &t->b, 0, r->cancel, r->err);
	if (rc < 0)
		return rc;
	rc = changed_file(t->a.w, r->err);
	if (!rc)
		rc = changed_file(t->b.w, r->err);
	if (rc < 0)
		diff_release(d);
	/* A catalog that cannot be written costs only the keeping. */
	else if (!diff_encode(d, &t->a, &t->b, &b, NULL))
		catalog_do(c, Q_DIFF_PUT, NULL, "iib", (int64_t)r->model->id, (int64_t)r->other->id, b.data, b.len);
	return rc;
}
