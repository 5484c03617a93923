#ifndef TARN_FS_OPTIONS_H
#define TARN_FS_OPTIONS_H
/*
 * The command line: one table of options, each of which may be written --name, --name VALUE,
 * --name=VALUE or within -o NAME[=VALUE],… ('-' and '_' are the same). What mount(8) and fstab pass
 * is taken too.
 */
#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum command {
	CMD_MOUNT = 1, CMD_UMOUNT = 2, CMD_INDEX = 4, CMD_LS = 8, CMD_CAT = 16, CMD_WHICH = 32, CMD_STATUS = 64,
	CMD_HELPER = 128,	/* mount.fuse.tarn: mount's own short options */
};

struct options {
	enum command command;
	bool help;
	bool foreground, debug, wait, nonempty, allow_other, fake, sloppy, verbose;	/* mount */
	bool lazy;									/* umount */
	bool exact, quiet;								/* index */
	bool all, details, recursive, slash;						/* ls */
	const char *catalog, *log, *user, *files, *compute, *share, *fsname;
	unsigned jobs, queue;
	const char **allow;
	size_t n_allow, cap_allow;
	const char **args;		/* what is not an option */
	size_t n_args, cap_args;
	char **kept;			/* strings of -o lists */
	size_t n_kept, cap_kept;
};

/* argv[0] is not looked at. -EINVAL: the usage is wrong, and e says how. -ENOMEM. */
int options_parse(struct options *o, enum command command, int argc, char **argv, struct err *e);
void options_release(struct options *o);

/* "what it does" for each option of a command, one a line, to stdout. */
void options_print(enum command command);

/*
 * A LAKE argument as directories: the name itself where it is one, else its parts between colons.
 * Appends real paths to *lakes (free each). Errors name what is not a directory.
 */
int options_lakes(const char *arg, char ***lakes, size_t *n, struct err *e);
/* The directories of allow=, likewise. */
int options_allowed(const struct options *o, char ***dirs, size_t *n, struct err *e);
/* Nothing is ever written into the lake: EINVAL where `path` (may be NULL) is in one of these directories. */
int options_outside(const char *what, const char *path, char *const *lakes, size_t n, struct err *e);
void options_free_lakes(char **lakes, size_t n);

#endif
