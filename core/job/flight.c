#include "core/job/flight.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include <errno.h>
#include <pthread.h>

enum { BUCKETS = 1024 };

struct flight_wait {
	struct flight_wait *next, **prev;	/* prev NULL: taken by the worker that answers */
	struct flight_job *job;
	void (*done)(void *, struct flight_result);
	void *arg;
};

struct flight_job {
	struct flight_job *next;	/* in its bucket */
	struct flight *flight;
	struct flight_key key;
	struct flight_work work;
	struct flight_wait *waits;
	struct cancel cancel;
	bool listed;			/* in the table: others may join */
};

struct flight {
	struct pool *pool;
	pthread_mutex_t lock;
	struct flight_job *bucket[BUCKETS];
	struct flight_job **active;	/* all jobs, running or queued, for flight_stop */
	size_t n_active, cap_active;
	unsigned queue;
	bool stopping;
	struct flight_counts n;
};

struct flight *flight_new(unsigned threads, unsigned queue)
{
	struct flight *f = mem_alloc(sizeof *f);
	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	f->queue = queue;
	f->pool = pool_new(threads);
	if (!f->pool) {
		pthread_mutex_destroy(&f->lock);
		free(f);
		return NULL;
	}
	return f;
}

static struct flight_job **place(struct flight *f, struct flight_key k)
{
	struct flight_job **p = &f->bucket[hash_mix(k.a ^ hash_mix(k.b)) % BUCKETS];
	while (*p && ((*p)->key.a != k.a || (*p)->key.b != k.b))
		p = &(*p)->next;
	return p;
}

static void unlist(struct flight_job *j)
{
	struct flight_job **p = &j->flight->bucket[hash_mix(j->key.a ^ hash_mix(j->key.b)) % BUCKETS];
	if (!j->listed)
		return;
	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
	j->listed = false;
}

static void deactivate(struct flight *f, struct flight_job *j)
{
	for (size_t i = 0; i < f->n_active; i++)
		if (f->active[i] == j) {
			f->active[i] = f->active[--f->n_active];
			return;
		}
}

static void job_free(struct flight_job *j)
{
	if (j->work.free_arg)
		j->work.free_arg(j->work.arg);
	free(j);
}

static void run_job(void *arg)
{
	struct flight_job *j = arg;
	struct flight *f = j->flight;
	pthread_mutex_lock(&f->lock);
	f->n.queued--;
	f->n.running++;
	bool skip = cancel_asked(&j->cancel);
	pthread_mutex_unlock(&f->lock);

	struct flight_result r = {.code = -ECANCELED};
	if (!skip)
		r = j->work.run(j->work.arg, &j->cancel);

	pthread_mutex_lock(&f->lock);
	unlist(j);
	deactivate(f, j);
	f->n.running--;
	if (f->stopping && r.code == -ECANCELED)
		r.code = -ESHUTDOWN;
	struct flight_wait *w = j->waits;
	j->waits = NULL;
	for (struct flight_wait *i = w; i; i = i->next) {
		i->prev = NULL;
		f->n.waiting--;
	}
	pthread_mutex_unlock(&f->lock);
	for (struct flight_wait *next; w; w = next) {
		next = w->next;
		w->done(w->arg, r);
		free(w);
	}
	if (r.value && j->work.drop)
		j->work.drop(r.value);
	job_free(j);
}

static void enlist(struct flight_job *j, struct flight_wait *w)
{
	w->job = j;
	w->next = j->waits;
	w->prev = &j->waits;
	if (w->next)
		w->next->prev = &w->next;
	j->waits = w;
	j->flight->n.waiting++;
}

/* Called with the lock: a new job, listed and queued; NULL and *r on failure. */
static struct flight_job *launch(struct flight *f, struct flight_key key, const struct flight_work *work, int *r)
{
	struct flight_job *j = NULL;
	*r = -ENOMEM;
	if (f->n.queued >= f->queue) {
		f->n.busy++;
		*r = -EBUSY;
		return NULL;
	}
	if (mem_grow(&f->active, &f->cap_active, f->n_active + 1) < 0 || !(j = mem_alloc(sizeof *j)))
		return NULL;
	*j = (struct flight_job){.flight = f, .key = key, .work = *work, .listed = true};
	struct flight_job **p = place(f, key);
	*p = j;
	f->active[f->n_active++] = j;
	f->n.queued++;
	f->n.started++;
	*r = pool_submit(f->pool, run_job, j);
	if (*r < 0) {
		unlist(j);
		deactivate(f, j);
		f->n.queued--;
		f->n.started--;
		free(j);
		return NULL;
	}
	return j;
}

int flight_join(struct flight *f, struct flight_key key, const struct flight_work *work,
		void (*done)(void *arg, struct flight_result r), void *arg, struct flight_wait **out)
{
	int r = 0;
	bool used = false;
	struct flight_wait *w = mem_alloc(sizeof *w);
	if (w) {
		*w = (struct flight_wait){.done = done, .arg = arg};
		*out = w;	/* before done can run */
		pthread_mutex_lock(&f->lock);
		struct flight_job *j = f->stopping ? NULL : *place(f, key);
		if (j)
			f->n.joined++;
		else if (f->stopping)
			r = -ESHUTDOWN;
		else if ((j = launch(f, key, work, &r)))
			used = true;
		if (j)
			enlist(j, w);
		pthread_mutex_unlock(&f->lock);
	} else {
		r = -ENOMEM;
	}
	if (r < 0) {
		*out = NULL;
		free(w);
	}
	if (!used && work->free_arg)
		work->free_arg(work->arg);
	return r;
}

bool flight_leave(struct flight *f, struct flight_wait *w)
{
	pthread_mutex_lock(&f->lock);
	bool left = w->prev != NULL;
	if (left) {
		struct flight_job *j = w->job;
		*w->prev = w->next;
		if (w->next)
			w->next->prev = w->prev;
		f->n.waiting--;
		if (!j->waits) {	/* nobody is interested: stop, and let no one join what is stopping */
			atomic_store(&j->cancel.set, true);
			unlist(j);
			f->n.cancelled++;
		}
	}
	pthread_mutex_unlock(&f->lock);
	if (left)
		free(w);
	return left;
}

void flight_counts(struct flight *f, struct flight_counts *c)
{
	pthread_mutex_lock(&f->lock);
	*c = f->n;
	pthread_mutex_unlock(&f->lock);
}

void flight_stop(struct flight *f)
{
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	for (size_t i = 0; i < f->n_active; i++)
		atomic_store(&f->active[i]->cancel.set, true);
	struct pool *pool = steal(&f->pool);
	pthread_mutex_unlock(&f->lock);
	pool_stop(pool);
}

void flight_free(struct flight *f)
{
	if (!f)
		return;
	flight_stop(f);
	pthread_mutex_destroy(&f->lock);
	free(f->active);
	free(f);
}
