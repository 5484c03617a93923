#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_format("ggml", data, len);
	return 0;
}
