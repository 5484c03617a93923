#include "fs/wait.h"

#include "core/base/mem.h"

#include <errno.h>
#include <pthread.h>

struct wait {
	struct waits *all;
	struct wait *prev, *next;	/* of all that have not ended */
	struct wait *note;		/* the next to be cancelled */
	fuse_req_t req;
	struct tree_wait *on;		/* NULL until the tree has told us */
	int reason;			/* to be cancelled, with this errno */
	bool noted, ended;
	unsigned refs;			/* wait_begin and whoever ends it */
	void (*finish)(void *arg, int result, struct tree_file *f);
	void *arg;
};

struct waits {
	struct tree *tree;
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t canceller;
	struct wait *first;
	struct wait *notes, **last_note;
	int closed;
	bool stopping;
};

static void note(struct wait *w, int reason)
{
	struct waits *ws = w->all;
	if (w->ended || w->noted)
		return;
	if (!w->reason)
		w->reason = reason;
	if (!w->on)
		return;		/* wait_begin will see the reason */
	w->noted = true;
	w->note = NULL;
	*ws->last_note = w;
	ws->last_note = &w->note;
	pthread_cond_signal(&ws->more);
}

static void forget_note(struct wait *w)
{
	struct waits *ws = w->all;
	if (!w->noted)
		return;
	struct wait **p = &ws->notes;
	while (*p != w)
		p = &(*p)->note;
	*p = w->note;
	if (ws->last_note == &w->note)
		ws->last_note = p;
	w->noted = false;
}

static void end(struct wait *w)
{
	forget_note(w);
	w->ended = true;
	if (w->prev)
		w->prev->next = w->next;
	else
		w->all->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

static void unref(struct wait *w)
{
	if (!--w->refs)
		free(w);
}

/* libfuse holds the request's lock. */
static void interrupted(fuse_req_t req, void *arg)
{
	(void)req;
	struct wait *w = arg;
	pthread_mutex_lock(&w->all->lock);
	note(w, EINTR);
	pthread_mutex_unlock(&w->all->lock);
}

static void done(void *arg, int result, struct tree_file *f)
{
	struct wait *w = arg;
	struct waits *ws = w->all;
	fuse_req_interrupt_func(w->req, NULL, NULL);
	pthread_mutex_lock(&ws->lock);
	end(w);
	pthread_mutex_unlock(&ws->lock);
	w->finish(w->arg, result, f);
	pthread_mutex_lock(&ws->lock);
	unref(w);
	pthread_mutex_unlock(&ws->lock);
}

/* The tree's wait lives until `done` has returned, and `done` needs our lock to end it: so it is
 * alive here, under the lock, as long as ours has not ended. */
static void cancel_noted(struct waits *ws)
{
	struct wait *w = ws->notes;
	forget_note(w);
	if (!tree_cancel(ws->tree, w->on))
		return;		/* the answer is on its way */
	end(w);
	pthread_mutex_unlock(&ws->lock);
	fuse_req_interrupt_func(w->req, NULL, NULL);
	w->finish(w->arg, -w->reason, NULL);
	pthread_mutex_lock(&ws->lock);
	unref(w);
}

static void *canceller(void *arg)
{
	struct waits *ws = arg;
	pthread_mutex_lock(&ws->lock);
	for (;;) {
		while (!ws->notes && !ws->stopping)
			pthread_cond_wait(&ws->more, &ws->lock);
		if (!ws->notes)
			break;
		cancel_noted(ws);
	}
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

int wait_begin(struct waits *ws, fuse_req_t req, uint64_t ino, const char *name,
	       void (*finish)(void *arg, int result, struct tree_file *f), void *arg)
{
	struct wait *w = mem_alloc(sizeof *w);
	if (!w)
		return -ENOMEM;
	*w = (struct wait){.all = ws, .req = req, .refs = 2, .finish = finish, .arg = arg};
	pthread_mutex_lock(&ws->lock);
	int closed = ws->closed;
	if (!closed) {
		w->next = ws->first;
		if (w->next)
			w->next->prev = w;
		ws->first = w;
	}
	pthread_mutex_unlock(&ws->lock);
	if (closed) {
		free(w);
		return -closed;
	}
	fuse_req_interrupt_func(req, interrupted, w);

	struct tree_wait *on = NULL;
	int r = tree_start(ws->tree, ino, name, &on, done, w);
	if (r)
		fuse_req_interrupt_func(req, NULL, NULL);
	pthread_mutex_lock(&ws->lock);
	if (r) {
		end(w);
		w->refs--;
	} else if (!w->ended) {
		w->on = on;
		if (w->reason)
			note(w, w->reason);
	}
	unref(w);
	pthread_mutex_unlock(&ws->lock);
	return r;
}

void waits_close(struct waits *ws, int reason)
{
	pthread_mutex_lock(&ws->lock);
	bool closed = ws->closed;
	ws->closed = reason;
	for (struct wait *w = ws->first; w; w = w->next)
		note(w, reason);
	ws->stopping = true;
	pthread_cond_signal(&ws->more);
	pthread_mutex_unlock(&ws->lock);
	if (!closed)
		pthread_join(ws->canceller, NULL);
}

int waits_new(struct waits **out, struct tree *t)
{
	struct waits *ws = mem_alloc(sizeof *ws);
	if (!ws)
		return -ENOMEM;
	ws->tree = t;
	ws->last_note = &ws->notes;
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->more, NULL);
	int r = pthread_create(&ws->canceller, NULL, canceller, ws);
	if (r) {
		free(ws);
		return -r;
	}
	*out = ws;
	return 0;
}

void waits_free(struct waits *ws)
{
	if (!ws)
		return;
	waits_close(ws, ESHUTDOWN);
	pthread_cond_destroy(&ws->more);
	pthread_mutex_destroy(&ws->lock);
	free(ws);
}
