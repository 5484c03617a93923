#include "core/base/process.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

bool process_found(const char *program)
{
	const char *path = getenv("PATH");
	char file[4096];
	for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
		int n = (int)strcspn(path, ":");
		if (snprintf(file, sizeof file, "%.*s/%s", n, path, program) < (int)sizeof file &&
		    access(file, X_OK) == 0)
			return true;
	}
	return false;
}

static int spawn(const char *const *argv, int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);	/* workers block all signals */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, out, 1);
	posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	int r = posix_spawnp(pid, argv[0], &fa, &attr, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	return r;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Feed and read until the child closes its output. */
static int converse(int to, int from, const char *in, size_t n_in, struct buf *out, size_t max, double until,
		    const struct cancel *c, struct err *e)
{
	size_t sent = 0;
	for (char chunk[65536];;) {
		struct pollfd p[2] = {{from, POLLIN, 0}, {sent < n_in ? to : -1, POLLOUT, 0}};
		if (cancel_asked(c))
			return err_set(e, ECANCELED, "interrupted");
		if (now() > until)
			return err_set(e, ETIMEDOUT, "the helper took too long");
		if (poll(p, 2, 50) < 0 && errno != EINTR)
			return err_set(e, errno, "poll: %s", strerror(errno));
		if (p[1].revents) {
			ssize_t k = send(to, in + sent, MIN(n_in - sent, sizeof chunk), MSG_NOSIGNAL | MSG_DONTWAIT);
			if (k > 0)
				sent += (size_t)k;
			if (sent == n_in || (k < 0 && errno != EAGAIN && errno != EINTR)) {
				shutdown(to, SHUT_WR);
				sent = n_in;
			}
		}
		if (p[0].revents) {
			ssize_t k = read(from, chunk, sizeof chunk);
			if (k == 0)
				return out->failed ? err_nomem(e) : 0;
			if (k > 0)
				buf_add(out, chunk, (size_t)k);
			if (out->len > max)
				return err_set(e, EFBIG, "the helper printed more than %zu bytes", max);
		}
	}
}

int process_run(const char *const *argv, const char *in, size_t n_in, struct buf *out, size_t max, unsigned seconds,
		const struct cancel *c, struct err *e)
{
	int to[2], from[2], status = 0;
	pid_t pid;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, to) < 0)
		return err_set(e, errno, "socketpair: %s", strerror(errno));
	if (pipe2(from, O_CLOEXEC) < 0) {
		int code = errno;
		close(to[0]);
		close(to[1]);
		return err_set(e, code, "pipe: %s", strerror(code));
	}
	int failed = spawn(argv, to[1], from[1], &pid), r = 0;
	close(to[1]);
	close(from[1]);
	if (!failed)
		r = converse(to[0], from[0], in, n_in, out, max, now() + seconds, c, e);
	close(to[0]);
	close(from[0]);
	if (failed)
		return err_set(e, failed, "cannot run %s: %s", argv[0], strerror(failed));
	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status)))
		r = err_set(e, EIO, "%s failed", argv[0]);
	return r;
}
