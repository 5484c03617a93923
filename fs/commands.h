#ifndef TARN_FS_COMMANDS_H
#define TARN_FS_COMMANDS_H
/*
 * The commands of the command line. Each gets its options parsed, prints its own errors and returns
 * the exit status: 0, 1 (it could not be done) or 2 (wrongly asked for).
 */
#include "fs/options.h"

enum { EXIT_USAGE = 2 };

int command_mount(struct options *o);
int command_umount(struct options *o);
int command_index(struct options *o);
int command_ls(struct options *o);
int command_cat(struct options *o);
int command_which(struct options *o);
int command_status(struct options *o);

/* "tarn: …" to stderr. Returns 1. */
__attribute__((format(printf, 1, 2))) int complain(const char *fmt, ...);
/* The same, and how to ask; returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int misused(const struct options *o, const char *fmt, ...);

#endif
