#include "fs/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SOME = 20 /* a minute */ };

static struct {
	FILE *out;		/* NULL: syslog */
	pthread_mutex_t lock;
	time_t minute;
	unsigned said, dropped;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER};

int log_open(const char *path, int foreground, struct err *e)
{
	if (path) {
		sink.out = fopen(path, "ae");
		if (!sink.out)
			return err_set(e, errno, "cannot open the log '%s': %s", path, strerror(errno));
		setvbuf(sink.out, NULL, _IOLBF, 0);
	} else if (foreground) {
		sink.out = stderr;
	} else {
		openlog("tarn", LOG_PID, LOG_DAEMON);
	}
	return 0;
}

void log_close(void)
{
	if (sink.out && sink.out != stderr)
		fclose(sink.out);
	else if (!sink.out)
		closelog();
	sink.out = NULL;
}

__attribute__((format(printf, 2, 0))) static void put(int level, const char *fmt, va_list ap)
{
	if (!sink.out) {
		vsyslog(level, fmt, ap);
		return;
	}
	char line[1024], when[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	vsnprintf(line, sizeof line, fmt, ap);
	if (sink.out == stderr || !localtime_r(&now, &tm) || !strftime(when, sizeof when, "%F %T ", &tm))
		when[0] = 0;
	fprintf(sink.out, "%starn: %s\n", when, line);
}

void log_say(int level, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	put(level, fmt, ap);
	va_end(ap);
}

/* May one more be said this minute? *dropped: how many were not, in the minute before. */
static int may_say(unsigned *dropped)
{
	time_t now = time(NULL) / 60;
	pthread_mutex_lock(&sink.lock);
	*dropped = 0;
	if (now != sink.minute) {
		*dropped = sink.dropped;
		sink.minute = now;
		sink.said = sink.dropped = 0;
	}
	int may = sink.said < SOME;
	if (may)
		sink.said++;
	else
		sink.dropped++;
	pthread_mutex_unlock(&sink.lock);
	return may;
}

void log_some(int level, const char *fmt, ...)
{
	unsigned dropped;
	if (!may_say(&dropped))
		return;
	if (dropped)
		log_say(level, "%u messages like the following were left out", dropped);
	va_list ap;
	va_start(ap, fmt);
	put(level, fmt, ap);
	va_end(ap);
}
