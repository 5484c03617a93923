/*
 * tarn ls: lists the tree without a mount, as ls does.
 */
#include "core/base/mem.h"
#include "fs/commands.h"
#include "fs/glob.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

struct entry {
	char *name;
	struct tree_attr a;
};

struct entries {
	struct entry *all;
	size_t n, cap;
	bool hidden;
};

struct listing {
	struct opened *l;
	const struct options *o;
	unsigned width;		/* of the terminal; 0: none */
	bool named;		/* directories are headed by their paths */
	bool said;		/* something was printed before */
};

static int collect(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	(void)cookie;
	struct entries *es = arg;
	if (name[0] == '.' && !es->hidden)
		return 0;
	char *copy = mem_strdup(name);
	if (!copy || mem_grow(&es->all, &es->cap, es->n + 1)) {
		free(copy);
		return -ENOMEM;
	}
	es->all[es->n++] = (struct entry){copy, *a};
	return 0;
}

static void entries_release(struct entries *es)
{
	for (size_t i = 0; i < es->n; i++)
		free(es->all[i].name);
	free(es->all);
	*es = (struct entries){0};
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Names are bytes of the lake's: on a terminal they must not speak to it. */
static void put_name(struct buf *b, const struct listing *g, const char *name)
{
	if (g->width)
		buf_text(b, name, strlen(name));
	else
		buf_str(b, name);
}

static void put_entry(struct buf *b, const struct listing *g, const struct entry *x)
{
	put_name(b, g, x->name);
	if (g->o->slash && S_ISDIR(x->a.mode))
		buf_char(b, '/');
}

static size_t columns_of(const struct buf *b, size_t from)
{
	size_t n = 0;
	for (size_t i = from; i < b->len; i++)
		n += ((unsigned char)b->data[i] & 0xc0) != 0x80;
	return n;
}

static void mode_text(char out[11], mode_t m)
{
	static const char bits[] = "rwxrwxrwx";
	out[0] = S_ISDIR(m) ? 'd' : S_ISLNK(m) ? 'l' : '-';
	for (int i = 0; i < 9; i++)
		out[i + 1] = m & (0400u >> i) ? bits[i] : '-';
	out[10] = 0;
}

static void owner_text(char *user, char *group, size_t n, const struct tree_attr *a)
{
	const struct passwd *pw = getpwuid(a->uid);
	const struct group *gr = getgrgid(a->gid);
	snprintf(user, n, "%u", a->uid);
	snprintf(group, n, "%u", a->gid);
	if (pw)
		snprintf(user, n, "%s", pw->pw_name);
	if (gr)
		snprintf(group, n, "%s", gr->gr_name);
}

static void put_details(struct buf *b, const struct listing *g, const struct entry *x)
{
	char mode[11], user[40], group[40], when[32] = "";
	time_t t = x->a.mtime_ns / 1000000000;
	struct tm tm;
	mode_text(mode, x->a.mode);
	owner_text(user, group, sizeof user, &x->a);
	if (localtime_r(&t, &tm))
		strftime(when, sizeof when, "%F %H:%M", &tm);
	buf_printf(b, "%s %2u %-8s %-8s %12llu %s ", mode, (unsigned)x->a.nlink, user, group,
		   (unsigned long long)x->a.size, when);
	put_entry(b, g, x);
	cleanup_buf struct buf target = {0};
	if (S_ISLNK(x->a.mode) && !tree_readlink(g->l->tree, x->a.ino, &target) && target.data) {
		buf_str(b, " -> ");
		put_name(b, g, target.data);
	}
	buf_char(b, '\n');
}

/* Down, then across. */
static void put_columns(struct buf *b, const struct listing *g, const struct entries *es)
{
	size_t widest = 1;
	for (size_t i = 0; i < es->n; i++) {
		cleanup_buf struct buf one = {0};
		put_entry(&one, g, &es->all[i]);
		widest = MAX(widest, columns_of(&one, 0) + 2);
	}
	size_t across = MAX(g->width / widest, (size_t)1), down = (es->n + across - 1) / across;
	for (size_t row = 0; row < down; row++) {
		for (size_t i = row; i < es->n; i += down) {
			size_t from = b->len;
			put_entry(b, g, &es->all[i]);
			for (size_t k = columns_of(b, from); i + down < es->n && k < widest; k++)
				buf_char(b, ' ');
		}
		buf_char(b, '\n');
	}
}

static int put_entries(struct listing *g, const struct entries *es)
{
	cleanup_buf struct buf b = {0};
	if (g->width && !g->o->details)
		put_columns(&b, g, es);
	else
		for (size_t i = 0; i < es->n; i++) {
			if (g->o->details) {
				put_details(&b, g, &es->all[i]);
			} else {
				put_entry(&b, g, &es->all[i]);
				buf_char(&b, '\n');
			}
		}
	if (buf_failed(&b))
		return -ENOMEM;
	if (b.len)
		fwrite(b.data, 1, b.len, stdout);
	return 0;
}

static int list_dir(struct listing *g, const char *path, uint64_t dir);

/* Links are not followed, so this ends. */
static int list_below(struct listing *g, const char *path, const struct entries *es)
{
	int status = 0;
	for (size_t i = 0; i < es->n; i++) {
		cleanup_buf struct buf b = {0};
		if (!S_ISDIR(es->all[i].a.mode))
			continue;
		buf_printf(&b, "%s%s%s", path, *path && path[strlen(path) - 1] != '/' ? "/" : "", es->all[i].name);
		if (!buf_failed(&b))
			status |= list_dir(g, b.data, es->all[i].a.ino);
	}
	return status;
}

static int list_dir(struct listing *g, const char *path, uint64_t dir)
{
	struct err e = ERR_INIT;
	struct entries es = {.hidden = g->o->all};
	int r = tree_wait_list(g->l->tree, dir, collect, &es, &e);
	if (r < 0) {
		entries_release(&es);
		return complain("cannot list '%s': %s", path, opened_why(g->o, path, r, &e));
	}
	if (es.n)
		qsort(es.all, es.n, sizeof *es.all, by_name);
	if (g->named)
		printf("%s%s:\n", g->said ? "\n" : "", *path ? path : ".");
	g->said = true;
	int status = put_entries(g, &es) ? 1 : 0;
	if (g->o->recursive)
		status |= list_below(g, path, &es);
	entries_release(&es);
	return status;
}

static int list_one(struct listing *g, const char *path)
{
	struct err e = ERR_INIT;
	struct tree_attr a;
	cleanup_free char *outside = NULL;
	/* As ls: with -l a link is shown, not followed; a trailing slash follows it. */
	size_t len = strlen(path);
	bool follow = !g->o->details || (len && path[len - 1] == '/');
	int r = opened_walk(g->l, path, follow, &a, &outside, &e);
	if (r)
		return complain("cannot list '%s': %s", path, opened_why(g->o, path, r, &e));
	if (!outside && S_ISDIR(a.mode))
		return list_dir(g, path, a.ino);
	char *name = mem_strdup(path);
	if (!name)
		return complain("out of memory");
	struct entry x = {name, a};
	struct entries es = {.all = &x, .n = 1};
	g->said = true;
	int status = put_entries(g, &es) ? 1 : 0;
	free(name);
	return status;
}

int command_ls(struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	struct winsize w;
	if (!o->n_args)
		return misused(o, "expected the directory of a lake, found none");
	struct listing g = {.l = &l, .o = o};
	struct paths paths = {0};
	if (isatty(1))
		g.width = !ioctl(1, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : 80;
	const char *all[] = {""}, *const *args = o->n_args > 1 ? o->args + 1 : all;
	int r = opened_begin(&l, o, o->args, 1, &e);
	if (!r)
		r = paths_expand(&l, args, MAX(o->n_args - 1, (size_t)1), &paths, &e);
	int status = r ? complain("%s", e.msg[0] ? e.msg : strerror(-r)) : 0;
	g.named = paths.n > 1 || o->recursive;
	for (size_t i = 0; !r && i < paths.n; i++)
		status |= list_one(&g, paths.all[i]);
	paths_release(&paths);
	opened_end(&l);
	return status;
}
