#ifndef TARN_FS_HANDLES_H
#define TARN_FS_HANDLES_H
/*
 * The files that are open. The kernel forgets to release some when a mount ends, so they are on a list.
 */
#include "core/tree/tree.h"

#include <pthread.h>

struct handle {
	struct tree_file *file;
	uint64_t ino;
	struct handle *prev, *next;
	unsigned refs;		/* the kernel's, and one a read */
};

struct handles {
	pthread_mutex_t lock;
	struct handle *first;
};
#define HANDLES_INIT ((struct handles){.lock = PTHREAD_MUTEX_INITIALIZER})

/* Owns f, also when it returns NULL (no memory). */
struct handle *handle_open(struct handles *hs, uint64_t ino, struct tree_file *f);
/* A read has it in hand until handle_put; the kernel lets go of it with handle_put, too. */
struct tree_file *handle_get(struct handles *hs, struct handle *h);
void handle_put(struct handles *hs, struct handle *h);
/* The size of a node's content, while it is open: what fstat must say, whatever else is known of it. */
bool handles_size(struct handles *hs, uint64_t ino, uint64_t *size);
bool handles_any(struct handles *hs);
void handles_close(struct handles *hs);		/* all of them */

#endif
