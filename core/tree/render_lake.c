/* lake/: the lake as a whole. */
#include "core/base/mem.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"
#include "core/tree/table.h"
#include "core/tree/tree_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int render_cachedir(struct render *r)
{
	/* bford.info/cachedir: backup tools pass such a directory over */
	buf_str(r->out, "Signature: 8a477f597d28d172789f06886806bc55\n"
		"# This directory is computed by tarn from a lake of models; there is nothing here to back up.\n");
	return 0;
}

int64_t size_generation(struct tree *t, struct view *v, struct node n)
{
	(void)t, (void)n;
	return snprintf(NULL, 0, "%llu\n", (unsigned long long)v->generation);
}

int render_generation(struct render *r)
{
	buf_printf(r->out, "%llu\n", (unsigned long long)r->view->generation);
	return 0;
}

/* --- models.tsv --- */

enum { COL_PATH, COL_FORMAT, COL_ARCHITECTURE, COL_DTYPE, COL_PARAMETERS, COL_BYTES, COL_LICENSE, COLS };
static const char *const fact_columns[COLS] = {"path",       "format", "architecture", "dtype",
					       "parameters", "bytes",  "license"};

struct cells { char *cell[COLS]; };

static int cell_row(void *arg, const struct catalog_row *row)
{
	struct cells *c = arg;
	const char *key = catalog_text(row, 0, NULL), *value = catalog_text(row, 1, NULL);
	for (int i = 0; i < COLS; i++)
		if (!strcmp(key, fact_columns[i]) && !c->cell[i] && !(c->cell[i] = mem_strdup(value)))
			return -ENOMEM;
	return 0;
}

static int problem_count(void *arg, const struct catalog_row *row)
{
	(void)row;
	++*(uint64_t *)arg;
	return 0;
}

static int model_row(struct render *r, struct table *tb, const struct view_model *m)
{
	struct cells c = {0};
	struct catalog *cat = tree_catalog(r->tree);
	uint64_t problems = 0;
	int rc = catalog_each(cat, Q_FACTS, r->err, cell_row, &c, "i", (int64_t)m->id);
	if (!rc)
		rc = catalog_each(cat, Q_PROBLEMS, r->err, problem_count, &problems, "i", (int64_t)m->id);
	const struct view_model *root = view_by_id(r->view, kin_root(r->tree, r->view, m->id));
	table_text(tb, view_name(r->view, m));
	for (int i = 0; i < COLS; i++) {
		bool number = i == COL_PARAMETERS || i == COL_BYTES;
		if (number && c.cell[i] && strspn(c.cell[i], "0123456789") == strlen(c.cell[i]))
			table_int(tb, strtoull(c.cell[i], NULL, 10));
		else
			table_text(tb, c.cell[i]);
		free(c.cell[i]);
	}
	table_text(tb, root ? view_name(r->view, root) : NULL);
	table_int(tb, problems);
	return rc;
}

static int by_bytes(const void *a, const void *b, void *arg)
{
	struct view *v = arg;
	return strcmp(view_name(v, &v->models[*(const uint32_t *)a]), view_name(v, &v->models[*(const uint32_t *)b]));
}

/* Indices of the models in plain byte order, as tables are sorted. */
static uint32_t *sorted(struct view *v)
{
	uint32_t *order = mem_array(v->n ? v->n : 1, sizeof *order);
	if (!order)
		return NULL;
	for (uint32_t i = 0; i < v->n; i++)
		order[i] = i;
	qsort_r(order, v->n, sizeof *order, by_bytes, v);
	return order;
}

int render_lake_models(struct render *r)
{
	struct table tb;
	int rc = 0;
	cleanup_free uint32_t *order = sorted(r->view);
	if (!order)
		return err_nomem(r->err);
	table_begin(&tb, r->out, r->json,
		    "model path format architecture dtype parameters bytes license root problems");
	for (uint32_t i = 0; i < r->view->n && !rc; i++) {
		if (model_shown(r->tree, &r->view->models[order[i]]))
			rc = model_row(r, &tb, &r->view->models[order[i]]);
		if (cancel_asked(r->cancel))
			rc = -ECANCELED;
	}
	table_end(&tb);
	return rc;
}

/* --- problems.tsv and unread.tsv --- */

struct problem_out {
	struct render *r;
	struct table tb;
	const struct view_model *m;
};

static int problem_row(void *arg, const struct catalog_row *row)
{
	struct problem_out *x = arg;
	table_text(&x->tb, view_name(x->r->view, x->m));
	for (int i = 0; i < 3; i++)
		table_text(&x->tb, catalog_text(row, i, NULL));
	return 0;
}

int render_lake_problems(struct render *r)
{
	struct problem_out x = {.r = r};
	int rc = 0;
	cleanup_free uint32_t *order = sorted(r->view);
	if (!order)
		return err_nomem(r->err);
	table_begin(&x.tb, r->out, r->json, "model file problem detail");
	for (uint32_t i = 0; i < r->view->n && !rc; i++) {
		x.m = &r->view->models[order[i]];
		if ((x.m->flags & VIEW_PROBLEMS) && model_shown(r->tree, x.m))
			rc = catalog_each(tree_catalog(r->tree), Q_PROBLEMS, r->err, problem_row, &x, "i",
					  (int64_t)x.m->id);
	}
	table_end(&x.tb);
	return rc;
}

struct unread_out {
	struct render *r;
	struct table tb;
	bool less;		/* only what everyone may read */
};

static int unread_row(void *arg, const struct catalog_row *row)
{
	struct unread_out *x = arg;
	const char *path = catalog_text(row, 0, NULL);
	if (x->less && !lake_everyone_reads(tree_lake(x->r->tree), path))
		return 0;
	table_text(&x->tb, path);
	table_int(&x->tb, (uint64_t)catalog_int(row, 1));
	table_text(&x->tb, catalog_text(row, 2, NULL));
	return 0;
}

int render_unread(struct render *r)
{
	struct unread_out x = {.r = r, .less = tree_hides(r->tree)};
	table_begin(&x.tb, r->out, r->json, "path bytes reason");
	int rc = catalog_each(tree_catalog(r->tree), Q_UNREAD, r->err, unread_row, &x, "");
	table_end(&x.tb);
	return rc;
}

/* --- summary and status --- */

static void facet_line(struct buf *out, const char *s, size_t len, long long count)
{
	buf_str(out, "  ");
	buf_text(out, s, len);
	buf_printf(out, "%*s %lld\n", len < 40 ? (int)(40 - len) : 0, "", count);
}

static int value_count_row(void *arg, const struct catalog_row *row)
{
	size_t len;
	const char *s = catalog_text(row, 0, &len);
	facet_line(arg, s, len, (long long)catalog_int(row, 1));
	return 0;
}

/* The same, of the models that everyone may know of. */
struct counted {
	struct render *r;
	long long n;
	const char *key;
};

static int shown_model_row(void *arg, const struct catalog_row *row)
{
	struct counted *x = arg;
	const struct view_model *m = view_by_id(x->r->view, (uint32_t)catalog_int(row, 0));
	x->n += m && model_shown(x->r->tree, m);
	return 0;
}

static int shown_value_row(void *arg, const struct catalog_row *row)
{
	struct counted *x = arg;
	size_t len;
	const char *s = catalog_text(row, 1, &len);
	struct counted of = {.r = x->r};
	int rc = catalog_each(tree_catalog(x->r->tree), Q_FACET_MODELS, x->r->err, shown_model_row, &of, "ii",
			      catalog_int(row, 0), (int64_t)0);
	if (!rc && of.n)
		facet_line(x->r->out, s, len, of.n);
	return rc;
}

static int fact_sum_row(void *arg, const struct catalog_row *row)
{
	struct counted *x = arg;
	if (!strcmp(catalog_text(row, 0, NULL), x->key))
		x->n += strtoll(catalog_text(row, 1, NULL), NULL, 10);
	return 0;
}

static long long fact_sum(struct render *r, bool less, const char *key)
{
	struct counted x = {.r = r, .key = key};
	if (!less)
		return (long long)catalog_number(tree_catalog(r->tree), Q_FACT_SUM, 0, "s", key);
	for (uint32_t i = 0; i < r->view->n; i++)
		if (model_shown(r->tree, &r->view->models[i]))
			catalog_each(tree_catalog(r->tree), Q_FACTS, NULL, fact_sum_row, &x, "i",
				     (int64_t)r->view->models[i].id);
	return x.n;
}

int render_lake_summary(struct render *r)
{
	static const char *const keys[] = {"architecture", "format", "dtype", "license"};
	struct catalog *c = tree_catalog(r->tree);
	bool less = tree_hides(r->tree);
	uint64_t models = 0, weights = 0, problems = 0, adapters = 0;
	int rc = 0;
	for (uint32_t i = 0; i < r->view->n; i++) {
		const struct view_model *m = &r->view->models[i];
		if (!model_shown(r->tree, m))
			continue;
		models++;
		weights += (m->flags & VIEW_WEIGHTS) != 0;
		problems += (m->flags & VIEW_PROBLEMS) != 0;
		adapters += (m->flags & VIEW_ADAPTER) != 0;
	}
	buf_printf(r->out, "Models       %llu\n", (unsigned long long)models);
	buf_printf(r->out, "  readable   %llu\n", (unsigned long long)weights);
	buf_printf(r->out, "  adapters   %llu\n", (unsigned long long)adapters);
	buf_printf(r->out, "  problems   %llu (lake/problems.tsv)\n", (unsigned long long)problems);
	buf_printf(r->out, "Parameters   %lld\n", fact_sum(r, less, "parameters"));
	buf_printf(r->out, "Bytes        %lld\n", fact_sum(r, less, "bytes"));
	if (!less)
		buf_printf(r->out, "Not shown    %lld files (lake/unread.tsv)\n",
			   (long long)catalog_number(c, Q_UNREAD_MARK, 0, ""));
	for (size_t i = 0; i < COUNT(keys) && !rc; i++) {
		buf_printf(r->out, "\n%c%s\n", keys[i][0] - 32, keys[i] + 1);
		struct counted x = {.r = r};
		rc = less ? catalog_each(c, Q_FACET_VALUES, r->err, shown_value_row, &x, "ss", keys[i], "") :
			    catalog_each(c, Q_FACET_COUNTS, r->err, value_count_row, r->out, "s", keys[i]);
	}
	return rc;
}

int render_lake_status(struct render *r)
{
	static const char *const phases[] = {"idle", "looking for models", "reading headers", "reading signatures",
					     "computing lineage"};
	struct index_status s;
	struct tree_counts c;
	index_status(tree_index(r->tree), &s);
	tree_counts(r->tree, &c);
	struct buf *b = r->out;
	buf_printf(b, "generation     %llu\n", (unsigned long long)s.generation);
	buf_printf(b, "models         %llu\n", (unsigned long long)s.models);
	buf_printf(b, "headers read   %llu\n", (unsigned long long)s.inspected);
	buf_printf(b, "signatures     %llu\n", (unsigned long long)s.signed_);
	buf_printf(b, "problems       %llu (lake/problems.tsv)\n", (unsigned long long)s.problems);
	buf_printf(b, "unreadable     %llu\n", (unsigned long long)s.failed);
	buf_printf(b, "lineage        %s\n", index_lineage_known(tree_index(r->tree), r->view) ? "known" : "not yet");
	buf_printf(b, "now            %s", phases[s.phase]);
	if (s.total)
		buf_printf(b, " %llu/%llu", (unsigned long long)s.done, (unsigned long long)s.total);
	buf_printf(b, "\ncomputed       %llu\n", (unsigned long long)c.computed);
	buf_printf(b, "failed         %llu\n", (unsigned long long)c.failed);
	buf_printf(b, "joined         %llu\n", (unsigned long long)c.joined);
	buf_printf(b, "cancelled      %llu\n", (unsigned long long)c.cancelled);
	buf_printf(b, "refused (busy) %llu\n", (unsigned long long)c.busy);
	buf_printf(b, "running        %llu\n", (unsigned long long)c.running);
	buf_printf(b, "queued         %llu\n", (unsigned long long)c.queued);
	buf_printf(b, "waiting        %llu\n", (unsigned long long)c.waiting);
	buf_printf(b, "bytes read     %llu\n", (unsigned long long)s.bytes_read);
	buf_printf(b, "catalog        ");
	const char *file = catalog_file(tree_catalog(r->tree));
	buf_text(b, *file ? file : "in memory", strlen(*file ? file : "in memory"));
	if (s.last_error[0]) {
		buf_str(b, "\nlast error     ");
		buf_text(b, s.last_error, strlen(s.last_error));
	}
	buf_char(b, '\n');
	return 0;
}
