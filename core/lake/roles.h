#ifndef TARN_LAKE_ROLES_H
#define TARN_LAKE_ROLES_H
/*
 * The naming families, as tables: what a module's name in a block, or outside of the blocks, stands for.
 * Private to core/lake. Sources: the modelling files of transformers, timm, OpenAI's whisper and CLIP,
 * llama.cpp's tensor_mapping.py, Meta's and Mistral's checkpoints, as publicly documented.
 */
#include <stdint.h>
#include <stdbool.h>

/* How one stored tensor becomes parts. */
enum split {
	SPLIT_NONE,
	SPLIT_QKV,		/* q, then k, then v */
	SPLIT_QKV_GROUPS,	/* for each kv head: its q heads, its k head, its v head (NeoX, BLOOM, Falcon, InternLM2) */
	SPLIT_KV,		/* k, then v */
	SPLIT_GATE_UP,		/* gate, then up */
	SPLIT_FFN_UP,		/* up; or gate and up where the block has no gate of its own (phi3, chatglm in GGUF) */
	SPLIT_EXPERTS,		/* one matrix an expert, stacked in front */
	SPLIT_EXPERTS_GATE_UP,	/* the same, each with gate then up */
};

enum {
	ROLE_CONV1D = 1,	/* stored inputs x outputs in GPT-2's own modules */
	ROLE_ROPE_Q = 2,	/* rows may be in llama.cpp's RoPE order */
	ROLE_ROPE_K = 4,
	ROLE_META = 8,		/* a name of Meta's own checkpoints: rows always in that order */
	ROLE_POST = 16,		/* norm.mlp, but norm.attn.post where the block norms its feed-forward by another name */
	ROLE_CROSS = 32,	/* T5: in a decoder this is the cross attention's */
	ROLE_SSM = 64,		/* a state space model's, where there is one; else attention's */
};

struct role_entry {
	const char *name;	/* the module below the block, experts' numbers as '@' */
	const char *role;
	const char *family;	/* or NULL where many use the name */
	uint8_t split, flags;
};

/* NULL when the name is not known. */
const struct role_entry *role_in_block(const char *name);
const struct role_entry *role_outside(const char *name);

/* For the tests: the tables must be sorted bytewise. */
const struct role_entry *role_table(bool block, unsigned *n);
const struct role_entry *role_table_outside(unsigned *n);

#endif
