/* The lake's roots, and the one way in which its files and directories are opened: containment is decided here. */
#include "core/lake/lake.h"

#include "core/lake/open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Is `path` the directory `base` or below it? Both are real paths. */
static bool beneath(const char *path, const char *base)
{
	size_t n = strlen(base);
	if (n == 1)	/* "/" */
		return true;
	return strncmp(path, base, n) == 0 && (path[n] == 0 || path[n] == '/');
}

static int real_dir(const char *path, char out[PATH_MAX], int *fd, struct err *e)
{
	if (!realpath(path, out)) {
		int code = errno;
		return err_set(e, code, "'%s': %s", path, strerror(code));
	}
	*fd = open(out, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0) {
		int code = errno;
		return err_set(e, code, "'%s': expected a directory: %s", path, strerror(code));
	}
	if (faccessat(*fd, ".", R_OK | X_OK, AT_EACCESS) < 0) {
		int code = errno;
		close(*fd);
		return err_set(e, code, "'%s' cannot be read: %s", path, strerror(code));
	}
	return 0;
}

static int add_root(struct lake *l, const char *path, struct err *e)
{
	char real[PATH_MAX];
	cleanup_fd int fd = -1;
	int r = real_dir(path, real, &fd, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n_roots; i++) {
		const char *other = l->roots[i].path;
		if (strcmp(real, other) == 0)
			return err_set(e, EINVAL, "'%s' is given twice", path);
		if (beneath(real, other) || beneath(other, real))
			return err_set(e, EINVAL, "'%s' and '%s' lie one inside the other: give the outer one alone",
			    real, other);
	}
	struct lake_root *root = &l->roots[l->n_roots];
	root->path = mem_strdup(real);
	if (!root->path)
		return err_nomem(e);
	root->dirfd = fd;
	fd = -1;
	l->n_roots++;
	return 0;
}

int lake_open(struct lake *l, const char *const *paths, size_t n, struct err *e)
{
	*l = (struct lake){0};
	if (!n)
		return err_set(e, EINVAL, "a lake needs at least one directory");
	l->roots = mem_array(n, sizeof *l->roots);
	if (!l->roots)
		return err_nomem(e);
	for (size_t i = 0; i < n; i++) {
		int r = add_root(l, paths[i], e);
		if (r < 0) {
			lake_close(l);
			return r;
		}
	}
	return 0;
}

int lake_allow(struct lake *l, const char *dir, struct err *e)
{
	char real[PATH_MAX];
	cleanup_fd int fd = -1;
	int r = real_dir(dir, real, &fd, e);
	if (r < 0)
		return r;
	char **more = mem_realloc(l->allow, (l->n_allow + 1) * sizeof *more);
	if (!more)
		return err_nomem(e);
	l->allow = more;
	l->allow[l->n_allow] = mem_strdup(real);
	if (!l->allow[l->n_allow])
		return err_nomem(e);
	l->n_allow++;
	return 0;
}

static int look(const struct lake_root *r, struct err *e)
{
	struct stat was, now;
	if (stat(r->path, &now) < 0) {
		int code = errno;
		return err_set(e, code, "the lake '%s' is gone: %s", r->path, strerror(code));
	}
	return fstat(r->dirfd, &was) < 0 || was.st_dev != now.st_dev || was.st_ino != now.st_ino;
}

int lake_look(const struct lake *l, struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < l->n_roots && r == 0; i++)
		r = look(&l->roots[i], e);
	return r;
}

int lake_follow(struct lake *l, struct err *e)
{
	int r = 0, any = 0;
	for (size_t i = 0; i < l->n_roots && r >= 0; i++) {
		const struct lake_root *root = &l->roots[i];
		if ((r = look(root, e)) <= 0)
			continue;
		cleanup_fd int fd = open(root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || dup3(fd, root->dirfd, O_CLOEXEC) < 0) {	/* in place: readers need no lock */
			int code = errno;
			r = err_set(e, code, "the lake '%s': %s", root->path, strerror(code));
		}
		any = 1;
	}
	return r < 0 ? r : any;
}

void lake_close(struct lake *l)
{
	for (size_t i = 0; i < l->n_roots; i++) {
		free(l->roots[i].path);
		close(l->roots[i].dirfd);
	}
	for (size_t i = 0; i < l->n_allow; i++)
		free(l->allow[i]);
	free(l->roots);
	free(l->allow);
	*l = (struct lake){0};
}

const char *lake_base(const struct lake *l, const char *real)
{
	for (size_t i = 0; i < l->n_roots; i++)
		if (beneath(real, l->roots[i].path))
			return l->roots[i].path;
	for (size_t i = 0; i < l->n_allow; i++)
		if (beneath(real, l->allow[i]))
			return l->allow[i];
	return NULL;
}

/* Walk a real path below `base` without following any link: one that appears on the way was put there meanwhile. */
static int open_nofollow(const char *base, const char *real, int flags)
{
	int at = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *p = real + (base[1] ? strlen(base) : 0);
	while (at >= 0) {
		while (*p == '/')
			p++;
		const char *end = strchrnul(p, '/');
		char part[NAME_MAX + 1];
		if ((size_t)(end - p) >= sizeof part) {
			close(at);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(part, p, (size_t)(end - p));
		part[end - p] = 0;
		int next = *end ? openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) :
				  openat(at, *part ? part : ".", flags | O_NOFOLLOW);
		int code = errno;
		close(at);
		errno = code == ELOOP ? EXDEV : code;
		if (next < 0 || !*end)
			return next;
		at = next;
		p = end;
	}
	return at;
}

/* A link leads out of its root, or the kernel has no openat2: resolve, check, and walk what was checked. */
static int open_resolved(const struct lake *l, uint32_t root, const char *path, int flags)
{
	char full[2 * PATH_MAX], real[PATH_MAX];
	const char *r = l->roots[root].path;
	size_t n = strlen(r), m = strlen(path);
	if (n + m + 2 > sizeof full) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(full, r, n);
	full[n] = '/';
	memcpy(full + n + 1, path, m + 1);
	if (!realpath(full, real))
		return -1;
	const char *base = lake_base(l, real);
	if (!base) {
		errno = EXDEV;
		return -1;
	}
	return open_nofollow(base, real, flags);
}

int lake_open_at(const struct lake *l, uint32_t root, const char *path, int flags)
{
	const struct lake_root *r = &l->roots[root];
	int fd;
	if (!*path)
		path = ".";
	flags |= O_CLOEXEC;
	if (!l->contain) {
		fd = openat(r->dirfd, path, flags);
		return fd < 0 ? -errno : fd;
	}
	struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	fd = (int)syscall(SYS_openat2, r->dirfd, path, &how, sizeof how);
	if (fd < 0 && (errno == EXDEV || errno == ENOSYS || errno == EPERM || errno == EAGAIN))
		fd = open_resolved(l, root, path, flags);
	return fd < 0 ? -errno : fd;
}

bool lake_is_view(int dirfd)
{
	static const char first[] = "Signature: 8a477f597d28d172789f06886806bc55\n";	/* bford.info/cachedir */
	char text[256];
	struct stat here, above;
	cleanup_fd int fd = openat(dirfd, "CACHEDIR.TAG", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(dirfd, &here) < 0 || fstatat(dirfd, "..", &above, 0) < 0 || here.st_dev == above.st_dev)
		return false;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return strncmp(text, first, strlen(first)) == 0 && strstr(text, " computed by tarn ");
}

int lake_open_file(const struct lake *l, uint32_t root, const char *path, struct io *io, struct err *e)
{
	*io = IO_INIT;
	if (root >= l->n_roots || *path == '/')
		return err_set(e, EINVAL, "expected a path below a root of the lake");
	int fd = lake_open_at(l, root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd == -EXDEV)
		return err_set(e, EXDEV, "'%s' leads out of the lake, to where no 'allow=' permits", path);
	if (fd < 0)
		return err_set(e, -fd, "cannot open '%s': %s", path, strerror(-fd));
	return io_adopt(io, fd, e);
}

static bool everyone_below(int dirfd, const char *path, bool *there)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	struct stat st;
	if (len >= sizeof part)
		return false;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (fstatat(dirfd, part, &st, AT_SYMLINK_NOFOLLOW))
			return false;
		if (path[i] ? !(st.st_mode & 0001) : !(st.st_mode & 0004))
			return !(*there = true);
	}
	return *there = true;
}

bool lake_everyone_reads(const struct lake *l, const char *path)
{
	bool any = false;
	for (size_t i = 0; i < l->n_roots; i++) {
		bool there = false, open = everyone_below(l->roots[i].dirfd, path, &there);
		if (there && !open)
			return false;
		any |= open;
	}
	return any;
}
