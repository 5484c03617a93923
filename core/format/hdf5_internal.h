#ifndef TARN_FORMAT_HDF5_INTERNAL_H
#define TARN_FORMAT_HDF5_INTERNAL_H
/* Between hdf5.c (groups), hdf5_object.c (headers and messages) and hdf5_chunks.c (chunked data). */
#include "core/format/hdf5.h"

enum { HDF5_FILTERS = 8, HDF5_UNDEFINED_BYTES = 8 };
#define HDF5_UNDEFINED UINT64_MAX

struct hdf5_filter { uint16_t id; uint32_t value; /* its first parameter */ };

/* Links or attributes in a heap, and the tree of their names; HDF5_UNDEFINED where there are none. */
struct hdf5_dense { uint64_t heap, names; };

/* What the messages of one object header say. */
struct hdf5_object {
	bool has_space, has_type, has_layout, has_links;
	unsigned ndim;
	bool too_many;			/* dimensions */
	uint64_t shape[TENSOR_DIMS];
	enum dtype dtype;
	bool swap;
	uint32_t item;
	enum { LAYOUT_COMPACT, LAYOUT_CONTIGUOUS, LAYOUT_CHUNKED, LAYOUT_OTHER } layout;
	uint64_t data, data_size;	/* offset in the source; of chunked data: its B-tree */
	uint32_t chunk[TENSOR_DIMS];
	struct hdf5_filter filters[HDF5_FILTERS];
	unsigned n_filters;
	uint64_t tree, heap;		/* of a group of the older kind; HDF5_UNDEFINED where it is none */
	uint64_t *link_at;		/* positions of link messages of a group of the newer kind; heap */
	uint32_t *link_size;
	size_t n_links, link_cap, size_cap;
	struct hdf5_dense many_links, many_attributes;	/* in heaps of their own */
};

void hdf5_object_release(struct hdf5_object *o);
/* n bytes at an address of the file. */
int hdf5_at(struct hdf5 *h, uint64_t address, void *out, size_t n);
int hdf5_bad(struct hdf5 *h, uint64_t address, const char *what);
uint64_t hdf5_number(const unsigned char *p, size_t n);
/* One step of the budget; EINVAL when it is used up. */
int hdf5_step(struct hdf5 *h, uint64_t address);
/* Read the header at `address`; attributes of text are added to h under the name `path`. */
int hdf5_object_read(struct hdf5 *h, uint64_t address, const char *path, struct hdf5_object *o);
/* Each link or attribute message of a dense storage. */
int hdf5_dense(struct hdf5 *h, const struct hdf5_dense *where, bool links,
	       int (*each)(void *arg, uint64_t address, uint64_t size), void *arg);
/* A source of the chunked dataset's bytes, row-major. */
int hdf5_chunked(struct hdf5 *h, const struct hdf5_object *o, const struct tensor *t, struct source *out);

#endif
