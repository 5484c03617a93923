/*
 * Plain directories, the layout of everything that is nothing else: a repository (config, weights,
 * card), an adapter, a directory with one set of weights, or a folder of weight files that are each
 * a model. Also what lies below a model: its other files.
 */
#include "core/lake/layouts_internal.h"

#include "core/lake/sets.h"

#include <errno.h>
#include <string.h>

enum { MANY_ARRAYS = 64 };

static bool any(const struct walker *w, const struct place *p, const struct listing *l)
{
	(void)w;
	(void)p;
	(void)l;
	return true;
}

static int add_sidecars(struct walker *w, struct owner *o, const struct listing *l)
{
	size_t lo = 0, hi = l->n_files;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (strncmp(l->entries[mid].name, o->stem, o->stem_len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < l->n_files && strncmp(l->entries[lo].name, o->stem, o->stem_len) == 0; lo++) {
		const struct entry *e = &l->entries[lo];
		if (e->info.kind == SCAN_WEIGHTS || e->dir || e->linked_dir || e->special ||
		    e->name[o->stem_len] != '.')
			continue;
		int r = owner_add(w, o, o->place->path, e, e->info.kind);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_document(const struct entry *e)
{
	return e->info.kind == SCAN_CONFIG || e->info.kind == SCAN_CARD || e->info.kind == SCAN_TOKENIZER;
}

/* Config, card and tokenizer of a folder whose weight files are all of one model (quantisations) are each file's. */
static int add_documents(struct walker *w, struct owner *o, const struct listing *l, const uint32_t *documents,
			 size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct entry *e = &l->entries[documents[i]];
		if (strncmp(e->name, o->stem, o->stem_len) != 0 || e->name[o->stem_len] != '.')	/* else: a sidecar */
			r = owner_add(w, o, o->place->path, e, e->info.kind);
	}
	return r;
}

/* One set of weights that is a model of its own: dir/stem. */
static int take_set(struct walker *w, const struct place *p, struct listing *l, size_t set, const uint32_t *documents,
		    size_t n)
{
	cleanup_owner struct owner o = {.place = p, .layout = "file"};
	int r = 0;
	o.stem = set_stem(l, &l->sets[set], &o.stem_len);
	/* shards lie close together, but other containers' may lie between them */
	for (size_t i = l->sets[set].first, left = l->sets[set].files; left && i < l->n && r == 0; i++) {
		struct entry *e = &l->entries[i];
		if (e->info.kind != SCAN_WEIGHTS || e->set != set)
			continue;
		r = owner_add(w, &o, p->path, e, SCAN_WEIGHTS);
		e->done = true;
		left--;
	}
	if (r == 0)
		r = add_sidecars(w, &o, l);
	if (r == 0)
		r = add_documents(w, &o, l, documents, n);
	return r < 0 ? r : owner_finish(w, &o);
}

/* All GGUF: then the folder is one repository of quantisations. */
static bool is_quantisations(const struct listing *l)
{
	for (size_t i = 0; i < l->n_sets; i++)
		if (set_name(l, &l->sets[i])->rank != 2)
			return false;
	return l->n_sets > 0;
}

static bool is_numpy(const struct name *n)
{
	return strcmp(n->ext, "npy") == 0 || strcmp(n->ext, "npz") == 0;
}

/* A folder of very many arrays is a data set. */
static bool is_data(const struct listing *l)
{
	size_t arrays = 0;
	for (size_t i = 0; i < l->n_sets; i++)
		arrays += is_numpy(set_name(l, &l->sets[i]));
	return arrays > MANY_ARRAYS;
}

static int take_sets(struct walker *w, const struct place *p, struct listing *l, bool only_own, bool named)
{
	size_t n = 0;
	int r = 0;
	bool data = !named && is_data(l);
	cleanup_free uint32_t *documents = mem_array(l->n_files, sizeof *documents);
	if (!documents)
		return -ENOMEM;
	bool shared = named || is_quantisations(l);
	for (size_t i = 0; shared && i < l->n_files; i++)
		if (is_document(&l->entries[i]))
			documents[n++] = (uint32_t)i;
	for (size_t i = 0; i < l->n_sets && r == 0; i++)
		if (!(only_own && !set_is_own(l, &l->sets[i])) && !(data && is_numpy(set_name(l, &l->sets[i]))))
			r = take_set(w, p, l, i, documents, n);
	if (r == 0 && data)
		r = walk_unread(w, p->root, p->path, "", 0, "a folder of very many NumPy arrays: taken for data");
	return r;
}

/* The folder has other models below and its one set of weights has a name of its own: then that file is the model. */
static void owner_to_file(struct owner *o, const struct listing *l, const struct set *best)
{
	size_t n = 0;
	o->layout = "file";
	o->stem = set_stem(l, best, &o->stem_len);
	for (size_t i = 0; i < o->n_files; i++) {
		const struct scan_file *f = &o->files[i];
		bool sidecar = strncmp(f->name, o->stem, o->stem_len) == 0 && f->name[o->stem_len] == '.';
		if (f->kind == SCAN_WEIGHTS || (sidecar && !strchr(f->name, '/')))
			o->files[n++] = *f;
	}
	o->n_files = n;
}

/* The directory is one model, `best` what is read of it (NULL: perhaps something below). */
static int take_model(struct walker *w, struct place *p, struct listing *l, const struct set *best, const char *layout,
		      bool soft)
{
	cleanup_owner struct owner o = {.kind = soft ? OWNER_SOFT : OWNER_DIRECTORY, .place = p,
	    .layout = p->layout ? p->layout : layout};
	size_t before = w->n_models;
	int r = owner_add_rest(w, &o, p->path, l, best);
	struct place below = *p;
	below.owner = &o;
	if (r == 0)
		r = walk_dirs(w, &below, l);
	if (r == 0 && soft && w->n_models > before)
		owner_to_file(&o, l, best);
	return r < 0 ? r : owner_finish_named(w, &o, before, l->rows);
}

static bool has_dirs(const struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		if ((l->entries[i].dir || l->entries[i].linked_dir) && !name_skipped(l->entries[i].name))
			return true;
	return false;
}

static int take_files(struct walker *w, struct place *p, struct listing *l, bool named)
{
	int r = take_sets(w, p, l, false, named);
	if (r == 0 && p->owner)
		r = owner_add_rest(w, p->owner, p->path, l, NULL);
	return r < 0 ? r : walk_dirs(w, p, l);
}

static int take(struct walker *w, struct place *p, struct listing *l)
{
	int r = sets_group(l);
	if (r < 0)
		return r;
	bool config = listing_find(l, "config.json") || listing_find(l, "open_clip_config.json");
	bool adapter = !config && listing_find(l, "adapter_config.json"), named = config || adapter;
	struct sets_view v;
	sets_look(l, adapter, &v);
	bool soft = !named && !v.usual, at_root = !*p->path;
	bool one = v.best && (v.strong ? named ? v.usual || v.stems == 1 : v.stems == 1 && (v.usual || !v.own)
				       : !named && v.weak_stems == 1 && !v.own);
	if (one && soft && (name_is_category(p->path) || (at_root && has_dirs(l))))
		one = false;
	if (!one && !(named && !v.strong))
		return take_files(w, p, l, named);
	if (at_root && one)	/* the model is the lake's own directory: it is named by it */
		p->id = place_name(w, p);
	if (v.own)
		r = take_sets(w, p, l, true, named);
	return r < 0 ? r : take_model(w, p, l, one ? v.best : NULL, adapter ? "peft" : "directory", soft);
}

const struct layout layout_directory = {.name = "directory", .match = any, .take = take};
