#include "core/base/pool.h"

#include "core/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

struct task {
	struct task *next;
	void (*run)(void *);
	void *arg;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct task *first, **last;
	size_t pending;
	bool stopping;
	unsigned n;
	pthread_t threads[];
};

static void *work(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->first && !p->stopping)
			pthread_cond_wait(&p->more, &p->lock);
		struct task *t = p->first;
		if (!t)
			break;
		p->first = t->next;
		if (!p->first)
			p->last = &p->first;
		p->pending--;
		pthread_mutex_unlock(&p->lock);
		t->run(t->arg);
		free(t);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals belong to main: workers must not take them. */
static int start(pthread_t *t, void *(*f)(void *), void *arg)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = pthread_create(t, NULL, f, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

struct pool *pool_new(unsigned threads)
{
	struct pool *p = mem_alloc(sizeof *p + threads * sizeof *p->threads);
	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->last = &p->first;
	for (; p->n < threads; p->n++)
		if (start(&p->threads[p->n], work, p)) {
			if (p->n)
				break;	/* fewer will do */
			pool_stop(p);
			return NULL;
		}
	return p;
}

int pool_submit(struct pool *p, void (*run)(void *), void *arg)
{
	struct task *t = mem_alloc(sizeof *t);
	if (!t)
		return -ENOMEM;
	*t = (struct task){.run = run, .arg = arg};
	pthread_mutex_lock(&p->lock);
	if (p->stopping) {
		pthread_mutex_unlock(&p->lock);
		free(t);
		return -ESHUTDOWN;
	}
	*p->last = t;
	p->last = &t->next;
	p->pending++;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

size_t pool_pending(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	size_t n = p->pending;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->n; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

unsigned pool_cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return n > 0 ? (unsigned)n : 1;
}

struct loop {
	int (*run)(void *, size_t);
	void *arg;
	size_t n;
	atomic_size_t next;
	atomic_int result;
};

static void *loop_work(void *arg)
{
	struct loop *l = arg;
	for (;;) {
		size_t i = atomic_fetch_add(&l->next, 1);
		if (i >= l->n || atomic_load(&l->result))
			return NULL;
		int r = l->run(l->arg, i), none = 0;
		if (r)
			atomic_compare_exchange_strong(&l->result, &none, r);
	}
}

int pool_for(unsigned threads, size_t n, int (*run)(void *, size_t), void *arg)
{
	struct loop l = {.run = run, .arg = arg, .n = n};
	pthread_t t[64];
	unsigned k = 0;
	if (threads > 65)
		threads = 65;
	if (threads > n)
		threads = (unsigned)n;
	for (; k + 1 < threads; k++)
		if (start(&t[k], loop_work, &l))
			break;
	loop_work(&l);
	for (unsigned i = 0; i < k; i++)
		pthread_join(t[i], NULL);
	return l.result;
}
