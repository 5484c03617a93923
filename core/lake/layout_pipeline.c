/*
 * One model out of several directories: diffusers pipelines (model_index.json; unet, vae, text_encoder, …),
 * sentence-transformers (modules.json; 1_Pooling, 2_Dense, …), and the directories in which a repository
 * keeps its weights in other containers (onnx, original, …).
 */
#include "core/lake/layouts_internal.h"

#include "core/lake/sets.h"

#include <string.h>
#include <strings.h>

static bool is_companion(const char *name)
{
	static const char *const names[] = {"onnx", "original", "openvino", "coreml", "tflite", "flax", "metal",
	    "safetensors", "pytorch"};
	for (size_t i = 0; i < COUNT(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

/* "checkpoint-100", "step_2000", "global_step5", "300": a state of the training, not a part. */
static bool is_state(const char *name)
{
	size_t n = strlen(name);
	return strncmp(name, "checkpoint", 10) == 0 || strncmp(name, "step", 4) == 0 ||
	       strncmp(name, "epoch", 5) == 0 || strncmp(name, "global_step", 11) == 0 || name_is_number(name, n);
}

/* "1_Pooling" */
static bool is_module(const char *name)
{
	size_t n = strspn(name, "0123456789");
	return n && name[n] == '_';
}

/* Is p a direct subdirectory of its owner? */
static bool is_child(const struct place *p)
{
	const char *slash = strrchr(p->path, '/');
	size_t n = slash ? (size_t)(slash - p->path) : 0;
	return strlen(p->owner->place->path) == n;
}

static bool match_component(const struct walker *w, const struct place *p, const struct listing *l)
{
	if (!p->owner || p->owner->kind == OWNER_SOFT)
		return false;
	if (p->component)
		return true;
	const char *name = place_name(w, p);
	if (!is_child(p))
		return false;
	if (p->owner->kind == OWNER_PIPELINE)
		return !is_state(name) && !listing_find(l, "model_index.json");
	return is_companion(name) || (p->owner->kind == OWNER_MODULES && is_module(name));
}

static int take_component(struct walker *w, struct place *p, struct listing *l)
{
	int r = sets_group(l);
	if (r < 0)
		return r;
	struct sets_view v;
	sets_look(l, false, &v);
	bool part = !p->component && !(p->owner->kind != OWNER_PIPELINE && is_companion(place_name(w, p)));
	r = owner_add_rest(w, p->owner, p->path, l, part && v.strong ? v.best : NULL);
	if (r < 0)
		return r;
	struct place below = *p;
	below.component = true;
	return walk_dirs(w, &below, l);
}

const struct layout layout_component = {.name = "component", .match = match_component, .take = take_component};

static bool match_diffusers(const struct walker *w, const struct place *p, const struct listing *l)
{
	(void)w;
	(void)p;
	return listing_find(l, "model_index.json");
}

static bool match_modules(const struct walker *w, const struct place *p, const struct listing *l)
{
	(void)w;
	(void)p;
	if (!listing_find(l, "modules.json"))
		return false;
	for (size_t i = 0; i < l->n; i++)
		if ((l->entries[i].dir || l->entries[i].linked_dir) && is_module(l->entries[i].name))
			return true;
	return listing_find(l, "config_sentence_transformers.json");
}

static int take_whole(struct walker *w, struct place *p, struct listing *l, enum owner_kind kind, const char *layout)
{
	int r = sets_group(l);
	if (r < 0)
		return r;
	if (!*p->path)
		p->id = place_name(w, p);
	struct sets_view v;
	sets_look(l, false, &v);
	cleanup_owner struct owner o = {.kind = kind, .place = p, .layout = layout};
	size_t before = w->n_models;
	/* a pipeline's weights lie in its components: what lies beside them is the same again in one file */
	r = owner_add_rest(w, &o, p->path, l, kind == OWNER_MODULES && v.strong ? v.best : NULL);
	struct place below = *p;
	below.owner = &o;
	for (size_t i = 0; i < l->n; i++) {	/* a component may be a link: a shared vae */
		struct entry *e = &l->entries[i];
		if (e->linked_dir && !is_state(e->name) && (kind == OWNER_PIPELINE || is_module(e->name))) {
			e->linked_dir = false;
			e->dir = true;
		}
	}
	if (r == 0)
		r = walk_dirs(w, &below, l);
	return r < 0 ? r : owner_finish_named(w, &o, before, l->rows);
}

static int take_diffusers(struct walker *w, struct place *p, struct listing *l)
{
	return take_whole(w, p, l, OWNER_PIPELINE, "diffusers");
}

static int take_modules(struct walker *w, struct place *p, struct listing *l)
{
	return take_whole(w, p, l, OWNER_MODULES, "sentence-transformers");
}

const struct layout layout_diffusers = {.name = "diffusers", .match = match_diffusers, .take = take_diffusers};
const struct layout layout_modules = {.name = "sentence-transformers", .match = match_modules, .take = take_modules};
