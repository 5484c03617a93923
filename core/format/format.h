#ifndef TARN_FORMAT_FORMAT_H
#define TARN_FORMAT_FORMAT_H
/*
 * Containers of tensors behind one interface: open, list the tensors, read a range of one.
 * Nothing here knows models. A new format is one file and one row in format.c's table.
 *
 * A `struct weights` is what one or several files of one format hold (shards are several). Opening
 * reads headers only. It is immutable after weights_open and may be read from several threads.
 * Shapes are row-major, outermost dimension first, whatever the container's own order.
 *
 * Hostile input: nothing is allocated by a count that was not first checked against the bytes that
 * remain; every product is checked; a file that is cut short, replaced or malformed is an error
 * with its byte offset, never a crash. Defects that do not keep the tensors from being read
 * (trailing bytes, odd padding) are warnings.
 */
#include "core/base/err.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/base/value.h"
#include "core/format/dtype.h"

enum { TENSOR_DIMS = 8 };

struct tensor {
	const char *name;		/* as in the file; unique in its weights */
	enum dtype dtype;
	uint8_t ndim;
	uint64_t shape[TENSOR_DIMS];	/* row-major, outermost first; ndim 0 is a scalar */
	uint64_t elements;		/* product of the shape (1 for a scalar) */
	uint64_t offset;		/* of the stored bytes in their file; 0 where they are not contiguous */
	uint64_t bytes;			/* stored bytes */
	uint32_t file;			/* index into weights->files */
	uint32_t aux;			/* the format's own */
};

struct weights_file {
	const char *path;		/* as given to weights_open */
	struct io io;
	const unsigned char *head;	/* its first bytes, while format->open runs; else NULL */
	size_t head_len;
};

struct warning {
	const char *file, *problem, *detail;	/* problem: a short word or two for problems.tsv */
};

/* Something in the file that a loader would run, or that tries to deceive it. For audit. */
struct hazard {
	const char *file, *kind, *detail;	/* kind: "pickle-global", "torchscript", "keras-lambda", "zip-traversal", … */
	uint64_t pos;				/* byte offset, ERR_NOPOS if none */
	bool runs_code;				/* loading it the ordinary way may run code */
};

struct format;
struct beside;

struct weights {
	const struct format *format;
	struct arena arena;		/* owns everything below */
	struct weights_file *files;
	size_t n_files;
	struct tensor *tensors;		/* in file order */
	size_t n_tensors;
	struct value meta;		/* VALUE_OBJECT: safetensors' __metadata__, GGUF's key-values, … */
	const char *quantization;	/* "Q4_K_M", "gptq-4bit", … or NULL; set by the format or weights_compose */
	struct warning *warnings;
	size_t n_warnings;
	struct hazard *hazards;
	size_t n_hazards;
	const struct beside *beside;	/* while opening: how to open what lies beside the files, or NULL */
	uint64_t *inflatable;		/* while opening: bytes that may still be inflated; then without bound */
	uint32_t reading;		/* while opening: the file that an error is about (weights_open puts its path in front) */
	void *priv;			/* the format's own, in the arena or released by format->close */
};

struct format {
	const char *name;		/* metadata/format: "safetensors", "gguf", "pytorch", "onnx", … */
	const char *extensions;		/* " safetensors gguf " space-separated, leading and trailing space */
	/* Do these first bytes (up to 4096, file size known) look like this format? 0 no … 100 certain. */
	int (*probe)(const unsigned char *head, size_t len, uint64_t file_size);
	/* Read the headers of w->files (already open). Fill tensors, meta, warnings. */
	int (*open)(struct weights *w, struct err *e);
	/* Read elements [first, first+n) of t as float32. NULL: stored contiguously at t->offset, any dtype. */
	int (*read)(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		    struct err *e);
	/* Read stored bytes in row-major order [off, off+n) (what an export or a hash sees). NULL: contiguous. */
	int (*read_raw)(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
			struct err *e);
	void (*close)(struct weights *w);	/* NULL: the arena is all there is */
};

/* All formats, NULL-terminated, most specific probe first. */
extern const struct format *const formats[];
const struct format *format_by_name(const char *name);
/* By content alone, whatever the name says. NULL with e set (EINVAL "not a known format: begins with …"). */
const struct format *format_probe(const struct io *io, struct err *e);

/* Open `n` files (shards) as one. dirfd and paths as for io_open. On error *w is released and e says which file.
 * Errors: EINVAL malformed, ENOTSUP recognised but not read (says why), EFBIG, EIO, errno of open. */
int weights_open(struct weights *w, int dirfd, const char *const *paths, size_t n, struct err *e);
/* The same over open files (owned from then on): for tests and for links that were resolved elsewhere. */
int weights_open_io(struct weights *w, struct io *ios, const char *const *paths, size_t n, struct err *e);

/* Some files point to others in their directory (ONNX's external data). `name` is relative and was checked: it has no
 * "..". Open it beside paths[file]. weights_open does so by itself; weights_open_io refuses such tensors. */
struct beside {
	int (*open)(void *ctx, uint32_t file, const char *name, struct io *io, struct err *e);
	void *ctx;
};
int weights_open_beside(struct weights *w, struct io *ios, const char *const *paths, size_t n,
			const struct beside *beside, struct err *e);

void weights_release(struct weights *w);

const struct tensor *weights_find(const struct weights *w, const char *name);	/* linear; NULL */

/* Elements [first, first+n) in row-major order as float32. Range checked. Integer types are converted too.
 * Block types: any range, blocks are decoded whole. Non-finite values pass through. */
int weights_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		 struct err *e);
/* Stored bytes [off, off+n) of t->bytes, row-major. */
int weights_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
		     struct err *e);

/* --- for the formats themselves --- */
struct tensor *weights_add(struct weights *w, size_t *cap, struct err *e);	/* a zeroed tensor appended; NULL: ENOMEM */
/* Fill elements and bytes from shape and dtype; EINVAL on overflow, dims, or not whole blocks. */
int tensor_measure(struct tensor *t, struct err *e);
/* Does [offset, offset+bytes) lie in the file? EINVAL saying both. */
int tensor_check(const struct weights *w, const struct tensor *t, struct err *e);
__attribute__((format(printf, 4, 5)))
int weights_warn(struct weights *w, const char *file, const char *problem, const char *fmt, ...);
__attribute__((format(printf, 6, 7)))
int weights_hazard(struct weights *w, const char *file, const char *kind, uint64_t pos, bool runs_code,
		   const char *fmt, ...);
/* All names unique? Sorts; EINVAL naming the first that is not. */
int weights_check_names(const struct weights *w, struct err *e);

#endif
