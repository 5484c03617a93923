/* Signatures: what is kept, that it does not depend on the container, that blobs are not trusted. */
#include "tests/support/cm.h"

#include "tests/core/analysis/made_weights.h"

#include "core/analysis/neighbours.h"
#include "core/analysis/pair.h"
#include "core/analysis/sample.h"
#include "core/analysis/sigblob.h"
#include "core/analysis/sketch.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static void sign(struct made *m, struct signature *s, struct weights *w, struct canon *c)
{
	struct err e = ERR_INIT;
	struct canon_hints h = {0};
	made_open(m, w);
	if (canon_of(c, w, &h, &e) || signature_of(s, w, c, NULL, &e))
		fail_msg("%s", e.msg);
}

static void make(struct made *m, bool reverse, float add, const char *dtype)
{
	float *v = made_floats(64 * 48, add), *q = made_floats(96 * 80, add);
	for (int i = 0; i < 2; i++) {
		bool first = (i == 0) != reverse;
		const char *name =
			first ? "model.layers.0.self_attn.q_proj.weight" : "model.layers.0.mlp.up_proj.weight";
		const char *shape = first ? "[64,48]" : "[96,80]";
		if (!strcmp(dtype, "BF16"))
			made_bf16(m, name, shape, first ? v : q, first ? 64 * 48 : 96 * 80);
		else
			made_f32(m, name, shape, first ? v : q, first ? 64 * 48 : 96 * 80);
	}
	free(v);
	free(q);
}

static void the_order_of_tensors_does_not_count(void **state)
{
	(void)state;
	struct made a = {0}, b = {0};
	struct weights wa, wb;
	struct canon ca, cb;
	struct signature sa, sb;
	make(&a, false, 0, "F32");
	make(&b, true, 0, "F32");
	sign(&a, &sa, &wa, &ca);
	sign(&b, &sb, &wb, &cb);
	assert_int_equal(hash128_cmp(sa.key, sb.key), 0);
	assert_memory_equal(&sa.sketch, &sb.sketch, sizeof sa.sketch);
	assert_int_equal(sa.bytes_read, (64 * 48 + 96 * 80) * 4);	/* each value once */
	assert_true(signature_distance(&sa, &sb) == 0);
	assert_int_not_equal(sa.parts[0].tensor, sb.parts[0].tensor);
	signature_release(&sa);
	signature_release(&sb);
	canon_release(&ca);
	canon_release(&cb);
	weights_release(&wa);
	weights_release(&wb);
}

static void blobs_come_back_and_damage_is_refused(void **state)
{
	(void)state;
	struct made a = {0};
	struct weights w;
	struct canon c;
	struct signature s, t;
	struct err e = ERR_INIT;
	struct buf b = {0};
	make(&a, false, 0.25f, "BF16");
	sign(&a, &s, &w, &c);
	assert_int_equal(signature_encode(&s, &b, &e), 0);
	assert_true(b.len < 2 * (64 * 48 + 96 * 80) + SIGBLOB_HEAD + 4 * SIGBLOB_PART + 1000);	/* two bytes a value */
	assert_int_equal(signature_decode(&t, b.data, b.len, &e), 0);
	assert_int_equal(hash128_cmp(s.key, t.key), 0);
	assert_int_equal(s.n_parts, t.n_parts);
	for (size_t i = 0; i < s.n_parts; i++)
		assert_memory_equal(s.parts[i].v, t.parts[i].v, (size_t)s.parts[i].nr * s.parts[i].nc * sizeof(float));
	signature_release(&t);
	for (size_t cut = 0; cut < b.len; cut += cut < 1400 ? 1 : 997)
		assert_true(signature_decode(&t, b.data, cut, &e) < 0);
	uint64_t r = 5;
	for (int k = 0; k < 4000; k++) {
		r = hash_mix(r);
		char *p = &b.data[r % (k % 2 ? b.len : 1400)], old = *p;
		*p = (char)(r >> 40);
		if (!signature_decode(&t, b.data, b.len, &e)) {
			(void)signature_distance(&s, &t);
			signature_release(&t);
		}
		*p = old;
	}
	b.data[4]++;
	assert_int_equal(signature_decode(&t, b.data, b.len, &e), -ESTALE);
	buf_release(&b);
	signature_release(&s);
	canon_release(&c);
	weights_release(&w);
}

static void samples_are_nested(void **state)
{
	(void)state;
	uint64_t small[16], large[64];
	assert_int_equal(sample_bottom(9, 5000, 16, small, NULL), 0);
	assert_int_equal(sample_bottom(9, 5000, 64, large, NULL), 0);
	for (int i = 0; i < 16; i++) {
		bool in = false;
		for (int j = 0; j < 64; j++)
			in = in || large[j] == small[i];
		assert_true(in);
		assert_true(!i || small[i] > small[i - 1]);
	}
	struct part p = {.role = "embed", .rows = 32000, .cols = 4096};
	struct sample_size s = sample_size(&p, 0);
	uint64_t rows[400];
	assert_true(s.nr <= 400 && sample_rows(&p, 0, rows, NULL) == 0);
	assert_int_equal(rows[s.nr - 1], 31999);	/* reserved tokens stand last */
}

/* Where a matrix is known the product of its low-rank factors is: rows of B, columns of A, and one choice along the
 * rank. */
static void factors_are_sampled_where_their_matrix_is(void **state)
{
	(void)state;
	static uint64_t w[4096], f[4096];
	const struct part m = {.role = "attn.q", .rows = 5000, .cols = 3000},
			  a = {.role = "attn.q.lora_a", .rows = 128, .cols = 3000},
			  b = {.role = "attn.q.lora_b", .rows = 5000, .cols = 128};
	for (int level = 0; level < SAMPLE_LEVELS; level++) {
		struct sample_size sm = sample_size(&m, level), sa = sample_size(&a, level),
				   sb = sample_size(&b, level);
		assert_int_equal(sample_rows(&m, level, w, NULL) | sample_rows(&b, level, f, NULL), 0);
		for (size_t i = 0, j = 0; i < sm.nr; i++, j++) {
			while (j < sb.nr && f[j] != w[i])
				j++;
			assert_true(j < sb.nr);
		}
		assert_int_equal(sample_cols(&m, level, w, NULL) | sample_cols(&a, level, f, NULL), 0);
		for (size_t i = 0, j = 0; i < sm.nc; i++, j++) {
			while (j < sa.nc && f[j] != w[i])
				j++;
			assert_true(j < sa.nc);
		}
		assert_int_equal(sample_rows(&a, level, w, NULL) | sample_cols(&b, level, f, NULL), 0);
		size_t same = 0;
		for (size_t i = 0, j = 0; i < sa.nr; i++) {
			while (j < sb.nc && f[j] < w[i])
				j++;
			same += j < sb.nc && f[j] == w[i];
		}
		assert_int_equal(same, MIN(sa.nr, sb.nc));
	}
}

/* Positions as sines in both layouts are a table that unrelated models share; noise of the same size is none. */
static void sine_tables_are_known(void **state)
{
	(void)state;
	enum { ROWS = 40, COLS = 48 };
	static float v[ROWS * COLS];
	uint32_t row[ROWS], col[COLS];
	struct sigpart p = {.rows = 400, .cols = 64, .nr = ROWS, .nc = COLS, .row = row, .col = col, .v = v};
	for (uint32_t i = 0; i < ROWS; i++)
		row[i] = 9 * i + 1;
	for (uint32_t j = 0; j < COLS; j++)
		col[j] = j + j / 3;
	for (int kind = 0; kind < 4; kind++) {
		float *noise = made_floats(ROWS * COLS, 0);
		for (uint32_t i = 0; i < ROWS; i++)
			for (uint32_t j = 0; j < COLS; j++) {
				uint32_t c = col[j], half = kind == 1 ? c % 32 : c / 2;
				bool cosine = kind == 1 ? c >= 32 : c % 2;
				double w = row[i] * pow(10000, -(double)half / (kind == 1 ? 31 : 32));
				v[i * COLS + j] = (float)(cosine ? cos(w) : sin(w));
				if (kind == 2 || (kind == 3 && (i * COLS + j) % 5 == 0)) /* all of it, or a fifth */
					v[i * COLS + j] = noise[i * COLS + j];
			}
		assert_int_equal(part_is_table(&p), kind < 2);
		free(noise);
	}
}

static void odd_tensors(void **state)
{
	(void)state;
	struct made m = {0};
	struct weights w;
	struct canon c;
	struct signature s, t;
	struct err e = ERR_INIT;
	float one = 1, bad[80 * 80] = {0};
	bad[5] = NAN;
	bad[6] = INFINITY;
	made_f32(&m, "scalar", "[]", &one, 1);
	made_f32(&m, "one", "[1]", &one, 1);
	made_f32(&m, "empty", "[0,4]", &one, 0);
	made_f32(&m, "model.layers.0.mlp.up_proj.weight", "[80,80]", bad, 80 * 80);
	sign(&m, &s, &w, &c);
	struct buf b = {0};
	assert_int_equal(signature_encode(&s, &b, &e), 0);
	assert_int_equal(signature_decode(&t, b.data, b.len, &e), 0);
	float *v;
	size_t n;
	assert_int_equal(signature_floats(&t, &v, &n, &e), 0);
	assert_true(n > 2);
	free(v);
	buf_release(&b);
	signature_release(&t);
	signature_release(&s);
	canon_release(&c);
	weights_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_tensors_does_not_count),
		cmocka_unit_test(blobs_come_back_and_damage_is_refused),
		cmocka_unit_test(samples_are_nested),
		cmocka_unit_test(factors_are_sampled_where_their_matrix_is),
		cmocka_unit_test(sine_tables_are_known),
		cmocka_unit_test(odd_tensors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
