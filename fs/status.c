/*
 * tarn status: lake/status.txt, of a mount or of a lake.
 */
#include "core/base/mem.h"
#include "fs/commands.h"
#include "fs/mounts.h"
#include "fs/opened.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int of_mount(const char *point)
{
	char path[PATH_MAX + 32], line[4096];
	snprintf(path, sizeof path, "%s/lake/status.txt", point);
	FILE *f = fopen(path, "re");
	if (!f && errno == ENOTCONN)
		return complain("'%s' does not answer: its server has died; clear it: tarn umount '%s'", point, point);
	if (!f)
		return complain("cannot read '%s': %s", path, strerror(errno));
	while (fgets(line, sizeof line, f))
		fputs(line, stdout);
	int bad = ferror(f);
	fclose(f);
	return bad ? complain("cannot read '%s'", path) : 0;
}

static int of_lake(const struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	struct tree_attr a;
	struct tree_file *f = NULL;
	int r = opened_open(&l, o, o->args, o->n_args, &e);
	if (!r)
		r = opened_tree(&l, o, &e);
	if (!r)
		r = tree_wait_path(l.tree, "lake/status.txt", &a, &e);
	if (!r)
		r = tree_wait_open(l.tree, a.ino, &f, &e);
	if (!r)
		r = opened_print(f);
	if (f)
		tree_close(f);
	opened_end(&l);
	return r ? complain("%s", e.msg[0] ? e.msg : strerror(-r)) : 0;
}

int command_status(struct options *o)
{
	char point[PATH_MAX];
	struct mounted m;
	if (!o->n_args)
		return misused(o, "expected a lake or a mount point, found neither");
	bool over = o->n_args == 1 && !mounted_path(o->args[0], point) && mounted_find(point, &m);
	if (over && !strcmp(m.type, MOUNTED_TYPE))
		return of_mount(point);
	return of_lake(o);
}
