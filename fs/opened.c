#include "fs/opened.h"

#include "core/base/mem.h"
#include "fs/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS = 40 /* as the kernel */, CHUNK = 1 << 20 };

static struct cancel stop_asked;

static void on_interrupt(int sig)
{
	(void)sig;
	atomic_store(&stop_asked.set, true);
}

static void catch(bool on)
{
	struct sigaction sa = {.sa_handler = on ? on_interrupt : SIG_DFL, .sa_flags = SA_RESTART};
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

static int interrupted(int r, struct err *e)
{
	return r == -EINTR ? err_set(e, EINTR, "interrupted; what was done is kept") : r;
}

int opened_refresh(struct opened *l, const struct options *o, struct err *e)
{
	struct progress p;
	progress_begin(&p, o->quiet);
	catch(true);
	int r = index_run(l->ix, &stop_asked, progress_index, &p, e);
	catch(false);
	progress_end(&p);
	return interrupted(r, e);
}

struct exact_progress {
	struct progress line;
	uint64_t failed;
};

static void exact_progress(void *arg, const struct tree_progress *t)
{
	struct exact_progress *p = arg;
	p->failed = t->failed;
	progress_exact(&p->line, t);
}

int opened_exact(struct opened *l, const struct options *o, uint64_t *failed, struct err *e)
{
	struct exact_progress p = {0};
	progress_begin(&p.line, o->quiet);
	catch(true);
	int r = tree_exact_all(l->tree, &stop_asked, exact_progress, &p, e);
	catch(false);
	progress_end(&p.line);
	*failed = p.failed;
	return interrupted(r, e);
}

static bool cached_only(const struct options *o)
{
	return o->compute && !strcmp(o->compute, "cached");
}

static int open_index(struct opened *l, const struct options *o, struct err *e)
{
	char **allow = NULL;
	size_t n_allow = 0;
	int r = options_outside("catalog", o->catalog, l->lakes, l->n_lakes, e);
	if (!r)
		r = options_allowed(o, &allow, &n_allow, e);
	struct index_options io = {
		.lakes = (const char *const *)l->lakes, .n_lakes = l->n_lakes, .catalog = o->catalog,
		.allow = (const char *const *)allow, .n_allow = n_allow,
		.cached = cached_only(o), .jobs = o->jobs,
	};
	cleanup_free char *catalog = NULL;
	char warning[512] = "";
	if (!r && !io.catalog) {
		r = index_catalog_path(io.lakes, io.n_lakes, &catalog, warning, sizeof warning, e);
		if (*warning)
			fprintf(stderr, "tarn: %s\n", warning);
		io.catalog = catalog;
	}
	if (!r)
		r = index_open(&l->ix, &io, e);
	options_free_lakes(allow, n_allow);
	return r;
}

int opened_open(struct opened *l, const struct options *o, const char *const *args, size_t n, struct err *e)
{
	*l = (struct opened){0};
	int r = 0;
	for (size_t i = 0; !r && i < n; i++)
		r = options_lakes(args[i], &l->lakes, &l->n_lakes, e);
	return r ? r : open_index(l, o, e);
}

int opened_tree(struct opened *l, const struct options *o, struct err *e)
{
	struct tree_options to = {
		.serve = o->files && !strcmp(o->files, "serve"), .cached = cached_only(o), .workers = o->jobs,
	};
	return tree_new(&l->tree, l->ix, &to, e);
}

int opened_begin(struct opened *l, const struct options *o, const char *const *args, size_t n, struct err *e)
{
	int r = opened_open(l, o, args, n, e);
	if (!r && !cached_only(o))
		r = opened_refresh(l, o, e);
	return r ? r : opened_tree(l, o, e);
}

void opened_end(struct opened *l)
{
	if (l->tree)
		tree_free(l->tree);
	if (l->ix)
		index_close(l->ix);
	options_free_lakes(l->lakes, l->n_lakes);
	*l = (struct opened){0};
}

static int put(const char *p, size_t n)
{
	return fwrite(p, 1, n, stdout) == n ? 0 : errno ? -errno : -EIO;
}

int opened_print(struct tree_file *f)
{
	const void *data = tree_file_data(f);
	if (data)
		return put(data, tree_file_size(f));
	cleanup_free char *chunk = mem_alloc(CHUNK);
	if (!chunk)
		return -ENOMEM;
	for (uint64_t at = 0;;) {
		ssize_t n = tree_read(f, chunk, CHUNK, at);
		int r = n > 0 ? put(chunk, (size_t)n) : (int)n;
		if (r || !n)
			return r;
		at += (uint64_t)n;
	}
}

const char *opened_why(const struct options *o, const char *path, int r, const struct err *e)
{
	size_t n = strlen(path);
	if (r == -ENODATA && cached_only(o))
		return "it has not been computed, and --compute cached computes nothing; leave that out, or let "
		       "'tarn index' compute it (with --exact what reads whole weights)";
	if (!e->msg[0])
		return strerror(-r);
	return !strncmp(e->msg, path, n) && !strncmp(e->msg + n, ": ", 2) ? e->msg + n + 2 : e->msg;
}

/* "a/b" without its last component. */
static void pop(struct buf *b)
{
	while (b->len && b->data[b->len - 1] != '/')
		b->len--;
	if (b->len)
		b->len--;
	if (b->data)
		b->data[b->len] = 0;
}

/* The target of a link, before what is left to walk. */
static int redirect(struct buf *rest, size_t *at, struct buf *target)
{
	if (rest->data && rest->data[*at]) {
		buf_char(target, '/');
		buf_str(target, rest->data + *at);
	}
	if (buf_failed(target))
		return -ENOMEM;
	buf_release(rest);
	*rest = *target;
	*target = (struct buf){0};
	*at = 0;
	return 0;
}

int opened_walk(struct opened *l, const char *path, bool last, struct tree_attr *a, char **outside, struct err *e)
{
	cleanup_buf struct buf rest = {0}, here = {0};
	unsigned links = 0;
	size_t at = 0;
	*outside = NULL;
	buf_str(&rest, path);
	int r = tree_wait_path(l->tree, "", a, e);
	while (!r && rest.data && rest.data[at]) {
		size_t len = strcspn(rest.data + at, "/");
		cleanup_free char *name = mem_strndup(rest.data + at, len);
		at += len;
		at += strspn(rest.data + at, "/");
		if (!name)
			return err_nomem(e);
		if (!len || !strcmp(name, "."))
			continue;
		if (!strcmp(name, ".."))
			pop(&here);
		else
			buf_printf(&here, "%s%s", here.len ? "/" : "", name);
		if (buf_failed(&here) || buf_failed(&rest))
			return err_nomem(e);
		r = tree_wait_path(l->tree, here.data ? here.data : "", a, e);
		if (r || !S_ISLNK(a->mode) || (!rest.data[at] && !last))
			continue;
		if (++links > LINKS)
			return err_set(e, ELOOP, "%.200s: too many links", path);
		cleanup_buf struct buf target = {0};
		r = tree_readlink(l->tree, a->ino, &target);
		if (r || buf_failed(&target))
			return err_set(e, r ? -r : ENOMEM, "%.200s: %s", here.data, strerror(r ? -r : ENOMEM));
		pop(&here);
		if (redirect(&rest, &at, &target))
			return err_nomem(e);
		if (rest.data[0] == '/') {
			*outside = buf_take(&rest);
			return *outside ? 0 : err_nomem(e);
		}
	}
	return r;
}
