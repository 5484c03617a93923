/* Where the catalog of a set of directories is, and whether it can be there. */
#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/job/index.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool on_network(const char *dir)
{
	static const unsigned long kinds[] = {	/* linux/magic.h, and file systems' own headers */
		0x6969 /* NFS */, 0x517b /* SMB */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */, 0x01021997 /* 9P */,
		0x00c36400 /* Ceph */, 0x5346414f /* AFS */, 0x47504653 /* GPFS */, 0x0bd00bd0 /* Lustre */, 0x65735546 /* FUSE */,
	};
	struct statfs s;
	if (statfs(dir, &s) < 0)
		return false;
	for (size_t i = 0; i < COUNT(kinds); i++)
		if ((unsigned long)s.f_type == kinds[i])
			return true;
	return false;
}

static int make_dirs(char *path, struct err *e)
{
	for (char *p = path + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char c = *p;
		*p = 0;
		int r = mkdir(path, 0700) < 0 && errno != EEXIST ? errno : 0;
		if (r) {
			err_set(e, r, "cannot make %s for the catalog: %s; choose another place with --catalog FILE",
				path, strerror(r));
			return -r;
		}
		*p = c;
		if (!c)
			return 0;
	}
}

/* Directory for catalogs; made unless it only matters where it would be. */
static int choose_dir(struct buf *dir, bool make, char *warning, size_t n_warning, struct err *e)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	if (cache && cache[0] == '/')
		buf_printf(dir, "%s/tarn", cache);
	else if (geteuid() == 0)
		buf_str(dir, "/var/cache/tarn");
	else if (home && home[0] == '/')
		buf_printf(dir, "%s/.cache/tarn", home);
	else
		buf_printf(dir, "/var/tmp/tarn-%u", (unsigned)geteuid());
	if (dir->failed)
		return err_nomem(e);
	int r = make ? make_dirs(dir->data, e) : 0;
	if (r < 0 || !on_network(dir->data))
		return r;
	if (warning)
		snprintf(warning, n_warning,
			 "%s is on a network file system, where SQLite is not safe: the catalog is kept under "
			 "/var/tmp/tarn-%u (choose with --catalog FILE)",
			 dir->data, (unsigned)geteuid());
	buf_clear(dir);
	buf_printf(dir, "/var/tmp/tarn-%u", (unsigned)geteuid());
	if (dir->failed)
		return err_nomem(e);
	r = make ? make_dirs(dir->data, e) : 0;
	struct stat st;
	if (r == 0 && make && (lstat(dir->data, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
		r = err_set(e, EACCES, "%s is not ours: choose another place with --catalog FILE", dir->data);
	return r;
}

static void name_file(struct buf *path, char **real, size_t n)
{
	uint64_t h = 0;
	const char *slash = strrchr(real[0], '/');
	for (size_t i = 0; i < n; i++)
		h = hash64(real[i], strlen(real[i]) + 1, h);
	buf_char(path, '/');
	for (const char *p = slash ? slash + 1 : real[0], *end = p + 40; *p && p < end; p++)
		buf_char(path, *p == '.' || *p == '-' || *p == '_' || (*p >= '0' && *p <= '9') ||
					       ((*p | 32) >= 'a' && (*p | 32) <= 'z')
				       ? *p
				       : '_');
	buf_printf(path, "-%016llx.db", (unsigned long long)h);
}

static int find_path(const char *const *lakes, size_t n, bool make, char **path, char *warning, size_t n_warning,
		     struct err *e)
{
	if (warning && n_warning)
		warning[0] = 0;
	char **real = mem_array(n ? n : 1, sizeof *real);
	if (!real)
		return err_nomem(e);
	int r = n ? 0 : err_set(e, EINVAL, "no lake directory given");
	for (size_t i = 0; i < n && !r; i++)
		if (!(real[i] = realpath(lakes[i], NULL)))
			r = err_set(e, errno, "%s: %s", lakes[i], strerror(errno));
	cleanup_buf struct buf b = {0};
	if (!r)
		r = choose_dir(&b, make, warning, n_warning, e);
	if (!r) {
		qsort(real, n, sizeof *real, by_text);	/* any order of the directories is the same lake */
		name_file(&b, real, n);
		*path = buf_take(&b);
		if (!*path)
			r = err_nomem(e);
	}
	for (size_t i = 0; i < n; i++)
		free(real[i]);
	free(real);
	return r;
}

int index_catalog_path(const char *const *lakes, size_t n, char **path, char *warning, size_t n_warning, struct err *e)
{
	return find_path(lakes, n, true, path, warning, n_warning, e);
}

bool index_catalog_known(const char *const *lakes, size_t n)
{
	cleanup_free char *path = NULL;
	return find_path(lakes, n, false, &path, NULL, 0, NULL) == 0 && access(path, F_OK) == 0;
}

#define ELSEWHERE "choose another place with --catalog FILE"

/* It is made there, and a journal beside it. */
static int check_dir(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = !slash ? mem_strdup(".") : mem_strndup(path, MAX((size_t)(slash - path), (size_t)1));
	struct stat st;
	if (!dir)
		return err_nomem(e);
	if (stat(dir, &st) < 0)
		return err_set(e, errno, "cannot make the catalog %s: the directory %s: %s; make it, or " ELSEWHERE,
			       path, dir, strerror(errno));
	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0)
		return err_set(e, errno, "the directory of the catalog %s cannot be written in: %s; " ELSEWHERE, path,
			       strerror(errno));
	return 0;
}

/* A text of somebody's must not be told to be a damaged catalog. */
static int check_begin(const char *path, struct err *e)
{
	char head[16] = "";
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
	if (n > 0 && memcmp(head, "SQLite format 3", MIN((size_t)n, sizeof head)))
		return err_set(e, EUCLEAN, "%s is not a catalog of tarn, nor any SQLite file: " ELSEWHERE "; if tarn "
			       "made it, it is damaged: delete it (only time is lost)", path);
	return 0;
}

int index_catalog_check(const char *path, struct err *e)
{
	struct stat st;
	if (stat(path, &st) < 0 && errno != ENOENT)
		return err_set(e, errno, "cannot open the catalog %s: %s; " ELSEWHERE, path, strerror(errno));
	if (access(path, F_OK) < 0)
		return check_dir(path, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
			       "the catalog %s: expected a file, found %s; " ELSEWHERE, path,
			       S_ISDIR(st.st_mode) ? "a directory" : "something else");
	if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0)
		return err_set(e, errno, "the catalog %s cannot be written: %s; " ELSEWHERE, path, strerror(errno));
	int r = check_dir(path, e);
	return r < 0 ? r : check_begin(path, e);
}
