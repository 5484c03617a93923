#ifndef TARN_FS_LOG_H
#define TARN_FS_LOG_H
/*
 * The daemon's messages: to a file (--log), to stderr in the foreground, else to syslog. Chosen once.
 */
#include "core/base/err.h"

#include <syslog.h>

/* `path` NULL: stderr when foreground, else syslog. */
int log_open(const char *path, int foreground, struct err *e);
void log_close(void);

__attribute__((format(printf, 2, 3))) void log_say(int level, const char *fmt, ...);
/* The same, but at most so many a minute: for what each of a crawler's million files may say. */
__attribute__((format(printf, 2, 3))) void log_some(int level, const char *fmt, ...);

#endif
