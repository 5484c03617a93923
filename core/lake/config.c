/* Configurations: config.json in all its dialects, and the small ones of adapters, tokenizers and pipelines. */
#include "core/lake/documents.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Where multimodal configs keep what describes the language model. */
static const char *const inner_configs[] = {
	"text_config", "llm_config", "language_config", "thinker_config.text_config", "decoder", "model_config",
	"text_model",
};

static const struct { const char *key; const char *names[8]; } numbers[] = {
	{"hidden_size", {"hidden_size", "n_embd", "d_model", "dim", "hidden_dim", "n_embed", "model_dim"}},
	{"layers", {"num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth"}},
	{"vocab_size", {"vocab_size", "padded_vocab_size", "n_vocab"}},
	{"context_length", {"max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len",
			    "max_sequence_length", "context_length", "max_target_positions"}},
};

static const struct { const char *in, *out;
} dtypes[] = {
	{"bfloat16", "bf16"},
	{"float16", "f16"},
	{"half", "f16"},
	{"float32", "f32"},
	{"float", "f32"},
	{"float64", "f64"},
	{"float8_e4m3fn", "f8_e4m3"},
	{"float8_e5m2", "f8_e5m2"},
	{"int8", "i8"},
	{"uint8", "u8"},
};

/* What a class of the ecosystem is for, by the end of its name. */
static const struct { const char *suffix, *task;
} tasks[] = {
	{"ForCausalLM", "text-generation"},
	{"LMHeadModel", "text-generation"},
	{"ForMaskedLM", "fill-mask"},
	{"ForSequenceClassification", "text-classification"},
	{"ForTokenClassification", "token-classification"},
	{"ForQuestionAnswering", "question-answering"},
	{"ForImageClassification", "image-classification"},
	{"ForObjectDetection", "object-detection"},
	{"ForSemanticSegmentation", "image-segmentation"},
	{"ForSpeechSeq2Seq", "automatic-speech-recognition"},
	{"ForCTC", "automatic-speech-recognition"},
	{"ForAudioClassification", "audio-classification"},
	{"WhisperForConditionalGeneration", "automatic-speech-recognition"},
	{"T5ForConditionalGeneration", "text2text-generation"},
	{"BartForConditionalGeneration", "text2text-generation"},
	{"MarianMTModel", "translation"},
	{"LlavaForConditionalGeneration", "image-text-to-text"},
	{"CLIPModel", "zero-shot-image-classification"},
	{"SiglipModel", "zero-shot-image-classification"},
	{"StableDiffusionPipeline", "text-to-image"},
	{"StableDiffusionXLPipeline", "text-to-image"},
	{"StableDiffusion3Pipeline", "text-to-image"},
	{"FluxPipeline", "text-to-image"},
};

static void infer_task(struct facts *f, const char *class, const char *file)
{
	size_t n = class ? strlen(class) : 0;

	for (size_t i = 0; n && i < COUNT(tasks); i++) {
		size_t m = strlen(tasks[i].suffix);

		if (n >= m && !strcmp(class + n - m, tasks[i].suffix)) {
			facts_put(f, "task", tasks[i].task, FACT_INFERRED, file);
			return;
		}
	}
}

static void put_numbers(struct facts *f, const struct value *config, const char *file)
{
	for (size_t i = 0; i < COUNT(numbers); i++) {
		uint64_t n;
		size_t k = 0;

		while (k < COUNT(numbers[i].names) && numbers[i].names[k])
			k++;
		if ((n = document_number(config, numbers[i].names, k)))
			facts_put_number(f, numbers[i].key, n, FACT_DECLARED, file);
	}
}

static void put_dtype(struct facts *f, const struct value *v, const char *file)
{
	const char *s = value_str(v);

	if (!s)
		return;
	if (!strncmp(s, "torch.", 6))
		s += 6;
	for (size_t i = 0; i < COUNT(dtypes); i++)
		if (!strcmp(s, dtypes[i].in))
			s = dtypes[i].out;
	facts_put(f, "dtype", s, FACT_DECLARED, file);
}

static void put_bits(struct facts *f, const char *method, const struct value *q, const char *file)
{
	const char *text = method;
	int64_t bits;

	if (value_int(value_get(q, "bits"), &bits) || value_int(value_get(q, "w_bit"), &bits))
		text = arena_printf(&f->arena, "%s-%lldbit", method, (long long)bits);
	facts_put(f, "quantization", text, FACT_DECLARED, file);
}

/* The same words as the formats use: gptq-4bit, bnb-int8, bnb-nf4, mlx-4bit. */
static void put_quantization(struct facts *f, const struct value *config, const char *file)
{
	const struct value *q = value_get(config, "quantization_config");
	const char *method, *type;
	bool yes = false;

	if (!q && (q = value_get(config, "quantization"))) {
		if (q->kind == VALUE_OBJECT)
			put_bits(f, "mlx", q, file);
		return;
	}
	if (!q || q->kind != VALUE_OBJECT)
		return;
	method = value_str(value_get(q, "quant_method"));
	if (value_bool(value_get(q, "load_in_8bit"), &yes) && yes) {
		facts_put(f, "quantization", "bnb-int8", FACT_DECLARED, file);
	} else if (value_bool(value_get(q, "load_in_4bit"), &yes) && yes) {
		type = value_str(value_get(q, "bnb_4bit_quant_type"));
		facts_put(f, "quantization", type ? arena_printf(&f->arena, "bnb-%s", type) : "bnb-fp4",
			  FACT_DECLARED, file);
	} else if (method) {
		put_bits(f, method, q, file);
	}
}

static const struct value *inner_config(const struct value *config)
{
	for (size_t i = 0; i < COUNT(inner_configs); i++) {
		const struct value *v = value_path(config, inner_configs[i]);

		if (v && v->kind == VALUE_OBJECT && v->obj.n)
			return v;
	}
	return NULL;
}

static void put_architecture(struct facts *f, const struct value *config, const char *file)
{
	const struct value *a = value_get(config, "architectures"), *inner = inner_config(config);
	const char *class = a && a->kind == VALUE_ARRAY && a->arr.n ? value_str(&a->arr.items[0]) : value_str(a);

	if (!class)
		class = value_str(value_get(config, "architecture"));	/* timm */
	if (!class)
		class = value_str(value_get(config, "_class_name"));	/* a component of diffusers */
	facts_put(f, "architecture", class, FACT_DECLARED, file);
	facts_put(f, "model_type", value_str(value_get(config, "model_type")), FACT_DECLARED, file);
	if (inner)
		facts_put(f, "model_type", value_str(value_get(inner, "model_type")), FACT_INFERRED, file);
	infer_task(f, class, file);
}

static void put_library(struct facts *f, const struct value *config, const char *file)
{
	if (value_get(config, "transformers_version"))
		facts_put(f, "library", "transformers", FACT_INFERRED, file);
	else if (value_get(config, "_diffusers_version"))
		facts_put(f, "library", "diffusers", FACT_INFERRED, file);
	else if (value_get(config, "pretrained_cfg") || value_get(config, "num_features"))
		facts_put(f, "library", "timm", FACT_INFERRED, file);
	else if (value_get(config, "architectures") && value_get(config, "model_type"))
		facts_put(f, "library", "transformers", FACT_INFERRED, file);
}

/* transformers writes what the model was loaded from: a name, or a path on someone's machine, which says nothing. */
static void put_origin(struct facts *f, const struct value *config, const char *file)
{
	const char *s = value_str(value_get(config, "_name_or_path"));

	if (s && *s && !strchr("/.~", *s) && !strchr(s, '\\') && strcmp(s, "None"))
		facts_declare(f, declared_name(s), "", file);
}

void config_facts(struct facts *f, const struct value *config, const char *file)
{
	const struct value *inner;

	f->flags |= FACTS_CONFIG;
	if (config->kind != VALUE_OBJECT) {
		facts_problem(f, file, "malformed", "expected an object of keys and values");
		return;
	}
	put_architecture(f, config, file);
	/* in a multimodal config the outer numbers, if any, are the whole's; the language model's come next */
	put_numbers(f, config, file);
	if ((inner = inner_config(config)))
		put_numbers(f, inner, file);
	put_dtype(f, value_get(config, "torch_dtype"), file);
	put_dtype(f, value_get(config, "dtype"), file);
	if (inner)
		put_dtype(f, value_get(inner, "torch_dtype"), file);
	put_quantization(f, config, file);
	put_library(f, config, file);
	put_origin(f, config, file);
	if (value_count(value_get(config, "auto_map")) || value_count(value_get(config, "custom_pipelines")))
		f->flags |= FACTS_CUSTOM_CODE;
}

void adapter_facts(struct facts *f, const struct value *config, const char *file)
{
	static const char *const ranks[] = {"r", "lora_parameters.rank", "rank"};
	static const struct { const char *in, *task;
	} peft_tasks[] = {
		{"CAUSAL_LM", "text-generation"},       {"SEQ_CLS", "text-classification"},
		{"TOKEN_CLS", "token-classification"},  {"SEQ_2_SEQ_LM", "text2text-generation"},
		{"QUESTION_ANS", "question-answering"}, {"FEATURE_EXTRACTION", "feature-extraction"},
	};
	const char *base = value_str(value_get(config, "base_model_name_or_path"));
	const char *type = value_str(value_get(config, "task_type"));
	uint64_t rank = document_number(config, ranks, COUNT(ranks));

	f->flags |= FACTS_ADAPTER | FACTS_CONFIG;
	if (config->kind != VALUE_OBJECT) {
		facts_problem(f, file, "malformed", "expected an object of keys and values");
		return;
	}
	if (!base)
		base = value_str(value_get(config, "model"));	/* mlx-lm */
	if (base) {
		facts_declare(f, declared_name(base), "adapter", file);
		facts_put(f, "base_model", declared_name(base), FACT_DECLARED, file);
	}
	if (rank)
		facts_put_number(f, "adapter_rank", rank, FACT_DECLARED, file);
	if (value_get(config, "peft_type"))
		facts_put(f, "library", "peft", FACT_INFERRED, file);
	for (size_t i = 0; type && i < COUNT(peft_tasks); i++)
		if (!strcmp(type, peft_tasks[i].in))
			facts_put(f, "task", peft_tasks[i].task, FACT_INFERRED, file);
	facts_put(f, "revision", value_str(value_get(config, "revision")), FACT_INFERRED, file);
}

void tokenizer_facts(struct facts *f, const struct value *config, const char *file)
{
	int64_t n;

	f->flags |= FACTS_TOKENIZER;
	facts_put(f, "tokenizer", value_str(value_get(config, "tokenizer_class")), FACT_DECLARED, file);
	/* "very large integer" stands for no limit */
	if (value_int(value_get(config, "model_max_length"), &n) && n > 0 && n < 100000000)
		facts_put_number(f, "context_length", (uint64_t)n, FACT_INFERRED, file);
	if (value_count(value_get(config, "auto_map")))
		f->flags |= FACTS_CUSTOM_CODE;
}

void pipeline_facts(struct facts *f, const struct value *index, const char *file)
{
	const char *class = value_str(value_get(index, "_class_name"));

	f->flags |= FACTS_PIPELINE | FACTS_CONFIG;
	facts_put(f, "architecture", class, FACT_DECLARED, file);
	facts_put(f, "library", "diffusers", FACT_INFERRED, file);
	infer_task(f, class, file);
	put_origin(f, index, file);
}

void modules_facts(struct facts *f, const struct value *modules, const char *file)
{
	if (modules->kind != VALUE_ARRAY)
		return;
	facts_put(f, "library", "sentence-transformers", FACT_INFERRED, file);
	facts_put(f, "task", "sentence-similarity", FACT_INFERRED, file);
}

void ollama_facts(struct facts *f, const struct value *config, const char *file)
{
	facts_put(f, "quantization", value_str(value_get(config, "file_type")), FACT_DECLARED, file);
	facts_put(f, "model_type", value_str(value_get(config, "model_family")), FACT_DECLARED, file);
}

void gptq_facts(struct facts *f, const struct value *config, const char *file)
{
	put_bits(f, "gptq", config, file);
}
