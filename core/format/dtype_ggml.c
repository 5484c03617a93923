/*
 * ggml's block types with linear steps, small floats and ternaries. Layouts: ggml-common.h; what they mean:
 * ggml-quants.c and gguf-py/gguf/quants.py. Sums and products are made in their order, so that the results are theirs
 * to the last bit.
 */
#include "core/format/dtype_internal.h"

VECTORISE

/* --- blocks of 32: a scale, perhaps an offset; the low halves of the bytes are the first 16 --- */

static inline void q4_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int j = 0; j < 16; j++) {
		y[j] = (float)((p[2 + j] & 15) - 8) * d;
		y[j + 16] = (float)((p[2 + j] >> 4) - 8) * d;
	}
}
BLOCKS(q4_0, 32, 18)

static inline void q4_1_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p), m = half_at(p + 2);
	for (int j = 0; j < 16; j++) {
		y[j] = (float)(p[4 + j] & 15) * d + m;
		y[j + 16] = (float)(p[4 + j] >> 4) * d + m;
	}
}
BLOCKS(q4_1, 32, 20)

static inline void q5_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	uint32_t high = word32(p + 2);
	for (int j = 0; j < 16; j++) {
		y[j] = (float)((int)((p[6 + j] & 15) | (high >> j & 1) << 4) - 16) * d;
		y[j + 16] = (float)((int)((uint32_t)p[6 + j] >> 4 | (high >> (j + 16) & 1) << 4) - 16) * d;
	}
}
BLOCKS(q5_0, 32, 22)

static inline void q5_1_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p), m = half_at(p + 2);
	uint32_t high = word32(p + 4);
	for (int j = 0; j < 16; j++) {
		y[j] = (float)(int)((p[8 + j] & 15) | (high >> j & 1) << 4) * d + m;
		y[j + 16] = (float)(int)((uint32_t)p[8 + j] >> 4 | (high >> (j + 16) & 1) << 4) * d + m;
	}
}
BLOCKS(q5_1, 32, 24)

static inline void q8_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int j = 0; j < 32; j++)
		y[j] = (float)(int8_t)p[2 + j] * d;
}
BLOCKS(q8_0, 32, 34)

/* The second half-precision number is a sum, for dot products. */
static inline void q8_1_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int j = 0; j < 32; j++)
		y[j] = (float)(int8_t)p[4 + j] * d;
}
BLOCKS(q8_1, 32, 36)

/* --- one and two bits --- */

static inline void q1_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int j = 0; j < 128; j++)
		y[j] = p[2 + j / 8] >> j % 8 & 1 ? d : -d;
}
BLOCKS(q1_0, 128, 18)

static inline void q2_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int j = 0; j < 64; j++)
		y[j] = (float)((p[2 + j / 4] >> j % 4 * 2 & 3) - 1) * d;
}
BLOCKS(q2_0, 64, 18)

/* Five ternary digits a byte, as a fraction of 243 in 256ths: digit k is the integer part after k+1 times 3. */
static inline float *ternary(const uint8_t *restrict q, int bytes, int digits, float d, float *restrict y)
{
	static const uint8_t powers[5] = {1, 3, 9, 27, 81};
	for (int k = 0; k < digits; k++)
		for (int j = 0; j < bytes; j++) {
			uint8_t rest = (uint8_t)(q[j] * powers[k]);
			*y++ = (float)((rest * 3 >> 8) - 1) * d;
		}
	return y;
}

static inline void tq1_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p + 52);
	y = ternary(p, 32, 5, d, y);
	y = ternary(p + 32, 16, 5, d, y);
	ternary(p + 48, 4, 4, d, y);
}
BLOCKS(tq1_0, 256, 54)

static inline void tq2_0_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p + 64);
	for (int c = 0; c < 2; c++)
		for (int k = 0; k < 4; k++)
			for (int j = 0; j < 32; j++)
				y[c * 128 + k * 32 + j] = (float)((p[c * 32 + j] >> 2 * k & 3) - 1) * d;
}
BLOCKS(tq2_0, 256, 66)

/* --- four-bit floats: E2M1, here doubled so that they are whole, under a scale that is halved --- */

static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static inline void mxfp4_block(const uint8_t *restrict p, float *restrict y)
{
	float d = float_of_bits(p[0] < 2 ? 0x00200000u << p[0] : (uint32_t)(p[0] - 1) << 23);
	for (int j = 0; j < 16; j++) {
		y[j] = (float)e2m1_doubled[p[1 + j] & 15] * d;
		y[j + 16] = (float)e2m1_doubled[p[1 + j] >> 4] * d;
	}
}
BLOCKS(mxfp4, 32, 17)

static inline void nvfp4_block(const uint8_t *restrict p, float *restrict y)
{
	for (int s = 0; s < 4; s++) {
		const uint8_t *q = p + 4 + s * 8;
		/* E4M3 without a sign; its NaN is a zero to ggml */
		float d = p[s] == 0x7f ? 0 : small_float(p[s] & 0x7f, 3, 7) * 0.5f;
		for (int j = 0; j < 8; j++) {
			y[s * 16 + j] = (float)e2m1_doubled[q[j] & 15] * d;
			y[s * 16 + 8 + j] = (float)e2m1_doubled[q[j] >> 4] * d;
		}
	}
}
BLOCKS(nvfp4, 64, 36)

/* --- K types: blocks of 256 in sub-blocks of 16 or 32 that have scales of their own --- */

static inline void q2_k_block(const uint8_t *restrict p, float *restrict y)
{
	const uint8_t *scales = p, *q = p + 16;
	float d = half_at(p + 80), min = half_at(p + 82);
	for (int s = 0; s < 16; s++) {	/* sub-block: chunk of 128, then bit pair, then half of the chunk's 32 bytes */
		const uint8_t *b = q + s / 8 * 32 + s % 2 * 16;
		int shift = s % 8 / 2 * 2;
		float dl = d * (float)(scales[s] & 15), ml = min * (float)(scales[s] >> 4);
		for (int j = 0; j < 16; j++)
			y[s * 16 + j] = dl * (float)(b[j] >> shift & 3) - ml;
	}
}
BLOCKS(q2_k, 256, 84)

static inline void q3_k_block(const uint8_t *restrict p, float *restrict y)
{
	const uint8_t *mask = p, *q = p + 32, *scales = p + 96;
	float d = half_at(p + 108);
	for (int s = 0; s < 16; s++) {
		const uint8_t *b = q + s / 8 * 32 + s % 2 * 16, *m = mask + s % 2 * 16;
		int shift = s % 8 / 2 * 2, bit = s / 2;
		int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4, high = scales[8 + s % 4] >> s / 4 * 2 & 3;
		float dl = d * (float)((low | high << 4) - 32);
		for (int j = 0; j < 16; j++)	/* a bit that is not set subtracts */
			y[s * 16 + j] = dl * (float)((b[j] >> shift & 3) - (~m[j] >> bit & 1) * 4);
	}
}
BLOCKS(q3_k, 256, 110)

/* Eight scales and eight offsets of 6 bits in 12 bytes. */
static inline void scale_min(const uint8_t *restrict s, int k, int *scale, int *min)
{
	if (k < 4) {
		*scale = s[k] & 63;
		*min = s[k + 4] & 63;
	} else {
		*scale = (s[k + 4] & 15) | s[k - 4] >> 6 << 4;
		*min = s[k + 4] >> 4 | s[k] >> 6 << 4;
	}
}

static inline void q4_k_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p), dmin = half_at(p + 2);
	for (int c = 0; c < 4; c++) {
		const uint8_t *q = p + 16 + c * 32;
		int scale[2], min[2];
		scale_min(p + 4, 2 * c, &scale[0], &min[0]);
		scale_min(p + 4, 2 * c + 1, &scale[1], &min[1]);
		float d0 = d * (float)scale[0], m0 = dmin * (float)min[0], d1 = d * (float)scale[1],
		      m1 = dmin * (float)min[1];
		for (int j = 0; j < 32; j++) {
			y[c * 64 + j] = d0 * (float)(q[j] & 15) - m0;
			y[c * 64 + 32 + j] = d1 * (float)(q[j] >> 4) - m1;
		}
	}
}
BLOCKS(q4_k, 256, 144)

static inline void q5_k_block(const uint8_t *restrict p, float *restrict y)
{
	const uint8_t *high = p + 16;
	float d = half_at(p), dmin = half_at(p + 2);
	for (int s = 0; s < 8; s++) {
		const uint8_t *q = p + 48 + s / 2 * 32;
		int scale, min, shift = s % 2 * 4;
		scale_min(p + 4, s, &scale, &min);
		float dl = d * (float)scale, ml = dmin * (float)min;
		for (int j = 0; j < 32; j++)
			y[s * 32 + j] = dl * (float)((q[j] >> shift & 15) | (high[j] >> s & 1) << 4) - ml;
	}
}
BLOCKS(q5_k, 256, 176)

static inline void q6_k_block(const uint8_t *restrict p, float *restrict y)
{
	const int8_t *scales = (const int8_t *)p + 192;
	float d = half_at(p + 208);
	for (int s = 0; s < 16; s++) {	/* quarter of a chunk: low or high halves of 64 bytes, a bit pair of 32 */
		int c = s / 8, quarter = s % 8 / 2, at = s % 2 * 16;
		const uint8_t *low = p + c * 64 + quarter % 2 * 32 + at, *high = p + 128 + c * 32 + at;
		float dl = d * (float)scales[s];
		if (quarter < 2)
			for (int j = 0; j < 16; j++)
				y[s * 16 + j] = dl * (float)(((low[j] & 15) | (high[j] >> quarter * 2 & 3) << 4) - 32);
		else
			for (int j = 0; j < 16; j++)
				y[s * 16 + j] = dl * (float)((low[j] >> 4 | (high[j] >> quarter * 2 & 3) << 4) - 32);
	}
}
BLOCKS(q6_k, 256, 210)

static inline void q8_k_block(const uint8_t *restrict p, float *restrict y)	/* sums for dot products at its end */
{
	float d = float_of_bits(word32(p));
	for (int j = 0; j < 256; j++)
		y[j] = (float)(int8_t)p[4 + j] * d;
}
BLOCKS(q8_k, 256, 292)
