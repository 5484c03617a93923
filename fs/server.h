#ifndef TARN_FS_SERVER_H
#define TARN_FS_SERVER_H
/*
 * A tree, served through FUSE: what the operations need, from the first request to the last.
 */
#include "core/tree/tree.h"
#include "fs/handles.h"
#include "fs/notify.h"
#include "fs/session.h"
#include "fs/wait.h"

struct server {
	struct session session;		/* first: see session.h */
	struct fuse_session *se;
	struct tree *tree;
	struct waits *waits;
	struct notify *notify;
	void (*ready)(void *arg);	/* the kernel has answered; may be NULL */
	void *ready_arg;
	struct handles handles;
	atomic_ullong last_read;	/* ms, of the monotonic clock */
};

extern const struct fuse_lowlevel_ops server_ops;	/* userdata: a struct server */

/* Milliseconds of the monotonic clock, cheaply. */
uint64_t server_clock(void);

/*
 * SIGINT, SIGTERM and SIGHUP, on a thread of their own: the first takes the mount out of the name space, ends what is
 * being computed, and lets readers finish what they opened; the second ends at once. stop_block before any thread
 * is made; `detach` unmounts lazily. stop_free after the loop has ended.
 */
struct stop;
void stop_block(void);
int stop_new(struct stop **s, struct server *sv, void (*detach)(void *arg), void *arg);
void stop_free(struct stop *s);

#endif
