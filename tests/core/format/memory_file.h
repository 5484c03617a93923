#ifndef TARN_TEST_MEMORY_FILE_H
#define TARN_TEST_MEMORY_FILE_H
/* Tests: bytes as a file without a name, opened the way files of the lake are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/format.h"

static inline int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	return fd;
}

static inline int open_bytes(struct weights *w, const void *data, size_t len, struct err *e)
{
	struct io io;
	const char *path = "memory";
	int r = io_adopt(&io, memory_file(data, len), e);
	return r < 0 ? r : weights_open_io(w, &io, &path, 1, e);
}

/* A file of the sources, whole. Free it. */
static inline char *source_file(const char *path, size_t *len)
{
	char full[4096];
	const char *top = getenv("TARN_SOURCE");
	snprintf(full, sizeof full, "%s/%s", top ? top : ".", path);
	FILE *f = fopen(full, "rb");
	if (!f)
		fail_msg("cannot open %s", full);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	char *s = malloc(*len + 1);
	assert_int_equal(fread(s, 1, *len, f), *len);
	s[*len] = 0;
	fclose(f);
	return s;
}

/*
 * Run `body` with the first, second, … allocation and then read made to fail, until one run has none. It must return an
 * error or succeed, and leave nothing behind (which the sanitizers see).
 */
static inline void fail_everything(int (*body)(void *), void *arg)
{
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int r = body(arg);
		uint64_t seen = mem_count();
		mem_fail_at(0);
		if (seen < n) {
			assert_int_equal(r, 0);
			break;
		}
		assert_true(r < 0);
	}
	for (uint64_t n = 1;; n++) {
		io_fail_at(n);
		int r = body(arg);
		uint64_t seen = io_count();
		io_fail_at(0);
		if (seen < n) {
			assert_int_equal(r, 0);
			break;
		}
		assert_true(r < 0);
	}
}

#endif
