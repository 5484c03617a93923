#include "tests/fuzz/fuzz.h"

#include "core/lake/card.h"

#include <stdlib.h>
#include <string.h>

static void one_line(const char *s)
{
	if (!*s || strpbrk(s, "\r\n\t") || strlen(s) > FACT_MAX)
		abort();
}

/* Whatever a card holds: its body lies within it, and its facts are lines. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct arena a = {0};
	struct facts f = {0};
	struct card c;

	if (card_parse(&c, &a, (const char *)data, len, NULL))
		abort();
	if (c.body < (const char *)data || c.body + c.body_len != (const char *)data + len || !c.problem != !c.detail)
		abort();
	card_facts(&c, &f, "README.md");
	facts_finish(&f);
	for (size_t i = 0; i < f.n_facts; i++)
		one_line(f.facts[i].value);
	for (size_t i = 0; i < f.n_evaluations; i++)
		one_line(f.evaluations[i].value);
	for (size_t i = 0; i < f.n_declared; i++)
		one_line(f.declared[i].base);
	facts_release(&f);
	arena_release(&a);
	return 0;
}
