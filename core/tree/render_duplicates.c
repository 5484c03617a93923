/*
 * lake/duplicates.tsv: what is on disk twice. Models whose signatures' keys agree may be copies; that they are is said
 * where their weight files are alike (kind file), or, in other containers or shards, all their tensors (kind tensors).
 * One file with several names is not a duplicate.
 */
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/exacts.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <string.h>

struct signed_model {
	struct hash128 key;
	const struct view_model *m;
	const char *name;
};

struct duplicate {
	uint64_t bytes;
	bool file;
	const char *model, *other;
};

struct search {
	struct render *r;
	struct signed_model *models;
	size_t n, cap;
	struct duplicate *found;
	size_t n_found, found_cap;
};

static int signed_row(void *arg, const struct catalog_row *row)
{
	struct search *s = arg;
	size_t len;
	const struct view_model *m = view_by_id(s->r->view, (uint32_t)catalog_int(row, 0));
	const void *key = catalog_blob(row, 1, &len);
	if (!m || !model_shown(s->r->tree, m) || len != sizeof(struct hash128))
		return 0;
	if (mem_grow(&s->models, &s->cap, s->n + 1))
		return -ENOMEM;
	s->models[s->n] = (struct signed_model){.m = m, .name = view_name(s->r->view, m)};
	memcpy(&s->models[s->n++].key, key, sizeof(struct hash128));
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct signed_model *x = a, *y = b;
	int c = hash128_cmp(x->key, y->key);
	return c ? c : strcmp(x->name, y->name);
}

static int add(struct search *s, uint64_t bytes, bool file, const struct signed_model *m,
	       const struct signed_model *other)
{
	if (mem_grow(&s->found, &s->found_cap, s->n_found + 1))
		return err_nomem(s->r->err);
	s->found[s->n_found++] = (struct duplicate){bytes, file, m->name, other->name};
	return 0;
}

/* --- files --- */

struct model_files {
	struct arena arena;
	struct scan_model m;
};

static bool is_weights(const struct scan_file *f)
{
	return f->kind == SCAN_WEIGHTS && !f->broken && f->id.size;
}

/* What keeps one pair from being compared is no failure of the table. */
static int told(int r)
{
	return r >= 0 || r == -ECANCELED || r == -ENOMEM ? r : 0;
}

/* 1 when x and y are two files with the same bytes; 0 also where they cannot be read. */
static int same_file(struct search *s, const struct scan_model *mx, const struct scan_file *x,
		     const struct scan_model *my, const struct scan_file *y)
{
	if (x->id.dev == y->id.dev && x->id.ino == y->id.ino)
		return 0;
	return told(alike_files(s->r, &(struct exact_place){mx->root, x}, &(struct exact_place){my->root, y}));
}

/* How many bytes of weights the two have, and how many of them in files that are equal (or one). */
static int compare_files(struct search *s, const struct scan_model *a, const struct scan_model *b, uint64_t *equal,
			 bool *one)
{
	*equal = 0;
	*one = false;
	for (size_t i = 0; i < a->n_files; i++)
		for (size_t k = 0; k < b->n_files && is_weights(&a->files[i]); k++) {
			const struct scan_file *x = &a->files[i], *y = &b->files[k];
			if (!is_weights(y))
				continue;
			*one |= x->id.dev == y->id.dev && x->id.ino == y->id.ino;
			int r = same_file(s, a, x, b, y);
			if (r < 0)
				return r;
			*equal += r ? x->id.size : 0;
			if (r)
				break;
		}
	return 0;
}

static uint64_t weight_bytes(const struct scan_model *m)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < m->n_files; i++)
		sum += is_weights(&m->files[i]) ? m->files[i].id.size : 0;
	return sum;
}

/* --- a group of models with one key --- */

static int compare_two(struct search *s, const struct signed_model *a, const struct model_files *fa,
		       const struct signed_model *b, const struct model_files *fb)
{
	uint64_t equal;
	bool one;
	int r = compare_files(s, &fa->m, &fb->m, &equal, &one);
	if (r < 0 || one)
		return r;
	if (equal)
		return (r = add(s, equal, true, a, b)) < 0 ? r : 1;
	uint64_t bytes = weight_bytes(&fb->m);
	r = told(alike_tensors(s->r, a->m, b->m, MAX(bytes, weight_bytes(&fa->m))));
	if (r == 1)
		r = add(s, bytes, false, a, b) < 0 ? -ENOMEM : 1;
	return r;
}

/* Each with the first of those before it that it is a copy of. */
static int compare_group(struct search *s, const struct signed_model *g, size_t n)
{
	cleanup_free struct model_files *f = mem_array(n, sizeof *f);
	int r = f ? 0 : err_nomem(s->r->err);
	for (size_t i = 0; i < n && !r; i++)
		r = store_get_files(tree_catalog(s->r->tree), g[i].m->id, &f[i].arena, &f[i].m, s->r->err);
	for (size_t i = 1; i < n && r >= 0; i++)
		for (size_t k = 0; k < i; k++) {
			r = compare_two(s, &g[k], &f[k], &g[i], &f[i]);
			if (r)
				break;
		}
	for (size_t i = 0; i < n && f; i++)
		arena_release(&f[i].arena);
	return r < 0 ? r : 0;
}

static int find_all(struct search *s)
{
	int r = catalog_each(tree_catalog(s->r->tree), Q_SIGNED_ALL, s->r->err, signed_row, s, "");
	if (r < 0)
		return r;
	if (s->n)
		qsort(s->models, s->n, sizeof *s->models, by_key);
	for (size_t i = 0, end; i < s->n && !r; i = end) {
		for (end = i + 1; end < s->n && !hash128_cmp(s->models[i].key, s->models[end].key); end++)
			;
		if (end - i > 1)
			r = compare_group(s, s->models + i, end - i);
	}
	return r;
}

int render_duplicates(struct render *r)
{
	struct search s = {.r = r};
	struct table tb;
	int rc = find_all(&s);
	table_begin(&tb, r->out, r->json, "bytes kind model other");
	for (size_t i = 0; i < s.n_found; i++) {
		table_int(&tb, s.found[i].bytes);
		table_text(&tb, s.found[i].file ? "file" : "tensors");
		table_text(&tb, s.found[i].model);
		table_text(&tb, s.found[i].other);
	}
	table_end(&tb);
	free(s.models);
	free(s.found);
	return rc == -ECANCELED ? err_set(r->err, ECANCELED, "cancelled") : rc;
}
