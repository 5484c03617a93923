#ifndef TARN_ANALYSIS_TEXT_DIFF_H
#define TARN_ANALYSIS_TEXT_DIFF_H
/*
 * Two texts line by line: a unified diff with three lines of context (POSIX diff -u), by Myers's algorithm in linear
 * space (Algorithmica 1, 1986). Where texts have little in common the search gives up after a number of edits and goes
 * on from the farthest point: the result is still a diff, only not the shortest. Time is bounded by
 * (lines) x TEXT_DIFF_EDITS.
 *
 * Lines are written as text: control bytes but tabs, C1 and invalid UTF-8 become \xHH.
 */
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/pool.h"

enum { TEXT_DIFF_EDITS = 512 };

struct text { const char *s; size_t len; };	/* s NULL: there is no such document ("/dev/null") */

/* Appends nothing when the texts are equal. ENOMEM, ECANCELED, EFBIG beyond 2^30 lines. */
int text_diff(struct buf *out, const char *old_name, struct text old, const char *new_name, struct text new,
	      const struct cancel *cancel, struct err *e);

#endif
