#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	fuzz_format("hdf5", data, len);
	fuzz_format("keras", data, len);
	return 0;
}
