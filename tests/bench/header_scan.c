/*
 * What it costs to know the models of a lake by their headers: names and first bytes, every header opened, everything that
 * headers and documents say, and all of it in a new catalog. One thread. usage: header_scan LAKE CATALOG
 * Prints a line each: models a second of CPU, and what.
 */
#include "core/job/index.h"
#include "core/lake/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const struct err *e)
{
	fprintf(stderr, "%s\n", e->msg);
	exit(1);
}

static double scanned(const char *root, struct lake *l, struct scan *s)
{
	struct err e = ERR_INIT;
	if (lake_open(l, &root, 1, &e) < 0 || lake_scan(s, l, 0, 1, NULL, NULL, &e) < 0)
		fail(&e);
	return cpu();
}

static void opened(const struct lake *l, const struct scan_model *m)
{
	for (size_t i = 0; i < m->n_files; i++) {
		struct err e = ERR_INIT;
		struct io io;
		struct weights w;
		const char *path = m->files[i].path;
		if (m->files[i].kind != SCAN_WEIGHTS)
			continue;
		if (lake_open_file(l, m->root, path, &io, &e) < 0 || weights_open_io(&w, &io, &path, 1, &e) < 0)
			fail(&e);
		weights_release(&w);
	}
}

static void inspected(const struct lake *l, const struct scan_model *m)
{
	struct err e = ERR_INIT;
	struct inspect in;
	struct inspect_input input = {
		.lake = l, .root = m->root, .id = m->id, .dir = m->dir, .layout = m->layout, .revision = m->revision,
		.files = m->files, .n_files = m->n_files,
	};
	if (inspect_model(&in, &input, &e) < 0)
		fail(&e);
	inspect_release(&in);
}

static void all(const char *what, const struct lake *l, const struct scan *s, double scanning,
		void (*each)(const struct lake *l, const struct scan_model *m))
{
	double began = cpu();
	for (size_t i = 0; i < s->n_models; i++)
		each(l, &s->models[i]);
	printf("%.2f\t%s\n", (double)s->n_models / (cpu() - began + scanning), what);
}

struct seen { struct cancel *cancel; double first, last; uint64_t from, to; };

/* The rate of the phase between the first and the last time that it was seen. */
static void progress(void *arg, const struct index_status *now)
{
	struct seen *k = arg;
	if (now->phase == INDEX_HEADERS && now->done) {
		if (k->first == 0) {
			k->first = cpu();
			k->from = now->done;
		}
		k->last = cpu();
		k->to = now->done;
	}
	if (now->phase > INDEX_HEADERS)
		atomic_store(&k->cancel->set, true);
}

static void kept(const char *root, const char *catalog, double scanning, size_t n)
{
	struct err e = ERR_INIT;
	struct cancel c = {0};
	struct seen k = {.cancel = &c};
	struct index *ix;
	if (index_open(&ix, &(struct index_options){.lakes = &root, .n_lakes = 1, .catalog = catalog, .jobs = 1}, &e) <
	    0)
		fail(&e);
	if (index_run(ix, &c, progress, &k, &e) < 0 && !cancel_asked(&c))
		fail(&e);
	index_close(ix);
	if (k.to <= k.from)
		return;
	double each = (k.last - k.first) / (double)(k.to - k.from) + scanning / (double)n;
	printf("%.2f\tall of it in a new catalog\n", 1 / each);
}

int main(int argc, char **argv)
{
	struct lake l;
	struct scan s;
	if (argc != 3)
		return 2;
	double began = cpu(), scanning = scanned(argv[1], &l, &s) - began;
	printf("%.2f\tnames and files\n", (double)s.n_models / scanning);
	all("every header opened", &l, &s, scanning, opened);
	all("all that headers and documents say", &l, &s, scanning, inspected);
	kept(argv[1], argv[2], scanning, s.n_models);
	scan_release(&s);
	lake_close(&l);
	return 0;
}
