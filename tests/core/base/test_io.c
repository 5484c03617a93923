/* Reading files: only regular ones, exactly what was asked for, and errors that say where. */
#include "core/base/base_test.h"

#include "core/base/io.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/tarn-io-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	char cmd[128];
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	return system(cmd);
}

static void refused(void **state)
{
	(void)state;
	struct io io;
	struct err e = ERR_INIT;
	int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(io_open(&io, d, "nothing", &e), -ENOENT);
	assert_int_equal(io.fd, -1);
	assert_int_equal(io_open(&io, AT_FDCWD, dir, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "a directory"));
	assert_int_equal(io_open(&io, AT_FDCWD, "/dev/null", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "a device"));
	assert_int_equal(mkfifoat(d, "fifo", 0600), 0);
	assert_int_equal(io_open(&io, d, "fifo", &e), -EINVAL);		/* without waiting for a writer */
	assert_non_null(strstr(e.msg, "a FIFO"));
	assert_int_equal(symlinkat("loop", d, "loop"), 0);
	assert_int_equal(io_open(&io, d, "loop", &e), -ELOOP);
	close(d);
}

static void reads(void **state)
{
	(void)state;
	struct io io;
	struct err e = ERR_INIT;
	char out[16] = "", path[128];
	snprintf(path, sizeof path, "%s/file", dir);
	FILE *f = fopen(path, "w");
	fputs("0123456789", f);
	fclose(f);
	assert_int_equal(io_open(&io, AT_FDCWD, path, &e), 0);
	assert_int_equal(io.size, 10);
	uint64_t before = io_bytes_read();
	assert_int_equal(io_pread(&io, out, 4, 6, &e), 0);
	assert_memory_equal(out, "6789", 4);
	assert_int_equal(io_bytes_read() - before, 4);
	assert_int_equal(io_pread(&io, out, 5, 6, &e), -EIO);
	assert_non_null(strstr(e.msg, "file ends at byte 10, expected 11"));
	assert_int_equal(e.pos, 10);
	assert_int_equal(io_pread(&io, out, 0, 100, &e), 0);
	assert_int_equal(io_pread(&io, out, 1, UINT64_MAX - 3, &e), -EIO);

	char *all;
	size_t len;
	assert_int_equal(io_slurp(&io, 10, &all, &len, &e), 0);
	assert_string_equal(all, "0123456789");
	free(all);
	assert_int_equal(io_slurp(&io, 9, &all, &len, &e), -EFBIG);
	assert_null(all);

	assert_false(io_changed(&io));
	assert_int_equal(truncate(path, 5), 0);
	assert_true(io_changed(&io));
	assert_int_equal(io_slurp(&io, 100, &all, &len, &e), -EIO);
	io_close(&io);
	io_close(&io);
}

static void failing(void **state)
{
	(void)state;
	struct io io;
	struct err e = ERR_INIT;
	char out[4];
	int fd = memfd_create("x", MFD_CLOEXEC);
	assert_int_equal(write(fd, "abcd", 4), 4);
	assert_int_equal(io_adopt(&io, fd, &e), 0);
	io_fail_at(2);
	assert_int_equal(io_pread(&io, out, 1, 0, &e), 0);
	assert_int_equal(io_pread(&io, out, 1, 1, &e), -EIO);
	assert_int_equal(io_pread(&io, out, 1, 2, &e), 0);
	assert_int_equal(io_count(), 3);
	io_fail_at(0);
	mem_fail_at(1);
	char *all;
	size_t len;
	assert_int_equal(io_slurp(&io, 100, &all, &len, &e), -ENOMEM);
	mem_fail_at(0);
	io_close(&io);
	assert_int_equal(io_adopt(&io, fd, &e), -EBADF);	/* closed above */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused), cmocka_unit_test(reads), cmocka_unit_test(failing),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
