#ifndef TARN_LAKE_SETS_H
#define TARN_LAKE_SETS_H
/* The weight files of one directory grouped into sets: one file, or the shards of one. Private to the room. */
#include "core/lake/layout.h"

/* Group l's weights into l->sets and mark each entry's set; sets are ordered by stem, shards, name. -ENOMEM, else 0. */
int sets_group(struct listing *l);
/* The name of the set's first file, and the stem that names the set. */
const struct name *set_name(const struct listing *l, const struct set *s);
const char *set_stem(const struct listing *l, const struct set *s, size_t *len);

struct sets_view {
	size_t strong;		/* sets that are surely weights */
	size_t stems;		/* different names among the strong ones; all usual names are one */
	size_t weak_stems;
	size_t own;		/* sets that are models of their own whatever the directory is */
	const struct set *best;	/* the strong one to read (or the weak, where only those exist); never one with `own` */
	bool usual;		/* best has a usual name */
};
/* adapter: the directory has an adapter's config and no model's. */
void sets_look(const struct listing *l, bool adapter, struct sets_view *v);
/* Is the set a model of its own beside others? Numbered training states; one of several GGUF quantisations. */
bool set_is_own(const struct listing *l, const struct set *s);

#endif
