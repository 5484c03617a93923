/* model.safetensors.index.json and its kin: do the shards exist, and do they hold what it says? */
#include "core/lake/inspect_internal.h"

#include <stdio.h>
#include <string.h>

enum { INDEX_MAX = 64 << 20 };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool have(const char *const *sorted, size_t n, const char *s)
{
	return n && bsearch(&s, sorted, n, sizeof *sorted, by_text);
}

/* "dir/" of the index and a shard's name beside it is a file of the model. */
static bool shard_there(const struct inspect_input *in, const char *dir, size_t len, const char *shard)
{
	for (size_t i = 0; i < in->n_files; i++) {
		const char *name = in->files[i].name;

		if (!strncmp(name, dir, len) && !strcmp(name + len, shard))
			return !in->files[i].broken;
	}
	return false;
}

/* The shards named in a weight map, sorted, each once. */
static const char **shards_of(struct arena *a, const struct value *map, size_t *n)
{
	const char **list = arena_array(a, map->obj.n + 1, sizeof *list);
	size_t m = 0;

	*n = 0;
	for (size_t i = 0; list && i < map->obj.n; i++) {
		const char *s = value_str(&map->obj.items[i].value);

		if (s && (!m || strcmp(list[m - 1], s)))
			list[m++] = s;
	}
	if (!list)
		return NULL;
	qsort(list, m, sizeof *list, by_text);
	for (size_t i = 0; i < m; i++)
		if (!i || strcmp(list[i], list[*n - 1]))
			list[(*n)++] = list[i];
	return list;
}

/* Does the index speak of the files that were opened? There may be one for each container. */
static bool describes(const struct looking *l, const char *dir, size_t len, const char *const *shards, size_t n)
{
	for (size_t i = 0; i < l->out->weights.n_files; i++) {
		const char *path = l->out->weights.files[i].path;

		if (strncmp(path, dir, len) || !have(shards, n, path + len))
			return false;
	}
	return l->out->weights.n_files > 0;
}

static int compare_names(struct looking *l, const struct scan_file *file, const struct value *map, struct err *e)
{
	const struct weights *w = &l->out->weights;
	size_t missing = 0, unlisted = 0, n = map->obj.n;
	const char *first = NULL, *other = NULL;
	cleanup_free const char **real = mem_array(w->n_tensors + 1, sizeof *real);
	cleanup_free const char **said = mem_array(n + 1, sizeof *said);

	if (!real || !said)
		return err_nomem(e);
	for (size_t i = 0; i < w->n_tensors; i++)
		real[i] = w->tensors[i].name;
	for (size_t i = 0; i < n; i++)
		said[i] = map->obj.items[i].key;
	qsort(real, w->n_tensors, sizeof *real, by_text);
	qsort(said, n, sizeof *said, by_text);
	for (size_t i = 0; i < n; i++)
		if (!have(real, w->n_tensors, said[i]) && !missing++)
			first = said[i];
	for (size_t i = 0; i < w->n_tensors; i++)
		if (!have(said, n, real[i]) && !unlisted++)
			other = real[i];
	if (missing)
		facts_problem(&l->out->facts, file->name, "index mismatch",
			      "%zu tensors it lists are in no shard: %.200s%s", missing, first,
			      missing > 1 ? ", …" : "");
	if (unlisted)
		facts_problem(&l->out->facts, file->name, "index mismatch",
			      "%zu tensors of the shards are not listed: %.200s%s", unlisted, other,
			      unlisted > 1 ? ", …" : "");
	return 0;
}

static int check(struct looking *l, const struct scan_file *file, const struct value *index, struct err *e)
{
	const struct value *map = value_get(index, "weight_map");
	size_t n, len = (size_t)(path_base(file->name) - file->name), gone = 0;
	const char **shards;

	if (!map || map->kind != VALUE_OBJECT) {
		facts_problem(&l->out->facts, file->name, "malformed",
			      "expected a weight_map of tensors and their files");
		return 0;
	}
	if (!(shards = shards_of(&l->scratch, map, &n)))
		return err_nomem(e);
	for (size_t i = 0; i < n; i++)
		if (!shard_there(l->in, file->name, len, shards[i]) && gone++ < 20)
			facts_problem(&l->out->facts, shards[i], "missing", "a shard that %s lists", file->name);
	return l->out->open && !gone && describes(l, file->name, len, shards, n) ? compare_names(l, file, map, e) : 0;
}

int look_index(struct looking *l, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < l->in->n_files && !r; i++) {
		const struct scan_file *file = &l->in->files[i];
		const struct value *v;

		if (file->kind != SCAN_INDEX || file->broken)
			continue;
		r = look_value(l, file, INDEX_MAX, &v, e);
		if (!r && v)
			r = check(l, file, v, e);
	}
	return r;
}
