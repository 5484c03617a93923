/* Watching: every kind of change is told, nothing else is, and a wake-up loses nothing. */
#include "temp_lake.h"

#include <poll.h>
#include <sys/eventfd.h>

enum { SOON = 3000, NEVER = 300 };

static void changes(void **state)
{
	struct temp t;
	struct lake l;
	char from[PATH_MAX], to[PATH_MAX];
	(void)state;
	temp_init(&t);
	temp_files(&t, "org/a/model.safetensors org/b/model.safetensors");
	temp_open(&l, &t, "");
	struct watch *w = watch_new(&l);
	assert_non_null(w);
	assert_int_equal(watch_wait(w, NEVER, -1), 0);
	temp_file(&t, "org/a/config.json");
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	assert_int_equal(watch_wait(w, NEVER, -1), 0);
	/* a directory that came later, and what is written there then */
	temp_file(&t, "org/new/sub/model.safetensors");
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	temp_file(&t, "org/new/sub/more.safetensors");
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	temp_path(&t, "org/b", from);
	temp_path(&t, "org/c", to);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	temp_path(&t, "org/a/model.safetensors", from);
	assert_int_equal(unlink(from), 0);
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	temp_dir(&t, ".locks");
	assert_int_equal(watch_wait(w, NEVER, -1), 0);
	watch_free(w);
	lake_close(&l);
	temp_release(&t);
}

static void waking(void **state)
{
	struct temp t;
	struct lake l;
	(void)state;
	temp_init(&t);
	temp_files(&t, "a/model.safetensors");
	temp_open(&l, &t, "");
	struct watch *w = watch_new(&l);
	assert_non_null(w);
	int wake = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t count;
	assert_int_equal(watch_wait(w, -1, wake), 0);
	temp_file(&t, "a/config.json");
	assert_int_equal(watch_wait(w, -1, wake), 0);
	assert_int_equal(read(wake, &count, sizeof count), sizeof count);
	assert_int_equal(watch_wait(w, SOON, wake), 1);
	close(wake);
	watch_free(w);
	lake_close(&l);
	temp_release(&t);
}

static void cut_short(void **state)
{
	struct temp t;
	struct lake l;
	char path[PATH_MAX];
	(void)state;
	temp_init(&t);
	temp_files(&t, "a/model.safetensors");
	temp_path(&t, "a/model.safetensors", path);
	temp_open(&l, &t, "");
	struct watch *w = watch_new(&l);
	assert_non_null(w);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	/* while somebody writes: no news before he pauses or closes the file */
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(fd, "x", 1), 1);
		assert_int_equal(watch_wait(w, 50, -1), 0);
	}
	close(fd);
	assert_int_equal(watch_wait(w, SOON, -1), 1);
	assert_int_equal(watch_wait(w, NEVER, -1), 0);
	watch_free(w);
	lake_close(&l);
	temp_release(&t);
}

static void nothing_to_watch_with(void **state)
{
	(void)state;
	int wake = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(watch_wait(NULL, 10, -1), 0);
	assert_int_equal(watch_wait(NULL, -1, wake), 0);
	close(wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(changes), cmocka_unit_test(waking),
	    cmocka_unit_test(cut_short), cmocka_unit_test(nothing_to_watch_with)};
	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
