/* Every layout that people have: which models there are, what they are called, and which of their files are read. */
#include "temp_lake.h"

/* Scan `t` with and without stat, with one thread and four: always the same models. *s is the full scan. */
static void scan_all_ways(struct scan *s, const struct temp *t, const char *ids)
{
	struct lake l;
	temp_open(&l, t, "");
	for (unsigned way = 0; way < 4; way++) {
		struct scan other;
		temp_scan(&other, &l, way & 1 ? SCAN_NAMES_ONLY : 0, way & 2 ? 4 : 1);
		assert_text(temp_ids(&other), ids);
		scan_release(&other);
	}
	temp_scan(s, &l, 0, 2);
	lake_close(&l);
}

struct layout_case {
	struct temp t;
	struct scan s;
};

static struct layout_case begin(void)
{
	struct layout_case c = {0};
	temp_init(&c.t);
	return c;
}

static void end(struct layout_case *c)
{
	scan_release(&c->s);
	temp_release(&c->t);
}

static void repository(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"org/name/config.json org/name/model.safetensors org/name/pytorch_model.bin org/name/README.md "
		"org/name/tokenizer.json org/name/generation_config.json org/name/model.fp16.safetensors "
		"org/name/onnx/model.onnx org/name/assets/logo.txt org/name/all_results.json org/name/original/consolidated.00.pth");
	scan_all_ways(&c.s, &c.t, "org/name");
	assert_text(
		temp_model(&c.s, "org/name"),
		"D:README.md R:all_results.json O:assets/logo.txt C:config.json C:generation_config.json A:model.fp16.safetensors "
		"W:model.safetensors A:onnx/model.onnx A:original/consolidated.00.pth A:pytorch_model.bin T:tokenizer.json");
	assert_string_equal(c.s.models[0].layout, "directory");
	assert_string_equal(c.s.models[0].dir, "org/name");
	assert_string_equal(c.s.models[0].files[5].path, "org/name/model.fp16.safetensors");
	assert_int_equal(c.s.models[0].files[6].id.size, 10);
	end(&c);
}

static void shards(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"a/config.json a/model-00001-of-00002.safetensors a/model-00002-of-00002.safetensors a/model.safetensors.index.json "
		"a/pytorch_model-00001-of-00002.bin a/pytorch_model-00002-of-00002.bin "
		"b/x-00001-of-00002.gguf b/x-00002-of-00002.gguf "
		"c/x-00001-of-00002.safetensors c/x-00002-of-00002.safetensors c/y-00001-of-00002.safetensors c/y-00002-of-00002.safetensors");
	scan_all_ways(&c.s, &c.t, "a b c/x c/y");
	assert_text(
		temp_model(&c.s, "a"),
		"C:config.json W:model-00001-of-00002.safetensors W:model-00002-of-00002.safetensors "
		"I:model.safetensors.index.json A:pytorch_model-00001-of-00002.bin A:pytorch_model-00002-of-00002.bin");
	assert_text(temp_model(&c.s, "b"), "W:x-00001-of-00002.gguf W:x-00002-of-00002.gguf");
	assert_text(temp_model(&c.s, "c/y"), "W:y-00001-of-00002.safetensors W:y-00002-of-00002.safetensors");
	end(&c);
}

static void single_files(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"one/anything.safetensors two/a.safetensors two/b.gguf two/a.json two/README.md "
		"clash/a.safetensors clash/a.gguf clash/b.pt clash/b/model.safetensors same/model.safetensors same/model.onnx "
		"stray/x.pth stray/below/model.safetensors");
	scan_all_ways(&c.s, &c.t,
		      "clash/a.gguf clash/a.safetensors clash/b clash/b.pt one same stray/below stray/x two/a two/b");
	assert_text(temp_model(&c.s, "two/a"), "O:a.json W:a.safetensors");
	assert_text(temp_model(&c.s, "same"), "A:model.onnx W:model.safetensors");
	assert_true(c.s.models[0].single);
	assert_false(c.s.models[2].single);
	end(&c);
}

static void the_lake_is_a_model(void **state)
{
	struct layout_case c = begin();
	char ids[200];
	(void)state;
	temp_files(&c.t, "config.json model.safetensors checkpoint-1/model.safetensors");
	snprintf(ids, sizeof ids, "%s %s/checkpoint-1", strrchr(c.t.dir, '/') + 1, strrchr(c.t.dir, '/') + 1);
	scan_all_ways(&c.s, &c.t, ids);
	assert_string_equal(c.s.models[0].dir, "");
	assert_string_equal(c.s.models[0].files[0].name, "config.json");
	end(&c);
	c = begin();	/* a file or a config that lie about are not */
	temp_files(&c.t, "config.json org/name/model.safetensors");
	scan_all_ways(&c.s, &c.t, "org/name");
	end(&c);
	c = begin();
	temp_files(&c.t, "stray.gguf org/name/model.safetensors");
	scan_all_ways(&c.s, &c.t, "org/name stray");
	end(&c);
}

static void quantisations(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"org/G/config.json org/G/README.md org/G/m.Q4_K_M.gguf org/G/m.Q8_0.gguf org/G/mmproj-m.gguf org/G/m.imatrix.gguf "
		"org/one/m.Q4_0.gguf org/one/mmproj-m-f16.gguf org/one/README.md "
		"org/both/config.json org/both/model.safetensors org/both/q4.gguf org/both/q8.gguf");
	scan_all_ways(&c.s, &c.t,
		      "org/G/m.Q4_K_M org/G/m.Q8_0 org/G/mmproj-m org/both org/both/q4 org/both/q8 org/one");
	assert_text(temp_model(&c.s, "org/G/m.Q8_0"), "D:README.md C:config.json W:m.Q8_0.gguf");
	assert_text(temp_model(&c.s, "org/one"), "D:README.md W:m.Q4_0.gguf O:mmproj-m-f16.gguf");
	end(&c);
}

/* DeBERTa's, Marian's and Whisper's tokenizers, and the processors of video: an export is no repository without them. */
static void tokenizers(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t, "d/config.json d/model.safetensors d/spm.model m/config.json m/model.safetensors m/source.spm "
			 "m/target.spm m/vocab.json w/config.json w/model.safetensors w/normalizer.json "
			 "w/video_preprocessor_config.json");
	scan_all_ways(&c.s, &c.t, "d m w");
	assert_text(temp_model(&c.s, "d"), "C:config.json W:model.safetensors T:spm.model");
	assert_text(temp_model(&c.s, "m"), "C:config.json W:model.safetensors T:source.spm T:target.spm T:vocab.json");
	assert_text(temp_model(&c.s, "w"),
		    "C:config.json W:model.safetensors T:normalizer.json C:video_preprocessor_config.json");
	end(&c);
}

static void adapters(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t,
		   "lora/adapter_config.json lora/adapter_model.safetensors lora/adapter_model.bin lora/README.md "
		   "mlx/adapter_config.json mlx/adapters.safetensors mlx/0000100_adapters.safetensors "
		   "kohya/some_lora.safetensors");
	scan_all_ways(&c.s, &c.t, "kohya lora mlx mlx/0000100_adapters");
	assert_text(temp_model(&c.s, "lora"),
		    "D:README.md C:adapter_config.json A:adapter_model.bin W:adapter_model.safetensors");
	assert_string_equal(c.s.models[1].layout, "peft");
	end(&c);
}

static void hub_cache(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"hub/models--org--the--name/blobs/1 hub/models--org--the--name/blobs/9.incomplete hub/datasets--x--y/snapshots/r/d.safetensors "
		"hub/.locks/l.safetensors hub/models--gpt2/blobs/1 hub/models--o--quants/blobs/1 hub/models--o--unfinished/blobs/c.json");
	temp_text(&c.t, "hub/models--org--the--name/refs/main", "abc\n");
	for (unsigned i = 0; i < 2; i++) {
		char path[100];
		snprintf(path, sizeof path, "hub/models--org--the--name/snapshots/%s/model.safetensors",
			 i ? "def" : "abc");
		temp_link(&c.t, "../../blobs/1", path);
	}
	char newest[PATH_MAX];	/* is not refs/main */
	temp_path(&c.t, "hub/models--org--the--name/snapshots/def", newest);
	assert_int_equal(utimensat(AT_FDCWD, newest,
				   (struct timespec[2]){{.tv_sec = 4000000000}, {.tv_sec = 4000000000}}, 0),
			 0);
	temp_link(&c.t, "../../blobs/1", "hub/models--gpt2/snapshots/r/model.safetensors");
	temp_link(&c.t, "../../blobs/1", "hub/models--o--quants/snapshots/r/a-Q4.gguf");
	temp_link(&c.t, "../../blobs/1", "hub/models--o--quants/snapshots/r/a-Q8.gguf");
	temp_link(&c.t, "../../../blobs/1", "hub/models--o--quants/snapshots/r/sub/model.gguf");
	temp_link(&c.t, "../../blobs/c.json", "hub/models--o--unfinished/snapshots/r/config.json");
	scan_all_ways(&c.s, &c.t, "gpt2 o/quants/a-Q4 o/quants/a-Q8 o/quants/sub org/the--name org/the--name@def");
	assert_string_equal(c.s.models[4].revision, "abc");
	assert_string_equal(c.s.models[3].revision, "r");
	assert_string_equal(c.s.models[4].layout, "hub-cache");
	assert_string_equal(c.s.models[4].dir, "hub/models--org--the--name/snapshots/abc");
	assert_int_equal(c.s.models[4].files[0].id.size, 10);
	assert_text(temp_unread(&c.s), "hub/models--o--unfinished/snapshots/r: a config without weights\n"
		    "hub/models--org--the--name/blobs/9.incomplete: an unfinished download\n");
	end(&c);
}

/* Ids that would lead out of models/ are not made: such directories are ordinary ones. */
static void hub_dots(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t, "models--..--../snapshots/r/model.safetensors models--..--x/snapshots/r/model.safetensors "
			 "models--x--./snapshots/r/model.safetensors models--../snapshots/r/model.safetensors "
			 "models--...--x/snapshots/r/model.safetensors");
	scan_all_ways(&c.s, &c.t, ".../x models--../snapshots/r models--..--../snapshots/r models--..--x/snapshots/r "
				  "models--x--./snapshots/r");
	end(&c);
}

static void hub_without_refs(void **state)
{
	struct layout_case c = begin();
	char full[PATH_MAX];
	(void)state;
	temp_files(&c.t, "models--o--n/snapshots/a/model.safetensors models--o--n/snapshots/b/model.safetensors "
			 "models--o--n/snapshots/c/model.safetensors");
	for (unsigned i = 0; i < 3; i++) {
		temp_path(&c.t,
			  (const char *[]){"models--o--n/snapshots/a", "models--o--n/snapshots/b",
					   "models--o--n/snapshots/c"}[i],
			  full);
		struct timespec t[2] = {{.tv_sec = i == 1 ? 2000 : 1000}, {.tv_sec = i == 1 ? 2000 : 1000}};
		assert_int_equal(utimensat(AT_FDCWD, full, t, 0), 0);
	}
	scan_all_ways(&c.s, &c.t, "o/n o/n@a o/n@c");
	assert_string_equal(c.s.models[0].revision, "b");
	end(&c);
}

static void hub_contained_and_broken(void **state)
{
	struct layout_case c = begin();
	struct lake l;
	(void)state;
	temp_files(&c.t, "lake/models--a--b/blobs/1 secret.safetensors");
	temp_link(&c.t, "../../blobs/1", "lake/models--a--b/snapshots/r/model.safetensors");
	temp_link(&c.t, "../../blobs/gone", "lake/models--a--b/snapshots/r/config.json");
	temp_link(&c.t, "../../../../secret.safetensors", "lake/models--a--evil/snapshots/r/model.safetensors");
	temp_open(&l, &c.t, "lake");
	l.contain = true;
	temp_scan(&c.s, &l, 0, 2);
	assert_text(temp_ids(&c.s), "a/b");
	assert_text(temp_model(&c.s, "a/b"), "O:config.json! W:model.safetensors");
	assert_text(
		temp_unread(&c.s),
		"models--a--b/snapshots/r/config.json: a dangling link\n"
		"models--a--evil/snapshots/r/model.safetensors: a link out of the lake, to where no 'allow=' permits\n");
	lake_close(&l);
	end(&c);
}

static void diffusers(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t,
		   "sd/model_index.json sd/README.md sd/unet/config.json sd/unet/diffusion_pytorch_model.safetensors "
		   "sd/unet/diffusion_pytorch_model.bin sd/vae/config.json sd/vae/diffusion_pytorch_model.safetensors "
		   "sd/text_encoder/config.json sd/text_encoder/model.safetensors sd/tokenizer/vocab.json "
		   "sd/scheduler/scheduler_config.json sd/v1-pruned.safetensors sd/checkpoint-5/unet/config.json "
		   "sd/checkpoint-5/unet/diffusion_pytorch_model.safetensors");
	scan_all_ways(&c.s, &c.t, "sd sd/checkpoint-5/unet");
	assert_text(
		temp_model(&c.s, "sd"),
		"D:README.md C:model_index.json C:scheduler/scheduler_config.json C:text_encoder/config.json "
		"W:text_encoder/model.safetensors T:tokenizer/vocab.json C:unet/config.json A:unet/diffusion_pytorch_model.bin "
		"W:unet/diffusion_pytorch_model.safetensors A:v1-pruned.safetensors C:vae/config.json W:vae/diffusion_pytorch_model.safetensors");
	assert_string_equal(c.s.models[0].layout, "diffusers");
	end(&c);
}

static void sentence_transformers(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"new/modules.json new/config.json new/model.safetensors new/1_Pooling/config.json new/2_Dense/config.json "
		"new/2_Dense/model.safetensors new/onnx/model.onnx "
		"old/modules.json old/0_Transformer/config.json old/0_Transformer/pytorch_model.bin old/1_Pooling/config.json");
	scan_all_ways(&c.s, &c.t, "new old");
	assert_text(temp_model(&c.s, "new"),
		    "C:1_Pooling/config.json C:2_Dense/config.json W:2_Dense/model.safetensors C:config.json "
		    "W:model.safetensors C:modules.json A:onnx/model.onnx");
	assert_text(
		temp_model(&c.s, "old"),
		"C:0_Transformer/config.json W:0_Transformer/pytorch_model.bin C:1_Pooling/config.json C:modules.json");
	end(&c);
}

static void only_onnx(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t, "b/config.json b/onnx/model.onnx b/onnx/model_q4.onnx b/onnx/model.onnx_data");
	scan_all_ways(&c.s, &c.t, "b");
	assert_text(temp_model(&c.s, "b"),
		    "C:config.json W:onnx/model.onnx O:onnx/model.onnx_data A:onnx/model_q4.onnx");
	end(&c);
}

static const char digit[] = "0123456789abcdef";

/* "sha256<sep>" and 64 times the digit */
static void digest(char out[80], char sep, unsigned d)
{
	memcpy(out, "sha256", 6);
	out[6] = sep;
	memset(out + 7, digit[d], 64);
	out[71] = 0;
}

static void manifest(const struct temp *t, const char *tag, unsigned model, unsigned license)
{
	struct buf b = {0};
	char path[PATH_MAX], d[80];
	digest(d, ':', model);
	buf_printf(
		&b,
		"{\"schemaVersion\":2,\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"%s\",\"size\":24}",
		d);
	digest(d, ':', license);
	for (unsigned i = 0; i < 2; i++)
		buf_printf(&b, ",{\"mediaType\":\"application/vnd.ollama.image.license\",\"digest\":\"%s\"}", d);
	buf_str(&b, "]}");
	snprintf(path, sizeof path, "ollama/models/manifests/%s", tag);
	temp_text(t, path, b.data);
	buf_release(&b);
}

static void ollama(void **state)
{
	struct layout_case c = begin();
	char path[PATH_MAX], d[80];
	(void)state;
	for (unsigned i = 1; i < 5; i++) {
		digest(d, '-', i);
		snprintf(path, sizeof path, "ollama/models/blobs/%s%s", d, i == 4 ? "-partial" : "");
		temp_file(&c.t, path);
	}
	manifest(&c.t, "registry.ollama.ai/library/llama3/8b", 1, 2);
	manifest(&c.t, "registry.ollama.ai/mannix/Foo/latest", 1, 2);
	manifest(&c.t, "hf.co/bart/Bar-GGUF/Q4_K_M", 1, 2);
	manifest(&c.t, "registry.ollama.ai/library/gone/latest", 9, 2);
	temp_text(&c.t, "ollama/models/manifests/registry.ollama.ai/library/junk/latest", "{");
	temp_text(&c.t, "ollama/models/manifests/registry.ollama.ai/library/empty/latest", "{\"layers\":[]}");
	temp_text(
		&c.t, "ollama/models/manifests/registry.ollama.ai/library/evil/latest",
		"{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:../../../../etc/passwd\"}]}");
	struct lake l;
	temp_open(&l, &c.t, "");
	temp_scan(&c.s, &l, 0, 2);
	assert_text(temp_ids(&c.s), "hf.co/bart/Bar-GGUF:Q4_K_M library/llama3:8b mannix/Foo:latest");
	assert_text(temp_model(&c.s, "library/llama3:8b"), "O:LICENSE O:LICENSE.2 O:manifest.json W:model.gguf");
	digest(d, '-', 1);
	snprintf(path, sizeof path, "ollama/models/blobs/%s", d);
	assert_string_equal(c.s.models[1].files[3].path, path);
	assert_string_equal(c.s.models[1].layout, "ollama");
	char *rows = temp_unread(&c.s);
	assert_non_null(strstr(rows, "-partial: an unfinished download\n"));
	assert_non_null(strstr(rows, "3333: a blob that no manifest names\n"));
	assert_non_null(strstr(rows, "9999: a blob that a manifest names and that is not there\n"));
	assert_non_null(strstr(rows, "junk/latest: a manifest that cannot be read\n"));
	assert_non_null(strstr(rows, "empty/latest: a manifest without a model in GGUF\n"));
	assert_non_null(strstr(rows, "evil/latest: a manifest with a digest that is no SHA-256\n"));
	free(rows);
	lake_close(&l);
	end(&c);
}

static void image_tools(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"ComfyUI/models/checkpoints/sd15.safetensors ComfyUI/models/loras/a.safetensors ComfyUI/models/loras/a.json "
		"ComfyUI/models/loras/b.safetensors ComfyUI/models/vae/vae-ft.safetensors "
		"webui/models/Stable-diffusion/x.ckpt webui/models/Stable-diffusion/x.txt lm-studio/org/repo/m-Q4_0.gguf");
	scan_all_ways(
		&c.s, &c.t,
		"ComfyUI/models/checkpoints/sd15 ComfyUI/models/loras/a ComfyUI/models/loras/b ComfyUI/models/vae/vae-ft "
		"lm-studio/org/repo webui/models/Stable-diffusion/x");
	assert_text(temp_model(&c.s, "ComfyUI/models/loras/a"), "O:a.json W:a.safetensors");
	end(&c);
}

static void training_run(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(
		&c.t,
		"run/config.json run/model.safetensors run/training_args.bin run/checkpoint-100/config.json "
		"run/checkpoint-100/model.safetensors run/checkpoint-100/optimizer.pt run/checkpoint-100/scheduler.pt "
		"run/checkpoint-100/scaler.pt run/checkpoint-100/rng_state_0.pth run/checkpoint-100/trainer_state.json "
		"run/checkpoint-100/sampler.bin run/checkpoint-100/sampler_1.bin run/checkpoint-100/custom_checkpoint_0.pkl "
		"run/checkpoint-100/recipe_state.pt "
		"run/checkpoint-100/global_step100/mp_rank_00_model_states.pt "
		"run/checkpoint-100/global_step100/zero_pp_rank_0_mp_rank_00_optim_states.pt run/runs/events.out.tfevents.1");
	temp_link(&c.t, "checkpoint-100", "run/latest");
	scan_all_ways(&c.s, &c.t, "run run/checkpoint-100");
	assert_text(temp_model(&c.s, "run"),
		    "C:config.json W:model.safetensors O:runs/events.out.tfevents.1 O:training_args.bin");
	static const char at[] = "run/checkpoint-100/";
	char *rows = temp_unread(&c.s);
	assert_non_null(strstr(rows, "optimizer.pt: an optimizer's state\n"));
	assert_non_null(strstr(rows, "scheduler.pt: a learning-rate scheduler's state\n"));
	assert_non_null(strstr(rows, "rng_state_0.pth: a random generator's state\n"));
	assert_non_null(strstr(rows, "/sampler.bin: a data loader's state\n"));
	assert_non_null(strstr(rows, "/sampler_1.bin: a data loader's state\n"));
	assert_non_null(strstr(rows, "custom_checkpoint_0.pkl: a trainer's state\n"));
	assert_non_null(strstr(rows, "recipe_state.pt: a trainer's state\n"));
	assert_non_null(strstr(rows, "mp_rank_00_model_states.pt: a DeepSpeed shard"));
	assert_non_null(strstr(rows, "optim_states.pt: a DeepSpeed shard"));
	assert_non_null(strstr(rows, "run/latest: the same files as run/checkpoint-100\n"));
	assert_int_equal(strncmp(rows, at, strlen(at)), 0);
	free(rows);
	end(&c);
}

static void opaque(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t,
		   "orbax/_CHECKPOINT_METADATA orbax/d/abc orbax/default/model.safetensors dcp/__0_0.distcp "
		   "meg/iter_1/mp_rank_00/model_optim_rng.pt tf/saved_model.pb tf/variables/variables.index a/x.tflite "
		   "ck/model.ckpt.data-00000-of-00001 ck/model.ckpt.index a/x.pte");
	scan_all_ways(&c.s, &c.t, "");
	assert_text(temp_unread(&c.s), "a/x.pte: ExecuTorch is not read\na/x.tflite: TensorFlow Lite is not read\n"
		    "ck/model.ckpt.data-00000-of-00001: a TensorFlow checkpoint is not read\n"
		    "dcp/__0_0.distcp: a shard of a PyTorch distributed checkpoint (DCP)\n"
		    "meg/iter_1/mp_rank_00/model_optim_rng.pt: a Megatron shard\n"
		    "orbax: an Orbax checkpoint (TensorStore) is not read\ntf: a TensorFlow SavedModel is not read\n");
	for (size_t i = 0; i < c.s.n_unread; i++)
		if (strcmp(c.s.unread[i].path, "orbax") == 0)
			assert_int_equal(c.s.unread[i].bytes, 30);
	end(&c);
}

static void without_weights(void **state)
{
	struct layout_case c = begin();
	(void)state;
	temp_files(&c.t, "gone/config.json gone/model.safetensors.index.json gone/README.md lora/adapter_config.json "
			 "pipe/model_index.json pipe/unet/config.json run/config.json "
			 "run/checkpoint-1/model.safetensors notes/README.md tok/tokenizer.json");
	scan_all_ways(&c.s, &c.t, "run/checkpoint-1");
	assert_text(temp_unread(&c.s), "gone: a config without weights\nlora: a config without weights\n"
		    "pipe: a config without weights\n");
	end(&c);
}

static void many(void **state)
{
	struct layout_case c = begin();
	char path[64];
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(path, sizeof path, "data/%03u.npy", i);
		temp_file(&c.t, path);
		snprintf(path, sizeof path, "few/%03u.npz", i);
		if (i < 2)
			temp_file(&c.t, path);
	}
	temp_files(&c.t, "ov/config.json ov/openvino/openvino_model.bin");
	scan_all_ways(&c.s, &c.t, "few/000 few/001");
	assert_text(temp_unread(&c.s), "data: a folder of very many NumPy arrays: taken for data\n"
		    "ov/openvino/openvino_model.bin: OpenVINO is not read\n");
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repository),
		cmocka_unit_test(shards),
		cmocka_unit_test(single_files),
		cmocka_unit_test(the_lake_is_a_model),
		cmocka_unit_test(quantisations),
		cmocka_unit_test(tokenizers),
		cmocka_unit_test(adapters),
		cmocka_unit_test(hub_cache),
		cmocka_unit_test(hub_dots), cmocka_unit_test(hub_without_refs),
		cmocka_unit_test(hub_contained_and_broken),
		cmocka_unit_test(diffusers),
		cmocka_unit_test(sentence_transformers),
		cmocka_unit_test(only_onnx),
		cmocka_unit_test(ollama),
		cmocka_unit_test(image_tools),
		cmocka_unit_test(training_run),
		cmocka_unit_test(opaque),
		cmocka_unit_test(many),
		cmocka_unit_test(without_weights),
	};
	return cmocka_run_group_tests_name("layouts", tests, NULL, NULL);
}
