/* From llama.cpp's names back to those of transformers, for architectures whose tensors correspond one by one. */
#include "core/lake/canon_internal.h"

#include <string.h>

struct rename { const char *gguf, *hf; };

static const struct rename llama[] = {
	{"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
	{"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
	{"attn_norm", "input_layernorm"}, {"ffn_norm", "post_attention_layernorm"},
	{"post_attention_norm", "post_attention_layernorm"}, {"post_ffw_norm", "post_feedforward_layernorm"},
	{"ffn_gate", "mlp.gate_proj"}, {"ffn_up", "mlp.up_proj"}, {"ffn_down", "mlp.down_proj"}, {NULL},
};

static const struct rename phi3[] = {
	{"attn_qkv", "self_attn.qkv_proj"}, {"attn_output", "self_attn.o_proj"}, {"attn_norm", "input_layernorm"},
	{"ffn_norm", "post_attention_layernorm"}, {"ffn_up", "mlp.gate_up_proj"}, {"ffn_down", "mlp.down_proj"}, {NULL},
};

static const struct rename starcoder2[] = {
	{"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"},
	{"attn_output", "self_attn.o_proj"}, {"attn_norm", "input_layernorm"}, {"ffn_norm", "post_attention_layernorm"},
	{"ffn_up", "mlp.c_fc"}, {"ffn_down", "mlp.c_proj"}, {NULL},
};

static const struct rename bert[] = {
	{"attn_q", "attention.self.query"}, {"attn_k", "attention.self.key"}, {"attn_v", "attention.self.value"},
	{"attn_output", "attention.output.dense"}, {"attn_output_norm", "attention.output.LayerNorm"},
	{"ffn_up", "intermediate.dense"}, {"ffn_down", "output.dense"}, {"layer_output_norm", "output.LayerNorm"}, {NULL},
};

static const struct rename llama_outside[] = {
	{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}, {NULL},
};

static const struct rename bert_outside[] = {
	{"token_embd", "embeddings.word_embeddings"}, {"position_embd", "embeddings.position_embeddings"},
	{"token_types", "embeddings.token_type_embeddings"}, {"token_embd_norm", "embeddings.LayerNorm"}, {NULL},
};

/* Not here: those whose values the converter changes (Gemma's norms), joins (experts) or regroups (NeoX, GPT-2). */
static const struct { const char *arch; const struct rename *block, *outside; const char *layers; } styles[] = {
	{"llama", llama, llama_outside, "model.layers"}, {"qwen2", llama, llama_outside, "model.layers"},
	{"qwen3", llama, llama_outside, "model.layers"}, {"smollm3", llama, llama_outside, "model.layers"},
	{"granite", llama, llama_outside, "model.layers"}, {"minicpm", llama, llama_outside, "model.layers"},
	{"stablelm", llama, llama_outside, "model.layers"}, {"olmo", llama, llama_outside, "model.layers"},
	{"olmo2", llama, llama_outside, "model.layers"}, {"command-r", llama, llama_outside, "model.layers"},
	{"arcee", llama, llama_outside, "model.layers"}, {"phi3", phi3, llama_outside, "model.layers"},
	{"starcoder2", starcoder2, llama_outside, "model.layers"}, {"bert", bert, bert_outside, "encoder.layer"},
};

static const char *renamed(const struct rename *t, const char *name)
{
	for (; t->gguf; t++)
		if (!strcmp(t->gguf, name))
			return t->hf;
	return NULL;
}

int canon_hf_name(const struct canon *c, const struct weights *w, uint32_t tensor, const char *arch, struct buf *out)
{
	const char *name = w->tensors[tensor].name, *to, *leaf;
	cleanup_free struct tensor_name *n = mem_alloc(sizeof *n);
	size_t s = 0;

	(void)c;
	while (s < COUNT(styles) && (!arch || strcmp(arch, styles[s].arch)))
		s++;
	if (!n)
		return -ENOMEM;
	if (s == COUNT(styles))
		return -ENOTSUP;
	if (!strncmp(name, "rope_freqs", 10) || !strncmp(name, "rope_factors", 12))
		return -ENOENT;
	leaf = strrchr(name, '.');
	if (!leaf || (strcmp(leaf, ".weight") && strcmp(leaf, ".bias")))
		return -ENOTSUP;
	tensor_name_parse(n, name);
	if (n->opaque || n->lora || *n->component || n->side)
		return -ENOTSUP;
	to = renamed(n->in_block ? styles[s].block : styles[s].outside, n->module);
	if (!to)
		return -ENOTSUP;
	if (n->in_block)
		buf_printf(out, "%s.%d.%s%s", styles[s].layers, n->layer, to, leaf);
	else
		buf_printf(out, "%s%s", to, leaf);
	return buf_failed(out) ? -ENOMEM : 0;
}
