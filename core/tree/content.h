#ifndef TARN_TREE_CONTENT_H
#define TARN_TREE_CONTENT_H
/*
 * Open files of the tree: an immutable content in memory, a descriptor of a lake file, or a stream
 * that makes its bytes as they are read. Counted, so that all who waited for one computation share it.
 */
#include "core/tree/row.h"

struct stream {
	/* Bytes [off, off+n) with off + n <= size; 0 or -errno. Thread-safe. */
	int (*read)(void *priv, void *out, size_t n, uint64_t off, struct err *e);
	void (*close)(void *priv);
};

/* Each owns what it is given, also on failure; NULL: out of memory. */
struct tree_file *tree_file_content(struct buf *b, bool keep);
struct tree_file *tree_file_stream(const struct stream *s, void *priv, uint64_t size);
struct tree_file *tree_file_of_fd(int fd, uint64_t size);
struct tree_file *tree_file_ref(struct tree_file *f);

#endif
