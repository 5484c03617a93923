#ifndef TARN_FS_PLACE_H
#define TARN_FS_PLACE_H
/*
 * What is mounted where: the paths of a mount, made absolute and checked before anything happens.
 */
#include "fs/options.h"

#include <limits.h>

struct place {
	char **lakes, **allow;
	size_t n_lakes, n_allow;
	char point[PATH_MAX];
	char *catalog, *log;	/* NULL: not given */
};

/* Each error says what was expected, what was found, and the command that mends it. */
int place_check(struct place *p, const struct options *o, struct err *e);
void place_release(struct place *p);

#endif
