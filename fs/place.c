#include "fs/place.h"

#include "core/base/mem.h"
#include "fs/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static int check_device(const struct options *o, struct err *e)
{
	if (access("/dev/fuse", R_OK | W_OK))
		return err_set(e, errno, "cannot mount: expected to read and write /dev/fuse, found: %s; %s, or use "
			       "'tarn ls' and 'tarn cat', which do without", strerror(errno),
			       errno == ENOENT ? "load it ('modprobe fuse') or pass it to the container "
						 "('--device /dev/fuse')" :
			       "ask for its permissions");
	if (!geteuid() || !o->allow_other)
		return 0;
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256];
	bool may = false;
	while (f && fgets(line, sizeof line, f))
		may |= !strncmp(line, "user_allow_other", 16);
	if (f)
		fclose(f);
	return may ? 0 : err_set(e, EPERM, "cannot mount with allow_other: expected the line 'user_allow_other' in "
				 "/etc/fuse.conf, found none; ask root to add it, or leave allow_other out");
}

static int dead(const char *path, struct err *e)
{
	return err_set(e, ENOTCONN, "cannot mount on '%.150s': a mount whose server has died is still there (Transport "
		       "endpoint is not connected); clear it first: %s '%.100s'", path,
		       geteuid() ? "fusermount3 -u" : "umount", path);
}

static int check_empty(const char *path, struct err *e)
{
	DIR *d = opendir(path);
	if (!d)
		return err_set(e, errno, "cannot mount on '%.200s': %s", path, strerror(errno));
	bool empty = true;
	for (struct dirent *x; empty && (x = readdir(d));)
		empty = !strcmp(x->d_name, ".") || !strcmp(x->d_name, "..");
	closedir(d);
	return empty ? 0 : err_set(e, ENOTEMPTY, "cannot mount on '%.200s': expected an empty directory, found files; "
				   "choose another, or use -o nonempty to hide them", path);
}

/* Is `path` at or below `dir`? Real paths both. */
static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	if (n == 1)
		return true;
	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

static int check_in_lake(const struct place *p, const char *path, struct err *e)
{
	for (size_t i = 0; i < p->n_lakes; i++)
		if (below(path, p->lakes[i]))
			return err_set(e, EINVAL, "cannot mount on '%.150s': it lies in the lake '%.150s', where "
				       "nothing is ever written; choose a directory outside", path, p->lakes[i]);
	return 0;
}

static int check_nesting(const struct place *p, struct err *e)
{
	for (size_t i = 0; i < p->n_lakes; i++)
		if (below(p->lakes[i], p->point) && !below(p->point, p->lakes[i]))
			return err_set(e, EINVAL, "cannot mount on '%.150s': the lake '%.150s' lies in it and would be "
				       "hidden; choose another directory", p->point, p->lakes[i]);
	return check_in_lake(p, p->point, e);
}

/* The real path of the directory above, where `path` itself is not there. */
static bool would_lie(const char *path, char out[PATH_MAX])
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n && path[n - 1] != '/')
		n--;
	cleanup_free char *dir = n ? mem_strndup(path, n) : mem_strdup(".");
	return dir && realpath(dir, out);
}

static int check_point(struct place *p, const char *path, struct err *e)
{
	struct stat st;
	struct mounted m;
	int in, r = mounted_path(path, p->point);
	if (r == -ENOENT && would_lie(path, p->point) && (in = check_in_lake(p, p->point, e)))
		return in;	/* making it would not help */
	if (r == -ENOENT)
		return err_set(e, ENOENT, "cannot mount on '%.150s': expected a directory, found nothing; make it: "
			       "mkdir -p '%.100s'",
			       path, path);
	if (r)
		return err_set(e, -r, "cannot mount on '%.200s': %s", path, strerror(-r));
	/* stat may be answered from the kernel's cache, for the dead too; statfs is always asked. */
	bool over = mounted_find(p->point, &m);
	struct statvfs fs;
	if (over && !strncmp(m.type, "fuse", 4) && statvfs(p->point, &fs) && errno == ENOTCONN)
		return dead(p->point, e);
	if (stat(p->point, &st))
		return err_set(e, errno, "cannot mount on '%.200s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "cannot mount on '%.200s': expected a directory, found a file", path);
	if (over && !strcmp(m.type, MOUNTED_TYPE))
		return err_set(e, EBUSY, "cannot mount on '%.150s': tarn is already mounted there; first: tarn umount "
			       "'%.100s'", path,
			       path);
	return 0;
}

/* A file of ours below the mount point would be hidden by the mount, and asked for through it. */
static int check_uncovered(const struct place *p, const char *what, const char *path, struct err *e)
{
	char real[PATH_MAX];
	const char *slash = path ? strrchr(path, '/') : NULL;
	cleanup_free char *dir = slash ? mem_strndup(path, MAX((size_t)(slash - path), (size_t)1)) : NULL;
	if (!dir || !realpath(dir, real) || !below(real, p->point))
		return 0;
	return err_set(e, EINVAL, "%s=%.150s: it lies below the mount point '%.150s', which will hide it; choose "
		       "another place", what, path, p->point);
}

/* A file that need not exist yet, as an absolute path. NULL stays NULL. */
static int absolute(char **out, const char *path, struct err *e)
{
	if (!path)
		return 0;
	cleanup_free char *cwd = *path == '/' ? NULL : realpath(".", NULL);
	if (*path == '/')
		*out = mem_strdup(path);
	else if (!cwd || asprintf(out, "%s/%s", cwd, path) < 0)
		*out = NULL;
	return *out ? 0 : err_set(e, ENOENT, "cannot make '%.200s' absolute: the current directory has gone", path);
}

int place_check(struct place *p, const struct options *o, struct err *e)
{
	int r = 0;
	for (size_t i = 0; !r && i + 1 < o->n_args; i++)
		r = options_lakes(o->args[i], &p->lakes, &p->n_lakes, e);
	if (!r)
		r = options_allowed(o, &p->allow, &p->n_allow, e);
	if (!r)
		r = check_point(p, o->args[o->n_args - 1], e);
	if (!r)
		r = check_nesting(p, e);
	if (!r && !o->nonempty)
		r = check_empty(p->point, e);
	if (!r)
		r = absolute(&p->catalog, o->catalog, e);
	if (!r)
		r = absolute(&p->log, o->log, e);
	if (!r)
		r = options_outside("catalog", p->catalog, p->lakes, p->n_lakes, e);
	if (!r)
		r = options_outside("log", p->log, p->lakes, p->n_lakes, e);
	if (!r)
		r = check_uncovered(p, "catalog", p->catalog, e);
	if (!r)
		r = check_uncovered(p, "log", p->log, e);
	return r ? r : check_device(o, e);
}

void place_release(struct place *p)
{
	options_free_lakes(p->lakes, p->n_lakes);
	options_free_lakes(p->allow, p->n_allow);
	free(p->catalog);
	free(p->log);
	*p = (struct place){0};
}
