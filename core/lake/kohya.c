/* kohya's LoRA names flatten the dots of a module's path; the words that hold underscores of their own are known. */
#include "core/lake/kohya.h"

#include "core/base/mem.h"

#include <string.h>

static const struct { const char *prefix, *component; } prefixes[] = {
	{"lora_te1_", "text_encoder"}, {"lora_te2_", "text_encoder_2"}, {"lora_te3_", "text_encoder_3"},
	{"lora_te_", "text_encoder"}, {"lora_transformer_", "transformer"}, {"lora_unet_", "unet"},
};

/* Longest first where one begins with another. */
static const char *const joined[] = {
	"add_embedding",
	"add_k_proj",
	"add_out_proj",
	"add_q_proj",
	"add_v_proj",
	"context_block",
	"context_embedder",
	"conv_norm_out",
	"conv_shortcut",
	"conv_in",
	"conv_out",
	"double_blocks",
	"down_blocks",
	"down_proj",
	"emb_layers",
	"encoder_hidden_proj",
	"ff_context",
	"final_layer_norm",
	"final_layer",
	"gate_proj",
	"guidance_in",
	"img_attn",
	"img_in",
	"img_mlp",
	"img_mod",
	"in_layer",
	"in_layers",
	"input_blocks",
	"joint_blocks",
	"k_proj",
	"label_emb",
	"layer_norm1",
	"layer_norm2",
	"layer_norm",
	"linear_1",
	"linear_2",
	"mid_block",
	"middle_block",
	"norm1_context",
	"norm_added_k",
	"norm_added_q",
	"norm_k",
	"norm_q",
	"o_proj",
	"out_layer",
	"out_layers",
	"out_proj",
	"output_blocks",
	"patch_embedding",
	"position_embedding",
	"proj_in",
	"proj_mlp",
	"proj_out",
	"q_proj",
	"self_attn",
	"self_attention",
	"single_blocks",
	"single_transformer_blocks",
	"skip_connection",
	"text_model",
	"text_projection",
	"time_emb_proj",
	"time_embed",
	"time_embedding",
	"time_in",
	"to_add_out",
	"to_k",
	"to_out",
	"to_q",
	"to_v",
	"token_embedding",
	"transformer_blocks",
	"txt_attn",
	"txt_in",
	"txt_mlp",
	"txt_mod",
	"up_blocks",
	"up_proj",
	"v_proj",
	"vector_in",
	"vision_model",
	"x_block",
	"x_embedder",
};

static size_t joined_len(const char *p, const char *end)
{
	size_t best = 0;

	for (size_t i = 0; i < COUNT(joined); i++) {
		size_t len = strlen(joined[i]);

		if (len > best && len <= (size_t)(end - p) && !memcmp(p, joined[i], len) &&
		    (p + len == end || p[len] == '_'))
			best = len;
	}
	return best;
}

bool kohya_name(const char *name, char *out, size_t size)
{
	size_t i = 0, len = strlen(name);
	const char *p, *end;
	char *o = out;

	if (strncmp(name, "lora_", 5))
		return false;
	while (i < COUNT(prefixes) && strncmp(name, prefixes[i].prefix, strlen(prefixes[i].prefix)))
		i++;
	if (i == COUNT(prefixes) || len + 32 > size || !(end = strchr(name, '.')))
		return false;
	o = stpcpy(o, prefixes[i].component);
	p = name + strlen(prefixes[i].prefix);
	while (p < end) {
		size_t n = joined_len(p, end);

		if (!n)
			n = (size_t)((const char *)memchr(p, '_', (size_t)(end - p)) ?: end) - (size_t)p;
		*o++ = '.';
		o = (char *)memcpy(o, p, n) + n;
		p += n;
		if (p < end)
			p++;
	}
	strcpy(o, end);
	return true;
}
