#ifndef TARN_FORMAT_SHARDS_H
#define TARN_FORMAT_SHARDS_H
/*
 * The index of a model in several files, as transformers writes it beside them
 * (model.safetensors.index.json, pytorch_model.bin.index.json): {"metadata": …, "weight_map": {tensor: file}}.
 */
#include "core/format/format.h"

struct shard_entry {
	const char *tensor;
	uint32_t file;			/* into files */
};

struct shard_index {
	const char **files;		/* distinct, sorted; relative to the index's directory */
	size_t n_files;
	struct shard_entry *entries;	/* sorted by tensor */
	size_t n_entries;
};

/*
 * Read an index into `a`. Errors: EINVAL for what is not one, for a tensor that is in it twice, and for a file name
 * that is absolute, empty or leads upwards; EFBIG, ENOMEM, EIO.
 */
int shards_read_index(const struct io *io, struct arena *a, struct shard_index *out, struct err *e);

/*
 * Is each tensor in the file that the index names, and is each of the index's there? What is not is a warning of w,
 * "index mismatch", about `index_path` (which must outlive w). Before w is shared.
 */
int shards_check(struct weights *w, const struct shard_index *x, const char *index_path, struct err *e);

#endif
