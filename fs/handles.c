#include "fs/handles.h"

#include "core/base/mem.h"

struct handle *handle_open(struct handles *hs, uint64_t ino, struct tree_file *f)
{
	struct handle *h = mem_alloc(sizeof *h);
	if (!h) {
		tree_close(f);
		return NULL;
	}
	h->file = f;
	h->ino = ino;
	h->refs = 1;
	pthread_mutex_lock(&hs->lock);
	h->next = hs->first;
	if (h->next)
		h->next->prev = h;
	hs->first = h;
	pthread_mutex_unlock(&hs->lock);
	return h;
}

struct tree_file *handle_get(struct handles *hs, struct handle *h)
{
	pthread_mutex_lock(&hs->lock);
	h->refs++;
	pthread_mutex_unlock(&hs->lock);
	return h->file;
}

void handle_put(struct handles *hs, struct handle *h)
{
	pthread_mutex_lock(&hs->lock);
	bool last = !--h->refs;
	if (last && h->prev)
		h->prev->next = h->next;
	else if (last)
		hs->first = h->next;
	if (last && h->next)
		h->next->prev = h->prev;
	pthread_mutex_unlock(&hs->lock);
	if (!last)
		return;
	tree_close(h->file);
	free(h);
}

bool handles_size(struct handles *hs, uint64_t ino, uint64_t *size)
{
	pthread_mutex_lock(&hs->lock);
	struct handle *h = hs->first;
	while (h && h->ino != ino)
		h = h->next;
	if (h)
		*size = tree_file_size(h->file);
	pthread_mutex_unlock(&hs->lock);
	return h;
}

bool handles_any(struct handles *hs)
{
	pthread_mutex_lock(&hs->lock);
	bool any = hs->first;
	pthread_mutex_unlock(&hs->lock);
	return any;
}

void handles_close(struct handles *hs)
{
	for (struct handle *h; (h = hs->first);)	/* nobody else opens or closes any more */
		handle_put(hs, h);
}
