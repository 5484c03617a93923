/* Contents: opening, computing once however many ask, keeping what was computed. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/tree/tree_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree_file {
	atomic_int refs;
	char *data;		/* a content, or NULL */
	uint64_t size;
	int fd;			/* a lake file, or -1 */
	const struct stream *stream;
	void *priv;
	bool keep;
};

/* Contents larger than this are not kept in the catalog: only their size is. */
enum { KEEP_MAX = 64 << 20 };

static struct tree_file *file_new(void)
{
	struct tree_file *f = mem_alloc(sizeof *f);
	if (f) {
		atomic_init(&f->refs, 1);
		f->fd = -1;
	}
	return f;
}

struct tree_file *tree_file_content(struct buf *b, bool keep)
{
	size_t len = b->len;
	char *data = buf_take(b);
	struct tree_file *f = data ? file_new() : NULL;
	if (!f) {
		free(data);
		return NULL;
	}
	f->data = data;
	f->size = len;
	f->keep = keep;
	return f;
}

struct tree_file *tree_file_stream(const struct stream *s, void *priv, uint64_t size)
{
	struct tree_file *f = file_new();
	if (!f) {
		s->close(priv);
		return NULL;
	}
	f->stream = s;
	f->priv = priv;
	f->size = size;
	f->keep = true;
	return f;
}

struct tree_file *tree_file_of_fd(int fd, uint64_t size)
{
	struct tree_file *f = file_new();
	if (!f) {
		close(fd);
		return NULL;
	}
	f->fd = fd;
	f->size = size;
	f->keep = true;
	return f;
}

struct tree_file *tree_file_ref(struct tree_file *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void tree_close(struct tree_file *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	if (f->stream)
		f->stream->close(f->priv);
	if (f->fd >= 0)
		close(f->fd);
	free(f->data);
	free(f);
}

uint64_t tree_file_size(const struct tree_file *f) { return f->size; }
const void *tree_file_data(const struct tree_file *f) { return f->data; }
int tree_file_fd(const struct tree_file *f) { return f->fd; }
bool tree_file_keep(const struct tree_file *f) { return f->keep; }

ssize_t tree_read(struct tree_file *f, void *out, size_t n, uint64_t off)
{
	if (f->fd >= 0) {
		ssize_t got = pread(f->fd, out, n, (off_t)off);
		return got < 0 ? -errno : got;
	}
	if (off >= f->size)
		return 0;
	n = (size_t)MIN((uint64_t)n, f->size - off);
	if (f->data) {
		memcpy(out, f->data + off, n);
		return (ssize_t)n;
	}
	struct err e = ERR_INIT;
	int r = f->stream->read(f->priv, out, n, off, &e);
	return r < 0 ? r : (ssize_t)n;
}

/* --- what is kept --- */

/* The node as the catalog keys it. Generations are told from other models by their height, so that old ones go by range. */
static int64_t stored_x(const struct view *v, struct node n)
{
	uint64_t x = rows[n.kind].flags & ROW_KIN ? v->generation & NODE_MASK : n.x;
	return (int64_t)(rows[n.kind].flags & (ROW_LAKE | ROW_KIN) ? 1ull << 40 | x : x);
}

static int64_t stored_model(struct node n)
{
	uint32_t flags = rows[n.kind].flags;
	return flags & ROW_KIN ? (int64_t)n.x << NODE_BITS | n.model : flags & ROW_MODEL ? n.model : 0;
}

static uint8_t stored_kind(struct node n)
{
	return (uint8_t)(n.kind | (n.json ? 0x80 : 0));
}

/* What others may see of the lake as a whole is another content than what its owner sees. */
static int64_t catalog_kind(const struct tree *t, struct node n)
{
	bool less = rows[n.kind].flags & ROW_LAKE && tree_hides(t);
	return stored_kind(n) | (less ? 0x100 : 0);
}

static int size_row(void *arg, const struct catalog_row *r)
{
	*(int64_t *)arg = catalog_int(r, 0);
	return 1;
}

static struct recent_size *recent_of(struct tree *t, uint64_t ino)
{
	return &t->recent[hash_mix(ino) % COUNT(t->recent)];
}

static void remember(struct tree *t, uint64_t ino, uint64_t size)
{
	pthread_mutex_lock(&t->recent_lock);
	*recent_of(t, ino) = (struct recent_size){ino, size};
	pthread_mutex_unlock(&t->recent_lock);
	atomic_store_explicit(&t->any_recent, true, memory_order_relaxed);
}

static int64_t recall(struct tree *t, uint64_t ino)
{
	if (!atomic_load_explicit(&t->any_recent, memory_order_relaxed))
		return -1;
	pthread_mutex_lock(&t->recent_lock);
	const struct recent_size *s = recent_of(t, ino);
	int64_t size = s->ino == ino ? (int64_t)s->size : -1;
	pthread_mutex_unlock(&t->recent_lock);
	return size;
}

int64_t stored_size(struct tree *t, struct view *v, struct node n)
{
	unsigned slot = t->slot[stored_kind(n)];
	int64_t recent = recall(t, node_ino(n));
	if (recent >= 0)
		return recent;
	if (slot) {
		const struct view_model *m = view_by_id(v, n.model);
		if (!m || !(atomic_load_explicit(&m->computed, memory_order_relaxed) >> (slot - 1) & 1))
			return -1;
	}
	int64_t size = -1;
	catalog_each(tree_catalog(t), Q_RENDERED_SIZE, NULL, size_row, &size, "iii",
		     stored_model(n), catalog_kind(t, n), stored_x(v, n));
	return size;
}

static void store(struct render *r, const struct tree_file *f)
{
	struct tree *t = r->tree;
	const struct row *row = &rows[r->node.kind];
	bool content = (row->flags & ROW_WORK) && f->size <= KEEP_MAX;
	int64_t model = stored_model(r->node), x = stored_x(r->view, r->node);
	unsigned slot = t->slot[stored_kind(r->node)];
	struct catalog *c = tree_catalog(t);
	struct err e = ERR_INIT;
	if (!(row->flags & ROW_KIN))
		remember(t, node_ino(r->node), f->size);
	/* A catalog that cannot be written costs only the keeping; who answers the kernel does not wait for it. */
	if ((r->cancel ? catalog_begin(c, &e) : catalog_try_begin(c, &e)) < 0)
		return;
	int rc = content ? catalog_do(c, Q_RENDERED_PUT, &e, "iiiib", model, catalog_kind(t, r->node), x,
				      (int64_t)f->size, f->data, (size_t)f->size) :
			   catalog_do(c, Q_RENDERED_SIZE_PUT, &e, "iiii", model, catalog_kind(t, r->node), x,
				      (int64_t)f->size);
	if (rc == 0 && slot)
		rc = catalog_do(c, Q_MODEL_COMPUTED, &e, "ii", (int64_t)r->node.model, (int64_t)(1ull << (slot - 1)));
	if (rc < 0)
		catalog_rollback(c);
	else
		rc = catalog_commit(c, &e);
	if (rc == 0 && slot)
		index_note_model(t->index, r->node.model, 0, 0, 1ull << (slot - 1));
}

static int content_row(void *arg, const struct catalog_row *row)
{
	size_t len;
	const void *p = catalog_blob(row, 1, &len);
	struct buf *b = arg;
	if (catalog_null(row, 1))
		return 0;
	buf_add(b, p, len);
	return 1;
}

/* --- rendering --- */

static bool headers_known(struct tree *t, const struct view *v)
{
	if (atomic_load_explicit(&t->inspected, memory_order_relaxed) == v->generation + 1)
		return true;
	if (!index_scanned(t->index))
		return false;
	for (uint32_t i = 0; i < v->n; i++)
		if (v->models[i].state < VIEW_INSPECTED)
			return false;
	atomic_store_explicit(&t->inspected, v->generation + 1, memory_order_relaxed);
	return true;
}

bool row_is_cheap(struct tree *t, struct view *v, struct node n)
{
	const struct row *row = &rows[n.kind];
	if (row->flags & (ROW_WORK | ROW_SIGNATURES))
		return false;
	if ((row->flags & ROW_HEADERS) && !t->o.cached && !headers_known(t, v))
		return false;
	if ((row->flags & ROW_LINEAGE) && !index_lineage_known(t->index, v))
		return false;
	if (row->flags & ROW_MODEL) {
		const struct view_model *m = view_by_id(v, n.model);
		return m && m->state >= VIEW_INSPECTED;
	}
	return true;
}

static enum view_state state_needed(const struct row *row)
{
	return row->flags & ROW_SIGNATURES ? VIEW_SIGNED : VIEW_INSPECTED;
}

static bool has_state(const struct view *v, uint32_t model, enum view_state s)
{
	const struct view_model *m = view_by_id(v, model);
	return m && m->state >= s;
}

bool row_is_known(struct tree *t, struct view *v, struct node n)
{
	const struct row *row = &rows[n.kind];
	if (row->flags & ROW_PASS) {	/* the twin is told from what the table was told from */
		n.json = !n.json;
		return (row->flags & ROW_TABLE) && stored_size(t, v, n) >= 0;
	}
	if ((row->flags & ROW_LINEAGE) && !index_lineage_known(t->index, v))
		return false;
	if ((row->flags & ROW_PAIR) && !has_state(v, n.x, state_needed(row)))
		return false;
	return row->flags & ROW_MODEL ? has_state(v, n.model, state_needed(row)) :
	       row->flags & ROW_LAKE && !(row->flags & ROW_LINEAGE) ? headers_known(t, v) : true;
}

static int render_init(struct render *r, struct tree *t, struct view *v, struct node n, const struct cancel *cancel,
		       struct buf *out, struct err *e)
{
	const struct row *row = &rows[n.kind];
	*r = (struct render){.tree = t, .view = v, .node = n, .json = n.json, .cancel = cancel, .out = out, .err = e};
	if (row->flags & ROW_MODEL)
		r->model = view_by_id(v, n.model);
	if (row->flags & ROW_PAIR)
		r->other = view_by_id(v, n.x);
	if (((row->flags & ROW_MODEL) && !r->model) || ((row->flags & ROW_PAIR) && !r->other))
		return err_set(e, ESTALE, "the model is no longer in the lake");
	return 0;
}

bool model_gone(struct tree *t, const struct view_model *m)
{
	return m && m->identity && !catalog_number(tree_catalog(t), Q_MODEL_EXISTS, 1, "i", (int64_t)m->id);
}

static int render_now(struct render *r, struct tree_file **f)
{
	const struct row *row = &rows[r->node.kind];
	int rc = row->open ? row->open(r, f) : row->render(r);
	/* all its rows go in one transaction: it is there, so all that was read was there */
	if ((rc >= 0 || rc == -ENOENT) && (model_gone(r->tree, r->model) || model_gone(r->tree, r->other))) {
		if (row->open && rc >= 0)
			tree_close(*f);
		return err_set(r->err, ESTALE, "the model is no longer in the lake");
	}
	if (rc < 0 || row->open)
		return rc;
	bool part = row->flags & ROW_HEADERS && !headers_known(r->tree, r->view);	/* more may be known at the next open */
	*f = tree_file_content(r->out, !part && !(row->flags & (ROW_LIVE | ROW_KIN)));
	if (!*f)
		return err_nomem(r->err);
	if (!part && !(row->flags & ROW_LIVE))
		store(r, *f);
	return 0;
}

static int open_kept(struct tree *t, struct view *v, struct node n, struct tree_file **f)
{
	struct buf b = {0};
	if (stored_size(t, v, n) < 0)
		return -ENOENT;
	int r = catalog_each(tree_catalog(t), Q_RENDERED_GET, NULL, content_row, &b, "iii", stored_model(n),
			     catalog_kind(t, n), stored_x(v, n));
	if (r == 1)
		*f = tree_file_content(&b, !(rows[n.kind].flags & ROW_KIN));
	buf_release(&b);
	return r == 1 ? (*f ? 0 : -ENOMEM) : -ENOENT;
}

/* A file that can be opened at all: 0, or -errno. */
static int check_file(struct tree *t, struct view *v, struct node n)
{
	const struct row *row = &rows[n.kind];
	if (n.kind == KIND_NONE)
		return -ESTALE;
	if (row->flags & ROW_DIR)
		return -EISDIR;
	if (row->flags & ROW_LINK)
		return -ELOOP;
	if ((row->flags & ROW_LAKE) && n.x != tree_x(row, v))
		return -ESTALE;
	(void)t;
	return 0;
}

int tree_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e)
{
	struct view *v = index_view(t->index);
	struct node n = node_of(ino);
	const struct row *row = &rows[n.kind];
	struct buf out = {0};
	struct render r;
	int rc = check_file(t, v, n);
	if (rc == 0 && (rc = render_init(&r, t, v, n, NULL, &out, e)) == 0) {
		bool keeps = !(row->flags & (ROW_LIVE | ROW_STREAM | ROW_EXACT_SIZE));
		rc = keeps && (row->flags & ROW_WORK) ? open_kept(t, v, n, f) : -ENOENT;
		if (rc == -ENOENT)
			rc = row_is_cheap(t, v, n) || (row->flags & ROW_LIVE) ? render_now(&r, f) :
			     t->o.cached && !row_is_known(t, v, n) ? -ENODATA : -EAGAIN;
	}
	buf_release(&out);
	view_unref(v);
	return rc;
}

/* --- computing, once --- */

struct task {
	struct tree *tree;
	struct view *view;
	struct node node;
	bool open;		/* a file; else what a directory needs */
};

struct tree_wait {
	void (*done)(void *arg, int result, struct tree_file *f);
	void *arg;
	struct flight_wait *wait;
};

static int need_headers(struct render *r)
{
	int rc = 0;
	for (uint32_t i = 0; i < r->view->n && !rc; i++) {
		rc = need_state(r, &r->view->models[i], VIEW_INSPECTED);
		if (rc < 0 && rc != -ECANCELED && rc != -ENOMEM)	/* a broken model is a row, not a failure */
			rc = 0;
		if (cancel_asked(r->cancel))
			rc = -ECANCELED;
	}
	return rc;
}

static int prerequisites(struct render *r)
{
	const struct row *row = &rows[r->node.kind];
	int rc = 0;
	if ((row->flags & (ROW_LAKE | ROW_HEADERS)) && !r->tree->o.cached)
		rc = index_need_scan(r->tree->index, r->cancel, r->err);
	if (rc == 0 && r->model)
		rc = need_state(r, r->model, state_needed(row));
	if (rc == 0 && r->other)
		rc = need_state(r, r->other, state_needed(row));
	if (rc == 0 && (row->flags & ROW_HEADERS))
		rc = need_headers(r);
	if (rc == 0 && (row->flags & ROW_LINEAGE))
		rc = need_lineage(r);
	return rc;
}

/* What tells of the whole lake tells of it as it is by now: the view that the reader met may have had names only. */
static bool take_newest(struct task *k)
{
	struct view *v = index_view(k->tree->index);
	if (v == k->view || !(rows[k->node.kind].flags & (ROW_LAKE | ROW_HEADERS))) {
		view_unref(v);
		return false;
	}
	view_unref(k->view);
	k->view = v;
	return true;
}

static struct flight_result run_task(void *arg, const struct cancel *cancel)
{
	struct task *k = arg;
	struct tree_file *f = NULL;
	struct buf out = {0};
	struct err e = ERR_INIT;
	struct render r;
	int rc, views = 0;
	do {
		rc = render_init(&r, k->tree, k->view, k->node, cancel, &out, &e);
		if (rc == 0)
			rc = prerequisites(&r);
	} while (rc == 0 && ++views < 4 && take_newest(k));
	if (rc == 0 && !k->open)
		rc = rows[k->node.kind].prepare(&r);
	else if (rc == 0 && open_kept(k->tree, k->view, k->node, &f) < 0)	/* another may have been first */
		rc = render_now(&r, &f);
	if (rc == 0 && k->open)
		atomic_fetch_add(&k->tree->files_computed, 1);
	if (rc < 0 && rc != -ECANCELED) {
		atomic_fetch_add(&k->tree->files_failed, 1);
		index_note_error(k->tree->index, &e);
	}
	buf_release(&out);
	return (struct flight_result){.code = rc, .value = f};
}

static void drop_file(void *value)
{
	tree_close(value);
}

static void task_free(void *arg)
{
	struct task *k = arg;
	view_unref(k->view);
	free(k);
}

static void finished(void *arg, struct flight_result r)
{
	struct tree_wait *w = arg;
	w->done(w->arg, r.code, r.code == 0 && r.value ? tree_file_ref(r.value) : NULL);
	free(w);
}

int tree_start(struct tree *t, uint64_t ino, const char *name, struct tree_wait **out,
	       void (*done)(void *arg, int result, struct tree_file *f), void *arg)
{
	struct node n = node_of(ino);
	struct task *k = mem_alloc(sizeof *k);
	struct tree_wait *w = mem_alloc(sizeof *w);
	if (!k || !w || n.kind == KIND_NONE) {
		free(k);
		free(w);
		return n.kind == KIND_NONE ? -ESTALE : -ENOMEM;
	}
	*k = (struct task){.tree = t, .view = index_view(t->index), .node = n, .open = !name};
	*w = (struct tree_wait){.done = done, .arg = arg};
	*out = w;
	struct flight_work work = {.run = run_task, .drop = drop_file, .free_arg = task_free, .arg = k};
	int r = flight_join(t->flight, (struct flight_key){ino, name != NULL}, &work, finished, w, &w->wait);
	if (r < 0) {
		*out = NULL;
		free(w);
	}
	return r;
}

bool tree_cancel(struct tree *t, struct tree_wait *w)
{
	if (!flight_leave(t->flight, w->wait))
		return false;
	free(w);
	return true;
}

void tree_counts(struct tree *t, struct tree_counts *c)
{
	struct flight_counts f;
	struct view *v = index_view(t->index);
	flight_counts(t->flight, &f);
	*c = (struct tree_counts){.models = v->n, .computed = t->files_computed, .failed = t->files_failed,
				  .joined = f.joined, .cancelled = f.cancelled,
				  .busy = f.busy, .waiting = f.waiting, .queued = f.queued, .running = f.running};
	view_unref(v);
}

int need_state(struct render *r, const struct view_model *m, enum view_state s)
{
	if (m->state >= s)
		return 0;
	int rc = index_need_model(r->tree->index, m->id, s, r->cancel, r->err);
	index_catch_up(r->tree->index, m);	/* another view may have been published since r took its own */
	return rc;
}

int need_lineage(struct render *r)
{
	return index_need_lineage(r->tree->index, r->cancel, r->err);
}
