#ifndef TARN_ANALYSIS_SIGBLOB_H
#define TARN_ANALYSIS_SIGBLOB_H
/* The serialised signature: its layout, and what is derived from a part's indices and values. Private to the room. */
#include "core/analysis/signature.h"

/* Bytes of the head (with the sketch) and of a part without its indices and values. */
enum { SIGBLOB_HEAD = 1088, SIGBLOB_PART = 88 };

uint64_t sigpart_grid(const struct sigpart *p);
int sigpart_cmp(const void *a, const void *b);	/* role_hash, layer, expert, tensor */
struct hash128 sigblob_key(const struct signature *s);

#endif
