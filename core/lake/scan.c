/* The walk: directories spread over threads, recursion below a model, and the results of all threads made one. */
#include "core/lake/layout.h"

#include "core/base/hash.h"
#include "core/lake/ids.h"
#include "core/lake/links.h"
#include "core/lake/open.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

enum { CHUNK = 32 << 10, BATCH = 32, DEPTH = 100 };

/* Some subdirectories of one directory, to be walked by whoever is free. */
struct task {
	struct task *next;
	struct place parent;	/* its strings belong to the task */
	size_t n, used;
	char names[];		/* n strings */
};

/* A directory reached through a link out of the lake. An open-addressed table; ino 0 is free. */
struct seen { uint64_t dev, ino; };

struct shared {
	const struct cancel *cancel;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct task *tasks;	/* last in, first out: that keeps them few */
	unsigned busy;
	int result;		/* the first failure */
	struct seen *seen;
	size_t n_seen, seen_cap;	/* a power of two */
};

char *path_join(const char *dir, const char *name)
{
	char *s = mem_alloc(strlen(dir) + strlen(name) + 2);
	if (s)
		stpcpy(stpcpy(stpcpy(s, dir), *dir ? "/" : ""), name);
	return s;
}

static char *carve(struct walker *w, size_t n)
{
	if (n > CHUNK / 8)
		return arena_alloc(&w->arena, n);
	if (n > w->chunk_left) {
		w->chunk = arena_alloc(&w->arena, CHUNK);
		w->chunk_left = w->chunk ? CHUNK : 0;
		if (!w->chunk)
			return NULL;
	}
	char *s = w->chunk;
	w->chunk += n;
	w->chunk_left -= n;
	return s;
}

const char *walk_str(struct walker *w, const char *s, size_t n)
{
	if (!n)
		return "";
	char *d = carve(w, n + 1);
	if (d) {
		memcpy(d, s, n);
		d[n] = 0;
	}
	return d;
}

const char *walk_join(struct walker *w, const char *dir, const char *name)
{
	char *d = carve(w, strlen(dir) + strlen(name) + 2);
	if (d)
		stpcpy(stpcpy(stpcpy(d, dir), *dir && *name ? "/" : ""), name);
	return d;
}

int walk_unread(struct walker *w, uint32_t root, const char *dir, const char *name, uint64_t bytes, const char *reason)
{
	if (mem_grow(&w->unread, &w->unread_cap, w->n_unread + 1) < 0)
		return -ENOMEM;
	const char *path = walk_join(w, dir, name);
	if (!path)
		return -ENOMEM;
	w->unread[w->n_unread++] = (struct scan_unread){.root = root, .path = path, .reason = reason, .bytes = bytes};
	return 0;
}

/* The place of a directory in the table: its own or the free one where it belongs. */
static struct seen *seen_at(struct seen *table, size_t cap, uint64_t dev, uint64_t ino)
{
	size_t i = hash_mix(ino ^ hash_mix(dev)) & (cap - 1);
	while (table[i].ino && (table[i].ino != ino || table[i].dev != dev))
		i = (i + 1) & (cap - 1);
	return &table[i];
}

static int seen_grow(struct shared *s)
{
	size_t cap = s->seen_cap ? s->seen_cap * 2 : 64;
	struct seen *table = mem_array(cap, sizeof *table);
	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < s->seen_cap; i++)
		if (s->seen[i].ino)
			*seen_at(table, cap, s->seen[i].dev, s->seen[i].ino) = s->seen[i];
	free(s->seen);
	s->seen = table;
	s->seen_cap = cap;
	return 0;
}

bool walk_first_visit(struct walker *w, int fd, int *r)
{
	struct shared *s = w->shared;
	struct stat st;
	bool first = true;
	*r = fstat(fd, &st) < 0 ? -errno : 0;
	pthread_mutex_lock(&s->lock);
	if (*r == 0 && s->n_seen * 2 >= s->seen_cap)
		*r = seen_grow(s);
	if (*r == 0) {
		struct seen *at = seen_at(s->seen, s->seen_cap, st.st_dev, st.st_ino);
		first = !at->ino;
		*at = (struct seen){st.st_dev, st.st_ino ? st.st_ino : 1};
		s->n_seen += first;
	}
	pthread_mutex_unlock(&s->lock);
	return first;
}

const struct scan_dir *walk_in(struct walker *w, const struct stat *st, const struct scan_dir *above)
{
	struct scan_dir *d = arena_alloc(&w->arena, sizeof *d);
	if (d)
		*d = (struct scan_dir){.above = above, .uid = st->st_uid, .gid = st->st_gid,
		    .mode = st->st_mode & 07777};
	return d;
}

int walk_in_target(struct walker *w, const char *real, const struct scan_dir **in)
{
	const char *base = w->lake->contain ? lake_base(w->lake, real) : NULL;
	cleanup_free char *path = base ? mem_strdup(real) : NULL;
	if (!base)	/* without containment nobody else sees the tree */
		return 0;
	if (!path)
		return -ENOMEM;
	for (char *s = strchr(path + strlen(base) + (base[1] != 0), '/'); s; s = strchr(s + 1, '/')) {
		struct stat st;
		*s = 0;
		if (lstat(path, &st) < 0)
			return errno == ENOMEM ? -ENOMEM : 0;	/* gone meanwhile, with what was in it */
		*s = '/';
		*in = walk_in(w, &st, *in);
		if (!*in)
			return -ENOMEM;
	}
	return 0;
}

int walk_place(struct walker *w, struct place *p)
{
	if (cancel_asked(w->shared->cancel))
		return -EINTR;
	struct listing *l;
	int r = listing_get(w, p, &l);
	if (r < 0)
		return r;
	p->in = l->in;
	const struct layout *const *x = layouts;
	while (!(*x)->match(w, p, l))
		x++;
	r = (*x)->take(w, p, l);
	listing_put(w, l);
	return r;
}

const char *place_name(const struct walker *w, const struct place *p)
{
	const char *path = *p->path ? p->path : w->lake->roots[p->root].path, *slash = strrchr(path, '/');
	return !slash ? path : slash[1] ? slash + 1 : "lake";
}

static int walk_child(struct walker *w, const struct place *parent, const char *name)
{
	struct place p = *parent;
	cleanup_free char *path = path_join(parent->path, name);
	cleanup_free char *id = parent->id == parent->path ? NULL : path_join(parent->id, name);
	if (!path || (!id && parent->id != parent->path))
		return -ENOMEM;
	p.path = path;
	p.id = id ? id : path;
	p.depth++;
	if (p.owner && p.depth > DEPTH)
		return walk_unread(w, p.root, path, "", 0, "a directory nested too deeply");
	return walk_place(w, &p);
}

static void push(struct shared *s, struct task *t)
{
	pthread_mutex_lock(&s->lock);
	t->next = s->tasks;
	s->tasks = t;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static struct task *task_new(const struct place *p)
{
	size_t path = strlen(p->path) + 1, id = p->id == p->path ? 0 : strlen(p->id) + 1;
	size_t revision = p->revision ? strlen(p->revision) + 1 : 0;
	struct task *t = mem_alloc(sizeof *t + BATCH * 256 + path + id + revision);
	if (!t)
		return NULL;
	t->parent = *p;
	char *strings = t->names + BATCH * 256;
	t->parent.path = memcpy(strings, p->path, path);
	t->parent.id = id ? memcpy(strings + path, p->id, id) : strings;
	t->parent.revision = revision ? memcpy(strings + path + id, p->revision, revision) : NULL;
	return t;
}

static int keep_link(struct walker *w, const struct place *p, const char *name)
{
	if (mem_grow(&w->dirlinks, &w->dirlinks_cap, w->n_dirlinks + 1) < 0)
		return -ENOMEM;
	struct dirlink d = {.root = p->root, .in = p->in, .path = walk_join(w, p->path, name)};
	d.id = walk_join(w, p->id, name);
	if (!d.path || !d.id)
		return -ENOMEM;
	w->dirlinks[w->n_dirlinks++] = d;
	return 0;
}

int walk_dirs(struct walker *w, const struct place *p, struct listing *l)
{
	struct task *t = NULL;
	int r = 0;
	for (size_t i = 0; i < l->n && r == 0; i++) {
		const struct entry *e = &l->entries[i];
		if (e->done || !(e->dir || e->linked_dir))
			continue;
		if (name_skipped(e->name)) {
			r = e->dir && strcmp(e->name, ".cache") == 0 ? walk_downloads(w, p) : 0;
			continue;
		}
		if (e->linked_dir) {
			r = keep_link(w, p, e->name);
		} else if (p->owner) {
			r = walk_child(w, p, e->name);
		} else if (!t && !(t = task_new(p))) {
			r = -ENOMEM;
		} else {
			size_t n = strlen(e->name) + 1;
			memcpy(t->names + t->used, e->name, n);
			t->used += n;
			if (++t->n == BATCH)
				push(w->shared, steal(&t));
		}
	}
	if (t && r == 0)
		push(w->shared, t);
	else
		free(t);
	return r;
}

static int run_task(struct walker *w, const struct task *t)
{
	const char *name = t->names;
	for (size_t i = 0; i < t->n; i++, name += strlen(name) + 1) {
		int r = walk_child(w, &t->parent, name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int work(void *arg, size_t i)
{
	struct walker *w = (struct walker *)arg + i;
	struct shared *s = w->shared;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->tasks && s->busy && !s->result)
			pthread_cond_wait(&s->more, &s->lock);
		struct task *t = s->tasks;
		if (!t || s->result)
			break;
		s->tasks = t->next;
		s->busy++;
		pthread_mutex_unlock(&s->lock);
		int r = run_task(w, t);
		free(t);
		pthread_mutex_lock(&s->lock);
		if (r < 0 && !s->result)
			s->result = r;
		s->busy--;
	}
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* Walk from one place to its end. */
static int walk_from(struct walker *ws, unsigned threads, struct place *p)
{
	struct shared *s = ws->shared;
	int r = walk_place(ws, p);
	if (r == 0)
		pool_for(threads, threads, work, ws);
	for (struct task *t = s->tasks, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	s->tasks = NULL;
	return r < 0 ? r : s->result;
}

static int dirlink_cmp(const void *a, const void *b)
{
	const struct dirlink *x = a, *y = b;
	return x->root != y->root ? (x->root < y->root ? -1 : 1) : strcmp(x->path, y->path);
}

/*
 * All links to directories to the first walker, in order: which of two names is the first must not depend on threads.
 */
static int gather_links(struct walker *ws, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct walker *w = &ws[i];
		if (mem_grow(&ws->dirlinks, &ws->dirlinks_cap, ws->n_dirlinks + w->n_dirlinks) < 0)
			return -ENOMEM;
		if (w->n_dirlinks)
			memcpy(ws->dirlinks + ws->n_dirlinks, w->dirlinks, w->n_dirlinks * sizeof *w->dirlinks);
		ws->n_dirlinks += w->n_dirlinks;
	}
	if (ws->n_dirlinks > 1)
		qsort(ws->dirlinks, ws->n_dirlinks, sizeof *ws->dirlinks, dirlink_cmp);
	return 0;
}

static bool is_seen(struct shared *s, const char *real)
{
	struct stat st;
	return s->seen_cap && stat(real, &st) == 0 && seen_at(s->seen, s->seen_cap, st.st_dev, st.st_ino)->ino;
}

/* An outside directory that was walked under another link's name: the path it has there. */
static int known_outside(struct walker *w, size_t i, const char *real, struct links *k)
{
	const struct dirlink *d = &w->dirlinks[i];
	for (size_t n = 0; n < i; n++) {
		const struct dirlink *o = &w->dirlinks[n];
		size_t len = o->real ? strlen(o->real) : 0;
		if (!len || strncmp(real, o->real, len) != 0 || (real[len] && real[len] != '/'))
			continue;
		const char *dir = walk_join(w, o->path, real + len + (real[len] == '/'));
		struct alias a = {.root = d->root, .path = d->path, .to = o->root, .dir = dir};
		return dir ? links_add(k, a) : -ENOMEM;
	}
	return 0;
}

static int follow(struct walker *w, size_t i, const struct lake *l, struct links *k)
{
	char real[PATH_MAX];
	const char *rel;
	uint32_t to;
	int r;
	struct dirlink *d = &w->dirlinks[i];
	struct place p = {.root = d->root, .path = d->path, .id = d->id, .external = true};
	switch (links_resolve(l, d->root, d->path, real, &rel, &to)) {
	case TARGET_LAKE:
		rel = walk_str(w, rel, strlen(rel));
		if (!rel)
			return -ENOMEM;
		return links_add(k, (struct alias){.root = d->root, .path = d->path, .to = to, .dir = rel});
	case TARGET_OUTSIDE:
		if (is_seen(w->shared, real))
			return known_outside(w, i, real, k);
		d->real = walk_str(w, real, strlen(real));
		p.in = d->in;
		r = d->real ? walk_in_target(w, real, &p.in) : -ENOMEM;
		return r < 0 ? r : walk_from(w, 1, &p);
	case TARGET_AROUND:
		return walk_unread(w, d->root, d->path, "", 0, "a link to a directory that holds the lake");
	default:
		return walk_unread(w, d->root, d->path, "", 0, "a dangling link");
	}
}

/*
 * Links to directories, after all else: what lies in the lake is there under its own name. Following one may find
 * more.
 */
static int follow_links(struct walker *ws, size_t n, const struct lake *l, struct links *k)
{
	int r = gather_links(ws, n);
	for (size_t i = 0; i < ws->n_dirlinks && r == 0; i++)
		r = follow(ws, i, l, k);
	return r;
}

static int walk_all(struct walker *ws, unsigned threads, const struct lake *l, struct links *k, struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < l->n_roots && r == 0; i++) {
		struct place p = {.root = (uint32_t)i, .path = "", .id = ""};
		r = walk_from(ws, threads, &p);
		if (r < 0 && r != -ENOMEM)
			return err_set(e, -r, "'%s': %s", l->roots[i].path, strerror(-r));
	}
	if (r == 0)
		r = follow_links(ws, threads, l, k);
	return r == 0 ? 0 : r == -ENOMEM ? err_nomem(e) : err_set(e, -r, "scan: %s", strerror(-r));
}

static int walkers_init(struct walker *ws, size_t n, struct shared *s, const struct lake *l, bool names_only)
{
	for (size_t i = 0; i < n; i++) {
		ws[i] = (struct walker){.shared = s, .lake = l, .names_only = names_only,
		    .dents = mem_alloc(LISTING_DENTS)};
		if (!ws[i].dents)
			return -ENOMEM;
	}
	return 0;
}

static void walkers_release(struct walker *ws, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct walker *w = &ws[i];
		arena_release(&w->arena);
		for (size_t k = 0; k < w->n_spare; k++)
			listing_free(w->spare[k]);
		free(w->spare);
		free(w->models);
		free(w->unread);
		free(w->dirlinks);
		free(w->filelinks);
		free(w->dents);
	}
	free(ws);
}

static int unread_cmp(const void *a, const void *b)
{
	const struct scan_unread *x = a, *y = b;
	int r = strcmp(x->path, y->path);
	return r ? r : x->root != y->root ? (x->root < y->root ? -1 : 1) : strcmp(x->reason, y->reason);
}

/* All threads' results into one scan, which takes over their arenas. */
static int merge(struct scan *s, struct walker *ws, size_t n)
{
	size_t models = 0, unread = 0;
	for (size_t i = 0; i < n; i++) {
		models += ws[i].n_models;
		unread += ws[i].n_unread;
	}
	s->arenas = mem_array(n, sizeof *s->arenas);
	s->models = mem_array(models, sizeof *s->models);
	s->unread = mem_array(unread, sizeof *s->unread);
	if (!s->arenas || !s->models || !s->unread)
		return -ENOMEM;
	s->n_arenas = n;
	for (size_t i = 0; i < n; i++) {
		struct walker *w = &ws[i];
		if (w->n_models)
			memcpy(s->models + s->n_models, w->models, w->n_models * sizeof *w->models);
		if (w->n_unread)
			memcpy(s->unread + s->n_unread, w->unread, w->n_unread * sizeof *w->unread);
		s->n_models += w->n_models;
		s->n_unread += w->n_unread;
		s->files += w->files;
		s->bytes += w->bytes;
		s->arenas[i] = w->arena;
		w->arena = (struct arena){0};
	}
	return 0;
}

/* Models' names, once all are known. */
static int settle(struct scan *s, struct walker *ws, size_t n, const struct lake *l, struct links *k,
		  const char *const *reserved)
{
	int r = merge(s, ws, n);
	for (size_t i = 1; i < n && r == 0; i++) {
		r = mem_grow(&ws->filelinks, &ws->filelinks_cap, ws->n_filelinks + ws[i].n_filelinks);
		if (r == 0 && ws[i].n_filelinks)
			memcpy(ws->filelinks + ws->n_filelinks, ws[i].filelinks,
			    ws[i].n_filelinks * sizeof *ws->filelinks);
		ws->n_filelinks += r == 0 ? ws[i].n_filelinks : 0;
	}
	if (r == 0)
		r = links_drop_models(k, s, l, ws->filelinks, ws->n_filelinks);
	if (r == 0)
		r = ids_settle(s, l, reserved);
	if (r == 0)
		r = links_report(k, s);
	if (r == 0 && s->n_unread > 1)
		qsort(s->unread, s->n_unread, sizeof *s->unread, unread_cmp);
	return r;
}

int lake_scan(struct scan *s, const struct lake *l, unsigned flags, unsigned threads,
	      const char *const *reserved, const struct cancel *c, struct err *e)
{
	*s = (struct scan){0};
	if (!threads)
		threads = 1;
	struct shared shared = {.cancel = c, .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
	struct links links = {0};
	struct walker *ws = mem_array(threads, sizeof *ws);
	if (!ws)
		return err_nomem(e);
	int r = walkers_init(ws, threads, &shared, l, flags & SCAN_NAMES_ONLY);
	r = r < 0 ? err_nomem(e) : walk_all(ws, threads, l, &links, e);
	if (r == 0)
		r = settle(s, ws, threads, l, &links, reserved) < 0 ? err_nomem(e) : 0;
	links_release(&links);
	walkers_release(ws, threads);
	free(shared.seen);
	if (r < 0)
		scan_release(s);
	return r;
}

void scan_release(struct scan *s)
{
	for (size_t i = 0; i < s->n_arenas; i++)
		arena_release(&s->arenas[i]);
	free(s->arenas);
	free(s->models);
	free(s->unread);
	*s = (struct scan){0};
}
