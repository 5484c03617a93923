/* What all formats share: the expected fate of the files under tests/bad, reading ranges, shards, failing resources. */
#include "core/format/memory_file.h"

#include "core/base/value.h"
#include "core/format/format.h"

#include <errno.h>
#include <fcntl.h>

static const char *errno_name(int r)
{
	return r == -EINVAL ? "EINVAL" : r == -ENOTSUP ? "ENOTSUP" : r == -EFBIG ? "EFBIG" :
	       r == -E2BIG ? "E2BIG" : "another errno";
}

/* Every tensor's first and last values, so that the sanitizers see what offsets lead to. */
static int read_some(const struct weights *w, struct err *e)
{
	for (size_t i = 0; i < w->n_tensors; i++) {
		const struct tensor *t = &w->tensors[i];
		float f[64];
		char raw[16];
		uint64_t n = MIN(t->elements, (uint64_t)64), m = MIN(t->bytes, (uint64_t)16);
		int r = weights_read(w, t, 0, n, f, e);
		if (!r)
			r = weights_read(w, t, t->elements - n, n, f, e);
		if (!r)
			r = weights_read_raw(w, t, t->bytes - m, m, raw, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_text(const char *path, const char *data, size_t len, struct err *e)
{
	struct arena a = {0};
	struct value v;
	bool json = strstr(path, ".json");
	int r = (json ? json_parse : yaml_parse)(&a, data, len, NULL, &v, e);
	arena_release(&a);
	return r;
}

static int one_bad_file(const char *path, const char *outcome, const char *words)
{
	char full[256];
	size_t len;
	struct err e = ERR_INIT;
	struct weights w = {0};
	snprintf(full, sizeof full, "tests/bad/%s", path);
	char *data = source_file(full, &len);
	int good = 0;
	bool text = strstr(path, ".json") || strstr(path, ".yaml");
	int r = text ? read_text(path, data, len, &e) : open_bytes(&w, data, len, &e);
	if (!r && !text)
		r = read_some(&w, &e);
	if (strcmp(outcome, "ok") && strcmp(outcome, "warning")) {
		if (!r || strcmp(errno_name(r), outcome) || !strstr(e.msg, words) || e.code != -r)
			print_error("%s: expected %s '%s', found %s '%s'\n", path, outcome, words,
				    r ? errno_name(r) : "success", e.msg);
		else
			good = 1;
	} else if (r < 0) {
		print_error("%s: expected %s, found %s '%s'\n", path, outcome, errno_name(r), e.msg);
	} else if (!text) {
		size_t hits = 0;
		for (size_t i = 0; i < w.n_warnings; i++)
			hits += !strcmp(w.warnings[i].problem, words);
		if (!strcmp(outcome, "warning") ? !hits : w.n_warnings)
			print_error("%s: expected %s '%s', found %zu warnings, the first '%s'\n", path, outcome, words,
				    w.n_warnings, w.n_warnings ? w.warnings[0].problem : "");
		else
			good = 1;
	} else {
		good = 1;
	}
	weights_release(&w);
	free(data);
	return good;
}

static void bad_files(void **state)
{
	(void)state;
	size_t len;
	char *table = source_file("tests/bad/EXPECTED.tsv", &len), *save, *line = strtok_r(table, "\n", &save);
	size_t n = 0, good = 0;
	while ((line = strtok_r(NULL, "\n", &save))) {
		char *outcome = strchr(line, '\t'), *words = outcome ? strchr(outcome + 1, '\t') : NULL;
		assert_non_null(words);
		*outcome++ = *words++ = 0;
		good += one_bad_file(line, outcome, words);
		n++;
	}
	free(table);
	assert_true(n > 100);
	assert_int_equal(good, n);
}

/* --- ranges --- */

static void put(char **p, const void *data, size_t n)
{
	memcpy(*p, data, n);
	*p += n;
}

/* A safetensors file of header and data. */
static size_t safetensors(char *out, const char *header, const void *data, size_t n)
{
	char *p = out;
	uint64_t len = strlen(header);
	put(&p, &len, 8);
	put(&p, header, len);
	put(&p, data, n);
	return (size_t)(p - out);
}

static void ranges(void **state)
{
	(void)state;
	enum { N = 30000 };
	static uint16_t values[N];
	static char file[3 * N];
	struct weights w;
	struct err e = ERR_INIT;
	float *f = malloc(N * sizeof *f);
	for (uint32_t i = 0; i < N; i++)
		values[i] = (uint16_t)i;
	size_t len = safetensors(file, "{\"a\":{\"dtype\":\"U16\",\"shape\":[100,300],\"data_offsets\":[0,60000]}}",
				 values, sizeof values);
	assert_int_equal(open_bytes(&w, file, len, &e), 0);
	const struct tensor *t = weights_find(&w, "a");
	assert_non_null(t);
	assert_null(weights_find(&w, "b"));
	assert_int_equal(t->elements, N);
	for (uint64_t first = 0, n = 1; first < N; first += n, n = n * 5 + 1) {
		n = MIN(n, N - first);
		assert_int_equal(weights_read(&w, t, first, n, f, &e), 0);
		for (uint64_t i = 0; i < n; i++)
			assert_true(f[i] == (float)(first + i));
	}
	assert_int_equal(weights_read(&w, t, N, 0, f, &e), 0);
	assert_int_equal(weights_read(&w, t, N, 1, f, &e), -EINVAL);
	assert_int_equal(weights_read(&w, t, 1, UINT64_MAX, f, &e), -EINVAL);
	assert_int_equal(weights_read(&w, t, UINT64_MAX, 2, f, NULL), -EINVAL);
	uint16_t raw;
	assert_int_equal(weights_read_raw(&w, t, 2 * 777, 2, &raw, &e), 0);
	assert_int_equal(raw, 777);
	assert_int_equal(weights_read_raw(&w, t, 2 * N - 1, 2, &raw, &e), -EINVAL);
	weights_release(&w);
	free(f);
}

/* Any range of a type with blocks is the same as that range of the whole. */
static void block_ranges(void **state)
{
	(void)state;
	size_t len;
	struct weights w;
	struct err e = ERR_INIT;
	char *file = source_file("tests/bad/gguf/quantised.gguf", &len);
	for (size_t i = len - 320; i < len; i++)
		file[i] = (char)(i * 37 % 61);
	assert_int_equal(open_bytes(&w, file, len, &e), 0);
	const struct tensor *t = weights_find(&w, "a");
	assert_int_equal(t->dtype, DTYPE_Q4_K);
	float all[512], part[512];
	assert_int_equal(weights_read(&w, t, 0, 512, all, &e), 0);
	for (uint64_t first = 0; first < 512; first += 7)
		for (uint64_t n = 1; n <= 512 - first; n += 19) {
			assert_int_equal(weights_read(&w, t, first, n, part, &e), 0);
			assert_memory_equal(part, all + first, n * sizeof *all);
		}
	weights_release(&w);
	free(file);
}

/* --- several files --- */

static int open_two(struct weights *w, const char *a, const char *b, struct err *e)
{
	struct io io[2];
	char file[512], data[64] = "";
	const char *paths[2] = {"one", "two"}, *headers[2] = {a, b};
	for (int i = 0; i < 2; i++) {
		size_t n = headers[i][0] == '{' ? safetensors(file, headers[i], data, 8) : strlen(headers[i]);
		if (headers[i][0] != '{')
			memcpy(file, headers[i], n);
		assert_int_equal(io_adopt(&io[i], memory_file(file, n), e), 0);
	}
	return weights_open_io(w, io, paths, 2, e);
}

#define TENSOR(name) "{\"" name "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"

static void shards(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	assert_int_equal(open_two(&w, TENSOR("a"), TENSOR("b"), &e), 0);
	assert_int_equal(w.n_files, 2);
	assert_int_equal(w.n_tensors, 2);
	assert_int_equal(weights_find(&w, "a")->file, 0);
	assert_int_equal(weights_find(&w, "b")->file, 1);
	assert_null(w.files[1].head);
	weights_release(&w);
	assert_int_equal(open_two(&w, TENSOR("a"), TENSOR("a"), &e), -EINVAL);
	assert_non_null(strstr(e.msg, "two tensors are named 'a'"));
	assert_int_equal(open_two(&w, TENSOR("a"), "{\"b\":7}", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "two: b: expected an object"));	/* the file that is wrong */
	assert_int_equal(open_two(&w, TENSOR("a"), "GGUF\3\0", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "expected another shard of safetensors, found gguf"));
	assert_int_equal(open_two(&w, TENSOR("a"), "", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "two: the file is empty"));
}

/* --- what is not there, or not a file --- */

static void paths(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	const char *missing[] = {"meson.build", "nowhere.safetensors"};
	int dir = open(getenv("TARN_SOURCE") ? getenv("TARN_SOURCE") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(weights_open(&w, dir, missing, 2, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "nowhere.safetensors: "));
	assert_int_equal(weights_open(&w, dir, &(const char *){"tests"}, 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "tests: expected a regular file, found a directory"));
	assert_int_equal(weights_open(&w, dir, missing, 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "not a known format: begins with 70 72"));
	assert_int_equal(weights_open(&w, dir, missing, 0, &e), -EINVAL);
	assert_int_equal(weights_open(&w, dir, missing, 1, NULL), -EINVAL);
	close(dir);
	assert_string_equal(format_by_name("gguf")->name, "gguf");
	assert_null(format_by_name("exe"));
}

/* A file that shrinks after it was opened is an error with both lengths, wherever it is cut. */
static void truncated_later(void **state)
{
	(void)state;
	struct weights w;
	struct err e = ERR_INIT;
	float f[2];
	char file[256];
	size_t len = safetensors(file, TENSOR("a"), "12345678", 8);
	assert_int_equal(open_bytes(&w, file, len, &e), 0);
	assert_int_equal(ftruncate(w.files[0].io.fd, (off_t)len - 1), 0);
	assert_int_equal(weights_read(&w, &w.tensors[0], 0, 2, f, &e), -EIO);
	assert_non_null(strstr(e.msg, "file ends at byte"));
	assert_true(io_changed(&w.files[0].io));
	weights_release(&w);
}

/* --- warnings and hazards --- */

static void messages(void **state)
{
	(void)state;
	struct weights w = {0};
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(weights_warn(&w, "f", "odd", "number %d", i), 0);
		assert_int_equal(weights_hazard(&w, "f", "kind", 7, i & 1, "number %d", i), 0);
	}
	assert_int_equal(w.n_warnings, 1000);	/* no more are kept */
	assert_int_equal(w.n_hazards, 2000);	/* of what runs code as many again */
	assert_string_equal(w.warnings[999].detail, "number 999");
	assert_string_equal(w.hazards[500].detail, "number 500");
	assert_true(w.hazards[501].runs_code && !w.hazards[500].runs_code);
	weights_release(&w);
}

/* --- every resource fails once --- */

struct bytes { const char *data; size_t len; };

static int open_and_read(void *arg)
{
	const struct bytes *b = arg;
	struct weights w;
	struct err e = ERR_INIT;
	int r = open_bytes(&w, b->data, b->len, &e);
	if (r < 0) {
		assert_int_equal(e.code, -r);
		return r;
	}
	r = read_some(&w, &e);
	weights_release(&w);
	return r;
}

static void failing(void **state)
{
	(void)state;
	static const char *const files[] = {
		"safetensors/every-type.safetensors", "safetensors/trailing-bytes.safetensors",
		"safetensors/overlap.safetensors", "safetensors/metadata-nested.safetensors",
		"safetensors/metadata-duplicate.safetensors", "gguf/every-kind.gguf", "gguf/quantised.gguf",
		"gguf/duplicate-key.gguf", "gguf/long-name.gguf", "gguf/misaligned.gguf", "gguf/odd-magic.gguf",
	};
	for (size_t i = 0; i < COUNT(files); i++) {
		char full[256];
		struct bytes b;
		snprintf(full, sizeof full, "tests/bad/%s", files[i]);
		char *data = source_file(full, &b.len);
		b.data = data;
		fail_everything(open_and_read, &b);
		free(data);
	}
}

static int open_pair(void *arg)
{
	struct weights w;
	struct err e = ERR_INIT;
	(void)arg;
	int r = open_two(&w, TENSOR("a"), TENSOR("b"), &e);
	if (!r)
		weights_release(&w);
	return r;
}

static void failing_shards(void **state)
{
	(void)state;
	fail_everything(open_pair, NULL);
}

/* However many oddities come first, what runs code is told. */
static void hazards_in_the_crowd(void **state)
{
	(void)state;
	struct weights w = {0};
	for (int i = 0; i < 5000; i++)
		assert_int_equal(weights_hazard(&w, "f", "zip-traversal", 0, false, "%d", i), 0);
	assert_int_equal(weights_hazard(&w, "f", "pickle-global", 0, true, "posix.system"), 0);
	assert_true(w.hazards[w.n_hazards - 1].runs_code);
	assert_true(w.n_hazards < 5000);
	arena_release(&w.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazards_in_the_crowd),
		cmocka_unit_test(bad_files), cmocka_unit_test(ranges),  cmocka_unit_test(block_ranges),
		cmocka_unit_test(shards),    cmocka_unit_test(paths),   cmocka_unit_test(truncated_later),
		cmocka_unit_test(messages),  cmocka_unit_test(failing), cmocka_unit_test(failing_shards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
