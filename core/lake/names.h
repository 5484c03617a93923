#ifndef TARN_LAKE_NAMES_H
#define TARN_LAKE_NAMES_H
/* What a file's name alone says about it. Pure functions; nothing is read. */
#include "core/lake/scan.h"

struct name {
	enum scan_kind kind;	/* SCAN_WEIGHTS where the name says so; never SCAN_WEIGHTS_ALSO */
	const char *unread;	/* why such a file is shown as no model ("an optimizer's state"), or NULL */
	const char *ext;	/* lower case, static; "" where unknown */
	uint8_t rank;		/* of the container: the lowest of a directory is read */
	int8_t usual;		/* index of its stem among the usual names, -1: a name of its own */
	bool variant;		/* usual, with a variant's word: model.fp16.safetensors */
	bool weak;		/* may as well be data: .npy, .pkl */
	bool unsure;		/* the name says nothing: look at the content */
	bool step;		/* a numbered training state: 0000100_adapters */
	bool projector;		/* mmproj-*.gguf: belongs to the model beside it */
	uint8_t stem;		/* bytes of the name without shard suffix and extension */
	uint32_t of;		/* number of shards, 0: not a shard */
};

void name_parse(struct name *n, const char *name);
/* A file whose name said nothing, and whose content is of this format (core/format's name): weights. */
void name_by_format(struct name *n, const char *name, const char *format);

/* Which of a directory's weights are read: the lowest. Usual names before others, whole files before shards, containers
 * by rank. `adapter`: the directory has an adapter's config and no model's. */
unsigned name_order(const struct name *n, bool adapter);

/* Directories that are not looked into, and are no news: .git, .locks, datasets--*, … */
bool name_skipped(const char *dir);
/* Folders that image tools sort files into by kind: one file there is a model, not its folder. */
bool name_is_category(const char *path);
/* All digits, at least one? */
bool name_is_number(const char *s, size_t n);

#endif
