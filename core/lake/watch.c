/*
 * A hint that the lake has changed: inotify, one watch a directory. No paths are kept for the watches: when a directory
 * appears, or events were lost, the tree is walked again, which adds what is missing and costs what the rescan costs
 * that follows. Directories behind links are not watched; a scan by time is the truth.
 */
#include "core/lake/scan.h"

#include "core/lake/names.h"
#include "core/lake/open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

enum { QUIET_MS = 200, LONGEST_MS = 2000, WRITTEN_MS = 1000, PAUSE_MS = 100 };

struct watch {
	const struct lake *lake;
	int fd;
	int64_t written;	/* when a file was last written to, 0: not since it was closed or reported */
	bool pending;		/* something has changed that was not reported yet */
	bool dirs;		/* directories have come: some are not watched yet */
};

struct stack {
	char **paths;		/* relative to the root */
	size_t n, cap;
};

static int push(struct stack *s, const char *dir, const char *name)
{
	char *path = mem_alloc(strlen(dir) + strlen(name) + 2);
	if (!path || mem_grow(&s->paths, &s->cap, s->n + 1) < 0) {
		free(path);
		return -ENOMEM;
	}
	stpcpy(stpcpy(stpcpy(path, dir), *dir ? "/" : ""), name);
	s->paths[s->n++] = path;
	return 0;
}

static void stack_release(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->paths[i]);
	free(s->paths);
}

static bool is_dir(int fd, const struct dirent *d)
{
	struct stat st;
	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The watch first, then the listing: what comes in between is in one of the two. */
static int watch_dir(struct watch *w, uint32_t root, const char *path, struct stack *s)
{
	cleanup_free char *full = mem_alloc(strlen(w->lake->roots[root].path) + strlen(path) + 2);
	if (!full)
		return -ENOMEM;
	stpcpy(stpcpy(stpcpy(full, w->lake->roots[root].path), "/"), path);
	if (inotify_add_watch(w->fd, full, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY |
			      IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
			      IN_DONT_FOLLOW) < 0)
		return errno == ENOSPC || errno == ENOMEM ? -ENOSYS : 0;	/* unreadable or gone: nothing to see */
	int fd = lake_open_at(w->lake, root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	if (*path && lake_is_view(fd)) {
		closedir(d);
		return 0;
	}
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !name_skipped(e->d_name) && is_dir(fd, e))
			r = push(s, path, e->d_name);
	closedir(d);
	return r;
}

static int watch_all(struct watch *w)
{
	struct stack s __attribute__((__cleanup__(stack_release))) = {0};
	int r = 0;
	for (uint32_t i = 0; i < w->lake->n_roots && r == 0; i++) {
		r = push(&s, "", "");
		while (r == 0 && s.n) {
			cleanup_free char *path = s.paths[--s.n];
			r = watch_dir(w, i, path, &s);
		}
	}
	return r;
}

struct watch *watch_new(const struct lake *l)
{
	struct watch *w = mem_alloc(sizeof *w);
	if (!w)
		return NULL;
	*w = (struct watch){.lake = l, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
	if (w->fd < 0 || watch_all(w) < 0) {
		watch_free(w);
		return NULL;
	}
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Take all events that wait. */
static void drain(struct watch *w)
{
	_Alignas(struct inotify_event) char events[16 << 10];
	for (ssize_t n; (n = read(w->fd, events, sizeof events)) > 0;)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(events + at);
			at += (ssize_t)(sizeof *e + e->len);
			if ((e->mask & IN_IGNORED) || (e->len && name_skipped(e->name)))
				continue;
			if (e->mask == IN_MODIFY) {	/* a download is news when it ends, or rests */
				w->written = now_ms();
				continue;
			}
			w->pending = true;
			bool came = (e->mask & IN_ISDIR) && (e->mask & (IN_CREATE | IN_MOVED_TO));
			w->dirs |= came || (e->mask & IN_Q_OVERFLOW);
		}
}

/* 1: events, 0: none in time or woken. */
static int wait_events(const struct watch *w, int64_t ms, int wake_fd)
{
	struct pollfd p[2] = {{.fd = w->fd, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
	int n = poll(p, 2, ms < 0 ? -1 : (int)MIN(ms, (int64_t)INT32_MAX));
	return n > 0 && !p[1].revents && (p[0].revents & POLLIN);
}

static bool woken(int wake_fd)
{
	struct pollfd p = {.fd = wake_fd, .events = POLLIN};
	return wake_fd >= 0 && poll(&p, 1, 0) > 0;
}

static void pause_for(int ms, int wake_fd)
{
	poll(&(struct pollfd){.fd = wake_fd, .events = POLLIN}, 1, ms);
}

/* 0: not yet (time is up or woken), 1: the change is over, or has gone on for long enough. */
static int settle(struct watch *w, int wake_fd)
{
	int64_t end = now_ms() + LONGEST_MS;
	while (now_ms() < end && wait_events(w, QUIET_MS, wake_fd))
		drain(w);
	return !woken(wake_fd);
}

int watch_wait(struct watch *w, int timeout_ms, int wake_fd)
{
	if (!w) {
		pause_for(timeout_ms, wake_fd);
		return 0;
	}
	int64_t end = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
	while (!w->pending && !(w->written && now_ms() - w->written >= WRITTEN_MS)) {
		int64_t left = timeout_ms < 0 ? -1 : end - now_ms();
		if (w->written)
			left = timeout_ms < 0 ? WRITTEN_MS : MIN(left, WRITTEN_MS);
		if (woken(wake_fd) || (timeout_ms >= 0 && left < 0))
			return 0;
		if (wait_events(w, left, wake_fd)) {
			drain(w);
			if (!w->pending)	/* somebody writes: hundreds of events a second */
				pause_for(PAUSE_MS, wake_fd);
		} else if (timeout_ms >= 0 && now_ms() >= end) {
			return 0;
		}
	}
	if (!settle(w, wake_fd))
		return 0;
	if (w->dirs && watch_all(w) < 0)
		return -ENOSYS;
	w->pending = w->dirs = false;
	w->written = 0;
	return 1;
}
