/* The rules of names: uniqueness, order, virtual names, links, hostile names, contents; and that a scan survives anything. */
#include "temp_lake.h"

#include <unistd.h>

struct lake_case {
	struct temp t;
	struct lake l;
	struct scan s;
};

static void begin(struct lake_case *c, const char *files)
{
	*c = (struct lake_case){0};
	temp_init(&c->t);
	temp_files(&c->t, files);
}

static void scan(struct lake_case *c)
{
	temp_open(&c->l, &c->t, "");
	temp_scan(&c->s, &c->l, 0, 2);
}

static void end(struct lake_case *c)
{
	scan_release(&c->s);
	lake_close(&c->l);
	temp_release(&c->t);
}

static void order(void **state)
{
	struct lake_case c;
	(void)state;
	assert_true(scan_id_cmp("a/b", "a!") < 0);
	assert_true(scan_id_cmp("a", "a/b") < 0);
	assert_true(scan_id_cmp("a/b", "a/c") < 0);
	assert_true(scan_id_cmp("a\377", "aa") > 0);
	assert_int_equal(scan_id_cmp("a/b", "a/b"), 0);
	begin(&c, "a/config.json a/model.safetensors a!/model.safetensors a/b/model.safetensors a-b/model.safetensors");
	scan(&c);
	assert_text(temp_ids(&c.s), "a a/b a! a-b");
	assert_int_equal(c.s.files, 5);
	assert_int_equal(c.s.bytes, 42);
	end(&c);
}

static void several_lakes(void **state)
{
	struct lake_case c;
	char a[PATH_MAX], b[PATH_MAX], d[PATH_MAX];
	struct err e = ERR_INIT;
	(void)state;
	begin(&c, "one/org/x/model.safetensors one/org/x/sub/model.safetensors one/org/y/model.safetensors "
		  "two/org/x/model.safetensors three/one/org/x/model.safetensors three/one/z/model.safetensors");
	temp_path(&c.t, "one", a);
	temp_path(&c.t, "two", b);
	temp_path(&c.t, "three/one", d);
	assert_int_equal(lake_open(&c.l, (const char *[]){a, b, d}, 3, &e), 0);
	temp_scan(&c.s, &c.l, 0, 2);
	assert_text(temp_ids(&c.s), "one/org/x one/org/x/sub one~2/org/x org/y two/org/x z");
	assert_int_equal(c.s.models[2].root, 2);
	end(&c);
}

static void clashes_within(void **state)
{
	struct lake_case c;
	(void)state;
	begin(&c, "org/name/model.safetensors cache/models--org--name/blobs/1 w/x w/x~/model.safetensors");
	temp_link(&c.t, "../../blobs/1", "cache/models--org--name/snapshots/r/model.safetensors");
	temp_link(&c.t, "../../blobs/1", "w2/models--a--b/snapshots/r/model.safetensors");
	temp_file(&c.t, "w2/models--a--b/blobs/1");
	scan(&c);
	assert_text(temp_ids(&c.s), "a/b cache/org/name org/name w/x w/x~");
	end(&c);
}

static void virtual_names(void **state)
{
	struct lake_case c;
	(void)state;
	begin(&c,
	      "m/config.json m/model.safetensors m/files/model.safetensors m/files~/model.safetensors m/metadata/deep/model.safetensors "
	      "m/sub/files/model.safetensors files/model.safetensors files/below/metadata/model.safetensors");
	scan(&c);
	assert_text(temp_ids(&c.s), "files files/below/metadata m m/files~ m/files~~ m/metadata~/deep m/sub/files");
	end(&c);
}

static void hostile_names(void **state)
{
	struct lake_case c;
	char longest[300];
	(void)state;
	begin(&c,
	      "a\nb/model.safetensors \377\376/model.safetensors x/..gguf x/.gguf x/...gguf -/model.safetensors %2f--/model.safetensors");
	memset(longest, 'n', 243);
	strcpy(longest + 243, ".safetensors");
	temp_file(&c.t, longest);
	scan(&c);
	longest[243] = 0;
	char *ids = temp_ids(&c.s);
	char expected[600];
	snprintf(expected, sizeof expected, "%%2f-- - a\nb %s x/...gguf x/..gguf x/.gguf \377\376", longest);
	assert_string_equal(ids, expected);
	free(ids);
	end(&c);
}

static void links(void **state)
{
	struct lake_case c;
	char full[PATH_MAX];
	(void)state;
	begin(&c,
	      "lake/org/m/model.safetensors lake/single/a.gguf lake/single/b.gguf ext/m1/model.safetensors ext/m2/model.safetensors");
	temp_link(&c.t, "..", "ext/m2/up");
	temp_link(&c.t, "../org", "lake/l/orgs");
	temp_link(&c.t, "../org/m", "lake/l/m");
	temp_link(&c.t, "../single/a.gguf", "lake/l/a.gguf");
	temp_link(&c.t, "../../ext", "lake/l/ext");
	temp_link(&c.t, "../../ext/m1", "lake/l/m1");
	temp_link(&c.t, "../../ext/m1/model.safetensors", "lake/k1/one.safetensors");
	temp_link(&c.t, "../../ext/m1/model.safetensors", "lake/k2/two.safetensors");
	temp_files(&c.t, "out/deep/inner/model.safetensors out/deep/other/model.safetensors");
	temp_link(&c.t, "../../out/deep/inner", "lake/l/p");
	temp_link(&c.t, "../../out/deep", "lake/l/q");	/* holds what was walked before */
	temp_link(&c.t, "gone", "lake/l/gone.safetensors");
	temp_link(&c.t, "circle", "lake/l/circle");
	temp_link(&c.t, "/", "lake/l/root");
	temp_link(&c.t, "../org/m/model.safetensors", "lake/own/model.safetensors");
	temp_file(&c.t, "lake/own/config.json");
	temp_path(&c.t, "lake", full);
	struct err e = ERR_INIT;
	assert_int_equal(lake_open(&c.l, (const char *[]){full}, 1, &e), 0);
	temp_scan(&c.s, &c.l, 0, 2);
	assert_text(temp_ids(&c.s), "k1 l/ext/m1 l/ext/m2 l/p l/q/other org/m own single/a single/b");
	assert_text(
		temp_unread(&c.s),
		"k2/two.safetensors: the same files as k1\nl/a.gguf: the same files as single/a\nl/circle: a link that leads in a circle\n"
		"l/ext/m2/up: the same models as in l/ext\nl/gone.safetensors: a dangling link\nl/m: the same files as org/m\n"
		"l/m1: the same files as l/ext/m1\nl/orgs: the same models as in org\nl/root: a link to a directory that holds the lake\n");
	scan_release(&c.s);
	c.l.contain = true;
	temp_scan(&c.s, &c.l, 0, 2);
	assert_text(temp_ids(&c.s), "org/m own single/a single/b");
	end(&c);
}

static void contents(void **state)
{
	struct lake_case c;
	char full[PATH_MAX];
	(void)state;
	begin(&c,
	      "u/data.xyz u/noext v/scripts/run.sh v/a.dat w/model.bin lfs/config.json lfs2/config.json lfs2/model.safetensors");
	temp_text(&c.t, "u/readme.xyz", "no weights, just words");
	temp_text(&c.t, "v/x.bin", "no weights, just words");
	temp_text(&c.t, "v/best.tar.zst", "packed");
	temp_text(&c.t, "v/m.pt.gz", "packed");
	temp_text(&c.t, "v/words.txt.gz", "packed");
	temp_text(&c.t, "v/old.tar", "no weights, just words");
	temp_file(&c.t, "t/model_best.pth.tar");
	temp_text(&c.t, "w/.cache/huggingface/download/text_encoder/x.ab12.incomplete", "half");
	temp_text(&c.t, "w/.cache/huggingface/download/model.bin.metadata", "words");
	temp_text(&c.t, "w/.cache/other/y.incomplete", "half");
	temp_text(&c.t, "lfs/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
	temp_text(&c.t, "lfs2/pytorch_model.bin",
		  "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
	temp_path(&c.t, "fifo.safetensors", full);
	assert_int_equal(mkfifo(full, 0600), 0);
	scan(&c);
	assert_text(temp_ids(&c.s), "lfs2 t u/data.xyz u/noext v w");
	assert_text(temp_model(&c.s, "lfs2"), "C:config.json W:model.safetensors O:pytorch_model.bin");
	assert_text(temp_unread(&c.s),
		    "fifo.safetensors: not a regular file: a FIFO, socket or device\n"
		    "lfs/model.safetensors: a Git LFS pointer: the weights were not downloaded\n"
		    "lfs2/pytorch_model.bin: a Git LFS pointer: the weights were not downloaded\n"
		    "v/best.tar.zst: an archive is not unpacked\nv/m.pt.gz: an archive is not unpacked\n"
		    "v/old.tar: an archive is not unpacked\nv/x.bin: of no known format\n"
		    "w/.cache/huggingface/download/text_encoder/x.ab12.incomplete: an unfinished download\n");
	end(&c);
}

static void unreadable(void **state)
{
	struct lake_case c;
	char full[PATH_MAX];
	(void)state;
	if (geteuid() == 0)
		skip();
	begin(&c, "a/model.safetensors b/model.safetensors");
	temp_path(&c.t, "a", full);
	chmod(full, 0);
	scan(&c);
	assert_text(temp_ids(&c.s), "b");
	assert_text(temp_unread(&c.s), "a: a directory that may not be read\n");
	chmod(full, 0755);
	end(&c);
}

static void deep(void **state)
{
	struct lake_case c;
	char path[PATH_MAX] = "m/config.json";
	(void)state;
	begin(&c, "m/config.json m/model.safetensors");
	size_t n = 1;
	for (unsigned i = 0; i < 150; i++, n += 2)
		memcpy(path + n, "/d", 2);
	strcpy(path + n, "/model.safetensors");
	temp_file(&c.t, path);
	scan(&c);
	assert_text(temp_ids(&c.s), "m");
	char *rows = temp_unread(&c.s);
	assert_non_null(strstr(rows, ": a directory nested too deeply\n"));
	free(rows);
	end(&c);
}

/* Every allocation fails once: an error, no crash, no leak. */
static void out_of_memory(void **state)
{
	struct lake_case c;
	struct err e = ERR_INIT;
	(void)state;
	begin(&c,
	      "o/m/config.json o/m/model.safetensors o/m/files/model.safetensors o/m/sub/x.txt q/a.gguf q/b.gguf sd/model_index.json "
	      "sd/unet/model.safetensors orbax/_METADATA orbax/_sharding x/models--a--b/blobs/1 ol/blobs/sha256-0 "
	      "ol/manifests/registry.ollama.ai/library/x/y.json clash/a.gguf clash/a.pt");
	temp_link(&c.t, "../../blobs/1", "x/models--a--b/snapshots/r/model.safetensors");
	temp_link(&c.t, "m", "o/link");
	temp_link(&c.t, "q/a.gguf", "alias.gguf");
	temp_open(&c.l, &c.t, "");
	uint64_t nth = 0, refused = 0;
	do {
		mem_fail_at(++nth);
		int r = lake_scan(&c.s, &c.l, 0, 1, temp_reserved(), NULL, &e);
		assert_true(r == 0 || r == -ENOMEM);	/* some can be done without */
		refused += r < 0;
		scan_release(&c.s);
	} while (mem_count() >= nth);
	mem_fail_at(0);
	assert_true(refused > 50);
	for (nth = 1; nth < 20; nth++) {	/* what cannot be read is taken by its name */
		io_fail_at(nth);
		temp_scan(&c.s, &c.l, 0, 1);
		scan_release(&c.s);
	}
	io_fail_at(0);
	end(&c);
}

static void cancelled_or_gone(void **state)
{
	struct lake_case c;
	struct cancel cancel = {false};
	struct err e = ERR_INIT;
	char full[PATH_MAX];
	(void)state;
	begin(&c, "lake/a/model.safetensors");
	temp_path(&c.t, "lake", full);
	assert_int_equal(lake_open(&c.l, (const char *[]){full}, 1, &e), 0);
	atomic_store(&cancel.set, true);
	assert_int_equal(lake_scan(&c.s, &c.l, 0, 2, NULL, &cancel, &e), -EINTR);
	temp_release(&c.t);
	assert_int_equal(lake_scan(&c.s, &c.l, 0, 2, NULL, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.msg, full));
	lake_close(&c.l);
}

/* The lakes made for this project, where they are. */
static void real_lakes(void **state)
{
	const char *source = getenv("TARN_SOURCE");
	char path[PATH_MAX];
	struct err e = ERR_INIT;
	struct lake l;
	struct scan s;
	(void)state;
	snprintf(path, sizeof path, "%s/../shared/lakes/trained/lake", source ? source : ".");
	if (access(path, R_OK) < 0)
		skip();
	assert_int_equal(lake_open(&l, (const char *[]){path}, 1, &e), 0);
	temp_scan(&s, &l, 0, 2);
	assert_int_equal(s.n_models, 89);
	assert_int_equal(s.n_unread, 0);
	for (size_t i = 0; i < s.n_models; i++) {
		assert_string_equal(s.models[i].id, s.models[i].dir);
		assert_non_null(strchr(s.models[i].id, '/'));
	}
	scan_release(&s);
	lake_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order), cmocka_unit_test(several_lakes), cmocka_unit_test(clashes_within),
		cmocka_unit_test(virtual_names), cmocka_unit_test(hostile_names), cmocka_unit_test(links),
		cmocka_unit_test(contents), cmocka_unit_test(unreadable), cmocka_unit_test(deep),
		cmocka_unit_test(out_of_memory), cmocka_unit_test(cancelled_or_gone), cmocka_unit_test(real_lakes),
	};
	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
