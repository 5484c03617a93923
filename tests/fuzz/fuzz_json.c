#include "tests/fuzz/fuzz.h"

#include "core/base/value.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct value_limits limits = {.count = 3000};
	int (*const parsers[])(struct arena *, const char *, size_t, const struct value_limits *, struct value *,
			       struct err *) = {json_parse, json_parse_loose};
	for (size_t i = 0; i < COUNT(parsers); i++) {
		struct arena a = {0};
		struct value v;
		struct err e = ERR_INIT;
		int r = parsers[i](&a, (const char *)data, len, &limits, &v, &e);
		if (r < 0 && e.code != -r)
			abort();
		if (!r)
			fuzz_value(&v, limits.count);
		arena_release(&a);
	}
	return 0;
}
