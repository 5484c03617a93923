/* The whole tree over the small lake: what is listed can be found, opened and resumed; sizes and numbers hold. */
#include "tests/support/cm.h"
#include "tests/support/remove_tree.h"

#include "core/base/mem.h"
#include "core/catalog/catalog.h"
#include "core/catalog/view.h"
#include "core/job/index.h"
#include "core/tree/tree.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64], lake[512], catalog[80];
	struct index *ix;
	struct tree *t;
};

static void start(struct fixture *f, bool cached)
{
	const char *lakes[] = {f->lake};
	struct index_options o = {.lakes = lakes, .n_lakes = 1, .catalog = f->catalog, .cached = cached, .jobs = 2};
	struct tree_options to = {.cached = cached, .workers = 2};
	struct err e = ERR_INIT;
	if (index_open(&f->ix, &o, &e) < 0 || index_run(f->ix, NULL, NULL, NULL, &e) < 0 ||
	    tree_new(&f->t, f->ix, &to, &e) < 0)
		fail_msg("%s", e.msg);
}

static void stop(struct fixture *f)
{
	tree_free(f->t);
	index_close(f->ix);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const char *source = getenv("TARN_SOURCE");
	strcpy(f->dir, "/tmp/tarn-tree-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->lake, sizeof f->lake, "%s/tests/data/lake", source ? source : ".");
	snprintf(f->catalog, sizeof f->catalog, "%s/catalog.db", f->dir);
	start(f, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	stop(f);
	remove_tree(f->dir);
	free(f);
	return 0;
}

struct entry { char name[256]; struct tree_attr a; uint64_t cookie; };
struct entries { struct entry *e; size_t n, cap, stop; };

static int collect(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	struct entries *x = arg;
	if (x->stop && x->n == x->stop)
		return 1;
	assert_int_equal(mem_grow(&x->e, &x->cap, x->n + 1), 0);
	struct entry *d = &x->e[x->n++];
	snprintf(d->name, sizeof d->name, "%s", name);
	d->a = *a;
	d->cookie = cookie;
	return 0;
}

static void list(struct fixture *f, uint64_t dir, struct entries *x)
{
	struct err e = ERR_INIT;
	*x = (struct entries){0};
	if (tree_wait_list(f->t, dir, collect, x, &e) < 0)
		fail_msg("%s", e.msg);
}

/* Each entry is what a look-up of its name gives; its attributes are its own; a listing resumes after it. */
static void check_entry(struct fixture *f, uint64_t dir, const struct entries *all, size_t i)
{
	const struct entry *d = &all->e[i];
	struct tree_attr a;
	struct entries rest = {0};
	if (tree_lookup(f->t, dir, d->name, &a) < 0)
		fail_msg("%s is listed and not found", d->name);
	assert_true(a.ino == d->a.ino);
	assert_int_equal(a.mode, d->a.mode);
	assert_int_equal(tree_getattr(f->t, a.ino, &a), 0);
	assert_int_equal(a.mode, d->a.mode);
	assert_int_equal(tree_list(f->t, dir, d->cookie, collect, &rest), 0);
	if (rest.n != all->n - i - 1)
		fail_msg("after %s: %zu entries, expected %zu", d->name, rest.n, all->n - i - 1);
	for (size_t k = 0; k < rest.n; k++)
		assert_string_equal(rest.e[k].name, all->e[i + 1 + k].name);
	free(rest.e);
}

static size_t check_file(struct fixture *f, const struct entry *d)
{
	struct tree_file *file = NULL;
	struct err e = ERR_INIT;
	struct tree_attr a;
	int r = tree_wait_open(f->t, d->a.ino, &file, &e);
	if (r < 0)
		fail_msg("%s: %s", d->name, e.msg);
	uint64_t size = tree_file_size(file);
	char buf[64];
	assert_true(tree_read(file, buf, sizeof buf, size) == 0);
	assert_true(tree_read(file, buf, sizeof buf, 0) == (ssize_t)MIN(size, sizeof buf));
	assert_int_equal(tree_getattr(f->t, d->a.ino, &a), 0);
	if (a.exact && strcmp(d->name, "status.txt"))
		assert_true(a.size == size);
	tree_close(file);
	return 1;
}

static size_t walk(struct fixture *f, uint64_t dir, const char *path, int depth)
{
	struct entries x;
	size_t files = 0;
	list(f, dir, &x);
	assert_true(depth < 12);
	for (size_t i = 0; i < x.n; i++) {
		char below[1024];
		assert_in_range(snprintf(below, sizeof below, "%s/%s", path, x.e[i].name), 0, sizeof below - 1);
		check_entry(f, dir, &x, i);
		if (S_ISDIR(x.e[i].a.mode)) {
			files += walk(f, x.e[i].a.ino, below, depth + 1);
		} else if (S_ISLNK(x.e[i].a.mode)) {
			struct buf target = {0};
			assert_int_equal(tree_readlink(f->t, x.e[i].a.ino, &target), 0);
			assert_true(target.len == x.e[i].a.size);
			buf_release(&target);
		} else {
			files += check_file(f, &x.e[i]);
		}
	}
	free(x.e);
	return files;
}

static void test_everything(void **state)
{
	assert_true(walk(*state, TREE_ROOT, "", 0) > 200);
}

static char *read_all(struct fixture *f, const char *path)
{
	struct tree_attr a;
	struct tree_file *file = NULL;
	struct err e = ERR_INIT;
	if (tree_wait_path(f->t, path, &a, &e) < 0 || tree_wait_open(f->t, a.ino, &file, &e) < 0)
		fail_msg("%s: %s", path, e.msg);
	char *s = calloc(1, tree_file_size(file) + 1);
	assert_true(tree_read(file, s, tree_file_size(file), 0) == (ssize_t)tree_file_size(file));
	tree_close(file);
	return s;
}

static void test_remount_keeps(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {"lake/models.tsv", "lake/lineage.tsv", "lake/generation"};
	char *before[3];
	struct tree_attr a;
	struct err e = ERR_INIT;
	for (size_t i = 0; i < 3; i++)
		before[i] = read_all(f, paths[i]);
	stop(f);
	start(f, false);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(tree_wait_path(f->t, paths[i], &a, &e), 0);
		assert_true(a.exact);
		assert_true(a.size == strlen(before[i]));
		char *after = read_all(f, paths[i]);
		assert_string_equal(after, before[i]);
		free(before[i]);
		free(after);
	}
}

static void *start_later(void *ix)
{
	struct err e = ERR_INIT;
	usleep(100000);
	return index_start(ix, &e) ? ix : NULL;
}

/* Of a lake that nothing has been read of yet, asked before the first scan has made a view of its own: headers are read first. */
static void check_new(struct fixture *f, const char *path)
{
	struct fixture new = *f;
	const char *lakes[] = {f->lake};
	snprintf(new.catalog, sizeof new.catalog, "%s/%.4s.db", f->dir, strrchr(path, '/') + 1);
	struct index_options o = {.lakes = lakes, .n_lakes = 1, .catalog = new.catalog, .jobs = 2};
	struct tree_options to = {.workers = 2};
	struct err e = ERR_INIT;
	pthread_t later;
	void *failed;
	assert_int_equal(index_open(&new.ix, &o, &e), 0);
	assert_int_equal(tree_new(&new.t, new.ix, &to, &e), 0);
	assert_int_equal(pthread_create(&later, NULL, start_later, new.ix), 0);
	char *got = read_all(&new, path), *want = read_all(f, path);
	pthread_join(later, &failed);
	assert_null(failed);
	assert_string_equal(got, want);
	assert_true(strlen(want) > 60);
	free(got);
	free(want);
	index_stop(new.ix);
	stop(&new);
}

static void test_new_lake(void **state)
{
	check_new(*state, "lake/summary.txt");
	check_new(*state, "lake/problems.tsv");
	check_new(*state, "lake/models.tsv");
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	struct tree_attr a;
	struct tree_file *file;
	char name[300];
	memset(name, 'x', 299);
	name[299] = 0;
	assert_int_equal(tree_lookup(f->t, TREE_ROOT, "nothing", &a), -ENOENT);
	assert_int_equal(tree_lookup(f->t, TREE_ROOT, name, &a), -ENAMETOOLONG);
	assert_int_equal(tree_getattr(f->t, 0xdeadbeefdeadbeef, &a), -ESTALE);
	assert_int_equal(tree_open(f->t, TREE_ROOT, &file, NULL), -EISDIR);
	assert_int_equal(tree_lookup(f->t, TREE_ROOT, "README", &a), 0);
	struct tree_attr b;
	assert_int_equal(tree_lookup(f->t, a.ino, "x", &b), -ENOTDIR);
}

static void test_descriptions(void **state)
{
	struct fixture *f = *state;
	static const struct { const char *path, *is; } cases[] = {
		{"models/dr-vega/lattice/tensors.tsv", "models/dr-vega/lattice/tensors.tsv"},
		{"models/dr-vega/lattice/metadata/dtype", "models/dr-vega/lattice/metadata/KEY"},
		{"exact/dr-vega--lattice/files.tsv", "exact/dr-vega--lattice/files.tsv"},
		{"lake/models.tsv", "lake/models.tsv"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tree_attr a;
		struct err e = ERR_INIT;
		struct buf b = {0};
		assert_int_equal(tree_wait_path(f->t, cases[i].path, &a, &e), 0);
		tree_describe(f->t, a.ino, &b);
		assert_string_equal(b.data, cases[i].is);
		buf_release(&b);
	}
}

/* Its rows have gone, the view that names it is still there: ESTALE, not the nothing that is left of it. */
static void test_rows_that_went(void **state)
{
	struct fixture *f = *state;
	struct catalog *c = index_catalog(f->ix);
	struct tree_attr table, facts, a;
	struct tree_file *file;
	struct err e = ERR_INIT;
	assert_int_equal(tree_wait_path(f->t, "models/dr-vega/lattice/problems.tsv", &table, &e), 0);
	assert_int_equal(tree_wait_path(f->t, "models/dr-vega/lattice/metadata", &facts, &e), 0);
	assert_int_equal(tree_lookup(f->t, facts.ino, "license", &a), 0);
	int64_t id = (int64_t)(facts.ino & 0xfffffff);
	assert_int_equal(catalog_do(c, Q_FACTS_DROP, &e, "i", id), 0);
	assert_int_equal(tree_lookup(f->t, facts.ino, "license", &a), -ENOENT);
	assert_int_equal(catalog_do(c, Q_MODEL_DROP, &e, "i", id), 0);
	assert_int_equal(tree_lookup(f->t, facts.ino, "license", &a), -ESTALE);
	assert_int_equal(tree_open(f->t, table.ino, &file, &e), -ESTALE);
}

/* Every number there can be answers with an errno or something sane, never a crash. */
static void test_hostile_numbers(void **state)
{
	struct fixture *f = *state;
	for (uint64_t kind = 0; kind < 256; kind++)
		for (uint64_t x = 0; x < 40; x += 3)
			for (uint64_t m = 0; m < 6; m++) {
				uint64_t ino = kind << 56 | (x == 39 ? 0xfffffff : x) << 28 | (m == 5 ? 0xfffffff : m);
				struct tree_attr a;
				struct buf target = {0};
				struct entries some = {.stop = 4};
				tree_getattr(f->t, ino, &a);
				tree_readlink(f->t, ino, &target);
				tree_describe(f->t, ino, &target);
				tree_lookup(f->t, ino, "a", &a);
				tree_list(f->t, ino, 0, collect, &some);
				some.n = 0;
				tree_list(f->t, ino, UINT64_MAX, collect, &some);
				buf_release(&target);
				free(some.e);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remount_keeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_lake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rows_that_went, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_numbers, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
