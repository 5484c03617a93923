/* safetensors: what is read out of good files; bad ones are test_format.c's and tests/bad's. */
#include "core/format/memory_file.h"
#include "core/format/join.h"

#include "core/format/format.h"

#include <errno.h>

static char *with_header(const char *header, size_t n, const void *data, size_t n_data, size_t *len)
{
	uint64_t length = n;
	char *file = malloc(8 + n + n_data);
	memcpy(file, &length, 8);
	memcpy(file + 8, header, n);
	if (n_data)
		memcpy(file + 8 + n, data, n_data);
	*len = 8 + n + n_data;
	return file;
}

static void open_header(struct weights *w, const char *header, const void *data, size_t n)
{
	size_t len;
	struct err e = ERR_INIT;
	char *file = with_header(header, strlen(header), data, n, &len);
	int r = open_bytes(w, file, len, &e);
	free(file);
	if (r < 0)
		fail_msg("%s", e.msg);
}

static void contents(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	float f[6];
	static const float data[] = {1, 2, 3, 4, 5, 6, 7, 8};
	open_header(&w, "{\"__metadata__\":{\"format\":\"pt\",\"caf\\u00e9\":\"a\\u0000b\"},"
			"\"second\":{\"shape\":[2],\"data_offsets\":[24,32],\"dtype\":\"F32\"},"
			"\"first\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}   ", data, sizeof data);
	assert_string_equal(w.format->name, "safetensors");
	assert_int_equal(w.n_warnings, 0);
	assert_int_equal(w.n_tensors, 2);
	const struct tensor *t = w.tensors;	/* in the order of the data */
	assert_string_equal(t[0].name, "first");
	assert_int_equal(t[0].ndim, 2);
	assert_int_equal(t[0].shape[0], 2);
	assert_int_equal(t[0].shape[1], 3);
	assert_int_equal(t[0].bytes, 24);
	assert_int_equal(t[1].offset, t[0].offset + 24);
	assert_int_equal(weights_read(&w, &t[0], 1, 5, f, &e), 0);
	assert_true(f[0] == 2 && f[4] == 6);
	assert_int_equal(weights_read(&w, &t[1], 0, 2, f, &e), 0);
	assert_true(f[0] == 7 && f[1] == 8);
	assert_string_equal(value_str(value_get(&w.meta, "format")), "pt");
	const struct value *v = value_get(&w.meta, "caf\xc3\xa9");
	assert_int_equal(v->str.len, 3);
	assert_memory_equal(v->str.s, "a\0b", 4);
	assert_null(w.quantization);
	weights_release(&w);
}

static void scalars_and_nothing(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	float f = 0;
	open_header(&w, "{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
			"\"z\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[4,4]}}", &(float){2.5f}, 4);
	assert_int_equal(w.tensors[0].elements, 1);
	assert_int_equal(w.tensors[0].ndim, 0);
	assert_int_equal(weights_read(&w, &w.tensors[0], 0, 1, &f, &e), 0);
	assert_true(f == 2.5f);
	assert_int_equal(w.tensors[1].elements, 0);
	assert_int_equal(weights_read(&w, &w.tensors[1], 0, 0, &f, &e), 0);
	weights_release(&w);
}

static void metadata_oddities(void **state)
{
	(void)state;
	struct weights w;
	open_header(&w,
		    "{\"__metadata__\":{\"n\":1,\"o\":{\"x\":[1,{}]},\"a\":[[]],\"nil\":null,\"s\":\"kept\"},"
		    "\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"extra\":{\"dtype\":[\"F32\"]}}}",
		    "x", 1);
	assert_int_equal(w.meta.obj.n, 1);
	assert_string_equal(value_str(value_get(&w.meta, "s")), "kept");
	assert_int_equal(w.n_tensors, 1);
	assert_int_equal(w.tensors[0].dtype, DTYPE_U8);
	assert_int_equal(w.n_warnings, 2);
	weights_release(&w);
}

/* Errors say where. */
static void position(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	size_t len;
	const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},!";
	char *file = with_header(header, strlen(header), "12345678", 8, &len);
	assert_int_equal(open_bytes(&w, file, len, &e), -EINVAL);
	assert_true(e.pos >= 8 + strlen(header) - 2 && e.pos <= 8 + strlen(header));
	free(file);
}

/* A header of `n` tensors with long names, far more than is read at a time. */
static char *many(size_t n, size_t *len)
{
	char *header = malloc(n * 160 + 16), *p = header;
	*p++ = '{';
	for (size_t i = 0; i < n; i++)
		p += sprintf(
			p,
			"%s\"model.layers.%zu.mlp.experts.%zu.down_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[1,1],"
			"\"data_offsets\":[%zu,%zu]}",
			i ? "," : "", i / 100, i, i * 2, i * 2 + 2);
	*p++ = '}';
	void *data = calloc(n, 2);
	char *file = with_header(header, (size_t)(p - header), data, n * 2, len);
	free(data);
	free(header);
	return file;
}

/* Streamed: a header of many chunks, with names across their borders. */
static void large(void **state)
{
	(void)state;
	enum { N = 50000 };
	struct weights w;
	struct err e = ERR_INIT;
	size_t len;
	char *file = many(N, &len), name[128];
	assert_int_equal(open_bytes(&w, file, len, &e), 0);
	assert_int_equal(w.n_tensors, N);
	for (size_t i = 0; i < N; i++) {
		snprintf(name, sizeof name, "model.layers.%zu.mlp.experts.%zu.down_proj.weight", i / 100, i);
		assert_string_equal(w.tensors[i].name, name);
	}
	weights_release(&w);
	free(file);
}

/* A header over 100 MB is beyond what the reference reads, not beyond what can be read. */
static void header_over_100_megabytes(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	uint64_t length = 100000001;
	char *file = malloc(8 + length);
	memset(file, ' ', 8 + length);
	memcpy(file, &length, 8);
	memcpy(file + 8, "{}", 2);
	assert_int_equal(open_bytes(&w, file, 8 + length, &e), 0);
	assert_int_equal(w.n_warnings, 1);
	assert_string_equal(w.warnings[0].problem, "large header");
	assert_true(w.arena.used < 1 << 20);
	weights_release(&w);
	free(file);
}

/* A text of 16 MiB is read in time; one of 80 is refused before it has been looked at again and again. */
static void long_text(void **state)
{
	(void)state;
	static const size_t sizes[] = {16 << 20, 80 << 20, 80 << 20};
	for (size_t i = 0; i < COUNT(sizes); i++) {
		static const char before[] = "{\"__metadata__\":{\"k\":\"", after[] = "\"}}";
		struct weights w;
		struct err e = ERR_INIT;
		uint64_t length = strlen(before) + sizes[i] + strlen(after);
		char *file = malloc(8 + length);
		memcpy(file, &length, 8);
		memcpy(file + 8, before, strlen(before));
		memset(file + 8 + strlen(before), i < 2 ? 'x' : ' ', sizes[i]);	/* spaces in a text are no padding */
		memcpy(file + 8 + strlen(before) + sizes[i], after, strlen(after));
		int r = open_bytes(&w, file, 8 + length, &e);
		free(file);
		if (!i) {
			assert_int_equal(r, 0);
			assert_int_equal(value_get(&w.meta, "k")->str.len, sizes[i]);
			weights_release(&w);
			continue;
		}
		assert_int_equal(r, -EFBIG);
	}
}

/* Hazards found later are kept beside those of the parts, and nothing else is written over. */
static void joined(void **state)
{
	static const char text[] = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
	static const char *const prefix[] = {"a component of a long name", "another component of a long name"};
	struct weights parts[2], w;
	struct err e = ERR_INIT;
	char file[8 + sizeof text];
	uint64_t length = sizeof text - 1;
	(void)state;
	memcpy(file, &length, 8);
	memcpy(file + 8, text, sizeof text);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(open_bytes(&parts[i], file, sizeof file, &e), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(weights_hazard(&parts[i % 2], "f", "k", ERR_NOPOS, true, "%d", i), 0);
		assert_int_equal(weights_warn(&parts[i % 2], "f", "k", "%d", i), 0);
	}
	assert_int_equal(weights_join(&w, parts, prefix, 2, &e), 0);
	for (int i = 5; i < 20; i++) {
		assert_int_equal(weights_hazard(&w, "f", "k", ERR_NOPOS, true, "%d", i), 0);
		assert_int_equal(weights_warn(&w, "f", "k", "%d", i), 0);
	}
	assert_int_equal(w.n_hazards, 20);
	assert_int_equal(w.n_warnings, 20);
	for (size_t i = 0; i < 2; i++) {
		char name[80];
		snprintf(name, sizeof name, "%s.w", prefix[i]);
		assert_string_equal(w.tensors[i].name, name);
	}
	assert_string_equal(w.hazards[19].detail, "19");
	weights_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents), cmocka_unit_test(scalars_and_nothing), cmocka_unit_test(metadata_oddities),
		cmocka_unit_test(position), cmocka_unit_test(large), cmocka_unit_test(header_over_100_megabytes),
		cmocka_unit_test(long_text),        cmocka_unit_test(joined),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
