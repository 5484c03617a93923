#ifndef TARN_JOB_INDEX_INTERNAL_H
#define TARN_JOB_INDEX_INTERNAL_H
/* What the files of the running lake share: its state and who guards it. */
#include "core/catalog/view.h"
#include "core/job/index.h"
#include "core/job/store.h"

#include <pthread.h>

struct index {
	struct lake lake;
	struct catalog *catalog;
	int lock_fd;			/* one process at a time brings a catalog up to date */
	unsigned jobs;
	bool cached;

	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t changed;
	struct view *view;
	struct index_status status;
	bool named;			/* the view's models are in the catalog, not only named */
	bool settled;			/* everything cheap is known of the view */
	bool stopping;
	uint64_t lineage;		/* snapshot whose lineage the catalog has; 0: none */
	uint64_t last_id;		/* of models, ever */

	pthread_mutex_t lineage_lock;	/* computing it: one at a time */
	pthread_t thread;
	bool running;
	int wake_fd;
	struct cancel cancel;		/* of the background work */
	void (*on_change)(void *arg, struct view *old, struct view *now);
	void *on_change_arg;
	void (*on_error)(void *arg, const struct err *e);
	void *on_error_arg;
	unsigned failures;		/* of passes, one after another */
	char failed[360];		/* the last one's words, "" */
};

/* Scan, compare with what is known, publish. */
int update_names(struct index *ix);	/* a new lake: who is there, nothing stored */
int update_scan(struct index *ix, const struct cancel *c, struct err *e);
/* Put a view in place (its reference is taken) and tell. */
void publish(struct index *ix, struct view *now);
/* The same models under a new generation, since more is known of them. */
int publish_again(struct index *ix, struct err *e);

/* Bring all models to a state; problems become rows. */
int stage_models(struct index *ix, int state, enum index_phase phase, const struct cancel *c, struct err *e);
/* renew: of everything, against a background measured anew; else of what a change touches, where that is known. */
int stage_lineage(struct index *ix, bool renew, const struct cancel *c, struct err *e);

void status_phase(struct index *ix, enum index_phase phase, uint64_t total);
void status_step(struct index *ix, uint64_t done, uint64_t bytes, const char *current);

#endif
