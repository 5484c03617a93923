/* Lineage family by family: after models came and went, the same as if all had been there from the start. */
#include "tests/support/cm.h"
#include "tests/support/remove_tree.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/catalog/view.h"
#include "core/job/index.h"

#include <sys/stat.h>
#include <unistd.h>

struct fixture { char dir[64], lake[80], source[512]; };

__attribute__((format(printf, 1, 2))) static void shell(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	assert_int_equal(system(cmd), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const char *source = getenv("TARN_SOURCE");
	strcpy(f->dir, "/tmp/tarn-stage-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->lake, sizeof f->lake, "%s/lake", f->dir);
	snprintf(f->source, sizeof f->source, "%s/tests/data/lake", source ? source : ".");
	shell("cp -r %s %s", f->source, f->lake);
	shell("chmod -R u+w %s", f->lake);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	remove_tree(((struct fixture *)*state)->dir);
	free(*state);
	return 0;
}

static struct index *open_index(struct fixture *f, const char *catalog)
{
	char path[128];
	const char *lakes[] = {f->lake};
	struct index_options o = {.lakes = lakes, .n_lakes = 1, .catalog = path, .jobs = 2};
	struct index *ix = NULL;
	struct err e = ERR_INIT;
	snprintf(path, sizeof path, "%s/%s", f->dir, catalog);
	if (index_open(&ix, &o, &e) < 0)
		fail_msg("%s", e.msg);
	return ix;
}

struct lines { struct view *v; char *line[200]; size_t n; };

static int edge_row(void *arg, const struct catalog_row *r)
{
	struct lines *l = arg;
	struct buf b = {0};
	buf_printf(&b, "%s < %s %s %.3g %.3g %s", view_name_of(l->v, (uint32_t)catalog_int(r, 0)),
		   view_name_of(l->v, (uint32_t)catalog_int(r, 1)), catalog_text(r, 2, NULL), catalog_real(r, 3),
		   catalog_real(r, 4), catalog_text(r, 5, NULL));
	assert_true(l->n < COUNT(l->line));
	l->line[l->n++] = buf_take(&b);
	return 0;
}

static int family_row(void *arg, const struct catalog_row *r)
{
	struct lines *l = arg;
	struct buf b = {0};
	buf_printf(&b, "%s in %s %d", view_name_of(l->v, (uint32_t)catalog_int(r, 0)),
		   view_name_of(l->v, (uint32_t)catalog_int(r, 1)), (int)catalog_int(r, 2));
	l->line[l->n++] = buf_take(&b);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dump(struct index *ix, struct lines *l)
{
	*l = (struct lines){.v = index_view(ix)};
	assert_int_equal(catalog_each(index_catalog(ix), Q_EDGE_ALL, NULL, edge_row, l, ""), 0);
	assert_int_equal(catalog_each(index_catalog(ix), Q_FAMILY_ALL, NULL, family_row, l, ""), 0);
	qsort(l->line, l->n, sizeof *l->line, by_text);
}

static void release(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->line[i]);
	view_unref(l->v);
}

static void same_as_fresh(struct fixture *f, struct index *ix)
{
	struct lines a, b;
	struct err e = ERR_INIT;
	struct index *fresh = open_index(f, "fresh.db");
	assert_int_equal(index_run(fresh, NULL, NULL, NULL, &e), 0);
	dump(ix, &a);
	dump(fresh, &b);
	for (size_t i = 0; i < a.n && i < b.n; i++)
		assert_string_equal(a.line[i], b.line[i]);
	assert_int_equal(a.n, b.n);
	assert_true(a.n > 20);
	release(&a);
	release(&b);
	index_close(fresh);
}

static void settle(struct index *ix, uint32_t models)
{
	for (int i = 0; i < 600; i++) {
		struct view *v = index_view(ix);
		bool done = v->n == models && index_lineage_known(ix, v);
		view_unref(v);
		if (done)
			return;
		usleep(50000);
	}
	fail_msg("the lineage of %u models did not come", models);
}

static uint32_t count(struct index *ix)
{
	struct view *v = index_view(ix);
	uint32_t n = v->n;
	view_unref(v);
	return n;
}

static void test_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct index *ix = open_index(f, "c.db");
	assert_int_equal(index_run(ix, NULL, NULL, NULL, &e), 0);
	uint32_t n = count(ix);
	index_close(ix);

	shell("mv %s/quietroom/bluebell %s/away", f->lake, f->dir);		/* a leaf of one family */
	ix = open_index(f, "c.db");
	assert_int_equal(index_start(ix, &e), 0);
	settle(ix, n - 1);
	shell("mv %s/away %s/lake/quietroom/bluebell", f->dir, f->dir);
	settle(ix, n);
	same_as_fresh(f, ix);
	index_close(ix);
}

static void test_loner_goes(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct index *ix = open_index(f, "c.db");
	assert_int_equal(index_run(ix, NULL, NULL, NULL, &e), 0);
	uint32_t n = count(ix);
	assert_int_equal(index_start(ix, &e), 0);
	assert_int_equal(index_wait(ix, NULL), 0);
	shell("rm -r %s/mlbench-eu/plover-cut", f->lake);		/* the broken one: of no family */
	settle(ix, n - 1);
	same_as_fresh(f, ix);
	index_close(ix);
}

/* An adapter that names no model of the lake is looked for in families that its own arrival does not touch. */
static void test_adapter_without_a_base(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;
	struct index *ix = open_index(f, "c.db");
	shell("mv %s/mlbench-eu/hemlock %s/away && sed -i 's|\"base_model_name_or_path\": *\"[^\"]*\"|\"base_model_name_or_path\": \"/data/out\"|' "
	      "%s/away/adapter_config.json && grep -q /data/out %s/away/adapter_config.json",
	      f->lake, f->dir, f->dir, f->dir);
	assert_int_equal(index_run(ix, NULL, NULL, NULL, &e), 0);
	uint32_t n = count(ix);
	assert_int_equal(index_start(ix, &e), 0);
	assert_int_equal(index_wait(ix, NULL), 0);
	shell("mv %s/away %s/somebody-adapter", f->dir, f->lake);
	settle(ix, n + 1);
	same_as_fresh(f, ix);
	index_close(ix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loner_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adapter_without_a_base, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
