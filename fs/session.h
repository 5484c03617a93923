#ifndef TARN_FS_SESSION_H
#define TARN_FS_SESSION_H
/*
 * What the mount and its yardstick (tests/bench/bare_fuse.c) have in common: what is asked of the
 * kernel, the loop and its threads, and a way round a bug of libfuse.
 */
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 312
#endif
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>

/* The session's userdata must begin with one. */
struct session { atomic_bool greeted; };

/* For the init operation: wants what helps a read-only tree, and nothing else. */
void session_wants(struct fuse_conn_info *conn);

/*
 * libfuse before 3.17 never sends PARALLEL_DIROPS, so that a look-up which waits would hold up all
 * others in its directory, uninterruptibly. This adds the bit to the reply to INIT. Call it after
 * fuse_session_mount. 0 or -errno; failing costs only that concurrency.
 */
int session_parallel_dirops(struct fuse_session *se);

/* Serve until unmounted (0), told to exit (> 0) or broken (-errno). */
int session_loop(struct fuse_session *se);

#endif
