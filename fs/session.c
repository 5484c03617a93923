#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS = 32, BACKGROUND = 64 };

void session_wants(struct fuse_conn_info *conn)
{
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_AUTO_INVAL_DATA |
			FUSE_CAP_READDIRPLUS | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_SPLICE_WRITE |
			FUSE_CAP_SPLICE_MOVE | FUSE_CAP_EXPIRE_ONLY;
	/* AUTO would fall back to plain READDIR in large directories, and one LOOKUP an entry. */
	conn->want = want & conn->capable;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND * 3 / 4;
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14) && FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
/* The kernel's struct fuse_init_out as 32-bit words: major, minor, max_readahead, flags, … */
enum { INIT_WORDS = 16, INIT_FLAGS = 3, FLAG_PARALLEL_DIROPS = 1 << 18 };

static ssize_t io_writev(int fd, struct iovec *iov, int n, void *userdata)
{
	struct session *s = userdata;
	if (!atomic_load_explicit(&s->greeted, memory_order_relaxed) && n == 2 &&
	    iov[1].iov_len == INIT_WORDS * sizeof(uint32_t)) {
		uint32_t words[INIT_WORDS];
		memcpy(words, iov[1].iov_base, sizeof words);
		if (words[0] == 7) {
			words[INIT_FLAGS] |= FLAG_PARALLEL_DIROPS;
			memcpy(iov[1].iov_base, words, sizeof words);
			atomic_store(&s->greeted, true);
		}
	}
	/* Once the kernel has an answer the file may be closed and its content freed, before writev has returned.
	 * That is right, but a sanitizer's writev looks at the content afterwards: so not its. */
	return syscall(SYS_writev, fd, iov, n);
}

static ssize_t io_read(int fd, void *out, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, out, len);
}

static ssize_t io_splice(int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned flags, void *userdata)
{
	(void)userdata;
	return splice(in, in_off, out, out_off, len, flags);
}

int session_parallel_dirops(struct fuse_session *se)
{
	const struct fuse_custom_io io = {
		.writev = io_writev, .read = io_read, .splice_receive = io_splice, .splice_send = io_splice,
	};
	int r = fuse_session_custom_io(se, &io, fuse_session_fd(se));
	return r > 0 ? -r : r;
}
#else
int session_parallel_dirops(struct fuse_session *se)
{
	(void)se;
	return 0;
}
#endif

int session_loop(struct fuse_session *se)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	if (!cfg)
		return -ENOMEM;
	fuse_loop_cfg_set_max_threads(cfg, THREADS);
	fuse_loop_cfg_set_clone_fd(cfg, 0);
	int r = fuse_session_loop_mt(se, cfg);
	fuse_loop_cfg_destroy(cfg);
	return r;
}
