#ifndef TARN_FORMAT_HDF5_H
#define TARN_FORMAT_HDF5_H
/*
 * Datasets of HDF5 files (HDF5 File Format Specification 3.0), the part of it that Keras, TensorFlow and h5py write by
 * default: superblocks 0 to 3, object headers 1 and 2, groups as B-trees, compact or dense links, dense attributes,
 * contiguous, compact and chunked layouts with deflate, shuffle, fletcher32 and LZF.
 * Read here and not through libhdf5 (docs/dependencies.md), which is not made for hostile
 * files, keeps global state, and reads neither out of an archive nor from several threads. Soft and external links are
 * not followed, plugins do not exist. What is rarer is refused by name.
 */
#include "core/format/stored.h"

struct hdf5_attribute { const char *object, *name, *text; size_t len; };	/* texts only; object: its path */

struct hdf5 {
	struct weights *w;
	uint32_t file;
	struct source src;
	uint64_t base;			/* of all addresses */
	uint64_t budget;		/* objects, messages and tree nodes left to visit */
	uint64_t heap_budget;		/* objects of global heaps left to pass */
	const char *prefix;		/* put in front of names */
	uint64_t window_at;		/* of the bytes in window: headers are small and near each other */
	size_t window_len;
	unsigned char window[8192];
	struct hdf5_attribute *attributes;	/* of groups; in w's arena */
	size_t n_attributes, attribute_cap;
	size_t links, types, apart, layouts, texts;	/* left out: see hdf5.c's tell() */
	struct err *e;
};

bool hdf5_is(const unsigned char *head, size_t len);
/* All datasets of numbers in h->src become tensors of w (a stored_set), named by their paths. */
int hdf5_read(struct hdf5 *h);
/* What a text attribute of the root group says; NULL. */
const struct hdf5_attribute *hdf5_find(const struct hdf5 *h, const char *object, const char *name);

#endif
