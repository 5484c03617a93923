/* core/analysis/export: models as safetensors that exist nowhere, read back by the reader of safetensors. */
#include "tests/core/analysis/made_weights.h"

#include "core/analysis/export_internal.h"
#include "core/base/hash.h"
#include "core/format/compose.h"
#include "core/lake/hf_names.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

struct side {
	struct weights w;
	struct canon c;
};

static void side_open(struct side *s, struct made *m, const struct canon_hints *hints)
{
	struct err e = ERR_INIT;
	made_open(m, &s->w);
	assert_int_equal(canon_of(&s->c, &s->w, hints, &e), 0);
}

static void side_close(struct side *s)
{
	canon_release(&s->c);
	weights_release(&s->w);
}

/* The whole file, by one read. */
static unsigned char *whole(const struct export *x)
{
	struct err e = ERR_INIT;
	unsigned char *all = malloc(x->size);
	if (export_read(x, 0, x->size, all, &e))
		fail_msg("%s", e.msg);
	return all;
}

static void back(const struct export *x, struct weights *w)
{
	struct err e = ERR_INIT;
	unsigned char *all = whole(x);
	if (open_bytes(w, all, x->size, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(w->n_warnings, 0);
	assert_int_equal(x->header_len % 8, 0);
	free(all);
}

static float *values(const struct weights *w, const char *name, size_t *n)
{
	struct err e = ERR_INIT;
	const struct tensor *t = weights_find(w, name);
	if (!t)
		fail_msg("no tensor %s", name);
	float *v = malloc((t->elements + 1) * sizeof *v);
	assert_int_equal(weights_read(w, t, 0, t->elements, v, &e), 0);
	*n = t->elements;
	return v;
}

static void expect_values(const struct weights *w, const char *name, const char *dtype, const float *want, size_t n)
{
	size_t got_n;
	float *got = values(w, name, &got_n);
	assert_int_equal(got_n, n);
	assert_string_equal(dtype_info(weights_find(w, name)->dtype)->name, dtype);
	for (size_t i = 0; i < n; i++)
		if (got[i] != want[i])
			fail_msg("%s[%zu] is %.9g, expected %.9g", name, i, (double)got[i], (double)want[i]);
	free(got);
}

/* A file that the reference implementation would have written comes out byte for byte. */
static void test_identity(void **state)
{
	struct made m = {0};
	struct buf bytes = {0};
	struct side s = {0};
	struct export x;
	struct err e = ERR_INIT;
	float *v = made_floats(600, 0);
	(void)state;
	buf_str(&m.header, "{\"__metadata__\":{\"format\":\"pt\",\"a\\\"b\":\"\xc3\xa9\"}");
	made_f32(&m, "a", "[10,20]", v, 200);
	made_f32(&m, "scalar", "[]", v, 1);
	made_f32(&m, "none", "[0,3]", v, 0);
	made_bf16(&m, "b", "[5,5]", v, 25);
	made_f16(&m, "c", "[3]", v, 3);
	made_add(&m, "d", "I8", "[7]", "abcdefg", 7);
	made_add(&m, "odd \\b\\t\\n\\f\\r\\u0001\\u000b\\u001f\x7f \xc2\x85 \\\"\\\\", "I8", "[7]", "abcdefg", 7);
	made_bytes(&m, &bytes);
	assert_int_equal(open_bytes(&s.w, bytes.data, bytes.len, &e), 0);
	assert_int_equal(canon_of(&s.c, &s.w, NULL, &e), 0);
	assert_int_equal(export_plan(&x, &s.w, &s.c, NULL, &e), 0);
	assert_int_equal(x.size, bytes.len);
	unsigned char *all = whole(&x);
	assert_memory_equal(all, bytes.data, bytes.len);
	/* any range is that part of the whole */
	unsigned char *part = malloc(x.size);
	for (uint64_t i = 0; i < 4000; i++) {
		uint64_t off = hash_mix(i) % x.size, n = hash_mix(i + 9) % (x.size - off + 1);
		assert_int_equal(export_read(&x, off, n, part, &e), 0);
		assert_memory_equal(part, all + off, n);
	}
	assert_int_equal(export_read(&x, x.size, 1, part, &e), -EINVAL);
	assert_int_equal(export_read(&x, UINT64_MAX, 2, part, &e), -EINVAL);
	free(part);
	free(all);
	free(v);
	buf_release(&bytes);
	export_release(&x);
	side_close(&s);
}

/* Types that safetensors lacks; widest first. */
static void test_types(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	double two[4] = {1.5, -2, 3, 4};
	uint8_t fnuz[4] = {0x40, 0xc0, 0x01, 0x80}, nibbles[2] = {0x71, 0x8f};
	(void)state;
	made_add(&m, "byte", "U8", "[3]", "abc", 3);
	made_add(&m, "complex", "C128", "[2]", two, sizeof two);
	made_add(&m, "fnuz", "F8_E4M3FNUZ", "[4]", fnuz, 4);
	made_add(&m, "four", "I4", "[4]", nibbles, 2);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, NULL, &e), 0);
	back(&x, &w);
	assert_string_equal(x.entries[0].name, "complex");
	assert_string_equal(x.entries[3].name, "byte");
	expect_values(&w, "complex", "F64", (float[]){1.5f, -2, 3, 4}, 4);
	expect_values(&w, "four", "F16", (float[]){1, 7, -1, -8}, 4);
	size_t n;
	float *v = values(&w, "fnuz", &n);
	assert_true(v[0] == 1 && v[1] == -1 && v[2] == ldexpf(1, -10) && isnan(v[3]));
	free(v);
	assert_string_equal(value_str(value_get(&w.meta, "format")), "pt");
	weights_release(&w);
	export_release(&x);
	side_close(&s);
}

/* float32 to float16 as the scalar function does it, over what rounding has of special cases. */
static void test_f16(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	size_t n = 1 << 16, got_n;
	uint16_t *code = malloc(n * sizeof *code);
	float *got, *want = malloc(n * sizeof *want);
	(void)state;
	for (size_t i = 0; i < n; i++)
		code[i] = (uint16_t)i;
	made_add(&m, "blk.0.attn_qkv.weight", "F16", "[256,256]", code, n * sizeof *code);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "gpt2", &e), 0);	/* turned over: through float32 and back */
	back(&x, &w);
	got = values(&w, "transformer.h.0.attn.c_attn.weight", &got_n);
	assert_int_equal(weights_read(&s.w, &s.w.tensors[0], 0, n, want, &e), 0);
	for (size_t i = 0; i < n; i++) {
		float a = got[i % 256 * 256 + i / 256], b = want[i];
		assert_true(isnan(b) ? isnan(a) : a == b && signbit(a) == signbit(b));
	}
	free(got);
	free(want);
	free(code);
	weights_release(&w);
	export_release(&x);
	side_close(&s);
}

/* Any float32 to float16, rounded as f32_to_f16 rounds. */
static void test_rounding(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct err e = ERR_INIT;
	enum { COUNT_OF = 40000 };
	uint32_t *bits = malloc(COUNT_OF * sizeof *bits);
	uint16_t *got = malloc(COUNT_OF * sizeof *got);
	(void)state;
	for (uint32_t i = 0; i < COUNT_OF; i++)	/* all magnitudes, and those around what rounds to even */
		bits[i] = i % 2 ? (uint32_t)hash_mix(i) :
				  (0x38000000u + (i / 2 << 12)) ^ (i % 3 == 1) ^ (i % 8 / 4) << 31;
	made_add(&m, "v", "F32", "[40000]", bits, COUNT_OF * sizeof *bits);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, NULL, &e), 0);
	x.entries[0].how = EXPORT_CONVERT;	/* as for a type that safetensors lacks */
	x.entries[0].dtype = DTYPE_F16;
	x.entries[0].bytes = COUNT_OF * sizeof *got;
	assert_int_equal(export_read(&x, x.header_len, COUNT_OF * sizeof *got, got, &e), 0);
	for (uint32_t i = 0; i < COUNT_OF; i++) {
		float f;
		memcpy(&f, &bits[i], sizeof f);
		if (got[i] != f32_to_f16(f))
			fail_msg("%.9g became %04x, expected %04x", (double)f, got[i], f32_to_f16(f));
	}
	free(bits);
	free(got);
	export_release(&x);
	side_close(&s);
}

/* gpt-oss's experts: stored [E, out, in], written as the parameter is, [E, in, out]; wide enough for more than one band. */
static void test_turned_experts(void **state)
{
	enum { E = 2, R = 1100, C = 4096, SIZE = E * R * C / 2 };
	struct made m = {0};
	struct weights w;
	struct canon c;
	struct export x;
	struct err e = ERR_INIT;
	unsigned char *q = malloc(SIZE), *s = malloc(SIZE / 16);
	float *v = malloc(sizeof(float) * E * R * C), *got = malloc(sizeof(float) * 3 * R);
	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		q[i] = (unsigned char)hash_mix(i);
	for (size_t i = 0; i < SIZE / 16; i++)
		s[i] = (unsigned char)(120 + i % 11);
	made_add(&m, "model.layers.0.mlp.experts.down_proj_blocks", "U8", "[2,1100,128,16]", q, SIZE);
	made_add(&m, "model.layers.0.mlp.experts.down_proj_scales", "U8", "[2,1100,128]", s, SIZE / 16);
	made_open(&m, &w);
	assert_int_equal(weights_compose(&w, NULL, &e), 0);
	assert_int_equal(canon_of(&c, &w, NULL, &e), 0);
	assert_int_equal(export_plan(&x, &w, &c, NULL, &e), 0);
	assert_true(x.n == 1 && x.entries[0].dtype == DTYPE_F32 && x.entries[0].ndim == 3);
	assert_true(x.entries[0].shape[1] == C && x.entries[0].shape[2] == R);
	assert_int_equal(weights_read(&w, &w.tensors[0], 0, (uint64_t)E * R * C, v, &e), 0);
	uint64_t at[] = {0, 5, 3812 * R - 7, 4095 * R - 3, (uint64_t)C * R + 11, 2 * R, (uint64_t)E * R * C - 3 * R};
	for (size_t k = 0; k < COUNT(at); k++) {
		assert_int_equal(export_read(&x, x.header_len + at[k] * 4, 12 * R, got, &e), 0);
		for (uint64_t i = at[k]; i < at[k] + 3 * R; i++) {
			uint64_t expert = i / ((uint64_t)R * C), in = i / R % C, out = i % R;
			assert_memory_equal(&got[i - at[k]], &v[(expert * R + out) * C + in], sizeof *got);
		}
	}
	export_release(&x);
	/* a delta lies as the weights do that it is added to: here the other's values are twice these */
	struct made doubled = {0};
	struct side other;
	for (size_t i = 0; i < SIZE / 16; i++)
		s[i]++;
	made_add(&doubled, "model.layers.0.mlp.experts.down_proj_blocks", "U8", "[2,1100,128,16]", q, SIZE);
	made_add(&doubled, "model.layers.0.mlp.experts.down_proj_scales", "U8", "[2,1100,128]", s, SIZE / 16);
	made_open(&doubled, &other.w);
	assert_int_equal(weights_compose(&other.w, NULL, &e), 0);
	assert_int_equal(canon_of(&other.c, &other.w, NULL, &e), 0);
	assert_int_equal(export_delta(&x, &(struct diff_model){&w, &c}, &(struct diff_model){&other.w, &other.c}, "base", &e), 0);
	assert_true(x.n == 1 && x.entries[0].shape[1] == C && x.entries[0].shape[2] == R);
	assert_int_equal(export_read(&x, x.header_len + at[2] * 4, 12 * R, got, &e), 0);
	for (uint64_t i = at[2]; i < at[2] + 3 * R; i++)
		assert_true(got[i - at[2]] == -v[i % R * C + i / R]);
	export_release(&x);
	side_close(&other);
	free(q);
	free(s);
	free(v);
	free(got);
	canon_release(&c);
	weights_release(&w);
}

/* A matrix too large to turn over in memory. */
static void test_large_transposed(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct err e = ERR_INIT;
	size_t rows = 4100, cols = 4096;
	uint16_t *v = calloc(rows * cols, sizeof *v), got[64];
	(void)state;
	for (size_t i = 0; i < rows; i++)
		for (size_t k = 0; k < 64; k++)
			v[i * cols + k] = f32_to_f16((float)((i * 31 + k) % 1000));
	made_add(&m, "blk.0.ffn_up.weight", "F16", "[4100,4096]", v, rows * cols * sizeof *v);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "gpt2", &e), 0);
	for (size_t col = 0; col < 64; col += 9) {
		assert_int_equal(export_read(&x, x.header_len + (col * rows + 4000) * 2, sizeof got, got, &e), 0);
		for (size_t i = 0; i < 64; i++)
			assert_int_equal(got[i], v[(4000 + i) * cols + col]);
	}
	free(v);
	export_release(&x);
	side_close(&s);
}

/* llama.cpp's names and orders back to Hugging Face's. */
static void test_names(void **state)
{
	struct hf_tensor t;
	(void)state;
	assert_true(hf_name("llama", "blk.12.ffn_gate.weight", &t));
	assert_string_equal(t.name, "model.layers.12.mlp.gate_proj.weight");
	assert_true(hf_name("qwen2", "blk.0.attn_k.bias", &t));
	assert_string_equal(t.name, "model.layers.0.self_attn.k_proj.bias");
	assert_true(hf_name("gemma2", "blk.3.ffn_norm.weight", &t));
	assert_string_equal(t.name, "model.layers.3.pre_feedforward_layernorm.weight");
	assert_true(hf_name("gpt2", "blk.1.ffn_up.bias", &t));
	assert_string_equal(t.name, "transformer.h.1.mlp.c_fc.bias");
	assert_false(t.transpose);
	assert_true(hf_name("glm4", "blk.1.ffn_norm.weight", &t));
	assert_string_equal(t.name, "model.layers.1.post_attention_layernorm.weight");
	assert_true(hf_name("bert", "blk.1.layer_output_norm.bias", &t));
	assert_string_equal(t.name, "encoder.layer.1.output.LayerNorm.bias");
	assert_true(hf_name("llama", "output.weight", &t));
	assert_string_equal(t.name, "lm_head.weight");
	assert_false(hf_name("llama", "rope_freqs.weight", &t));
	assert_false(hf_name("llama", "blk.x.ffn_up.weight", &t));
	assert_false(hf_name("llama", "blk.1.ffn_up.scale", &t));
	assert_false(hf_name("falcon", "token_embd.weight", &t));
	assert_false(hf_name(NULL, "token_embd.weight", &t));
}

static void test_orders(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	float v[24], turned[24], less[3];
	(void)state;
	for (int i = 0; i < 24; i++)
		v[i] = (float)i;
	for (int i = 0; i < 24; i++)
		turned[i % 4 * 6 + i / 4] = v[i];
	for (int i = 0; i < 3; i++)
		less[i] = v[i] - 1;
	made_f32(&m, "blk.0.ffn_up.weight", "[6,4]", v, 24);
	made_bf16(&m, "blk.0.ffn_down.weight", "[6,4]", v, 24);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "gpt2", &e), 0);
	back(&x, &w);
	expect_values(&w, "transformer.h.0.mlp.c_fc.weight", "F32", turned, 24);
	expect_values(&w, "transformer.h.0.mlp.c_proj.weight", "BF16", turned, 24);
	weights_release(&w);
	export_release(&x);
	side_close(&s);
	made_f32(&m, "blk.0.attn_norm.weight", "[3]", v, 3);
	made_f32(&m, "token_embd.weight", "[6,4]", v, 24);
	made_f32(&m, "mine", "[6,4]", v, 24);
	side_open(&s, &m, NULL);
	s.c.parts[0].offset = -1;	/* as for a GGUF of such an architecture */
	assert_int_equal(export_plan(&x, &s.w, &s.c, "gemma", &e), 0);
	back(&x, &w);
	expect_values(&w, "model.layers.0.input_layernorm.weight", "F32", less, 3);
	expect_values(&w, "model.embed_tokens.weight", "F32", v, 24);
	expect_values(&w, "mine", "F32", v, 24);
	weights_release(&w);
	export_release(&x);
	side_close(&s);
}

/* Experts stacked in one tensor are a tensor each there. */
static void test_experts(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	float v[24];
	char name[80];
	(void)state;
	for (int i = 0; i < 24; i++)
		v[i] = (float)i;
	made_f16(&m, "blk.7.ffn_up_exps.weight", "[3,4,2]", v, 24);
	made_f32(&m, "blk.7.ffn_gate_inp.weight", "[3,2]", v, 6);
	made_add(&m, "blk.7.ffn_down_exps.weight", "F8_E5M2", "[3,4,2]", "\x3c\x40\x42\x44\x45\x46\x47\x48"
		 "\x3c\x40\x42\x44\x45\x46\x47\x48\x3c\x40\x42\x44\x45\x46\x47\x48", 24);
	made_f32(&m, "blk.8.ffn_up_exps.weight", "[3,8]", v, 24);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "qwen3moe", &e), 0);
	assert_int_equal(x.n, 8);
	back(&x, &w);
	expect_values(&w, "model.layers.7.mlp.gate.weight", "F32", v, 6);
	expect_values(&w, "blk.8.ffn_up_exps.weight", "F32", v, 24);
	for (int k = 0; k < 3; k++) {
		snprintf(name, sizeof name, "model.layers.7.mlp.experts.%d.up_proj.weight", k);
		expect_values(&w, name, "F16", v + 8 * k, 8);
		assert_int_equal(weights_find(&w, name)->ndim, 2);
		assert_int_equal(weights_find(&w, name)->shape[0], 4);
	}
	/* every entry by its own number, as a NumPy file too */
	for (size_t i = 0; i < x.n; i++) {
		const struct export_entry *t = &x.entries[i];
		uint64_t size = export_npy_size(t);
		unsigned char *all = malloc(size);
		uint16_t h;
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(t->id, x.entries[k].id);
		assert_int_equal(export_npy_read(&x, t, 0, size, all, &e), 0);
		memcpy(&h, all + size - 2, sizeof h);
		if (t->dtype == DTYPE_F16)
			assert_true(f16_to_f32(h) == v[t->first + 7]);
		free(all);
	}
	weights_release(&w);
	export_release(&x);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "llama", &e), 0);
	assert_string_equal(x.entries[x.n - 1].name, "model.layers.7.block_sparse_moe.experts.2.w2.weight");
	export_release(&x);
	side_close(&s);
}

/* Rows of q in llama.cpp's order: those of each head interleave its halves. */
static void test_rope(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	float hf[8 * 3], gguf[8 * 3];
	(void)state;
	for (int i = 0; i < 24; i++)
		hf[i] = (float)i;
	/* two heads of four rows: (head, half, i) -> (head, i, half) */
	for (int head = 0; head < 2; head++)
		for (int half = 0; half < 2; half++)
			for (int i = 0; i < 2; i++)
				memcpy(gguf + (head * 4 + i * 2 + half) * 3, hf + (head * 4 + half * 2 + i) * 3,
				       3 * sizeof *hf);
	made_f16(&m, "blk.0.attn_q.weight", "[8,3]", gguf, 24);
	side_open(&s, &m, NULL);
	s.c.parts[0].rope_heads = 2;	/* as for a GGUF of such an architecture */
	assert_int_equal(export_plan(&x, &s.w, &s.c, "llama", &e), 0);
	back(&x, &w);
	expect_values(&w, "model.layers.0.self_attn.q_proj.weight", "F16", hf, 24);
	unsigned char *all = whole(&x), part[64];
	for (uint64_t off = x.header_len; off < x.size; off++)
		for (uint64_t n = 1; n <= x.size - off; n++) {
			assert_int_equal(export_read(&x, off, n, part, &e), 0);
			assert_memory_equal(part, all + off, n);
		}
	free(all);
	weights_release(&w);
	export_release(&x);
	side_close(&s);
}

static void test_npy(void **state)
{
	static const char head[] = "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }";
	struct made m = {0};
	struct side s;
	struct export x;
	struct err e = ERR_INIT;
	float v[6] = {1, 2, 3, 4, 5, 6};
	unsigned char all[256], part[256];
	(void)state;
	made_bf16(&m, "b", "[5]", v, 5);
	made_add(&m, "i", "I16", "[2,3]", "aabbccddeeff", 12);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, NULL, &e), 0);
	assert_int_equal(export_npy_size(&x.entries[0]), 128 + 20);
	assert_int_equal(export_npy_read(&x, &x.entries[0], 0, 148, all, &e), 0);
	assert_memory_equal(all, head, sizeof head - 1);
	assert_int_equal(all[127], '\n');
	assert_memory_equal(all + 128, v, 20);
	for (uint64_t off = 0; off < 148; off++) {
		assert_int_equal(export_npy_read(&x, &x.entries[0], off, 148 - off, part, &e), 0);
		assert_memory_equal(part, all + off, 148 - off);
	}
	assert_int_equal(export_npy_size(&x.entries[1]), 128 + 12);
	assert_int_equal(export_npy_read(&x, &x.entries[1], 0, 140, all, &e), 0);
	assert_non_null(strstr((char *)all + 10, "'<i2', 'fortran_order': False, 'shape': (2, 3), }"));
	assert_memory_equal(all + 128, "aabbccddeeff", 12);
	export_release(&x);
	side_close(&s);
}

static void test_delta(void **state)
{
	struct made ma = {0}, mb = {0};
	struct side a, b;
	struct export x;
	struct weights w;
	struct err e = ERR_INIT;
	float p[40], q[40], d[40];
	(void)state;
	for (int i = 0; i < 40; i++) {
		p[i] = made_value((uint64_t)i);
		q[i] = made_value((uint64_t)i + 99);
		d[i] = p[i] - q[i];
	}
	made_f32(&ma, "model.layers.0.mlp.up_proj.weight", "[10,4]", p, 40);
	made_f32(&ma, "model.embed_tokens.weight", "[10,4]", p, 40);
	made_f32(&ma, "new", "[2,4]", p, 8);
	made_f32(&ma, "model.layers.0.self_attn.q_proj.weight", "[2,4]", p, 8);
	made_f32(&mb, "layers.0.mlp.up_proj.weight", "[10,4]", q, 40);
	made_f32(&mb, "model.embed_tokens.weight", "[8,4]", q, 32);
	made_f32(&mb, "gone", "[2,2]", q, 4);
	made_f32(&mb, "model.layers.0.self_attn.qkv_proj.weight", "[6,4]", q, 24);
	side_open(&a, &ma, NULL);
	side_open(&b, &mb, NULL);
	assert_int_equal(
		export_delta(&x, &(struct diff_model){&a.w, &a.c}, &(struct diff_model){&b.w, &b.c}, "org/base", &e),
		0);
	back(&x, &w);
	assert_string_equal(value_str(value_get(&w.meta, "delta_of")), "org/base");
	expect_values(&w, "model.layers.0.mlp.up_proj.weight", "F32", d, 40);
	expect_values(&w, "new", "F32", p, 8);
	expect_values(&w, "model.layers.0.self_attn.q_proj.weight", "F32", d, 8);
	memcpy(d + 32, p + 32, 8 * sizeof *d);
	expect_values(&w, "model.embed_tokens.weight", "F32", d, 40);
	unsigned char *all = whole(&x), part[512];
	for (uint64_t off = x.header_len; off < x.size; off += 3)
		for (uint64_t n = 1; n <= MIN(x.size - off, (uint64_t)60); n++) {
			assert_int_equal(export_read(&x, off, n, part, &e), 0);
			assert_memory_equal(part, all + off, n);
		}
	free(all);
	weights_release(&w);
	export_release(&x);
	side_close(&a);
	side_close(&b);
}

struct reader { const struct export *x; const unsigned char *all; bool bad; };

static void *read_ranges(void *arg)
{
	struct reader *r = arg;
	unsigned char *part = malloc(r->x->size);
	for (uint64_t i = 0; i < 300; i++) {
		uint64_t off = hash_mix(i ^ (uintptr_t)&r) % r->x->size, n = hash_mix(i) % (r->x->size - off);
		r->bad |= export_read(r->x, off, n, part, NULL) || memcmp(part, r->all + off, n);
	}
	free(part);
	return NULL;
}

static void test_threads(void **state)
{
	struct made m = {0};
	struct side s;
	struct export x;
	struct err e = ERR_INIT;
	float *v = made_floats(20000, 0);
	pthread_t t[4];
	struct reader r[4];
	(void)state;
	made_f16(&m, "blk.0.ffn_up.weight", "[100,200]", v, 20000);
	made_f16(&m, "blk.0.ffn_down.weight", "[200,100]", v, 20000);
	side_open(&s, &m, NULL);
	assert_int_equal(export_plan(&x, &s.w, &s.c, "gpt2", &e), 0);
	unsigned char *all = whole(&x);
	for (int i = 0; i < 4; i++) {
		r[i] = (struct reader){&x, all, false};
		pthread_create(&t[i], NULL, read_ranges, &r[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_false(r[i].bad);
	}
	free(all);
	free(v);
	export_release(&x);
	side_close(&s);
}

static struct side failing[2];

static int once(void *arg)
{
	struct export x;
	struct err e = ERR_INIT;
	(void)arg;
	int r = export_plan(&x, &failing[0].w, &failing[0].c, "gpt2", &e);
	if (!r) {
		unsigned char *all = malloc(x.size);
		r = export_read(&x, 0, x.size, all, &e);
		free(all);
		export_release(&x);
	}
	if (!r)
		r = export_delta(&x, &(struct diff_model){&failing[0].w, &failing[0].c},
				 &(struct diff_model){&failing[1].w, &failing[1].c}, "b", &e);
	else
		return r;
	if (!r) {
		unsigned char *all = malloc(x.size);
		r = export_read(&x, 0, x.size, all, &e);
		free(all);
		export_release(&x);
	}
	return r;
}

static void test_failures(void **state)
{
	struct made ma = {0}, mb = {0};
	struct side clash;
	struct export x;
	struct err e = ERR_INIT;
	float *v = made_floats(400, 0);
	(void)state;
	made_f16(&ma, "blk.0.ffn_up.weight", "[10,20]", v, 200);
	made_f16(&ma, "token_embd.weight", "[10,20]", v, 200);
	made_f16(&mb, "blk.0.ffn_up.weight", "[10,10]", v, 100);
	side_open(&failing[0], &ma, NULL);
	side_open(&failing[1], &mb, NULL);
	fail_everything(once, NULL);
	side_close(&failing[0]);
	side_close(&failing[1]);
	made_f16(&ma, "token_embd.weight", "[10,20]", v, 200);
	made_f16(&ma, "model.embed_tokens.weight", "[10,20]", v, 200);
	side_open(&clash, &ma, NULL);
	assert_int_equal(export_plan(&x, &clash.w, &clash.c, "llama", &e), -EINVAL);
	side_close(&clash);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_f16),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_large_transposed),
		cmocka_unit_test(test_turned_experts),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_orders), cmocka_unit_test(test_experts),
		cmocka_unit_test(test_rope),
		cmocka_unit_test(test_npy),
		cmocka_unit_test(test_delta),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
