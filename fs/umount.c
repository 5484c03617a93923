/*
 * tarn umount: takes a mount away, also one whose server has died.
 */
#include "fs/commands.h"
#include "fs/mounts.h"

#include <errno.h>
#include <string.h>

static int umount_one(const char *path, bool lazy)
{
	char point[PATH_MAX];
	struct mounted m;
	struct err e = ERR_INIT;
	int r = mounted_path(path, point);
	if (r)
		return complain("cannot unmount '%s': %s", path, strerror(-r));
	if (!mounted_find(point, &m))
		return complain("cannot unmount '%s': expected a mount of tarn, found nothing mounted there; 'findmnt "
				"-t %s' lists them",
				path, MOUNTED_TYPE);
	if (strcmp(m.type, MOUNTED_TYPE))
		return complain("cannot unmount '%s': expected a mount of tarn, found one of %s; use umount", path,
				m.type);
	return mounted_remove(point, lazy, &e) ? complain("%s", e.msg) : 0;
}

int command_umount(struct options *o)
{
	int status = 0;
	if (!o->n_args)
		return misused(o, "expected a mount point, found none");
	for (size_t i = 0; i < o->n_args; i++)
		status |= umount_one(o->args[i], o->lazy);
	return status;
}
