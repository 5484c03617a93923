#ifndef TARN_ANALYSIS_ROUNDING_H
#define TARN_ANALYSIS_ROUNDING_H
/* What a stored type can tell apart: the size of its last place at a value, and the nearest value that it holds. */
#include "core/format/dtype.h"

/* The size of the last place of v in the type it is stored in; relative to blocks for quantised types it is 0. */
double dtype_ulp(float v, enum dtype d);
float rounding_slow(float v, enum dtype d);	/* dtype_round of any value */

/* v as it would be after a cast to d (types without a known rounding: v itself). */
static inline float dtype_round(float v, enum dtype d)
{
	union { float f; uint32_t u; } x = {.f = v};
	uint32_t mag = x.u & 0x7fffffff;
	if (d != DTYPE_F16 || mag < 0x38800000 || mag >= 0x477fe000)
		return rounding_slow(v, d);
	x.u = (x.u + 0xfff + (x.u >> 13 & 1)) & ~0x1fffu;	/* from 2^-14 to 65504: ten bits of the mantissa, ties to even */
	return x.f;
}

/* dtype_ulp of many values of one type: it depends on the exponent alone. */
struct ulp_table { enum dtype type; float of[256]; };
void ulp_table(struct ulp_table *t, enum dtype d);	/* cheap where *t (zeroed at first) is of that type already */

static inline uint32_t ulp_exponent(float v)
{
	union { float f; uint32_t u; } x = {.f = v};
	return x.u >> 23 & 255;
}
static inline float ulp_of(const struct ulp_table *t, float v)
{
	return t->of[ulp_exponent(v)];
}

#endif
