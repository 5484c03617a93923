#ifndef TARN_LAKE_LAKE_H
#define TARN_LAKE_LAKE_H
/*
 * The directories of a lake and how its files are opened. Nothing is ever written there.
 *
 * Links: without containment (`contain` false) links are followed wherever they lead. With it (the
 * mount uses allow_other) a file may be reached only below a root or below one of the allowed
 * directories (openat2 RESOLVE_BENEATH, then the resolved path is checked); else EXDEV.
 */
#include "core/base/err.h"
#include "core/base/io.h"
#include "core/base/mem.h"

struct lake_root {
	char *path;	/* real path */
	int dirfd;	/* O_PATH | O_DIRECTORY */
};

struct lake {
	struct lake_root *roots;
	size_t n_roots;
	bool contain;
	char **allow;	/* real paths */
	size_t n_allow;
};

/* ENOENT, ENOTDIR, EACCES: the message names the path. The same directory twice, or one inside another: EINVAL. */
int lake_open(struct lake *l, const char *const *paths, size_t n, struct err *e);
int lake_allow(struct lake *l, const char *dir, struct err *e);
void lake_close(struct lake *l);
/* The path counts, not the directory that was there first: 1 when another is there now, 0, or -errno when none is. */
int lake_look(const struct lake *l, struct err *e);
/* What is there now is the lake. While others read it: they see the one or the other. As lake_look. */
int lake_follow(struct lake *l, struct err *e);

/* A regular file of the lake, path relative to its root. EXDEV where containment refuses. */
int lake_open_file(const struct lake *l, uint32_t root, const char *path, struct io *io, struct err *e);

/* May everyone read the file at this path, below any root, and search the directories on the way? No where there is none. */
bool lake_everyone_reads(const struct lake *l, const char *path);

#endif
