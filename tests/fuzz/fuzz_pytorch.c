#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

struct out { uint8_t *data; size_t len; };

static void put(struct out *o, const void *data, size_t len)
{
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void number(struct out *o, uint32_t v, size_t n)
{
	uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
	put(o, b, n);
}

/* What the local header and the directory say of an entry, from the version needed to the extra field's length. */
static void common(struct out *o, size_t name, size_t len)
{
	number(o, 20, 4);
	number(o, 0, 4);
	number(o, 0, 4);	/* time, no checksum: a warning */
	number(o, 0, 2);
	number(o, (uint32_t)len, 4);
	number(o, (uint32_t)len, 4);
	number(o, (uint32_t)name, 2);
	number(o, 0, 2);
}

/* The bytes as a file; and as the data.pkl of a good archive with one storage, which a mutator would seldom get right. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t storage[512] = {1, 2, 3};
	const struct { const char *name; const void *data; size_t len; } entries[] = {
		{"a/data.pkl", data, len}, {"a/data/0", storage, sizeof storage}, {"a/version", "3\n", 2},
	};
	fuzz_format("pytorch", data, len);
	struct out o = {malloc(len + 4096), 0}, dir = {malloc(4096), 0};
	if (!o.data || !dir.data)
		abort();
	for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
		uint32_t at = (uint32_t)o.len;
		size_t n = strlen(entries[i].name);
		put(&dir, "PK\1\2\24\0", 6);
		common(&dir, n, entries[i].len);
		number(&dir, 0, 4);
		number(&dir, 0, 4);
		number(&dir, 0, 2);
		number(&dir, at, 4);
		put(&dir, entries[i].name, n);
		put(&o, "PK\3\4", 4);
		common(&o, n, entries[i].len);
		put(&o, entries[i].name, n);
		put(&o, entries[i].data, entries[i].len);
	}
	uint32_t at = (uint32_t)o.len;
	put(&o, dir.data, dir.len);
	put(&o, "PK\5\6\0\0\0\0\3\0\3\0", 12);
	number(&o, (uint32_t)dir.len, 4);
	number(&o, at, 4);
	number(&o, 0, 2);
	fuzz_format("pytorch", o.data, o.len);
	free(o.data);
	free(dir.data);
	return 0;
}
