#ifndef TARN_FS_HANDLES_H
#define TARN_FS_HANDLES_H
/*
 * The files that are open. The kernel forgets to release some when a mount ends, so they are on a list.
 */
#include "core/tree/tree.h"

#include <pthread.h>

struct handle {
	struct tree_file *file;
	struct handle *prev, *next;
	unsigned refs;		/* the kernel's, and one a read */
};

struct handles {
	pthread_mutex_t lock;
	struct handle *first;
};
#define HANDLES_INIT ((struct handles){.lock = PTHREAD_MUTEX_INITIALIZER})

struct handle *handle_open(struct handles *hs, struct tree_file *f);	/* owns f, also when it returns NULL (no memory) */
/* A read has it in hand until handle_put; the kernel lets go of it with handle_put, too. */
struct tree_file *handle_get(struct handles *hs, struct handle *h);
void handle_put(struct handles *hs, struct handle *h);
bool handles_any(struct handles *hs);
void handles_close(struct handles *hs);		/* all of them */

#endif
