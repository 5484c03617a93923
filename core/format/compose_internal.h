#ifndef TARN_FORMAT_COMPOSE_INTERNAL_H
#define TARN_FORMAT_COMPOSE_INTERNAL_H
/* Between compose.c (finding composites), compose_writers.c (what each writer's parts are) and compose_read.c (their values). */
#include "core/format/compose.h"

enum { COMPOSITE_PARTS = 6 };	/* the most that any has */

enum packing { PACK_I8, PACK_FLOAT, PACK_BITS /* a row is a little-endian stream of `bits` */, PACK_CODES /* 4 bits, high first */,
	PACK_GPTQ, PACK_AWQ };

struct composite {
	enum packing packing;
	bool named;			/* base is the weight's own name, without .weight behind */
	uint64_t rows, cols;		/* as a matrix; leading dimensions are rows */
	uint32_t bits;
	enum dtype element;		/* what the bits of PACK_BITS are, NONE: whole numbers */
	int32_t zero;			/* subtracted from every q */
	float factor;			/* times every scale */
	enum dtype scale_type;		/* what the scales' bytes are, NONE: what their tensor says */
	float outer;			/* times every scale, or under it, before it meets a q; 0: none */
	bool outer_divides;
	bool turned;			/* loaders hold each matrix transposed */
	uint64_t matrix_rows;		/* of one of several matrices: blocks do not reach from one into the next */
	uint64_t block_rows, block_cols;	/* that share a scale */
	uint64_t scale_cols;		/* scales in a row of the grid */
	/* parts by their use; NULL where there is none */
	const struct tensor *q, *scale, *zeros, *bias, *index;
	/* 4 bits of bitsandbytes */
	const struct tensor *nested_scale;
	float codes[16], nested_codes[256], nested_offset;
	uint64_t nested_block;

	const struct tensor *parts[COMPOSITE_PARTS];
	size_t n_parts;
};

struct composed {
	struct format format;		/* what w->format points to: the inner one with our read functions */
	struct weights stored;		/* w as it was; shares everything */
	struct composite *items;	/* by aux of the composite tensors */
	size_t n;
};

/* While looking for composites. */
struct finding {
	struct weights *w;
	const struct value *config;	/* quantization_config, quantization or NULL */
	const struct member **comfy;	/* the layers of ComfyUI's _quantization_metadata, sorted by name; heap */
	size_t n_comfy;
	bool scaled;			/* a weight is scaled as ComfyUI did at first, and a tensor may say so */
	const struct tensor **by_name;	/* sorted */
	uint32_t *made;			/* by tensor: 1 + index of the composite it is the main part of */
	bool *dropped;			/* by tensor: a lesser part */
	struct composite *items;	/* heap while growing */
	struct tensor *shown;		/* what each becomes */
	size_t n, cap, shown_cap;
	struct err *e;
	int failed;
};


/* A place where a composite may be: the tensors called base (its first n bytes) and what its writer puts behind. */
struct site { struct finding *f; const char *base; size_t n; const char *suffix; };

/* One of the ways to store a quantised weight, known by how the name of one of its tensors ends. */
struct writer {
	const char *suffix;
	/* The parts, how to read them and what to show. False: they do not fit together, or f->failed is why not. */
	bool (*make)(const struct site *at, struct composite *c, struct tensor *t);
	bool shared;	/* others use the ending too: what does not fit is no news */
};

const struct writer *compose_writer(const char *name, size_t *base);	/* NULL: none; base: length of what stands before */
const struct tensor *compose_find(const struct site *at, const char *suffix);	/* NULL where there is none */

int compose_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		 struct err *e);
int compose_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
		     struct err *e);
const struct composed *composed_of(const struct weights *w);	/* NULL unless composed */
bool is_composite(const struct tensor *t);

#endif
