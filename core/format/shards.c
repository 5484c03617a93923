/* Indices of models in several files: read, and held against the files. */
#include "core/format/shards.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { INDEX_MAX = 1 << 28 };

static bool safe_name(const struct value *v)
{
	const char *s = value_str(v);
	if (!s || !*s || *s == '/' || strlen(s) != v->str.len)
		return false;
	for (const char *p = s; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
		if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
			return false;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_tensor(const void *a, const void *b)
{
	return strcmp(((const struct shard_entry *)a)->tensor, ((const struct shard_entry *)b)->tensor);
}

/* Neighbours in the map mostly name the same file: a name is looked at only where it changes. */
static int collect_files(const struct value *map, struct arena *a, struct shard_index *x, struct err *e)
{
	cleanup_free const char **names = NULL;
	size_t n = 0, cap = 0;
	const char *last = NULL;
	for (size_t i = 0; i < map->obj.n; i++) {
		const struct value *v = &map->obj.items[i].value;
		if (!safe_name(v))
			return err_set(e, EINVAL,
				       "weight_map: '%.150s' is in '%.100s', not the name of a file beside the index",
				       map->obj.items[i].key, value_str(v) ? value_str(v) : "something else");
		if (last && !strcmp(last, v->str.s))
			continue;
		if (mem_grow(&names, &cap, n + 1) < 0)
			return err_nomem(e);
		names[n++] = last = v->str.s;
	}
	if (n)
		qsort(names, n, sizeof *names, by_name);
	x->files = arena_array(a, n, sizeof *x->files);
	for (size_t i = 0; x->files && i < n; i++) {
		if (i && !strcmp(names[i - 1], names[i]))
			continue;
		x->files[x->n_files] = arena_strdup(a, names[i]);
		if (!x->files[x->n_files++])
			return err_nomem(e);
	}
	return x->files ? 0 : err_nomem(e);
}

static int collect_entries(const struct value *map, struct arena *a, struct shard_index *x, struct err *e)
{
	x->entries = arena_array(a, map->obj.n, sizeof *x->entries);
	if (!x->entries)
		return err_nomem(e);
	for (size_t i = 0; i < map->obj.n; i++) {
		const struct member *m = &map->obj.items[i];
		const char **f = bsearch(&m->value.str.s, x->files, x->n_files, sizeof *x->files, by_name);
		x->entries[i] = (struct shard_entry){arena_strdup(a, m->key), (uint32_t)(f - x->files)};
		if (!x->entries[i].tensor)
			return err_nomem(e);
	}
	x->n_entries = map->obj.n;
	if (x->n_entries)
		qsort(x->entries, x->n_entries, sizeof *x->entries, by_tensor);
	return 0;
}

static int read_index(const struct io *io, struct arena *scratch, struct arena *a, struct shard_index *x, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;
	struct value v;
	int r = io_slurp(io, INDEX_MAX, &text, &len, e);
	if (!r)
		r = json_parse(scratch, text, len, NULL, &v, e);
	if (r < 0)
		return r;
	const struct value *map = value_get(&v, "weight_map");
	if (!map || map->kind != VALUE_OBJECT)
		return err_set(e, EINVAL, "expected an index with a \"weight_map\"");
	r = collect_files(map, a, x, e);
	return r < 0 ? r : collect_entries(map, a, x, e);
}

int shards_read_index(const struct io *io, struct arena *a, struct shard_index *out, struct err *e)
{
	struct arena scratch = {.limit = (size_t)1 << 30};
	*out = (struct shard_index){0};
	int r = read_index(io, &scratch, a, out, e);
	arena_release(&scratch);
	return r;
}

/* Is `path` the file that the index, wherever it lies, calls `name`? */
static bool same_file(const char *path, const char *name)
{
	size_t p = strlen(path), n = strlen(name);
	return p >= n && !strcmp(path + p - n, name) && (p == n || path[p - n - 1] == '/');
}

int shards_check(struct weights *w, const struct shard_index *x, const char *index_path, struct err *e)
{
	uint64_t misplaced = 0, unlisted = 0, found = 0;
	const char *first_misplaced = "", *first_unlisted = "", *first_missing = "";
	cleanup_free bool *seen = mem_array(x->n_entries, sizeof *seen);
	if (!seen)
		return err_nomem(e);
	for (size_t i = 0; i < w->n_tensors; i++) {
		const struct tensor *t = &w->tensors[i];
		struct shard_entry key = {.tensor = t->name}, *hit = NULL;
		if (x->n_entries)
			hit = bsearch(&key, x->entries, x->n_entries, sizeof key, by_tensor);
		if (!hit && !unlisted++)
			first_unlisted = t->name;
		if (hit) {
			seen[hit - x->entries] = true;
			found++;
		}
		if (hit && !same_file(w->files[t->file].path, x->files[hit->file]) && !misplaced++)
			first_misplaced = t->name;
	}
	for (size_t i = 0; i < x->n_entries && found < x->n_entries; i++)
		if (!seen[i]) {
			first_missing = x->entries[i].tensor;
			break;
		}
	int r = 0;
	if (misplaced)
		r = weights_warn(w, index_path, "index mismatch",
				 "'%.150s' is not in the file that the index names (%" PRIu64 " are not)",
				 first_misplaced, misplaced);
	if (!r && unlisted)
		r = weights_warn(w, index_path, "index mismatch", "'%.150s' is not in the index (%" PRIu64 " are not)",
				 first_unlisted, unlisted);
	if (!r && found < x->n_entries)
		r = weights_warn(w, index_path, "index mismatch",
				 "'%.150s' is in the index but in no file (%" PRIu64 " are)", first_missing,
				 (uint64_t)x->n_entries - found);
	return r < 0 ? err_nomem(e) : 0;
}
