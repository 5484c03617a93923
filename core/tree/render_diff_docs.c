/*
 * diff/: documents of two models, file by file in name order. JSON is compared by what it says: keys sorted, one a
 * line; everything else line by line. Documents that are the same in this sense are not mentioned.
 */
#include "core/analysis/text_diff.h"
#include "core/base/json_text.h"
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/diffs.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <string.h>

enum { DOCUMENT_MAX = 64 << 20 };

struct side {
	struct arena arena;
	struct scan_model m;
	const char *id;
};

/* A document as it is compared. */
struct document {
	char *text;
	size_t len;
	bool binary;
};

static bool is_json(const char *name)
{
	size_t n = strlen(name);
	return n > 5 && !strcmp(name + n - 5, ".json");
}

static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n)
		if (!s[i] || !(n = utf8_len(s + i, len - i)))
			return false;
	return true;
}

/* What is no JSON after all stays as it is. */
static int normalise(struct document *d, struct err *e)
{
	struct arena a = {.limit = 16 * (size_t)DOCUMENT_MAX};
	struct value v;
	struct err local = ERR_INIT;
	struct buf out = {0};
	int r = json_parse_loose(&a, d->text, d->len, NULL, &v, &local);
	if (!r)
		r = json_text(&out, &v, &local);
	arena_release(&a);
	if (r < 0) {
		buf_release(&out);
		return r == -ENOMEM ? err_nomem(e) : 0;
	}
	free(d->text);
	d->len = out.len;
	d->text = buf_take(&out);
	return 0;
}

static int read_document(struct render *r, const struct side *s, const struct scan_file *f, struct document *d)
{
	struct err *e = r->err;
	cleanup_io struct io io = IO_INIT;
	int rc = lake_open_file(tree_lake(r->tree), s->m.root, f->path, &io, e);
	if (!rc)
		rc = io_slurp(&io, DOCUMENT_MAX, &d->text, &d->len, e);
	if (rc < 0)
		return err_prefix(e, "%.150s: %.100s: ", s->id, f->name);
	d->binary = !is_text(d->text, d->len);
	return !d->binary && is_json(f->name) ? normalise(d, e) : 0;
}

static bool same_bytes(const struct document *x, const struct document *y)
{
	return x->len == y->len && !memcmp(x->text, y->text, x->len);
}

/* Either file may be NULL: the other model alone has it. */
static int compare(struct render *r, const struct side *other, const struct scan_file *x, const struct side *this,
		   const struct scan_file *y)
{
	cleanup_buf struct buf old = {0}, new = {0};
	struct document dx = {0}, dy = {0};
	int rc = x ? read_document(r, other, x, &dx) : 0;
	if (!rc && y)
		rc = read_document(r, this, y, &dy);
	buf_printf(&old, "%s/%s", other->id, (x ? x : y)->name);
	buf_printf(&new, "%s/%s", this->id, (x ? x : y)->name);
	if (!rc && (buf_failed(&old) || buf_failed(&new)))
		rc = err_nomem(r->err);
	if (!rc && (dx.binary || dy.binary)) {
		if (!x || !y || !same_bytes(&dx, &dy)) {
			buf_str(r->out, "Binary files ");
			buf_text(r->out, x ? old.data : "/dev/null", strlen(x ? old.data : "/dev/null"));
			buf_str(r->out, " and ");
			buf_text(r->out, y ? new.data : "/dev/null", strlen(y ? new.data : "/dev/null"));
			buf_str(r->out, " differ\n");
		}
	} else if (!rc) {
		rc = text_diff(r->out, old.data, (struct text){dx.text, dx.len}, new.data,
			       (struct text){dy.text, dy.len}, r->cancel, r->err);
	}
	free(dx.text);
	free(dy.text);
	return rc;
}

static const struct scan_file *next_of(const struct scan_model *m, size_t *i, enum scan_kind kind)
{
	while (*i < m->n_files && (m->files[*i].kind != kind || m->files[*i].broken))
		++*i;
	return *i < m->n_files ? &m->files[*i] : NULL;
}

/* Files are sorted by name bytewise. */
static int compare_all(struct render *r, const struct side *other, const struct side *this, enum scan_kind kind)
{
	size_t i = 0, j = 0;
	int rc = 0;
	while (!rc) {
		const struct scan_file *x = next_of(&other->m, &i, kind), *y = next_of(&this->m, &j, kind);
		if (!x && !y)
			break;
		int c = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);
		rc = compare(r, other, c <= 0 ? x : NULL, this, c >= 0 ? y : NULL);
		i += c <= 0;
		j += c >= 0;
	}
	return rc;
}

int diff_documents(struct render *r, enum scan_kind kind)
{
	struct side other = {.id = view_name(r->view, r->other)}, this = {.id = view_name(r->view, r->model)};
	struct catalog *c = tree_catalog(r->tree);
	int rc = store_get_files(c, r->other->id, &other.arena, &other.m, r->err);
	if (!rc)
		rc = store_get_files(c, r->model->id, &this.arena, &this.m, r->err);
	if (!rc)
		rc = compare_all(r, &other, &this, kind);
	arena_release(&other.arena);
	arena_release(&this.arena);
	return rc;
}

int render_diff_config(struct render *r) { return diff_documents(r, SCAN_CONFIG); }
int render_diff_card(struct render *r) { return diff_documents(r, SCAN_CARD); }
int render_diff_tokenizer(struct render *r) { return diff_documents(r, SCAN_TOKENIZER); }
