#ifndef TARN_FS_PROGRESS_H
#define TARN_FS_PROGRESS_H
/*
 * One line on a terminal that says what is being done, how fast, and how long it will take.
 */
#include "core/job/index.h"
#include "core/tree/tree.h"

struct progress {
	bool shown;		/* stderr is a terminal, and nobody asked for quiet */
	bool drawn;
	const char *what;	/* the phase that runs */
	double began, last;	/* of the phase; of the last line (s) */
	uint64_t bytes;		/* read from the lake before it */
};

void progress_begin(struct progress *p, bool quiet);
/* For index_run and tree_exact_all; arg is the struct progress. */
void progress_index(void *arg, const struct index_status *s);
void progress_exact(void *arg, const struct tree_progress *s);
void progress_end(struct progress *p);	/* the line is wiped */

/* The line itself, for a phase that has taken `seconds`: at most `width` columns. */
void progress_line(char *out, size_t n, const char *what, const struct index_status *s, double seconds, unsigned width);

#endif
