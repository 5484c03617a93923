#ifndef TARN_FORMAT_PYTORCH_INTERNAL_H
#define TARN_FORMAT_PYTORCH_INTERNAL_H
/* Between pytorch.c (archives), pytorch_legacy.c (pickles by themselves) and pytorch_walk.c (values to named tensors). */
#include "core/format/pickle.h"
#include "core/format/stored.h"

#include <errno.h>

/* One pickle with its storages, while it is being opened. */
struct torch_part {
	struct weights *w;
	uint32_t file;			/* index */
	const char *path;
	const char *prefix;		/* put in front of the tensors' names; "" */
	struct arena values;
	struct source pickle;		/* what byte positions in values refer to */
	bool big;
	bool keep_values;		/* tensors have their bytes in `values` */
	/* Where a storage's bytes are. */
	int (*locate)(const struct torch_part *t, const struct pick_storage *s, struct source *out, struct err *e);
	const struct zip *zip;
	const char *data;		/* "archive/data/" */
	struct torch_key *keys;		/* legacy: sorted by key; heap */
	size_t n_keys;
};

void torch_part_init(struct torch_part *t, struct weights *w, uint32_t file, const char *prefix, uint64_t pickle_size);
/* Keeps the values that tensors need. -ENOMEM */
int torch_part_release(struct torch_part *t);

/* Add the tensors found in `root` to w, named by the way to them. */
int torch_add_tensors(struct torch_part *t, struct pick *root, struct err *e);

/* A pickle that is not in an archive: torch's older format, or any pickle. */
int torch_open_legacy(struct weights *w, uint32_t file, struct source src, const char *prefix, struct err *e);
/* Why there are no tensors, from the warnings; NULL: there is nothing that would be one. */
const char *torch_why_none(const struct weights *w);
/* Of errors: is it what the pickle says, and no failure to read it? What it ran before it broke it has run: that is the news. */
static inline bool torch_is_broken(int r)
{
	return r == -EINVAL || r == -ENOTSUP || r == -EFBIG;
}
/* Could these bytes begin a pickle of `size` bytes? 0 no, 100 surely */
int torch_probe_pickle(const unsigned char *head, size_t len, uint64_t size);

#endif
