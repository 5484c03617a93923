#ifndef TARN_BASE_IO_H
#define TARN_BASE_IO_H
/*
 * Reading the lake's files. Always pread, never mmap: a file truncated under a mapping is a SIGBUS,
 * a short pread is an errno. Regular files only: a FIFO or a device is refused without waiting.
 */
#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* A file's identity: when it is unchanged, so is the file (as far as anyone can tell cheaply). */
struct io_id {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
};

struct io {
	int fd;			/* -1: not open */
	uint64_t size;
	struct io_id id;
};
#define IO_INIT ((struct io){.fd = -1})

/* Open `path` (below dirfd, or AT_FDCWD). Errors: EINVAL for what is not a regular file, else errno. */
int io_open(struct io *io, int dirfd, const char *path, struct err *e);
/* Use an open descriptor (owned from then on, also on error). */
int io_adopt(struct io *io, int fd, struct err *e);
void io_close(struct io *io);

/* Read exactly len bytes at off. A file that ends before: -EIO and a message with both lengths. */
int io_pread(const struct io *io, void *out, size_t len, uint64_t off, struct err *e);
/* The whole file, NUL-terminated, at most `max` bytes (EFBIG beyond). Free *out. */
int io_slurp(const struct io *io, size_t max, char **out, size_t *len, struct err *e);
/* Has the file changed since it was opened? (compares identities of fd and of itself) */
bool io_changed(const struct io *io);

struct io_id io_id_of(const struct stat *st);

/* Bytes read from the lake by this process so far (for lake/status.txt, tests and benchmarks). */
uint64_t io_bytes_read(void);
/* Tests: the nth read from now fails with EIO (0: never), and how many there were since. */
void io_fail_at(uint64_t nth);
uint64_t io_count(void);

#define cleanup_io __attribute__((__cleanup__(io_close)))

#endif
