#include "fs/mounts.h"

#include "core/base/mem.h"

#include <errno.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

int mounted_path(const char *path, char out[PATH_MAX])
{
	if (realpath(path, out))
		return 0;
	if (errno != ENOTCONN && errno != EACCES)
		return -errno;
	char dir[PATH_MAX];
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= sizeof dir)
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = 0;
	char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir, parent[PATH_MAX];
	char *last = strdupa(name);
	*name = 0;
	if (!realpath(*dir ? dir : ".", parent))
		return -errno;
	int n = snprintf(out, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", last);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Blanks, tabs, newlines and backslashes are written \ooo. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; to++) {
		unsigned v;
		if (*s == '\\' && sscanf(s + 1, "%3o", &v) == 1) {
			*to = (char)v;
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = 0;
}

/* id parent major:minor root point options [fields…] - type source options */
static bool parse(char *line, struct mounted *m)
{
	char *rest = strstr(line, " - ");
	if (!rest || sscanf(line, "%*d %*d %u:%u %*s %4095s", &m->major, &m->minor, m->point) != 3 ||
	    sscanf(rest + 3, "%63s", m->type) != 1)
		return false;
	const char *user = strstr(rest, "user_id=");
	m->user = user ? strtol(user + strlen("user_id="), NULL, 10) : -1;
	unescape(m->point);
	return true;
}

bool mounted_find(const char *path, struct mounted *m)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return false;
	cleanup_free char *line = NULL;
	size_t cap = 0;
	struct mounted now;
	bool found = false;
	while (getline(&line, &cap, f) > 0)
		if (parse(line, &now) && !strcmp(now.point, path)) {
			*m = now;	/* the last one is on top */
			found = true;
		}
	fclose(f);
	return found;
}

/* The exit status of a program, its words thrown away; -errno. */
static int run_quietly(const char *const argv[])
{
	extern char **environ;
	posix_spawn_file_actions_t fa;
	pid_t pid;
	int status, r = posix_spawn_file_actions_init(&fa);
	if (r)
		return -r;
	posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", 1 /* O_WRONLY */, 0);
	posix_spawn_file_actions_adddup2(&fa, 1, 2);
	r = posix_spawnp(&pid, argv[0], &fa, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static int busy(const char *path, struct err *e)
{
	return err_set(e, EBUSY, "cannot unmount '%.200s': it is in use; 'fuser -vm %.60s' says by whom, --lazy does "
		       "not wait",
		       path, path);
}

static int not_ours(const char *path, long user, struct err *e)
{
	const struct passwd *p = getpwuid((uid_t)user);
	char number[24];
	snprintf(number, sizeof number, "%ld", user);
	return err_set(e, EPERM, "cannot unmount '%.150s': it is a mount of the user %s, who alone may do that, "
		       "or root", path, p ? p->pw_name : number);
}

int mounted_remove(const char *path, bool lazy, struct err *e)
{
	if (!umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)))
		return 0;
	if (errno == EBUSY)
		return busy(path, e);
	if (errno != EPERM)
		return err_set(e, errno, "cannot unmount '%.200s': %s", path, strerror(errno));
	struct mounted m;
	if (mounted_find(path, &m) && m.user >= 0 && m.user != (long)geteuid())
		return not_ours(path, m.user, e);
	const char *const argv[] = {"fusermount3", lazy ? "-uz" : "-u", "--", path, NULL};
	int r = run_quietly(argv);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "cannot unmount '%.200s': expected fusermount3 on PATH, found none; install "
			       "fuse3", path);
	if (r < 0)
		return err_set(e, -r, "cannot unmount '%.200s': fusermount3: %s", path, strerror(-r));
	if (!r || !mounted_find(path, &m))
		return 0;
	/* fusermount3 tells failures apart in words only; what is not ours is told before it is asked. */
	if (access("/etc/mtab", F_OK))
		return err_set(e, ENOENT, "cannot unmount '%.200s': fusermount3 expected /etc/mtab, which is missing "
			       "here; as root: ln -s /proc/self/mounts /etc/mtab", path);
	return busy(path, e);
}
