/* exact/: what a pass over whole weights tells, kept by what it is a fact of: statistics by the model, hashes by the
 * file. */
#include "core/tree/exacts.h"

#include "core/analysis/exact.h"
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <string.h>

/* --- hashes of files --- */

static int hash_row(void *arg, const struct catalog_row *row)
{
	size_t len;
	const void *p = catalog_blob(row, 0, &len);
	if (len != sizeof(struct hash128))
		return 0;
	memcpy(arg, p, sizeof(struct hash128));
	return 1;
}

static bool known_hash(struct catalog *c, const struct io_id *id, struct hash128 *h)
{
	return catalog_each(c, Q_HASH_GET, NULL, hash_row, h, "iiiii", (int64_t)id->dev, (int64_t)id->ino,
			    (int64_t)id->size, id->mtime_ns, id->ctime_ns) == 1;
}

/* A catalog that cannot be written costs only the keeping. */
static void keep_hash(struct catalog *c, const struct io_id *id, const struct hash128 *h)
{
	catalog_do(c, Q_HASH_PUT, NULL, "iiiiib", (int64_t)id->dev, (int64_t)id->ino, (int64_t)id->size, id->mtime_ns,
		   id->ctime_ns, h, sizeof *h);
}

bool exact_hash_known(struct render *r, const struct scan_file *f, struct hash128 *h)
{
	return f->id.ino && known_hash(tree_catalog(r->tree), &f->id, h);
}

int exact_hash(struct render *r, uint32_t root, const struct scan_file *f, struct hash128 *h, struct err *e)
{
	struct catalog *c = tree_catalog(r->tree);
	cleanup_io struct io io = IO_INIT;
	if (exact_hash_known(r, f, h))
		return 0;
	int rc = lake_open_file(tree_lake(r->tree), root, f->path, &io, e);
	if (!rc && known_hash(c, &io.id, h))
		return 0;
	if (!rc)
		rc = exact_file(h, &io, r->cancel, e);
	if (!rc && io_changed(&io))
		rc = err_set(e, EIO, "%s: changed while it was read", f->name);
	if (!rc)
		keep_hash(c, &io.id, h);
	return rc;
}

struct files_job {
	struct render *r;
	const struct scan_model *m;
	struct file_hash { struct hash128 hash; int result; } *out;
};

static int hash_one(void *arg, size_t i)
{
	struct files_job *j = arg;
	struct err e = ERR_INIT;
	j->out[i].result = exact_hash(j->r, j->m->root, &j->m->files[i], &j->out[i].hash, &e);
	return j->out[i].result == -ECANCELED || j->out[i].result == -ENOMEM ? j->out[i].result : 0;
}

/* A file that cannot be read has no hash; why stands in problems.tsv or comes with reading it. */
int render_exact_files(struct render *r)
{
	struct arena a = {0};
	struct scan_model m;
	struct table tb;
	int rc = store_get_files(tree_catalog(r->tree), r->model->id, &a, &m, r->err);
	if (rc < 0) {
		arena_release(&a);
		return rc;
	}
	struct files_job j = {r, &m, mem_array(m.n_files, sizeof *j.out)};
	rc = j.out ? pool_for(pool_cores(), m.n_files, hash_one, &j) : -ENOMEM;
	table_begin(&tb, r->out, r->json, "file xxh128");
	for (size_t i = 0; i < m.n_files && !rc; i++) {
		char hex[33] = "";
		if (!j.out[i].result)
			hash128_hex(j.out[i].hash, hex);
		table_text(&tb, m.files[i].name);
		table_text(&tb, hex);
	}
	table_end(&tb);
	free(j.out);
	arena_release(&a);
	return rc < 0 ? err_set(r->err, -rc, "%s", rc == -ENOMEM ? "out of memory" : "cancelled") : 0;
}

/* --- statistics of tensors --- */

struct kept {
	struct exact *x;
	int result;
};

static int exact_row(void *arg, const struct catalog_row *row)
{
	struct kept *k = arg;
	size_t len;
	const void *p = catalog_blob(row, 0, &len);
	k->result = exact_decode(k->x, p, len, NULL);
	return 1;
}

static void keep_exact(struct catalog *c, uint32_t model, const struct exact *x, const struct weights *w)
{
	cleanup_buf struct buf b = {0};
	if (!exact_encode(x, &b, NULL))
		catalog_do(c, Q_EXACT_PUT, NULL, "iib", (int64_t)model, (int64_t)EXACT_VERSION, b.data, b.len);
	for (size_t i = 0; i < x->n_files; i++)
		if (!io_changed(&w->files[i].io))
			keep_hash(c, &w->files[i].io.id, &x->files[i]);
}

static int changed_file(const struct weights *w, struct err *e)
{
	for (size_t i = 0; i < w->n_files; i++)
		if (io_changed(&w->files[i].io))
			return err_set(e, EIO, "%s: changed while it was read", w->files[i].path);
	return 0;
}

int exact_known(struct render *r, const struct view_model *m, struct exact *x)
{
	struct kept k = {x, -ENOENT};
	int rc = catalog_each(tree_catalog(r->tree), Q_EXACT_GET, NULL, exact_row, &k, "ii", (int64_t)m->id,
			      (int64_t)EXACT_VERSION);
	return rc == 1 && !k.result ? 0 : -EAGAIN;
}

int exact_get(struct render *r, const struct view_model *m, struct exact *x)
{
	struct catalog *c = tree_catalog(r->tree);
	struct opened o;
	if (!exact_known(r, m, x))
		return 0;
	int rc = open_model(r, m, &o);
	if (rc < 0)
		return rc;
	rc = exact_of(x, &o.inspect.weights, 0, r->cancel, r->err);
	if (!rc && (rc = changed_file(&o.inspect.weights, r->err)) < 0)
		exact_release(x);
	if (!rc)
		keep_exact(c, m->id, x, &o.inspect.weights);
	opened_release(&o);
	return rc;
}

static void tensor_row(struct table *tb, const struct exact_tensor *t)
{
	double facts[] = {t->mean, t->std, t->min, t->max, t->l2, t->kurtosis};
	char hex[33];
	hash128_hex(t->hash, hex);
	table_text(tb, t->name);
	table_text(tb, hex);
	for (size_t i = 0; i < COUNT(facts); i++)
		table_opt(tb, facts[i]);
	if (t->values) {
		table_int(tb, t->zeros);
		table_int(tb, t->nonfinite);
	} else {
		table_none(tb);
		table_none(tb);
	}
	for (int i = 0; i < EXACT_QUANTILES; i++)
		table_opt(tb, t->quantile[i]);
}

int render_exact_statistics(struct render *r)
{
	struct exact x;
	struct table tb;
	int rc = exact_get(r, r->model, &x);
	if (rc < 0)
		return rc;
	table_begin(&tb, r->out, r->json,
		    "name xxh128 mean std min max l2 kurtosis zeros nonfinite p01 p25 p50 p75 p99");
	for (size_t i = 0; i < x.n; i++)
		tensor_row(&tb, &x.tensors[i]);
	table_end(&tb);
	exact_release(&x);
	return 0;
}
