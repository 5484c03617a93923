#ifndef TARN_FS_WAIT_H
#define TARN_FS_WAIT_H
/*
 * Requests that wait for a computation. An interrupt (^C, kill -9) reaches libfuse on a thread that
 * holds the request's lock, where nothing may be answered; so it only leaves a note, and a thread of
 * its own, the canceller, leaves the computation and answers EINTR.
 *
 * Locks: libfuse's lock of the request before ours, ours before the tree's. Nobody may hold ours
 * while calling fuse_req_interrupt_func, and the tree calls back holding none of its own.
 */
#include "core/tree/tree.h"
#include "fs/session.h"

struct waits;

int waits_new(struct waits **ws, struct tree *t);
/* Everybody out, now and later: each wait ends with -reason (or with its result, where that comes first), a few
 * perhaps only with their result. Before tree_free; not from two threads at once. */
void waits_close(struct waits *ws, int reason);
/* After tree_free. */
void waits_free(struct waits *ws);

/*
 * Compute what (ino, name) needs, as tree_start. finish is called exactly once, from any thread, maybe before this
 * returns, when libfuse no longer looks at the request's interrupt: result 0, -EINTR when interrupted, or -errno.
 * Nonzero: it could not be begun, and finish will not be called.
 */
int wait_begin(struct waits *ws, fuse_req_t req, uint64_t ino, const char *name,
	       void (*finish)(void *arg, int result, struct tree_file *f), void *arg);

#endif
