#ifndef TARN_TREE_FLAT_H
#define TARN_TREE_FLAT_H
/*
 * Ids as one path component (TREE.md, "Names"): '/' becomes "--" as in the hub cache; a literal "--" or '%'
 * is percent-encoded so that it can be undone; over 240 bytes, the first 220 and '~' and 16 hex digits
 * of XXH3-64 of the whole encoded name. Facet values and tensor names are encoded alike.
 */
#include "core/base/buf.h"

enum { FLAT_MAX = 240, FLAT_KEEP = 220 };

/* Appends the component. Control bytes and invalid UTF-8 stay as they are: it is a name, not text. "." and
 * ".." are percent-encoded. Empty: "%". */
void flat_encode(struct buf *out, const char *id, size_t len);
/* Appends the id of a component that was not shortened; false when no id encodes to it. */
bool flat_decode(struct buf *out, const char *flat);
bool flat_is_short(const char *flat);	/* could be a shortened one: 237 bytes, '~' and 16 hex digits at its end */

#endif
