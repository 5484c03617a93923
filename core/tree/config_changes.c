/* What two configs say differently, key by key. */
#include "core/tree/config_changes.h"

#include "core/base/json_text.h"
#include "core/base/mem.h"
#include "core/job/store.h"

#include <errno.h>
#include <string.h>

enum { CONFIG_MAX = 4 << 20, SHOWN = 40, VALUE_SHOWN = 60 };

struct config {
	struct arena arena;
	struct value v;		/* VALUE_NULL: none, or not to be read */
};

struct changes {
	struct buf *out;
	const char *file;
	size_t n;
	struct err *err;
	int result;
};

static int read_config(struct render *r, const struct scan_model *m, const char *file, struct config *c)
{
	struct err e = ERR_INIT;
	cleanup_io struct io io = IO_INIT;
	cleanup_free char *text = NULL;
	size_t len;
	for (size_t i = 0; i < m->n_files; i++) {
		if (strcmp(m->files[i].name, file))
			continue;
		int rc = lake_open_file(tree_lake(r->tree), m->root, m->files[i].path, &io, &e);
		if (!rc)
			rc = io_slurp(&io, CONFIG_MAX, &text, &len, &e);
		if (!rc && json_parse_loose(&c->arena, text, len, NULL, &c->v, &e) < 0)
			c->v = (struct value){0};
		return rc == -ENOMEM || e.code == ENOMEM ? err_nomem(r->err) : 0;
	}
	return 0;
}

/* A value on one line, cut when it is long. */
static void short_value(struct changes *c, const struct value *v)
{
	cleanup_buf struct buf text = {0}, line = {0};
	if (!v) {
		buf_str(c->out, "(none)");
		return;
	}
	if (json_text(&text, v, c->err) < 0) {
		c->result = -ENOMEM;
		return;
	}
	for (size_t i = 0; i + 1 < text.len; i++) {	/* without the last newline */
		if (text.data[i] != '\n' && !(text.data[i] == ' ' && line.len && line.data[line.len - 1] == ' '))
			buf_char(&line, text.data[i]);
		else if (line.len && line.data[line.len - 1] == ',')
			buf_char(&line, ' ');
	}
	size_t n = MIN(line.len, (size_t)VALUE_SHOWN);
	while (n && n < line.len && ((unsigned char)line.data[n] & 0xc0) == 0x80)
		n--;
	buf_text(c->out, line.data ? line.data : "", n);
	if (n < line.len)
		buf_str(c->out, "...");
	c->out->failed |= line.failed;
}

static bool equal(struct changes *c, const struct value *x, const struct value *y)
{
	cleanup_buf struct buf a = {0}, b = {0};
	if (json_text(&a, x, c->err) < 0 || json_text(&b, y, c->err) < 0) {
		c->result = -ENOMEM;
		return true;
	}
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static void report(struct changes *c, const char *key, const struct value *old, const struct value *new)
{
	if (c->n++ >= SHOWN)
		return;
	buf_str(c->out, "  ");
	buf_text(c->out, c->file, strlen(c->file));
	buf_str(c->out, ": ");
	buf_text(c->out, key, strlen(key));
	buf_str(c->out, ": ");
	short_value(c, old);
	buf_str(c->out, " -> ");
	short_value(c, new);
	buf_char(c->out, '\n');
}

static void walk(struct changes *c, const char *prefix, const struct value *old, const struct value *new);

static void member(struct changes *c, const char *prefix, const char *key, const struct value *old,
		   const struct value *new)
{
	cleanup_buf struct buf path = {0};
	buf_printf(&path, "%s%s%s", prefix, *prefix ? "." : "", key);
	if (buf_failed(&path))
		c->result = -ENOMEM;
	else if (old && new && old->kind == VALUE_OBJECT && new->kind == VALUE_OBJECT)
		walk(c, path.data, old, new);
	else if (!old || !new || !equal(c, old, new))
		report(c, path.data, old, new);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* As deep as the parser lets values nest. */
static void walk(struct changes *c, const char *prefix, const struct value *old, const struct value *new)
{
	size_t n = 0;
	cleanup_free const char **keys = mem_array(old->obj.n + new->obj.n, sizeof *keys);
	if (!keys) {
		c->result = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < old->obj.n; i++)
		keys[n++] = old->obj.items[i].key;
	for (size_t i = 0; i < new->obj.n; i++)
		keys[n++] = new->obj.items[i].key;
	qsort(keys, n, sizeof *keys, by_key);
	for (size_t i = 0; i < n && !c->result; i++)
		if (!i || strcmp(keys[i - 1], keys[i]))
			member(c, prefix, keys[i], value_get(old, keys[i]), value_get(new, keys[i]));
}

static int compare_file(struct render *r, struct changes *c, const struct scan_model *other,
			const struct scan_model *this)
{
	struct config old = {0}, new = {0};
	int rc = read_config(r, other, c->file, &old);
	if (!rc)
		rc = read_config(r, this, c->file, &new);
	if (!rc && old.v.kind == VALUE_OBJECT && new.v.kind == VALUE_OBJECT)
		walk(c, "", &old.v, &new.v);
	arena_release(&old.arena);
	arena_release(&new.arena);
	return rc < 0 ? rc : c->result < 0 ? err_nomem(r->err) : 0;
}

static bool has_file(const struct scan_model *m, const char *file)
{
	for (size_t i = 0; i < m->n_files; i++)
		if (!strcmp(m->files[i].name, file))
			return true;
	return false;
}

static int compare_files(struct render *r, const struct scan_model *other, const struct scan_model *this)
{
	struct changes c = {.out = r->out, .err = r->err};
	size_t both = 0;
	int rc = 0;
	for (size_t i = 0; i < this->n_files && !rc; i++) {
		if (this->files[i].kind != SCAN_CONFIG || !has_file(other, this->files[i].name))
			continue;
		if (!both++)
			buf_str(r->out, "\nConfig (config.diff has the whole)\n\n");
		c.file = this->files[i].name;
		rc = compare_file(r, &c, other, this);
	}
	if (both && !c.n)
		buf_str(r->out, "  the same\n");
	if (c.n > SHOWN)
		buf_printf(r->out, "  and %zu more\n", c.n - SHOWN);
	return rc;
}

int config_changes(struct render *r)
{
	struct arena a = {0}, b = {0};
	struct scan_model this, other;
	struct catalog *c = tree_catalog(r->tree);
	int rc = store_get_files(c, r->other->id, &a, &other, r->err);
	if (!rc)
		rc = store_get_files(c, r->model->id, &b, &this, r->err);
	if (!rc)
		rc = compare_files(r, &other, &this);
	arena_release(&a);
	arena_release(&b);
	return rc;
}
