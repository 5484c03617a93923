/* The running lake: what stays keeps its row, what changes gets a new one, nothing is read twice, stopping loses nothing. */
#include "tests/support/cm.h"
#include "tests/support/remove_tree.h"

#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/catalog/view.h"
#include "core/job/index.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture { char dir[64], lake[80], catalog[80]; };

static void put_model(struct fixture *f, const char *id, const char *seed)
{
	static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[64,64],\"data_offsets\":[0,16384]}}";
	char path[256], cmd[300];
	uint64_t n = sizeof header - 1;
	float v[4096];
	snprintf(path, sizeof path, "%s/%s", f->lake, id);
	snprintf(cmd, sizeof cmd, "mkdir -p %s", path);
	assert_int_equal(system(cmd), 0);
	strcat(path, "/model.safetensors");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	for (size_t i = 0; i < COUNT(v); i++)
		v[i] = (float)((i * 2654435761u + (unsigned)seed[0] * 40503u * i) % 1000) / 1000 - 0.5f;
	assert_int_equal(write(fd, &n, 8), 8);
	assert_int_equal(write(fd, header, n), (ssize_t)n);
	assert_int_equal(write(fd, v, sizeof v), (ssize_t)sizeof v);
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	strcpy(f->dir, "/tmp/tarn-index-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->lake, sizeof f->lake, "%s/lake", f->dir);
	snprintf(f->catalog, sizeof f->catalog, "%s/c.db", f->dir);
	put_model(f, "org/a", "a");
	put_model(f, "org/b", "b");
	put_model(f, "c", "c");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	remove_tree(((struct fixture *)*state)->dir);
	free(*state);
	return 0;
}

static struct index *open_index(struct fixture *f)
{
	const char *lakes[] = {f->lake};
	struct index_options o = {.lakes = lakes, .n_lakes = 1, .catalog = f->catalog, .jobs = 2};
	struct index *ix = NULL;
	struct err e = ERR_INIT;
	if (index_open(&ix, &o, &e) < 0)
		fail_msg("%s", e.msg);
	return ix;
}

static void run(struct index *ix)
{
	struct err e = ERR_INIT;
	if (index_run(ix, NULL, NULL, NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

static uint32_t id_of(struct index *ix, const char *name)
{
	struct view *v = index_view(ix);
	const struct view_model *m = view_by_name(v, name);
	uint32_t id = m ? m->id : 0;
	view_unref(v);
	return id;
}

static uint64_t generation(struct index *ix)
{
	struct index_status s;
	index_status(ix, &s);
	return s.generation;
}

static void test_names_at_once(void **state)
{
	struct index *ix = open_index(*state);
	assert_true(id_of(ix, "org/a") && id_of(ix, "org/b") && id_of(ix, "c"));
	uint32_t a = id_of(ix, "org/a");
	run(ix);
	assert_int_equal(id_of(ix, "org/a"), a);	/* the number it was first seen with */
	index_close(ix);
}

static void test_second_look_reads_nothing(void **state)
{
	struct index *ix = open_index(*state);
	run(ix);
	uint64_t g = generation(ix), bytes = io_bytes_read();
	run(ix);
	assert_true(generation(ix) == g);
	assert_true(io_bytes_read() == bytes);
	index_close(ix);
	ix = open_index(*state);
	assert_true(generation(ix) == g);
	run(ix);
	assert_true(io_bytes_read() == bytes);
	index_close(ix);
}

static void put_bytes(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static bool is_read(struct index *ix, const char *name)
{
	struct view *v = index_view(ix);
	bool read = view_by_name(v, name)->flags & VIEW_WEIGHTS;
	view_unref(v);
	return read;
}

/* Two models in a folder, with weights in a third file whose name is neither's. */
static void test_file_beside(void **state)
{
	static const char onnx[] = "\x08\x08:%*#\x08\x04\x10\x01" "B\1wp\1j\x18\n\10location\x12\x0cno-such-file";
	struct fixture *f = *state;
	char one[160], two[160], data[160];
	snprintf(one, sizeof one, "%s/one.onnx", f->lake);
	snprintf(two, sizeof two, "%s/two.onnx", f->lake);
	snprintf(data, sizeof data, "%s/no-such-file", f->lake);
	put_bytes(one, onnx, sizeof onnx - 1);
	put_bytes(two, onnx, sizeof onnx - 1);
	struct index *ix = open_index(f);
	run(ix);
	uint32_t id = id_of(ix, "one"), a = id_of(ix, "org/a");
	assert_true(id && !is_read(ix, "one"));
	put_bytes(data, "0123456789abcdef", 16);	/* what was missing appears */
	run(ix);
	assert_true(id_of(ix, "one") != id && is_read(ix, "one") && is_read(ix, "two"));
	uint64_t g = generation(ix);
	id = id_of(ix, "one");
	run(ix);
	assert_true(generation(ix) == g && id_of(ix, "one") == id);
	index_close(ix);
	put_bytes(data, "0123456789abcdefg", 17);	/* it changes while nobody looks */
	ix = open_index(f);
	run(ix);
	assert_true(id_of(ix, "one") != id && is_read(ix, "one"));
	assert_int_equal(id_of(ix, "org/a"), a);
	id = id_of(ix, "one");
	assert_int_equal(unlink(data), 0);
	run(ix);
	assert_true(id_of(ix, "one") != id && !is_read(ix, "one"));
	g = generation(ix);
	run(ix);
	assert_true(generation(ix) == g);
	index_close(ix);
}

static void test_changes(void **state)
{
	struct fixture *f = *state;
	struct index *ix = open_index(f);
	run(ix);
	uint32_t a = id_of(ix, "org/a"), b = id_of(ix, "org/b"), c = id_of(ix, "c");
	uint64_t g = generation(ix);
	put_model(f, "org/d", "d");
	put_model(f, "org/b", "x");
	char path[128];
	snprintf(path, sizeof path, "%s/c/model.safetensors", f->lake);
	assert_int_equal(unlink(path), 0);
	run(ix);
	assert_true(generation(ix) > g);
	assert_int_equal(id_of(ix, "org/a"), a);
	assert_true(id_of(ix, "org/d") > c);
	assert_true(id_of(ix, "org/b") && id_of(ix, "org/b") != b);
	assert_int_equal(id_of(ix, "c"), 0);
	assert_int_equal(catalog_number(index_catalog(ix), Q_MODEL_EXISTS, 0, "i", (int64_t)c), 0);
	assert_int_equal(catalog_number(index_catalog(ix), Q_FACT_SUM, 0, "s", "tensors"), 3);
	index_close(ix);
}

static void test_numbers_are_never_used_again(void **state)
{
	struct fixture *f = *state;
	struct index *ix = open_index(f);
	run(ix);
	uint32_t c = id_of(ix, "c");
	char path[128];
	snprintf(path, sizeof path, "%s/c/model.safetensors", f->lake);
	unlink(path);
	run(ix);
	index_close(ix);
	put_model(f, "c", "c");
	ix = open_index(f);
	run(ix);
	assert_true(id_of(ix, "c") > c);
	index_close(ix);
}

static void test_copies_are_kin(void **state)
{
	struct fixture *f = *state;
	put_model(f, "org/z", "a");
	struct index *ix = open_index(f);
	struct err e = ERR_INIT;
	struct view *v;
	run(ix);
	assert_int_equal(index_need_lineage(ix, NULL, &e), 0);
	v = index_view(ix);
	assert_true(index_lineage_known(ix, v));
	view_unref(v);
	int64_t family = catalog_number(index_catalog(ix), Q_FAMILY_OF, 0, "i", (int64_t)id_of(ix, "org/a"));
	assert_true(family > 0);
	assert_int_equal(catalog_number(index_catalog(ix), Q_FAMILY_OF, -1, "i", (int64_t)id_of(ix, "org/z")), family);
	assert_true(catalog_number(index_catalog(ix), Q_FAMILY_OF, -1, "i", (int64_t)id_of(ix, "org/b")) != family);
	index_close(ix);
}

static void test_background_sees_changes(void **state)
{
	struct fixture *f = *state;
	struct index *ix = open_index(f);
	struct err e = ERR_INIT;
	assert_int_equal(index_start(ix, &e), 0);
	assert_int_equal(index_wait(ix, NULL), 0);
	put_model(f, "new/one", "n");
	for (int i = 0; i < 100 && !id_of(ix, "new/one"); i++)
		usleep(50000);
	assert_true(id_of(ix, "new/one") > 0);
	index_close(ix);
}

static void test_cancelled(void **state)
{
	struct index *ix = open_index(*state);
	struct cancel c = {true};
	struct err e = ERR_INIT;
	assert_int_equal(index_run(ix, &c, NULL, NULL, &e), -EINTR);
	run(ix);
	struct index_status s;
	index_status(ix, &s);
	assert_int_equal(s.signed_, 3);
	index_close(ix);
}

static void test_two_at_once(void **state)
{
	struct index *x = open_index(*state), *y = open_index(*state);
	struct err e = ERR_INIT;
	assert_int_equal(index_start(x, &e), 0);
	assert_int_equal(index_start(y, &e), 0);
	assert_int_equal(index_wait(x, NULL), 0);
	assert_int_equal(index_wait(y, NULL), 0);
	for (int i = 0; i < 100 && id_of(x, "org/a") != id_of(y, "org/a"); i++)
		usleep(50000);
	assert_int_equal(id_of(x, "org/a"), id_of(y, "org/a"));
	index_close(x);
	index_close(y);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_names_at_once), T(test_second_look_reads_nothing), T(test_file_beside), T(test_changes),
		T(test_numbers_are_never_used_again),
		T(test_copies_are_kin), T(test_background_sees_changes), T(test_cancelled), T(test_two_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
