#ifndef TARN_FORMAT_STORED_H
#define TARN_FORMAT_STORED_H
/*
 * Where the elements of a tensor are when they are not simply contiguous in one file: strided views
 * of shared storages, the other byte order, inside archives, in memory. Formats that need this keep a
 * `struct stored_set` as w->priv and use stored_read, stored_read_raw and stored_close as they stand.
 */
#include "core/format/format.h"
#include "core/format/source.h"

struct stored {
	struct source src;
	uint64_t start;			/* byte offset of the first element in src */
	uint64_t stride[TENSOR_DIMS];	/* in elements; as many as the tensor has dimensions */
	bool contiguous;		/* row-major without gaps: strides are not looked at */
	bool swap;			/* big-endian */
};

struct zip;
struct stored_release { void (*run)(void *); void *arg; };

struct stored_set {
	struct stored *items;		/* by tensor.aux */
	size_t n, cap;			/* heap */
	size_t tensor_cap;
	struct zip **zips;		/* to release; heap */
	size_t n_zips, zip_cap;
	struct arena *arenas;		/* of bytes that tensors are in; to release; heap */
	size_t n_arenas, arena_cap;
	struct stored_release *releases;	/* what else is to be released; heap */
	size_t n_releases, release_cap;
	struct io **extra;		/* files opened beside the weights' own, in w's arena; to close; heap */
	size_t n_extra, extra_cap;
};

/* A set as w->priv. */
int stored_init(struct weights *w, struct err *e);
/* An archive, owned by the set from now on. */
struct zip *stored_zip(struct weights *w, struct err *e);
/* Run this when the set is released. */
int stored_cleanup(struct weights *w, void (*run)(void *), void *arg, struct err *e);
/* A file, not yet open, that is closed with the set. */
struct io *stored_file(struct weights *w, struct err *e);
/* Append tensor *t (name, dtype, ndim, shape, file given): measures it, checks that all its elements lie in s->src. */
int stored_add(struct weights *w, struct tensor t, const struct stored *s, struct err *e);

int stored_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out, struct err *e);
int stored_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
		    struct err *e);
void stored_close(struct weights *w);

#endif
