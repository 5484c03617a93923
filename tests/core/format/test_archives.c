/*
 * Files that other programs wrote (data/archives, made by make_archives.py): every tensor has the values that NumPy reads,
 * whole and in pieces; opening survives every failing allocation and read. And tests/bad/archives: what becomes of hostile ones.
 */
#include "core/format/memory_file.h"

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/format/compose.h"
#include "core/format/format.h"
#include "tests/core/format/memory_file.h"

#include <errno.h>
#include <fcntl.h>

#define MAX_FIELDS 6

/* The table's rows, split at tabs; `each` gets the fields. */
static void rows(const char *table, void (*each)(char **field, void *arg), void *arg)
{
	size_t len;
	char *text = source_file(table, &len), *save, *line = strtok_r(text, "\n", &save);
	while ((line = strtok_r(NULL, "\n", &save))) {
		char *field[MAX_FIELDS] = {0}, *rest = line;
		for (size_t i = 0; i < MAX_FIELDS && rest; i++)
			field[i] = strsep(&rest, "\t");
		each(field, arg);
	}
	free(text);
}

static const char *full_path(const char *directory, const char *file)
{
	static char path[4096];
	const char *top = getenv("TARN_SOURCE");
	snprintf(path, sizeof path, "%s/%s/%s", top ? top : ".", directory, file);
	return path;
}

static int open_file(struct weights *w, const char *directory, const char *file, struct err *e)
{
	const char *path = full_path(directory, file);
	return weights_open(w, AT_FDCWD, &path, 1, e);
}

/* --- good files --- */

static const char good[] = "tests/core/format/data/archives";

struct good { struct weights w; char file[256]; size_t seen, files; };

static void finish(struct good *g)
{
	if (*g->file) {
		if (g->seen != g->w.n_tensors)
			fail_msg("%s: %zu tensors expected, %zu found", g->file, g->seen, g->w.n_tensors);
		weights_release(&g->w);
	}
	*g->file = 0;
	g->seen = 0;
}

static void shape_of(const struct tensor *t, char out[128])
{
	char *p = out;
	strcpy(out, "-");
	for (unsigned i = 0; i < t->ndim; i++)
		p += sprintf(p, "%s%llu", i ? "x" : "", (unsigned long long)t->shape[i]);
}

/* The same values whatever the pieces that they are read in. */
static void read_in_pieces(const struct weights *w, const struct tensor *t, const float *whole)
{
	float *part = malloc((t->elements + 1) * sizeof *part);
	struct err e = ERR_INIT;
	for (uint64_t step = 1; step <= t->elements && step < 50; step = step * 2 + 1)
		for (uint64_t at = 0; at < t->elements; at += step) {
			uint64_t n = MIN(step, t->elements - at);
			assert_int_equal(weights_read(w, t, at, n, part, &e), 0);
			assert_memory_equal(part, whole + at, n * sizeof *part);
		}
	for (uint64_t at = t->elements; at-- > 0;) {	/* backwards: streams begin anew */
		assert_int_equal(weights_read(w, t, at, 1, part, &e), 0);
		assert_memory_equal(part, whole + at, sizeof *part);
	}
	free(part);
}

/* Bytes in pieces that split elements. */
static void raw_in_pieces(const struct weights *w, const struct tensor *t)
{
	unsigned char *whole = malloc(t->bytes + 1), *part = malloc(t->bytes + 1);
	struct err e = ERR_INIT;
	assert_int_equal(weights_read_raw(w, t, 0, t->bytes, whole, &e), 0);
	for (uint64_t step = 3; step < 40; step = step * 2 + 1) {
		for (uint64_t at = 0; at < t->bytes; at += step)
			assert_int_equal(weights_read_raw(w, t, at, MIN(step, t->bytes - at), part + at, &e), 0);
		assert_memory_equal(part, whole, t->bytes);
	}
	free(whole);
	free(part);
}

static void check_tensor(struct good *g, char **field)
{
	const struct tensor *t = weights_find(&g->w, field[1]);
	char shape[128], hex[33];
	struct err e = ERR_INIT;
	if (!t)
		fail_msg("%s: no tensor '%s'", field[0], field[1]);
	shape_of(t, shape);
	assert_string_equal(shape, field[3]);
	assert_string_equal(dtype_info(t->dtype)->name, field[2]);
	float *f = malloc((t->elements + 1) * sizeof *f);
	if (weights_read(&g->w, t, 0, t->elements, f, &e) < 0)
		fail_msg("%s: %s: %s", field[0], field[1], e.msg);
	hash128_hex(hash128(f, t->elements * sizeof *f), hex);
	if (strcmp(hex, field[4]))
		fail_msg("%s: %s: its values are not those expected", field[0], field[1]);
	read_in_pieces(&g->w, t, f);
	raw_in_pieces(&g->w, t);
	free(f);
}

static void good_row(char **field, void *arg)
{
	struct good *g = arg;
	struct err e = ERR_INIT;
	if (strcmp(g->file, field[0])) {
		finish(g);
		if (open_file(&g->w, good, field[0], &e) < 0)
			fail_msg("%s", e.msg);
		snprintf(g->file, sizeof g->file, "%s", field[0]);
		g->files++;
	}
	g->seen++;
	check_tensor(g, field);
}

static void good_files(void **state)
{
	(void)state;
	struct good g = {0};
	rows("tests/core/format/data/archives.tsv", good_row, &g);
	finish(&g);
	assert_true(g.files > 25);
}

/* --- quantised ones --- */

static const char quantised[] = "tests/core/format/data/quantised";

static void open_composed(struct weights *w, const char *file, const char *config, struct err *e)
{
	struct arena a = {0};
	struct value v = {0};
	if (*config != '-')
		assert_int_equal(json_parse(&a, config, strlen(config), NULL, &v, e), 0);
	if (open_file(w, quantised, file, e) < 0 || weights_compose(w, &v, e) < 0)
		fail_msg("%s", e->msg);
	arena_release(&a);
}

/* file, dtype, shape, hash, quantization, config */
static void quantised_row(char **field, void *arg)
{
	struct good g = {0};
	struct err e = ERR_INIT;
	char *as[] = {field[0], (char *)"a.weight", field[1], field[2], field[3]};
	const struct tensor *const *parts;
	open_composed(&g.w, field[0], field[5], &e);
	++*(size_t *)arg;
	if (*field[1] == '-') {
		if (weights_stored(&g.w) != &g.w || g.w.quantization)
			fail_msg("%s: is not left as it is", field[0]);
		weights_release(&g.w);
		return;
	}
	if (!g.w.quantization || strcmp(g.w.quantization, field[4]))
		fail_msg("%s: %s expected, %s found", field[0], field[4],
			 g.w.quantization ? g.w.quantization : "nothing");
	check_tensor(&g, as);
	const struct tensor *t = weights_find(&g.w, "a.weight"), *bias = weights_find(&g.w, "a.bias");
	size_t n = weights_parts(&g.w, t, &parts);
	assert_true(n >= 2 && n < weights_stored(&g.w)->n_tensors);
	assert_int_equal(g.w.n_tensors, 2);
	assert_int_equal(weights_parts(&g.w, bias, &parts), 0);
	weights_release(&g.w);
}

static void quantised_files(void **state)
{
	(void)state;
	size_t n = 0;
	rows("tests/core/format/data/quantised.tsv", quantised_row, &n);
	assert_true(n > 20);
}

/* --- failing resources --- */

struct fault { const char *file; bool compose; };

static int open_and_read(void *arg)
{
	const struct fault *f = arg;
	struct weights w;
	struct err e = ERR_INIT;
	int r = open_file(&w, f->compose ? quantised : good, f->file, &e);
	if (r < 0)
		return r;
	if (f->compose)
		r = weights_compose(&w, NULL, &e);
	for (size_t i = 0; !r && i < w.n_tensors; i += 5) {
		float v[8];
		char raw[8];
		const struct tensor *t = &w.tensors[i];
		r = weights_read(&w, t, 0, MIN(t->elements, (uint64_t)8), v, &e);
		if (!r)
			r = weights_read_raw(&w, t, 0, MIN(t->bytes, (uint64_t)8), raw, &e);
	}
	weights_release(&w);
	return r;
}

struct last { char file[256]; bool compose; size_t n; };

static void fault_row(char **field, void *arg)
{
	struct last *l = arg;
	if (!strcmp(field[0], l->file))
		return;
	snprintf(l->file, sizeof l->file, "%s", field[0]);
	struct fault f = {l->file, l->compose};
	fail_everything(open_and_read, &f);
	l->n++;
}

static void faults(void **state)
{
	(void)state;
	struct last l = {.compose = false}, q = {.compose = true};
	rows("tests/core/format/data/archives.tsv", fault_row, &l);
	rows("tests/core/format/data/quantised.tsv", fault_row, &q);
	assert_true(l.n > 25 && q.n > 20);
}

/* --- hostile files --- */

static bool tells(const struct weights *w, bool hazard, const char *kind)
{
	for (size_t i = 0; hazard && i < w->n_hazards; i++)
		if (!strcmp(w->hazards[i].kind, kind) || strstr(w->hazards[i].detail, kind))
			return true;
	for (size_t i = 0; !hazard && i < w->n_warnings; i++)
		if (!strcmp(w->warnings[i].problem, kind))
			return true;
	return false;
}

static int errno_called(const char *name)
{
	static const struct { const char *name; int code; } known[] = {
		{"EINVAL", EINVAL}, {"ENOTSUP", ENOTSUP}, {"EFBIG", EFBIG}, {"EIO", EIO}, {"ENOENT", ENOENT},
	};
	for (size_t i = 0; i < COUNT(known); i++)
		if (!strcmp(known[i].name, name))
			return known[i].code;
	return 0;
}

/* What is not as expected of the file, in words; NULL when all is. */
static const char *judge(const struct weights *w, int r, const struct err *e, const char *outcome, const char *words)
{
	static char text[600];
	int code = errno_called(outcome);
	bool hazard = !strcmp(outcome, "hazard"), ok = !strcmp(outcome, "ok");
	if (code && r >= 0)
		return "it opens";
	if (code ? r == -code && e->code == code && strstr(e->msg, words) : r >= 0 && !ok && tells(w, hazard, words))
		return NULL;
	if (r >= 0 && ok && !w->n_warnings && !w->n_hazards)
		return NULL;
	snprintf(text, sizeof text, "%d: %s", r,
		 r < 0           ? e->msg
		 : w->n_hazards  ? w->hazards[0].detail
		 : w->n_warnings ? w->warnings[0].detail
				 : "nothing told");
	return text;
}

struct bad { size_t files, wrong; };

/* file, outcome (ok, warning, hazard, or an errno), words of it */
static void bad_row(char **field, void *arg)
{
	struct bad *b = arg;
	struct weights w;
	struct err e = ERR_INIT;
	int r = open_file(&w, "tests/bad/archives", field[0], &e);
	const char *wrong = judge(&w, r, &e, field[1], field[2] ? field[2] : "");
	b->files++;
	if (wrong) {
		b->wrong++;
		print_error("%s: %s \"%s\" expected, found %s\n", field[0], field[1], field[2] ? field[2] : "", wrong);
	}
	if (r < 0)
		return;
	for (size_t i = 0; i < w.n_tensors; i++) {
		float f[16];
		weights_read(&w, &w.tensors[i], 0, MIN(w.tensors[i].elements, (uint64_t)16), f, &e);
	}
	weights_release(&w);
}

static void bad_files(void **state)
{
	(void)state;
	struct bad b = {0};
	rows("tests/bad/archives.tsv", bad_row, &b);
	assert_true(b.files > 150);
	assert_int_equal(b.wrong, 0);
}

/* Every beginning of a good file is an error or fewer tensors, never more than that. */
static void truncated(void **state)
{
	(void)state;
	static const char *const files[] = {
		"every-kind-protocol2.pt", "legacy.pth", "arrays-deflated.npz", "types.onnx", "flax.msgpack",
		"whisper-ggml.bin",        "keras.h5",   "numpy-protocol0.pkl"};
	for (size_t i = 0; i < COUNT(files); i++) {
		size_t len;
		char path[512];
		snprintf(path, sizeof path, "%s/%s", good, files[i]);
		char *data = source_file(path, &len);
		for (size_t n = 0; n < len; n += 1 + n / 64) {
			struct weights w;
			struct err e = ERR_INIT;
			int r = open_bytes(&w, data, n, &e);
			if (r < 0)
				assert_true(e.code == -r && e.msg[0]);
			else
				weights_release(&w);
		}
		free(data);
	}
}

/* --- several readers at once: cursors and chunks are shared between them --- */

struct reader { struct weights *w; const float *const *expected; };

static int read_tensor(void *arg, size_t i)
{
	const struct reader *x = arg;
	const struct tensor *t = &x->w->tensors[i % x->w->n_tensors];
	const float *expected = x->expected[i % x->w->n_tensors];
	float f[16];
	struct err e = ERR_INIT;
	for (uint64_t at = 0; at < t->elements; at += 7) {
		uint64_t n = MIN((uint64_t)16, t->elements - at);
		if (weights_read(x->w, t, at, n, f, &e) < 0 || memcmp(f, expected + at, n * sizeof *f))
			return 1;
	}
	return 0;
}

static void threads(void **state)
{
	(void)state;
	static const char *const files[] = {"deflated.pt", "arrays-deflated.npz", "baselines-deflated.zip",
					    "deflated.keras", "keras.h5"};
	for (size_t k = 0; k < COUNT(files); k++) {
		struct weights w;
		struct err e = ERR_INIT;
		assert_int_equal(open_file(&w, good, files[k], &e), 0);
		float **all = calloc(w.n_tensors, sizeof *all);
		for (size_t i = 0; i < w.n_tensors; i++) {
			all[i] = malloc((w.tensors[i].elements + 1) * sizeof **all);
			assert_int_equal(weights_read(&w, &w.tensors[i], 0, w.tensors[i].elements, all[i], &e), 0);
		}
		struct reader x = {&w, (const float *const *)all};
		assert_int_equal(pool_for(6, w.n_tensors * 8, read_tensor, &x), 0);
		for (size_t i = 0; i < w.n_tensors; i++)
			free(all[i]);
		free(all);
		weights_release(&w);
	}
}

/* --- the same weights in several containers, where the lake of real files is at hand --- */

static const char real[] = "../shared/lakes/real/models";

struct set { struct hash128 *at; size_t n; };

/* The hashes of the float32 values of every tensor of more than one element. */
static struct set values_of(const char *file)
{
	struct weights w;
	struct err e = ERR_INIT;
	struct set s = {0};
	if (open_file(&w, real, file, &e) < 0)
		fail_msg("%s", e.msg);
	s.at = calloc(w.n_tensors, sizeof *s.at);
	for (size_t i = 0; i < w.n_tensors; i++) {
		const struct tensor *t = &w.tensors[i];
		float *f = malloc((t->elements + 1) * sizeof *f);
		assert_int_equal(weights_read(&w, t, 0, t->elements, f, &e), 0);
		if (t->elements > 1)
			s.at[s.n++] = hash128(f, t->elements * sizeof *f);
		free(f);
	}
	weights_release(&w);
	return s;
}

static size_t common(const char *a, const char *b)
{
	struct set x = values_of(a), y = values_of(b);
	size_t n = 0;
	for (size_t i = 0; i < x.n; i++)
		for (size_t k = 0; k < y.n; k++)
			if (!hash128_cmp(x.at[i], y.at[k])) {
				n++;
				break;
			}
	free(x.at);
	free(y.at);
	return n;
}

#define SILERO "snakers4__silero-vad/src/silero_vad/data/silero_vad"
#define DEVSTRAL "mikamika06__mlsys-lab/projects/_fixtures/"

static void real_files(void **state)
{
	(void)state;
	if (access(full_path(real, "."), F_OK) < 0)
		skip();
	assert_int_equal(common(SILERO "@2025-11-06-bfdc019.onnx", SILERO "@2025-11-06-bfdc019.jit"), 28);
	assert_int_equal(common(SILERO "_half.onnx", SILERO "@2024-07-09-f0d880d.jit"), 14);
	assert_int_equal(common(SILERO "_16k.safetensors", SILERO "@2024-07-09-f0d880d.jit"), 1);
	assert_int_equal(common(DEVSTRAL "gguf/slice.gguf", DEVSTRAL "gguf/dequantized_truth.npz"), 3);
	assert_int_equal(common(DEVSTRAL "safetensors/weights.safetensors", DEVSTRAL "gguf/dequantized_truth.npz"), 2);
}

/* Words of no bytes at all: a sparse file could hold 2^31 of them. */
static void endless_words(void **state)
{
	uint32_t head[15] = {0x67676d6c, 51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1, 0, 0, 1 << 21};
	const char *path = "memory";
	struct weights w;
	struct err e = ERR_INIT;
	struct io io;
	int fd = memory_file((const char *)head, sizeof head);
	(void)state;
	assert_int_equal(ftruncate(fd, 1 << 24), 0);
	assert_int_equal(io_adopt(&io, fd, &e), 0);
	assert_int_equal(weights_open_io(&w, &io, &path, 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "a vocabulary of 2097152 words"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files), cmocka_unit_test(quantised_files), cmocka_unit_test(faults),
		cmocka_unit_test(bad_files),  cmocka_unit_test(truncated),       cmocka_unit_test(threads),
		cmocka_unit_test(real_files), cmocka_unit_test(endless_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
