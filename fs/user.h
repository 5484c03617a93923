#ifndef TARN_FS_USER_H
#define TARN_FS_USER_H
/*
 * user=NAME: root mounts, then becomes NAME before the first byte of the lake is read. What is left
 * of root is a process that reads nothing, and only takes the mount away when the daemon has gone.
 */
#include "core/base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct user {
	uid_t uid;
	gid_t gid;
	char name[64];
	char home[PATH_MAX];
};

/* EINVAL: no such user. EPERM: we are not root, nor that user. */
int user_find(struct user *u, const char *name, struct err *e);

/* As root; for good, and verified. The cache moves to where u may write: HOME, or /var/cache/tarn/NAME. */
int user_become(const struct user *u, struct err *e);

/* Before user_become: a process that unmounts `point` lazily when told to, or when we are gone and our mount is
 * still there, dead. *fd is how it is told; close it never. */
int user_keeper(const char *point, int *fd, struct err *e);
/* Once: to unmount, or that it has gone already. */
void user_keeper_tell(int fd, bool unmount);

#endif
