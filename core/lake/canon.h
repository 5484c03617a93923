#ifndef TARN_LAKE_CANON_H
#define TARN_LAKE_CANON_H
/*
 * What a tensor is, whatever it is called: canonical roles, layers, orientation and parts.
 *
 * The same weights have other names, other layouts and other orders in every ecosystem: a fused qkv
 * is q, k and v; GPT-2 stores Conv1D weights transposed; llama.cpp's export reorders the rows of q
 * and k for RoPE; a prefix ("model.", "language_model.", "transformer.", "module.") changes nothing.
 * canon_of maps each tensor to one or several *parts*, each a matrix in the canonical orientation
 * (rows = outputs, columns = inputs), so that equal parts of two models can be compared row by row.
 *
 * Roles are short words joined by dots, the same for every architecture that has the thing:
 *   embed  embed.pos  embed.type  head  norm.final  pool
 *   attn.q attn.k attn.v attn.o  attn.q_norm attn.k_norm   norm.attn norm.attn.post
 *   mlp.gate mlp.up mlp.down  norm.mlp norm.mlp.post   moe.router   (experts: expert >= 0)
 *   conv  conv.norm  fc …    a bias is the role of its weight + ".bias"
 *   lora.a / lora.b are the role they adapt + ".lora_a" / ".lora_b"
 * A name that is not understood is its own role: the name with its layer number replaced by '#' and
 * known wrapper prefixes removed.
 */
#include "core/format/format.h"

struct part {
	const char *role;	/* interned in the canon's arena: compare with strcmp */
	int32_t layer;		/* block number, -1 where there is none */
	int32_t expert;		/* -1 where there is none */
	uint32_t tensor;	/* index into weights->tensors */
	uint64_t rows, cols;	/* canonical shape; a vector of n is n x 1; dimensions beyond two are folded into cols */
	uint64_t first;		/* stored row (or column, when transposed) at which the part begins */
	bool transposed;	/* stored as cols x rows */
	uint32_t rope_heads;	/* > 0: stored rows are in llama.cpp's order for this many heads */
	/* Interleaved fused layouts (NeoX, BLOOM, Falcon: q, k, v of each head together): `run` rows of the part follow
	 * each other, the next run begins `stride` stored rows after this one, the first at first + phase. stride 0:
	 * contiguous. */
	uint32_t stride, phase, run;
	uint64_t base;		/* elements of the tensor before its matrix (experts stacked in front) */
	uint64_t ld;		/* elements from one stored row to the next */
	float offset;		/* to add to what is stored: llama.cpp keeps 1 + w of Gemma's norms */
};

struct canon {
	struct arena arena;
	struct part *parts;	/* in tensor order, then part order */
	size_t n_parts;
	uint32_t layers;	/* number of blocks: largest layer + 1 */
	const char *family;	/* the naming family recognised: "llama", "gpt2", "neox", "bert", "vit", "gguf", … or "other" */
};

/* What the config says that names do not: from config.json or the container's own metadata. Zeros where unknown. */
struct canon_hints {
	const char *architecture;	/* "LlamaForCausalLM", GGUF "llama"; may be NULL */
	uint32_t heads, kv_heads, head_dim, layers, hidden;
};

/* Never fails but for memory: what is not understood is its own role. */
int canon_of(struct canon *c, const struct weights *w, const struct canon_hints *hints, struct err *e);
void canon_release(struct canon *c);
/* Hints out of GGUF key-values or a config.json value tree (either may be NULL). */
void canon_hints_from(struct canon_hints *h, const struct value *config, const struct value *gguf);

/* Of a role: 'a' or 'b' when it is that factor of a low-rank update (Hu et al. 2021), its matrix's role and CANON_FACTOR
 * characters more; else 0. */
enum { CANON_FACTOR = 7 };
char canon_factor(const char *role);

/* Row r of a part as float32, cols values. Undoes transposition, parts and RoPE order. */
int canon_read_row(const struct weights *w, const struct part *p, uint64_t row, float *out, struct err *e);
/* Rows [row, row+n): n*cols values. Faster than one by one where the layout lets it. */
int canon_read_rows(const struct weights *w, const struct part *p, uint64_t row, uint64_t n, float *out, struct err *e);
/* Elements at the given columns (ascending) of the given rows (ascending): nr*nc values, row-major.
 * Reads as few bytes as the layout allows. */
int canon_read_grid(const struct weights *w, const struct part *p, const uint64_t *rows, size_t nr,
		    const uint64_t *cols, size_t nc, float *out, struct err *e);

#endif
