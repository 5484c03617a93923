/*
 * ggml's IQ types: groups of 4 or 8 elements that are points of a codebook, with signs apart; or a codebook of 16
 * levels. Layouts: ggml-common.h; what they mean: ggml-quants.c and gguf-py/gguf/quants.py.
 */
#include "core/format/dtype_internal.h"
#include "core/format/dtype_iq_tables.h"

VECTORISE

/* Seven signs are stored; the eighth makes their number even. */
static inline uint32_t even_signs(uint32_t seven)
{
	return seven | (uint32_t)__builtin_parity(seven) << 7;
}

/* Eight elements of an IQ2 codebook. */
static inline void eight(uint32_t entry, uint32_t signs, float d, float *restrict y)
{
	static const float levels[4] = {8, 25, 43, 0};
	for (int j = 0; j < 8; j++) {
		float v = d * levels[entry >> 2 * j & 3];
		y[j] = signs >> j & 1 ? -v : v;
	}
}

static inline void iq2_xxs_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int g = 0; g < 8; g++) {
		const uint8_t *q = p + 2 + g * 8;
		uint32_t rest = word32(q + 4);
		float db = d * (0.5f + (float)(rest >> 28)) * 0.25f;
		for (int k = 0; k < 4; k++)
			eight(grid_iq2_xxs[q[k]], even_signs(rest >> 7 * k & 127), db, y + g * 32 + k * 8);
	}
}
BLOCKS(iq2_xxs, 256, 66)

static inline void iq2_xs_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int g = 0; g < 32; g++) {
		uint32_t q = word16(p + 2 + g * 2), scale = p[66 + g / 4] >> g / 2 % 2 * 4 & 15;
		float db = d * (0.5f + (float)scale) * 0.25f;
		eight(grid_iq2_xs[q & 511], even_signs(q >> 9), db, y + g * 8);
	}
}
BLOCKS(iq2_xs, 256, 74)

static inline void iq2_s_block(const uint8_t *restrict p, float *restrict y)
{
	const uint8_t *signs = p + 34, *high = p + 66, *scales = p + 74;
	float d = half_at(p);
	for (int g = 0; g < 32; g++) {
		uint32_t scale = scales[g / 4] >> g / 2 % 2 * 4 & 15, top = high[g / 4] >> g % 4 * 2 & 3;
		eight(grid_iq2_s[p[2 + g] | top << 8], signs[g], d * (0.5f + (float)scale) * 0.25f, y + g * 8);
	}
}
BLOCKS(iq2_s, 256, 82)

/* Four elements of an IQ3 codebook: d times a level of `step` apart; the last level of IQ3_XXS is off the line. */
static inline void four(uint32_t entry, uint32_t signs, const float levels[8], float d, float *restrict y)
{
	for (int j = 0; j < 4; j++) {
		float v = d * levels[entry >> 4 * j & 7];
		y[j] = signs >> j & 1 ? -v : v;
	}
}

static inline void iq3_xxs_block(const uint8_t *restrict p, float *restrict y)
{
	static const float levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
	float d = half_at(p);
	for (int g = 0; g < 64; g++) {
		uint32_t rest = word32(p + 66 + g / 8 * 4), signs = even_signs(rest >> g % 8 / 2 * 7 & 127);
		float db = d * (0.5f + (float)(rest >> 28)) * 0.5f;
		four(grid_iq3_xxs[p[2 + g]], signs >> g % 2 * 4, levels, db, y + g * 4);
	}
}
BLOCKS(iq3_xxs, 256, 98)

static inline void iq3_s_block(const uint8_t *restrict p, float *restrict y)
{
	static const float levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
	const uint8_t *high = p + 66, *signs = p + 74, *scales = p + 106;
	float d = half_at(p);
	for (int g = 0; g < 64; g++) {
		uint32_t scale = scales[g / 16] >> g / 8 % 2 * 4 & 15, top = high[g / 8] >> g % 8 & 1;
		float db = d * (float)(1 + 2 * scale);
		four(grid_iq3_s[p[2 + g] | top << 8], (uint32_t)signs[g / 2] >> g % 2 * 4, levels, db, y + g * 4);
	}
}
BLOCKS(iq3_s, 256, 110)

/* Eight of -1, 0, 1, all shifted by an eighth one way or the other. */
static inline void ternaries(uint32_t entry, float delta, float d, float *restrict y)
{
	for (int j = 0; j < 8; j++)
		y[j] = d * ((float)((int)(entry >> 2 * j & 3) - 1) + delta);
}

static inline void iq1_s_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	for (int g = 0; g < 32; g++) {
		uint32_t high = word16(p + 34 + g / 4 * 2);
		float dl = d * (float)(2 * (high >> 12 & 7) + 1), delta = high & 0x8000 ? -0.125f : 0.125f;
		ternaries(grid_iq1[p[2 + g] | (high >> g % 4 * 3 & 7) << 8], delta, dl, y + g * 8);
	}
}
BLOCKS(iq1_s, 256, 50)

/* The half-precision scale is spread over the top four bits of the four words of scales. */
static inline void iq1_m_block(const uint8_t *restrict p, float *restrict y)
{
	const uint8_t *scales = p + 48;
	uint32_t bits = 0;
	for (int k = 0; k < 4; k++)
		bits |= (uint32_t)(word16(scales + 2 * k) >> 12) << 4 * k;
	float d = half(bits);
	for (int g = 0; g < 32; g++) {
		uint32_t high = p[32 + g / 2] >> g % 2 * 4, scale = word16(scales + g / 8 * 2) >> g / 2 % 4 * 3 & 7;
		float dl = d * (float)(2 * scale + 1), delta = high & 8 ? -0.125f : 0.125f;
		ternaries(grid_iq1[p[g] | (high & 7) << 8], delta, dl, y + g * 8);
	}
}
BLOCKS(iq1_m, 256, 56)

static const int8_t levels_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static inline void iq4(const uint8_t *restrict q, float d, float *restrict y)
{
	for (int j = 0; j < 16; j++) {
		y[j] = d * (float)levels_iq4[q[j] & 15];
		y[j + 16] = d * (float)levels_iq4[q[j] >> 4];
	}
}

static inline void iq4_nl_block(const uint8_t *restrict p, float *restrict y)
{
	iq4(p + 2, half_at(p), y);
}
BLOCKS(iq4_nl, 32, 18)

static inline void iq4_xs_block(const uint8_t *restrict p, float *restrict y)
{
	float d = half_at(p);
	uint32_t high = word16(p + 2);
	for (int s = 0; s < 8; s++) {
		uint32_t scale = (p[4 + s / 2] >> s % 2 * 4 & 15) | (high >> 2 * s & 3) << 4;
		iq4(p + 8 + s * 16, d * (float)((int)scale - 32), y + s * 32);
	}
}
BLOCKS(iq4_xs, 256, 136)
