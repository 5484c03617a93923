#ifndef TARN_BASE_POOL_H
#define TARN_BASE_POOL_H
/*
 * Worker threads with a first-in first-out queue, and a parallel loop over indices.
 * Start pools after any fork. Jobs must poll their own cancel flags; the pool only runs them.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A request to stop, polled by long computations at least every 100 ms. NULL: never. */
struct cancel { atomic_bool set; };
static inline bool cancel_asked(const struct cancel *c)
{
	return c && atomic_load_explicit(&((struct cancel *)c)->set, memory_order_relaxed);
}

struct pool;
struct pool *pool_new(unsigned threads);		/* NULL when out of memory or threads */
int pool_submit(struct pool *p, void (*run)(void *), void *arg);	/* -ENOMEM, -ESHUTDOWN */
size_t pool_pending(struct pool *p);			/* waiting, not yet running */
void pool_stop(struct pool *p);				/* take no more; run what is queued; join; free */

unsigned pool_cores(void);				/* usable CPUs, at least 1 */

/* run(arg, i) for i in [0, n) on up to `threads` threads, the caller among them. Returns when all are done.
 * Stops early when a run returns nonzero; that value (one of them) is returned. */
int pool_for(unsigned threads, size_t n, int (*run)(void *arg, size_t i), void *arg);

#endif
