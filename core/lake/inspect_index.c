/* model.safetensors.index.json and its kin: do the shards exist, and do they hold what it says? */
#include "core/lake/inspect_internal.h"

#include "core/lake/names.h"

#include <stdio.h>
#include <stdlib.h>
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

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct tensor *const *)a)->name, (*(const struct tensor *const *)b)->name);
}

static const struct tensor *find(const struct tensor *const *sorted, size_t n, const char *name)
{
	struct tensor key = {.name = name};
	const struct tensor *want = &key, *const *at = n ? bsearch(&want, sorted, n, sizeof *sorted, by_name) : NULL;

	return at ? *at : NULL;
}

/* transformers indexes Flax's shards by paths with slashes, Keras's by names one component longer than their datasets'.
 * *name: as it is in the weights; NULL when memory is short. */
static const struct tensor *find_as_written(struct looking *l, const struct tensor *const *sorted, const char **name)
{
	const struct weights *w = &l->out->weights;
	const struct tensor *t = find(sorted, w->n_tensors, *name);
	const char *slash = strchr(*name, '/');

	if (t || !slash)
		return t;
	if (!strcmp(w->format->name, "hdf5") && (t = find(sorted, w->n_tensors, slash + 1)))
		*name = slash + 1;
	if (strcmp(w->format->name, "msgpack"))
		return t;
	char *dotted = arena_strdup(&l->scratch, *name);
	for (char *s = dotted; s && (s = strchr(s, '/'));)
		*s = '.';
	*name = dotted;
	return dotted ? find(sorted, w->n_tensors, dotted) : NULL;
}

static int compare_names(struct looking *l, const struct scan_file *file, const struct value *map, struct err *e)
{
	const struct weights *w = &l->out->weights;
	size_t missing = 0, unlisted = 0, misplaced = 0, n = map->obj.n;
	size_t len = path_dir_len(file->name);
	const char *first = NULL, *other = NULL, *elsewhere = NULL;
	cleanup_free const struct tensor **real = mem_array(w->n_tensors + 1, sizeof *real);
	cleanup_free const char **said = mem_array(n + 1, sizeof *said);

	if (!real || !said)
		return err_nomem(e);
	for (size_t i = 0; i < w->n_tensors; i++)
		real[i] = &w->tensors[i];
	qsort(real, w->n_tensors, sizeof *real, by_name);
	for (size_t i = 0; i < n; i++) {
		const char *shard = value_str(&map->obj.items[i].value);

		said[i] = map->obj.items[i].key;
		const struct tensor *t = find_as_written(l, real, &said[i]);
		if (!said[i])
			return err_nomem(e);
		if (!t && !missing++)
			first = said[i];
		if (t && shard && strcmp(w->files[t->file].path + len, shard) && !misplaced++)
			elsewhere = said[i];
	}
	qsort(said, n, sizeof *said, by_text);
	for (size_t i = 0; i < w->n_tensors; i++)
		if (!have(said, n, w->tensors[i].name) && !unlisted++)
			other = w->tensors[i].name;
	if (missing)
		facts_problem(&l->out->facts, file->name, "index mismatch",
			      "%zu tensors it lists are in no shard: %.200s%s", missing, first,
			      missing > 1 ? ", …" : "");
	if (unlisted)
		facts_problem(&l->out->facts, file->name, "index mismatch",
			      "%zu tensors of the shards are not listed: %.200s%s", unlisted, other,
			      unlisted > 1 ? ", …" : "");
	if (misplaced)
		facts_problem(&l->out->facts, file->name, "index mismatch",
			      "%zu tensors are in another shard than it says: %.200s%s", misplaced, elsewhere,
			      misplaced > 1 ? ", …" : "");
	return 0;
}

static int check(struct looking *l, const struct scan_file *file, const struct value *index, struct err *e)
{
	const struct value *map = value_get(index, "weight_map");
	size_t n, len = path_dir_len(file->name), gone = 0;
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

/* "model-00002-of-00003.gguf": 2, and where the number stands. */
static uint32_t number_of(const struct scan_file *file, const struct name *n, const char **digits, int *width)
{
	*digits = path_base(file->name) + n->stem + 1;
	*width = (int)strspn(*digits, "0123456789");
	return (uint32_t)strtoul(*digits, NULL, 10);
}

static bool is_told(const struct facts *f, const char *file)
{
	for (size_t i = 0; i < f->n_problems; i++)
		if (!strcmp(f->problems[i].file, file))
			return true;
	return false;
}

/* Shards say how many they are. `first` is the first of its set among the files. */
static int check_count(struct looking *l, size_t first, const struct name *n, struct err *e)
{
	const struct scan_file *all = l->in->files, *file = &all[first];
	size_t dir = path_dir_len(file->name), len = dir + n->stem;
	cleanup_free bool *there = mem_array((size_t)n->of + 1, sizeof *there);
	uint32_t have = 0, k = 0;
	const char *digits;
	char name[512];
	int width;

	if (!there)
		return err_nomem(e);
	for (size_t i = first; i < l->in->n_files; i++) {
		struct name x;

		if (strncmp(all[i].name, file->name, dir))
			break;			/* files are sorted: those of a directory follow one another */
		if (strncmp(all[i].name, file->name, len) || strchr(all[i].name + dir, '/'))
			continue;
		name_parse(&x, path_base(all[i].name));
		if (all[i].kind != SCAN_WEIGHTS || all[i].broken || x.of != n->of || x.stem != n->stem)
			continue;
		uint32_t at = number_of(&all[i], &x, &digits, &width);
		have += at <= n->of && !there[at];
		there[MIN(at, n->of)] = true;
	}
	if (have >= n->of)
		return 0;
	for (k = !there[0]; k < n->of && there[k]; k++)
		;
	number_of(file, n, &digits, &width);
	snprintf(name, sizeof name, "%.*s%0*u%s", (int)(digits - file->name), file->name, width, k, digits + width);
	if (!is_told(&l->out->facts, name))
		facts_problem(&l->out->facts, name, "missing", "a shard: %u of %u are there", have, n->of);
	return 0;
}

static int look_counts(struct looking *l, struct err *e)
{
	const struct scan_file *all = l->in->files;
	struct name last = {0};
	const char *from = NULL;
	int r = 0;

	for (size_t i = 0; i < l->in->n_files && !r; i++) {
		struct name n;

		name_parse(&n, path_base(all[i].name));
		if (all[i].kind != SCAN_WEIGHTS || !n.of)
			continue;
		size_t len = path_dir_len(all[i].name) + n.stem;
		if (!from || last.of != n.of || last.stem != n.stem || strncmp(from, all[i].name, len))
			r = check_count(l, i, &n, e);
		from = all[i].name;
		last = n;
	}
	return r;
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
	return r ? r : look_counts(l, e);
}
