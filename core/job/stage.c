/* Looking into models: headers, then signatures, for all of them or for one that is asked for. */
#include "core/job/index_internal.h"

#include "core/analysis/export.h"
#include "core/base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 128, SIGNED_CHUNK = 12 };	/* stored at once; of signatures fewer, which are large */

/* What was found out about one model, until it is stored. */
struct finding {
	uint32_t id;
	int state;
	uint32_t flags;
	struct arena arena;	/* of the file list */
	struct inspect inspect;
	bool inspected, signed_;
	uint64_t export_size;	/* 0: nothing to export */
	struct signature signature;
	struct buf blob;	/* the signature encoded */
	int result;		/* of making the signature */
	struct err err;
};

static void finding_release(struct finding *f)
{
	if (f->signed_)
		signature_release(&f->signature);
	if (f->inspected)
		inspect_release(&f->inspect);
	buf_release(&f->blob);
	arena_release(&f->arena);
	*f = (struct finding){0};
}

/* Names that clash keep a model from being exported, nothing else. */
static int measure_export(struct finding *f, struct err *e)
{
	struct export x;
	if (!(f->flags & VIEW_WEIGHTS))
		return 0;
	int r = export_plan(&x, &f->inspect.weights, &f->inspect.canon, export_architecture(&f->inspect.weights), e);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	f->export_size = x.size;
	export_release(&x);
	return 0;
}

/* What the machine or the caller did says nothing of the model: it is kept as not signed, not as a model without a signature. */
static bool fault_of_file(int result)
{
	static const int others[] = {ECANCELED, ENOMEM, EINTR, EMFILE, ENFILE, ESTALE};
	for (size_t i = 0; i < COUNT(others); i++)
		if (result == -others[i])
			return false;
	return true;
}

static int look(struct index *ix, struct finding *f, int state, const struct cancel *c, struct err *e)
{
	struct scan_model m;
	int r = store_get_files(ix->catalog, f->id, &f->arena, &m, e);
	if (r < 0)
		return r;
	struct inspect_input in = {
		.lake = &ix->lake, .root = m.root, .id = m.id, .dir = m.dir, .layout = m.layout, .revision = m.revision,
		.files = m.files, .n_files = m.n_files,
	};
	if ((r = inspect_model(&f->inspect, &in, e)) < 0)
		return r;
	f->inspected = true;
	f->flags = store_flags(&f->inspect);
	f->state = VIEW_INSPECTED;
	if ((r = measure_export(f, e)) < 0)
		return r;
	if (state < VIEW_SIGNED)
		return 0;
	f->state = VIEW_SIGNED;
	if (!(f->flags & VIEW_WEIGHTS))
		return 0;
	f->result = signature_of(&f->signature, &f->inspect.weights, &f->inspect.canon, c, &f->err);
	if (!fault_of_file(f->result)) {
		f->state = VIEW_INSPECTED;	/* to be signed another time */
		if (e)
			*e = f->err;
		return f->result;
	}
	f->signed_ = f->result == 0;
	return f->signed_ ? signature_encode(&f->signature, &f->blob, e) : 0;
}

/* Has the part values that no training leaves on purpose: NaN, or nothing but infinities? Masks are half of those. */
static bool is_spoilt(const struct sigpart *p)
{
	size_t n = (size_t)p->nr * p->nc, bad = 0;
	for (size_t i = 0; i < n; i++) {
		if (isnan(p->v[i]))
			return true;
		bad += isinf(p->v[i]) != 0;
	}
	return n && bad == n;
}

static int tell_spoilt(struct catalog *c, struct finding *f, struct err *e)
{
	const struct weights *w = &f->inspect.weights;
	const struct signature *s = &f->signature;
	const struct tensor *first = NULL;
	size_t spoilt = 0;
	char detail[400];
	for (size_t i = 0; i < s->n_parts; i++) {
		if (!is_spoilt(&s->parts[i]))
			continue;
		first = first || s->parts[i].tensor >= w->n_tensors ? first : &w->tensors[s->parts[i].tensor];
		spoilt++;
	}
	if (!first)
		return 0;
	snprintf(detail, sizeof detail, "NaN, or nothing but infinities, in %zu of %zu parts sampled, first in %.200s",
		 spoilt, s->n_parts, first->name);
	f->flags |= VIEW_PROBLEMS;
	return catalog_do(c, Q_PROBLEM_ADD, e, "isss", (int64_t)f->id, w->files[first->file].path, "non-finite values",
			  detail);
}

/* Within a transaction. */
static int store_finding(struct index *ix, struct finding *f, struct facets_seen *ids, struct err *e)
{
	struct catalog *c = ix->catalog;
	if (!catalog_number(c, Q_MODEL_EXISTS, 0, "i", (int64_t)f->id))
		return 0;	/* it left the lake meanwhile */
	int r = store_put_inspection(c, f->id, &f->inspect, f->flags, ids, e);
	if (!r && f->export_size)
		r = catalog_do(c, Q_EXPORT_PUT, e, "iii", (int64_t)f->id, (int64_t)f->export_size, (int64_t)0);
	if (r < 0 || f->state < VIEW_SIGNED)
		return r;
	if (f->signed_ && (r = tell_spoilt(c, f, e)) < 0)
		return r;
	if (f->signed_)
		return store_put_signature(c, f->id, &f->signature, &f->blob, f->flags, e);
	if (f->result < 0) {
		f->flags |= VIEW_PROBLEMS;
		r = catalog_do(c, Q_PROBLEM_ADD, e, "isss", (int64_t)f->id, "", "no signature", f->err.msg);
	}
	return r < 0 ? r
		     : catalog_do(c, Q_MODEL_STATE, e, "iii", (int64_t)f->id, (int64_t)VIEW_SIGNED, (int64_t)f->flags);
}

static int store_findings(struct index *ix, struct finding *f, size_t n, struct err *e)
{
	struct facets_seen ids = {0};
	int r = catalog_begin(ix->catalog, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !r; i++)
		if (f[i].inspected)
			r = store_finding(ix, &f[i], &ids, e);
	facets_seen_release(&ids);
	if (r < 0)
		catalog_rollback(ix->catalog);
	else
		r = catalog_commit(ix->catalog, e);
	for (size_t i = 0; i < n && !r; i++)
		if (f[i].inspected)
			index_note_model(ix, f[i].id, f[i].flags, f[i].state, 0);
	return r;
}

/* Some models are looked into while those before them are stored. */
struct chunk {
	struct index *ix;
	struct finding *f, *last;	/* CHUNK each */
	size_t n, n_last;
	int state;
	const struct cancel *cancel;
	uint64_t before;
	_Atomic uint64_t done;
	struct err err;			/* of storing */
};

static int store_last(struct chunk *k)
{
	int r = k->n_last ? store_findings(k->ix, k->last, k->n_last, &k->err) : 0;
	for (size_t i = 0; i < k->n_last; i++)
		finding_release(&k->last[i]);
	k->n_last = 0;
	return r;
}

static int look_at(void *arg, size_t i)
{
	struct chunk *k = arg;
	struct err e = ERR_INIT;
	if (!i--)
		return store_last(k);
	int r = look(k->ix, &k->f[i], k->state, k->cancel, &e);
	if (r == -ESTALE)	/* left the lake: the next scan knows */
		r = 0;
	if (r < 0 && r != -ECANCELED)
		index_note_error(k->ix, &e);
	status_step(k->ix, k->before + atomic_fetch_add(&k->done, 1) + 1, 0, NULL);
	if (cancel_asked(k->cancel))
		return -ECANCELED;
	return r == -ENOMEM || r == -ECANCELED ? r : 0;
}

static size_t pick(struct view *v, uint32_t *at, int state, struct finding *f)
{
	size_t n = 0, most = state < VIEW_SIGNED ? CHUNK : SIGNED_CHUNK;
	for (; *at < v->n && n < most; ++*at)
		if (v->models[*at].state < state)
			f[n++] = (struct finding){.id = v->models[*at].id, .err = ERR_INIT};
	return n;
}

static uint64_t count_below(struct view *v, int state)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < v->n; i++)
		n += v->models[i].state < state;
	return n;
}

/* What was looked into is the last from now on. */
static void turn(struct chunk *k)
{
	struct finding *f = k->last;
	k->last = k->f;
	k->f = f;
	k->n_last = k->n;
	k->before += k->n;
	k->n = 0;
	k->done = 0;
}

static int stage_chunks(struct chunk *k, struct view *v, struct err *e)
{
	uint32_t at = 0;
	int r = 0;
	do {
		k->n = r ? 0 : pick(v, &at, k->state, k->f);
		int s = pool_for(k->ix->jobs, k->n + 1, look_at, k);
		r = r ? r : s;
		turn(k);
	} while (k->n_last);
	if (r == -ECANCELED)
		return err_set(e, ECANCELED, "interrupted");
	if (r < 0 && !k->err.code)	/* not of storing: the index keeps what others say */
		return r == -ENOMEM ? err_nomem(e) : r;
	if (r < 0 && e)
		*e = k->err;
	return r;
}

int stage_models(struct index *ix, int state, enum index_phase phase, const struct cancel *c, struct err *e)
{
	struct view *v = index_view(ix);
	uint64_t total = count_below(v, state);
	cleanup_free struct finding *f = mem_array(CHUNK, sizeof *f), *last = mem_array(CHUNK, sizeof *last);
	struct chunk k = {.ix = ix, .f = f, .last = last, .state = state, .cancel = c, .err = ERR_INIT};
	int r = f && last ? 0 : err_nomem(e);
	if (r == 0 && total) {
		status_phase(ix, phase, total);
		r = stage_chunks(&k, v, e);
	}
	view_unref(v);
	if (r == 0 && total)
		r = publish_again(ix, e);
	return r;
}

bool index_scanned(struct index *ix)
{
	pthread_mutex_lock(&ix->lock);
	bool named = ix->named;
	pthread_mutex_unlock(&ix->lock);
	return named;
}

int index_need_scan(struct index *ix, const struct cancel *c, struct err *e)
{
	pthread_mutex_lock(&ix->lock);
	while (!ix->named && !ix->stopping && !cancel_asked(c)) {
		struct timespec at;
		clock_gettime(CLOCK_REALTIME, &at);
		at.tv_nsec += 50000000;
		if (at.tv_nsec >= 1000000000)
			at.tv_sec++, at.tv_nsec -= 1000000000;
		pthread_cond_timedwait(&ix->changed, &ix->lock, &at);
	}
	bool named = ix->named;
	pthread_mutex_unlock(&ix->lock);
	return named ? 0 : err_set(e, ECANCELED, "interrupted");
}

int index_need_model(struct index *ix, uint32_t id, int state, const struct cancel *c, struct err *e)
{
	struct finding f = {.id = id, .err = ERR_INIT};
	int r = index_need_scan(ix, c, e);
	if (r < 0)
		return r;
	struct view *v = index_view(ix);
	const struct view_model *m = view_by_id(v, id);
	int have = m ? m->state : -1;
	view_unref(v);
	if (have < 0)
		return err_set(e, ESTALE, "the model is no longer in the lake");
	if (have >= state)
		return 0;
	r = look(ix, &f, state, c, e);
	if (r == 0)
		r = store_findings(ix, &f, 1, e);
	if (r == 0 && f.result < 0 && e) {
		*e = f.err;
		r = f.result;
	}
	finding_release(&f);
	return r;
}
