#include "core/base/io.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

static _Atomic uint64_t total, fail_at, counted;

uint64_t io_bytes_read(void)
{
	return total;
}

void io_fail_at(uint64_t nth)
{
	counted = 0;
	fail_at = nth;
}

uint64_t io_count(void)
{
	return counted;
}

struct io_id io_id_of(const struct stat *st)
{
	return (struct io_id){
		.dev = st->st_dev, .ino = st->st_ino, .size = (uint64_t)st->st_size,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		.ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
	};
}

static const char *kind_of(mode_t mode)
{
	return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" :
	       S_ISCHR(mode) || S_ISBLK(mode) ? "a device" : "something else";
}

int io_adopt(struct io *io, int fd, struct err *e)
{
	struct stat st;
	*io = IO_INIT;
	if (fstat(fd, &st) < 0) {
		int code = errno;
		close(fd);
		return err_set(e, code, "stat: %s", strerror(code));
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, EINVAL, "expected a regular file, found %s", kind_of(st.st_mode));
	}
	*io = (struct io){.fd = fd, .size = (uint64_t)st.st_size, .id = io_id_of(&st)};
	return 0;
}

int io_open(struct io *io, int dirfd, const char *path, struct err *e)
{
	*io = IO_INIT;
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		int code = errno;
		return err_set(e, code, "cannot open: %s", strerror(code));
	}
	return io_adopt(io, fd, e);
}

void io_close(struct io *io)
{
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
}

int io_pread(const struct io *io, void *out, size_t len, uint64_t off, struct err *e)
{
	if (atomic_load_explicit(&fail_at, memory_order_relaxed) && atomic_fetch_add(&counted, 1) + 1 == fail_at)
		return err_at(e, EIO, off, "read failed");
	size_t done = 0;
	while (done < len) {
		if (off > INT64_MAX - len)
			return err_at(e, EIO, off, "offset beyond what a file can hold");
		ssize_t n = pread(io->fd, (char *)out + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int code = errno;
			return err_at(e, code, off + done, "read failed: %s", strerror(code));
		}
		if (n == 0)
			return err_at(e, EIO, off + done, "file ends at byte %" PRIu64 ", expected %" PRIu64,
				      off + done, off + len);
		done += (size_t)n;
	}
	atomic_fetch_add_explicit(&total, len, memory_order_relaxed);
	return 0;
}

int io_slurp(const struct io *io, size_t max, char **out, size_t *len, struct err *e)
{
	*out = NULL;
	if (io->size > max)
		return err_set(e, EFBIG, "%" PRIu64 " bytes, at most %zu are read", io->size, max);
	cleanup_free char *s = mem_alloc(io->size + 1);
	if (!s)
		return err_nomem(e);
	int r = io_pread(io, s, io->size, 0, e);
	if (r < 0)
		return r;
	*len = io->size;
	*out = steal(&s);
	return 0;
}

bool io_changed(const struct io *io)
{
	struct stat st;
	if (fstat(io->fd, &st) < 0)
		return true;
	struct io_id id = io_id_of(&st);
	return id.size != io->id.size || id.mtime_ns != io->id.mtime_ns;
}
