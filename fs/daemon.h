#ifndef TARN_FS_DAEMON_H
#define TARN_FS_DAEMON_H
/*
 * Into the background. The one who typed the command waits until the mount answers, and hears what
 * went wrong where it does not.
 */
#include "core/base/err.h"

#include <stdbool.h>

struct daemon { int fd; };	/* -1: in the foreground */

/* Forks. In the child: 0, d set. In the parent: returns only on failure; else it waits for the child's word, prints
 * what it says and ends the process with 0 or 1. */
int daemon_begin(struct daemon *d, struct err *e);
void daemon_warn(struct daemon *d, const char *text);
void daemon_failed(struct daemon *d, const char *text);	/* the parent prints it and ends with 1 */
void daemon_ready(struct daemon *d);			/* the parent ends with 0; stderr is let go */

#endif
