#ifndef TARN_FORMAT_DTYPE_INTERNAL_H
#define TARN_FORMAT_DTYPE_INTERNAL_H
/* Decoders of ggml's block types (dtype_ggml.c, dtype_iq.c), n elements each. Private to format. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* gcc vectorises at -O2 only what it can do without a remainder loop; these loops are worth it. */
#if defined(__GNUC__) && !defined(__clang__)
#define VECTORISE _Pragma("GCC optimize(\"O3\")")
#else
#define VECTORISE
#endif

/* n elements, a multiple of the block. */
void q4_0_decode(const void *src, float *dst, size_t n);
void q4_1_decode(const void *src, float *dst, size_t n);
void q5_0_decode(const void *src, float *dst, size_t n);
void q5_1_decode(const void *src, float *dst, size_t n);
void q8_0_decode(const void *src, float *dst, size_t n);
void q8_1_decode(const void *src, float *dst, size_t n);
void q2_k_decode(const void *src, float *dst, size_t n);
void q3_k_decode(const void *src, float *dst, size_t n);
void q4_k_decode(const void *src, float *dst, size_t n);
void q5_k_decode(const void *src, float *dst, size_t n);
void q6_k_decode(const void *src, float *dst, size_t n);
void q8_k_decode(const void *src, float *dst, size_t n);
void tq1_0_decode(const void *src, float *dst, size_t n);
void tq2_0_decode(const void *src, float *dst, size_t n);
void mxfp4_decode(const void *src, float *dst, size_t n);
void nvfp4_decode(const void *src, float *dst, size_t n);
void q1_0_decode(const void *src, float *dst, size_t n);
void q2_0_decode(const void *src, float *dst, size_t n);
void iq2_xxs_decode(const void *src, float *dst, size_t n);
void iq2_xs_decode(const void *src, float *dst, size_t n);
void iq2_s_decode(const void *src, float *dst, size_t n);
void iq3_xxs_decode(const void *src, float *dst, size_t n);
void iq3_s_decode(const void *src, float *dst, size_t n);
void iq1_s_decode(const void *src, float *dst, size_t n);
void iq1_m_decode(const void *src, float *dst, size_t n);
void iq4_nl_decode(const void *src, float *dst, size_t n);
void iq4_xs_decode(const void *src, float *dst, size_t n);

static inline float float_of_bits(uint32_t u)
{
	float f;
	memcpy(&f, &u, sizeof f);
	return f;
}

static inline uint32_t bits_of_float(float f)
{
	uint32_t u;
	memcpy(&u, &f, sizeof u);
	return u;
}

/*
 * A small float's magnitude bits (`man` of mantissa, exponent bias `bias`, subnormals, no specials) as float32.
 * Without a float32 subnormal on the way: those are slow, and lost where a library has set flush-to-zero.
 */
static inline float small_float(uint32_t mag, int man, int bias)
{
	const uint32_t shift = (uint32_t)(127 - bias) << 23, one = 1u << 23;
	uint32_t x = (mag << (23 - man)) + shift;
	float normal = float_of_bits(x), sub = float_of_bits(x + one) - float_of_bits(shift + one);
	return mag >> man ? normal : sub;
}

static inline float signed_float(float magnitude, uint32_t negative)
{
	return float_of_bits(bits_of_float(magnitude) | negative << 31);
}

static inline float half(uint32_t h)
{
	uint32_t mag = h & 0x7fff;
	uint32_t special = mag >= 0x7c00 ? 0x7f800000u | mag << 13 : 0;
	return signed_float(float_of_bits(bits_of_float(small_float(mag, 10, 15)) * !special | special), h >> 15);
}

/* The halves that the blocks' scales are, and words: nothing in a block is aligned. */
static inline uint16_t word16(const uint8_t *p)
{
	uint16_t u;
	memcpy(&u, p, sizeof u);
	return u;
}

static inline uint32_t word32(const uint8_t *p)
{
	uint32_t u;
	memcpy(&u, p, sizeof u);
	return u;
}

static inline float half_at(const uint8_t *p)
{
	return half(word16(p));
}

/* NAME_decode: n elements block by block, each by NAME_block. */
#define BLOCKS(name, elements, bytes)							\
	void name##_decode(const void *src, float *dst, size_t n)			\
	{										\
		const uint8_t *p = src;							\
		for (size_t i = 0; i < n / (elements); i++)				\
			name##_block(p + i * (bytes), dst + i * (elements));		\
	}

#endif
