/* A model being gathered: its files, and its record in the scan once all of them are known. */
#include "core/lake/layout.h"

#include <errno.h>
#include <string.h>

int owner_add(struct walker *w, struct owner *o, const char *dir, const struct entry *e, enum scan_kind kind)
{
	if (mem_grow(&o->files, &o->cap, o->n_files + 1) < 0)
		return -ENOMEM;
	const char *path = walk_join(w, dir, e->name);
	if (!path)
		return -ENOMEM;
	size_t skip = strlen(o->place->path);
	o->files[o->n_files++] = (struct scan_file){
		.path = path, .name = path + skip + (skip > 0), .kind = kind, .id = e->id,
		.uid = e->uid, .gid = e->gid, .mode = e->mode, .broken = e->broken,
	};
	o->reads |= kind == SCAN_WEIGHTS;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct scan_file *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static const char *single_id(struct walker *w, const struct owner *o)
{
	size_t n = strlen(o->place->id);
	cleanup_free char *id = mem_alloc(n + o->stem_len + 2);
	if (!id)
		return NULL;
	memcpy(id, o->place->id, n);
	if (n)
		id[n++] = '/';
	memcpy(id + n, o->stem, o->stem_len);
	return walk_str(w, id, n + o->stem_len);
}

int owner_finish(struct walker *w, struct owner *o)
{
	const struct place *p = o->place;
	if (!o->reads)
		return 0;
	if (mem_grow(&w->models, &w->models_cap, w->n_models + 1) < 0)
		return -ENOMEM;
	struct scan_file *files = arena_array(&w->arena, o->n_files, sizeof *files);
	const char *dir = walk_str(w, p->path, strlen(p->path));
	const char *id = o->stem ? single_id(w, o) : strcmp(p->id, p->path) == 0 ? dir : walk_str(w, p->id, strlen(p->id));
	const char *revision = p->revision ? walk_str(w, p->revision, strlen(p->revision)) : NULL;
	if (!files || !dir || !id || (p->revision && !revision))
		return -ENOMEM;
	memcpy(files, o->files, o->n_files * sizeof *files);
	if (o->n_files > 1)
		qsort(files, o->n_files, sizeof *files, by_name);
	w->models[w->n_models++] = (struct scan_model){
		.id = id, .root = p->root, .dir = dir, .single = o->stem, .layout = o->layout, .revision = revision,
		.files = files, .n_files = o->n_files,
	};
	return 0;
}

void owner_release(struct owner *o)
{
	free(o->files);
	*o = (struct owner){0};
}
