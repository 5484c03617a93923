#ifndef TARN_LAKE_OPEN_H
#define TARN_LAKE_OPEN_H
/* Opening below a root, for the lake room itself: files and directories alike. */
#include "core/lake/lake.h"

/*
 * openat(2) below a root ("" is the root itself) under the lake's containment. A descriptor, or -errno (EXDEV:
 * refused).
 */
int lake_open_at(const struct lake *l, uint32_t root, const char *path, int flags);

/* The root or allowed directory that a real path lies in, or NULL. */
const char *lake_base(const struct lake *l, const char *real);

/* Is the open directory the root of a mount of ours? What is shown there lies elsewhere. */
bool lake_is_view(int dirfd);

#endif
