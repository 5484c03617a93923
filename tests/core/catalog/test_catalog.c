/* The catalog file: kept, refused with words when it is not ours, damaged or newer; transactions; many threads. */
#include "tests/support/cm.h"

#include "core/base/mem.h"
#include "core/catalog/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static char path[64];

static int setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/tarn-catalog-XXXXXX");
	int fd = mkstemp(path);
	close(fd);
	return unlink(path);
}

static int teardown(void **state)
{
	static const char *const tails[] = {"", "-wal", "-shm"};
	(void)state;
	for (size_t i = 0; i < COUNT(tails); i++) {
		char file[80];
		snprintf(file, sizeof file, "%s%s", path, tails[i]);
		unlink(file);
	}
	return 0;
}

static struct catalog *open_ok(void)
{
	struct catalog *c = NULL;
	struct err e = ERR_INIT;
	if (catalog_open(&c, path, &e) < 0)
		fail_msg("%s", e.msg);
	return c;
}

static void test_kept(void **state)
{
	(void)state;
	struct catalog *c = open_ok();
	assert_int_equal(catalog_do(c, Q_META_SET, NULL, "si", "generation", (int64_t)42), 0);
	catalog_close(c);
	c = open_ok();
	assert_int_equal(catalog_number(c, Q_META_GET, 0, "s", "generation"), 42);
	catalog_close(c);
}

static void test_rollback(void **state)
{
	(void)state;
	struct catalog *c = open_ok();
	assert_int_equal(catalog_begin(c, NULL), 0);
	assert_int_equal(catalog_do(c, Q_META_SET, NULL, "si", "x", (int64_t)1), 0);
	catalog_rollback(c);
	assert_int_equal(catalog_number(c, Q_META_GET, -1, "s", "x"), -1);
	catalog_close(c);
}

static void write_file(const char *data, size_t len, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

static void refused(int code, const char *word)
{
	struct catalog *c = NULL;
	struct err e = ERR_INIT;
	assert_int_equal(catalog_open(&c, path, &e), -code);
	assert_non_null(strstr(e.msg, path));
	if (!strstr(e.msg, word))
		fail_msg("'%s' does not say '%s'", e.msg, word);
}

static void test_not_a_database(void **state)
{
	(void)state;
	char junk[8192];
	memset(junk, 'j', sizeof junk);
	write_file(junk, sizeof junk, 0);
	refused(EUCLEAN, "delete it");
}

static void test_damaged(void **state)
{
	(void)state;
	catalog_close(open_ok());
	char junk[4096];
	memset(junk, 0xee, sizeof junk);
	write_file(junk, sizeof junk - 100, 100);	/* the schema's page, behind a good header */
	refused(EUCLEAN, "delete it");
}

static void test_newer(void **state)
{
	(void)state;
	catalog_close(open_ok());
	write_file("\0\0\3\347", 4, 60);	/* user_version, file format §1.3 */
	refused(EPROTO, "newer");
}

static void test_names_are_bytes(void **state)
{
	(void)state;
	strcat(path, "?#%");	/* what a URI would read */
	struct catalog *c = open_ok();
	assert_int_equal(access(path, F_OK), 0);
	catalog_close(c);
}

static void *writer(void *arg)
{
	struct catalog *c = arg;
	for (int64_t i = 0; i < 200; i++) {
		assert_int_equal(catalog_begin(c, NULL), 0);
		int64_t n = catalog_number(c, Q_META_GET, 0, "s", "other");
		(void)n;
		assert_int_equal(catalog_do(c, Q_META_SET, NULL, "si", "n", i), 0);
		assert_int_equal(catalog_commit(c, NULL), 0);
	}
	return NULL;
}

static void *reader(void *arg)
{
	int64_t last = -1;
	for (int i = 0; i < 400; i++) {
		int64_t n = catalog_number(arg, Q_META_GET, -1, "s", "n");
		assert_true(n >= -1);
		last = n;
	}
	return (void *)(intptr_t)(last < 0);
}

static void threads_on(struct catalog *c)
{
	pthread_t t[6];
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_create(&t[i], NULL, i < 2 ? writer : reader, c);
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
	assert_int_equal(catalog_number(c, Q_META_GET, -1, "s", "n"), 199);
	catalog_close(c);
}

static void test_threads(void **state)
{
	(void)state;
	threads_on(open_ok());
}

static void test_threads_in_memory(void **state)
{
	(void)state;
	struct catalog *c = NULL;
	assert_int_equal(catalog_open(&c, NULL, NULL), 0);
	threads_on(c);
}

static void test_sees_others(void **state)
{
	(void)state;
	struct catalog *a = open_ok(), *b = open_ok();
	assert_false(catalog_changed(a));
	assert_int_equal(catalog_do(b, Q_META_SET, NULL, "si", "x", (int64_t)1), 0);
	assert_true(catalog_changed(a));
	assert_false(catalog_changed(a));
	catalog_close(a);
	catalog_close(b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_kept),        T(test_rollback),        T(test_not_a_database), T(test_damaged),
		T(test_newer),       T(test_names_are_bytes), T(test_threads),        T(test_threads_in_memory),
		T(test_sees_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
