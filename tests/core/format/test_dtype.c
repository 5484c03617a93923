/* Element types: all values of small floats, rounding, and the block types against an independent implementation. */
#include "core/format/memory_file.h"

#include "core/format/dtype.h"

#include <math.h>

/* A float of `exp` and `man` bits by its definition. */
static double small(uint32_t bits, int exp, int man, int bias)
{
	double m = bits & ((1u << man) - 1);
	int e = (int)(bits >> man & ((1u << exp) - 1));
	double v = e ? ldexp(1 + ldexp(m, -man), e - bias) : ldexp(m, 1 - bias - man);
	return bits >> (exp + man) & 1 ? -v : v;
}

static void same(float got, double want)
{
	if (isnan(want))
		assert_true(isnan(got));
	else
		assert_true(got == (float)want && signbit(got) == signbit((float)want));
}

static float one(enum dtype d, uint32_t bits)
{
	float f[4];
	dtype_info(d)->to_f32(&bits, f, dtype_info(d)->block);
	return f[0];
}

static void half_precision(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		double want = (h & 0x7c00) != 0x7c00 ? small(h, 5, 10, 15)
			      : h & 0x3ff            ? NAN
			      : h >> 15              ? -INFINITY
						     : INFINITY;
		same(f16_to_f32((uint16_t)h), want);
		same(one(DTYPE_F16, h), want);
		if (!isnan(want))
			assert_int_equal(f32_to_f16((float)want), h);
		else
			assert_true(isnan(f16_to_f32(f32_to_f16(f16_to_f32((uint16_t)h)))));
	}
}

/* Halfway between two neighbours goes to the even one; the next float either way goes where it is nearer. */
static void half_rounding(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 0x7bff; h++) {
		float a = f16_to_f32((uint16_t)h), b = f16_to_f32((uint16_t)(h + 1)), mid = (a + b) / 2;
		assert_int_equal(f32_to_f16(mid), h & 1 ? h + 1 : h);
		assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
		assert_int_equal(f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
		assert_int_equal(f32_to_f16(-mid), 0x8000 | (h & 1 ? h + 1 : h));
	}
	assert_int_equal(f32_to_f16(65519.996f), 0x7bff);
	assert_int_equal(f32_to_f16(65520.0f), 0x7c00);
	assert_int_equal(f32_to_f16(1e-10f), 0);
}

static void bf16(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		float f = bf16_to_f32((uint16_t)h);
		if (isnan(f))
			assert_true(isnan(bf16_to_f32(f32_to_bf16(f))));
		else
			assert_int_equal(f32_to_bf16(f), h);
	}
	assert_int_equal(f32_to_bf16(1.00390625f), 0x3f80);	/* halfway, to the even */
	assert_int_equal(f32_to_bf16(1.01171875f), 0x3f82);
	assert_int_equal(f32_to_bf16(3.4e38f), 0x7f80);
}

static void eight_bits(void **state)
{
	(void)state;
	for (uint32_t b = 0; b < 256; b++) {
		same(one(DTYPE_F8_E4M3, b), (b & 127) == 127 ? NAN : small(b, 4, 3, 7));
		same(one(DTYPE_F8_E5M2, b), (b & 0x7c) != 0x7c ? small(b, 5, 2, 15) :
		     b & 3 ? NAN : b >> 7 ? -INFINITY : INFINITY);
		same(one(DTYPE_F8_E8M0, b), b == 255 ? NAN : ldexp(1, (int)b - 127));
		same(one(DTYPE_F8_E4M3FNUZ, b), b == 128 ? NAN : small(b, 4, 3, 8));
		same(one(DTYPE_F8_E5M2FNUZ, b), b == 128 ? NAN : small(b, 5, 2, 16));
		same(one(DTYPE_I8, b), (int8_t)b);
		same(one(DTYPE_U8, b), b);
		same(one(DTYPE_BOOL, b), b != 0);
	}
}

static void fewer_bits(void **state)
{
	(void)state;
	for (uint32_t b = 0; b < 64; b++) {
		float f[4];
		uint32_t four = b | (63 - b) << 6 | 5u << 12 | b << 18;
		dtype_info(DTYPE_F6_E2M3)->to_f32(&four, f, 4);
		same(f[0], small(b, 2, 3, 1));
		same(f[1], small(63 - b, 2, 3, 1));
		same(f[3], small(b, 2, 3, 1));
		dtype_info(DTYPE_F6_E3M2)->to_f32(&four, f, 4);
		same(f[0], small(b, 3, 2, 3));
		same(f[2], small(5, 3, 2, 3));
	}
	for (uint8_t b = 0; b < 16; b++) {
		float f[2];
		uint8_t two = (uint8_t)(b | (15 - b) << 4);
		dtype_info(DTYPE_F4)->to_f32(&two, f, 2);
		same(f[0], small(b, 2, 1, 1));
		same(f[1], small(15 - b, 2, 1, 1));
		dtype_info(DTYPE_I4)->to_f32(&two, f, 2);
		same(f[0], b < 8 ? b : b - 16);
		dtype_info(DTYPE_U4)->to_f32(&two, f, 2);
		same(f[1], 15 - b);
	}
}

/* Values at odd addresses, as they may lie in a file. */
static void wide(void **state)
{
	(void)state;
	struct { enum dtype d; const void *value; double want; } cases[] = {
		{DTYPE_F64, &(double){-1.5e10}, -1.5e10}, {DTYPE_F32, &(float){0.1f}, 0.1f},
		{DTYPE_I64, &(int64_t){-1234567890123}, -1234567890123.0}, {DTYPE_I32, &(int32_t){-70000}, -70000},
		{DTYPE_I16, &(int16_t){-300}, -300}, {DTYPE_U64, &(uint64_t){UINT64_MAX}, 18446744073709551615.0},
		{DTYPE_U32, &(uint32_t){4000000000u}, 4000000000.0}, {DTYPE_U16, &(uint16_t){65535}, 65535},
		{DTYPE_C64, &(float[2]){2.5f, 9}, 2.5}, {DTYPE_C128, &(double[2]){-2.5, 9}, -2.5},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char raw[17];
		float f;
		memcpy(raw + 1, cases[i].value, dtype_info(cases[i].d)->bytes);
		dtype_info(cases[i].d)->to_f32(raw + 1, &f, 1);
		same(f, cases[i].want);
	}
}

static void blocks(void **state)
{
	(void)state;
	size_t len, n = 0;
	char *golden = source_file("tests/core/format/data/quants.bin", &len);
	for (size_t at = 0; at < len; n++) {
		struct { char name[16]; uint32_t elements, bytes, blocks; } h;
		assert_true(len - at > sizeof h);
		memcpy(&h, golden + at, sizeof h);
		at += sizeof h;
		enum dtype d = DTYPE_NONE;
		for (int i = 0; i < DTYPE_COUNT; i++)
			if (!strcmp(dtype_info((enum dtype)i)->name, h.name))
				d = (enum dtype)i;
		const struct dtype_info *info = dtype_info(d);
		assert_true(info->quantised && info->floating && info->to_f32);
		assert_int_equal(info->block, h.elements);
		assert_int_equal(info->bytes, h.bytes);
		float got[3 * 256], want[3 * 256];
		info->to_f32(golden + at, got, (size_t)h.elements * h.blocks);
		at += (size_t)h.bytes * h.blocks;
		memcpy(want, golden + at, sizeof *want * h.elements * h.blocks);
		at += sizeof *want * h.elements * h.blocks;
		for (uint32_t i = 0; i < h.elements * h.blocks; i++)
			if (got[i] != want[i])
				fail_msg("%s: element %u is %.9g, expected %.9g", h.name, i, got[i], want[i]);
	}
	assert_int_equal(n, 27);
	free(golden);
}

static void table(void **state)
{
	(void)state;
	assert_int_equal(dtype_by_name("BF16"), DTYPE_BF16);
	assert_int_equal(dtype_by_name("F8_E4M3"), DTYPE_F8_E4M3);
	assert_int_equal(dtype_by_name("Q4_0"), DTYPE_NONE);	/* not a name of safetensors */
	assert_int_equal(dtype_by_name("none"), DTYPE_NONE);
	assert_int_equal(dtype_by_name(""), DTYPE_NONE);
	assert_int_equal(dtype_by_ggml(14), DTYPE_Q6_K);
	assert_int_equal(dtype_by_ggml(4), DTYPE_NONE);
	assert_int_equal(dtype_by_ggml(UINT32_MAX), DTYPE_NONE);
	for (int d = 0; d < DTYPE_COUNT; d++) {
		assert_non_null(dtype_info((enum dtype)d)->name);
		assert_true(dtype_info((enum dtype)d)->block > 0);
	}
	uint64_t n;
	assert_true(dtype_size(DTYPE_Q4_K, 512, &n) && n == 288);
	assert_false(dtype_size(DTYPE_Q4_K, 511, &n));
	assert_false(dtype_size(DTYPE_F4, 3, &n));
	assert_true(dtype_size(DTYPE_F6_E2M3, 8, &n) && n == 6);
	assert_false(dtype_size(DTYPE_F64, UINT64_MAX / 4, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_precision), cmocka_unit_test(half_rounding), cmocka_unit_test(bf16),
		cmocka_unit_test(eight_bits), cmocka_unit_test(fewer_bits), cmocka_unit_test(wide),
		cmocka_unit_test(blocks), cmocka_unit_test(table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
