/* The table of element types, and the decoders of the plain ones. */
#include "core/format/dtype.h"

#include "core/base/mem.h"
#include "core/format/dtype_internal.h"

#include <math.h>

VECTORISE

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little-endian and are read as they are");

float f16_to_f32(uint16_t h)
{
	return half(h);
}

uint16_t f32_to_f16(float f)
{
	uint32_t u = bits_of_float(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
	if (mag > 0x7f800000)
		return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
	if (mag >= 0x477ff000)		/* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (mag < 0x38800000) {		/* subnormal: let the adder round at 2^-24 */
		float magic = float_of_bits(0x3f000000);	/* 0.5: its last place is 2^-24 */
		return (uint16_t)(sign | (bits_of_float(float_of_bits(mag) + magic) - 0x3f000000));
	}
	mag += 0xc8000000u + 0xfff + (mag >> 13 & 1);		/* exponent 127 -> 15, and half a last place, ties to even */
	return (uint16_t)(sign | mag >> 13);
}

uint16_t f32_to_bf16(float f)
{
	uint32_t u = bits_of_float(f);
	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* A decoder of elements that are one C object each. */
#define PLAIN(name, type, expr)							\
	static void name(const void *src, float *restrict dst, size_t n)	\
	{									\
		const char *restrict s = src;					\
		for (size_t i = 0; i < n; i++) {				\
			type x;	/* src is not aligned */			\
			memcpy(&x, s + i * sizeof x, sizeof x);			\
			dst[i] = (expr);					\
		}								\
	}

struct c64 { float re, im; };
struct c128 { double re, im; };

PLAIN(from_f64, double, (float)x)
PLAIN(from_f32, float, x)
PLAIN(from_f16, uint16_t, half(x))
PLAIN(from_bf16, uint16_t, bf16_to_f32(x))
PLAIN(from_e4m3, uint8_t, signed_float((x & 0x7f) == 0x7f ? NAN : small_float(x & 0x7f, 3, 7), x >> 7))
PLAIN(from_e5m2, uint8_t, half((uint32_t)x << 8))
PLAIN(from_e8m0, uint8_t, x == 0xff ? NAN : float_of_bits(x ? (uint32_t)x << 23 : 0x00400000u))
PLAIN(from_e4m3fnuz, uint8_t, x == 0x80 ? NAN : signed_float(small_float(x & 0x7f, 3, 8), x >> 7))
PLAIN(from_e5m2fnuz, uint8_t, x == 0x80 ? NAN : signed_float(small_float(x & 0x7f, 2, 16), x >> 7))
PLAIN(from_i64, int64_t, (float)x)
PLAIN(from_i32, int32_t, (float)x)
PLAIN(from_i16, int16_t, (float)x)
PLAIN(from_i8, int8_t, (float)x)
PLAIN(from_u64, uint64_t, (float)x)
PLAIN(from_u32, uint32_t, (float)x)
PLAIN(from_u16, uint16_t, (float)x)
PLAIN(from_u8, uint8_t, (float)x)
PLAIN(from_bool, uint8_t, x ? 1.0f : 0.0f)
PLAIN(from_c64, struct c64, x.re)
PLAIN(from_c128, struct c128, (float)x.re)

/* Two elements a byte, the low half first. */
#define NIBBLES(name, expr)							\
	static void name(const void *src, float *restrict dst, size_t n)	\
	{									\
		const uint8_t *s = src;						\
		for (size_t i = 0; i < n; i++) {				\
			uint32_t x = s[i / 2] >> (i % 2 * 4) & 15;		\
			dst[i] = (expr);					\
		}								\
	}

NIBBLES(from_f4, signed_float(small_float(x & 7, 1, 1), x >> 3))
NIBBLES(from_i4, (float)((int)(x ^ 8) - 8))
NIBBLES(from_u4, (float)x)

/* Four elements in three bytes, as a little-endian stream of bits. */
#define SIXES(name, man, bias)                                                                                         \
	static void name(const void *src, float *restrict dst, size_t n)                                               \
	{                                                                                                              \
		const uint8_t *s = src;                                                                                \
		for (size_t i = 0; i < n; i++) {                                                                       \
			const uint8_t *p = s + i / 4 * 3;                                                              \
			uint32_t x =                                                                                   \
				((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) >> (i % 4 * 6) & 63;     \
			dst[i] = signed_float(small_float(x & 31, man, bias), x >> 5);                                 \
		}                                                                                                      \
	}

SIXES(from_e2m3, 3, 1)
SIXES(from_e3m2, 2, 3)

#define FLOATING(n, size, f) {.name = n, .block = 1, .bytes = size, .floating = true, .to_f32 = f}
#define INTEGER(n, size, f) {.name = n, .block = 1, .bytes = size, .to_f32 = f}
#define BITS(n, elements, size, bits, real, f) \
	{.name = n, .block = elements, .bytes = size, .block_bits = bits, .floating = real, .to_f32 = f}
#define BLOCK(n, elements, size, f) \
	{.name = n, .block = elements, .bytes = size, .quantised = true, .floating = true, .to_f32 = f}
#define COMPOSITE(n) {.name = n, .block = 1, .quantised = true, .floating = true}

static const struct dtype_info table[DTYPE_COUNT] = {
	[DTYPE_NONE] = {.name = "none", .block = 1},
	[DTYPE_F64] = FLOATING("F64", 8, from_f64),
	[DTYPE_F32] = FLOATING("F32", 4, from_f32),
	[DTYPE_F16] = FLOATING("F16", 2, from_f16),
	[DTYPE_BF16] = FLOATING("BF16", 2, from_bf16),
	[DTYPE_F8_E4M3] = FLOATING("F8_E4M3", 1, from_e4m3),
	[DTYPE_F8_E5M2] = FLOATING("F8_E5M2", 1, from_e5m2),
	[DTYPE_F8_E8M0] = FLOATING("F8_E8M0", 1, from_e8m0),
	[DTYPE_F8_E4M3FNUZ] = FLOATING("F8_E4M3FNUZ", 1, from_e4m3fnuz),
	[DTYPE_F8_E5M2FNUZ] = FLOATING("F8_E5M2FNUZ", 1, from_e5m2fnuz),
	[DTYPE_F6_E2M3] = BITS("F6_E2M3", 4, 3, 6, true, from_e2m3),
	[DTYPE_F6_E3M2] = BITS("F6_E3M2", 4, 3, 6, true, from_e3m2),
	[DTYPE_F4] = BITS("F4", 2, 1, 4, true, from_f4),
	[DTYPE_I64] = INTEGER("I64", 8, from_i64),
	[DTYPE_I32] = INTEGER("I32", 4, from_i32),
	[DTYPE_I16] = INTEGER("I16", 2, from_i16),
	[DTYPE_I8] = INTEGER("I8", 1, from_i8),
	[DTYPE_I4] = BITS("I4", 2, 1, 4, false, from_i4),
	[DTYPE_U64] = INTEGER("U64", 8, from_u64),
	[DTYPE_U32] = INTEGER("U32", 4, from_u32),
	[DTYPE_U16] = INTEGER("U16", 2, from_u16),
	[DTYPE_U8] = INTEGER("U8", 1, from_u8),
	[DTYPE_U4] = BITS("U4", 2, 1, 4, false, from_u4),
	[DTYPE_BOOL] = INTEGER("BOOL", 1, from_bool),
	[DTYPE_C64] = INTEGER("C64", 8, from_c64),
	[DTYPE_C128] = INTEGER("C128", 16, from_c128),
	[DTYPE_Q4_0] = BLOCK("Q4_0", 32, 18, q4_0_decode),
	[DTYPE_Q4_1] = BLOCK("Q4_1", 32, 20, q4_1_decode),
	[DTYPE_Q5_0] = BLOCK("Q5_0", 32, 22, q5_0_decode),
	[DTYPE_Q5_1] = BLOCK("Q5_1", 32, 24, q5_1_decode),
	[DTYPE_Q8_0] = BLOCK("Q8_0", 32, 34, q8_0_decode),
	[DTYPE_Q8_1] = BLOCK("Q8_1", 32, 36, q8_1_decode),
	[DTYPE_Q2_K] = BLOCK("Q2_K", 256, 84, q2_k_decode),
	[DTYPE_Q3_K] = BLOCK("Q3_K", 256, 110, q3_k_decode),
	[DTYPE_Q4_K] = BLOCK("Q4_K", 256, 144, q4_k_decode),
	[DTYPE_Q5_K] = BLOCK("Q5_K", 256, 176, q5_k_decode),
	[DTYPE_Q6_K] = BLOCK("Q6_K", 256, 210, q6_k_decode),
	[DTYPE_Q8_K] = BLOCK("Q8_K", 256, 292, q8_k_decode),
	[DTYPE_IQ2_XXS] = BLOCK("IQ2_XXS", 256, 66, iq2_xxs_decode),
	[DTYPE_IQ2_XS] = BLOCK("IQ2_XS", 256, 74, iq2_xs_decode),
	[DTYPE_IQ2_S] = BLOCK("IQ2_S", 256, 82, iq2_s_decode),
	[DTYPE_IQ3_XXS] = BLOCK("IQ3_XXS", 256, 98, iq3_xxs_decode),
	[DTYPE_IQ3_S] = BLOCK("IQ3_S", 256, 110, iq3_s_decode),
	[DTYPE_IQ1_S] = BLOCK("IQ1_S", 256, 50, iq1_s_decode),
	[DTYPE_IQ1_M] = BLOCK("IQ1_M", 256, 56, iq1_m_decode),
	[DTYPE_IQ4_NL] = BLOCK("IQ4_NL", 32, 18, iq4_nl_decode),
	[DTYPE_IQ4_XS] = BLOCK("IQ4_XS", 256, 136, iq4_xs_decode),
	[DTYPE_TQ1_0] = BLOCK("TQ1_0", 256, 54, tq1_0_decode),
	[DTYPE_TQ2_0] = BLOCK("TQ2_0", 256, 66, tq2_0_decode),
	[DTYPE_MXFP4] = BLOCK("MXFP4", 32, 17, mxfp4_decode),
	[DTYPE_NVFP4] = BLOCK("NVFP4", 64, 36, nvfp4_decode),
	[DTYPE_Q1_0] = BLOCK("Q1_0", 128, 18, q1_0_decode),
	[DTYPE_Q2_0] = BLOCK("Q2_0", 64, 18, q2_0_decode),
	[DTYPE_BNB_INT8] = COMPOSITE("BNB_INT8"),
	[DTYPE_BNB_NF4] = COMPOSITE("BNB_NF4"),
	[DTYPE_BNB_FP4] = COMPOSITE("BNB_FP4"),
	[DTYPE_GPTQ] = COMPOSITE("GPTQ"),
	[DTYPE_AWQ] = COMPOSITE("AWQ"),
	[DTYPE_CT_INT8] = COMPOSITE("CT_INT8"),
	[DTYPE_CT_INT4] = COMPOSITE("CT_INT4"),
	[DTYPE_CT_FP8] = COMPOSITE("CT_FP8"),
	[DTYPE_MLX] = COMPOSITE("MLX"),
	[DTYPE_CT_MXFP4] = COMPOSITE("CT_MXFP4"),
	[DTYPE_CT_MXFP8] = COMPOSITE("CT_MXFP8"),
	[DTYPE_CT_NVFP4] = COMPOSITE("CT_NVFP4"),
};

const struct dtype_info *dtype_info(enum dtype d)
{
	return &table[d < DTYPE_COUNT ? d : DTYPE_NONE];
}

enum dtype dtype_by_name(const char *name)
{
	for (int d = DTYPE_NONE + 1; d <= DTYPE_C128; d++)
		if (!strcmp(table[d].name, name))
			return (enum dtype)d;
	return DTYPE_NONE;
}

/* ggml.h's enum ggml_type; numbers that were withdrawn (4, 5, 31-33, 36-38) are unknown. */
enum dtype dtype_by_ggml(uint32_t type)
{
	static const uint8_t types[] = {
		[0] = DTYPE_F32,      [1] = DTYPE_F16,     [2] = DTYPE_Q4_0,     [3] = DTYPE_Q4_1,
		[6] = DTYPE_Q5_0,     [7] = DTYPE_Q5_1,    [8] = DTYPE_Q8_0,     [9] = DTYPE_Q8_1,
		[10] = DTYPE_Q2_K,    [11] = DTYPE_Q3_K,   [12] = DTYPE_Q4_K,    [13] = DTYPE_Q5_K,
		[14] = DTYPE_Q6_K,    [15] = DTYPE_Q8_K,   [16] = DTYPE_IQ2_XXS, [17] = DTYPE_IQ2_XS,
		[18] = DTYPE_IQ3_XXS, [19] = DTYPE_IQ1_S,  [20] = DTYPE_IQ4_NL,  [21] = DTYPE_IQ3_S,
		[22] = DTYPE_IQ2_S,   [23] = DTYPE_IQ4_XS, [24] = DTYPE_I8,      [25] = DTYPE_I16,
		[26] = DTYPE_I32,     [27] = DTYPE_I64,    [28] = DTYPE_F64,     [29] = DTYPE_IQ1_M,
		[30] = DTYPE_BF16,    [34] = DTYPE_TQ1_0,  [35] = DTYPE_TQ2_0,   [39] = DTYPE_MXFP4,
		[40] = DTYPE_NVFP4,   [41] = DTYPE_Q1_0,   [42] = DTYPE_Q2_0,
	};
	return type < COUNT(types) ? (enum dtype)types[type] : DTYPE_NONE;
}

bool dtype_size(enum dtype d, uint64_t n, uint64_t *bytes)
{
	const struct dtype_info *i = dtype_info(d);
	return n % i->block == 0 && !__builtin_mul_overflow(n / i->block, (uint64_t)i->bytes, bytes);
}
