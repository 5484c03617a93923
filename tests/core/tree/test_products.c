/* exact/, diff/, export/, audit and duplicates over the small lake, against what is known of how it was made. */
#include "tests/support/cm.h"
#include "tests/support/remove_tree.h"

#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/job/index.h"
#include "core/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64], lake[512];
	struct index *ix;
	struct tree *t;
};

static void open_lake(struct fixture *f)
{
	char catalog[80];
	snprintf(catalog, sizeof catalog, "%s/catalog.db", f->dir);
	const char *lakes[] = {f->lake};
	struct index_options o = {.lakes = lakes, .n_lakes = 1, .catalog = catalog, .jobs = 2};
	struct tree_options to = {.workers = 2};
	struct err e = ERR_INIT;
	if (index_open(&f->ix, &o, &e) < 0 || index_run(f->ix, NULL, NULL, NULL, &e) < 0 ||
	    tree_new(&f->t, f->ix, &to, &e) < 0)
		fail_msg("%s", e.msg);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const char *source = getenv("TARN_SOURCE");
	strcpy(f->dir, "/tmp/tarn-products-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->lake, sizeof f->lake, "%s/tests/data/lake", source ? source : ".");
	open_lake(f);
	*state = f;
	return 0;
}

static void close_lake(struct fixture *f)
{
	tree_free(f->t);
	index_close(f->ix);
	remove_tree(f->dir);
}

static int teardown(void **state)
{
	close_lake(*state);
	free(*state);
	return 0;
}

static struct tree_file *open_path(struct fixture *f, const char *path, struct tree_attr *a)
{
	struct tree_file *file = NULL;
	struct err e = ERR_INIT;
	if (tree_wait_path(f->t, path, a, &e) < 0 || tree_wait_open(f->t, a->ino, &file, &e) < 0)
		fail_msg("%s: %s", path, e.msg);
	return file;
}

static char *read_all(struct fixture *f, const char *path, size_t *size)
{
	struct tree_attr a;
	struct tree_file *file = open_path(f, path, &a);
	*size = tree_file_size(file);
	char *s = calloc(1, *size + 1);
	assert_true(tree_read(file, s, *size, 0) == (ssize_t)*size);
	tree_close(file);
	return s;
}

/* A cell of a table by the row's first cell and the column's name; free it. */
static char *cell(struct fixture *f, const char *path, const char *row, const char *column)
{
	size_t size;
	char *all = read_all(f, path, &size), *line = strtok(all, "\n"), *out = NULL;
	int at = -1, i = 0;
	for (char *p = line; p; p = strchr(p, '\t') ? strchr(p, '\t') + 1 : NULL, i++)
		if (!strncmp(p, column, strlen(column)) && (p[strlen(column)] == '\t' || !p[strlen(column)]))
			at = i;
	assert_true(at >= 0);
	while (!out && (line = strtok(NULL, "\n"))) {
		if (strncmp(line, row, strlen(row)) || line[strlen(row)] != '\t')
			continue;
		for (i = 0; i < at; i++)
			line = strchr(line, '\t') + 1;
		out = strndup(line, strcspn(line, "\t"));
	}
	if (!out)
		fail_msg("%s: no row %s", path, row);
	free(all);
	return out;
}

static void expect_cell(struct fixture *f, const char *path, const char *row, const char *column, const char *want)
{
	char *got = cell(f, path, row, column);
	if (strcmp(got, want))
		fail_msg("%s: %s of %s is %s, expected %s", path, column, row, got, want);
	free(got);
}

/* A file of the lake against what export/ gives for it. */
static void test_export_identity(void **state)
{
	struct fixture *f = *state;
	char path[700];
	size_t size, len;
	struct tree_attr a;
	struct io io;
	struct err e = ERR_INIT;
	char *got = read_all(f, "export/tiny-stacks--sextant/model.safetensors", &size), *want;
	snprintf(path, sizeof path, "%s/tiny-stacks/sextant/model.safetensors", f->lake);
	assert_int_equal(io_open(&io, AT_FDCWD, path, &e), 0);
	assert_int_equal(io_slurp(&io, 1 << 24, &want, &len, &e), 0);
	io_close(&io);
	assert_int_equal(size, len);
	assert_memory_equal(got, want, len);
	/* its size was known before it was opened */
	assert_int_equal(tree_wait_path(f->t, "export/corvid-labs--anvil-Q8_0-GGUF/model.safetensors", &a, &e), 0);
	assert_true(a.exact);
	tree_close(open_path(f, "export/corvid-labs--anvil-Q8_0-GGUF/model.safetensors", &a));
	free(got);
	free(want);
}

static void open_weights(struct weights *w, const char *bytes, size_t size)
{
	struct io io;
	struct err e = ERR_INIT;
	const char *path = "export";
	int fd = memfd_create("export", MFD_CLOEXEC);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	assert_int_equal(io_adopt(&io, fd, &e), 0);
	if (weights_open_io(w, &io, &path, 1, &e))
		fail_msg("%s", e.msg);
}

/* The same weights out of a GGUF: names and the order of rows are Hugging Face's, values within the quantiser's
 * error. */
static void test_export_gguf(void **state)
{
	struct fixture *f = *state;
	struct weights a, b;
	size_t na, nb, compared = 0;
	struct err e = ERR_INIT;
	char *ga = read_all(f, "export/corvid-labs--anvil-Q8_0-GGUF/model.safetensors", &na);
	char *gb = read_all(f, "export/tiny-stacks--sextant/model.safetensors", &nb);
	open_weights(&a, ga, na);
	open_weights(&b, gb, nb);
	for (size_t i = 0; i < b.n_tensors; i++) {
		const struct tensor *t = weights_find(&a, b.tensors[i].name);
		if (!t)
			fail_msg("no tensor %s", b.tensors[i].name);
		assert_int_equal(t->elements, b.tensors[i].elements);
		float *x = malloc(t->elements * sizeof *x), *y = malloc(t->elements * sizeof *y);
		double dd = 0, bb = 0;
		assert_int_equal(weights_read(&a, t, 0, t->elements, x, &e), 0);
		assert_int_equal(weights_read(&b, &b.tensors[i], 0, t->elements, y, &e), 0);
		for (uint64_t k = 0; k < t->elements; k++) {
			dd += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
			bb += (double)y[k] * y[k];
		}
		assert_true(sqrt(dd / bb) < .01);
		compared++;
		free(x);
		free(y);
	}
	assert_int_equal(compared, a.n_tensors);
	weights_release(&a);
	weights_release(&b);
	free(ga);
	free(gb);
}

static int count_entry(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	(void)name, (void)cookie;
	assert_true(a->exact);
	++*(size_t *)arg;
	return 0;
}

static void test_export_tensors(void **state)
{
	struct fixture *f = *state;
	struct tree_attr a;
	struct err e = ERR_INIT;
	size_t n = 0, size;
	assert_int_equal(tree_wait_path(f->t, "export/tiny-stacks--sextant/tensors", &a, &e), 0);
	assert_int_equal(tree_wait_list(f->t, a.ino, count_entry, &n, &e), 0);
	assert_int_equal(n, 39);
	char *npy = read_all(f, "export/tiny-stacks--sextant/tensors/model.norm.weight.npy", &size);
	assert_int_equal(size, 128 + 96 * 4);
	assert_memory_equal(npy, "\x93NUMPY", 6);
	free(npy);
	assert_true(tree_wait_path(f->t, "export/tiny-stacks--sextant/tensors/none.npy", &a, &e) == -ENOENT);
}

/* this - other + other is this again */
static void test_delta(void **state)
{
	struct fixture *f = *state;
	struct weights a, b, d;
	size_t na, nb, nd;
	struct err e = ERR_INIT;
	float x[96], y[96], z[96];
	char *ga = read_all(f, "export/tiny-stacks--sextant/model.safetensors", &na);
	char *gb = read_all(f, "export/northwind--quill-0.5m/model.safetensors", &nb);
	static const char delta[] = "export/tiny-stacks--sextant/delta/northwind--quill-0.5m.safetensors";
	struct tree_attr before, after;
	assert_int_equal(tree_wait_path(f->t, delta, &before, &e), 0);
	char *gd = read_all(f, delta, &nd);
	assert_int_equal(tree_wait_path(f->t, delta, &after, &e), 0);
	assert_true(before.exact && before.size == nd);
	assert_true(after.exact && after.size == nd);
	/* of others than parents a bound, until it is opened */
	static const char back[] = "export/northwind--quill-0.5m/delta/tiny-stacks--sextant.safetensors";
	assert_int_equal(tree_wait_path(f->t, back, &before, &e), 0);
	assert_true(!before.exact && before.size >= nd && before.size <= 8 * na);
	open_weights(&a, ga, na);
	open_weights(&b, gb, nb);
	open_weights(&d, gd, nd);
	assert_int_equal(d.n_tensors, a.n_tensors);
	const char *name = "model.layers.1.self_attn.q_proj.weight";
	assert_int_equal(weights_read(&a, weights_find(&a, name), 960, 96, x, &e), 0);
	assert_int_equal(weights_read(&b, weights_find(&b, name), 960, 96, y, &e), 0);
	assert_int_equal(weights_read(&d, weights_find(&d, name), 960, 96, z, &e), 0);
	for (int i = 0; i < 96; i++)
		assert_true(z[i] == x[i] - y[i]);
	weights_release(&a);
	weights_release(&b);
	weights_release(&d);
	free(ga);
	free(gb);
	free(gd);
}

/* --- export/ as the repository that loaders look into --- */

static void expect_link(struct fixture *f, const char *path, const char *want)
{
	struct tree_attr a;
	struct err e = ERR_INIT;
	struct buf target = {0};
	if (tree_wait_path(f->t, path, &a, &e) < 0 || tree_readlink(f->t, a.ino, &target) < 0)
		fail_msg("%s: no link", path);
	assert_string_equal(target.data, want);
	buf_release(&target);
}

static int count_name(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	(void)a, (void)cookie;
	buf_printf(arg, "%s ", name);
	return 0;
}

static void expect_names(struct fixture *f, const char *path, const char *want)
{
	struct tree_attr a;
	struct err e = ERR_INIT;
	struct buf names = {0};
	assert_int_equal(tree_wait_path(f->t, path, &a, &e), 0);
	assert_int_equal(tree_wait_list(f->t, a.ino, count_name, &names, &e), 0);
	assert_string_equal(names.data, want);
	buf_release(&names);
}

static void put(const struct fixture *f, const char *name, const char *data, size_t n)
{
	char path[700];
	snprintf(path, sizeof path, "%s/%s", f->lake, name);
	for (char *s = path + strlen(f->dir) + 1; (s = strchr(s, '/')); *s++ = '/') {
		*s = 0;
		mkdir(path, 0755);
	}
	FILE *file = fopen(path, "w");
	assert_true(file && fwrite(data, 1, n, file) == n && !fclose(file));
}

/* A file of the sources of the tests, into the lake. */
static void put_copy(const struct fixture *f, const char *name, const char *source)
{
	char path[600], *data;
	const char *top = getenv("TARN_SOURCE");
	snprintf(path, sizeof path, "%s/%s", top ? top : ".", source);
	struct stat st;
	FILE *file = fopen(path, "r");
	assert_true(file && !fstat(fileno(file), &st));
	data = malloc((size_t)st.st_size);
	assert_true(fread(data, 1, (size_t)st.st_size, file) == (size_t)st.st_size && !fclose(file));
	put(f, name, data, (size_t)st.st_size);
	free(data);
}

/* Components are linked whole, but for those that hold a pickle; PEFT finds its adapter; nothing says of weights that
 * come out dequantised that they are quantised. */
static void test_export_repository(void **state)
{
	static const char weights[] = "\x40\0\0\0\0\0\0\0"
				      "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
				      "                \0\0\200?";
	static const char index[] = "{\"_class_name\":\"P\",\"unet\":[\"diffusers\",\"U\"],"
				    "\"vae\":[\"diffusers\",\"V\"]}";
	struct fixture f = {.dir = "/tmp/tarn-products-XXXXXX"};
	struct tree_attr a;
	struct err e = ERR_INIT;
	assert_non_null(mkdtemp(f.dir));
	snprintf(f.lake, sizeof f.lake, "%s/lake", f.dir);
	put(&f, "p/model_index.json", index, strlen(index));
	put(&f, "p/scheduler/scheduler_config.json", "{}", 2);
	put(&f, "p/feature/preprocessor_config.json", "{}", 2);	/* and a pickle by its name alone */
	put(&f, "p/feature/model.pkl", "x", 1);
	put(&f, "p/trainer/config.json", "{}", 2);
	put(&f, "p/trainer/optimizer.pt", "x", 1);
	put(&f, "p/tokenizer/vocab.json", "{}", 2);
	put(&f, "p/unet/config.json", "{}", 2);
	put(&f, "p/unet/diffusion_pytorch_model.safetensors", weights, sizeof weights - 1);
	put(&f, "p/vae/config.json", "{}", 2);
	put(&f, "p/vae/diffusion_pytorch_model.bin", "\200\2}.", 4);
	put(&f, "q/config.json", "{\"model_type\":\"x\"}", 18);
	put(&f, "q/quantize_config.json", "{\"bits\":4}", 10);
	put(&f, "q/tokenizer.json", "{}", 2);
	put_copy(&f, "q/model.safetensors", "tests/core/format/data/quantised/int8.safetensors");
	open_lake(&f);
	expect_names(&f, "export/q", "model.safetensors config.json tensors delta tokenizer.json ");
	expect_names(&f, "export/p", "model.safetensors tensors delta model_index.json scheduler tokenizer unet ");
	expect_link(&f, "export/p/unet", "../../models/p/files/unet");
	expect_link(&f, "export/p/scheduler", "../../models/p/files/scheduler");
	assert_int_equal(tree_wait_path(f.t, "export/p/vae", &a, &e), -ENOENT);
	close_lake(&f);
	expect_link(*state, "export/mlbench-eu--hemlock/adapter_model.safetensors", "model.safetensors");
	expect_link(*state, "export/mlbench-eu--hemlock/adapter_config.json",
		    "../../models/mlbench-eu/hemlock/files/adapter_config.json");
	struct fixture *own = *state;
	static const char none[] = "export/tiny-stacks--sextant/adapter_model.safetensors";
	assert_int_equal(tree_wait_path(own->t, none, &a, &e), -ENOENT);
}

static void test_diff(void **state)
{
	struct fixture *f = *state;
	size_t size;
	expect_cell(f, "diff/tiny-stacks--sextant/northwind--quill-0.5m/tensors.tsv", "lm_head.weight", "status",
		    "changed");
	/* NumPy: |a - b| / |b| in float64, and the share of values that differ */
	expect_cell(f, "diff/tiny-stacks--sextant/northwind--quill-0.5m/tensors.tsv", "lm_head.weight", "rel_l2",
		    "0.0380853");
	expect_cell(f, "diff/tiny-stacks--sextant/northwind--quill-0.5m/tensors.tsv", "lm_head.weight", "changed",
		    "0.9788");
	expect_cell(f, "diff/inkwell--fashion-cnn-v4-fp16/mirelle--fashion-cnn-v4/explain.tsv", "fc1.weight",
		    "transformation", "cast from F32 to F16");
	expect_cell(f, "diff/dr-vega--fashion-cnn-v1-pruned/dr-vega--fashion-cnn-v1/explain.tsv", "fc1.weight",
		    "validity", "1");
	expect_cell(f, "diff/halfmoon-nlp--saffron/northwind--quill-0.5m/explain.tsv",
		    "model.layers.[0-3].mlp.up_proj.weight", "transformation", "low-rank update of rank 16");
	expect_cell(f, "diff/corvid-labs--anvil-Q8_0-GGUF/tiny-stacks--sextant/explain.tsv", "blk.[0-3].attn_q.weight",
		    "transformation", "quantized from BF16 to Q8_0");
	char *s = read_all(f, "diff/tiny-stacks--sextant/northwind--quill-0.5m/card.diff", &size);
	assert_non_null(strstr(s, "--- northwind/quill-0.5m/README.md\n+++ tiny-stacks/sextant/README.md\n@@ "));
	free(s);
	s = read_all(f, "diff/corvid-labs--larkspur/basalt-ai--plover/summary.txt", &size);
	assert_int_equal(strncmp(s, "corvid-labs/larkspur cannot be compared with basalt-ai/plover\n", 62), 0);
	free(s);
	s = read_all(f, "diff/corvid-labs--larkspur/northwind--quill-0.5m/summary.txt", &size);
	assert_int_equal(strncmp(s, "corvid-labs/larkspur is unrelated to northwind/quill-0.5m\n", 58), 0);
	free(s);
	s = read_all(f, "diff/penumbra--juniper-copy/corvid-labs--juniper-0.5m/summary.txt", &size);
	assert_int_equal(strncmp(s, "penumbra/juniper-copy has the same weights as corvid-labs/juniper-0.5m\n", 71), 0);
	free(s);
}

static void test_exact(void **state)
{
	struct fixture *f = *state;
	char *a = cell(f, "exact/penumbra--juniper-copy/files.tsv", "model.safetensors", "xxh128");
	expect_cell(f, "exact/corvid-labs--juniper-0.5m/files.tsv", "model.safetensors", "xxh128", a);
	free(a);
	/* NumPy in float64 over the bfloat16 values */
	expect_cell(f, "exact/tiny-stacks--sextant/statistics.tsv", "lm_head.weight", "std", "0.175164");
	expect_cell(f, "exact/tiny-stacks--sextant/statistics.tsv", "lm_head.weight", "kurtosis", "-0.959229");
	expect_cell(f, "exact/tiny-stacks--sextant/statistics.tsv", "lm_head.weight", "p99", "0.34375");
	expect_cell(f, "lake/duplicates.tsv", "113776", "kind", "file");
	expect_cell(f, "lake/duplicates.tsv", "113776", "other", "penumbra/juniper-copy");
}

static void test_audit(void **state)
{
	struct fixture *f = *state;
	expect_cell(f, "models/tiny-stacks/sextant/audit.tsv", "loads_code", "verdict", "ok");
	expect_cell(f, "models/tiny-stacks/sextant/audit.tsv", "layers", "verdict", "ok");
	expect_cell(f, "models/mlbench-eu/plover-cut/audit.tsv", "files", "verdict", "fail");
	expect_cell(f, "models/mlbench-eu/plover-cut/audit.tsv", "loads_code", "verdict", "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_export_identity),
		cmocka_unit_test(test_export_gguf),
		cmocka_unit_test(test_export_tensors),
		cmocka_unit_test(test_export_repository),
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_audit),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
