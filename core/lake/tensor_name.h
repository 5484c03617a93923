#ifndef TARN_LAKE_TENSOR_NAME_H
#define TARN_LAKE_TENSOR_NAME_H
/*
 * A tensor's name taken apart: wrapper, component, block number, expert, module, parameter.
 * Private to core/lake. Nothing is allocated; a name too long or too deep is `opaque`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_NAME_MAX = 500, TENSOR_NAME_WORDS = 40 };

enum lora_kind { LORA_NONE, LORA_A, LORA_B, LORA_A_T, LORA_B_T /* MLX: stored inputs x rank, rank x outputs */,
	LORA_EMBED_A, LORA_EMBED_B, LORA_MAGNITUDE, LORA_ALPHA, LORA_MID };

struct tensor_name {
	bool opaque;
	bool bias;
	bool kernel;			/* Flax, TensorFlow: a dense kernel is stored inputs x outputs */
	enum lora_kind lora;
	const char *component;		/* "", "vision", "text", …: what larger thing it belongs to */
	char side;			/* 'e' encoder, 'd' decoder, 0 neither */
	int32_t layer, expert;		/* -1: none */
	char text[2 * TENSOR_NAME_MAX];
	char body[2 * TENSOR_NAME_MAX];	/* own role: without wrappers and ".weight", the block number as '#' */
	char module[2 * TENSOR_NAME_MAX];	/* below the block (in_block), else outside of it: what the role tables know */
	bool in_block;			/* the number follows a word that holds blocks */
};

void tensor_name_parse(struct tensor_name *n, const char *tensor_name);

#endif
