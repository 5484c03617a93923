#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* The bytes as a file; and as a header, with a length before and some data behind it, seldom got right by mutation. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum { DATA = 256 };
	uint64_t n = len;
	uint8_t *file = malloc(8 + len + DATA);
	fuzz_format("safetensors", data, len);
	if (!file)
		return 0;
	memcpy(file, &n, 8);
	if (len)
		memcpy(file + 8, data, len);
	memset(file + 8 + len, 0x5a, DATA);
	fuzz_format("safetensors", file, 8 + len + DATA);
	free(file);
	return 0;
}
