#ifndef TARN_FS_GLOB_H
#define TARN_FS_GLOB_H
/*
 * A shell's patterns (*, ?, [a-z]) over names of the tree, where no shell can expand them.
 */
#include "fs/opened.h"

struct paths {
	char **all;
	size_t n, cap;
};

/* What each argument stands for, in its order, the names of a pattern sorted. What exists as it is written is itself;
 * so is a pattern that nothing matches. 0 or -errno; paths_release also then. */
int paths_expand(struct opened *l, const char *const *args, size_t n, struct paths *out, struct err *e);
void paths_release(struct paths *p);

#endif
