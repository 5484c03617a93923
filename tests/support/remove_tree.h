#ifndef TARN_TEST_REMOVE_TREE_H
#define TARN_TEST_REMOVE_TREE_H
/* Tests and benchmarks: a directory that they made, and all in it, goes. Links are not followed. */
#include <ftw.h>
#include <stdio.h>

static inline int remove_entry_(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void remove_tree(const char *dir)
{
	nftw(dir, remove_entry_, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
