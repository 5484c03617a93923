#ifndef TARN_ANALYSIS_SIGNATURE_H
#define TARN_ANALYSIS_SIGNATURE_H
/*
 * The signature of a model: a fixed, seeded sample of its weights from which kinship, lineage,
 * merges and neighbours are computed without opening the files again.
 *
 * Of each part (core/lake/canon.h) a grid is kept: rows chosen by the smallest hashes of (role, row),
 * columns by the smallest hashes of (role, column). Three things follow. A smaller sample is a subset of a
 * larger one, so models with other depths, budgets or added vocabulary rows line up (part_align). The
 * same positions are read in every layout and container. Linear combinations of models are linear
 * combinations of signatures. Values are kept exactly as stored (2 bytes where bf16 or f16 hold them,
 * else 4). Beside the grid: hashes of multisets of values, which survive a permutation of rows or columns.
 *
 * A signature depends on the stored values and SIGNATURE_VERSION alone: not on names of files,
 * shards, containers, dates. At most SIGNATURE_MAX bytes encoded; bytes read from a large model stay
 * below one percent. Immutable once made; may be read from several threads.
 */
#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/lake/canon.h"

enum {
	SIGNATURE_VERSION = 3,
	SIGNATURE_MAX = 1500000,	/* bytes encoded */
	SKETCH_BLOCKS = 4,
	SKETCH_DIMS = 240,		/* a block; int8 each */
	SKETCH_CONTENTS = 6,
};

/* At most 1 KiB: four count sketches (Charikar et al. 2002) of the normalised grid, of the parts
 * outside the layers, of the first layer, of the middle, of the last. E[dot] is the cosine; the null's sd is 1/sqrt(SKETCH_DIMS). */
struct sketch {
	float scale[SKETCH_BLOCKS];	/* dim = v * scale has unit norm; 0: the block is empty */
	int8_t v[SKETCH_BLOCKS][SKETCH_DIMS];
	uint64_t shape;			/* hash of roles, widths and layers: equal for one architecture and size */
	uint32_t parts;			/* 0: nothing to compare (no readable tensors) */
	uint32_t reserved;
	uint64_t invariant;		/* of all matrices' sorted values: equal for copies permuted in any way; 0: not known */
	uint32_t content[SKETCH_CONTENTS];	/* smallest hashes of whole matrices' values, ascending: equal ones are looked into; 0: none */
};

enum { SIGPART_QUANTISED = 1, SIGPART_WHOLE = 2 /* the grid is all of it */, SIGPART_INTEGER = 4, SIGPART_VECTOR = 8 /* one column */ };

struct sigpart {
	const char *role;
	uint64_t role_hash;		/* of the role's text */
	int32_t layer, expert;		/* -1: none */
	uint32_t tensor;		/* index into weights->tensors */
	uint8_t dtype;			/* enum dtype as stored in the file */
	uint8_t flags;
	uint64_t rows, cols;		/* of the part, not of the sample */
	uint32_t nr, nc;		/* of the grid; ascending indices below */
	uint32_t *row, *col;
	float *v;			/* nr x nc, row-major, as stored (non-finite values are kept) */
	uint64_t grid;			/* hash of row and col: equal grids need no alignment */
	uint64_t sorted_rows;		/* hash of sampled rows as multisets: survives a permutation of columns; 0: not known */
	uint64_t sorted_cols;		/* the same of columns */
	uint64_t sorted_all;		/* of all values of a part read whole; 0: not known */
	uint64_t name;			/* hash of the tensor's name: tells which of equal copies is meant, nothing else; not in the key */
	uint64_t content;		/* of all values of a part read whole, in order; 0: not known */
	float nonfinite;		/* share of the grid that is NaN or Inf */
};

struct signature {
	uint32_t version;
	struct hash128 key;		/* of the header's facts and the sampled values */
	uint32_t layers;
	uint64_t parameters;
	struct sketch sketch;
	struct sigpart *parts;		/* sorted by role_hash, layer, expert, tensor */
	size_t n_parts;
	uint64_t bytes_read;		/* while it was made; not encoded, 0 after decode */
	struct arena arena;
};

/* Reads the sample. Errors: EIO and what reading gives (a tensor that cannot be read makes the signature fail,
 * with its name), ECANCELED, ENOMEM, ENODATA when no tensor holds numbers. */
int signature_of(struct signature *s, const struct weights *w, const struct canon *c, const struct cancel *cancel,
		 struct err *e);
void signature_release(struct signature *s);

/* One blob, little-endian. Decode trusts nothing: EINVAL with the offset for what does not add up, ESTALE for
 * another version (to be computed again). */
int signature_encode(const struct signature *s, struct buf *out, struct err *e);
int signature_decode(struct signature *s, const void *blob, size_t len, struct err *e);

/* All grid values in part order, for signature.npy. Free *out. */
int signature_floats(const struct signature *s, float **out, size_t *n, struct err *e);

/* The part with this place, or NULL. */
const struct sigpart *signature_find(const struct signature *s, uint64_t role_hash, int32_t layer, int32_t expert);

/* Cosine of a block (-1..1; 0 when either is empty) and the best z = cos * sqrt(SKETCH_DIMS) over the blocks both have. */
float sketch_cosine(const struct sketch *a, const struct sketch *b, int block);
float sketch_z(const struct sketch *a, const struct sketch *b);

#endif
