/* Directories that are one checkpoint in a container that tarn does not read: a row among the unread, and no model. */
#include "core/lake/layouts_internal.h"

#include <errno.h>
#include <string.h>

enum { DEPTH = 64 };

static bool ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n > m && strcmp(s + n - m, suffix) == 0;
}

static bool is_t5x(const struct listing *l)
{
	if (!listing_find(l, "checkpoint"))
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (l->entries[i].dir && strncmp(l->entries[i].name, "target.", 7) == 0)
			return true;
	return false;
}

static const char *reason_of(const struct walker *w, const struct place *p, const struct listing *l)
{
	const char *name = place_name(w, p);
	if (listing_find(l, "_CHECKPOINT_METADATA") || listing_find(l, "manifest.ocdbt") ||
	    listing_find(l, "orbax.checkpoint") || (listing_find(l, "_METADATA") && listing_find(l, "_sharding")))
		return "an Orbax checkpoint (TensorStore) is not read";
	if (is_t5x(l))
		return "a T5X checkpoint (TensorStore) is not read";
	if (listing_find(l, "saved_model.pb") && listing_has_dir(l, "variables"))
		return "a TensorFlow SavedModel is not read";
	if (ends(name, ".mlpackage") || ends(name, ".mlmodelc"))
		return "Core ML is not read";
	return NULL;
}

static bool match(const struct walker *w, const struct place *p, const struct listing *l)
{
	return l->n && reason_of(w, p, l);
}

/* Count the bytes below, quietly. */
static int measure(struct walker *w, const struct place *p, const struct listing *l, unsigned depth)
{
	int r = 0;
	for (size_t i = 0; i < l->n && r == 0 && depth < DEPTH; i++) {
		if (!l->entries[i].dir)
			continue;
		struct place below = *p;
		cleanup_free char *path = path_join(p->path, l->entries[i].name);
		struct listing *inner;
		if (!path)
			return -ENOMEM;
		below.path = path;
		below.quiet = true;
		r = listing_get(w, &below, &inner);
		if (r < 0)
			return r;
		r = measure(w, &below, inner, depth + 1);
		listing_put(w, inner);
	}
	return r;
}

static int take(struct walker *w, struct place *p, struct listing *l)
{
	uint64_t before = w->bytes, own = 0;
	for (size_t i = 0; i < l->n; i++)
		own += l->entries[i].dir ? 0 : l->entries[i].id.size;
	w->n_unread = l->rows;	/* one row for all of it */
	int r = w->names_only ? 0 : measure(w, p, l, 0);
	return r < 0 ? r : walk_unread(w, p->root, p->path, "", own + w->bytes - before, reason_of(w, p, l));
}

const struct layout layout_opaque = {.name = "opaque", .match = match, .take = take};
