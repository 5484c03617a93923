/* The tree's beginning and end, waiting for it from the command line, and telling what a change made stale. */
#include "core/tree/tree_internal.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/job/facets.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bits of view_model.computed: one for each file of a model that can be kept. */
static void number_slots(struct tree *t)
{
	unsigned next = 1;
	for (unsigned k = KIND_ROOT + 1; k < KIND_COUNT; k++) {
		const uint16_t f = rows[k].flags;
		if (!(f & ROW_MODEL) || (f & (ROW_DIR | ROW_LINK | ROW_PAIR | ROW_STREAM | ROW_EXACT_SIZE | ROW_LIVE)))
			continue;
		for (unsigned json = 0; json <= !!(f & ROW_TABLE) && next <= 64; json++)
			t->slot[k | json << 7] = (uint8_t)next++;
	}
}

/* What was kept by another table of rows, or by another version, is not what these rows would say. */
static int check_version(struct tree *t, struct err *e)
{
	uint64_t h = hash64(TARN_VERSION, strlen(TARN_VERSION), 1);
	struct catalog *c = tree_catalog(t);
	for (unsigned k = 0; k < KIND_COUNT; k++)
		h = hash64(rows[k].pattern, strlen(rows[k].pattern), h ^ rows[k].flags);
	if (catalog_number(c, Q_META_GET, 0, "s", "tree") == (int64_t)(h >> 1))
		return 0;
	int r = catalog_begin(c, e);
	if (r < 0)
		return r;
	r = catalog_do(c, Q_RENDERED_CLEAR, e, "");
	if (!r)
		r = catalog_do(c, Q_COMPUTED_CLEAR, e, "");
	if (!r)
		r = catalog_do(c, Q_META_SET, e, "si", "tree", (int64_t)(h >> 1));
	if (r < 0) {
		catalog_rollback(c);
		return r;
	}
	struct view *v = index_view(t->index);
	for (uint32_t i = 0; i < v->n; i++)
		atomic_store(&v->models[i].computed, 0);
	view_unref(v);
	return catalog_commit(c, e);
}

static void changed(void *arg, struct view *old, struct view *now);

int tree_new(struct tree **out, struct index *ix, const struct tree_options *o, struct err *e)
{
	struct tree *t = mem_alloc(sizeof *t);
	if (!t)
		return err_nomem(e);
	*t = (struct tree){.index = ix, .o = *o, .uid = geteuid(), .gid = getegid()};
	pthread_mutex_init(&t->recent_lock, NULL);
	number_slots(t);
	int r = check_version(t, e);
	unsigned workers = o->workers ? o->workers : pool_cores();
	if (r == 0 && !(t->flight = flight_new(workers, o->queue ? o->queue : 256)))
		r = err_nomem(e);
	if (r < 0) {
		free(t);
		return r;
	}
	index_on_change(ix, changed, t);
	*out = t;
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	flight_free(t->flight);
	pthread_mutex_destroy(&t->recent_lock);
	free(t);
}

/* --- what a change makes stale --- */

static void stale(struct tree *t, struct node n, const char *name)
{
	if (t->stale)
		t->stale(t->stale_arg, node_ino(n), name);
}

/* The name of a model's directory, in the directory above it, and the listing of every directory on the way. */
static void stale_path(struct tree *t, struct view *v, const char *id)
{
	struct tree_attr a;
	uint64_t dir = node_ino((struct node){.kind = KIND_MODELS});
	cleanup_free char *copy = mem_strdup(id);
	if (!copy || !t->stale)
		return;
	for (char *part = copy, *end; part; part = end) {
		end = strchr(part, '/');
		if (end)
			*end++ = 0;
		t->stale(t->stale_arg, dir, part);
		t->stale(t->stale_arg, dir, NULL);
		struct node n = node_of(dir);
		if (!end || (rows[n.kind].lookup(t, v, n, part, &a)) < 0)
			return;
		dir = a.ino;
	}
}

static void stale_flat(struct tree *t, const struct view *v, const struct view_model *m)
{
	static const uint8_t dirs[] = {KIND_ALL, KIND_GRAPH, KIND_EXACT, KIND_DIFF, KIND_EXPORT};
	cleanup_buf struct buf name = {0};
	tree_flat_name(&name, v, m);
	for (size_t i = 0; i < COUNT(dirs) && !name.failed; i++)
		stale(t, (struct node){.kind = dirs[i]}, name.data);
}

/* More is known of a model: its listings have grown. */
static void stale_inside(struct tree *t, const struct view_model *m)
{
	static const uint8_t dirs[] = {KIND_MODEL, KIND_METADATA, KIND_EVALUATION, KIND_LINEAGE, KIND_NEIGHBOURS};
	for (size_t i = 0; i < COUNT(dirs); i++)
		stale(t, (struct node){.kind = dirs[i], .model = m->id}, NULL);
}

static int facet_row(void *arg, const struct catalog_row *r)
{
	stale(arg, (struct node){.kind = KIND_BY_VALUE, .x = (uint32_t)catalog_int(r, 0)}, NULL);
	return 0;
}

static void stale_facets(struct tree *t)
{
	for (uint32_t k = 0; k < FACET_KEYS; k++) {
		stale(t, (struct node){.kind = KIND_BY_KEY, .x = k}, NULL);
		catalog_each(tree_catalog(t), Q_FACET_VALUES, NULL, facet_row, t, "ss", facet_keys[k], "");
	}
}

static void changed(void *arg, struct view *old, struct view *now)
{
	struct tree *t = arg;
	static const uint8_t tops[] = {KIND_ROOT,  KIND_MODELS, KIND_ALL,    KIND_BY,  KIND_GRAPH,
				       KIND_EXACT, KIND_DIFF,   KIND_EXPORT, KIND_LAKE};
	if (!t->stale)
		return;
	for (uint32_t i = 0; i < now->n; i++) {
		const struct view_model *m = &now->models[i], *was = view_by_id(old, m->id);
		if (!was || was->mode != m->mode) {
			stale_path(t, now, view_name(now, m));
			stale_flat(t, now, m);
		}
		if (was && old != now && (was->flags != m->flags || was->state != m->state || was->mode != m->mode ||
					  m->state < VIEW_SIGNED))
			stale_inside(t, m);
	}
	for (uint32_t i = 0; i < old->n; i++)
		if (!view_by_id(now, old->models[i].id) && !view_by_name(now, view_name(old, &old->models[i]))) {
			stale_path(t, now, view_name(old, &old->models[i]));
			stale_flat(t, old, &old->models[i]);
		}
	for (size_t i = 0; i < COUNT(tops); i++)
		stale(t, (struct node){.kind = tops[i]}, NULL);
	stale(t, (struct node){.kind = KIND_ROOT}, row_name(&rows[KIND_README]));
	stale_facets(t);
}

/* --- waiting --- */

struct sync {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int result;
	struct tree_file *file;
};

static void sync_done(void *arg, int result, struct tree_file *f)
{
	struct sync *s = arg;
	pthread_mutex_lock(&s->lock);
	s->done = true;
	s->result = result;
	s->file = f;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* What happens while somebody waits: may be NULL. */
struct meanwhile {
	const struct cancel *cancel;
	void (*tick)(void *arg, const struct tree_progress *p);	/* about 10 times a second; may be NULL */
	void *arg;
	struct tree_progress *progress;
};

/* Called with the lock. The wait is alive as long as sync_done has not had it. False: cancelled, and left. */
static bool await(struct tree *t, struct sync *s, struct tree_wait *w, const struct meanwhile *m)
{
	bool asked = false;
	while (!s->done) {
		struct timespec at;
		clock_gettime(CLOCK_REALTIME, &at);
		at.tv_nsec += 100000000;
		if (at.tv_nsec >= 1000000000)
			at.tv_sec++, at.tv_nsec -= 1000000000;
		if (!m || asked)
			pthread_cond_wait(&s->cond, &s->lock);
		else if (pthread_cond_timedwait(&s->cond, &s->lock, &at) && m->tick)
			m->tick(m->arg, m->progress);
		if (m && !asked && !s->done && cancel_asked(m->cancel)) {
			asked = true;
			if (tree_cancel(t, w))
				return false;
		}
	}
	return true;
}

static int compute(struct tree *t, uint64_t ino, const char *name, struct tree_file **f, const struct meanwhile *m,
		   struct err *e)
{
	struct sync s = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	struct tree_wait *w;
	int r = tree_start(t, ino, name, &w, sync_done, &s);
	if (r < 0)
		return err_set(e, -r, "%s", strerror(-r));
	pthread_mutex_lock(&s.lock);
	bool done = await(t, &s, w, m);
	pthread_mutex_unlock(&s.lock);
	if (!done)
		return err_set(e, EINTR, "interrupted");
	if (s.result < 0) {
		struct index_status st;
		index_status(t->index, &st);
		return err_set(e, -s.result, "%s", st.last_error[0] ? st.last_error : strerror(-s.result));
	}
	if (f)
		*f = s.file;
	else
		tree_close(s.file);
	return 0;
}

int tree_wait_path(struct tree *t, const char *path, struct tree_attr *a, struct err *e)
{
	int r = tree_getattr(t, TREE_ROOT, a);
	cleanup_free char *copy = mem_strdup(path);
	if (!copy)
		return err_nomem(e);
	char *save = NULL;
	for (char *part = strtok_r(copy, "/", &save); part && !r; part = strtok_r(NULL, "/", &save)) {
		uint64_t dir = a->ino;
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, ".."))
			r = tree_getattr(t, tree_parent(t, dir), a);
		else
			r = tree_lookup(t, dir, part, a);
		for (int tries = 0; r == -EAGAIN && tries < 3; tries++) {
			r = compute(t, dir, part, NULL, NULL, e);
			if (r == 0)
				r = tree_lookup(t, dir, part, a);
		}
		if (r < 0)
			return err_set(e, -r, "%.*s: %s", (int)(part - copy + (long)strlen(part)), path, strerror(-r));
	}
	return r < 0 ? err_set(e, -r, "%s: %s", path, strerror(-r)) : 0;
}

int tree_wait_list(struct tree *t, uint64_t dir, tree_fill fill, void *arg, struct err *e)
{
	int r = tree_list(t, dir, 0, fill, arg);
	for (int tries = 0; r == -EAGAIN && tries < 3; tries++) {
		r = compute(t, dir, "", NULL, NULL, e);
		if (r == 0)
			r = tree_list(t, dir, 0, fill, arg);
	}
	return r < 0 && e && !e->code ? err_set(e, -r, "%s", strerror(-r)) : r;
}

int tree_wait_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e)
{
	int r = tree_open(t, ino, f, e);
	if (r == -EAGAIN)
		r = compute(t, ino, NULL, f, NULL, e);
	return r < 0 && e && !e->code ? err_set(e, -r, "%s", strerror(-r)) : r;
}

/* --- everything exact, ahead of time --- */

static int exact_one(struct tree *t, uint64_t ino, const struct meanwhile *m)
{
	struct tree_file *f = NULL;
	int r = tree_open(t, ino, &f, NULL);
	if (r == -EAGAIN)
		r = compute(t, ino, NULL, &f, m, NULL);
	tree_close(f);
	return r;
}

int tree_exact_all(struct tree *t, const struct cancel *c, void (*progress)(void *arg, const struct tree_progress *p),
		   void *arg, struct err *e)
{
	static const uint8_t kinds[] = {KIND_EXACT_STATISTICS, KIND_EXACT_FILES};
	struct view *v = index_view(t->index);
	struct tree_progress p = {0};
	const struct meanwhile meanwhile = {c, progress, arg, &p};
	for (uint32_t i = 0; i < v->n; i++)
		p.total += (v->models[i].flags & VIEW_WEIGHTS) != 0;
	for (uint32_t i = 0; i < v->n && !cancel_asked(c); i++) {
		const struct view_model *m = &v->models[i];
		bool failed = false;
		if (!(m->flags & VIEW_WEIGHTS))
			continue;
		p.model = view_name(v, m);
		if (progress)
			progress(arg, &p);
		for (size_t k = 0; k < COUNT(kinds) && !cancel_asked(c); k++)
			failed |=
				exact_one(t, node_ino((struct node){.kind = kinds[k], .model = m->id}), &meanwhile) < 0;
		if (cancel_asked(c))
			break;
		p.done++;
		p.failed += failed;
	}
	p.model = NULL;
	if (progress)
		progress(arg, &p);
	view_unref(v);
	return cancel_asked(c) ? (err_set(e, EINTR, "interrupted"), -EINTR) : 0;
}
