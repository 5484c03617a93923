#ifndef TARN_LAKE_CANON_INTERNAL_H
#define TARN_LAKE_CANON_INTERNAL_H
/* Private to the files that make and read the canonical view. */
#include "core/lake/canon.h"
#include "core/lake/tensor_name.h"
#include "core/lake/roles.h"

#include <errno.h>
#include <stdio.h>

/* Does llama.cpp's converter reorder q and k rows for this GGUF architecture? */
bool canon_rope_order(const char *architecture);
/* Does it store its norms' weights with 1 added? */
bool canon_norm_plus_one(const char *architecture);

/* The stored row (or column) at which canonical row r of the part stands. */
uint64_t part_stored(const struct part *p, uint64_t row);

#endif
