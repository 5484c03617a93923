/*
 * tarn cat: the content of files of the tree, computed where it must be, without a mount.
 */
#include "core/base/mem.h"
#include "fs/commands.h"
#include "fs/glob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 1 << 20 };

static int put_outside(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *chunk = mem_alloc(CHUNK);
	if (fd < 0)
		return -errno;
	if (!chunk)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
			return -errno;
	}
}

static int cat(struct opened *l, const struct options *o, const char *path)
{
	struct err e = ERR_INIT;
	struct tree_attr a;
	struct tree_file *f = NULL;
	cleanup_free char *outside = NULL;
	int r = opened_walk(l, path, true, &a, &outside, &e);
	if (r)
		return complain("cannot read '%s': %s", path, opened_why(o, path, r, &e));
	if (outside) {
		r = put_outside(outside);
		return r ? complain("cannot read '%s': '%s': %s", path, outside, strerror(-r)) : 0;
	}
	if (S_ISDIR(a.mode))
		return complain("cannot read '%s': expected a file, found a directory; 'tarn ls' lists it", path);
	r = tree_wait_open(l->tree, a.ino, &f, &e);
	if (r)
		return complain("cannot read '%s': %s", path, opened_why(o, path, r, &e));
	r = opened_print(f);
	tree_close(f);
	return r ? complain("cannot read '%s': %s", path, strerror(-r)) : 0;
}

int command_cat(struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	if (o->n_args < 2)
		return misused(o, "expected a lake and files of its tree, found %s", o->n_args ? "no file" : "neither");
	struct paths paths = {0};
	int r = opened_begin(&l, o, o->args, 1, &e);
	if (!r)
		r = paths_expand(&l, o->args + 1, o->n_args - 1, &paths, &e);
	int status = r ? complain("%s", e.msg[0] ? e.msg : strerror(-r)) : 0;
	for (size_t i = 0; !r && i < paths.n; i++)
		status |= cat(&l, o, paths.all[i]);
	paths_release(&paths);
	opened_end(&l);
	return status;
}
