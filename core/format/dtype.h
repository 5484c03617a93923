#ifndef TARN_FORMAT_DTYPE_H
#define TARN_FORMAT_DTYPE_H
/*
 * Element types: how many bytes a block of elements takes and how to make float32 of it.
 * Plain types have blocks of one element; the quantised types of GGUF have blocks of 32 or 256.
 * Sources: safetensors' README and tensor.rs; ggml's ggml-common.h/ggml-quants.c (layouts);
 * OCP 8-bit and Microscaling formats (OFP8 v1.0, MX v1.0).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
	DTYPE_NONE,
	DTYPE_F64, DTYPE_F32, DTYPE_F16, DTYPE_BF16,
	DTYPE_F8_E4M3, DTYPE_F8_E5M2, DTYPE_F8_E8M0, DTYPE_F8_E4M3FNUZ, DTYPE_F8_E5M2FNUZ,
	DTYPE_F6_E2M3, DTYPE_F6_E3M2, DTYPE_F4,
	DTYPE_I64, DTYPE_I32, DTYPE_I16, DTYPE_I8, DTYPE_I4,
	DTYPE_U64, DTYPE_U32, DTYPE_U16, DTYPE_U8, DTYPE_U4, DTYPE_BOOL,
	DTYPE_C64, DTYPE_C128,		/* complex: read as two floats an element are NOT given; magnitude's real part only */
	DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q8_1,
	DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_Q8_K,
	DTYPE_IQ2_XXS, DTYPE_IQ2_XS, DTYPE_IQ2_S, DTYPE_IQ3_XXS, DTYPE_IQ3_S, DTYPE_IQ1_S, DTYPE_IQ1_M,
	DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_TQ1_0, DTYPE_TQ2_0, DTYPE_MXFP4, DTYPE_NVFP4, DTYPE_Q1_0, DTYPE_Q2_0,
	/* the ecosystem's ways of packing a quantised tensor with its scales; read through their weights */
	DTYPE_BNB_INT8, DTYPE_BNB_NF4, DTYPE_BNB_FP4, DTYPE_GPTQ, DTYPE_AWQ, DTYPE_CT_INT8, DTYPE_CT_INT4, DTYPE_CT_FP8,
	DTYPE_MLX, DTYPE_CT_MXFP4, DTYPE_CT_MXFP8, DTYPE_CT_NVFP4,
	DTYPE_COUNT
};

struct dtype_info {
	const char *name;	/* as its own ecosystem writes it: "BF16", "Q4_K", "F8_E4M3" */
	uint32_t block;		/* elements in a block */
	uint32_t bytes;		/* bytes of a block; 0: not stored contiguously (composite) */
	uint32_t block_bits;	/* for sub-byte plain types: bits of an element, else 0 */
	bool quantised;		/* blocks with scales */
	bool floating;		/* a real-valued type (also when quantised) */
	/* n elements (a multiple of block) from src; NULL where the type is not read */
	void (*to_f32)(const void *src, float *dst, size_t n);
};

const struct dtype_info *dtype_info(enum dtype d);	/* never NULL for d < DTYPE_COUNT */
enum dtype dtype_by_name(const char *name);		/* safetensors' names; DTYPE_NONE if unknown */
enum dtype dtype_by_ggml(uint32_t type);		/* ggml_type numbers; DTYPE_NONE if unknown */
/* Bytes of n elements; false on overflow or when n is not whole blocks (or whole bytes). */
bool dtype_size(enum dtype d, uint64_t n, uint64_t *bytes);

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);		/* round to nearest even */
static inline float bf16_to_f32(uint16_t h)
{
	union { uint32_t u; float f; } v = {.u = (uint32_t)h << 16};
	return v.f;
}
uint16_t f32_to_bf16(float f);		/* round to nearest even, NaN kept */

#endif
