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
		.uid = e->uid, .gid = e->gid, .mode = e->mode, .in = e->in, .broken = e->broken,
	};
	o->reads |= kind == SCAN_WEIGHTS;
	o->own |= !e->link && (kind == SCAN_WEIGHTS || (kind == SCAN_CONFIG && !o->stem));
	return 0;
}

int owner_add_rest(struct walker *w, struct owner *o, const char *dir, const struct listing *l, const struct set *best)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];
		if (e->dir || e->linked_dir || e->special || e->done)
			continue;
		enum scan_kind kind = e->info.kind;
		if (kind == SCAN_WEIGHTS && (!best || &l->sets[e->set] != best))
			kind = e->info.weak || e->info.projector ? SCAN_OTHER : SCAN_WEIGHTS_ALSO;
		int r = owner_add(w, o, dir, e, kind);
		if (r < 0)
			return r;
	}
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

/* Nothing beside the config: the best of what lies in onnx/, original/, … is read. */
static void promote(struct owner *o)
{
	const struct scan_file *best = NULL;
	struct name b = {0};
	for (size_t i = 0; i < o->n_files; i++) {
		struct name n;
		const struct scan_file *f = &o->files[i];
		if (f->kind != SCAN_WEIGHTS_ALSO)
			continue;
		name_parse(&n, basename(f->name));
		unsigned x = name_order(&n, false), y = name_order(&b, false);
		if (best && (x > y || (x == y && strcmp(f->name, best->name) >= 0)))
			continue;
		best = f;
		b = n;
	}
	if (!best)
		return;
	o->reads = true;
	size_t stem = (size_t)(basename(best->name) - best->name) + b.stem;
	for (size_t i = 0; i < o->n_files; i++) {
		struct name n;
		struct scan_file *f = &o->files[i];
		if (f->kind != SCAN_WEIGHTS_ALSO)
			continue;
		name_parse(&n, basename(f->name));
		if (f == best || (b.of && n.of == b.of && n.rank == b.rank && strncmp(f->name, best->name, stem) == 0))
			f->kind = SCAN_WEIGHTS;
	}
}

static int keep_link(struct walker *w, const struct owner *o, const struct scan_file *files)
{
	size_t i = 0;
	while (files[i].kind != SCAN_WEIGHTS)	/* there is one */
		i++;
	if (mem_grow(&w->filelinks, &w->filelinks_cap, w->n_filelinks + 1) < 0)
		return -ENOMEM;
	w->filelinks[w->n_filelinks++] = (struct filelink){.root = o->place->root, .path = files[i].path};
	return 0;
}

int owner_finish(struct walker *w, struct owner *o)
{
	const struct place *p = o->place;
	if (!o->reads)
		promote(o);
	if (!o->reads)
		return 0;
	if (mem_grow(&w->models, &w->models_cap, w->n_models + 1) < 0)
		return -ENOMEM;
	struct scan_file *files = arena_array(&w->arena, o->n_files, sizeof *files);
	const char *dir = walk_str(w, p->path, strlen(p->path));
	const char *name = *p->id ? p->id : place_name(w, p);
	const char *id = o->stem ? single_id(w, o) : strcmp(name, p->path) == 0 ? dir : walk_str(w, name, strlen(name));
	const char *revision = p->revision ? walk_str(w, p->revision, strlen(p->revision)) : NULL;
	if (!files || !dir || !id || (p->revision && !revision))
		return -ENOMEM;
	memcpy(files, o->files, o->n_files * sizeof *files);
	if (o->n_files > 1)
		qsort(files, o->n_files, sizeof *files, by_name);
	if (!o->own && !p->hub && keep_link(w, o, files) < 0)
		return -ENOMEM;
	w->models[w->n_models++] = (struct scan_model){
		.id = id, .root = p->root, .dir = dir, .single = o->stem, .layout = o->layout, .revision = revision,
		.files = files, .n_files = o->n_files,
	};
	return 0;
}

int owner_finish_named(struct walker *w, struct owner *o, size_t models, size_t rows)
{
	uint64_t bytes = 0;
	int r = owner_finish(w, o);
	if (r < 0 || w->n_models > models || w->n_unread > rows)
		return r;
	for (size_t i = 0; i < o->n_files; i++)
		bytes += o->files[i].id.size;
	const char *path = *o->place->path ? o->place->path : ".";
	return walk_unread(w, o->place->root, path, "", bytes, "a config without weights");
}

void owner_release(struct owner *o)
{
	free(o->files);
	*o = (struct owner){0};
}
