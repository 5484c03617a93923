/* metadata/: one fact a file, and metadata.json: all of them. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A fact's number is its key's hash: keys are few, and the number must not depend on what else is known. */
static uint32_t key_x(const char *key)
{
	return (uint32_t)(hash64(key, strlen(key), 0) & NODE_MASK);
}

struct values {
	struct buf *out;	/* the values joined by commas, as everywhere */
	uint32_t x;
	size_t n;
};

static int add_value(void *arg, const struct catalog_row *r)
{
	struct values *f = arg;
	const char *key = catalog_text(r, 0, NULL);
	size_t len;
	if (key_x(key) != f->x)
		return 0;
	const char *s = catalog_text(r, 1, &len);
	if (f->n++)
		buf_char(f->out, ',');
	buf_text(f->out, s, len);
	return 0;
}

static int fact(struct tree *t, struct node n, struct buf *out)
{
	struct values f = {.out = out, .x = n.x};
	int r = catalog_each(tree_catalog(t), Q_FACTS, NULL, add_value, &f, "i", (int64_t)n.model);
	if (r < 0)
		return r;
	if (!f.n)
		return -ENOENT;
	buf_char(out, '\n');
	return out->failed ? -ENOMEM : 0;
}

int64_t size_fact(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	struct buf b = {0};
	int r = fact(t, n, &b);
	int64_t size = (int64_t)b.len;
	buf_release(&b);
	return r < 0 ? r : size;
}

int render_fact(struct render *r)
{
	int rc = fact(r->tree, r->node, r->out);
	return rc < 0 ? err_set(r->err, -rc, "this fact is not known") : 0;
}

struct lister {
	const struct view_model *m;
	uint64_t cookie;
	tree_fill fill;
	void *arg;
	char key[64];		/* the one at hand */
	struct buf value;	/* what its file will hold, for its size */
};

static int emit(struct lister *l)
{
	if (!l->key[0])
		return 0;
	uint64_t at = COOKIE_DYNAMIC | key_x(l->key);
	if (l->cookie) {	/* skip up to and including the entry the cookie names */
		if (at == l->cookie)
			l->cookie = 0;
		return 0;
	}
	/* the size is at hand: no query a fact */
	struct tree_attr a = {
		.ino = node_ino((struct node){.kind = KIND_METADATA_KEY, .x = key_x(l->key), .model = l->m->id}),
		.mode = S_IFREG | (l->m->mode & 0444), .nlink = 1, .uid = l->m->uid, .gid = l->m->gid,
		.mtime_ns = l->m->mtime_ns, .size = l->value.len + 1, .exact = true, .steady = true,
	};
	return l->fill(l->arg, l->key, &a, at);
}

static int next_fact(void *arg, const struct catalog_row *r)
{
	struct lister *l = arg;
	const char *key = catalog_text(r, 0, NULL);
	int rc = 0;
	size_t len;
	const char *s = catalog_text(r, 1, &len);
	if (strcmp(key, l->key)) {
		rc = emit(l);
		snprintf(l->key, sizeof l->key, "%s", key);
		buf_clear(&l->value);
	} else {
		buf_char(&l->value, ',');
	}
	buf_text(&l->value, s, len);
	return rc;
}

int list_metadata(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct lister l = {.m = view_by_id(v, dir.model),
			   .cookie = cookie >= COOKIE_DYNAMIC ? cookie : 0,
			   .fill = fill,
			   .arg = arg};
	int r = list_static(t, v, dir, cookie, fill, arg);	/* family and root */
	if (!r)
		r = catalog_each(tree_catalog(t), Q_FACTS_BY_KEY, NULL, next_fact, &l, "i", (int64_t)dir.model);
	if (!r)
		r = l.value.failed ? -ENOMEM : emit(&l);
	buf_release(&l.value);
	return r;
}

int lookup_metadata(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	int r = lookup_static(t, v, dir, name, a);
	return r != -ENOENT
		       ? r
		       : node_attr(t, v, (struct node){.kind = KIND_METADATA_KEY, .x = key_x(name), .model = dir.model},
				   a);
}

/* --- metadata.json --- */

struct json {
	struct buf *out;
	char key[64];
	struct buf values;
	size_t n, keys;
};

static bool is_number(const char *key)
{
	static const char *const numbers[] = {"parameters", "bytes", "tensors", "layers", "hidden_size", "vocab_size",
					      "context_length", "adapter_rank"};
	for (size_t i = 0; i < COUNT(numbers); i++)
		if (!strcmp(key, numbers[i]))
			return true;
	return false;
}

static bool is_list(const char *key)
{
	static const char *const lists[] = {"formats", "language", "tags", "datasets", "base_model"};
	for (size_t i = 0; i < COUNT(lists); i++)
		if (!strcmp(key, lists[i]))
			return true;
	return false;
}

static void flush(struct json *j)
{
	if (!j->n)
		return;
	bool list = j->n > 1 || is_list(j->key);
	buf_str(j->out, j->keys++ ? ",\n  " : "{\n  ");
	buf_json(j->out, j->key, strlen(j->key));
	buf_printf(j->out, ": %s", list ? "[" : "");
	buf_add(j->out, j->values.data, j->values.len);
	if (list)
		buf_char(j->out, ']');
	buf_clear(&j->values);
	j->n = 0;
}

static int json_fact(void *arg, const struct catalog_row *r)
{
	struct json *j = arg;
	const char *key = catalog_text(r, 0, NULL);
	size_t len;
	const char *s = catalog_text(r, 1, &len);
	if (strcmp(key, j->key)) {
		flush(j);
		snprintf(j->key, sizeof j->key, "%s", key);
	}
	if (j->n++)
		buf_str(&j->values, ", ");
	if (is_number(key) && len && strspn(s, "0123456789") == len)
		buf_add(&j->values, s, len);
	else
		buf_json(&j->values, s, len);
	return 0;
}

int render_metadata(struct render *r)
{
	struct json j = {.out = r->out};
	int rc = catalog_each(tree_catalog(r->tree), Q_FACTS_BY_KEY, r->err, json_fact, &j, "i", (int64_t)r->model->id);
	flush(&j);
	for (int root = 0; root < 2; root++) {
		snprintf(j.key, sizeof j.key, "%s", root ? "root" : "family");
		cleanup_buf struct buf s = {0};
		if (!(root ? has_root : has_family)(r->tree, r->model) ||
		    family_fact(r->tree, r->view, r->model->id, root, &s) < 0)
			continue;
		buf_json(&j.values, s.data, s.len);
		j.n = 1;
		flush(&j);
	}
	buf_str(r->out, j.keys ? "\n}\n" : "{}\n");
	r->out->failed |= j.values.failed;
	buf_release(&j.values);
	return rc;
}
