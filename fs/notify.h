#ifndef TARN_FS_NOTIFY_H
#define TARN_FS_NOTIFY_H
/*
 * Tells the kernel what has changed. A notification may wait for locks that a request we have yet to
 * answer holds, so it comes from a thread of its own, which holds no lock and stops before the
 * session does.
 */
#include "fs/session.h"

#include <stdint.h>

struct notify;

int notify_new(struct notify **n, struct fuse_session *se);
/* For tree_on_change. Waits for a moment when the thread cannot keep up. */
void notify_stale(void *arg, uint64_t dir, const char *name);
/* Say no more, while the session is still served; returns when the thread has ended. */
void notify_stop(struct notify *n);
void notify_free(struct notify *n);

#endif
