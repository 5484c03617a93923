/*
 * tarn which: the model that a file of the lake belongs to.
 */
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/catalog/catalog.h"
#include "core/catalog/view.h"
#include "core/lake/lake.h"
#include "fs/commands.h"
#include "fs/opened.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct answers {
	const char *file;	/* printed before each id, "" */
	size_t n;
};

/* One line, whatever the names hold. */
static int put(const char *file, const char *id)
{
	cleanup_buf struct buf b = {0};
	buf_text(&b, file, strlen(file));
	buf_str(&b, *file ? "\t" : "");
	buf_text(&b, id, strlen(id));
	if (buf_failed(&b))
		return -ENOMEM;
	puts(b.data);
	return 0;
}

static int print(void *arg, const struct catalog_row *r)
{
	struct answers *a = arg;
	a->n++;
	return put(a->file, catalog_text(r, 0, NULL));
}

/* `path` below root i of the lake: what follows; NULL when it is not. */
static const char *below_root(const struct lake *l, size_t i, const char *path)
{
	size_t n = strlen(l->roots[i].path);
	if (n == 1)
		return path + 1;
	return !strncmp(path, l->roots[i].path, n) && path[n] == '/' ? path + n + 1 : NULL;
}

static int by_path(struct opened *l, const char *path, struct answers *a, struct err *e)
{
	const struct lake *lake = index_lake(l->ix);
	int r = 0;
	for (size_t i = 0; !r && !a->n && i < lake->n_roots; i++) {
		const char *rest = below_root(lake, i, path);
		if (rest)
			r = catalog_each(index_catalog(l->ix), Q_FILE_FIND, e, print, a, "it", (int64_t)i, rest,
					 strlen(rest));
	}
	return r;
}

struct place_row { int64_t root; char dir[4096]; };

static int take_place(void *arg, const struct catalog_row *r)
{
	struct place_row *p = arg;
	p->root = catalog_int(r, 0);
	if (catalog_int(r, 2))
		p->root = -1;	/* a single file has no directory of its own */
	snprintf(p->dir, sizeof p->dir, "%s", catalog_text(r, 1, NULL));
	return 0;
}

/* Any file in a model's directory is the model's: the deepest such directory. */
static int by_directory(struct opened *l, const char *path, struct answers *a, struct err *e)
{
	const struct lake *lake = index_lake(l->ix);
	struct view *v = index_view(l->ix);
	const struct view_model *best = NULL;
	size_t best_len = 0;
	int r = 0;
	for (uint32_t i = 0; !r && i < v->n; i++) {
		struct place_row p = {.root = -1};
		r = catalog_each(index_catalog(l->ix), Q_MODEL_PLACE, e, take_place, &p, "i", (int64_t)v->models[i].id);
		const char *rest = r || p.root < 0 || p.root >= (int64_t)lake->n_roots ? NULL :
			below_root(lake, (size_t)p.root, path);
		size_t n = strlen(p.dir);
		if (rest && n && n > best_len && !strncmp(rest, p.dir, n) && (rest[n] == '/' || !rest[n])) {
			best = &v->models[i];
			best_len = n;
		}
	}
	if (best) {
		a->n++;
		r = put(a->file, view_name(v, best));
	}
	view_unref(v);
	return r;
}

static int which(struct opened *l, const char *file, bool many)
{
	struct err e = ERR_INIT;
	struct stat st;
	cleanup_free char *real = realpath(file, NULL), *dir = NULL, *beside = NULL;
	if (!real || stat(real, &st))
		return complain("cannot find '%s': %s", file, strerror(errno));
	/* A link in the lake is a file of its own: its directory is resolved, the link is not. */
	const char *slash = strrchr(file, '/');
	dir = slash ? mem_strndup(file, MAX((size_t)(slash - file), (size_t)1)) : mem_strdup(".");
	char *real_dir = dir ? realpath(dir, NULL) : NULL;
	const char *name = slash ? slash + 1 : file;
	if (!real_dir || asprintf(&beside, "%s/%s", strcmp(real_dir, "/") ? real_dir : "", name) < 0)
		beside = NULL;
	free(real_dir);
	struct answers a = {many ? file : "", 0};
	int r = beside ? by_path(l, beside, &a, &e) : 0;
	if (!r && !a.n)
		r = by_path(l, real, &a, &e);
	if (!r && !a.n)
		r = catalog_each(index_catalog(l->ix), Q_FILE_SAME, &e, print, &a, "ii", (int64_t)st.st_dev,
				 (int64_t)st.st_ino);
	if (!r && !a.n)
		r = by_directory(l, beside ? beside : real, &a, &e);
	if (r < 0)
		return complain("cannot look for '%s': %s", file, e.msg);
	return a.n ? 0 : complain("'%s' belongs to no model of this lake; 'tarn cat LAKE lake/unread.tsv' says what is "
				  "shown nowhere",
				  file);
}

int command_which(struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	if (o->n_args < 2)
		return misused(o, "expected a lake and a file, found %s", o->n_args ? "only one of them" : "neither");
	int status = 0;
	if (opened_begin(&l, o, o->args, 1, &e))
		status = complain("%s", e.msg);
	for (size_t i = 1; l.tree && i < o->n_args; i++)
		status |= which(&l, o->args[i], o->n_args > 2);
	opened_end(&l);
	return status;
}
