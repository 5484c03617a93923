/*
 * tarn index: does ahead of time what the mount would do on demand.
 */
#include "fs/commands.h"
#include "fs/opened.h"

#include <stdio.h>
#include <unistd.h>

static void report(const struct index_status *s, uint64_t failed)
{
	if (!isatty(2))
		return;
	fprintf(stderr, "%llu models", (unsigned long long)s->models);
	if (s->failed)
		fprintf(stderr, ", %llu of them unreadable", (unsigned long long)s->failed);
	if (s->problems)
		fprintf(stderr, ", %llu problems (lake/problems.tsv)", (unsigned long long)s->problems);
	if (failed)
		fprintf(stderr, ", %llu without exact statistics", (unsigned long long)failed);
	fputc('\n', stderr);
}

int command_index(struct options *o)
{
	struct err e = ERR_INIT;
	struct opened l;
	uint64_t failed = 0;
	if (!o->n_args)
		return misused(o, "expected the directory of a lake, found none");
	int r = opened_open(&l, o, o->args, o->n_args, &e);
	if (!r)
		r = opened_refresh(&l, o, &e);
	if (!r && o->exact)
		r = opened_tree(&l, o, &e);
	if (!r && o->exact)
		r = opened_exact(&l, o, &failed, &e);
	struct index_status s;
	if (r) {
		complain("%s", e.msg);
	} else {
		index_status(l.ix, &s);
		if (!o->quiet)
			report(&s, failed);
	}
	opened_end(&l);
	return r ? 1 : 0;
}
