/*
 * Links. One that leads to a directory of the lake is only another name for what is shown there; one
 * that leads out of it is walked, once. A model all of whose weights are links to another model's is
 * that model. Other names stand among the unread, with the id they are shown under.
 */
#include "core/lake/links.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum target links_resolve(const struct lake *l, uint32_t root, const char *path, char real[], const char **rel,
			  uint32_t *to)
{
	cleanup_free char *full = path_join(l->roots[root].path, path);
	if (!full || !realpath(full, real))
		return TARGET_NONE;
	size_t n = strlen(real);
	for (uint32_t i = 0; i < l->n_roots; i++) {
		const char *base = l->roots[i].path;
		size_t m = strlen(base);
		if (m == 1)
			m = 0;	/* "/" */
		*to = i;
		if (strncmp(real, base, m) == 0 && (real[m] == 0 || real[m] == '/')) {
			*rel = real + m + (real[m] == '/');
			return TARGET_LAKE;
		}
		if (n == 1 || (strncmp(real, base, n) == 0 && base[n] == '/'))
			return TARGET_AROUND;
	}
	return TARGET_OUTSIDE;
}

int links_add(struct links *k, struct alias a)
{
	if (mem_grow(&k->aliases, &k->cap, k->n + 1) < 0)
		return -ENOMEM;
	k->aliases[k->n++] = a;
	return 0;
}

/* Where a model's weights are, to find it by. */
struct spot {
	uint32_t root;
	const char *path;
	const struct scan_model *model;
};

static int spot_cmp(const void *a, const void *b)
{
	const struct spot *x = a, *y = b;
	return x->root != y->root ? (x->root < y->root ? -1 : 1) : strcmp(x->path, y->path);
}

/* All files of kind SCAN_WEIGHTS, by path. */
static struct spot *weights_spots(const struct scan *s, size_t *n)
{
	size_t count = 0;
	for (size_t i = 0; i < s->n_models; i++)
		count += s->models[i].n_files;
	struct spot *spots = mem_array(count, sizeof *spots);
	*n = 0;
	for (size_t i = 0; spots && i < s->n_models; i++)
		for (size_t f = 0; f < s->models[i].n_files; f++)
			if (s->models[i].files[f].kind == SCAN_WEIGHTS)
				spots[(*n)++] = (struct spot){s->models[i].root, s->models[i].files[f].path,
				    &s->models[i]};
	if (spots && *n > 1)
		qsort(spots, *n, sizeof *spots, spot_cmp);
	return spots;
}

static const struct scan_model *model_at(const struct spot *spots, size_t n, uint32_t root, const char *path)
{
	const struct spot key = {.root = root, .path = path};
	const struct spot *found = bsearch(&key, spots, n, sizeof *spots, spot_cmp);
	return found ? found->model : NULL;
}

/* Outside the lake: the model of the smallest id that has the same first file. */
struct outside {
	struct io_id id;
	const struct scan_model *model;
};

static int outside_cmp(const void *a, const void *b)
{
	const struct outside *x = a, *y = b;
	if (x->id.dev != y->id.dev)
		return x->id.dev < y->id.dev ? -1 : 1;
	if (x->id.ino != y->id.ino)
		return x->id.ino < y->id.ino ? -1 : 1;
	int r = scan_id_cmp(x->model->id, y->model->id);
	return r ? r : strcmp(x->model->dir, y->model->dir);
}

static const struct scan_file *first_weights(const struct scan_model *m)
{
	size_t i = 0;
	while (m->files[i].kind != SCAN_WEIGHTS)	/* every model has some */
		i++;
	return &m->files[i];
}

/* The model whose weights all of m's are links to, or NULL. *outside: they lead out of the lake. */
static const struct scan_model *original(const struct scan_model *m, const struct lake *l, const struct spot *spots,
					 size_t n,
					 bool *outside)
{
	const struct scan_model *same = NULL;
	char real[PATH_MAX];
	for (size_t i = 0; i < m->n_files; i++) {
		const char *rel;
		uint32_t to;
		if (m->files[i].kind != SCAN_WEIGHTS)
			continue;
		enum target t = links_resolve(l, m->root, m->files[i].path, real, &rel, &to);
		*outside |= t == TARGET_OUTSIDE;
		const struct scan_model *at = t == TARGET_LAKE ? model_at(spots, n, to, rel) : NULL;
		if (!at || at == m || (same && at != same))
			return NULL;
		same = at;
	}
	return same;
}

static int drop(struct links *k, const struct scan_model *m, const struct scan_model *same)
{
	const struct scan_file *f = first_weights(m);
	return links_add(k, (struct alias){.root = m->root, .path = f->path, .same = same->files});
}

/* Two names for one file outside the lake: the first in the order of ids is the model. */
static int drop_outside(struct links *k, struct outside *o, size_t n, bool *gone, const struct scan_model *models)
{
	if (n > 1)
		qsort(o, n, sizeof *o, outside_cmp);
	for (size_t i = 1, first = 0; i < n; i++) {
		if (o[i].id.dev != o[first].id.dev || o[i].id.ino != o[first].id.ino || !o[i].id.ino) {
			first = i;
			continue;
		}
		gone[o[i].model - models] = true;
		int r = drop(k, o[i].model, o[first].model);
		if (r < 0)
			return r;
	}
	return 0;
}

static void remove_gone(struct scan *s, const bool *gone)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n_models; i++)
		if (!gone[i])
			s->models[n++] = s->models[i];
	s->n_models = n;
}

int links_drop_models(struct links *k, struct scan *s, const struct lake *l, const struct filelink *links, size_t n)
{
	size_t n_spots, n_outside = 0;
	if (!n)
		return 0;
	cleanup_free struct spot *spots = weights_spots(s, &n_spots);
	cleanup_free bool *gone = mem_array(s->n_models, sizeof *gone);
	cleanup_free struct outside *o = mem_array(n, sizeof *o);
	if (!spots || !gone || !o)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool outside = false;
		const struct scan_model *m = model_at(spots, n_spots, links[i].root, links[i].path);
		const struct scan_model *same = m ? original(m, l, spots, n_spots, &outside) : NULL;
		if (same) {
			gone[m - s->models] = true;
			if (drop(k, m, same) < 0)
				return -ENOMEM;
		} else if (m && outside) {
			o[n_outside++] = (struct outside){first_weights(m)->id, m};
		}
	}
	int r = drop_outside(k, o, n_outside, gone, s->models);
	if (r == 0)
		remove_gone(s, gone);
	return r;
}

static int by_files(const void *a, const void *b)
{
	const struct scan_model *const *x = a, *const *y = b;
	uintptr_t p = (uintptr_t)(*x)->files, q = (uintptr_t)(*y)->files;
	return p < q ? -1 : p > q;
}

static int by_dir(const void *a, const void *b)
{
	const struct scan_model *const *x = a, *const *y = b;
	if ((*x)->root != (*y)->root)
		return (*x)->root < (*y)->root ? -1 : 1;
	int r = scan_id_cmp((*x)->dir, (*y)->dir);
	return r ? r : (int)(*x)->single - (int)(*y)->single;
}

/* What a link to the directory stands for: *below when there are only models in it. */
static const struct scan_model *model_in(const struct scan_model *const *order, size_t n, const struct alias *a,
					 bool *below)
{
	const struct scan_model key = {.root = a->to, .dir = a->dir}, *k = &key;
	size_t lo = 0, hi = n, len = strlen(a->dir);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (by_dir(&order[mid], &k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct scan_model *m = lo < n && order[lo]->root == a->to ? order[lo] : NULL;
	if (!m || strncmp(m->dir, a->dir, len) != 0 || (len && m->dir[len] && m->dir[len] != '/'))
		return NULL;
	*below = m->single || m->dir[len];
	return m;
}

static int add_row(struct scan *s, const struct alias *a, const char *reason, size_t *cap)
{
	if (!reason || mem_grow(&s->unread, cap, s->n_unread + 1) < 0)
		return -ENOMEM;
	s->unread[s->n_unread++] = (struct scan_unread){.root = a->root, .path = a->path, .reason = reason};
	return 0;
}

int links_report(struct links *k, struct scan *s)
{
	size_t cap = s->n_unread;
	if (!k->n)
		return 0;
	cleanup_free const struct scan_model **files = mem_array(s->n_models, sizeof *files);
	cleanup_free const struct scan_model **dirs = mem_array(s->n_models, sizeof *dirs);
	if (!files || !dirs)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_models; i++)
		files[i] = dirs[i] = &s->models[i];
	qsort(files, s->n_models, sizeof *files, by_files);
	qsort(dirs, s->n_models, sizeof *dirs, by_dir);
	for (size_t i = 0; i < k->n; i++) {
		const struct alias *a = &k->aliases[i];
		const struct scan_model key = {.files = a->same}, *p = &key, *const *found = NULL, *m;
		bool below = false;
		if (a->same)
			found = bsearch(&p, files, s->n_models, sizeof *files, by_files);
		m = found ? *found : a->same ? NULL : model_in(dirs, s->n_models, a, &below);
		if (!m)
			continue;
		const char *reason = arena_printf(&s->arenas[0], "the same %s %s", below ? "models as in" : "files as",
						  !below ? m->id : *a->dir ? a->dir : "the lake");
		int r = add_row(s, a, reason, &cap);
		if (r < 0)
			return r;
	}
	return 0;
}

void links_release(struct links *k)
{
	free(k->aliases);
}
