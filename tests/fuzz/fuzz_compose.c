#include "tests/fuzz/fuzz.h"

#include "core/format/compose.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A safetensors file whose tensors are composed where they look like it, and values of what comes out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weights w;
	struct io io;
	struct err e = ERR_INIT;
	const char *path = "fuzzed";
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len || io_adopt(&io, fd, &e) < 0)
		abort();
	if (weights_open_io(&w, &io, &path, 1, &e) < 0)
		return 0;
	if (weights_compose(&w, NULL, &e) < 0)
		abort();	/* memory does not run out here, and what does not fit together is left alone */
	for (size_t i = 0; i < w.n_tensors && i < 16; i++) {
		const struct tensor *t = &w.tensors[i];
		float f[300];
		char raw[64];
		uint64_t n = MIN(t->elements, (uint64_t)COUNT(f)), m = MIN(t->bytes, (uint64_t)sizeof raw);
		weights_read(&w, t, 0, n, f, &e);
		weights_read(&w, t, t->elements - n, n, f, &e);
		weights_read(&w, t, t->elements / 3, MIN(n, (uint64_t)7), f, &e);
		weights_read_raw(&w, t, t->bytes - m, m, raw, &e);
	}
	weights_release(&w);
	return 0;
}
