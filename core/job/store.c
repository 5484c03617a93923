#include "core/job/store.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/job/facets.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put_files(struct catalog *c, uint32_t id, const struct scan_model *s, struct err *e)
{
	int r = 0;
	for (size_t i = 0; i < s->n_files && !r; i++) {
		const struct scan_file *f = &s->files[i];
		r = catalog_do(c, Q_FILE_PUT, e, "iissiiiiiiiiii", (int64_t)id, (int64_t)i, f->name, f->path,
			       (int64_t)f->kind, (int64_t)f->id.size, f->id.mtime_ns, f->id.ctime_ns,
			       (int64_t)f->id.dev, (int64_t)f->id.ino, (int64_t)f->uid, (int64_t)f->gid,
			       (int64_t)f->mode, (int64_t)f->broken);
	}
	return r;
}

int store_put_model(struct catalog *c, const struct view_model *m, const struct scan_model *s, struct err *e)
{
	int r = catalog_do(c, Q_MODEL_PUT, e, "isiiiiiiisiss", (int64_t)m->id, s->id, (int64_t)m->root,
			   (int64_t)m->flags, m->mtime_ns, (int64_t)m->uid, (int64_t)m->gid, (int64_t)m->mode,
			   (int64_t)m->identity, s->dir, (int64_t)s->single, s->layout, s->revision);
	return r < 0 ? r : put_files(c, m->id, s, e);
}

int store_drop_model(struct catalog *c, uint32_t id, struct err *e)
{
	static const enum query drops[] = {
		Q_MODEL_DROP,          Q_FILES_DROP,        Q_BESIDE_DROP,    Q_FACTS_DROP,    Q_PROBLEMS_DROP,
		Q_DECLARED_DROP,       Q_EVALUATIONS_DROP,  Q_FACETS_OF_DROP, Q_SIGNED_DROP,   Q_FAMILY_DROP,
		Q_EDGES_DROP,          Q_ORIGINS_DROP,      Q_EXACT_DROP,     Q_DIFF_DROP,     Q_EXPORT_DROP,
		Q_EXPORT_TENSORS_DROP, Q_EXPORT_DELTA_DROP, Q_NEAR_DROP,      Q_RENDERED_DROP, Q_RENDERED_PAIR_DROP,
	};
	int r = catalog_do(c, Q_FAMILY_STALE, e, "i", (int64_t)id);	/* its kin are to be told apart anew */
	for (size_t i = 0; i < COUNT(drops) && !r; i++)
		r = catalog_do(c, drops[i], e, "i", (int64_t)id);
	return r;
}

int store_put_unread(struct catalog *c, const struct scan *s, struct err *e)
{
	int r = catalog_do(c, Q_UNREAD_CLEAR, e, "");
	for (size_t i = 0; i < s->n_unread && !r; i++)
		r = catalog_do(c, Q_UNREAD_PUT, e, "sis", s->unread[i].path, (int64_t)s->unread[i].bytes,
			       s->unread[i].reason);
	return r;
}

/* How much a table with a row a tensor takes, at most. */
static uint32_t sizes(const struct inspect *in)
{
	enum { NUMBERS = 128 };	/* a row's other cells, shapes of ordinary ranks */
	uint64_t elements = 0, breadth = NUMBERS;
	for (size_t i = 0; i < in->weights.n_tensors; i++) {
		const struct tensor *t = &in->weights.tensors[i];
		size_t name = strlen(t->name), shown = name + strlen(in->weights.files[t->file].path);
		for (size_t k = 0; k < name; k++)
			shown += (unsigned char)t->name[k] < ' ' || (unsigned char)t->name[k] > '~'
					 ? 3
					 : t->name[k] == '\\';
		breadth += NUMBERS + shown;
		elements = t->elements > UINT64_MAX - elements ? UINT64_MAX : elements + t->elements;
	}
	for (size_t i = 0; i < in->canon.n_parts; i++)
		breadth += strlen(in->canon.parts[i].role) + 1;
	return view_sizes(elements, breadth);
}

uint32_t store_flags(const struct inspect *in)
{
	static const struct { unsigned from; uint32_t to; } map[] = {
		{FACTS_CARD, VIEW_CARD}, {FACTS_CONFIG, VIEW_CONFIG}, {FACTS_ADAPTER, VIEW_ADAPTER},
		{FACTS_TOKENIZER, VIEW_TOKENIZER}, {FACTS_PIPELINE, VIEW_PIPELINE}, {FACTS_HAZARDS, VIEW_HAZARDS},
	};
	uint32_t flags = 0;
	for (size_t i = 0; i < COUNT(map); i++)
		if (in->facts.flags & map[i].from)
			flags |= map[i].to;
	if (in->open && in->weights.n_tensors)
		flags |= VIEW_WEIGHTS | sizes(in);
	if (in->facts.n_evaluations)
		flags |= VIEW_EVALUATIONS;
	if (in->facts.n_declared)
		flags |= VIEW_DECLARED;
	if (in->facts.n_problems)
		flags |= VIEW_PROBLEMS;
	return flags;
}

void facets_seen_release(struct facets_seen *f)
{
	arena_release(&f->arena);
	*f = (struct facets_seen){0};
}

static int put_facet(struct catalog *c, struct facets_seen *f, const char *key, const char *value, struct err *e)
{
	size_t i = hash64(value, strlen(value), hash64(key, strlen(key), 0)) % COUNT(f->at);
	if (f->at[i].value && !strcmp(f->at[i].value, value) && !strcmp(f->at[i].key, key))
		return 0;
	char *kept = arena_strdup(&f->arena, value);
	if (!kept)
		return err_nomem(e);
	f->at[i].key = key;
	f->at[i].value = kept;	/* the later of two that share a place stays */
	return catalog_do(c, Q_FACET_PUT, e, "ss", key, value);
}

/* A facet's value: lower case (ASCII), without control bytes, as by/ shows it. */
static int join_facet(struct catalog *c, struct facets_seen *f, uint32_t id, const char *key, const char *value,
		      struct err *e)
{
	char low[256];
	size_t n = 0;
	for (; value[n] && n + 1 < sizeof low; n++)
		low[n] = (char)tolower((unsigned char)value[n]);
	while (n && value[n] && ((unsigned char)value[n] & 0xc0) == 0x80)	/* never cut a character in two */
		n--;
	cleanup_buf struct buf name = {0};
	buf_text(&name, low, n);
	if (buf_failed(&name))
		return err_nomem(e);
	int r = put_facet(c, f, key, name.data, e);
	return r < 0 ? r : catalog_do(c, Q_FACET_JOIN, e, "ssi", key, name.data, (int64_t)id);
}

static bool is_later(const char *key)	/* comes with the lineage */
{
	return !strcmp(key, "family") || !strcmp(key, "relation");
}

static int put_facets(struct catalog *c, struct facets_seen *ids, uint32_t id, const struct facts *f, struct err *e)
{
	int r = catalog_do(c, Q_FACETS_OF_DROP, e, "i", (int64_t)id);
	for (size_t k = 0; k < FACET_KEYS && !r; k++) {
		bool any = false;
		if (is_later(facet_keys[k]))
			continue;
		for (size_t i = 0; i < f->n_facts && !r; i++)
			if (!strcmp(f->facts[i].key, facet_keys[k])) {
				any = true;
				r = join_facet(c, ids, id, facet_keys[k], f->facts[i].value, e);
			}
		if (!any && !r)
			r = join_facet(c, ids, id, facet_keys[k], "_none", e);
	}
	return r;
}

int store_put_inspection(struct catalog *c, uint32_t id, const struct inspect *in, uint32_t flags,
			 struct facets_seen *ids, struct err *e)
{
	static const enum query drops[] = {Q_FACTS_DROP, Q_PROBLEMS_DROP, Q_DECLARED_DROP, Q_EVALUATIONS_DROP,
					   Q_BESIDE_DROP};
	const struct facts *f = &in->facts;
	int r = 0;
	for (size_t i = 0; i < COUNT(drops) && !r; i++)
		r = catalog_do(c, drops[i], e, "i", (int64_t)id);
	for (size_t i = 0; i < f->n_facts && !r; i++)
		r = catalog_do(c, Q_FACT_PUT, e, "iisss", (int64_t)id, (int64_t)i, f->facts[i].key, f->facts[i].value,
			       fact_source_name(f->facts[i].source));
	for (size_t i = 0; i < f->n_problems && !r; i++)
		r = catalog_do(c, Q_PROBLEM_PUT, e, "iisss", (int64_t)id, (int64_t)i, f->problems[i].file,
			       f->problems[i].problem, f->problems[i].detail);
	for (size_t i = 0; i < f->n_declared && !r; i++)
		r = catalog_do(c, Q_DECLARED_PUT, e, "iisss", (int64_t)id, (int64_t)i, f->declared[i].base,
			       f->declared[i].relation, f->declared[i].file);
	for (size_t i = 0; i < f->n_evaluations && !r; i++) {
		const struct evaluation *v = &f->evaluations[i];
		r = catalog_do(c, Q_EVALUATION_PUT, e, "iisssss", (int64_t)id, (int64_t)i, v->task, v->dataset,
			       v->metric, v->value, v->file);
	}
	for (size_t i = 0; i < in->n_beside && !r; i++) {
		const struct io_id *b = &in->beside[i].id;
		r = catalog_do(c, Q_BESIDE_PUT, e, "iisiiiii", (int64_t)id, (int64_t)i, in->beside[i].path,
			       (int64_t)b->size, b->mtime_ns, b->ctime_ns, (int64_t)b->dev, (int64_t)b->ino);
	}
	if (!r)
		r = put_facets(c, ids, id, f, e);
	return r < 0 ? r : catalog_do(c, Q_MODEL_STATE, e, "iii", (int64_t)id, (int64_t)VIEW_INSPECTED, (int64_t)flags);
}

int store_put_signature(struct catalog *c, uint32_t id, const struct signature *s, const struct buf *encoded,
			uint32_t flags, struct err *e)
{
	int r = catalog_do(c, Q_SIGNATURE_PUT, e, "bib", &s->key, sizeof s->key, (int64_t)SIGNATURE_VERSION,
			   encoded->data, encoded->len);
	if (!r)
		r = catalog_do(c, Q_SIGNED_PUT, e, "ibb", (int64_t)id, &s->key, sizeof s->key, &s->sketch,
			       sizeof s->sketch);
	return r < 0 ? r : catalog_do(c, Q_MODEL_STATE, e, "iii", (int64_t)id, (int64_t)VIEW_SIGNED, (int64_t)flags);
}

/* --- reading back --- */

struct getter {
	struct arena *a;
	struct scan_model *m;
	struct scan_file *files;
	size_t n, cap;
};

static int place_row(void *arg, const struct catalog_row *r)
{
	struct getter *g = arg;
	g->m->root = (uint32_t)catalog_int(r, 0);
	g->m->dir = arena_strdup(g->a, catalog_text(r, 1, NULL));
	g->m->single = catalog_int(r, 2);
	g->m->layout = arena_strdup(g->a, catalog_text(r, 3, NULL));
	g->m->revision = catalog_null(r, 4) ? NULL : arena_strdup(g->a, catalog_text(r, 4, NULL));
	g->m->id = arena_strdup(g->a, catalog_text(r, 5, NULL));
	return g->m->dir && g->m->layout && g->m->id ? 1 : -ENOMEM;
}

static int file_row(void *arg, const struct catalog_row *r)
{
	struct getter *g = arg;
	if (mem_grow(&g->files, &g->cap, g->n + 1) < 0)
		return -ENOMEM;
	struct scan_file *f = &g->files[g->n++];
	*f = (struct scan_file){
		.name = arena_strdup(g->a, catalog_text(r, 1, NULL)),
		.path = arena_strdup(g->a, catalog_text(r, 2, NULL)),
		.kind = (enum scan_kind)catalog_int(r, 3),
		.id = {.size = (uint64_t)catalog_int(r, 4),
		       .mtime_ns = catalog_int(r, 5),
		       .ctime_ns = catalog_int(r, 6),
		       .dev = (uint64_t)catalog_int(r, 7),
		       .ino = (uint64_t)catalog_int(r, 8)},
		.uid = (uint32_t)catalog_int(r, 9),
		.gid = (uint32_t)catalog_int(r, 10),
		.mode = (uint16_t)catalog_int(r, 11),
		.broken = catalog_int(r, 12),
	};
	return f->name && f->path ? 0 : -ENOMEM;
}

int store_get_files(struct catalog *c, uint32_t id, struct arena *a, struct scan_model *m, struct err *e)
{
	struct getter g = {.a = a, .m = m};
	*m = (struct scan_model){0};
	int r = catalog_each(c, Q_MODEL_PLACE, e, place_row, &g, "i", (int64_t)id);
	if (r == 0)
		return err_set(e, ESTALE, "the model is no longer in the lake");
	if (r > 0)
		r = catalog_each(c, Q_FILES, e, file_row, &g, "i", (int64_t)id);
	struct scan_file *copy = r < 0 ? NULL : arena_array(a, g.n ? g.n : 1, sizeof *copy);
	if (copy && g.n)
		memcpy(copy, g.files, g.n * sizeof *copy);
	m->files = copy;
	m->n_files = g.n;
	free(g.files);
	return r < 0 ? (r == -ENOMEM ? err_nomem(e) : r) : copy ? 0 : err_nomem(e);
}


static int key_row(void *arg, const struct catalog_row *r)
{
	size_t len;
	const void *p = catalog_blob(r, 0, &len);
	buf_add(arg, p ? p : "", len);
	return 1;
}

int store_get_signature(struct catalog *c, uint32_t id, struct signature *s, struct err *e)
{
	cleanup_buf struct buf key = {0}, data = {0};
	int r = catalog_each(c, Q_SIGNED_GET, e, key_row, &key, "i", (int64_t)id);
	if (r == 0)
		return err_set(e, ENODATA, "the model has no signature");
	if (r > 0)
		r = catalog_each(c, Q_SIGNATURE_GET, e, key_row, &data, "bi", key.data, key.len,
				 (int64_t)SIGNATURE_VERSION);
	if (r == 0)
		return err_set(e, ESTALE, "the signature is of another version");
	if (r > 0)
		r = key.failed || data.failed ? err_nomem(e) : signature_decode(s, data.data, data.len, e);
	return r;
}

struct sketch_reader {
	const struct view *v;
	struct sketches *s;
	uint32_t *slot;		/* by view index: position + 1 */
};

static int sketch_row(void *arg, const struct catalog_row *r)
{
	struct sketch_reader *k = arg;
	const struct view_model *m = view_by_id(k->v, (uint32_t)catalog_int(r, 0));
	size_t len;
	const void *p = catalog_blob(r, 2, &len);
	if (!m || len != sizeof(struct sketch) || k->slot[m - k->v->models])
		return 0;
	memcpy(&k->s->all[k->s->n], p, len);
	k->s->id[k->s->n] = m->id;
	k->slot[m - k->v->models] = (uint32_t)++k->s->n;
	return 0;
}

/* Read in row order, given in view order: the position in the view is the rank. */
static int in_view_order(struct sketches *s, const struct view *v, const uint32_t *slot)
{
	uint32_t *id = mem_array(s->n ? s->n : 1, sizeof *id);
	if (!id)
		return -ENOMEM;
	size_t k = 0;
	for (uint32_t i = 0; i < v->n; i++)
		if (slot[i]) {
			s->sketch[k] = &s->all[slot[i] - 1];
			s->rank[k] = i;
			id[k++] = v->models[i].id;
		}
	free(s->id);
	s->id = id;
	return 0;
}

int store_get_sketches(struct catalog *c, const struct view *v, struct sketches *s, struct err *e)
{
	size_t n = v->n ? v->n : 1;
	*s = (struct sketches){.all = mem_array(n, sizeof *s->all), .sketch = mem_array(n, sizeof *s->sketch),
			       .id = mem_array(n, sizeof *s->id), .rank = mem_array(n, sizeof *s->rank)};
	struct sketch_reader k = {.v = v, .s = s, .slot = mem_array(n, sizeof *k.slot)};
	int r = s->all && s->sketch && s->id && s->rank && k.slot ? 0 : err_nomem(e);
	if (!r)
		r = catalog_each(c, Q_SIGNED_ALL, e, sketch_row, &k, "");
	if (!r && in_view_order(s, v, k.slot) < 0)
		r = err_nomem(e);
	free(k.slot);
	if (r < 0)
		sketches_release(s);
	return r;
}

void sketches_release(struct sketches *s)
{
	free(s->all);
	free(s->sketch);
	free(s->id);
	free(s->rank);
	*s = (struct sketches){0};
}
