/* Where the catalog of a set of directories is. */
#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/job/index.h"

#include <errno.h>
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
			err_set(e, r, "cannot make %s for the catalog: %s; choose another place with --catalog FILE", path, strerror(r));
			return -r;
		}
		*p = c;
		if (!c)
			return 0;
	}
}

/* Directory for catalogs, with a trailing part of its own. */
static int choose_dir(struct buf *dir, char *warning, size_t n_warning, struct err *e)
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
	int r = make_dirs(dir->data, e);
	if (r < 0 || !on_network(dir->data))
		return r;
	if (warning)
		snprintf(warning, n_warning, "%s is on a network file system, where SQLite is not safe: the catalog is kept under "
			 "/var/tmp/tarn-%u (choose with --catalog FILE)", dir->data, (unsigned)geteuid());
	buf_clear(dir);
	buf_printf(dir, "/var/tmp/tarn-%u", (unsigned)geteuid());
	if (dir->failed)
		return err_nomem(e);
	r = make_dirs(dir->data, e);
	struct stat st;
	if (r == 0 && (lstat(dir->data, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
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
		buf_char(path, *p == '.' || *p == '-' || *p == '_' || (*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') ? *p : '_');
	buf_printf(path, "-%016llx.db", (unsigned long long)h);
}

int index_catalog_path(const char *const *lakes, size_t n, char **path, char *warning, size_t n_warning, struct err *e)
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
		r = choose_dir(&b, warning, n_warning, e);
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
