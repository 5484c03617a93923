/* What several targets do with what they have read. */
#include "tests/fuzz/fuzz.h"

#include "core/base/io.h"
#include "core/base/value.h"
#include "core/format/format.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void must(int ok)
{
	if (!ok)
		abort();
}

static void read_some(const struct weights *w, const struct tensor *t)
{
	float f[300];
	char raw[64];
	struct err e = ERR_INIT;
	uint64_t n = MIN(t->elements, (uint64_t)COUNT(f)), m = MIN(t->bytes, (uint64_t)sizeof raw);
	weights_read(w, t, 0, n, f, &e);
	weights_read(w, t, t->elements - n, n, f, &e);
	weights_read(w, t, t->elements / 3, MIN(n, (uint64_t)7), f, &e);
	weights_read_raw(w, t, t->bytes - m, m, raw, &e);
}

void fuzz_format(const char *name, const void *data, size_t len)
{
	struct weights w;
	struct io io;
	struct err e = ERR_INIT;
	const char *path = "fuzzed";
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	must(io_adopt(&io, fd, &e) == 0);
	if (name && format_probe(&io, &e) != format_by_name(name)) {
		io_close(&io);
		return;
	}
	int r = weights_open_io(&w, &io, &path, 1, &e);
	if (r < 0) {
		must(e.code == -r && e.msg[0]);
		return;
	}
	must(w.n_files > 0 && (!name || !strcmp(w.format->name, name)));
	for (size_t i = 0; i < w.n_tensors; i++)
		if (i < 8 || i + 8 >= w.n_tensors)
			read_some(&w, &w.tensors[i]);
	weights_release(&w);
}

void fuzz_weights(const void *data, size_t len)
{
	fuzz_format(NULL, data, len);
}

static size_t walk(const struct value *v, size_t depth)
{
	size_t n = 1;
	must(depth <= 64 && (v->kind != VALUE_STRING || !v->str.s[v->str.len]));
	for (size_t i = 0; v->kind == VALUE_ARRAY && i < v->arr.n; i++)
		n += walk(&v->arr.items[i], depth + 1);
	for (size_t i = 0; v->kind == VALUE_OBJECT && i < v->obj.n; i++) {
		must(value_get(v, v->obj.items[i].key) != NULL);
		n += walk(&v->obj.items[i].value, depth + 1);
	}
	return n;
}

void fuzz_value(const struct value *v, size_t count)
{
	must(walk(v, 0) <= count);
}
