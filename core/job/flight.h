#ifndef TARN_JOB_FLIGHT_H
#define TARN_JOB_FLIGHT_H
/*
 * Single flight: however many wait for the same thing, it is computed once, on a pool of workers.
 * Whoever waits may leave; when nobody waits any more the computation is told to stop.
 */
#include "core/base/pool.h"

#include <stdint.h>

struct flight;
struct flight_wait;

/* A thing to compute: two numbers and a text tell it from others. */
struct flight_key { uint64_t a, b; };

struct flight_result {
	int code;		/* 0 or -errno */
	void *value;		/* what run made, or NULL */
};

struct flight_work {
	/* On a worker. Poll cancel. The result's value is shared by all who wait, and dropped after the last done. */
	struct flight_result (*run)(void *arg, const struct cancel *cancel);
	void (*drop)(void *value);	/* may be NULL */
	void (*free_arg)(void *arg);	/* called once, also when the work never ran; may be NULL */
	void *arg;
};

struct flight *flight_new(unsigned threads, unsigned queue);	/* NULL: out of memory */
void flight_stop(struct flight *f);	/* waiters get -ESHUTDOWN, running work is cancelled and awaited; no joins after */
void flight_free(struct flight *f);

/*
 * Wait for `key`: joins work in flight, else queues `work` (owned from here on, whatever happens).
 * done(arg, result) is called exactly once from a worker, holding no lock, unless flight_leave returned true; the wait is
 * freed after it. Errors, with no done: -EBUSY (queue full), -ENOMEM, -ESHUTDOWN.
 */
int flight_join(struct flight *f, struct flight_key key, const struct flight_work *work,
		void (*done)(void *arg, struct flight_result r), void *arg, struct flight_wait **w);
/* Stop waiting. True: done will not be called, the wait is gone. False: done was or is being called. */
bool flight_leave(struct flight *f, struct flight_wait *w);

struct flight_counts { uint64_t started, joined, cancelled, busy, waiting, queued, running; };
void flight_counts(struct flight *f, struct flight_counts *c);

#endif
