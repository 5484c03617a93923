/* What the container of the weights says of itself: GGUF's key-values, safetensors' metadata. */
#include "core/lake/documents.h"

#include <stdio.h>
#include <string.h>

/* The classes that llama.cpp's converter takes for an architecture; where there are several, the usual one. */
static const struct { const char *gguf, *class;
} classes[] = {
	{"llama", "LlamaForCausalLM"},
	{"mistral3", "Mistral3ForConditionalGeneration"},
	{"qwen2", "Qwen2ForCausalLM"},
	{"qwen2moe", "Qwen2MoeForCausalLM"},
	{"qwen3", "Qwen3ForCausalLM"},
	{"qwen3moe", "Qwen3MoeForCausalLM"},
	{"gemma", "GemmaForCausalLM"},
	{"gemma2", "Gemma2ForCausalLM"},
	{"gemma3", "Gemma3ForCausalLM"},
	{"phi2", "PhiForCausalLM"},
	{"phi3", "Phi3ForCausalLM"},
	{"gpt2", "GPT2LMHeadModel"},
	{"gptneox", "GPTNeoXForCausalLM"},
	{"bloom", "BloomForCausalLM"},
	{"falcon", "FalconForCausalLM"},
	{"mpt", "MPTForCausalLM"},
	{"bert", "BertModel"},
	{"nomic-bert", "NomicBertModel"},
	{"t5", "T5ForConditionalGeneration"},
	{"mamba", "MambaForCausalLM"},
	{"mamba2", "Mamba2ForCausalLM"},
	{"stablelm", "StableLmForCausalLM"},
	{"starcoder", "GPTBigCodeForCausalLM"},
	{"starcoder2", "Starcoder2ForCausalLM"},
	{"baichuan", "BaichuanForCausalLM"},
	{"internlm2", "InternLM2ForCausalLM"},
	{"command-r", "CohereForCausalLM"},
	{"cohere2", "Cohere2ForCausalLM"},
	{"olmo", "OlmoForCausalLM"},
	{"olmo2", "Olmo2ForCausalLM"},
	{"deepseek", "DeepseekForCausalLM"},
	{"deepseek2", "DeepseekV2ForCausalLM"},
	{"granite", "GraniteForCausalLM"},
	{"granitemoe", "GraniteMoeForCausalLM"},
	{"smollm3", "SmolLM3ForCausalLM"},
	{"chatglm", "ChatGLMModel"},
	{"glm4", "Glm4ForCausalLM"},
	{"minicpm", "MiniCPMForCausalLM"},
	{"exaone", "ExaoneForCausalLM"},
	{"gpt-oss", "GptOssForCausalLM"},
	{"llama4", "Llama4ForConditionalGeneration"},
	{"jamba", "JambaForCausalLM"},
};

/* GGUF's small string arrays; large arrays were left in the file. */
static void texts(struct facts *f, const char *key, const struct value *v, const char *file)
{
	if (v && v->kind != VALUE_SPAN)
		document_texts(f, key, v, file);
}

static void gguf_numbers(struct facts *f, const struct value *m, const char *arch, const char *file)
{
	static const struct { const char *key, *name; } names[] = {
		{"layers", "block_count"}, {"hidden_size", "embedding_length"}, {"context_length", "context_length"},
		{"vocab_size", "vocab_size"},
	};
	int64_t n;

	for (size_t i = 0; i < COUNT(names); i++) {
		char key[200];

		snprintf(key, sizeof key, "%s.%s", arch, names[i].name);
		if (value_int(value_get(m, key), &n) && n > 0)
			facts_put_number(f, names[i].key, (uint64_t)n, FACT_DECLARED, file);
	}
	if (value_int(value_get(m, "general.parameter_count"), &n) && n > 0)
		facts_put_number(f, "parameters", (uint64_t)n, FACT_DECLARED, file);
}

/* general.base_model.{count,0.repo_url,0.organization,0.name,…}; general.source.* is what it was converted from. */
static void gguf_bases(struct facts *f, const struct value *m, const char *file)
{
	const char *source = value_str(value_get(m, "general.source.repo_url"));
	int64_t count = 0;

	value_int(value_get(m, "general.base_model.count"), &count);
	for (int64_t i = 0; i < MIN(count, (int64_t)32); i++) {
		char url[64], org[64], name[64];
		const char *u, *o, *n;

		snprintf(url, sizeof url, "general.base_model.%lld.repo_url", (long long)i);
		snprintf(org, sizeof org, "general.base_model.%lld.organization", (long long)i);
		snprintf(name, sizeof name, "general.base_model.%lld.name", (long long)i);
		u = value_str(value_get(m, url));
		o = value_str(value_get(m, org));
		n = value_str(value_get(m, name));
		if (!u && o && n)
			u = arena_printf(&f->arena, "%s/%s", o, n);
		if (!u)
			u = n;
		if (!u)
			continue;
		facts_declare(f, declared_name(u), "", file);
		facts_put(f, "base_model", declared_name(u), FACT_DECLARED, file);
	}
	if (source)
		facts_declare(f, declared_name(source), "quantized", file);
}

static void gguf_facts(struct facts *f, const struct value *m, const char *file)
{
	const char *arch = value_str(value_get(m, "general.architecture"));
	const char *type = value_str(value_get(m, "general.type"));

	if (!arch)
		return;
	facts_put(f, "model_type", arch, FACT_DECLARED, file);
	for (size_t i = 0; i < COUNT(classes); i++)
		if (!strcmp(arch, classes[i].gguf))
			facts_put(f, "architecture", classes[i].class, FACT_INFERRED, file);
	facts_put(f, "architecture", arch, FACT_INFERRED, file);
	facts_put(f, "library", "gguf", FACT_INFERRED, file);
	if (type && !strcmp(type, "adapter"))
		f->flags |= FACTS_ADAPTER;
	gguf_numbers(f, m, arch, file);
	texts(f, "license", value_get(m, "general.license"), file);
	texts(f, "language", value_get(m, "general.languages"), file);
	texts(f, "tags", value_get(m, "general.tags"), file);
	texts(f, "datasets", value_get(m, "general.datasets"), file);
	texts(f, "author", value_get(m, "general.author"), file);
	texts(f, "author", value_get(m, "general.organization"), file);
	texts(f, "created", value_get(m, "general.date"), file);
	texts(f, "tokenizer", value_get(m, "tokenizer.ggml.model"), file);
	gguf_bases(f, m, file);
}

/* A number that safetensors' metadata, which holds strings alone, spells out. */
static bool spelled(const struct value *v, int64_t *out)
{
	const char *s = value_str(v);
	char *end;

	if (!s || !*s)
		return false;
	*out = strtoll(s, &end, 10);
	return (*end == 0 || *end == '.') && *out > 0;
}

/* kohya's trainer names the file that it began with, perhaps by its path on somebody's machine. */
static void trained_on(struct facts *f, const char *path, const char *file)
{
	static const char *const endings[] = {".safetensors", ".ckpt", ".pt"};
	const char *name = path;
	size_t len;

	for (const char *p = path; *p; p++)
		if (*p == '/' || *p == '\\')
			name = p + 1;
	len = strlen(name);

	for (size_t i = 0; i < COUNT(endings); i++)
		if (len > strlen(endings[i]) && !strcmp(name + len - strlen(endings[i]), endings[i]))
			len -= strlen(endings[i]);
	name = arena_strndup(&f->arena, name, len);
	if (!name)
		f->failed = true;
	else
		facts_declare(f, name, "adapter", file);
	facts_put(f, "base_model", name, FACT_DECLARED, file);
}

/* ModelSpec (Stability's standard) and the ss_ keys of kohya's trainer. */
static void safetensors_facts(struct facts *f, const struct value *m, const char *file)
{
	int64_t n;

	texts(f, "author", value_get(m, "modelspec.author"), file);
	texts(f, "license", value_get(m, "modelspec.license"), file);
	texts(f, "created", value_get(m, "modelspec.date"), file);
	texts(f, "architecture", value_get(m, "modelspec.architecture"), file);
	if (value_str(value_get(m, "modelspec.merged_from")))
		facts_declare(f, value_str(value_get(m, "modelspec.merged_from")), "merge", file);
	if (spelled(value_get(m, "ss_network_dim"), &n))
		facts_put_number(f, "adapter_rank", (uint64_t)n, FACT_DECLARED, file);
	if (spelled(value_get(m, "ss_training_finished_at"), &n))
		facts_put_time(f, "created", n, FACT_DECLARED, file);
	if (value_str(value_get(m, "ss_sd_model_name")))
		trained_on(f, value_str(value_get(m, "ss_sd_model_name")), file);
}

void container_facts(struct facts *f, const struct weights *w, const char *file)
{
	if (!w->format || w->meta.kind != VALUE_OBJECT)
		return;
	if (!strcmp(w->format->name, "gguf"))
		gguf_facts(f, &w->meta, file);
	else if (!strcmp(w->format->name, "safetensors"))
		safetensors_facts(f, &w->meta, file);
}
