/* GGUF tensor names to Hugging Face's, a table for each family. */
#include "core/lake/hf_names.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

struct entry {
	const char *gguf, *hf;	/* below "blk.N." and "model.layers.N." (or the family's own), or whole names */
	bool transpose;
};

struct family {
	const char *architectures;	/* space-separated, leading and trailing space */
	const char *block;		/* "%s.%s": what stands before a block's module, with the number */
	const struct entry *outside, *inside;
};

#define END {NULL, NULL, false}

static const struct entry llama_outside[] = {
	{"token_embd", "model.embed_tokens", 0}, {"output_norm", "model.norm", 0}, {"output", "lm_head", 0}, END,
};
static const struct entry llama_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0}, {"attn_q_norm", "self_attn.q_norm", 0},
	{"attn_k_norm", "self_attn.k_norm", 0}, {"attn_qkv", "self_attn.qkv_proj", 0},
	{"ffn_gate", "mlp.gate_proj", 0}, {"ffn_up", "mlp.up_proj", 0}, {"ffn_down", "mlp.down_proj", 0},
	/* Mixtral is a llama that has these */
	{"ffn_gate_inp", "block_sparse_moe.gate", 0}, {"ffn_gate_exps", "block_sparse_moe.experts.@.w1", 0},
	{"ffn_up_exps", "block_sparse_moe.experts.@.w3", 0}, {"ffn_down_exps", "block_sparse_moe.experts.@.w2", 0}, END,
};
static const struct entry phi3_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_qkv", "self_attn.qkv_proj", 0}, {"attn_output", "self_attn.o_proj", 0},
	{"ffn_up", "mlp.gate_up_proj", 0}, {"ffn_down", "mlp.down_proj", 0}, END,
};
static const struct entry starcoder_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0}, {"ffn_up", "mlp.c_fc", 0}, {"ffn_down", "mlp.c_proj", 0}, END,
};
static const struct entry gemma_outside[] = {
	{"token_embd", "model.embed_tokens", 0}, {"output_norm", "model.norm", 0}, {"output", "lm_head", 0}, END,
};
static const struct entry gemma_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0},
	{"ffn_gate", "mlp.gate_proj", 0}, {"ffn_up", "mlp.up_proj", 0}, {"ffn_down", "mlp.down_proj", 0}, END,
};
/* Gemma 2 and 3 norm before and after: what is ffn_norm elsewhere stands before the feed-forward. */
static const struct entry gemma2_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"post_attention_norm", "post_attention_layernorm", 0},
	{"ffn_norm", "pre_feedforward_layernorm", 0}, {"post_ffw_norm", "post_feedforward_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_q_norm", "self_attn.q_norm", 0}, {"attn_k_norm", "self_attn.k_norm", 0},
	{"attn_output", "self_attn.o_proj", 0},
	{"ffn_gate", "mlp.gate_proj", 0}, {"ffn_up", "mlp.up_proj", 0}, {"ffn_down", "mlp.down_proj", 0}, END,
};
static const struct entry gpt2_outside[] = {
	{"token_embd", "transformer.wte", 0}, {"position_embd", "transformer.wpe", 0},
	{"output_norm", "transformer.ln_f", 0}, {"output", "lm_head", 0}, END,
};
static const struct entry gpt2_inside[] = {
	{"attn_norm", "ln_1", 0}, {"ffn_norm", "ln_2", 0}, {"attn_qkv", "attn.c_attn", 1},
	{"attn_output", "attn.c_proj", 1}, {"ffn_up", "mlp.c_fc", 1}, {"ffn_down", "mlp.c_proj", 1}, END,
};

/* Experts: their number goes where the '@' is. */
static const struct entry qwen_moe_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0}, {"attn_q_norm", "self_attn.q_norm", 0},
	{"attn_k_norm", "self_attn.k_norm", 0}, {"ffn_gate_inp", "mlp.gate", 0},
	{"ffn_gate_exps", "mlp.experts.@.gate_proj", 0}, {"ffn_up_exps", "mlp.experts.@.up_proj", 0},
	{"ffn_down_exps", "mlp.experts.@.down_proj", 0}, {"ffn_gate_shexp", "mlp.shared_expert.gate_proj", 0},
	{"ffn_up_shexp", "mlp.shared_expert.up_proj", 0}, {"ffn_down_shexp", "mlp.shared_expert.down_proj", 0},
	{"ffn_gate_inp_shexp", "mlp.shared_expert_gate", 0},
	{"ffn_gate", "mlp.gate_proj", 0}, {"ffn_up", "mlp.up_proj", 0}, {"ffn_down", "mlp.down_proj", 0}, END,
};
static const struct entry olmo2_inside[] = {
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0}, {"attn_q_norm", "self_attn.q_norm", 0},
	{"attn_k_norm", "self_attn.k_norm", 0}, {"post_attention_norm", "post_attention_layernorm", 0},
	{"post_ffw_norm", "post_feedforward_layernorm", 0},
	{"ffn_gate", "mlp.gate_proj", 0}, {"ffn_up", "mlp.up_proj", 0}, {"ffn_down", "mlp.down_proj", 0}, END,
};
static const struct entry glm4_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"post_attention_norm", "post_self_attn_layernorm", 0},
	{"ffn_norm", "post_attention_layernorm", 0}, {"post_ffw_norm", "post_mlp_layernorm", 0},
	{"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0}, {"attn_v", "self_attn.v_proj", 0},
	{"attn_output", "self_attn.o_proj", 0}, {"ffn_up", "mlp.gate_up_proj", 0},
	{"ffn_down", "mlp.down_proj", 0}, END,
};
static const struct entry phi2_outside[] = {
	{"token_embd", "model.embed_tokens", 0}, {"output_norm", "model.final_layernorm", 0},
	{"output", "lm_head", 0}, END,
};
static const struct entry phi2_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"attn_q", "self_attn.q_proj", 0}, {"attn_k", "self_attn.k_proj", 0},
	{"attn_v", "self_attn.v_proj", 0}, {"attn_output", "self_attn.dense", 0}, {"ffn_up", "mlp.fc1", 0},
	{"ffn_down", "mlp.fc2", 0}, END,
};
/* GPT-2's names, of linear modules. */
static const struct entry bigcode_inside[] = {
	{"attn_norm", "ln_1", 0}, {"ffn_norm", "ln_2", 0}, {"attn_qkv", "attn.c_attn", 0},
	{"attn_output", "attn.c_proj", 0}, {"ffn_up", "mlp.c_fc", 0}, {"ffn_down", "mlp.c_proj", 0}, END,
};
static const struct entry exaone_inside[] = {
	{"attn_norm", "ln_1", 0}, {"ffn_norm", "ln_2", 0}, {"attn_q", "attn.attention.q_proj", 0},
	{"attn_k", "attn.attention.k_proj", 0}, {"attn_v", "attn.attention.v_proj", 0},
	{"attn_output", "attn.attention.out_proj", 0}, {"ffn_gate", "mlp.c_fc_0", 0}, {"ffn_up", "mlp.c_fc_1", 0},
	{"ffn_down", "mlp.c_proj", 0}, END,
};
static const struct entry mpt_outside[] = {
	{"token_embd", "transformer.wte", 0}, {"output_norm", "transformer.norm_f", 0}, END,
};
static const struct entry mpt_inside[] = {
	{"attn_norm", "norm_1", 0}, {"ffn_norm", "norm_2", 0}, {"attn_qkv", "attn.Wqkv", 0},
	{"attn_output", "attn.out_proj", 0}, {"ffn_up", "ffn.up_proj", 0}, {"ffn_down", "ffn.down_proj", 0}, END,
};
static const struct entry chatglm_outside[] = {
	{"token_embd", "transformer.embedding.word_embeddings", 0}, {"output", "transformer.output_layer", 0},
	{"output_norm", "transformer.encoder.final_layernorm", 0}, END,
};
static const struct entry chatglm_inside[] = {
	{"attn_norm", "input_layernorm", 0}, {"ffn_norm", "post_attention_layernorm", 0},
	{"attn_qkv", "self_attention.query_key_value", 0}, {"attn_output", "self_attention.dense", 0},
	{"ffn_up", "mlp.dense_h_to_4h", 0}, {"ffn_down", "mlp.dense_4h_to_h", 0}, END,
};
static const struct entry bert_outside[] = {
	{"token_embd", "embeddings.word_embeddings", 0}, {"token_types", "embeddings.token_type_embeddings", 0},
	{"position_embd", "embeddings.position_embeddings", 0}, {"token_embd_norm", "embeddings.LayerNorm", 0}, END,
};
static const struct entry bert_inside[] = {
	{"attn_q", "attention.self.query", 0}, {"attn_k", "attention.self.key", 0},
	{"attn_v", "attention.self.value", 0},
	{"attn_output", "attention.output.dense", 0}, {"attn_output_norm", "attention.output.LayerNorm", 0},
	{"ffn_up", "intermediate.dense", 0}, {"ffn_down", "output.dense", 0},
	{"layer_output_norm", "output.LayerNorm", 0}, END,
};

static const struct family families[] = {
	{" llama mistral qwen2 qwen3 stablelm granite smollm3 olmo arcee xverse nemotron command-r cohere2 ",
	 "model.layers", llama_outside, llama_inside},
	{" qwen2moe qwen3moe olmoe ", "model.layers", llama_outside, qwen_moe_inside},
	{" olmo2 ", "model.layers", llama_outside, olmo2_inside},
	{" glm4 ", "model.layers", llama_outside, glm4_inside},
	{" phi2 ", "model.layers", phi2_outside, phi2_inside},
	{" starcoder ", "transformer.h", gpt2_outside, bigcode_inside},
	{" exaone ", "transformer.h", gpt2_outside, exaone_inside},
	{" mpt ", "transformer.blocks", mpt_outside, mpt_inside},
	{" chatglm ", "transformer.encoder.layers", chatglm_outside, chatglm_inside},
	{" bert ", "encoder.layer", bert_outside, bert_inside},
	{" phi3 ", "model.layers", llama_outside, phi3_inside},
	{" starcoder2 ", "model.layers", llama_outside, starcoder_inside},
	{" gemma ", "model.layers", gemma_outside, gemma_inside},
	{" gemma2 gemma3 ", "model.layers", gemma_outside, gemma2_inside},
	{" gpt2 ", "transformer.h", gpt2_outside, gpt2_inside},
};

static const struct family *family_of(const char *architecture)
{
	char word[40];
	if (!architecture || snprintf(word, sizeof word, " %s ", architecture) >= (int)sizeof word ||
	    strchr(architecture, ' '))
		return NULL;
	for (size_t i = 0; i < COUNT(families); i++)
		if (strstr(families[i].architectures, word))
			return &families[i];
	return NULL;
}

static const struct entry *find(const struct entry *e, const char *module, size_t len)
{
	for (; e->gguf; e++)
		if (strlen(e->gguf) == len && !memcmp(e->gguf, module, len))
			return e;
	return NULL;
}

bool hf_name(const char *architecture, const char *name, struct hf_tensor *out)
{
	const struct family *f = family_of(architecture);
	const char *module = name, *kind;
	size_t digits = 0;
	if (!f)
		return false;
	if (!strncmp(name, "blk.", 4)) {
		digits = strspn(name + 4, "0123456789");
		if (!digits || digits > 5 || name[4 + digits] != '.')
			return false;
		module = name + 4 + digits + 1;
	}
	kind = strrchr(module, '.');
	if (!kind || (strcmp(kind, ".weight") && strcmp(kind, ".bias")))
		return false;
	const struct entry *e = find(digits ? f->inside : f->outside, module, (size_t)(kind - module));
	if (!e)
		return false;
	if (digits)
		snprintf(out->name, sizeof out->name, "%s.%.*s.%s%s", f->block, (int)digits, name + 4, e->hf, kind);
	else
		snprintf(out->name, sizeof out->name, "%s%s", e->hf, kind);
	out->experts = strchr(e->hf, '@');
	out->transpose = e->transpose && kind[1] == 'w';
	return true;
}
