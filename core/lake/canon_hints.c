/* What names do not tell: head counts and the architecture, from config.json or GGUF key-values. */
#include "core/lake/canon_internal.h"

#include <string.h>

/* llama.cpp's convert_hf_to_gguf.py undoes the RoPE order of the rows of q and k for these. */
static const char *const rope_order[] = {
	"llama",      "mistral3", "deci",   "baichuan", "xverse",     "minicpm",       "internlm2",
	"olmo",       "deepseek", "arctic", "granite",  "granitemoe", "granitehybrid", "chameleon",
	"bailingmoe", "smollm3",  "arcee",  "llada",    "eagle3",
};

/* And adds 1 to the norms' weights of these, which scale by 1 + w. */
static const char *const norm_plus_one[] = {
	"gemma", "gemma2", "gemma3", "nemotron", "qwen3next", "qwen35", "qwen35moe",
};

static bool is_listed(const char *architecture, const char *const *list, size_t n)
{
	for (size_t i = 0; architecture && i < n; i++)
		if (!strcmp(architecture, list[i]))
			return true;
	return false;
}

bool canon_rope_order(const char *architecture)
{
	return is_listed(architecture, rope_order, COUNT(rope_order));
}

bool canon_norm_plus_one(const char *architecture)
{
	return is_listed(architecture, norm_plus_one, COUNT(norm_plus_one));
}

static void take(uint32_t *out, const struct value *v)
{
	int64_t i;

	if (!*out && value_int(v, &i) && i > 0 && i < (1 << 30))
		*out = (uint32_t)i;
}

static void take_any(uint32_t *out, const struct value *config, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		take(out, value_path(config, keys[i]));
}

/* Falcon says with two flags how many heads share a k and a v. */
static void falcon_heads(struct canon_hints *h, const struct value *config)
{
	bool newer = false, multi = true;

	value_bool(value_get(config, "new_decoder_architecture"), &newer);
	value_bool(value_get(config, "multi_query"), &multi);
	if (newer)
		take_any(&h->kv_heads, config, (const char *const[]){"num_kv_heads", "n_head_kv"}, 2);
	else
		h->kv_heads = multi ? 1 : h->heads;
}

static void from_config(struct canon_hints *h, const struct value *config)
{
	static const char *const heads[] = {"num_attention_heads", "n_head", "n_heads", "num_heads",
					    "encoder_attention_heads"};
	static const char *const kv[] = {"num_key_value_heads", "n_kv_heads", "multi_query_group_num",
					 "attn_config.kv_n_heads"};
	static const char *const layers[] = {"num_hidden_layers", "n_layer", "n_layers", "num_layers"};
	static const char *const hidden[] = {"hidden_size", "n_embd", "d_model", "dim", "hidden_dim"};
	static const char *const nested[] = {"text_config", "llm_config", "language_config", "text_model", "decoder"};
	const struct value *inner = NULL, *classes = value_get(config, "architectures");
	const char *type;

	if (!h->architecture && classes && classes->kind == VALUE_ARRAY && classes->arr.n)
		h->architecture = value_str(&classes->arr.items[0]);
	for (size_t i = 0; i < COUNT(nested) && !value_count(inner); i++)
		inner = value_get(config, nested[i]);
	if (value_count(inner) && inner->kind == VALUE_OBJECT)
		from_config(h, inner);
	take_any(&h->heads, config, heads, COUNT(heads));
	type = value_str(value_get(config, "model_type"));
	if (type && (!strcmp(type, "falcon") || !strncmp(type, "RefinedWeb", 10)))
		falcon_heads(h, config);
	take_any(&h->kv_heads, config, kv, COUNT(kv));
	take_any(&h->layers, config, layers, COUNT(layers));
	take_any(&h->hidden, config, hidden, COUNT(hidden));
	take(&h->head_dim, value_get(config, "head_dim"));
}

static const struct value *gguf_key(const struct value *gguf, const char *arch, const char *key)
{
	char name[200];

	snprintf(name, sizeof name, "%s.%s", arch, key);
	return value_get(gguf, name);
}

static void from_gguf(struct canon_hints *h, const struct value *gguf)
{
	const char *arch = value_str(value_get(gguf, "general.architecture"));

	if (!arch)
		return;
	h->architecture = arch;
	take(&h->heads, gguf_key(gguf, arch, "attention.head_count"));
	take(&h->kv_heads, gguf_key(gguf, arch, "attention.head_count_kv"));
	take(&h->layers, gguf_key(gguf, arch, "block_count"));
	take(&h->hidden, gguf_key(gguf, arch, "embedding_length"));
	take(&h->head_dim, gguf_key(gguf, arch, "attention.key_length"));
}

void canon_hints_from(struct canon_hints *h, const struct value *config, const struct value *gguf)
{
	if (gguf && gguf->kind == VALUE_OBJECT)
		from_gguf(h, gguf);
	if (config && config->kind == VALUE_OBJECT)
		from_config(h, config);
	if (!h->head_dim && h->heads && h->hidden % h->heads == 0)
		h->head_dim = h->hidden / h->heads;
}
