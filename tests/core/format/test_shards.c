/* Indices of sharded models. */
#include "core/format/memory_file.h"

#include "core/format/shards.h"

#include <errno.h>

static int read_text(const char *text, struct arena *a, struct shard_index *x, struct err *e)
{
	struct io io;
	assert_int_equal(io_adopt(&io, memory_file(text, strlen(text)), e), 0);
	int r = shards_read_index(&io, a, x, e);
	io_close(&io);
	return r;
}

static void reads(void **state)
{
	(void)state;
	struct arena a = {0};
	struct shard_index x;
	struct err e = ERR_INIT;
	assert_int_equal(read_text("{\"metadata\":{\"total_size\":9},"
				   "\"weight_map\":{\"b\":\"two\",\"a\":\"one\",\"d\":\"one\",\"c\":\"two\"}}",
				   &a, &x, &e),
			 0);
	assert_int_equal(x.n_files, 2);
	assert_string_equal(x.files[0], "one");
	assert_string_equal(x.files[1], "two");
	assert_int_equal(x.n_entries, 4);
	assert_string_equal(x.entries[1].tensor, "b");
	assert_int_equal(x.entries[1].file, 1);
	assert_int_equal(x.entries[3].file, 0);
	assert_int_equal(read_text("{\"weight_map\":{}}", &a, &x, &e), 0);
	assert_int_equal(x.n_files, 0);
	arena_release(&a);
}

static void refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "{\"weight_map\":{\"a\":\"../x\"}}",
		"{\"weight_map\":{\"a\":\"x/../../y\"}}", "{\"weight_map\":{\"a\":\"..\"}}",
		"{\"weight_map\":{\"a\":\"x/..\"}}", "{\"weight_map\":{\"a\":\"\"}}",
		"{\"weight_map\":{\"a\":\"x\\u0000y\"}}", "{\"weight_map\":{\"a\":1}}",
		"{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}",
		"{\"weight_map\":[]}", "{}", "[]", "", "{\"weight_map\":",
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct arena a = {0};
		struct shard_index x;
		struct err e = ERR_INIT;
		if (read_text(bad[i], &a, &x, &e) != -EINVAL || !e.msg[0])
			fail_msg("accepted: %s", bad[i]);
		arena_release(&a);
	}
	struct arena a = {0};
	struct shard_index x;
	struct err e = ERR_INIT;
	/* dots that lead nowhere */
	assert_int_equal(read_text("{\"weight_map\":{\"a\":\"sub/..x\",\"b\":\"..x/y\"}}", &a, &x, &e), 0);
	arena_release(&a);
}

static size_t mismatches(const char *map)
{
	struct arena a = {0};
	struct shard_index x;
	struct err e = ERR_INIT;
	struct tensor t[] = {{.name = "a", .file = 0}, {.name = "b", .file = 1}};
	struct weights_file f[] = {{.path = "dir/one", .io.fd = -1}, {.path = "two", .io.fd = -1}};
	struct weights w = {.files = f, .n_files = 2, .tensors = t, .n_tensors = 2};
	assert_int_equal(read_text(map, &a, &x, &e), 0);
	assert_int_equal(shards_check(&w, &x, "index", &e), 0);
	size_t n = w.n_warnings;
	for (size_t i = 0; i < n; i++)
		assert_string_equal(w.warnings[i].problem, "index mismatch");
	arena_release(&w.arena);
	arena_release(&a);
	return n;
}

static void checks(void **state)
{
	(void)state;
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"one\",\"b\":\"two\"}}"), 0);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"dir/one\",\"b\":\"two\"}}"), 0);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"two\",\"b\":\"two\"}}"), 1);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"ne\",\"b\":\"two\"}}"), 1);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"one\"}}"), 1);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"one\",\"b\":\"two\",\"c\":\"two\"}}"), 1);
	assert_int_equal(mismatches("{\"weight_map\":{}}"), 1);
	assert_int_equal(mismatches("{\"weight_map\":{\"a\":\"two\",\"c\":\"two\"}}"), 3);
}

static int read_one(void *arg)
{
	struct arena a = {0};
	struct shard_index x;
	struct err e = ERR_INIT;
	int r = read_text(arg, &a, &x, &e);
	assert_int_equal(e.code, -r);
	arena_release(&a);
	return r;
}

static void failing(void **state)
{
	(void)state;
	fail_everything(read_one, (char *)"{\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads), cmocka_unit_test(refuses), cmocka_unit_test(checks), cmocka_unit_test(failing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
