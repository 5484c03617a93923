/* GGUF: what is read out of good files; bad ones are test_format.c's and tests/bad's. */
#include "core/format/memory_file.h"

#include "core/format/format.h"

#include <errno.h>

static void open_file(struct weights *w, const char *name)
{
	char path[256];
	size_t len;
	struct err e = ERR_INIT;
	snprintf(path, sizeof path, "tests/bad/gguf/%s.gguf", name);
	char *file = source_file(path, &len);
	int r = open_bytes(w, file, len, &e);
	free(file);
	if (r < 0)
		fail_msg("%s: %s", name, e.msg);
}

static const struct value *list(const struct weights *w, int i, enum value_kind kind)
{
	char key[32];
	snprintf(key, sizeof key, "list.%d", i);
	const struct value *v = value_get(&w->meta, key);
	assert_non_null(v);
	assert_int_equal(v->kind, VALUE_ARRAY);
	assert_int_equal(v->arr.n, 2);
	assert_int_equal(v->arr.items[1].kind, kind);
	snprintf(key, sizeof key, "kind.%d", i);
	const struct value *one = value_get(&w->meta, key);
	assert_non_null(one);
	assert_int_equal(one->kind, kind);
	return &v->arr.items[1];
}

static void every_kind(void **state)
{
	(void)state;
	struct weights w;
	open_file(&w, "every-kind");
	static const int64_t ints[] = {255, -1, 65535, -2, 4294967295, -3};
	for (int i = 0; i < 6; i++)
		assert_true(list(&w, i, VALUE_INT)->i == ints[i]);
	assert_true(list(&w, 6, VALUE_FLOAT)->f == 1.5);
	assert_true(list(&w, 7, VALUE_BOOL)->b);
	assert_string_equal(list(&w, 8, VALUE_STRING)->str.s, "text");
	assert_true(list(&w, 9, VALUE_FLOAT)->f == 18446744073709551615.0);
	assert_true(list(&w, 10, VALUE_INT)->i == INT64_MIN);
	assert_true(list(&w, 11, VALUE_FLOAT)->f == 0.1);
	weights_release(&w);
}

/* Long arrays stay in the file: their bytes are where the value says. */
static void spans(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	int16_t number;
	char text[13];
	open_file(&w, "every-kind");
	const struct value *v = value_get(&w.meta, "long");
	assert_int_equal(v->kind, VALUE_SPAN);
	assert_int_equal(v->span.n, 2000);
	assert_int_equal(v->span.type, 3);
	assert_int_equal(io_pread(&w.files[0].io, &number, 2, v->span.offset + 2 * 1999, &e), 0);
	assert_int_equal(number, 1999);
	v = value_get(&w.meta, "long.strings");
	assert_int_equal(v->span.n, 1500);
	assert_int_equal(v->span.type, 8);
	assert_int_equal(io_pread(&w.files[0].io, text, 12, v->span.offset + 10, &e), 0);
	assert_memory_equal(text, "\2\0\0\0\0\0\0\0x1", 10);
	weights_release(&w);
}

static void versions(void **state)
{
	(void)state;
	static const char *const names[] = {"version-1", "version-2", "version-3"};
	for (size_t i = 0; i < COUNT(names); i++) {
		struct weights w;
		open_file(&w, names[i]);
		assert_string_equal(value_str(value_get(&w.meta, "general.architecture")), "llama");
		const struct value *words = value_get(&w.meta, "words");
		assert_int_equal(words->arr.n, 3);
		assert_string_equal(words->arr.items[1].str.s, "bc");
		assert_int_equal(w.n_tensors, 1);
		const struct tensor *t = &w.tensors[0];	/* stored innermost first */
		assert_true(t->ndim == 2 && t->shape[0] == 2 && t->shape[1] == 4);
		assert_int_equal(t->offset % 32, 0);
		assert_int_equal(t->offset + t->bytes, w.files[0].io.size);
		weights_release(&w);
	}
}

static void quantisation(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	float f[32];
	open_file(&w, "quantised");
	assert_string_equal(w.quantization, "Q4_K_M");
	const struct tensor *t = weights_find(&w, "b");
	assert_int_equal(t->dtype, DTYPE_Q4_0);
	assert_int_equal(t->bytes, 18);
	assert_int_equal(weights_read(&w, t, 0, 32, f, &e), 0);
	assert_true(f[0] == -7 * f16_to_f32(0x1111));
	weights_release(&w);
	open_file(&w, "version-3");
	assert_null(w.quantization);
	weights_release(&w);
}

/* What is declared counts only where something is quantised; undeclared, the commonest type does. */
static void declared_quantisation(void **state)
{
	(void)state;
	size_t len;
	struct weights w;
	struct err e = ERR_INIT;
	char *file = source_file("tests/bad/gguf/quantised.gguf", &len);
	char *key = memmem(file, len, "general.file_type", 17);
	assert_non_null(key);
	char *value = key + 17 + 4;
	uint32_t raw;
	static const struct { uint32_t type; const char *name; } cases[] = {
		{17, "Q5_K_M"}, {1024 + 15, "Q4_K_M"}, {0, "Q4_K"}, {999, "Q4_K"}, {UINT32_MAX, "Q4_K"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		raw = cases[i].type;
		memcpy(value, &raw, 4);
		assert_int_equal(open_bytes(&w, file, len, &e), 0);
		assert_string_equal(w.quantization, cases[i].name);
		weights_release(&w);
	}
	free(file);
}

static void alignment(void **state)
{
	(void)state;
	struct weights w;
	open_file(&w, "alignment-64");
	assert_int_equal(w.tensors[0].offset % 64, 0);
	assert_int_equal(w.tensors[1].offset, w.tensors[0].offset + 64);
	assert_int_equal(w.n_warnings, 0);
	weights_release(&w);
}

/* A split model: the tensors of all files, the description of the first. */
static void split(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	struct io io[2];
	static const char *const names[] = {"quantised", "scalar"};
	const char *paths[2] = {"00001-of-00002", "00002-of-00002"};
	for (int i = 0; i < 2; i++) {
		char path[64];
		size_t len;
		snprintf(path, sizeof path, "tests/bad/gguf/%s.gguf", names[i]);
		char *file = source_file(path, &len);
		char *name = i ? NULL : memmem(file, len, "\1\0\0\0\0\0\0\0a", 9);
		if (name)	/* "a" is in both */
			name[8] = 'c';
		assert_int_equal(io_adopt(&io[i], memory_file(file, len), &e), 0);
		free(file);
	}
	assert_int_equal(weights_open_io(&w, io, paths, 2, &e), 0);
	assert_int_equal(w.n_tensors, 3);
	assert_int_equal(weights_find(&w, "a")->file, 1);
	assert_string_equal(w.quantization, "Q4_K_M");
	weights_release(&w);
}

/* The header is walked through windows: the same tensors whatever the sizes of what comes before them. */
static void windows(void **state)
{
	(void)state;
	enum { KEY = 8 + 1 + 4 + 8 };
	for (size_t pad = 0; pad < 300000; pad = pad < 16300 ? pad + 1630 : pad * 2 - 7) {
		size_t len = 24 + KEY + pad + 8 + 1 + 4 + 8 + 4 + 8;
		size_t data = (len + 31) / 32 * 32;
		char *file = calloc(1, data + 16), *p = file;
		memcpy(p, "GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0", 24);
		p += 24;
		memcpy(p, "\1\0\0\0\0\0\0\0k\10\0\0", 12);
		memcpy(p + 13, &pad, 8);
		memset(p + KEY, 'x', pad);
		p += KEY + pad;
		memcpy(p, "\1\0\0\0\0\0\0\0t\1\0\0\0\4\0\0", 16);
		for (int i = 0; i < 4; i++)
			memcpy(file + data + 4 * i, &(float){(float)i}, 4);
		struct weights w;
		struct err e = ERR_INIT;
		if (open_bytes(&w, file, data + 16, &e) < 0)
			fail_msg("%zu: %s", pad, e.msg);
		float f[4];
		assert_int_equal(value_get(&w.meta, "k")->str.len, pad);
		assert_int_equal(weights_read(&w, weights_find(&w, "t"), 0, 4, f, &e), 0);
		assert_true(f[3] == 3);
		weights_release(&w);
		free(file);
	}
}

/* A few bytes, and zeros up to a GiB that take no room: what they claim costs neither time nor memory, nor is it told as
 * a lack of memory, which would be everybody's. */
static void claims(void **state)
{
	static const struct { const char *head; size_t len; const char *words; } claimed[] = {
		{"GGUF\3\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\4\0\0\0\0", 24, "MiB of memory"},
		{"GGUF\3\0\0\0" "\0\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0k" "\11\0\0\0"
		 "\10\0\0\0" "\0\0\0\4\0\0\0\0", 49, "67108864 strings"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(claimed); i++) {
		struct weights w;
		struct err e = ERR_INIT;
		struct io io;
		const char *path = "memory";
		int fd = memory_file(claimed[i].head, claimed[i].len);
		assert_int_equal(ftruncate(fd, 1 << 30), 0);
		assert_int_equal(io_adopt(&io, fd, &e), 0);
		assert_int_equal(weights_open_io(&w, &io, &path, 1, &e), -EFBIG);
		assert_non_null(strstr(e.msg, claimed[i].words));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind), cmocka_unit_test(spans), cmocka_unit_test(versions),
		cmocka_unit_test(quantisation), cmocka_unit_test(declared_quantisation), cmocka_unit_test(alignment),
		cmocka_unit_test(split), cmocka_unit_test(windows), cmocka_unit_test(claims),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
