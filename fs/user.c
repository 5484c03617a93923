#include "fs/user.h"

#include "core/base/mem.h"
#include "fs/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* What the keeper is told. */
static const char UNMOUNT = 'u', GONE = 'g';

int user_find(struct user *u, const char *name, struct err *e)
{
	struct passwd pw, *found = NULL;
	char space[16384];
	int r = getpwnam_r(name, &pw, space, sizeof space, &found);
	if (!found)
		return err_set(e, EINVAL, "user=%.100s: expected the name of a user, found none of that name%s%s", name,
			       r ? ": " : "", r ? strerror(r) : "");
	if (geteuid() && geteuid() != pw.pw_uid)
		return err_set(e, EPERM, "user=%.100s: only root can become another user; run it as root, or leave it "
			       "out", name);
	*u = (struct user){.uid = pw.pw_uid, .gid = pw.pw_gid};
	snprintf(u->name, sizeof u->name, "%s", pw.pw_name);
	snprintf(u->home, sizeof u->home, "%s", pw.pw_dir ? pw.pw_dir : "");
	return 0;
}

/* /var/cache/tarn/NAME, theirs alone. Only root can have made what stands before NAME. */
static int make_cache(const struct user *u, char path[PATH_MAX], struct err *e)
{
	snprintf(path, PATH_MAX, "/var/cache/tarn/%s", u->name);
	mkdir("/var/cache/tarn", 0755);
	cleanup_fd int dir = open("/var/cache/tarn", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || (mkdirat(dir, u->name, 0700) && errno != EEXIST))
		return err_set(e, errno, "cannot make '%s' for the catalog: %s; use -o catalog=FILE", path,
			       strerror(errno));
	cleanup_fd int own = openat(dir, u->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (own < 0 || fchown(own, u->uid, u->gid))
		return err_set(e, errno, "cannot give '%s' to %s: %s", path, u->name, strerror(errno));
	return 0;
}

static bool owns(const char *dir, uid_t uid)
{
	struct stat st;
	return *dir == '/' && !stat(dir, &st) && S_ISDIR(st.st_mode) && st.st_uid == uid;
}

/* Where $XDG_CACHE_HOME is theirs, it stays; else their home; else a place of our own. */
static int move_cache(const struct user *u, struct err *e)
{
	const char *xdg = getenv("XDG_CACHE_HOME");
	char cache[PATH_MAX];
	if (xdg && owns(xdg, u->uid))
		return 0;
	unsetenv("XDG_CACHE_HOME");
	if (owns(u->home, u->uid))
		return 0;
	int r = make_cache(u, cache, e);
	if (!r)
		setenv("XDG_CACHE_HOME", cache, 1);
	return r;
}

int user_become(const struct user *u, struct err *e)
{
	int r = u->uid ? move_cache(u, e) : 0;
	if (r)
		return r;
	setenv("HOME", u->home, 1);
	setenv("USER", u->name, 1);
	setenv("LOGNAME", u->name, 1);
	if (initgroups(u->name, u->gid) || setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid))
		return err_set(e, errno, "cannot become %s: %s", u->name, strerror(errno));
	uid_t real, now, saved;
	gid_t greal, gnow, gsaved;
	if (getresuid(&real, &now, &saved) || getresgid(&greal, &gnow, &gsaved) || real != u->uid || now != u->uid ||
	    saved != u->uid || greal != u->gid || gnow != u->gid || gsaved != u->gid || (u->uid && !setuid(0)))
		return err_set(e, EPERM, "cannot become %s: privileges were not given up", u->name);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return 0;
}

/* Who asks while the connection breaks is told ECONNABORTED, and asks again. */
static bool is_dead(const char *point)
{
	struct statvfs st;
	int r;
	for (int i = 0; (r = statvfs(point, &st)) && errno == ECONNABORTED && i < 100; i++)
		usleep(10000);
	return r && errno == ENOTCONN;
}

/* Told to: unmount what is ours. Not told, because the daemon was killed: then ours is dead, and what is alive there is
 * somebody else's, whatever its number. */
static void keep(const struct mounted *ours, int fd)
{
	struct mounted m;
	char word = 0;
	while (read(fd, &word, 1) < 0 && errno == EINTR)
		;
	bool same = mounted_find(ours->point, &m) && m.major == ours->major && m.minor == ours->minor;
	if (same && (word == UNMOUNT || (!word && is_dead(ours->point))))
		umount2(ours->point, MNT_DETACH | UMOUNT_NOFOLLOW);
	_exit(0);
}

int user_keeper(const char *point, int *fd, struct err *e)
{
	struct mounted m;
	int p[2];
	if (!mounted_find(point, &m))
		return err_set(e, ENOENT, "cannot find the mount on '%s'", point);
	if (pipe2(p, O_CLOEXEC))
		return err_set(e, errno, "cannot make a pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0) {
		close(p[0]);
		close(p[1]);
		return err_set(e, errno, "cannot fork: %s", strerror(errno));
	}
	if (!pid) {
		setsid();
		prctl(PR_SET_NAME, "tarn-unmount");
		if (chdir("/"))
			_exit(1);
		dup2(p[0], 0);
		close_range(1, ~0U, 0);
		signal(SIGTERM, SIG_IGN);	/* its end is ours */
		keep(&m, 0);
	}
	close(p[0]);
	*fd = p[1];
	return 0;
}

void user_keeper_tell(int fd, bool unmount)
{
	char word = unmount ? UNMOUNT : GONE;
	ssize_t n = write(fd, &word, 1);
	(void)n;
}
