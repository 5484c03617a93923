/* A model's sweep: tensors over workers, largest first; or files, where each worker can have one of its own. */
#include "core/analysis/exact_tensor.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

struct task {
	uint32_t index;		/* of the tensor or file */
	uint64_t bytes;
};

struct job {
	struct exact *x;
	const struct weights *w;
	const struct cancel *cancel;
	struct task *tasks;
	size_t n;
	const uint32_t *order;	/* by file: tensors, sorted by file and offset */
	atomic_size_t next;
	pthread_mutex_t lock;	/* of err */
	struct err *err;
	bool failed;
};

static void fail(struct job *j, const struct err *e)
{
	pthread_mutex_lock(&j->lock);
	if (!j->failed && j->err)
		*j->err = *e;
	j->failed = true;
	pthread_mutex_unlock(&j->lock);
}

static int by_bytes(const void *a, const void *b)
{
	const struct task *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* --- whole files --- */

/* Bytes [from, to) into the hash. */
static int hash_range(struct hash_state *h, const struct io *io, uint64_t from, uint64_t to, unsigned char *raw,
		      const struct cancel *cancel, struct err *e)
{
	for (uint64_t n; from < to; from += n) {
		n = MIN(to - from, (uint64_t)EXACT_CHUNK);
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "cancelled");
		int r = io_pread(io, raw, n, from, e);
		if (r < 0)
			return r;
		hash_update(h, raw, n);
	}
	return 0;
}

int exact_file(struct hash128 *h, const struct io *io, const struct cancel *cancel, struct err *e)
{
	cleanup_free unsigned char *raw = mem_alloc(EXACT_CHUNK);
	struct hash_state *s = raw ? hash_new() : NULL;
	if (!s)
		return err_nomem(e);
	int r = hash_range(s, io, 0, io->size, raw, cancel, e);
	*h = hash_digest(s);
	hash_free(s);
	return r;
}

/* A file from its first byte to its last, its tensors on the way. */
static int sweep_file(struct job *j, struct exact_worker *k, uint32_t file, struct err *e)
{
	const struct weights *w = j->w;
	const struct io *io = &w->files[file].io;
	struct hash_state *h = hash_new();
	uint64_t at = 0;
	int r = h ? 0 : err_nomem(e);
	for (size_t i = 0; i < w->n_tensors && !r; i++) {
		const struct tensor *t = &w->tensors[j->order[i]];
		if (t->file != file)
			continue;
		if (t->bytes)
			r = hash_range(h, io, at, t->offset, k->raw, j->cancel, e);
		if (!r)
			r = exact_sweep(k, w, t, h, &j->x->tensors[j->order[i]], e);
		at = t->bytes ? t->offset + t->bytes : at;
	}
	if (!r)
		r = hash_range(h, io, at, io->size, k->raw, j->cancel, e);
	if (!r)
		j->x->files[file] = hash_digest(h);
	hash_free(h);
	return r;
}

/* --- workers --- */

static int work(void *arg, size_t i)
{
	struct job *j = arg;
	struct exact_worker k;
	struct err e = ERR_INIT;
	int r = exact_worker_init(&k, j->cancel, &e);
	(void)i;
	while (!r) {
		size_t at = atomic_fetch_add(&j->next, 1);
		if (at >= j->n)
			break;
		uint32_t index = j->tasks[at].index;
		r = j->order ? sweep_file(j, &k, index, &e) :
			       exact_sweep(&k, j->w, &j->w->tensors[index], NULL, &j->x->tensors[index], &e);
	}
	exact_worker_release(&k);
	if (r < 0) {
		atomic_store(&j->next, j->n);
		fail(j, &e);
	}
	return r;
}

struct place { uint64_t offset, bytes; uint32_t file, tensor; };

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

/* Tensors by file and offset, when none shares bytes with another; else *order is NULL. */
static int file_order(const struct weights *w, uint32_t **order, struct err *e)
{
	cleanup_free struct place *p = mem_array(w->n_tensors, sizeof *p);
	cleanup_free uint32_t *o = mem_array(w->n_tensors, sizeof *o);
	*order = NULL;
	if (!p || !o)
		return err_nomem(e);
	for (size_t i = 0; i < w->n_tensors; i++) {
		const struct tensor *t = &w->tensors[i];
		if (!exact_in_place(w, t))
			return 0;
		p[i] = (struct place){t->offset, t->bytes, t->file, (uint32_t)i};
	}
	qsort(p, w->n_tensors, sizeof *p, by_place);
	uint64_t at = 0;
	for (size_t i = 0; i < w->n_tensors; i++) {
		if (i && p[i].file != p[i - 1].file)
			at = 0;
		if (p[i].bytes && p[i].offset < at)
			return 0;
		if (p[i].bytes)
			at = p[i].offset + p[i].bytes;
		o[i] = p[i].tensor;
	}
	*order = steal(&o);
	return 0;
}

static int plan(struct job *j, unsigned threads, uint32_t **order, struct err *e)
{
	const struct weights *w = j->w;
	struct exact *x = j->x;
	int r = 0;
	*order = NULL;
	if (w->n_files >= threads)
		r = file_order(w, order, e);
	if (r < 0)
		return r;
	j->order = *order;
	j->n = *order ? w->n_files : w->n_tensors;
	j->tasks = mem_array(j->n, sizeof *j->tasks);
	x->tensors = arena_array(&x->arena, w->n_tensors, sizeof *x->tensors);
	x->files = *order ? arena_array(&x->arena, w->n_files, sizeof *x->files) : NULL;
	if (!j->tasks || !x->tensors || (*order && !x->files))
		return err_nomem(e);
	x->n = w->n_tensors;
	x->n_files = *order ? w->n_files : 0;
	for (size_t i = 0; i < j->n; i++)
		j->tasks[i] = (struct task){(uint32_t)i, *order ? w->files[i].io.size :
								  MAX(w->tensors[i].bytes, w->tensors[i].elements)};
	qsort(j->tasks, j->n, sizeof *j->tasks, by_bytes);
	for (size_t i = 0; i < x->n; i++) {
		x->tensors[i].name = arena_strdup(&x->arena, w->tensors[i].name);
		if (!x->tensors[i].name)
			return err_nomem(e);
	}
	return 0;
}

int exact_of(struct exact *x, const struct weights *w, unsigned threads, const struct cancel *cancel, struct err *e)
{
	struct job j = {.x = x, .w = w, .cancel = cancel, .err = e};
	cleanup_free uint32_t *order = NULL;
	*x = (struct exact){0};
	if (!threads)
		threads = pool_cores();
	int r = plan(&j, threads, &order, e);
	if (!r) {
		pthread_mutex_init(&j.lock, NULL);
		r = pool_for(threads, MIN((size_t)threads, MAX(j.n, (size_t)1)), work, &j);
		pthread_mutex_destroy(&j.lock);
	}
	free(j.tasks);
	if (r < 0)
		exact_release(x);
	return r;
}

void exact_release(struct exact *x)
{
	arena_release(&x->arena);
	*x = (struct exact){0};
}
