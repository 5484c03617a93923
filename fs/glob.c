#include "fs/glob.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int add(struct paths *p, const char *path)
{
	char *copy = mem_strdup(path);
	if (!copy || mem_grow(&p->all, &p->cap, p->n + 1)) {
		free(copy);
		return -ENOMEM;
	}
	p->all[p->n++] = copy;
	return 0;
}

void paths_release(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->all[i]);
	free(p->all);
	*p = (struct paths){0};
}

static int collect(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	(void)a;
	(void)cookie;
	return add(arg, name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Not there, or no directory: then nothing of it matches. */
static bool is_absent(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ENODATA;
}

static int names_in(struct opened *l, const char *dir, struct paths *names, struct err *e)
{
	struct tree_attr a;
	cleanup_free char *outside = NULL;
	int r = opened_walk(l, dir, true, &a, &outside, e);
	if (r || outside || !S_ISDIR(a.mode))
		return is_absent(r) ? 0 : r;
	r = tree_wait_list(l->tree, a.ino, collect, names, e);
	if (names->n)
		qsort(names->all, names->n, sizeof *names->all, by_name);
	return is_absent(r) ? 0 : r;
}

static int add_existing(struct opened *l, const char *path, struct paths *out)
{
	struct err ignored = ERR_INIT;
	struct tree_attr a;
	cleanup_free char *outside = NULL;
	int r = opened_walk(l, path, false, &a, &outside, &ignored);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r == -ENOMEM ? r : add(out, path);
}

/* `done` is a path that exists, `rest` a pattern below it. */
static int expand(struct opened *l, const char *done, const char *rest, struct paths *out, struct err *e)
{
	size_t plain = 0, len = strcspn(rest, "*?[");
	for (size_t i = 0; i < len; i++)	/* whole components without a pattern */
		plain = rest[i] == '/' ? i + 1 : plain;
	cleanup_free char *dir = NULL, *pattern = NULL;
	if (asprintf(&dir, "%s%.*s", done, (int)(rest[len] ? plain : len), rest) < 0)
		return -ENOMEM;
	if (!rest[len])
		return add_existing(l, dir, out);
	struct paths names = {0};
	const char *at = rest + plain;
	size_t n = strcspn(at, "/");
	pattern = mem_strndup(at, n);
	int r = pattern ? names_in(l, dir, &names, e) : -ENOMEM;
	for (size_t i = 0; i < names.n && !r; i++) {
		cleanup_free char *path = NULL;
		if (fnmatch(pattern, names.all[i], FNM_PERIOD))
			continue;
		if (asprintf(&path, "%s%s", dir, names.all[i]) < 0)
			r = -ENOMEM;
		else
			r = at[n] ? expand(l, path, at + n, out, e) : add(out, path);
	}
	paths_release(&names);
	return r;
}

int paths_expand(struct opened *l, const char *const *args, size_t n, struct paths *out, struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < n && !r; i++) {
		size_t before = out->n;
		if (strpbrk(args[i], "*?[")) {
			r = add_existing(l, args[i], out);
			if (!r && out->n == before)
				r = expand(l, "", args[i], out, e);
		}
		if (!r && out->n == before)
			r = add(out, args[i]);
	}
	return r == -ENOMEM ? err_nomem(e) : r;
}
