/* Models looked into, from directories to facts; every document and every shard broken in turn. */
#include "tests/core/lake/temp_lake.h"

#include "core/lake/inspect.h"

#include <math.h>

/* A lake, its scan, and one of its models inspected. */
struct seen {
	struct lake lake;
	struct scan scan;
	struct inspect it;
};

static const struct scan_model *model_of(const struct seen *s, const char *id)
{
	for (size_t i = 0; i < s->scan.n_models; i++)
		if (!strcmp(s->scan.models[i].id, id))
			return &s->scan.models[i];
	for (size_t i = 0; i < s->scan.n_models; i++)
		print_message("have %s\n", s->scan.models[i].id);
	fail_msg("no model %s", id);
	return NULL;
}

static void open_lake(struct seen *s, const char *dir)
{
	struct err e = ERR_INIT;

	if (lake_open(&s->lake, &dir, 1, &e) || lake_scan(&s->scan, &s->lake, 0, 1, NULL, NULL, &e))
		fail_msg("%s", e.msg);
}

static int inspect(struct seen *s, const char *id, struct inspect *it, struct err *e)
{
	const struct scan_model *m = model_of(s, id);
	struct inspect_input in = {&s->lake, m->root, m->id, m->dir, m->layout, m->revision, m->files, m->n_files};

	return inspect_model(it, &in, e);
}

static void look(struct seen *s, const struct temp *t, const char *id)
{
	struct err e = ERR_INIT;

	open_lake(s, t->dir);
	if (inspect(s, id, &s->it, &e))
		fail_msg("%s", e.msg);
}

static void done(struct seen *s)
{
	inspect_release(&s->it);
	scan_release(&s->scan);
	lake_close(&s->lake);
}

static void is(const struct seen *s, const char *key, const char *value)
{
	const char *got = facts_get(&s->it.facts, key);

	if (value ? !got || strcmp(got, value) : !!got)
		fail_msg("%s is %s, expected %s", key, got ? got : "unknown", value ? value : "none");
}

static void problem(const struct seen *s, const char *file, const char *what, const char *detail)
{
	const struct facts *f = &s->it.facts;

	for (size_t i = 0; i < f->n_problems; i++)
		if (!strcmp(f->problems[i].file, file) && !strcmp(f->problems[i].problem, what) &&
		    strstr(f->problems[i].detail, detail))
			return;
	for (size_t i = 0; i < f->n_problems; i++)
		print_message("have %s | %s | %s\n", f->problems[i].file, f->problems[i].problem,
			      f->problems[i].detail);
	fail_msg("no problem %s | %s | %s", file, what, detail);
}

/* A safetensors file of float16 zeros: names and shapes as "a.weight 4x6 b 3". */
static void put_weights(const struct temp *t, const char *path, const char *spec)
{
	struct buf b = {0}, file = {0};
	uint64_t at = 0, len;
	char name[200];
	unsigned long rows, cols;
	int n;

	buf_char(&b, '{');
	for (; sscanf(spec, " %199s %lux%lu%n", name, &rows, &cols, &n) == 3; spec += n) {
		buf_printf(&b, "%s\"%s\":{\"dtype\":\"F16\",\"shape\":[%lu,%lu],\"data_offsets\":[%lu,%lu]}",
			   at ? "," : "", name, rows, cols, (unsigned long)at,
			   (unsigned long)(at + 2 * rows * cols));
		at += 2 * rows * cols;
	}
	buf_char(&b, '}');
	len = b.len;
	buf_add(&file, &len, 8);
	buf_add(&file, b.data, b.len);
	while (at--)
		buf_char(&file, 0);
	temp_write(t, path, file.data, file.len);
	buf_release(&b);
	buf_release(&file);
}

static const char config[] = "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":6,"
	"\"num_hidden_layers\":7,\"torch_dtype\":\"bfloat16\",\"num_attention_heads\":2}";
static const char two_layers[] = "model.embed_tokens.weight 10x6 model.layers.0.mlp.gate_proj.weight 8x6 "
				 "model.layers.1.mlp.up_proj.weight 8x6";

static void whole(void **state)
{
	struct temp t;
	struct seen s = {0};

	(void)state;
	temp_init(&t);
	put_weights(&t, "org/name/model.safetensors", two_layers);
	temp_text(&t, "org/name/config.json", config);
	temp_text(&t, "org/name/README.md", "---\nlicense: mit\nbase_model: a/b\n---\nhello");
	temp_text(&t, "org/name/tokenizer_config.json", "{\"tokenizer_class\":\"T\",\"model_max_length\":512}");
	look(&s, &t, "org/name");
	assert_true(s.it.open);
	assert_int_equal(s.it.facts.n_problems, 0);
	assert_int_equal(s.it.facts.flags, FACTS_CARD | FACTS_CONFIG | FACTS_TOKENIZER | FACTS_WEIGHTS);
	is(&s, "path", "org/name");
	is(&s, "author", "org");
	is(&s, "created", NULL);	/* a time of a file is no such fact */
	is(&s, "format", "safetensors");
	is(&s, "dtype", "f16");		/* the config claims another */
	is(&s, "layers", "2");
	is(&s, "parameters", "156");
	is(&s, "vocab_size", "10");
	is(&s, "context_length", "512");
	is(&s, "license", "mit");
	is(&s, "loads_code", "no");
	assert_non_null(facts_get(&s.it.facts, "modified"));
	assert_string_equal(s.it.hints.architecture, "LlamaForCausalLM");
	assert_int_equal(s.it.hints.heads, 2);
	assert_int_equal(s.it.facts.n_claims, 3);	/* dtype, layers, hidden_size */
	done(&s);
	temp_release(&t);
}

/* Each document malformed: a row for it, and everything else as before. */
static void broken_documents(void **state)
{
	static const struct { const char *file, *text, *problem, *detail; } t[] = {
		{"config.json", "{\"a\":", "malformed", "JSON"},
		{"config.json", "", "malformed", ""},
		{"config.json", "[1]", "malformed", "expected an object"},
		{"config.json", "{\"a\":1}}", "malformed", ""},
		{"config.json", "{\"a\":\"\xff\"}", "malformed", ""},
		{"adapter_config.json", "nonsense", "malformed", ""},
		{"tokenizer_config.json", "{\"a\":1,}", "malformed", ""},
		{"README.md", "---\na: [\n---\n", "malformed front matter", "line"},
		{"model_index.json", "{", "malformed", ""},
		{"trainer_state.json", "{\"log_history\":[}", "malformed", ""},
		{"mergekit_config.yml", "a: b: c", "malformed", "line 1"},
		{"results_2024.json", "{\"results\"", "malformed", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct temp dir;
		struct seen s = {0};
		char path[100];

		if (!strcmp(t[i].file, "model_index.json"))
			continue;	/* makes the directory a pipeline: below */
		temp_init(&dir);
		put_weights(&dir, "m/model.safetensors", two_layers);
		temp_text(&dir, "m/config.json", config);
		snprintf(path, sizeof path, "m/%s", t[i].file);
		temp_text(&dir, path, t[i].text);
		look(&s, &dir, "m");
		problem(&s, t[i].file, t[i].problem, t[i].detail);
		assert_int_equal(s.it.facts.n_problems, 1);
		is(&s, "parameters", "156");
		done(&s);
		temp_release(&dir);
	}
}

static void broken_weights(void **state)
{
	struct temp t;
	struct seen s = {0};

	(void)state;
	temp_init(&t);
	temp_text(&t, "m/config.json", config);
	temp_text(&t, "m/model.safetensors", "\x40\0\0\0\0\0\0\0{\"half");
	temp_write(&t, "m/model.safetensors", "\x40\0\0\0\0\0\0\0{\"half", 14);
	look(&s, &t, "m");
	assert_false(s.it.open);
	assert_int_equal(s.it.facts.n_problems, 1);
	assert_string_equal(s.it.facts.problems[0].file, "model.safetensors");
	is(&s, "format", "safetensors");
	is(&s, "bytes", "14");
	is(&s, "hidden_size", "6");
	is(&s, "dtype", "bf16");
	is(&s, "loads_code", NULL);
	done(&s);
	temp_release(&t);
}

/* Documents other than config.json whose loaders run what lies in the model. */
static void code(void **state)
{
	static const struct { const char *file, *text, *code, *loads; } rows[] = {
		{"preprocessor_config.json", "{\"auto_map\":{\"AutoImageProcessor\":\"p.P\"}}", "p.py", "yes"},
		{"preprocessor_config.json", "{\"do_resize\":true}", "p.py", "no"},
		{"modules.json", "[{\"type\":\"custom_st.Transformer\"}]", "custom_st.py", "yes"},
		{"modules.json", "[{\"type\":\"custom_st.Transformer\"}]", "other.py", "no"},
		{"modules.json", "[{\"type\":\"a/b--c.D\"}]", "other.py", "yes"},
		{"modules.json", "[{\"type\":\"sentence_transformers.models.Transformer\"}]", "other.py", "no"},
		{"model_index.json", "{\"_class_name\":\"P\",\"unet\":[\"mine\",\"U\"]}", "unet/mine.py", "yes"},
		{"model_index.json", "{\"_class_name\":[\"pipeline\",\"P\"]}", "pipeline.py", "yes"},
		{"model_index.json", "{\"_class_name\":\"P\",\"unet\":[\"diffusers\",\"U\"]}", "unet/mine.py", "no"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char path[64];
		struct temp t;
		struct seen s = {0};
		temp_init(&t);
		put_weights(&t, strncmp(rows[i].file, "model_", 6) ? "m/model.safetensors" :
			    "m/unet/diffusion_pytorch_model.safetensors", "a.weight 2x3");
		temp_text(&t, "m/config.json", "{}");
		snprintf(path, sizeof path, "m/%s", rows[i].file);
		temp_text(&t, path, rows[i].text);
		snprintf(path, sizeof path, "m/%s", rows[i].code);
		temp_text(&t, path, "print(1)");
		look(&s, &t, "m");
		is(&s, "loads_code", rows[i].loads);
		done(&s);
		temp_release(&t);
	}
}

/* However many components there are, the one that names code is looked at, and so are the processors. */
static void code_among_many(void **state)
{
	static const char *const files[] = {"m/unet/config.json", "m/preprocessor_config.json"};
	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		struct temp t;
		struct seen s = {0};
		temp_init(&t);
		put_weights(&t, "m/unet/diffusion_pytorch_model.safetensors", "a.weight 2x3");
		temp_text(&t, "m/model_index.json", "{\"_class_name\":\"P\"}");
		for (int k = 0; k < 70; k++) {
			char path[64];
			snprintf(path, sizeof path, "m/a%02d/config.json", k);
			temp_text(&t, path, "{}");
		}
		temp_text(&t, files[i], "{\"auto_map\":{\"AutoModel\":\"p.P\"}}");
		look(&s, &t, "m");
		is(&s, "loads_code", "yes");
		done(&s);
		temp_release(&t);
	}
}

/* Of text beside vision the text's blocks count; of DeepSeek's those that its config counts. */
static void blocks(void **state)
{
#define TEXT(n) "model.layers." n ".self_attn.q_proj.weight 6x6 model.layers." n ".mlp.gate_proj.weight 8x6 "
#define VISION(n) "visual.blocks." n ".attn.proj.weight 4x4 visual.blocks." n ".mlp.fc1.weight 8x4 "
	static const char embed[] = "model.embed_tokens.weight 9x6 ";
	struct temp t;
	struct seen s = {0};
	char list[1024];

	(void)state;
	temp_init(&t);
	snprintf(list, sizeof list, "%s" TEXT("0") TEXT("1") VISION("0") VISION("1") VISION("2"), embed);
	put_weights(&t, "v/model.safetensors", list);
	look(&s, &t, "v");
	is(&s, "layers", "2");
	done(&s);
	snprintf(list, sizeof list, "%s" TEXT("0") TEXT("1") TEXT("2") "model.layers.2.eh_proj.weight 6x12", embed);
	put_weights(&t, "d/model.safetensors", list);
	look(&s, &t, "d");
	is(&s, "layers", "2");
	done(&s);
	put_weights(&t, "d/model.safetensors", TEXT("0") TEXT("1") TEXT("2"));
	look(&s, &t, "d");
	is(&s, "layers", "3");
	done(&s);
	temp_release(&t);
}

/* {"m":{NAME: one float32}} as Flax writes it; transformers' index has slashes where the nesting is. */
static void flax_shards(void **state)
{
	static const char x[] = "\201\241m\201\241x\307\21\1\223\221\1\247float32\304\4\0\0\200?";
	static const char y[] = "\201\241m\201\241y\307\21\1\223\221\1\247float32\304\4\0\0\0@";
	struct temp t;
	struct seen s = {0};

	(void)state;
	temp_init(&t);
	temp_write(&t, "m/flax_model-00001-of-00002.msgpack", x, sizeof x - 1);
	temp_write(&t, "m/flax_model-00002-of-00002.msgpack", y, sizeof y - 1);
	temp_text(&t, "m/flax_model.msgpack.index.json",
		  "{\"weight_map\":{\"m/x\":\"flax_model-00001-of-00002.msgpack\",\"m/y\":"
		  "\"flax_model-00002-of-00002.msgpack\"}}");
	look(&s, &t, "m");
	is(&s, "tensors", "2");
	assert_int_equal(s.it.facts.n_problems, 0);
	done(&s);
	temp_text(&t, "m/flax_model.msgpack.index.json",
		  "{\"weight_map\":{\"m/x\":\"flax_model-00001-of-00002.msgpack\",\"m/z\":"
		  "\"flax_model-00002-of-00002.msgpack\"}}");
	look(&s, &t, "m");
	problem(&s, "flax_model.msgpack.index.json", "index mismatch", "m.z");
	problem(&s, "flax_model.msgpack.index.json", "index mismatch", "m.y");
	assert_int_equal(s.it.facts.n_problems, 2);
	done(&s);
	temp_release(&t);
}

static void shards(void **state)
{
	static const char index[] = "{\"weight_map\":{\"a.weight\":\"model-00001-of-00002.safetensors\",\"b.weight\":"
		"\"model-00002-of-00002.safetensors\",\"c.weight\":\"model-00002-of-00002.safetensors\"}}";
	struct temp t;
	struct seen s = {0};

	(void)state;
	temp_init(&t);
	put_weights(&t, "m/model-00001-of-00002.safetensors", "a.weight 2x3 d.weight 2x2");
	put_weights(&t, "m/model-00002-of-00002.safetensors", "b.weight 2x3");
	temp_text(&t, "m/model.safetensors.index.json", index);
	look(&s, &t, "m");
	assert_true(s.it.open);
	is(&s, "tensors", "3");
	problem(&s, "model.safetensors.index.json", "index mismatch", "c.weight");
	problem(&s, "model.safetensors.index.json", "index mismatch", "d.weight");
	assert_int_equal(s.it.facts.n_problems, 2);
	done(&s);
	temp_text(&t, "m/model.safetensors.index.json",
		  "{\"weight_map\":{\"a.weight\":\"model-00002-of-00002.safetensors\",\"b.weight\":"
		  "\"model-00002-of-00002.safetensors\",\"d.weight\":\"model-00001-of-00002.safetensors\"}}");
	look(&s, &t, "m");
	problem(&s, "model.safetensors.index.json", "index mismatch", "1 tensors are in another shard than it says: a");
	assert_int_equal(s.it.facts.n_problems, 1);
	done(&s);
	/* a shard that the index lists is not there */
	temp_text(
		&t, "m/model.safetensors.index.json",
		"{\"weight_map\":{\"a.weight\":\"model-00001-of-00002.safetensors\",\"x\":\"gone.safetensors\",\"y\":7}}");
	look(&s, &t, "m");
	problem(&s, "gone.safetensors", "missing", "model.safetensors.index.json");
	done(&s);
	/* names that lead out of the model's directory are no shards of it */
	temp_text(&t, "secret.safetensors", "x");
	temp_text(&t, "m/model.safetensors.index.json",
		  "{\"weight_map\":{\"a.weight\":\"../secret.safetensors\",\"b.weight\":\"/etc/passwd\",\"c.weight\":\"\"}}");
	look(&s, &t, "m");
	problem(&s, "../secret.safetensors", "missing", "model.safetensors.index.json");
	problem(&s, "/etc/passwd", "missing", "model.safetensors.index.json");
	problem(&s, "", "missing", "model.safetensors.index.json");
	is(&s, "tensors", "3");
	done(&s);
	/* all as it says */
	temp_text(&t, "m/model.safetensors.index.json",
		  "{\"weight_map\":{\"b.weight\":\"model-00002-of-00002.safetensors\",\"a.weight\":"
		  "\"model-00001-of-00002.safetensors\",\"d.weight\":\"model-00001-of-00002.safetensors\"}}");
	look(&s, &t, "m");
	assert_int_equal(s.it.facts.n_problems, 0);
	done(&s);
	temp_text(&t, "m/model.safetensors.index.json", "{\"weight_map\":[1]}");
	look(&s, &t, "m");
	problem(&s, "model.safetensors.index.json", "malformed", "weight_map");
	done(&s);
	temp_text(&t, "m/model.safetensors.index.json", "{");
	look(&s, &t, "m");
	problem(&s, "model.safetensors.index.json", "malformed", "");
	done(&s);
	/* one shard of two broken: said of that one */
	temp_text(&t, "m/model.safetensors.index.json", index);
	temp_text(&t, "m/model-00002-of-00002.safetensors", "nothing of the kind");
	look(&s, &t, "m");
	assert_false(s.it.open);
	assert_string_equal(s.it.facts.problems[0].file, "model-00002-of-00002.safetensors");
	done(&s);
	temp_release(&t);
}

/* A pipeline is one model: its components' tensors carry their names, and a broken one does not hide the others. */
static void pipeline(void **state)
{
	struct temp t;
	struct seen s = {0};
	float out[36];
	const struct tensor *x;

	(void)state;
	temp_init(&t);
	temp_text(
		&t, "p/model_index.json",
		"{\"_class_name\":\"StableDiffusionPipeline\",\"unet\":[\"diffusers\",\"UNet2DConditionModel\"]}");
	put_weights(&t, "p/unet/diffusion_pytorch_model.safetensors", "conv_in.weight 4x4");
	put_weights(&t, "p/text_encoder/model.safetensors",
		    "text_model.encoder.layers.0.self_attn.q_proj.weight 6x6 "
		    "text_model.encoder.layers.0.self_attn.k_proj.weight 6x6");
	put_weights(&t, "p/text_encoder_2/model.safetensors",
		    "text_model.encoder.layers.0.self_attn.q_proj.weight 6x6");
	temp_text(&t, "p/vae/diffusion_pytorch_model.safetensors", "broken");
	look(&s, &t, "p");
	assert_true(s.it.open);
	is(&s, "architecture", "StableDiffusionPipeline");
	is(&s, "task", "text-to-image");
	is(&s, "library", "diffusers");
	is(&s, "tensors", "4");
	is(&s, "components", "text_encoder");
	is(&s, "parameters", "124");
	problem(&s, "vae/diffusion_pytorch_model.safetensors", "malformed", "");
	assert_true(s.it.facts.flags & FACTS_PIPELINE);
	x = weights_find(&s.it.weights, "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.weight");
	assert_non_null(x);
	assert_int_equal(weights_read(&s.it.weights, x, 0, 36, out, NULL), 0);
	assert_non_null(weights_find(&s.it.weights, "unet.conv_in.weight"));
	for (size_t i = 0; i < s.it.canon.n_parts; i++)
		if (s.it.canon.parts[i].tensor == (uint32_t)(x - s.it.weights.tensors))
			assert_string_equal(s.it.canon.parts[i].role, "text2:attn.q");
	done(&s);
	temp_text(&t, "p/model_index.json", "{");
	look(&s, &t, "p");
	problem(&s, "model_index.json", "malformed", "");
	done(&s);
	temp_release(&t);
}

static void odd_files(void **state)
{
	struct temp t;
	struct seen s = {0};
	char *big;

	(void)state;
	temp_init(&t);
	put_weights(&t, "m/model.bin", two_layers);	/* by content, whatever the name says */
	temp_text(&t, "m/config.json", config);
	big = mem_alloc((1 << 20) + 10);
	memset(big, 'x', (1 << 20) + 10);
	memcpy(big, "---\nlicense: mit\n---\n", 21);
	temp_write(&t, "m/README.md", big, (1 << 20) + 10);
	free(big);
	look(&s, &t, "m");
	is(&s, "format", "safetensors");
	is(&s, "license", "mit");
	problem(&s, "README.md", "too large", "first");
	problem(&s, "model.bin", "wrong extension", "safetensors");
	done(&s);
	/* links that lead nowhere are no reason to stop */
	temp_link(&t, "nowhere", "m/adapter_config.json");
	look(&s, &t, "m");
	is(&s, "parameters", "156");
	problem(&s, "adapter_config.json", "missing", "nowhere");
	done(&s);
	temp_release(&t);
}

/* The same weights in several containers: one is read, all are said. */
static void containers(void **state)
{
	struct temp t;
	struct seen s = {0};
	char all[100] = "";

	(void)state;
	temp_init(&t);
	temp_text(&t, "m/config.json", config);
	put_weights(&t, "m/model.safetensors", two_layers);
	temp_write(&t, "m/model.gguf", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
	temp_text(&t, "m/pytorch_model.bin", "who knows");
	look(&s, &t, "m");
	is(&s, "format", "safetensors");
	for (size_t i = 0; i < s.it.facts.n_facts; i++)
		if (!strcmp(s.it.facts.facts[i].key, "formats"))
			snprintf(all + strlen(all), sizeof all - strlen(all), " %s", s.it.facts.facts[i].value);
	assert_string_equal(all, " safetensors gguf pytorch");
	done(&s);
	temp_release(&t);
}

static void no_tensors(void **state)
{
	struct seen s = {0};
	struct temp t;
	(void)state;

	temp_init(&t);
	put_weights(&t, "m/model.safetensors", "");
	look(&s, &t, "m");
	problem(&s, "model.safetensors", "no tensors", "nothing in it");
	done(&s);
	temp_release(&t);
}

/* Names decide what one model is; what its other containers hold is told from their headers. */
static void other_weights(void **state)
{
	struct seen s = {0};
	struct temp t;
	(void)state;

	temp_init(&t);
	temp_text(&t, "same/config.json", "{}");
	put_weights(&t, "same/model.safetensors", "embed 8x6 a.weight 4x6 head 8x6");
	put_weights(&t, "same/pytorch_model.bin", "embed 8x6 b 6x4");	/* tied, renamed, transposed */
	put_weights(&t, "other/w.bin", "z 9x9");
	put_weights(&t, "other/w.safetensors", "a.weight 4x6 b 3x1");
	put_weights(&t, "shapes/w-00001-of-00002.bin", "a 4x6");
	put_weights(&t, "shapes/w-00002-of-00002.bin", "b 7x3");
	put_weights(&t, "shapes/w.safetensors", "c 5x9");
	put_weights(&t, "slices/consolidated.00.pth", "a 4x6");
	put_weights(&t, "slices/consolidated.01.pth", "a 4x6");
	temp_text(&t, "slices/params.json", "{}");
	look(&s, &t, "slices");
	problem(&s, "consolidated.01.pth", "not supported", "only those of consolidated.00.pth are shown");
	done(&s);
	look(&s, &t, "same");
	assert_int_equal(s.it.facts.n_problems, 0);
	done(&s);
	look(&s, &t, "other");
	is(&s, "parameters", "27");
	problem(&s, "w.bin", "other weights", "81 parameters, not those of w.safetensors (27)");
	done(&s);
	look(&s, &t, "shapes");
	is(&s, "parameters", "45");
	problem(&s, "w-00001-of-00002.bin", "other weights", "45 parameters, not those of w.safetensors (45)");
	done(&s);
	temp_release(&t);
}

/* Each component's other containers are held against that component, not against the whole pipeline. */
static void other_containers_of_components(void **state)
{
	struct seen s = {0};
	struct temp t;
	(void)state;

	temp_init(&t);
	temp_text(&t, "p/model_index.json", "{\"_class_name\":\"P\"}");
	put_weights(&t, "p/text_encoder/model.safetensors", "a.weight 2x3");
	put_weights(&t, "p/text_encoder/model.fp16.safetensors", "a.weight 2x3");
	put_weights(&t, "p/unet/diffusion_pytorch_model.safetensors", "b.weight 40x30");
	put_weights(&t, "p/unet/diffusion_pytorch_model.bin", "b.weight 40x30");
	put_weights(&t, "p/vae/diffusion_pytorch_model.safetensors", "c.weight 9x9");
	put_weights(&t, "p/vae/diffusion_pytorch_model.bin", "c.weight 90x9");
	look(&s, &t, "p");
	problem(&s, "vae/diffusion_pytorch_model.bin", "other weights", "810 parameters, not those of vae/");
	assert_int_equal(s.it.facts.n_problems, 1);
	done(&s);
	temp_release(&t);
}

/* What runs when a file is loaded that is not the one that is read: beside it, in a component, in a companion. */
static void hazards_of_the_others(void **state)
{
	static const char *const also[] = {"m/pytorch_model.bin", "m/original/consolidated.00.pth",
	    "m/model.fp16.bin", "p/unet/diffusion_pytorch_model.bin", "p/v1-5-pruned.ckpt"};
	static const char evil[] = "\x80\2cposix\nsystem\n(U\2idtR.";
	struct seen s = {0};
	struct temp t;
	(void)state;

	for (size_t i = 0; i < COUNT(also); i++) {
		char id[2] = {also[i][0]};

		temp_init(&t);
		put_weights(&t, "m/model.safetensors", "a.weight 2x3");
		temp_text(&t, "p/model_index.json", "{\"_class_name\":\"P\"}");
		put_weights(&t, "p/text_encoder/model.safetensors", "a.weight 2x3");
		put_weights(&t, "p/unet/diffusion_pytorch_model.safetensors", "b.weight 4x3");
		temp_text(&t, "m/config.json", "{}");
		look(&s, &t, id);
		is(&s, "loads_code", "no");
		done(&s);
		temp_write(&t, also[i], evil, sizeof evil - 1);
		look(&s, &t, id);
		is(&s, "loads_code", "yes");
		problem(&s, also[i] + 2, "pickle-global", "posix.system");
		assert_string_equal(s.it.weights.hazards[0].file, also[i] + 2);
		done(&s);
		temp_release(&t);
	}
}

/* Without an index their names say how many they are. */
static void missing_shards(void **state)
{
	struct seen s = {0};
	struct temp t;
	(void)state;

	temp_init(&t);
	put_weights(&t, "m/model-00001-of-00003.safetensors", "a 2x3");
	put_weights(&t, "m/model-00003-of-00003.safetensors", "c 2x3");
	put_weights(&t, "all/model-00000-of-00002.safetensors", "a 2x3");
	put_weights(&t, "all/model-00001-of-00002.safetensors", "b 2x3");
	put_weights(&t, "odd/model-00001-of-00002.safetensors", "a 2x3");
	put_weights(&t, "odd/model-00009-of-00002.safetensors", "b 2x3");
	look(&s, &t, "m");
	problem(&s, "model-00002-of-00003.safetensors", "missing", "2 of 3 are there");
	assert_int_equal(s.it.facts.n_problems, 1);
	done(&s);
	look(&s, &t, "all");
	assert_int_equal(s.it.facts.n_problems, 0);
	done(&s);
	look(&s, &t, "odd");
	problem(&s, "model-00002-of-00002.safetensors", "missing", "1 of 2 are there");
	done(&s);
	temp_release(&t);
}

static void copy(const struct temp *t, const char *from, const char *to)
{
	cleanup_io struct io io = IO_INIT;
	cleanup_free char *data = NULL;
	size_t len;

	assert_int_equal(io_open(&io, AT_FDCWD, from, NULL), 0);
	assert_int_equal(io_slurp(&io, 1 << 20, &data, &len, NULL), 0);
	temp_write(t, to, data, len);
}

/* ONNX keeps large tensors in files of their own, found beside it and opened as all files of the lake are. */
static void external_data(void **state)
{
	const char *source = getenv("TARN_SOURCE");
	struct temp t;
	struct seen s = {0};
	char path[4096];

	(void)state;
	if (!source)
		skip();
	temp_init(&t);
	snprintf(path, sizeof path, "%s/tests/core/format/data/archives/external.onnx", source);
	copy(&t, path, "d/m/external.onnx");
	strcat(path, ".data");
	copy(&t, path, "d/m/external.onnx.data");
	look(&s, &t, "d/m");
	is(&s, "format", "onnx");
	assert_true(s.it.open);
	is(&s, "tensors", "2");
	assert_int_equal(s.it.facts.n_problems, 0);
	done(&s);
	snprintf(path, sizeof path, "%s/d/m/external.onnx.data", t.dir);
	unlink(path);
	look(&s, &t, "d/m");
	assert_false(s.it.open);
	problem(&s, "external.onnx", "malformed", "missing");
	done(&s);
	temp_release(&t);
}

static void base_named_without_relation(void **state)
{
	struct temp t;
	struct seen s = {0};

	(void)state;
	temp_init(&t);
	put_weights(&t, "org/m/adapter_model.safetensors",
		    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight 2x6 "
		    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight 6x2");
	temp_text(&t, "org/m/adapter_config.json", "{\"r\":4,\"peft_type\":\"LORA\"}");
	temp_text(&t, "org/m/README.md", "---\nbase_model: a/b\n---\n");
	temp_text(&t, "org/m/config.json", "{\"_name_or_path\":\"org/m\"}");
	look(&s, &t, "org/m");
	assert_int_equal(s.it.facts.n_declared, 1);	/* not the model itself */
	assert_string_equal(s.it.facts.declared[0].relation, "adapter");
	is(&s, "adapter_rank", "2");
	done(&s);
	temp_release(&t);
}

/* Whatever allocation or read fails: an errno or a problem, nothing leaked, nothing crashed. */
static void faults(void **state)
{
	struct temp t;
	struct seen s = {0};
	struct inspect it;

	(void)state;
	temp_init(&t);
	put_weights(&t, "m/model-00001-of-00002.safetensors", "h.0.attn.c_attn.weight 6x18");
	put_weights(&t, "m/model-00002-of-00002.safetensors", "b.weight 2x3");
	temp_text(&t, "m/model.safetensors.index.json",
		  "{\"weight_map\":{\"b.weight\":\"model-00002-of-00002.safetensors\"}}");
	temp_text(&t, "m/config.json", config);
	temp_text(&t, "m/README.md", "---\nlicense: mit\ntags: [a\n---\nhello");
	open_lake(&s, t.dir);
	for (uint64_t n = 1, ok = 0; !ok; n++) {
		struct err e = ERR_INIT;
		int r;

		mem_fail_at(n);
		r = inspect(&s, "m", &it, &e);
		mem_fail_at(0);
		assert_true(!r || r == -ENOMEM);
		ok = !r;
		if (!r)
			inspect_release(&it);
	}
	for (uint64_t n = 1; n < 30; n++) {
		struct err e = ERR_INIT;

		io_fail_at(n);
		assert_int_equal(inspect(&s, "m", &it, &e), 0);
		io_fail_at(0);
		assert_true(it.facts.n_problems > 0);
		inspect_release(&it);
	}
	scan_release(&s.scan);
	lake_close(&s.lake);
	temp_release(&t);
}

/* --- the small lake of the repository --- */

/* The largest relative distance of a's parts from those of b; every part must be in both. */
static double distance(const struct inspect *a, const struct inspect *b)
{
	double worst = 0;

	assert_int_equal(a->canon.n_parts, b->canon.n_parts);
	for (size_t i = 0; i < a->canon.n_parts; i++) {
		const struct part *p = &a->canon.parts[i], *q = NULL;
		double d = 0, norm = 0;
		cleanup_free float *x = mem_array(p->rows, p->cols * sizeof *x),
				   *y = mem_array(p->rows, p->cols * sizeof *y);

		for (size_t k = 0; k < b->canon.n_parts; k++)
			if (!strcmp(b->canon.parts[k].role, p->role) && b->canon.parts[k].layer == p->layer)
				q = &b->canon.parts[k];
		if (!q)
			fail_msg("no %s of layer %d", p->role, p->layer);
		assert_int_equal(p->rows, q->rows);
		assert_int_equal(p->cols, q->cols);
		assert_int_equal(canon_read_rows(&a->weights, p, 0, p->rows, x, NULL), 0);
		assert_int_equal(canon_read_rows(&b->weights, q, 0, q->rows, y, NULL), 0);
		for (uint64_t k = 0; k < p->rows * p->cols; k++) {
			d += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
			norm += (double)x[k] * x[k];
		}
		worst = fmax(worst, sqrt(d / (norm + 1e-30)));
	}
	return worst;
}

static void real_lake(void **state)
{
	const char *source = getenv("TARN_SOURCE");
	struct seen s = {0};
	struct inspect a, b;
	char dir[4096];

	(void)state;
	if (!source)
		skip();
	snprintf(dir, sizeof dir, "%s/tests/data/lake", source);
	open_lake(&s, dir);
	/* a GGUF is its source within the rounding of Q8_0, q and k too, whose rows it stores in another order */
	assert_int_equal(inspect(&s, "corvid-labs/anvil-Q8_0-GGUF", &a, NULL), 0);
	assert_int_equal(inspect(&s, "tiny-stacks/sextant", &b, NULL), 0);
	assert_string_equal(a.canon.family, "gguf");
	assert_string_equal(b.canon.family, "llama");
	assert_string_equal(facts_get(&a.facts, "architecture"), facts_get(&b.facts, "architecture"));
	assert_string_equal(facts_get(&a.facts, "quantization"), "Q8_0");
	assert_string_equal(facts_get(&a.facts, "parameters"), facts_get(&b.facts, "parameters"));
	assert_true(distance(&a, &b) < 0.01);
	inspect_release(&a);
	inspect_release(&b);
	assert_int_equal(inspect(&s, "inkwell/fashion-cnn-v4-fp16", &a, NULL), 0);
	assert_int_equal(inspect(&s, "mirelle/fashion-cnn-v4", &b, NULL), 0);
	assert_true(distance(&a, &b) < 0.001);
	inspect_release(&a);
	inspect_release(&b);
	assert_int_equal(inspect(&s, "mlbench-eu/plover-cut", &s.it, NULL), 0);
	problem(&s, "model.safetensors", "truncated", "the file has");
	done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(broken_documents),
		cmocka_unit_test(broken_weights),
		cmocka_unit_test(blocks),
		cmocka_unit_test(code), cmocka_unit_test(code_among_many),
		cmocka_unit_test(flax_shards),
		cmocka_unit_test(shards),
		cmocka_unit_test(pipeline),
		cmocka_unit_test(odd_files),
		cmocka_unit_test(containers), cmocka_unit_test(other_weights), cmocka_unit_test(no_tensors),
		cmocka_unit_test(other_containers_of_components), cmocka_unit_test(hazards_of_the_others),
		cmocka_unit_test(missing_shards),
		cmocka_unit_test(external_data),
		cmocka_unit_test(base_named_without_relation),
		cmocka_unit_test(faults),
		cmocka_unit_test(real_lake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
