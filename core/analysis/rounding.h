#ifndef TARN_ANALYSIS_ROUNDING_H
#define TARN_ANALYSIS_ROUNDING_H
/* What a stored type can tell apart: the size of its last place at a value, and the nearest value that it holds. */
#include "core/format/dtype.h"

/* The size of the last place of v in the type it is stored in; relative to blocks for quantised types it is 0. */
double dtype_ulp(float v, enum dtype d);
/* v as it would be after a cast to d (types without a known rounding: v itself). */
float dtype_round(float v, enum dtype d);

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
