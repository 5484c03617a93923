/* Names: every family's come out as the same roles, whatever is put in front of them. */
#include "core/lake/canon.h"
#include "core/lake/roles.h"
#include "core/lake/tensor_name.h"
#include "tests/core/lake/made.h"

#include <stdio.h>

static const struct { const char *name, *role; int layer, expert; } names[] = {
	{"embed_tokens.weight", "embed", -1, -1},
	{"layers.7.self_attn.q_proj.weight", "attn.q", 7, -1},
	{"layers.7.self_attn.q_proj.bias", "attn.q.bias", 7, -1},
	{"layers.31.self_attn.q_norm.weight", "attn.q_norm", 31, -1},
	{"layers.0.mlp.down_proj.weight", "mlp.down", 0, -1},
	{"layers.0.input_layernorm.weight", "norm.attn", 0, -1},
	{"layers.0.post_attention_layernorm.weight", "norm.mlp", 0, -1},
	{"layers.3.block_sparse_moe.experts.5.w1.weight", "mlp.gate", 3, 5},
	{"layers.3.block_sparse_moe.experts.5.w2.weight", "mlp.down", 3, 5},
	{"layers.3.block_sparse_moe.gate.weight", "moe.router", 3, -1},
	{"layers.3.mlp.experts.60.up_proj.weight", "mlp.up", 3, 60},
	{"layers.3.mlp.shared_expert.up_proj.weight", "mlp.shared.up", 3, -1},
	{"lm_head.weight", "head", -1, -1},
	{"norm.weight", "norm.final", -1, -1},
	{"h.2.mlp.c_fc.bias", "mlp.up.bias", 2, -1},
	{"wpe.weight", "embed.pos", -1, -1},
	{"ln_f.bias", "norm.final.bias", -1, -1},
	{"encoder.layer.11.attention.self.query.weight", "attn.q", 11, -1},
	{"encoder.layer.11.attention.output.LayerNorm.gamma", "norm.attn.post", 11, -1},
	{"encoder.layer.11.attention.output.LayerNorm.beta", "norm.attn.post.bias", 11, -1},
	{"encoder.layer.11.output.dense.weight", "mlp.down", 11, -1},
	{"embeddings.word_embeddings.weight", "embed", -1, -1},
	{"embeddings.token_type_embeddings.weight", "embed.type", -1, -1},
	{"pooler.dense.weight", "pool", -1, -1},
	{"cls.predictions.bias", "head.bias", -1, -1},
	{"transformer.layer.2.attention.q_lin.weight", "attn.q", 2, -1},
	{"encoder.layer.0.attention.attention.key.weight", "attn.k", 0, -1},
	{"encoder.layer.0.layernorm_before.weight", "norm.attn", 0, -1},
	{"blocks.4.mlp.fc1.weight", "mlp.up", 4, -1},
	{"decoder.layers.1.self_attn_layer_norm.weight", "norm.attn", 1, -1},
	{"decoder.layers.1.fc2.weight", "mlp.down", 1, -1},
	{"layers.5.mixer.A_log", "ssm.a_log", 5, -1},
	{"layers.5.mixer.dt_proj.bias", "ssm.dt.bias", 5, -1},
	{"layers.5.mamba.out_proj.weight", "ssm.out", 5, -1},
	{"layers.5.feed_forward.experts.3.up_proj.weight", "mlp.up", 5, 3},
	{"blocks.0.attn.query.weight", "attn.q", 0, -1},
	{"blocks.0.mlp.2.weight", "mlp.down", 0, -1},
	{"h.1.attn.attention.out_proj.weight", "attn.o", 1, -1},
	{"blk.9.attn_output.weight", "attn.o", 9, -1},
	{"blk.9.ffn_norm.weight", "norm.mlp", 9, -1},
	{"blk.9.exp_probs_b.bias", "moe.router.correction.bias", 9, -1},
	{"token_embd.weight", "embed", -1, -1},
	{"output.weight", "head", -1, -1},
	{"output_norm.weight", "norm.final", -1, -1},
	/* adapters */
	{"layers.0.self_attn.v_proj.lora_B.default.weight", "attn.v.lora_b", 0, -1},
	{"layers.0.self_attn.v_proj.lora_magnitude_vector", "attn.v.lora_magnitude", 0, -1},
	{"blk.0.attn_v.weight.lora_a", "attn.v.lora_a", 0, -1},
	{"embed_tokens.lora_embedding_B", "embed.lora_a", -1, -1},
	/* Flax and TensorFlow */
	{"layers/4/self_attn/q_proj/kernel", "attn.q", 4, -1},
	{"encoder/layer_3/attention/self/query/kernel:0", "attn.q", 3, -1},
	/* unknown */
	{"conv1.weight", "conv1", -1, -1},
	{"conv1.bias", "conv1.bias", -1, -1},
	{"layer1.0.conv2.weight", "layer1.#.conv2", 0, -1},
	{"layer1.0.bn1.running_mean", "layer1.#.bn1.running_mean", 0, -1},
	{"down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q.weight",
	 "down_blocks.#.attentions.1.transformer_blocks.0.attn1.to_q", 2, -1},
	{"b.a.p.W", "b.a.p.W", -1, -1},
	{"gau_layers.0.positional_encoding.a", "gau_layers.#.positional_encoding.a", 0, -1},
	{"embedder.embedder.normalization.running_var", "bn1.running_var", -1, -1},
	{"resnet.encoder.stages.2.layers.1.layer.0.convolution.weight", "layer3.#.conv1", 1, -1},
	{"resnet.encoder.stages.2.layers.0.layer.2.normalization.bias", "layer3.#.bn3.bias", 0, -1},
	{"resnet.encoder.stages.1.layers.0.shortcut.convolution.weight", "layer2.#.downsample.0", 0, -1},
	{"stages.1.blocks.2.norm1.weight", "stages.#.blocks.2.norm1", 1, -1},
	{"0.weight", "#", 0, -1},
	{"x.123456.weight", "x.123456", -1, -1},
};

static const char *const prefixes[] = {
	"", "model.", "module.", "transformer.", "language_model.", "language_model.model.", "base_model.model.",
	"base_model.model.model.", "_orig_mod.", "module.model.language_model.", "backbone.",
};

/* A prefix that every tensor has, or none, changes nothing. */
static void roles_and_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		for (size_t p = 0; p < COUNT(prefixes); p++) {
			char full[200];
			struct made m;
			struct canon c;

			snprintf(full, sizeof full, "%s%s", prefixes[p], names[i].name);
			made_init(&m, &made_plain);
			made_add(&m, NULL, full, 4, 6, 0);
			assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
			assert_int_equal(c.n_parts, 1);
			if (strcmp(c.parts[0].role, names[i].role))
				print_message("%s\n", full);
			assert_string_equal(c.parts[0].role, names[i].role);
			assert_int_equal(c.parts[0].layer, names[i].layer);
			assert_int_equal(c.parts[0].expert, names[i].expert);
			canon_release(&c);
		}
}

/* Stable Diffusion in one file, and the same modules in a pipeline's directories. */
static void one_file_and_pipeline(void **state)
{
	static const char *const same[][2] = {
		{"model.diffusion_model.time_embed.2.weight", "unet.time_embedding.linear_2.weight"},
		{"model.diffusion_model.label_emb.0.0.weight", "unet.add_embedding.linear_1.weight"},
		{"model.diffusion_model.input_blocks.0.0.weight", "unet.conv_in.weight"},
		{"model.diffusion_model.input_blocks.1.0.in_layers.0.weight",
		 "unet.down_blocks.0.resnets.0.norm1.weight"},
		{"model.diffusion_model.input_blocks.2.1.proj_in.weight",
		 "unet.down_blocks.0.attentions.1.proj_in.weight"},
		{"model.diffusion_model.input_blocks.3.0.op.weight", "unet.down_blocks.0.downsamplers.0.conv.weight"},
		{"model.diffusion_model.input_blocks.11.0.out_layers.3.bias",
		 "unet.down_blocks.3.resnets.1.conv2.bias"},
		{"model.diffusion_model.middle_block.0.skip_connection.weight",
		 "unet.mid_block.resnets.0.conv_shortcut.weight"},
		{"model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.0.proj.weight",
		 "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"},
		{"model.diffusion_model.middle_block.2.emb_layers.1.weight",
		 "unet.mid_block.resnets.1.time_emb_proj.weight"},
		{"model.diffusion_model.output_blocks.2.1.conv.weight", "unet.up_blocks.0.upsamplers.0.conv.weight"},
		{"model.diffusion_model.output_blocks.5.2.conv.weight", "unet.up_blocks.1.upsamplers.0.conv.weight"},
		{"model.diffusion_model.output_blocks.11.0.in_layers.2.weight",
		 "unet.up_blocks.3.resnets.2.conv1.weight"},
		{"model.diffusion_model.output_blocks.3.1.norm.weight", "unet.up_blocks.1.attentions.0.norm.weight"},
		{"model.diffusion_model.out.0.weight", "unet.conv_norm_out.weight"},
		{"model.diffusion_model.out.2.weight", "unet.conv_out.weight"},
		{"first_stage_model.encoder.down.1.block.0.nin_shortcut.weight",
		 "vae.encoder.down_blocks.1.resnets.0.conv_shortcut.weight"},
		{"first_stage_model.encoder.down.0.downsample.conv.weight",
		 "vae.encoder.down_blocks.0.downsamplers.0.conv.weight"},
		{"first_stage_model.encoder.mid.block_1.conv1.weight", "vae.encoder.mid_block.resnets.0.conv1.weight"},
		{"first_stage_model.encoder.mid.attn_1.q.weight", "vae.encoder.mid_block.attentions.0.to_q.weight"},
		{"first_stage_model.decoder.mid.attn_1.norm.weight",
		 "vae.decoder.mid_block.attentions.0.group_norm.weight"},
		{"first_stage_model.decoder.mid.attn_1.proj_out.bias",
		 "vae.decoder.mid_block.attentions.0.proj_attn.bias"},
		{"first_stage_model.decoder.up.3.block.2.norm2.weight",
		 "vae.decoder.up_blocks.0.resnets.2.norm2.weight"},
		{"first_stage_model.decoder.up.1.upsample.conv.weight",
		 "vae.decoder.up_blocks.2.upsamplers.0.conv.weight"},
		{"first_stage_model.decoder.norm_out.weight", "vae.decoder.conv_norm_out.weight"},
		{"first_stage_model.quant_conv.weight", "vae.quant_conv.weight"},
		{"cond_stage_model.transformer.text_model.encoder.layers.3.self_attn.q_proj.weight",
		 "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.weight"},
		{"cond_stage_model.model.transformer.resblocks.3.mlp.c_fc.weight",
		 "text_encoder.text_model.encoder.layers.3.mlp.fc1.weight"},
		{"cond_stage_model.model.ln_final.weight", "text_encoder.text_model.final_layer_norm.weight"},
		{"conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight",
		 "text_encoder.text_model.embeddings.position_embedding.weight"},
		{"conditioner.embedders.1.model.token_embedding.weight",
		 "text_encoder_2.text_model.embeddings.token_embedding.weight"},
		{"conditioner.embedders.1.model.text_projection", "text_encoder_2.text_projection.weight"},
		{"control_model.zero_convs.4.0.weight", "controlnet.controlnet_down_blocks.4.weight"},
		{"control_model.input_hint_block.6.weight", "controlnet.controlnet_cond_embedding.blocks.2.weight"},
		{"control_model.middle_block_out.0.weight", "controlnet.controlnet_mid_block.weight"},
	};
	struct made m[2];
	struct canon c[2];

	(void)state;
	for (int k = 0; k < 2; k++) {
		made_init(&m[k], &made_plain);
		for (size_t i = 0; i < COUNT(same); i++)
			made_add(&m[k], NULL, same[i][k], 4, 6, 0);
		assert_int_equal(canon_of(&c[k], &m[k].w, NULL, NULL), 0);
		assert_int_equal(c[k].n_parts, COUNT(same));
	}
	for (size_t i = 0; i < COUNT(same); i++) {
		if (strcmp(c[0].parts[i].role, c[1].parts[i].role))
			print_message("%s\n", same[i][0]);
		assert_string_equal(c[0].parts[i].role, c[1].parts[i].role);
		assert_int_equal(c[0].parts[i].layer, c[1].parts[i].layer);
	}
	assert_true(c[0].parts[31].transposed && !c[1].parts[31].transposed);
	for (int k = 0; k < 2; k++)
		canon_release(&c[k]);
}

/* kohya's flat names are those of the modules they adapt, and so are diffusers' and PEFT's. */
static void loras(void **state)
{
	static const char *const same[][2] = {
		{"lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
		 "down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.down.weight"},
		{"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0.lora_up.weight",
		 "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight"},
		{"lora_unet_up_blocks_3_resnets_0_conv_shortcut.lora_down.weight",
		 "unet.up_blocks.3.resnets.0.conv_shortcut.lora_A.weight"},
		{"lora_te_text_model_encoder_layers_11_self_attn_out_proj.lora_up.weight",
		 "text_encoder.text_model.encoder.layers.11.self_attn.out_proj.lora_B.weight"},
		{"lora_te_text_model_encoder_layers_11_mlp_fc1.lora_up.weight",
		 "text_model.encoder.layers.11.mlp.fc1.lora_linear_layer.up.weight"},
		{"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
		 "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"},
		{"lora_unet_output_blocks_5_0_emb_layers_1.lora_down.weight",
		 "unet.up_blocks.1.resnets.2.time_emb_proj.lora_A.weight"},
		{"lora_unet_input_blocks_3_0_op.lora_down.weight",
		 "unet.down_blocks.0.downsamplers.0.conv.lora_A.weight"},
		{"lora_unet_label_emb_0_2.lora_down.weight", "unet.add_embedding.linear_2.lora_A.weight"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(same); i++) {
		struct canon c[2];

		for (int k = 0; k < 2; k++) {
			struct made m;

			made_init(&m, &made_plain);
			made_add(&m, NULL, same[i][k], 4, 6, 0);
			assert_int_equal(canon_of(&c[k], &m.w, NULL, NULL), 0);
		}
		if (strcmp(c[0].parts[0].role, c[1].parts[0].role))
			print_message("%s\n", same[i][0]);
		assert_string_equal(c[0].parts[0].role, c[1].parts[0].role);
		assert_int_equal(c[0].parts[0].layer, c[1].parts[0].layer);
		canon_release(&c[0]);
		canon_release(&c[1]);
	}
}

static const char *role_of(const struct canon *c, size_t tensor)
{
	for (size_t i = 0; i < c->n_parts; i++)
		if (c->parts[i].tensor == tensor)
			return c->parts[i].role;
	return NULL;
}

static void components(void **state)
{
	struct made m;
	struct canon c;

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "language_model.model.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "multi_modal_projector.linear_1.weight", 4, 4, 0);
	made_add(&m, NULL, "vision_tower.vision_model.post_layernorm.weight", 4, 0);
	made_add(&m, NULL, "language_model.model.norm.weight", 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_string_equal(role_of(&c, 0), "attn.q");
	assert_string_equal(role_of(&c, 1), "vision:attn.q");
	assert_string_equal(role_of(&c, 2), "multi_modal_projector.linear_1");
	assert_string_equal(role_of(&c, 3), "vision:norm.final");
	assert_string_equal(role_of(&c, 4), "norm.final");
	canon_release(&c);
	/* alone, a tower is a model like any other */
	made_init(&m, &made_plain);
	made_add(&m, NULL, "vision_model.encoder.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "visual_projection.weight", 4, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_string_equal(role_of(&c, 0), "attn.q");
	canon_release(&c);
	/* an encoder and a decoder: both say so; a norm of T5's decoder is the cross attention's */
	made_init(&m, &made_plain);
	made_add(&m, NULL, "encoder.block.0.layer.1.layer_norm.weight", 4, 0);
	made_add(&m, NULL, "decoder.block.0.layer.1.layer_norm.weight", 4, 0);
	made_add(&m, NULL, "decoder.block.0.layer.2.DenseReluDense.wi_0.weight", 4, 4, 0);
	made_add(&m, NULL, "shared.weight", 4, 4, 0);
	made_add(&m, NULL, "decoder.final_layer_norm.weight", 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_string_equal(c.family, "t5");
	assert_string_equal(role_of(&c, 0), "encoder:norm.mlp");
	assert_string_equal(role_of(&c, 1), "decoder:norm.xattn");
	assert_string_equal(role_of(&c, 2), "decoder:mlp.gate");
	assert_string_equal(role_of(&c, 3), "embed");
	assert_string_equal(role_of(&c, 4), "decoder:norm.final");
	canon_release(&c);
}

static void post_norms(void **state)
{
	struct made m;
	struct canon c;

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "model.layers.0.post_attention_layernorm.weight", 4, 0);
	made_add(&m, NULL, "model.layers.0.pre_feedforward_layernorm.weight", 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_string_equal(role_of(&c, 0), "norm.attn.post");
	assert_string_equal(role_of(&c, 1), "norm.mlp");
	canon_release(&c);
}

/* A mixer is a state space's or attention's; what a converter calls it says which. */
static void mixers(void **state)
{
	struct made m;
	struct canon c;

	(void)state;
	for (int ssm = 0; ssm < 2; ssm++) {
		made_init(&m, &made_plain);
		made_add(&m, NULL, ssm ? "backbone.layers.0.mixer.A_log" : "backbone.layers.0.mixer.Wqkv.weight", 12, 4,
			 0);
		made_add(&m, NULL, "backbone.layers.0.mixer.out_proj.weight", 4, 4, 0);
		assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
		assert_string_equal(role_of(&c, 1), ssm ? "ssm.out" : "attn.o");
		canon_release(&c);
	}
}

/* Whatever the names are: a role, layer and expert belong to one tensor. */
static void unique(void **state)
{
	struct made m;
	struct canon c;

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "model.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "module.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "actor.layers.0.self_attn.q_proj.weight", 4, 4, 0);
	made_add(&m, NULL, "lm_head.weight", 4, 4, 0);
	made_add(&m, NULL, "output.weight", 4, 4, 0);
	made_add(&m, NULL, "conv.weight", 4, 4, 0);
	made_add(&m, NULL, "module.conv.weight", 4, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	for (size_t i = 0; i < c.n_parts; i++)
		for (size_t j = 0; j < i; j++)
			assert_false(!strcmp(c.parts[i].role, c.parts[j].role) && c.parts[i].layer == c.parts[j].layer);
	assert_string_equal(role_of(&c, 0), "attn.q");
	assert_string_equal(role_of(&c, 3), "head");
	canon_release(&c);
}

/* Names made to break things are their own roles. */
static void hostile(void **state)
{
	static char longest[100001], dots[3001], deep[2 * 600 + 1];
	static const char *const odd[] = {
		"",
		".",
		"..",
		"...",
		".weight",
		"weight",
		"bias",
		"_bias",
		"layers",
		"layers.",
		"layers.1",
		"layers.1.",
		"layers..1",
		".layers.1.x",
		"lora_A",
		"lora_unet_",
		"lora_unet_.x",
		"lora_te_a__b.lora_up.weight",
		"a/b/",
		":0",
		"experts.1",
		"blk.0.",
		"processor.up",
		"lora.up",
		"_lora.down",
		"x.lora.down.weight",
		"conditioner.embedders.0",
		"conditioner.embedders.0.model.x",
		"layers.99999.self_attn.q_proj.weight",
		"layers.00000000001.q",
		"\xff\xfe.\x01",
		"v.blk",
		"h.0",
		"alpha",
		"x.alpha",
		"to_out_lora.up.weight",
		"model.model.model.model.model",
		"encoder",
		"decoder.encoder.0.x",
	};
	struct canon_hints h = {.heads = UINT32_MAX, .kv_heads = 1, .head_dim = 1};
	struct made m;
	struct canon c;

	(void)state;
	memset(longest, 'x', sizeof longest - 1);
	memset(dots, '.', sizeof dots - 1);
	for (size_t i = 0; i + 2 < sizeof deep; i += 2)
		memcpy(deep + i, "a.", 2);
	made_init(&m, &made_plain);
	for (size_t i = 0; i < COUNT(odd); i++)
		made_add(&m, NULL, odd[i], 2, 2, 0);
	made_add(&m, NULL, longest, 2, 2, 0);
	made_add(&m, NULL, dots, 2, 2, 0);
	made_add(&m, NULL, deep, 2, 2, 0);
	made_add(&m, NULL, "h.0.attn.c_attn.weight", 0);	/* a scalar where a matrix should be */
	made_add(&m, NULL, "h.1.attn.c_attn.weight", 3, 2, 2, 2, 0);
	made_add(&m, NULL, "blk.1.ffn_up_exps.weight", 5, 0);
	m.tensors[m.w.n_tensors - 1].shape[0] = 0;
	m.tensors[m.w.n_tensors - 1].elements = 0;
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	assert_true(c.n_parts >= m.w.n_tensors);
	canon_release(&c);
}

/* Random bytes and random words, for the sanitizers to watch. */
static void random_names(void **state)
{
	static const char *const words[] = {
		"layers",  "model",        "0",         "12",     "lora_A",    "weight",    "bias",
		"experts", "encoder",      "lora_unet", "_",      "processor", "to_q_lora", "up",
		"down",    "vision_model", "self_attn", "q_proj", "/",         ".",         "kernel",
		"default", "ffn_up",       "blk",       "v",      "embedding",
	};
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		char name[400] = "";
		struct tensor_name n;
		size_t len = 0, parts = (seed = seed * 6364136223846793005u + 1) >> 33;

		for (parts %= 12; parts--;) {
			const char *w = words[((seed = seed * 6364136223846793005u + 1) >> 33) % COUNT(words)];

			len += (size_t)snprintf(name + len, sizeof name - len, "%s%s", w, (seed >> 40) % 3 ? "." : "_");
		}
		tensor_name_parse(&n, name);
		assert_true(strlen(n.body) < sizeof n.body && strlen(n.module) < sizeof n.module);
		assert_true(n.layer >= -1 && n.layer < 100000);
	}
}

static void tables_sorted(void **state)
{
	(void)state;
	for (int block = 0; block < 2; block++) {
		unsigned n;
		const struct role_entry *t = role_table(block, &n);

		for (unsigned i = 1; i < n; i++)
			assert_true(strcmp(t[i - 1].name, t[i].name) < 0);
		for (unsigned i = 0; i < n; i++)
			assert_ptr_equal(block ? role_in_block(t[i].name) : role_outside(t[i].name), &t[i]);
	}
	assert_null(role_in_block("nothing"));
	assert_null(role_outside(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_sorted), cmocka_unit_test(roles_and_prefixes), cmocka_unit_test(loras),
		cmocka_unit_test(one_file_and_pipeline),
		cmocka_unit_test(components), cmocka_unit_test(post_norms), cmocka_unit_test(mixers),
		cmocka_unit_test(unique), cmocka_unit_test(hostile),
		cmocka_unit_test(random_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
