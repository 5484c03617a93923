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
#include <unistd.h>

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

/* Asking makes no catalog: what was never indexed has no status. */
static int check_known(const struct options *o, struct err *e)
{
	char **lakes = NULL;
	size_t n = 0;
	int r = 0;
	for (size_t i = 0; !r && i < o->n_args; i++)
		r = options_lakes(o->args[i], &lakes, &n, e);
	if (!r && !(o->catalog ? access(o->catalog, F_OK) == 0 : index_catalog_known((const char *const *)lakes, n)))
		r = err_set(e, ENOENT, "nothing is mounted on '%.150s', and as a lake it was never indexed: "
			    "'tarn index %.150s' does that", o->args[0], o->args[0]);
	options_free_lakes(lakes, n);
	return r;
}

static int of_lake(const struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	struct tree_attr a;
	struct tree_file *f = NULL;
	int r = check_known(o, &e);
	if (r)
		return complain("%s", e.msg);
	r = opened_open(&l, o, o->args, o->n_args, &e);
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
