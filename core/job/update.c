/* From a walk over the lake to a new view: what stayed keeps its row, what changed gets a new one. */
#include "core/job/beside.h"
#include "core/job/index_internal.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

/* Names that a nested model may not take below another model: the entries of a model's directory. */
static const char *const reserved[] = {"README.md",    "card.md",       "cite.bib",      "audit.tsv",  "audit.json",
				       "problems.tsv", "problems.json", "metadata.json", "metadata",   "files",
				       "tensors.tsv",  "tensors.json",  "signature.npy", "evaluation", "lineage",
				       "neighbours",   "exact",         "diff",          "export",     NULL};

static uint64_t identity_of(const struct scan_model *s)
{
	uint64_t h = hash64(s->dir, strlen(s->dir), s->root);
	for (size_t i = 0; i < s->n_files; i++) {
		const struct scan_file *f = &s->files[i];
		struct { struct io_id id; uint32_t uid, gid, mode, kind; } k;
		memset(&k, 0, sizeof k);
		k.id = f->id;
		k.uid = f->uid, k.gid = f->gid, k.mode = f->mode, k.kind = f->kind;
		h = hash64(f->name, strlen(f->name), h);
		h = hash64(&k, sizeof k, h);
	}
	return h;
}

/* What permission bits (read, or search one place lower) allow to a node's classes: who is of another class there has
 * what everyone has. */
static uint16_t granted(unsigned mode, uint32_t uid, uint32_t gid, const struct view_model *m)
{
	unsigned other = mode & 4, group = gid == m->gid ? mode >> 3 & 4 : other;
	unsigned owner = uid == m->uid ? mode >> 6 & 4 : group;
	return (uint16_t)(owner << 6 | group << 3 | other);
}

static void grant(struct view_model *m, const struct scan_file *f)
{
	m->mode &= granted(f->mode, f->uid, f->gid, m);
	for (const struct scan_dir *d = f->in; d; d = d->above)
		m->mode &= granted((unsigned)d->mode << 2, d->uid, d->gid, m);
}

/*
 * Owner and mode of the virtual nodes: of its weights (else its first file); who may read all its files, and search all
 * directories they lie in. As long as that is not known nobody else is let in.
 */
static struct view_model describe(const struct scan_model *s, bool named)
{
	struct view_model m = {.root = (uint8_t)s->root, .mode = named ? 0444 : 0400};
	m.uid = geteuid();
	m.gid = getegid();
	if (!named)
		return m;
	bool owned = false;
	for (size_t i = 0; i < s->n_files; i++) {
		const struct scan_file *f = &s->files[i];
		if (f->broken)
			continue;
		if (!owned || f->kind == SCAN_WEIGHTS) {
			m.uid = f->uid;
			m.gid = f->gid;
			owned = true;
		}
		m.mtime_ns = MAX(m.mtime_ns, f->id.mtime_ns);
		if (f->kind == SCAN_CARD)
			m.flags |= VIEW_CARD;
	}
	for (size_t i = 0; i < s->n_files; i++)
		if (!s->files[i].broken)
			grant(&m, &s->files[i]);
	m.identity = hash_mix(identity_of(s) ^ m.mode) >> 1 | 1;	/* positive in SQLite, never 0 */
	return m;
}

/* Is it the model that was known? If not for what lies beside it, *m gets an identity of its own. */
static bool is_known(const struct view_model *known, const struct beside_models *beside, struct view_model *m)
{
	const struct beside_model *b = known && m->identity ? beside_find(beside, known->id) : NULL;
	if (!b)
		return known && known->identity == m->identity;
	bool same = known->identity == m->identity || known->identity == (m->identity ^ b->now);
	if (!b->changed)
		return same;
	m->identity ^= b->now;
	m->identity += !m->identity;
	return false;
}

static int build(struct index *ix, const struct scan *s, bool named, struct view *old, struct view **now,
		 uint32_t **fresh, size_t *n_fresh, struct err *e)
{
	struct view_builder b = {0};
	uint32_t *list = mem_array(s->n_models ? s->n_models : 1, sizeof *list);
	size_t n = 0;
	bool same = old && old->n == s->n_models;
	struct beside_models beside = {0};
	int r = !list ? err_nomem(e) : named ? beside_look(&beside, ix->catalog, &ix->lake, e) : 0;
	for (size_t i = 0; i < s->n_models && !r; i++) {
		struct view_model m = describe(&s->models[i], named);
		const struct view_model *known = old ? view_by_name(old, s->models[i].id) : NULL;
		if (is_known(known, &beside, &m)) {
			m = view_model_copy(known);
		} else {
			/* a model that was only named so far keeps the number it was seen with */
			m.id = known && !known->identity ? known->id : (uint32_t)++ix->last_id;
			list[n++] = (uint32_t)i;
			same = false;
		}
		if (view_builder_add(&b, &m, s->models[i].id) < 0)
			r = err_nomem(e);
	}
	*now = NULL;
	if (!r && !same && !(*now = view_build(&b, (old ? old->generation : ix->status.generation) + 1, old)))
		r = err_nomem(e);
	view_builder_release(&b);
	beside_release(&beside);
	if (r < 0) {
		free(list);
		return r;
	}
	*fresh = list;
	*n_fresh = n;
	return 0;
}

/* Within the caller's transaction. *gone: rows that the old view names were dropped. */
static int store_changes(struct index *ix, const struct scan *s, struct view *old, struct view *now,
			 const uint32_t *fresh, size_t n_fresh, bool *gone, struct err *e)
{
	int r = 0;
	*gone = false;
	for (uint32_t i = 0; old && i < old->n && !r; i++) {
		if (old->models[i].identity && !view_by_id(now, old->models[i].id)) {
			*gone = true;
			r = store_drop_model(ix->catalog, old->models[i].id, e);
		}
	}
	for (size_t i = 0; i < n_fresh && !r; i++) {
		const struct scan_model *m = &s->models[fresh[i]];
		r = store_put_model(ix->catalog, view_by_name(now, m->id), m, e);
	}
	if (!r)
		r = catalog_do(ix->catalog, Q_META_SET, e, "si", "generation", (int64_t)now->generation);
	if (!r)	/* what depended on the lake as it was */
		r = catalog_do(ix->catalog, Q_RENDERED_OLD, e, "ii", (int64_t)1 << 40,
			       ((int64_t)1 << 40) + (int64_t)now->generation);
	return r;
}

/* 1: other files than before are shown nowhere */
static int put_unread(struct index *ix, const struct scan *s, struct err *e)
{
	/* rewritten only when it changed: a second look at an unchanged lake writes nothing */
	uint64_t h = s->n_unread;
	for (size_t i = 0; i < s->n_unread; i++) {
		h = hash64(s->unread[i].path, strlen(s->unread[i].path), h ^ s->unread[i].bytes);
		h = hash64(s->unread[i].reason, strlen(s->unread[i].reason), h);
	}
	if (catalog_number(ix->catalog, Q_META_GET, 0, "s", "unread") == (int64_t)(h >> 1))
		return 0;
	int r = catalog_begin(ix->catalog, e);
	if (r < 0)
		return r;
	r = store_put_unread(ix->catalog, s, e);
	if (!r)
		r = catalog_do(ix->catalog, Q_META_SET, e, "si", "unread", (int64_t)(h >> 1));
	if (r < 0) {
		catalog_rollback(ix->catalog);
		return r;
	}
	r = catalog_commit(ix->catalog, e);
	return r < 0 ? r : 1;
}

static void grow(struct view_model *m, uint32_t flags, uint8_t state, uint64_t computed)
{
	atomic_fetch_or(&m->flags, flags);
	atomic_fetch_or(&m->computed, computed);
	if (m->state < state)
		atomic_store(&m->state, state);
}

/* What was found out between the making of a view and its publishing. Called with the lock. */
static void inherit(const struct view *old, struct view *now)
{
	for (uint32_t i = 0; i < now->n; i++) {
		const struct view_model *m = view_by_id(old, now->models[i].id);
		if (m)
			grow(&now->models[i], m->flags, m->state, m->computed);
	}
}

void index_note_model(struct index *ix, uint32_t id, uint32_t flags, int state, uint64_t computed)
{
	pthread_mutex_lock(&ix->lock);
	struct view_model *m = (struct view_model *)view_by_id(ix->view, id);
	if (m)
		grow(m, flags, (uint8_t)state, computed);
	pthread_mutex_unlock(&ix->lock);
}

void index_catch_up(struct index *ix, const struct view_model *m)
{
	struct view *v = index_view(ix);
	const struct view_model *now = view_by_id(v, m->id);
	if (now && now != m)
		grow((struct view_model *)m, now->flags, now->state, now->computed);
	view_unref(v);
}

/* Called with the lock; the old view is the caller's to announce. */
static struct view *swap(struct index *ix, struct view *now)
{
	struct view *old = ix->view;
	if (old)
		inherit(old, now);
	ix->view = now;
	ix->status.generation = now->generation;
	ix->status.models = now->n;
	pthread_cond_broadcast(&ix->changed);
	return old;
}

static void announce(struct index *ix, struct view *old, struct view *now)
{
	if (ix->on_change && old)
		ix->on_change(ix->on_change_arg, old, now);
	view_unref(old);
}

void publish(struct index *ix, struct view *now)
{
	pthread_mutex_lock(&ix->lock);
	struct view *old = swap(ix, now);
	pthread_mutex_unlock(&ix->lock);
	announce(ix, old, now);
}

/* The transaction's end and the new view in one: who takes a view after the rows are gone takes the new one. */
static int commit_view(struct index *ix, struct view *now, struct err *e)
{
	pthread_mutex_lock(&ix->lock);
	int r = catalog_commit(ix->catalog, e);
	struct view *old = r < 0 ? NULL : swap(ix, now);
	pthread_mutex_unlock(&ix->lock);
	if (r == 0)
		announce(ix, old, now);
	return r;
}

static int store_view(struct index *ix, const struct scan *s, struct view *old, struct view *now,
		      const uint32_t *fresh, size_t n_fresh, struct err *e)
{
	bool gone;
	int r = catalog_begin(ix->catalog, e);
	if (r < 0)
		return r;
	r = store_changes(ix, s, old, now, fresh, n_fresh, &gone, e);
	if (r < 0)
		catalog_rollback(ix->catalog);
	else if (gone)
		return commit_view(ix, now, e);
	else if ((r = catalog_commit(ix->catalog, e)) == 0)	/* can be long when a lake is new: nobody waits for it */
		publish(ix, now);
	return r;
}

int publish_again(struct index *ix, struct err *e)
{
	struct view *old = index_view(ix);
	struct view_builder b = {0};
	int r = 0;
	for (uint32_t i = 0; i < old->n && !r; i++)
		if (view_builder_add(&b, &old->models[i], view_name(old, &old->models[i])) < 0)
			r = err_nomem(e);
	struct view *now = r < 0 ? NULL : view_build(&b, old->generation + 1, old);
	view_builder_release(&b);
	view_unref(old);
	if (!now)
		return err_nomem(e);
	r = catalog_do(ix->catalog, Q_META_SET, e, "si", "generation", (int64_t)now->generation);
	if (!r)
		r = catalog_do(ix->catalog, Q_RENDERED_OLD, e, "ii", (int64_t)1 << 40,
			       ((int64_t)1 << 40) + (int64_t)now->generation);
	publish(ix, now);
	return r;
}

static int scan_lake(struct index *ix, struct scan *s, unsigned flags, const struct cancel *c, struct err *e)
{
	return lake_scan(s, &ix->lake, flags, ix->jobs, reserved, c, e);
}

int update_names(struct index *ix)
{
	struct scan s;
	struct err e = ERR_INIT;
	struct view *now = NULL;
	uint32_t *fresh;
	size_t n;
	int r = scan_lake(ix, &s, SCAN_NAMES_ONLY, NULL, &e);
	if (r < 0)
		return r;
	r = build(ix, &s, false, NULL, &now, &fresh, &n, &e);
	scan_release(&s);
	if (r < 0)
		return r;
	free(fresh);
	/* a generation that nothing was stored of: what an earlier mount told under its number was of another lake */
	catalog_do(ix->catalog, Q_RENDERED_OLD, &e, "ii", (int64_t)1 << 40, ((int64_t)1 << 40) + (int64_t)now->generation + 1);
	publish(ix, now);
	malloc_trim(0);
	return 0;
}

int update_scan(struct index *ix, const struct cancel *c, struct err *e)
{
	struct scan s;
	int r = scan_lake(ix, &s, 0, c, e);
	if (r < 0)
		return r;
	struct view *old = index_view(ix), *now;
	uint32_t *fresh;
	size_t n;
	r = build(ix, &s, true, old, &now, &fresh, &n, e);
	if (r == 0) {
		r = put_unread(ix, &s, e);
		if (r >= 0 && now)
			r = store_view(ix, &s, old, now, fresh, n, e);
		else if (r > 0)
			r = publish_again(ix, e);
		if (r < 0)
			view_unref(now);
		free(fresh);
	}
	view_unref(old);
	scan_release(&s);
	malloc_trim(0);
	pthread_mutex_lock(&ix->lock);
	ix->named = ix->named || r == 0;
	pthread_cond_broadcast(&ix->changed);
	pthread_mutex_unlock(&ix->lock);
	return r;
}
