#include "fs/notify.h"

#include "core/base/buf.h"
#include "core/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* What may wait to be told: beyond it the indexing thread is held back, for a while. */
enum { QUEUE_BYTES = 8 << 20, QUEUE_SECONDS = 5 };

struct notify {
	struct fuse_session *se;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, room;
	struct buf queue;	/* records: uint64_t dir, name, NUL; an empty name is the directory itself */
	bool stopping;
};

static void tell(struct notify *n, uint64_t dir, const char *name)
{
	size_t len = strlen(name);
	/* ENOENT: the kernel had not cached it. ENODEV: unmounted. Neither is news. */
	if (!len) {
		fuse_lowlevel_notify_inval_inode(n->se, dir, 0, 0);
		return;
	}
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 16)
	int r = fuse_lowlevel_notify_expire_entry(n->se, dir, name, len);
#elif FUSE_VERSION >= FUSE_MAKE_VERSION(3, 14)
	int r = fuse_lowlevel_notify_expire_entry(n->se, dir, name, len, FUSE_LL_EXPIRE_ONLY);
#else
	int r = -ENOSYS;
#endif
	/* Expiring is kinder than invalidating: whoever stands in an unchanged directory stays there. */
	if (r == -ENOSYS)
		fuse_lowlevel_notify_inval_entry(n->se, dir, name, len);
}

static bool stopping(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	bool s = n->stopping;
	pthread_mutex_unlock(&n->lock);
	return s;
}

static void tell_all(struct notify *n, const struct buf *b)
{
	for (size_t at = 0; at < b->len && !stopping(n);) {
		uint64_t dir;
		memcpy(&dir, b->data + at, sizeof dir);
		const char *name = b->data + at + sizeof dir;
		tell(n, dir, name);
		at += sizeof dir + strlen(name) + 1;
	}
}

static void *run(void *arg)
{
	struct notify *n = arg;
	struct buf now = {0};
	pthread_mutex_lock(&n->lock);
	for (;;) {
		while (!n->queue.len && !n->stopping)
			pthread_cond_wait(&n->more, &n->lock);
		if (n->stopping)
			break;
		struct buf full = n->queue;
		n->queue = now;
		now = full;
		pthread_cond_broadcast(&n->room);
		pthread_mutex_unlock(&n->lock);
		tell_all(n, &now);
		buf_release(&now);
		pthread_mutex_lock(&n->lock);
	}
	pthread_mutex_unlock(&n->lock);
	buf_release(&now);
	return NULL;
}

void notify_stale(void *arg, uint64_t dir, const char *name)
{
	struct notify *n = arg;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += QUEUE_SECONDS;
	pthread_mutex_lock(&n->lock);
	while (n->queue.len > QUEUE_BYTES && !n->stopping)
		if (pthread_cond_timedwait(&n->room, &n->lock, &until))
			break;	/* an entry stays stale for as long as its timeout */
	if (!n->stopping && n->queue.len <= QUEUE_BYTES) {
		buf_add(&n->queue, &dir, sizeof dir);
		buf_add(&n->queue, name ? name : "", name ? strlen(name) + 1 : 1);
		if (buf_failed(&n->queue))
			buf_release(&n->queue);
		pthread_cond_signal(&n->more);
	}
	pthread_mutex_unlock(&n->lock);
}

int notify_new(struct notify **out, struct fuse_session *se)
{
	struct notify *n = mem_alloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	n->se = se;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->more, NULL);
	pthread_cond_init(&n->room, NULL);
	int r = pthread_create(&n->thread, NULL, run, n);
	if (r) {
		free(n);
		return -r;
	}
	*out = n;
	return 0;
}

void notify_stop(struct notify *n)
{
	pthread_mutex_lock(&n->lock);
	bool first = !n->stopping;
	n->stopping = true;
	pthread_cond_broadcast(&n->more);
	pthread_cond_broadcast(&n->room);
	pthread_mutex_unlock(&n->lock);
	if (first)
		pthread_join(n->thread, NULL);
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	notify_stop(n);
	buf_release(&n->queue);
	pthread_cond_destroy(&n->room);
	pthread_cond_destroy(&n->more);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
