/* The last places and the roundings of stored types. */
#include "core/analysis/rounding.h"

/* 2^n for the exponents that occur here. */
static float power(int n)
{
	union { uint32_t u; float f; } v = {
		.u = n < -149 ? 0 : n < -126 ? 1u << (n + 149) : (uint32_t)(n + 127) << 23
	};
	return v.f;
}

static float ulp_at(int exp, enum dtype d)		/* of |v| in [2^exp, 2^(exp+1)) */
{
	if (exp == 128)
		return 0;
	switch (d) {
	case DTYPE_BF16: return power(exp - 7 < -133 ? -133 : exp - 7);
	case DTYPE_F16: return power(exp - 10 < -24 ? -24 : exp - 10);
	case DTYPE_F32: case DTYPE_F64: return power(exp - 23);
	case DTYPE_F8_E4M3: case DTYPE_F8_E4M3FNUZ: return power(exp - 3 < -9 ? -9 : exp - 3);
	case DTYPE_F8_E5M2: case DTYPE_F8_E5M2FNUZ: return power(exp - 2 < -16 ? -16 : exp - 2);
	default: return 0;
	}
}

double dtype_ulp(float v, enum dtype d)
{
	return ulp_at((int)ulp_exponent(v) - 127, d);
}

float rounding_slow(float v, enum dtype d)
{
	switch (d) {
	case DTYPE_BF16: return bf16_to_f32(f32_to_bf16(v));
	case DTYPE_F16: return f16_to_f32(f32_to_f16(v));
	default: return v;
	}
}

void ulp_table(struct ulp_table *t, enum dtype d)
{
	for (int i = 0; i < 256 && t->type != d; i++)
		t->of[i] = ulp_at(i - 127, d);
	t->type = d;
}
