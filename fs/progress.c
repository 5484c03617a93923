#include "fs/progress.h"

#include "core/base/buf.h"
#include "core/base/io.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Short work shows nothing (s). */
static const double PATIENCE = 0.3, BETWEEN = 0.1;

static double clock_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *phase_name(enum index_phase p)
{
	switch (p) {
	case INDEX_SCAN: return "names";
	case INDEX_HEADERS: return "headers";
	case INDEX_SIGNATURES: return "signatures";
	case INDEX_LINEAGE: return "lineage";
	default: return "ready";
	}
}

static void bytes_text(struct buf *b, double n)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	unsigned u = 0;
	while (n >= 1000 && u < 5) {
		n /= 1000;
		u++;
	}
	buf_printf(b, u && n < 100 ? "%.1f %s" : "%.0f %s", n, units[u]);
}

static void time_text(struct buf *b, double s)
{
	unsigned long n = (unsigned long)(s + 0.5);
	if (n >= 3600)
		buf_printf(b, "%lu:%02lu:%02lu", n / 3600, n / 60 % 60, n % 60);
	else
		buf_printf(b, "%lu:%02lu", n / 60, n % 60);
}

static void bar(struct buf *b, double share)
{
	enum { CELLS = 20 };
	unsigned full = (unsigned)(share * CELLS);
	buf_char(b, '[');
	for (unsigned i = 0; i < CELLS; i++)
		buf_char(b, i < full ? '#' : '.');
	buf_char(b, ']');
}

void progress_line(char *out, size_t n, const char *what, const struct index_status *s, double seconds, unsigned width)
{
	cleanup_buf struct buf b = {0};
	/* Bytes tell the time better than models, whose sizes differ. */
	bool by_bytes = s->bytes_total && s->bytes_done <= s->bytes_total;
	double done = (double)(by_bytes ? s->bytes_done : s->done);
	double total = (double)(by_bytes ? s->bytes_total : s->total);
	double share = total > 0 && done <= total ? done / total : 0;
	buf_printf(&b, "%-10s ", what);
	if (s->total) {
		bar(&b, share);
		buf_printf(&b, " %llu/%llu", (unsigned long long)s->done, (unsigned long long)s->total);
	}
	if (s->bytes_done) {
		buf_str(&b, "  ");
		bytes_text(&b, (double)s->bytes_done);
		if (by_bytes) {
			buf_str(&b, " of ");
			bytes_text(&b, (double)s->bytes_total);
		}
		if (seconds > 0) {
			buf_str(&b, "  ");
			bytes_text(&b, (double)s->bytes_done / seconds);
			buf_str(&b, "/s");
		}
	} else if (s->done && seconds > 0) {
		buf_printf(&b, "  %.0f models/s", (double)s->done / seconds);
	}
	if (share > 0.01 && seconds > 0) {
		buf_str(&b, "  ");
		time_text(&b, seconds * (1 - share) / share);
		buf_str(&b, " left");
	}
	if (s->current[0]) {
		buf_str(&b, "  ");
		buf_text(&b, s->current, strlen(s->current));
	}
	size_t len = b.len;
	if (len > width)	/* between characters, not within one */
		for (len = width; len && ((unsigned char)b.data[len] & 0xc0) == 0x80; len--)
			;
	snprintf(out, n, "%.*s", (int)len, b.data ? b.data : "");
}

void progress_begin(struct progress *p, bool quiet)
{
	*p = (struct progress){.shown = !quiet && isatty(2), .began = clock_now(), .bytes = io_bytes_read()};
	p->last = p->began + PATIENCE - BETWEEN;
}

static void draw(struct progress *p, const char *what, const struct index_status *s)
{
	double now = clock_now();
	if (p->what != what) {
		p->what = what;
		p->began = now;
	}
	if (!p->shown || now < p->last + BETWEEN)
		return;
	char line[512];
	struct winsize w;
	unsigned width = !ioctl(2, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col - 1u : 79;
	progress_line(line, sizeof line, what, s, now - p->began, width);
	fprintf(stderr, "\r%s\033[K", line);
	p->drawn = true;
	p->last = now;
}

void progress_index(void *arg, const struct index_status *now)
{
	struct progress *p = arg;
	struct index_status s = *now;
	const char *what = phase_name(s.phase);
	if (what != p->what)
		p->bytes = io_bytes_read();
	if (!s.bytes_done)
		s.bytes_done = io_bytes_read() - p->bytes;
	draw(p, what, &s);
}

void progress_exact(void *arg, const struct tree_progress *t)
{
	struct progress *p = arg;
	struct index_status s = {.done = t->done, .total = t->total, .bytes_done = io_bytes_read() - p->bytes};
	snprintf(s.current, sizeof s.current, "%s", t->model ? t->model : "");
	draw(p, "exact", &s);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
