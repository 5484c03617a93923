#include "tests/fuzz/fuzz.h"

#include "core/format/zip.h"

#include <stdlib.h>

/* The directory, and the beginning and the end of every entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weights w = {.arena.limit = 1 << 26};
	struct zip z = {0};
	struct err e = ERR_INIT;
	int r = zip_open(&z, source_memory(data, len), &w, "fuzzed", &e);
	if (r < 0 && (e.code != -r || !e.msg[0]))
		abort();
	for (size_t i = 0; !r && i < z.n && i < 32; i++) {
		char buf[300];
		struct source s;
		struct zip_entry *t = &z.entries[i];
		if (!zip_find(&z, t->name))
			abort();
		if (zip_source(t, &s, &e) < 0)
			continue;
		size_t n = (size_t)MIN(s.size, (uint64_t)sizeof buf);
		source_pread(&s, buf, n, 0, &e);
		if (s.size < 1 << 20) {
			source_pread(&s, buf, n, s.size - n, &e);
			source_pread(&s, buf, n / 2, s.size / 3, &e);
		}
	}
	zip_release(&z);
	arena_release(&w.arena);
	return 0;
}
