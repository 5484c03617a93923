/*
 * The tables of names: extensions of weights, usual stems, what training leaves behind, configs, cards and
 * tokenizers.
 */
#include "core/lake/names.h"

#include <string.h>
#include <strings.h>

/* Containers, best first: where several hold the same weights the first is read. */
static const struct extension {
	const char *ext;
	uint8_t rank;
	bool weak, unsure;
} extensions[] = {
	{"safetensors", 0}, {"bin", 1, .unsure = true}, {"pt", 1}, {"pth", 1}, {"ckpt", 1}, {"th", 1}, {"pt2", 1},
	{"gguf", 2}, {"ggml", 2}, {"h5", 3}, {"hdf5", 3}, {"keras", 3}, {"msgpack", 4}, {"npz", 5}, {"onnx", 6},
	{"jit", 7}, {"torchscript", 7}, {"weights", 7, .unsure = true} /* Darknet's too */, {"npy", 8, .weak = true},
	{"pkl", 9, .weak = true}, {"pickle", 9, .weak = true},
};

/* Known containers of weights that tarn does not read. */
static const struct { const char *ext, *reason; } unread_extensions[] = {
	{"distcp", "a shard of a PyTorch distributed checkpoint (DCP)"},
	{"incomplete", "an unfinished download"}, {"part", "an unfinished download"},
	{"crdownload", "an unfinished download"}, {"aria2", "an unfinished download"},
	{"tflite", "TensorFlow Lite is not read"}, {"pb", "TensorFlow graphs are not read"},
	{"mlmodel", "Core ML is not read"}, {"ot", "rust-bert's container is not read"},
	{"engine", "a TensorRT engine is not read"}, {"plan", "a TensorRT engine is not read"},
	{"trt", "a TensorRT engine is not read"}, {"pdparams", "PaddlePaddle is not read"},
	{"pdiparams", "PaddlePaddle is not read"}, {"caffemodel", "Caffe is not read"},
	{"params", "MXNet is not read"}, {"nemo", "a NeMo archive is not unpacked"},
	{"mar", "a TorchServe archive is not unpacked"}, {"t7", "Lua Torch is not read"},
	{"joblib", "joblib's pickles are not read"}, {"litertlm", "LiteRT-LM is not read"}, {"mnn", "MNN is not read"},
	{"rknn", "RKNN is not read"}, {"pte", "ExecuTorch is not read"}, {"dlc", "Qualcomm's DLC is not read"},
	{"ftz", "fastText is not read"}, {"dduf", "a DDUF archive is not unpacked"},
	{"llamafile", "a llamafile is a program: its GGUF is not unpacked"}, {"zip", NULL}, {"tar", NULL},
	{"tgz", "an archive is not unpacked"}, {"7z", "an archive is not unpacked"},
	{"rar", "an archive is not unpacked"},
};

/* Extensions that explain a file well enough not to look at its content. */
static const char plain_extensions[] =
	" json jsonl json5 yaml yml toml txt md rst html htm css js ts py ipynb sh c h cc cpp cu cuh hpp rs"
	" go java lua r m tex bib csv tsv parquet arrow feather lmdb mdb db sqlite png jpg jpeg gif webp bmp"
	" svg pdf ico tif tiff wav mp3 flac ogg mp4 avi mov webm mkv log out err cfg ini conf lock model"
	" tiktoken jinja spm vocab bpe info pyc so o a whl gz bz2 xz zst lz4 xml proto pbtxt meta"
	" index onnx_data data metadata tfevents sha256 md5 asc sig license srt vtt doc docx ppt pptx xls"
	" xlsx ttf otf mid npmrc gitignore gitattributes gitkeep mlpackage map example sample template bak"
	" swp orig patch diff scm el pl rb php sql bat ps1 cmd ";

enum { USUAL_ADAPTERS = 3 };	/* three from there on are adapters' */

/* The usual names of a model's weights. The first that a directory has is the one that loaders take. */
static const char *const usual[] = {
	"model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "adapters", "pytorch_lora_weights",
	"weights", "open_clip_model", "open_clip_pytorch_model", "tf_model", "flax_model",
	"diffusion_flax_model", "rust_model", "consolidated",
};

static const struct { const char *name; enum scan_kind kind; } documents[] = {
	{"config.json", SCAN_CONFIG}, {"generation_config.json", SCAN_CONFIG},
	{"adapter_config.json", SCAN_CONFIG}, {"model_index.json", SCAN_CONFIG}, {"params.json", SCAN_CONFIG},
	{"preprocessor_config.json", SCAN_CONFIG}, {"processor_config.json", SCAN_CONFIG},
	{"scheduler_config.json", SCAN_CONFIG}, {"modules.json", SCAN_CONFIG},
	{"config_sentence_transformers.json", SCAN_CONFIG}, {"sentence_bert_config.json", SCAN_CONFIG},
	{"open_clip_config.json", SCAN_CONFIG}, {"quantize_config.json", SCAN_CONFIG},
	{"quant_config.json", SCAN_CONFIG}, {"quantization_config.json", SCAN_CONFIG},
	{"mlx_config.json", SCAN_CONFIG}, {"mergekit_config.yml", SCAN_CONFIG}, {"readme.md", SCAN_CARD},
	{"readme", SCAN_CARD}, {"readme.txt", SCAN_CARD}, {"model_card.md", SCAN_CARD},
	{"modelcard.md", SCAN_CARD}, {"tokenizer.json", SCAN_TOKENIZER},
	{"tokenizer_config.json", SCAN_TOKENIZER}, {"tokenizer.model", SCAN_TOKENIZER},
	{"special_tokens_map.json", SCAN_TOKENIZER}, {"added_tokens.json", SCAN_TOKENIZER},
	{"vocab.json", SCAN_TOKENIZER}, {"vocab.txt", SCAN_TOKENIZER}, {"merges.txt", SCAN_TOKENIZER},
	{"spiece.model", SCAN_TOKENIZER}, {"sentencepiece.bpe.model", SCAN_TOKENIZER},
	{"sentencepiece.model", SCAN_TOKENIZER}, {"tekken.json", SCAN_TOKENIZER},
	{"chat_template.jinja", SCAN_TOKENIZER}, {"chat_template.json", SCAN_TOKENIZER},
	{"bpe.codes", SCAN_TOKENIZER}, {"spm.model", SCAN_TOKENIZER}, {"spm_char.model", SCAN_TOKENIZER},
	{"ice_text.model", SCAN_TOKENIZER}, {"prophetnet.tokenizer", SCAN_TOKENIZER},
	{"vocab-src.json", SCAN_TOKENIZER}, {"vocab-tgt.json", SCAN_TOKENIZER}, {"entity_vocab.json", SCAN_TOKENIZER},
	{"emoji.json", SCAN_TOKENIZER}, {"normalizer.json", SCAN_TOKENIZER},
	{"video_preprocessor_config.json", SCAN_CONFIG},
	{"trainer_state.json", SCAN_RESULTS}, {"all_results.json", SCAN_RESULTS},
	{"eval_results.json", SCAN_RESULTS}, {"train_results.json", SCAN_RESULTS},
	{"test_results.json", SCAN_RESULTS}, {"predict_results.json", SCAN_RESULTS},
	{"results.json", SCAN_RESULTS}, {"metrics.json", SCAN_RESULTS}, {"eval.json", SCAN_RESULTS},
};

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *s, size_t n, const char *suffix)
{
	size_t m = strlen(suffix);
	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool name_is_number(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return n > 0;
}

/* "model-00001-of-00003": 3, and the length without the suffix. */
static uint32_t shard_of(const char *s, size_t *n)
{
	size_t i = *n, digits;
	for (digits = 0; i && s[i - 1] >= '0' && s[i - 1] <= '9'; digits++)
		i--;
	if (digits < 3 || digits > 6 || i < 8 || memcmp(s + i - 4, "-of-", 4) != 0)
		return 0;
	uint32_t of = (uint32_t)strtoul(s + i, NULL, 10);
	size_t k = i - 4;
	for (digits = 0; k && s[k - 1] >= '0' && s[k - 1] <= '9'; digits++)
		k--;
	if (digits < 3 || digits > 6 || k < 2 || (s[k - 1] != '-' && s[k - 1] != '_') || !of)
		return 0;
	*n = k - 1;
	return of;
}

/* What trainers leave beside the weights. */
static const char *leftover(const char *s, size_t stem, const char *ext)
{
	static const char optimizer[] = "an optimizer's state";
	static const char deepspeed[] = "a DeepSpeed shard: convert it with zero_to_fp32.py";
	if (begins(s, "zero_pp_rank_") || begins(s, "bf16_zero_pp_rank_") || begins(s, "fp16_zero_pp_rank_") ||
	    (begins(s, "mp_rank_") && strcmp(ext, "pt") == 0) ||
	    (begins(s, "layer_") && ends(s, stem, "-model_states")))
		return deepspeed;
	if (begins(s, "model_optim_rng.") || begins(s, "distrib_optim.") || begins(s, "model_rng."))
		return "a Megatron shard";
	if (begins(s, "optimizer") || ends(s, stem, "_optimizer") || ends(s, stem, "-optimizer") ||
	    ends(s, stem, "optim_states") || ends(s, stem, "_optim") || (stem == 5 && begins(s, "optim")) ||
	    (stem == 9 && begins(s, "opt_state")))
		return optimizer;
	if (begins(s, "scheduler.") || begins(s, "scheduler_") || ends(s, stem, "lr_scheduler"))
		return "a learning-rate scheduler's state";
	if (begins(s, "rng_state") || begins(s, "random_states"))
		return "a random generator's state";
	if (begins(s, "sampler.bin") || begins(s, "sampler_") || begins(s, "dl_state_dict"))
		return "a data loader's state";
	if (begins(s, "custom_checkpoint_") || begins(s, "recipe_state.") || begins(s, "scaler.") || begins(s, "training_args.") || begins(s, "trainer_state.") ||
	    begins(s, "training_state."))
		return "a trainer's state";
	if (begins(s, "openvino_") && strcmp(ext, "bin") == 0)
		return "OpenVINO is not read";
	return NULL;
}

static void usual_stem(struct name *n, const char *s, size_t stem)
{
	n->usual = -1;
	for (size_t i = 0; i < COUNT(usual); i++) {
		size_t len = strlen(usual[i]);
		if (stem < len || memcmp(s, usual[i], len) != 0 || (stem > len && s[len] != '.'))
			continue;
		n->usual = (int8_t)i;
		n->variant = stem > len;
		return;
	}
}

static void weights_name(struct name *n, const char *s, size_t stem, const struct extension *x)
{
	n->ext = x->ext;
	n->unread = leftover(s, stem, x->ext);
	if (n->unread || strstr(s, "imatrix"))
		return;
	n->kind = SCAN_WEIGHTS;
	n->rank = x->rank;
	n->weak = x->weak;
	n->of = shard_of(s, &stem);
	n->stem = (uint8_t)stem;
	usual_stem(n, s, stem);
	n->unsure = x->unsure && n->usual < 0;
	n->step = ends(s, stem, "_adapters") && name_is_number(s, stem - 9);
	n->projector = x->rank == 2 && (begins(s, "mmproj") || strstr(s, "-mmproj"));
}

static void document_name(struct name *n, const char *s, size_t len)
{
	for (size_t i = 0; i < COUNT(documents); i++)
		if (strcasecmp(s, documents[i].name) == 0) {
			n->kind = documents[i].kind;
			return;
		}
	if (ends(s, len, ".index.json"))
		n->kind = SCAN_INDEX;
	else if (ends(s, len, ".tiktoken") || ends(s, len, ".spm"))
		n->kind = SCAN_TOKENIZER;
	else if (ends(s, len, ".json") && (begins(s, "results_") || ends(s, len, "_results.json")))
		n->kind = SCAN_RESULTS;
}

/* "model.pt.gz", "weights.tar.zst": of other compressed files nobody expects a model. */
static bool is_packed(const char *s, const char *ext)
{
	static const char *const packed[] = {"gz", "bz2", "xz", "zst", "lz4"};
	const char *dot = ext - 1;
	bool known = false;
	for (size_t i = 0; i < COUNT(packed); i++)
		known = known || strcasecmp(ext, packed[i]) == 0;
	while (known && dot > s && dot[-1] != '.')
		dot--;
	if (!known || dot == s)
		return false;
	size_t n = (size_t)(ext - 1 - dot);
	if (n == 3 && strncasecmp(dot, "tar", n) == 0)
		return true;
	for (size_t i = 0; i < COUNT(extensions); i++)
		if (strlen(extensions[i].ext) == n && strncasecmp(dot, extensions[i].ext, n) == 0)
			return true;
	return false;
}

/* A name without a known extension: is the content worth a look? */
static void unknown_name(struct name *n, const char *s, const char *ext, size_t ext_len)
{
	char word[16];
	if (s[0] == '.' || begins(s, "events.out.tfevents") || !strcasecmp(s, "license") || !strcasecmp(s, "notice") ||
	    !strcasecmp(s, "makefile") || !strcasecmp(s, "dockerfile") || !strcasecmp(s, "latest") ||
	    !strcasecmp(s, "readme"))
		return;
	if (is_packed(s, ext)) {
		n->unread = "an archive is not unpacked";
		return;
	}
	if (begins(ext, "data-0") && strstr(s, "-of-")) {
		n->unread = "a TensorFlow checkpoint is not read";
		return;
	}
	if (ext_len + 3 <= sizeof word) {
		size_t k = 0;
		word[k++] = ' ';
		for (size_t i = 0; i < ext_len; i++)
			word[k++] = ext[i] >= 'A' && ext[i] <= 'Z' ? (char)(ext[i] | 32) : ext[i];
		word[k++] = ' ';
		word[k] = 0;
		if (ext_len && strstr(plain_extensions, word))
			return;
	}
	n->unsure = true;
}

void name_parse(struct name *n, const char *s)
{
	size_t len = strlen(s);
	const char *dot = strrchr(s, '.'), *ext = dot ? dot + 1 : s + len;
	size_t stem = dot ? (size_t)(dot - s) : len;
	bool dots = strspn(s, ".") >= stem;	/* ".gguf", "..gguf": an id may not be made of dots */
	*n = (struct name){.ext = "", .usual = -1, .stem = (uint8_t)(dots ? len : stem), .rank = UINT8_MAX};
	for (size_t i = 0; i < COUNT(extensions); i++)
		if ((*ext | 32) == *extensions[i].ext && strcasecmp(ext, extensions[i].ext) == 0) {
			weights_name(n, s, dots ? len : stem, &extensions[i]);
			return;
		}
	for (size_t i = 0; i < COUNT(unread_extensions); i++)
		if (strcasecmp(ext, unread_extensions[i].ext) == 0) {
			n->ext = unread_extensions[i].ext;
			n->unread = unread_extensions[i].reason;
			n->unsure = !n->unread;
			return;
		}
	document_name(n, s, len);
	if (n->kind == SCAN_OTHER)
		unknown_name(n, s, ext, len - (size_t)(ext - s));
}

void name_by_format(struct name *n, const char *name, const char *format)
{
	static const struct { const char *format, *ext; } same[] = {
		{"pytorch", "pt"}, {"keras", "h5"}, {"flax", "msgpack"}, {"numpy", "npz"},
	};
	for (size_t i = 0; i < COUNT(same); i++)
		if (strcmp(format, same[i].format) == 0)
			format = same[i].ext;
	bool named = n->kind == SCAN_WEIGHTS;	/* its rank is the name's: the same in a scan that reads nothing */
	if (!named)
		n->stem = (uint8_t)strlen(name);	/* an extension that says nothing belongs to the name */
	n->kind = SCAN_WEIGHTS;
	n->unsure = false;
	for (size_t i = 0; i < COUNT(extensions) && !named; i++)
		if (strcmp(format, extensions[i].ext) == 0 && n->rank > extensions[i].rank)
			n->rank = extensions[i].rank;
}

unsigned name_order(const struct name *n, bool adapter)
{
	bool lora = n->usual >= USUAL_ADAPTERS && n->usual < USUAL_ADAPTERS + 3;
	unsigned class = n->weak ? 4 : n->projector ? 3 : n->usual < 0 ? 2 : n->variant || (adapter && !lora) ? 1 : 0;
	unsigned name = n->usual < 0 ? 0 : (unsigned)n->usual + (lora && !adapter ? COUNT(usual) : 0);
	return class << 24 | (unsigned)n->rank << 16 | name << 8 | (n->of > 0);
}

bool name_skipped(const char *s)
{
	static const char *const names[] = {".git", ".locks", ".cache", ".no_exist", ".hg", ".svn", "__pycache__",
					    ".ipynb_checkpoints", "node_modules"};
	if (begins(s, "datasets--") || begins(s, "spaces--"))
		return true;
	for (size_t i = 0; i < COUNT(names); i++)
		if (s[0] == names[i][0] && strcmp(s, names[i]) == 0)
			return true;
	return false;
}

bool name_is_category(const char *path)
{
	static const char *const names[] = {
		"checkpoints", "loras", "lora", "lycoris", "vae", "vae_approx", "controlnet", "embeddings",
		"upscale_models", "clip", "clip_vision", "text_encoders", "unet", "diffusion_models",
		"style_models", "hypernetworks", "gligen", "photomaker", "stable-diffusion", "esrgan",
		"realesrgan", "codeformer", "gfpgan", "swinir", "ipadapter", "animatediff_models",
		"audio_encoders", "model_patches", "diffusers",
	};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	for (size_t i = 0; i < COUNT(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}
