#ifndef TARN_ANALYSIS_EXPORT_H
#define TARN_ANALYSIS_EXPORT_H
/*
 * A model as one safetensors file that exists nowhere: its header is built, its data is read where it is when a range
 * is asked for. Nothing is copied, nothing held but the header; any range, from several threads.
 *
 * Names are the tensors' own; GGUF's become Hugging Face's where core/lake/hf_names.h knows the architecture (and then
 * the rows of q and k get their order back, Gemma's norms lose the 1 that the converter added, GPT-2's matrices lie as
 * Conv1D has them); gpt-oss's experts lie as its parameters do. Types safetensors has are kept, bit for bit. Else: quantised ones become F16 (beyond its range
 * infinite), MXFP4, MXFP8 and NVFP4 F32, FNUZ floats, I4 and U4 F16 (exact), C128 F64 with a last dimension of two. Tensors
 * of a type that is not decoded are left out.
 *
 * The file (github.com/huggingface/safetensors): u64 length of the header, the header as JSON padded with spaces to a
 * multiple of 8, the data without gaps. Tensors are in the order of their width, widest first, so that all are
 * aligned, then as they are stored, so that reading on reads the model's files on. __metadata__ is that of the source;
 * "format": "pt" is added where it is missing, as loaders ask for it.
 */
#include "core/analysis/diff.h"

#include <pthread.h>

struct export_entry {
	const char *name;
	enum dtype dtype;		/* written */
	uint8_t ndim;
	uint64_t shape[TENSOR_DIMS];
	uint64_t elements, offset, bytes;	/* offset: in the data */
	uint32_t id;			/* the tensor's number; experts out of one have numbers behind all tensors' */
	uint64_t first;			/* of the tensor's values: others' lie before them (experts stacked in one) */
	uint32_t tensor, part;		/* part: rows are read through it, DIFF_NONE: as stored */
	uint8_t how;			/* export_internal.h's own */
	bool turned;			/* each matrix is the source's, transposed */
	uint32_t row;			/* of the delta's diff */
	float add;			/* to each value */
};

struct export {
	struct arena arena;
	const struct weights *w;	/* must outlive the export */
	const struct canon *c;
	struct diff_model other;	/* of a delta */
	struct diff diff;
	struct export_entry *entries;	/* by offset */
	size_t n;
	size_t left_out;		/* tensors of types that are not decoded */
	char *header;			/* with the length in front */
	uint64_t header_len, size;	/* size: of the whole file */
	pthread_mutex_t lock;		/* of the transposed tensor kept */
	float *kept;
	size_t kept_entry;
	uint64_t kept_row;
};

/* architecture: GGUF's general.architecture, or NULL to keep names. Errors: ENOMEM, EINVAL when names clash. */
int export_plan(struct export *x, const struct weights *w, const struct canon *c, const char *architecture,
		struct err *e);
/* `this - other` of tensors aligned as diff.h does, float32; rows and columns that other lacks, and tensors it lacks,
 * as they are in this one. Tensors of this in a layout of their own that other does not share are left out. */
int export_delta(struct export *x, const struct diff_model *this, const struct diff_model *other, const char *base,
		 struct err *e);
void export_release(struct export *x);

/* Bytes [off, off+n) of the file; off + n <= size. */
int export_read(const struct export *x, uint64_t off, uint64_t n, void *out, struct err *e);

/* Each entry as a NumPy file (format 1.0), in types NumPy has, else float32. */
uint64_t export_npy_size(const struct export_entry *t);
int export_npy_read(const struct export *x, const struct export_entry *t, uint64_t off, uint64_t n, void *out,
		    struct err *e);

/* What GGUF's metadata says the architecture is, NULL for other formats. */
const char *export_architecture(const struct weights *w);

#endif
