/* The life of a running lake: opening, the background thread, progress, stopping. */
#include "core/job/index_internal.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

struct view *index_view(struct index *ix)
{
	pthread_mutex_lock(&ix->lock);
	struct view *v = view_ref(ix->view);
	pthread_mutex_unlock(&ix->lock);
	return v;
}

const struct lake *index_lake(const struct index *ix) { return &ix->lake; }
struct catalog *index_catalog(struct index *ix) { return ix->catalog; }

void index_on_change(struct index *ix, void (*changed)(void *arg, struct view *old, struct view *now), void *arg)
{
	ix->on_change_arg = arg;
	ix->on_change = changed;
}

void index_on_error(struct index *ix, void (*failed)(void *arg, const struct err *e), void *arg)
{
	ix->on_error_arg = arg;
	ix->on_error = failed;
}

void index_note_error(struct index *ix, const struct err *e)
{
	pthread_mutex_lock(&ix->lock);
	snprintf(ix->status.last_error, sizeof ix->status.last_error, "%s", e->msg);
	pthread_mutex_unlock(&ix->lock);
}

void status_phase(struct index *ix, enum index_phase phase, uint64_t total)
{
	pthread_mutex_lock(&ix->lock);
	ix->status.phase = phase;
	ix->status.total = total;
	ix->status.done = 0;
	ix->status.bytes_done = ix->status.bytes_total = 0;
	ix->status.current[0] = 0;
	pthread_mutex_unlock(&ix->lock);
}

void status_step(struct index *ix, uint64_t done, uint64_t bytes, const char *current)
{
	pthread_mutex_lock(&ix->lock);
	ix->status.done = MAX(ix->status.done, done);
	ix->status.bytes_done += bytes;
	if (current)
		snprintf(ix->status.current, sizeof ix->status.current, "%s", current);
	pthread_mutex_unlock(&ix->lock);
}

void index_status(struct index *ix, struct index_status *s)
{
	struct view *v = index_view(ix);
	pthread_mutex_lock(&ix->lock);
	*s = ix->status;
	pthread_mutex_unlock(&ix->lock);
	s->models = v->n;
	s->inspected = s->signed_ = s->failed = s->problems = 0;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct view_model *m = &v->models[i];
		s->inspected += m->state >= VIEW_INSPECTED;
		s->signed_ += m->state >= VIEW_SIGNED;
		s->problems += (m->flags & VIEW_PROBLEMS) != 0;
		s->failed += m->state >= VIEW_INSPECTED && !(m->flags & VIEW_WEIGHTS);
	}
	s->bytes_read = io_bytes_read();
	view_unref(v);
}

/* --- opening --- */

static int open_lock(struct index *ix, struct err *e)
{
	const char *file = catalog_file(ix->catalog);
	ix->lock_fd = -1;
	if (!*file)
		return 0;
	cleanup_buf struct buf path = {0};
	buf_printf(&path, "%s.lock", file);
	if (path.failed)
		return err_nomem(e);
	ix->lock_fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return ix->lock_fd >= 0 ? 0 : err_set(e, errno, "cannot open %s: %s", path.data, strerror(errno));
}

/* Take the right to bring the catalog up to date; waits for another process, but not for ever. */
static int take_turn(struct index *ix, const struct cancel *c, struct err *e)
{
	while (ix->lock_fd >= 0 && flock(ix->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(e, errno, "cannot lock the catalog: %s", strerror(errno));
		if (cancel_asked(c))
			return err_set(e, ECANCELED, "interrupted");
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	return 0;
}

static void end_turn(struct index *ix)
{
	if (ix->lock_fd >= 0)
		flock(ix->lock_fd, LOCK_UN);
}

/* What the catalog says, when another process has written it or at first. */
static int load_known(struct index *ix, struct err *e)
{
	int64_t generation = catalog_number(ix->catalog, Q_META_GET, 0, "s", "generation");
	struct view *old = ix->view ? index_view(ix) : NULL, *v = NULL;
	int r = view_load(&v, ix->catalog, (uint64_t)generation, old, e);
	view_unref(old);
	if (r < 0)
		return r;
	pthread_mutex_lock(&ix->lock);
	ix->last_id = (uint64_t)catalog_number(ix->catalog, Q_MODEL_MAX, 0, "");
	ix->lineage = (uint64_t)catalog_number(ix->catalog, Q_META_GET, 0, "s", "lineage");
	ix->named = v->n > 0;
	pthread_mutex_unlock(&ix->lock);
	publish(ix, v);
	return 0;
}

/* What an older way of looking found is looked for again. */
static int check_version(struct index *ix, struct err *e)
{
	int64_t version = (int64_t)(hash64(TARN_VERSION, strlen(TARN_VERSION), SIGNATURE_VERSION) >> 1);
	if (catalog_number(ix->catalog, Q_META_GET, 0, "s", "version") == version)
		return 0;
	int r = catalog_begin(ix->catalog, e);
	if (r < 0)
		return r;
	r = catalog_do(ix->catalog, Q_STATES_CLEAR, e, "");
	if (!r)
		r = catalog_do(ix->catalog, Q_META_SET, e, "si", "lineage", (int64_t)0);
	if (!r)
		r = catalog_do(ix->catalog, Q_META_SET, e, "si", "version", version);
	if (r < 0) {
		catalog_rollback(ix->catalog);
		return r;
	}
	return catalog_commit(ix->catalog, e);
}

static int open_parts(struct index *ix, const struct index_options *o, struct err *e)
{
	int r = lake_open(&ix->lake, o->lakes, o->n_lakes, e);
	if (r < 0)
		return r;
	ix->lake.contain = o->contain;
	for (size_t i = 0; i < o->n_allow && !r; i++)
		r = lake_allow(&ix->lake, o->allow[i], e);
	if (r == 0 && o->catalog)
		r = index_catalog_check(o->catalog, e);
	if (r == 0)
		r = catalog_open(&ix->catalog, o->catalog, e);
	if (r == 0)
		r = open_lock(ix, e);
	if (r == 0)
		r = check_version(ix, e);
	if (r == 0)
		r = load_known(ix, e);
	if (r == 0 && !ix->named && (r = update_names(ix)) < 0)
		r = err_set(e, -r, "cannot read the lake: %s", strerror(-r));
	return r;
}

int index_open(struct index **out, const struct index_options *o, struct err *e)
{
	struct index *ix = mem_alloc(sizeof *ix);
	if (!ix)
		return err_nomem(e);
	pthread_mutex_init(&ix->lock, NULL);
	pthread_mutex_init(&ix->lineage_lock, NULL);
	pthread_cond_init(&ix->changed, NULL);
	ix->jobs = o->jobs ? o->jobs : pool_cores();
	ix->cached = o->cached;
	ix->lock_fd = -1;
	ix->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = ix->wake_fd < 0 ? err_set(e, errno, "eventfd: %s", strerror(errno)) : open_parts(ix, o, e);
	if (r < 0) {
		index_close(ix);
		return r;
	}
	*out = ix;
	return 0;
}

/* --- bringing it up to date --- */

static int pass(struct index *ix, bool renew, const struct cancel *c, struct err *e)
{
	int r = take_turn(ix, c, e);
	if (r < 0)
		return r;
	if (catalog_changed(ix->catalog))
		r = load_known(ix, e);
	status_phase(ix, INDEX_SCAN, 0);
	if (r == 0 && (r = lake_look(&ix->lake, e)) >= 0)
		r = update_scan(ix, c, e);
	if (r == 0 && !ix->cached)
		r = stage_models(ix, VIEW_INSPECTED, INDEX_HEADERS, c, e);
	if (r == 0 && !ix->cached)
		r = stage_models(ix, VIEW_SIGNED, INDEX_SIGNATURES, c, e);
	if (r == 0 && !ix->cached)
		r = stage_lineage(ix, renew, c, e);
	status_phase(ix, INDEX_IDLE, 0);
	end_turn(ix);
	return r;
}

static void settle(struct index *ix, int r, const struct err *e)
{
	bool failed = r < 0 && r != -ECANCELED, news = failed && strcmp(ix->failed, e->msg) != 0;
	pthread_mutex_lock(&ix->lock);
	ix->settled = true;
	ix->named = true;	/* a failed scan must not keep readers waiting */
	if (failed)
		snprintf(ix->status.last_error, sizeof ix->status.last_error, "%s", e->msg);
	else if (r == 0 && strcmp(ix->failed, ix->status.last_error) == 0)
		ix->status.last_error[0] = 0;	/* it is past */
	pthread_cond_broadcast(&ix->changed);
	pthread_mutex_unlock(&ix->lock);
	ix->failures = failed ? ix->failures + 1 : 0;
	snprintf(ix->failed, sizeof ix->failed, "%s", failed ? e->msg : "");
	if (news && ix->on_error)
		ix->on_error(ix->on_error_arg, e);
}

static bool should_stop(struct index *ix)
{
	pthread_mutex_lock(&ix->lock);
	bool stop = ix->stopping;
	pthread_mutex_unlock(&ix->lock);
	return stop;
}

/*
 * Wait for a reason to look again: a change, a lake that has come, gone or been replaced, another process's writing,
 * or time. -ENOSYS: there is nothing to watch with any more.
 */
static int rest(struct index *ix, struct watch *w, int64_t look_ms, int there)
{
	/* without watching, look again after ten times what looking takes, at least every five minutes */
	int64_t limit = w ? 300000 : MIN(MAX(look_ms * 10, 2000), 300000);
	for (int64_t waited = 0; waited < limit; waited += 1000) {
		int r = watch_wait(w, 1000, ix->wake_fd);
		if (r)
			return MIN(r, 0);
		if (should_stop(ix) || (catalog_changed(ix->catalog) && load_known(ix, NULL) == 0))
			return 0;
		struct err e = ERR_INIT;
		if (lake_look(&ix->lake, &e) != there)
			return 0;
	}
	return 0;
}

/* Bytes that the catalog may still grow by; 0 where that cannot be told. */
static uint64_t room(struct index *ix)
{
	struct statvfs s;
	return *catalog_file(ix->catalog) && statvfs(catalog_file(ix->catalog), &s) == 0 ? s.f_bavail * s.f_frsize : 0;
}

/* After a failure the lake is read again, which may be much: later each time, or when the disk has far more room. */
static void back_off(struct index *ix)
{
	uint64_t had = room(ix);
	unsigned doubled = MIN(ix->failures - 1, 6u);	/* from 5 seconds to 5 minutes */
	for (unsigned i = 0; i < 5u << doubled && !should_stop(ix) && room(ix) <= 2 * had + (1 << 20); i++)
		watch_wait(NULL, 1000, ix->wake_fd);
}

/* Watch what is there now: before the scan, so that nothing that happens meanwhile is missed. */
static struct watch *watch_again(struct index *ix, struct watch *w, int *there)
{
	struct err e = ERR_INIT;
	*there = lake_follow(&ix->lake, &e);
	if (*there > 0) {
		watch_free(w);
		w = NULL;
		*there = 0;
	}
	return w ? w : watch_new(&ix->lake);
}

static void *background(void *arg)
{
	struct index *ix = arg;
	struct watch *w = NULL;
	while (!should_stop(ix)) {
		struct err e = ERR_INIT;
		struct timespec a, b;
		int there;
		w = watch_again(ix, w, &there);
		clock_gettime(CLOCK_MONOTONIC, &a);
		int r = pass(ix, false, &ix->cancel, &e);
		clock_gettime(CLOCK_MONOTONIC, &b);
		settle(ix, r, &e);
		int64_t took = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
		if (ix->failures && there == 0) {
			back_off(ix);
		} else if (!should_stop(ix) && rest(ix, w, took, there) < 0) {
			watch_free(w);
			w = NULL;
		}
	}
	watch_free(w);
	return NULL;
}

int index_start(struct index *ix, struct err *e)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	status_phase(ix, INDEX_SCAN, 0);	/* not idle before the thread first runs */
	int r = pthread_create(&ix->thread, NULL, background, ix);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_set(e, r, "cannot start a thread: %s", strerror(r));
	ix->running = true;
	return 0;
}

struct foreground {
	struct index *ix;
	bool done;
	const struct cancel *cancel;
	int result;
	struct err err;
};

static void *foreground_run(void *arg)
{
	struct foreground *f = arg;
	f->result = pass(f->ix, true, f->cancel, &f->err);
	settle(f->ix, f->result, &f->err);
	pthread_mutex_lock(&f->ix->lock);
	f->done = true;
	pthread_cond_broadcast(&f->ix->changed);
	pthread_mutex_unlock(&f->ix->lock);
	return NULL;
}

/* Called with the lock: wait for a change, at most `ms`. */
static void nap(struct index *ix, long ms)
{
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_nsec += ms * 1000000;
	if (at.tv_nsec >= 1000000000)
		at.tv_sec++, at.tv_nsec -= 1000000000;
	pthread_cond_timedwait(&ix->changed, &ix->lock, &at);
}

int index_run(struct index *ix, const struct cancel *c,
	      void (*progress)(void *arg, const struct index_status *s), void *arg, struct err *e)
{
	struct foreground f = {.ix = ix, .cancel = c, .err = ERR_INIT};
	struct timespec shown = {0}, now;
	pthread_t t;
	int r = pthread_create(&t, NULL, foreground_run, &f);
	if (r)
		return err_set(e, r, "cannot start a thread: %s", strerror(r));
	pthread_mutex_lock(&ix->lock);
	while (!f.done) {
		nap(ix, 100);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!progress || (now.tv_sec - shown.tv_sec) * 1000 + (now.tv_nsec - shown.tv_nsec) / 1000000 < 100)
			continue;
		shown = now;
		pthread_mutex_unlock(&ix->lock);
		struct index_status s;
		index_status(ix, &s);
		progress(arg, &s);
		pthread_mutex_lock(&ix->lock);
	}
	pthread_mutex_unlock(&ix->lock);
	pthread_join(t, NULL);
	if (f.result < 0 && e)
		*e = f.err;
	return f.result == -ECANCELED ? -EINTR : f.result;
}

int index_wait(struct index *ix, const struct cancel *c)
{
	pthread_mutex_lock(&ix->lock);
	while (!ix->settled && !ix->stopping && !cancel_asked(c))
		nap(ix, 50);
	bool settled = ix->settled;
	pthread_mutex_unlock(&ix->lock);
	return settled ? 0 : -EINTR;
}

void index_stop(struct index *ix)
{
	pthread_mutex_lock(&ix->lock);
	ix->stopping = true;
	atomic_store(&ix->cancel.set, true);
	pthread_cond_broadcast(&ix->changed);
	pthread_mutex_unlock(&ix->lock);
	if (ix->wake_fd >= 0 && write(ix->wake_fd, &(uint64_t){1}, 8) < 0)
		(void)0;	/* full: it is awake already */
	if (ix->running)
		pthread_join(ix->thread, NULL);
	ix->running = false;
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	index_stop(ix);
	view_unref(ix->view);
	catalog_close(ix->catalog);
	lake_close(&ix->lake);
	if (ix->lock_fd >= 0)
		close(ix->lock_fd);
	if (ix->wake_fd >= 0)
		close(ix->wake_fd);
	pthread_cond_destroy(&ix->changed);
	pthread_mutex_destroy(&ix->lineage_lock);
	pthread_mutex_destroy(&ix->lock);
	free(ix);
}
