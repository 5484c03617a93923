#include "fs/daemon.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* The child's words are lines: 'W' a warning, 'E' why it failed, 'R' ready. */

static void say(struct daemon *d, char what, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "%c%s\n", what, text);
	if (n >= (int)sizeof line)
		n = sizeof line - 1;
	for (int i = 0; i + 1 < n; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	line[n - 1] = '\n';
	ssize_t w = d->fd < 0 ? 0 : write(d->fd, line, (size_t)n);
	(void)w;
}

static _Noreturn void lost(pid_t child)
{
	int status = 0;
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "tarn: the daemon was ended by signal %d (%s) before it was ready\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "tarn: the daemon ended before it was ready (exit status %d)\n", WEXITSTATUS(status));
	exit(1);
}

/* ^C while waiting ends the child too, which has no terminal any more. */
static volatile pid_t child_pid;

static void pass_on(int sig)
{
	(void)sig;
	kill(child_pid, SIGTERM);
}

static _Noreturn void await(int fd, pid_t child)
{
	cleanup_free char *line = NULL;
	size_t cap = 0;
	child_pid = child;
	struct sigaction sa = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	FILE *f = fdopen(fd, "r");
	while (f && getline(&line, &cap, f) > 0) {
		if (line[0] == 'R')
			exit(0);
		fprintf(stderr, "tarn: %s", line + 1);
		if (line[0] == 'E') {
			waitpid(child, NULL, 0);
			exit(1);
		}
	}
	lost(child);
}

static void null_to(int from, int to)
{
	cleanup_fd int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		for (int i = from; i <= to; i++)
			dup2(fd, i);
}

int daemon_begin(struct daemon *d, struct err *e)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC))
		return err_set(e, errno, "cannot make a pipe: %s", strerror(errno));
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0) {
		close(p[0]);
		close(p[1]);
		return err_set(e, errno, "cannot fork: %s", strerror(errno));
	}
	if (pid) {
		close(p[1]);
		await(p[0], pid);
	}
	close(p[0]);
	d->fd = p[1];
	setsid();
	if (chdir("/"))
		return err_set(e, errno, "cannot enter /: %s", strerror(errno));
	null_to(0, 1);
	return 0;
}

void daemon_warn(struct daemon *d, const char *text)
{
	if (d->fd < 0)
		fprintf(stderr, "tarn: %s\n", text);
	else
		say(d, 'W', text);
}

void daemon_failed(struct daemon *d, const char *text)
{
	if (d->fd < 0)
		fprintf(stderr, "tarn: %s\n", text);
	else
		say(d, 'E', text);
}

void daemon_ready(struct daemon *d)
{
	if (d->fd < 0)
		return;
	null_to(2, 2);
	say(d, 'R', "");
	close(d->fd);
	d->fd = -1;
}
