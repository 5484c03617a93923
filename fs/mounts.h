#ifndef TARN_FS_MOUNTS_H
#define TARN_FS_MOUNTS_H
/*
 * What is mounted (/proc/self/mountinfo), and taking it away. Works on mounts whose server has died,
 * which stat does not.
 */
#include "core/base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct mounted {
	unsigned major, minor;	/* of its device; used again as soon as it has gone */
	char point[PATH_MAX];
	char type[64];		/* "fuse.tarn" */
	long user;		/* who mounted it, -1 where that is not said */
};

#define MOUNTED_TYPE "fuse.tarn"

/* The real path of what may be a dead mount: only its parent is looked at where it cannot be itself. 0 or -errno. */
int mounted_path(const char *path, char out[PATH_MAX]);
/* What is on top at exactly this real path. */
bool mounted_find(const char *path, struct mounted *m);

/* Unmount; lazily: now from the name space, for good when nobody uses it. EBUSY, EPERM, …: the message says what
 * to do. */
int mounted_remove(const char *path, bool lazy, struct err *e);

#endif
