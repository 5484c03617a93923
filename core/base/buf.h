#ifndef TARN_BASE_BUF_H
#define TARN_BASE_BUF_H
/*
 * A growable byte string. Failure is sticky: after an allocation fails every later buf_* is a
 * no-op and buf_failed() says so, so that a renderer checks once, at its end.
 * `data` is NUL-terminated whenever it is not NULL. Own it: buf_release, or steal with buf_take.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len, cap;
	bool failed;
};

void buf_release(struct buf *b);
char *buf_take(struct buf *b);			/* the string (never NULL unless failed); b is empty after */
void buf_clear(struct buf *b);			/* keep the memory */
static inline bool buf_failed(const struct buf *b) { return b->failed; }

void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *fmt, ...);

/* A number as every generated file writes it: %.6g, nan, inf, -inf, and never -0. */
void buf_num(struct buf *b, double v);

/* Text that may hold anything, made safe for one line of generated text: control bytes, C1 and
 * invalid UTF-8 become \xHH. buf_tsv is a table cell: \t \n \r \\ escaped too, empty is "-", "-" is "\-". */
void buf_text(struct buf *b, const char *s, size_t len);
void buf_tsv(struct buf *b, const char *s, size_t len);
/* A JSON string with its quotes; invalid UTF-8 and C1 appear as a literal \xHH in the string. */
void buf_json(struct buf *b, const char *s, size_t len);
/* XML/SVG/HTML text and attribute value. */
void buf_xml(struct buf *b, const char *s, size_t len);

/* Length of the valid UTF-8 sequence at s (1..4), 0 when invalid or cut short. */
size_t utf8_len(const char *s, size_t len);

#define cleanup_buf __attribute__((__cleanup__(buf_release)))

#endif
