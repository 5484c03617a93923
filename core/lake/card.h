#ifndef TARN_LAKE_CARD_H
#define TARN_LAKE_CARD_H
/*
 * A model card: YAML front matter between lines of "---", then Markdown.
 *
 * Cards in the wild have byte order marks, CRLF, blank lines in front, front matter that is never closed
 * and YAML that is none. What can be read of such a one is the longest run of top-level entries
 * before the defect; the defect itself is said with its line.
 */
#include "core/base/value.h"
#include "core/lake/facts.h"

enum { CARD_MAX = 1 << 20 };	/* bytes of a card that are looked at */

struct card {
	struct value front;		/* VALUE_OBJECT, or VALUE_NULL when there is none */
	const char *body;		/* Markdown after the front matter; points into the text */
	size_t body_len;
	const char *problem, *detail;	/* in the arena; NULL when nothing is wrong */
};

/* Never fails but for memory (-ENOMEM). A text without front matter is all body. */
int card_parse(struct card *c, struct arena *a, const char *text, size_t len, struct err *e);

/* Facts, declared parents and evaluations of a parsed card. `file` is the card's name. */
void card_facts(const struct card *c, struct facts *f, const char *file);

#endif
