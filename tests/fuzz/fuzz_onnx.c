#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_format("onnx", data, len);
	return 0;
}
