#ifndef TARN_TREE_TREE_INTERNAL_H
#define TARN_TREE_TREE_INTERNAL_H
/* What tree.c (names and attributes) and content.c (opening and computing) share. */
#include "core/job/flight.h"
#include "core/job/index.h"
#include "core/tree/content.h"

#include <pthread.h>

/* Sizes of what was computed lately: known also when the catalog could not keep them. */
struct recent_size { uint64_t ino, size; };

struct tree {
	struct index *index;
	struct tree_options o;
	struct flight *flight;
	uid_t uid;			/* of what belongs to no model */
	gid_t gid;
	uint8_t slot[256];		/* kind | twin << 7 → bit in view_model.computed + 1; 0: none */
	void (*stale)(void *arg, uint64_t dir, const char *name);
	void *stale_arg;
	_Atomic uint64_t files_computed, files_failed;
	pthread_mutex_t recent_lock;
	struct recent_size recent[4096];
	_Atomic uint64_t inspected;	/* 1 + the generation of the last view whose headers were all known */
	atomic_bool any_recent;		/* none: a listing need not look, entry by entry */
};

/* May this node be opened now without computing; what is stored of it: size, or -1. */
int64_t stored_size(struct tree *t, struct view *v, struct node n);
bool row_is_cheap(struct tree *t, struct view *v, struct node n);	/* rendered from the catalog, here and now */
/* All that it takes is known, so that computing it is no pass over whole weights, or what the pass told is kept. */
bool row_is_known(struct tree *t, struct view *v, struct node n);
bool model_gone(struct tree *t, const struct view_model *m);	/* dropped from the catalog since the view was made */

#endif
