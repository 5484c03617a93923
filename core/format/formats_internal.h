#ifndef TARN_FORMAT_FORMATS_INTERNAL_H
#define TARN_FORMAT_FORMATS_INTERNAL_H
/* The formats that format.c's table lists, one row each, and what they share while opening. Private to format. */
#include "core/format/format.h"

extern const struct format format_ggml;
extern const struct format format_gguf;
extern const struct format format_hdf5;
extern const struct format format_keras;
extern const struct format format_msgpack;
extern const struct format format_npy;
extern const struct format format_npz;
extern const struct format format_onnx;
extern const struct format format_pytorch;
extern const struct format format_safetensors;

/* Bytes [off, off+len) of a file: from the head that probing has read where it holds them. Only while opening. */
int head_pread(const struct weights_file *f, void *out, size_t len, uint64_t off, struct err *e);

/*
 * Sort the tensors from `first` on, all of the file being read, by offset, and warn where they do not cover its
 * bytes from `begin` to the end once each; fewer than `align` bytes between them are padding.
 */
int weights_cover(struct weights *w, size_t first, uint64_t begin, uint64_t align, struct err *e);

/* Warn about keys of `object` that appear twice in the file being read. */
int weights_check_keys(struct weights *w, const struct value *object, struct err *e);

/* Out of memory, or beyond the limit of w's arena (EFBIG). */
int weights_nomem(const struct weights *w, struct err *e);

#endif
