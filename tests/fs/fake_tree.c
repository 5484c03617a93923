/*
 * A tree without a lake, for tests of the adapter: files that take as long as the test wants, a
 * directory that must be computed, one that changes, a stream, and counters of what happened.
 * Implements core/tree/tree.h and core/job/index.h; linked with fs/ instead of the real ones.
 *
 *   fast                 "fast\n"
 *   slow/NNNN            FAKE_MS milliseconds each; an estimate before, then 100 lines of 60 bytes
 *   bad/NNNN             the same, but fails with EIO
 *   computed/NNN         a directory that takes FAKE_MS to list or to look a name up in
 *   many/NNNNN           FAKE_MANY entries; opening "tick" removes the even ones, then brings them back
 *   stream               64 MiB, made as they are read
 *   served               the file FAKE_SERVED
 *   tick, counts         the change above; computations, joins, cancellations
 */
#include "core/base/mem.h"
#include "core/job/index.h"
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum top { ROOT = 1, FAST, SLOW, BAD, COMPUTED, MANY, STREAM, SERVED, TICK, COUNTS, TOPS };
static const char *const names[TOPS] = {
	"", "", "fast", "slow", "bad", "computed", "many", "stream", "served", "tick", "counts",
};
enum { CHILDREN = 1000, LINE = 60, LINES = 100, SHIFT = 32, STREAM_BYTES = 64 << 20 };

struct index { int unused; };

struct tree_wait {
	struct tree_wait *next;
	struct flight *of;
	void (*done)(void *arg, int result, struct tree_file *f);
	void *arg;
};

struct flight {
	struct tree *t;
	struct flight *next;
	uint64_t ino;
	struct tree_wait *waits;
	bool abandoned;
};

struct tree {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct flight *flights;
	unsigned running;
	bool stopping, odd, computed[TOPS][CHILDREN];
	unsigned ms, many, queue;
	uint64_t computations, joined, cancelled;
	void (*stale)(void *arg, uint64_t dir, const char *name);
	void *stale_arg;
};

struct tree_file {
	char *data;
	uint64_t size;
	int fd;
};

static unsigned top_of(uint64_t ino) { return ino & 0xff; }
static unsigned child_of(uint64_t ino) { return (unsigned)(ino >> SHIFT); }	/* from 1; 0: the top itself */
static uint64_t node(unsigned top, unsigned child) { return top | (uint64_t)child << SHIFT; }

static bool is_dir(uint64_t ino)
{
	unsigned t = top_of(ino);
	return !child_of(ino) && (t == ROOT || t == SLOW || t == BAD || t == COMPUTED || t == MANY);
}

static unsigned children(struct tree *t, unsigned top)
{
	return top == MANY ? t->many : CHILDREN;
}

static bool known(struct tree *t, uint64_t ino)
{
	unsigned top = top_of(ino), c = child_of(ino);
	pthread_mutex_lock(&t->lock);
	bool k = (top != SLOW && top != BAD && top != COMPUTED) || t->computed[top][c ? c - 1 : 0];
	pthread_mutex_unlock(&t->lock);
	return k;
}

int tree_new(struct tree **out, struct index *ix, const struct tree_options *o, struct err *e)
{
	(void)ix, (void)e;
	struct tree *t = *out = mem_alloc(sizeof *t);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->change, NULL);
	const char *ms = getenv("FAKE_MS"), *many = getenv("FAKE_MANY");
	t->ms = ms ? (unsigned)atoi(ms) : 300;
	t->many = many ? (unsigned)atoi(many) : 1000;
	t->queue = o->queue ? o->queue : 256;
	return 0;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_broadcast(&t->change);
	while (t->running)
		pthread_cond_wait(&t->change, &t->lock);
	pthread_mutex_unlock(&t->lock);
	free(t);
}

int tree_getattr(struct tree *t, uint64_t ino, struct tree_attr *a)
{
	unsigned top = top_of(ino), c = child_of(ino);
	if (top < ROOT || top == 0 || top >= TOPS || (c && c > children(t, top)))
		return -ESTALE;
	*a = (struct tree_attr){.ino = ino, .nlink = 1, .mtime_ns = 1500000000123456789, .exact = true, .steady = true};
	if (is_dir(ino)) {
		a->mode = S_IFDIR | 0555;
		a->nlink = 2;
		return 0;
	}
	a->mode = S_IFREG | 0444;
	struct stat st;
	if (top == FAST || top == MANY || top == COMPUTED)
		a->size = 5;
	else if (top == STREAM)
		a->size = STREAM_BYTES;
	else if (top == SERVED && getenv("FAKE_SERVED") && !stat(getenv("FAKE_SERVED"), &st))
		a->size = (uint64_t)st.st_size;
	else if (top == SLOW && known(t, ino))
		a->size = LINE * LINES;
	else
		a->size = 65536, a->exact = false;
	return 0;
}

static bool listed(struct tree *t, unsigned top, unsigned child)
{
	pthread_mutex_lock(&t->lock);
	bool l = top != MANY || !t->odd || child & 1;
	pthread_mutex_unlock(&t->lock);
	return l;
}

int tree_lookup(struct tree *t, uint64_t dir, const char *name, struct tree_attr *a)
{
	unsigned n, top = top_of(dir);
	char end;
	if (!is_dir(dir))
		return -ENOTDIR;
	for (unsigned i = ROOT + 1; top == ROOT && i < TOPS; i++)
		if (!strcmp(names[i], name))
			return tree_getattr(t, node(i, 0), a);
	if (top == COMPUTED && !known(t, dir))
		return -EAGAIN;
	if (top == ROOT || sscanf(name, "%u%c", &n, &end) != 1 || n >= children(t, top) || !listed(t, top, n))
		return -ENOENT;
	return tree_getattr(t, node(top, n + 1), a);
}

int tree_readlink(struct tree *t, uint64_t ino, struct buf *target)
{
	(void)t, (void)ino, (void)target;
	return -EINVAL;
}

int tree_list(struct tree *t, uint64_t dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct tree_attr a;
	char name[32];
	if (!is_dir(dir))
		return -ENOTDIR;
	unsigned top = top_of(dir);
	if (top == COMPUTED && !known(t, dir))
		return -EAGAIN;
	uint64_t first = top == ROOT ? ROOT + 1 : 1, last = top == ROOT ? TOPS : children(t, top) + 1u;
	for (uint64_t i = MAX(first, cookie + 1); i < last; i++) {
		if (top != ROOT && !listed(t, top, (unsigned)i - 1))
			continue;
		snprintf(name, sizeof name, "%05u", (unsigned)i - 1);
		tree_getattr(t, top == ROOT ? node((unsigned)i, 0) : node(top, (unsigned)i), &a);
		if (fill(arg, top == ROOT ? names[i] : name, &a, i))
			break;
	}
	return 0;
}

uint64_t tree_parent(struct tree *t, uint64_t ino)
{
	(void)t, (void)ino;
	return ROOT;
}

void tree_describe(struct tree *t, uint64_t ino, struct buf *out)
{
	(void)t;
	buf_printf(out, "node %llu", (unsigned long long)ino);
}

static struct tree_file *text_file(const char *s, size_t n)
{
	struct tree_file *f = mem_alloc(sizeof *f);
	f->data = mem_strndup(s, n);
	f->size = n;
	f->fd = -1;
	return f;
}

static struct tree_file *slow_file(void)
{
	char text[LINE * LINES + 1];
	for (unsigned i = 0; i < LINES; i++)
		snprintf(text + i * LINE, LINE + 1, "line %04u of what took a while to compute .................\n", i);
	return text_file(text, LINE * LINES);
}

/* The even entries of many/ come and go; told as names, and the directory. */
static void tick(struct tree *t)
{
	pthread_mutex_lock(&t->lock);
	t->odd = !t->odd;
	pthread_mutex_unlock(&t->lock);
	char name[32];
	for (unsigned i = 0; t->stale && i < t->many; i += 2) {
		snprintf(name, sizeof name, "%05u", i);
		t->stale(t->stale_arg, node(MANY, 0), name);
	}
	if (t->stale)
		t->stale(t->stale_arg, node(MANY, 0), NULL);
}

int tree_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e)
{
	char text[200];
	(void)e;
	if (is_dir(ino))
		return -EISDIR;
	switch (top_of(ino)) {
	case SLOW:
		if (!known(t, ino))
			return -EAGAIN;
		*f = slow_file();
		return 0;
	case BAD:
		return -EAGAIN;
	case TICK:
		tick(t);
		*f = text_file("tock\n", 5);
		return 0;
	case COUNTS:
		pthread_mutex_lock(&t->lock);
		snprintf(text, sizeof text, "computed %llu\njoined %llu\ncancelled %llu\nrunning %u\n",
			 (unsigned long long)t->computations, (unsigned long long)t->joined,
			 (unsigned long long)t->cancelled, t->running);
		pthread_mutex_unlock(&t->lock);
		*f = text_file(text, strlen(text));
		return 0;
	case STREAM:
		*f = text_file("", 0);
		free((*f)->data);
		(*f)->data = NULL;
		(*f)->size = STREAM_BYTES;
		return 0;
	case SERVED:
		*f = text_file("", 0);
		(*f)->fd = open(getenv("FAKE_SERVED") ? getenv("FAKE_SERVED") : "", O_RDONLY | O_CLOEXEC);
		if ((*f)->fd >= 0)
			return 0;
		tree_close(*f);
		return -errno;
	}
	*f = text_file("fast\n", 5);
	return 0;
}

uint64_t tree_file_size(const struct tree_file *f) { return f->size; }
const void *tree_file_data(const struct tree_file *f) { return f->fd < 0 ? f->data : NULL; }
int tree_file_fd(const struct tree_file *f) { return f->fd; }
bool tree_file_keep(const struct tree_file *f) { return f->size == LINE * LINES; }

/* Short reads on purpose: the adapter must go on. */
ssize_t tree_read(struct tree_file *f, void *out, size_t n, uint64_t off)
{
	if (off >= f->size)
		return 0;
	n = MIN(n, (size_t)10007);
	n = MIN(n, (size_t)(f->size - off));
	for (size_t i = 0; i < n; i++)
		((unsigned char *)out)[i] = (unsigned char)((off + i) * 2654435761u >> 24);
	return (ssize_t)n;
}

void tree_close(struct tree_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->data);
	free(f);
}

static bool sleep_until(struct tree *t, const struct flight *fl, const struct timespec *until)
{
	while (!fl->abandoned && !t->stopping)
		if (pthread_cond_timedwait(&t->change, &t->lock, until))
			return true;
	return false;
}

static int finish(struct tree *t, struct flight *fl, bool whole)
{
	for (struct flight **p = &t->flights; *p; p = &(*p)->next)
		if (*p == fl) {
			*p = fl->next;
			break;
		}
	if (!whole)
		return -ESHUTDOWN;
	t->computations++;
	if (top_of(fl->ino) == BAD)
		return -EIO;
	t->computed[top_of(fl->ino)][child_of(fl->ino) ? child_of(fl->ino) - 1 : 0] = true;
	return 0;
}

static void *compute(void *arg)
{
	struct flight *fl = arg;
	struct tree *t = fl->t;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += t->ms / 1000;
	until.tv_nsec += t->ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000)
		until.tv_sec++, until.tv_nsec -= 1000000000;
	pthread_mutex_lock(&t->lock);
	int r = finish(t, fl, sleep_until(t, fl, &until));
	struct tree_wait *w = fl->waits;
	fl->waits = NULL;
	for (struct tree_wait *x = w; x; x = x->next)
		x->of = NULL;
	pthread_mutex_unlock(&t->lock);
	while (w) {
		struct tree_wait *next = w->next;
		w->done(w->arg, r, !r && top_of(fl->ino) == SLOW ? slow_file() : NULL);
		free(w);
		w = next;
	}
	free(fl);
	pthread_mutex_lock(&t->lock);
	t->running--;
	pthread_cond_broadcast(&t->change);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static struct flight *flight_of(struct tree *t, uint64_t ino)
{
	for (struct flight *fl = t->flights; fl; fl = fl->next)
		if (fl->ino == ino && !fl->abandoned)
			return fl;
	return NULL;
}

static int take_off(struct tree *t, uint64_t ino, struct tree_wait *w)
{
	pthread_t thread;
	if (t->running >= t->queue)
		return -EBUSY;
	struct flight *fl = mem_alloc(sizeof *fl);
	*fl = (struct flight){.t = t, .next = t->flights, .ino = ino, .waits = w};
	w->of = fl;
	t->flights = fl;
	t->running++;
	pthread_create(&thread, NULL, compute, fl);
	pthread_detach(thread);
	return 0;
}

int tree_start(struct tree *t, uint64_t ino, const char *name, struct tree_wait **out,
	       void (*done)(void *arg, int result, struct tree_file *f), void *arg)
{
	(void)name;
	struct tree_wait *w = mem_alloc(sizeof *w);
	*w = (struct tree_wait){.done = done, .arg = arg};
	*out = w;
	pthread_mutex_lock(&t->lock);
	struct flight *fl = flight_of(t, ino);
	unsigned top = top_of(ino), child = child_of(ino) ? child_of(ino) - 1 : 0;
	bool ready = !fl && t->computed[top][child];
	int r = 0;
	if (ready) {
		t->joined++;
	} else if (fl) {
		t->joined++;
		w->of = fl;
		w->next = fl->waits;
		fl->waits = w;
	} else {
		r = t->stopping ? -ESHUTDOWN : take_off(t, ino, w);
	}
	pthread_mutex_unlock(&t->lock);
	if (ready)	/* somebody was quicker: answered before we return */
		done(arg, 0, top == SLOW ? slow_file() : NULL);
	if (r || ready)
		free(w);
	return r;
}

bool tree_cancel(struct tree *t, struct tree_wait *w)
{
	pthread_mutex_lock(&t->lock);
	struct flight *fl = w->of;
	if (fl) {
		struct tree_wait **p = &fl->waits;
		while (*p != w)
			p = &(*p)->next;
		*p = w->next;
		if (!fl->waits) {
			fl->abandoned = true;
			t->cancelled++;
			pthread_cond_broadcast(&t->change);
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (fl)
		free(w);
	return fl;
}

int tree_wait_path(struct tree *t, const char *path, struct tree_attr *a, struct err *e)
{
	(void)e;
	return *path ? tree_lookup(t, ROOT, path, a) : tree_getattr(t, ROOT, a);
}

int tree_wait_list(struct tree *t, uint64_t dir, tree_fill fill, void *arg, struct err *e)
{
	(void)e;
	return tree_list(t, dir, 0, fill, arg);
}

int tree_wait_open(struct tree *t, uint64_t ino, struct tree_file **f, struct err *e)
{
	return tree_open(t, ino, f, e);
}

void tree_on_change(struct tree *t, void (*stale)(void *arg, uint64_t dir, const char *name), void *arg)
{
	t->stale_arg = arg;
	t->stale = stale;
}

int tree_exact_all(struct tree *t, const struct cancel *c, void (*progress)(void *arg, const struct tree_progress *p),
		   void *arg, struct err *e)
{
	(void)t, (void)c, (void)progress, (void)arg, (void)e;
	return 0;
}

void tree_counts(struct tree *t, struct tree_counts *c)
{
	*c = (struct tree_counts){.models = t->many};
}

int index_catalog_path(const char *const *lakes, size_t n, char **path, char *warning, size_t n_warning, struct err *e)
{
	(void)lakes, (void)n, (void)e;
	if (getenv("FAKE_WARNING"))
		snprintf(warning, n_warning, "%s", getenv("FAKE_WARNING"));
	*path = mem_strdup("/dev/null");
	return 0;
}

bool index_catalog_known(const char *const *lakes, size_t n)
{
	(void)lakes;
	return n > 0;
}

int index_open(struct index **ix, const struct index_options *o, struct err *e)
{
	(void)o;
	if (getenv("FAKE_FAIL"))
		return err_set(e, EIO, "%s", getenv("FAKE_FAIL"));
	if (getenv("FAKE_CRASH"))
		abort();
	*ix = mem_alloc(sizeof **ix);
	return 0;
}

int index_start(struct index *ix, struct err *e)
{
	(void)ix, (void)e;
	return 0;
}

int index_run(struct index *ix, const struct cancel *c,
	      void (*progress)(void *arg, const struct index_status *s), void *arg, struct err *e)
{
	(void)ix, (void)c, (void)progress, (void)arg, (void)e;
	return 0;
}

int index_wait(struct index *ix, const struct cancel *c)
{
	(void)ix;
	for (int i = 0; i < 5 && !cancel_asked(c); i++)
		usleep(100000);
	return 0;
}

void index_status(struct index *ix, struct index_status *s)
{
	(void)ix;
	*s = (struct index_status){0};
}

void index_stop(struct index *ix) { (void)ix; }
void index_on_error(struct index *ix, void (*failed)(void *arg, const struct err *e), void *arg)
{
	(void)ix;
	(void)failed;
	(void)arg;
}

void index_close(struct index *ix) { free(ix); }
struct view *index_view(struct index *ix) { (void)ix; return NULL; }
const struct lake *index_lake(const struct index *ix) { (void)ix; return NULL; }
struct catalog *index_catalog(struct index *ix) { (void)ix; return NULL; }
