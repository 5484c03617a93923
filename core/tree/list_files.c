/* files/: the model's own files, as links into the lake or as the bytes themselves. */
#include "core/base/mem.h"
#include "core/lake/lake.h"
#include "core/tree/content.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A directory below files/ is told by one of the files in it and its depth: x = n << 5 | depth. */
enum { DEPTH_BITS = 5, DEPTH_MAX = (1 << DEPTH_BITS) - 1 };

struct file {
	uint32_t n, uid, gid;
	char *name, *path;
	uint64_t size;
	int64_t mtime_ns;
	mode_t mode;
};

static int read_file_row(struct file *f, const struct catalog_row *r)
{
	*f = (struct file){
		.n = (uint32_t)catalog_int(r, 0),
		.size = (uint64_t)catalog_int(r, 4),
		.mtime_ns = catalog_int(r, 5),
		.uid = (uint32_t)catalog_int(r, 9),
		.gid = (uint32_t)catalog_int(r, 10),
		.mode = (mode_t)catalog_int(r, 11),
	};
	f->name = mem_strdup(catalog_text(r, 1, NULL));
	f->path = mem_strdup(catalog_text(r, 2, NULL));
	return f->name && f->path ? 1 : -ENOMEM;
}

static void file_release(struct file *f)
{
	free(f->name);
	free(f->path);
}

static int file_row(void *arg, const struct catalog_row *r)
{
	return read_file_row(arg, r);
}

static int file_get(struct tree *t, uint32_t model, uint32_t n, struct file *f)
{
	*f = (struct file){0};
	int r = catalog_each(tree_catalog(t), Q_FILE, NULL, file_row, f, "ii", (int64_t)model, (int64_t)n);
	if (r == 1)
		return 0;
	file_release(f);
	*f = (struct file){0};
	return r < 0 ? r : -ENOENT;
}

/* Bytes of a name that make its first `depth` components, without the last slash; 0 when it has no more than these. */
static size_t prefix_len(const char *name, uint32_t depth)
{
	for (size_t at = 0; name[at]; at++)
		if (name[at] == '/' && !--depth)
			return at;
	return 0;
}

struct lister {
	struct tree *t;
	struct view *v;
	struct node dir;
	const struct view_model *m;
	char *prefix;		/* of the directory, "" for files/ itself */
	size_t len;
	uint32_t depth;
	uint64_t cookie;
	tree_fill fill;
	void *arg;
	const char *want;	/* lookup: only this name */
	struct tree_attr *found;
	char *last;		/* the directory entry given last: its files follow one another */
};

static void file_attr(struct lister *l, const struct file *f, struct tree_attr *a)
{
	bool serve = tree_opts(l->t)->serve;
	struct node n = {.kind = serve ? KIND_FILES_SERVED : KIND_FILES_LINK, .x = f->n, .model = l->m->id};
	const struct lake *lake = tree_lake(l->t);
	*a = (struct tree_attr){.ino = node_ino(n), .nlink = 1, .uid = f->uid, .gid = f->gid, .mtime_ns = f->mtime_ns,
				.exact = true, .steady = true};
	a->mode = serve ? S_IFREG | (f->mode & 0444) : S_IFLNK | 0777;
	a->size = serve ? f->size : strlen(lake->roots[l->m->root].path) + 1 + strlen(f->path);
}

static int each_file(void *arg, const struct catalog_row *r)
{
	struct lister *l = arg;
	struct file f;
	struct tree_attr a;
	int rc = read_file_row(&f, r);
	if (rc < 0)
		goto out;
	rc = 0;
	if (strncmp(f.name, l->prefix, l->len) || (l->len && f.name[l->len] != '/'))
		goto out;
	char *entry = f.name + (l->len ? l->len + 1 : 0), *slash = strchr(entry, '/');
	if (slash) {
		*slash = 0;
		if (l->last && !strcmp(l->last, entry))
			goto out;
		if (l->depth + 1 > DEPTH_MAX)
			goto out;
		free(l->last);
		if (!(l->last = mem_strdup(entry))) {
			rc = -ENOMEM;
			goto out;
		}
	}
	if (l->want && strcmp(l->want, entry))
		goto out;
	uint64_t cookie = COOKIE_DYNAMIC | f.n;
	if (!l->want && l->cookie && cookie <= l->cookie)
		goto out;
	if (slash)
		node_attr(l->t, l->v,
			  (struct node){.kind = KIND_FILES_DIR,
					.x = f.n << DEPTH_BITS | (l->depth + 1),
					.model = l->m->id},
			  &a);
	else
		file_attr(l, &f, &a);
	if (l->want) {
		*l->found = a;
		rc = 1;
	} else {
		rc = l->fill(l->arg, entry, &a, cookie);
	}
out:
	file_release(&f);
	return rc;
}

static int walk(struct lister *l)
{
	l->m = view_by_id(l->v, l->dir.model);
	l->depth = l->dir.kind == KIND_FILES_DIR ? l->dir.x & DEPTH_MAX : 0;
	if (l->depth) {
		struct file f;
		int r = file_get(l->t, l->dir.model, l->dir.x >> DEPTH_BITS, &f);
		if (r < 0)
			return r == -ENOENT ? -ESTALE : r;
		l->len = prefix_len(f.name, l->depth);
		l->prefix = mem_strndup(f.name, l->len);
		file_release(&f);
		if (!l->len) {
			free(l->prefix);
			return -ESTALE;
		}
	} else {
		l->prefix = mem_strdup("");
	}
	int r = !l->prefix ? -ENOMEM :
		catalog_each(tree_catalog(l->t), Q_FILES, NULL, each_file, l, "i", (int64_t)l->dir.model);
	free(l->prefix);
	free(l->last);
	return r;
}

int list_files(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct lister l = {.t = t, .v = v, .dir = dir, .cookie = cookie, .fill = fill, .arg = arg};
	return walk(&l);
}

int lookup_files(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	struct lister l = {.t = t, .v = v, .dir = dir, .want = name, .found = a};
	int r = walk(&l);
	return r == 1 ? 0 : r < 0 ? r : -ENOENT;
}

int target_file(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	struct file f;
	const struct view_model *m = view_by_id(v, n.model);
	int r = m ? file_get(t, n.model, n.x, &f) : -ESTALE;
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	buf_printf(out, "%s/%s", tree_lake(t)->roots[m->root].path, f.path);
	file_release(&f);
	return 0;
}

int target_readme(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t, (void)v, (void)n;
	buf_str(out, "files/README.md");
	return 0;
}

int64_t size_served(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	struct file f;
	int r = file_get(t, n.model, n.x, &f);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	file_release(&f);
	return (int64_t)f.size;
}

int open_served(struct render *r, struct tree_file **out)
{
	struct file f;
	struct io io;
	int rc = file_get(r->tree, r->node.model, r->node.x, &f);
	if (rc < 0)
		return err_set(r->err, ESTALE, "the file is no longer in the lake");
	rc = lake_open_file(tree_lake(r->tree), r->model->root, f.path, &io, r->err);
	file_release(&f);
	if (rc < 0)
		return rc;
	*out = tree_file_of_fd(io.fd, io.size);
	return *out ? 0 : err_nomem(r->err);
}
