/* Layouts: the same weights, fused, transposed, interleaved, stacked or in RoPE order, are the same canonical rows. */
#include "core/lake/canon.h"
#include "tests/core/lake/made.h"

#include <errno.h>

static const struct part *part(const struct canon *c, const char *role, int layer, int expert)
{
	for (size_t i = 0; i < c->n_parts; i++)
		if (!strcmp(c->parts[i].role, role) && c->parts[i].layer == layer && c->parts[i].expert == expert)
			return &c->parts[i];
	for (size_t i = 0; i < c->n_parts; i++)
		print_message("have %s %d %d\n", c->parts[i].role, c->parts[i].layer, c->parts[i].expert);
	fail_msg("no part %s %d %d", role, layer, expert);
	return NULL;
}

/* All rows at once, one by one, in a window and through grids give `want` (rows x cols). */
static void expect(const struct weights *w, const struct part *p, const float *want, uint64_t rows, uint64_t cols)
{
	float got[4096];
	uint64_t r[64], c[64];
	struct err e = ERR_INIT;

	assert_int_equal(p->rows, rows);
	assert_int_equal(p->cols, cols);
	assert_int_equal(canon_read_rows(w, p, 0, rows, got, &e), 0);
	assert_memory_equal(got, want, rows * cols * sizeof *got);
	for (uint64_t i = 0; i < rows; i++) {
		assert_int_equal(canon_read_row(w, p, i, got, &e), 0);
		assert_memory_equal(got, want + i * cols, cols * sizeof *got);
	}
	if (rows > 2) {
		assert_int_equal(canon_read_rows(w, p, 1, rows - 2, got, &e), 0);
		assert_memory_equal(got, want + cols, (rows - 2) * cols * sizeof *got);
	}
	for (uint64_t step = 1; step < 4; step++) {
		size_t nr = 0, nc = 0;

		for (uint64_t i = step - 1; i < rows; i += step)
			r[nr++] = i;
		for (uint64_t i = step / 2; i < cols; i += step)
			c[nc++] = i;
		if (!nr || !nc)
			continue;
		assert_int_equal(canon_read_grid(w, p, r, nr, c, nc, got, &e), 0);
		for (size_t i = 0; i < nr; i++)
			for (size_t j = 0; j < nc; j++)
				assert_float_equal(got[i * nc + j], want[r[i] * cols + c[j]], 0);
	}
}

static void fill(float *x, size_t n, float from)
{
	for (size_t i = 0; i < n; i++)
		x[i] = from + (float)i;
}

/* llama.cpp: reshape(heads, 2, d/2, cols).swapaxes(1, 2) */
static void permute(const float *in, float *out, size_t rows, size_t cols, size_t heads)
{
	size_t d = rows / heads, half = d / 2;

	for (size_t h = 0; h < heads; h++)
		for (size_t i = 0; i < 2; i++)
			for (size_t j = 0; j < half; j++)
				memcpy(out + (h * d + j * 2 + i) * cols, in + (h * d + i * half + j) * cols,
				       cols * sizeof *in);
}

static void rope_order(void **state)
{
	float q[16 * 6], k[8 * 6], pq[16 * 6], pk[8 * 6], b[16], pb[16];
	struct made m;
	struct canon c;
	struct canon_hints h = {.architecture = "llama", .heads = 4, .kv_heads = 2, .head_dim = 4, .hidden = 16};

	(void)state;
	fill(q, 96, 0);
	fill(k, 48, 1000);
	fill(b, 16, 2000);
	permute(q, pq, 16, 6, 4);
	permute(k, pk, 8, 6, 2);
	permute(b, pb, 16, 1, 4);
	made_init(&m, &made_gguf);
	made_add(&m, pq, "blk.3.attn_q.weight", 16, 6, 0);
	made_add(&m, pk, "blk.3.attn_k.weight", 8, 6, 0);
	made_add(&m, pb, "blk.3.attn_q.bias", 16, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	assert_string_equal(c.family, "gguf");
	assert_int_equal(c.layers, 4);
	expect(&m.w, part(&c, "attn.q", 3, -1), q, 16, 6);
	expect(&m.w, part(&c, "attn.k", 3, -1), k, 8, 6);
	expect(&m.w, part(&c, "attn.q.bias", 3, -1), b, 16, 1);
	canon_release(&c);
	/* qwen2's rows are left alone by the converter */
	h.architecture = "qwen2";
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "attn.q", 3, -1), pq, 16, 6);
	canon_release(&c);
	/* the same names in a container that llama.cpp did not write */
	m.w.format = &made_plain;
	h.architecture = "llama";
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "attn.q", 3, -1), pq, 16, 6);
	canon_release(&c);
	/* Meta's own checkpoints have the order too */
	made_init(&m, &made_plain);
	made_add(&m, pq, "layers.0.attention.wq.weight", 16, 6, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "attn.q", 0, -1), q, 16, 6);
	canon_release(&c);
}

/* The converter adds 1 to Gemma's norms: taken off again, and from nothing else. */
static void norms_plus_one(void **state)
{
	float norm[4] = {1, 1.5f, 0.75f, 2}, want[4] = {0, 0.5f, -0.25f, 1}, q[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct canon_hints h = {.architecture = "gemma2"};
	struct made m;
	struct canon c;

	(void)state;
	made_init(&m, &made_gguf);
	made_add(&m, norm, "blk.0.attn_norm.weight", 4, 0);
	made_add(&m, norm, "blk.0.attn_norm.bias", 4, 0);
	made_add(&m, q, "blk.0.attn_v.weight", 2, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "norm.attn", 0, -1), want, 4, 1);
	expect(&m.w, part(&c, "norm.attn.bias", 0, -1), norm, 4, 1);
	expect(&m.w, part(&c, "attn.v", 0, -1), q, 2, 4);
	canon_release(&c);
	h.architecture = "llama";
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "norm.attn", 0, -1), norm, 4, 1);
	canon_release(&c);
}

static void transpose(const float *in, float *out, size_t rows, size_t cols)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			out[j * rows + i] = in[i * cols + j];
}

static void conv1d(void **state)
{
	float all[18 * 6], t[18 * 6], bias[18], o[36], ot[36];
	struct made m;
	struct canon c;

	(void)state;
	fill(all, 108, 0);
	fill(bias, 18, 500);
	fill(o, 36, 700);
	transpose(all, t, 18, 6);
	transpose(o, ot, 6, 6);
	made_init(&m, &made_plain);
	made_add(&m, t, "h.0.attn.c_attn.weight", 6, 18, 0);
	made_add(&m, bias, "h.0.attn.c_attn.bias", 18, 0);
	made_add(&m, ot, "h.0.attn.c_proj.weight", 6, 6, 0);
	made_add(&m, NULL, "wte.weight", 10, 6, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_string_equal(c.family, "gpt2");
	expect(&m.w, part(&c, "attn.q", 0, -1), all, 6, 6);
	expect(&m.w, part(&c, "attn.k", 0, -1), all + 36, 6, 6);
	expect(&m.w, part(&c, "attn.v", 0, -1), all + 72, 6, 6);
	expect(&m.w, part(&c, "attn.v.bias", 0, -1), bias + 12, 6, 1);
	expect(&m.w, part(&c, "attn.o", 0, -1), o, 6, 6);
	canon_release(&c);
	/* Qwen's first generation has the names, but stores outputs x inputs */
	made_init(&m, &made_plain);
	made_add(&m, all, "transformer.h.0.attn.c_attn.weight", 18, 6, 0);
	made_add(&m, o, "transformer.h.0.attn.c_proj.weight", 6, 6, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	expect(&m.w, part(&c, "attn.k", 0, -1), all + 36, 6, 6);
	expect(&m.w, part(&c, "attn.o", 0, -1), o, 6, 6);
	canon_release(&c);
}

/* `kv` groups of `n` q heads, a k head and a v head, of `d` rows each, cut out of rows that count up. */
static void groups(const char *name, struct canon_hints h, size_t kv, size_t n, size_t d)
{
	enum { COLS = 3 };
	static float all[4096], q[4096], k[4096], v[4096];
	size_t nq = 0, nk = 0, nv = 0, rows = kv * (n + 2) * d;
	struct made m;
	struct canon c;

	fill(all, rows * COLS, 0);
	for (size_t i = 0; i < rows; i++) {
		size_t in = i % ((n + 2) * d) / d;
		float *to = in < n ? q + nq++ * COLS : in == n ? k + nk++ * COLS : v + nv++ * COLS;

		memcpy(to, all + i * COLS, COLS * sizeof *to);
	}
	made_init(&m, &made_plain);
	made_add(&m, all, name, (int)rows, COLS, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "attn.q", 0, -1), q, nq, COLS);
	expect(&m.w, part(&c, "attn.k", 0, -1), k, nk, COLS);
	expect(&m.w, part(&c, "attn.v", 0, -1), v, nv, COLS);
	canon_release(&c);
}

static void interleaved(void **state)
{
	(void)state;
	groups("gpt_neox.layers.0.attention.query_key_value.weight",
	       (struct canon_hints){.heads = 4, .kv_heads = 4}, 4, 1, 2);
	groups("h.0.self_attention.query_key_value.weight", (struct canon_hints){.heads = 3}, 3, 1, 4);
	groups("transformer.h.0.self_attention.query_key_value.weight",
	       (struct canon_hints){.heads = 8, .kv_heads = 2}, 2, 4, 2);
	groups("transformer.h.0.self_attention.query_key_value.weight",
	       (struct canon_hints){.heads = 5, .kv_heads = 1}, 1, 5, 2);
	groups("model.layers.0.attention.wqkv.weight", (struct canon_hints){.heads = 6, .kv_heads = 3}, 3, 2, 2);
}

static void fused(void **state)
{
	float x[24 * 4];
	struct made m;
	struct canon c;
	struct canon_hints h = {.heads = 4, .kv_heads = 2};

	(void)state;
	fill(x, 96, 0);
	made_init(&m, &made_plain);
	made_add(&m, x, "model.layers.0.self_attn.qkv_proj.weight", 24, 4, 0);
	made_add(&m, x, "model.layers.0.mlp.gate_up_proj.weight", 24, 4, 0);
	made_add(&m, x, "encoder.layers.1.self_attn.in_proj_weight", 12, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	expect(&m.w, part(&c, "attn.q", 0, -1), x, 12, 4);
	expect(&m.w, part(&c, "attn.k", 0, -1), x + 48, 6, 4);
	expect(&m.w, part(&c, "attn.v", 0, -1), x + 72, 6, 4);
	expect(&m.w, part(&c, "mlp.gate", 0, -1), x, 12, 4);
	expect(&m.w, part(&c, "mlp.up", 0, -1), x + 48, 12, 4);
	canon_release(&c);
	/* heads unknown and not three equal parts: not cut at all */
	made_init(&m, &made_plain);
	made_add(&m, x, "model.layers.0.self_attn.qkv_proj.weight", 23, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	expect(&m.w, part(&c, "attn.qkv", 0, -1), x, 23, 4);
	canon_release(&c);
}

static void experts(void **state)
{
	enum { E = 3, OUT = 4, IN = 5 };
	float x[E * OUT * IN], t[E * OUT * IN], want[OUT * IN];
	struct made m;
	struct canon c;
	struct canon_hints h = {.hidden = IN};

	(void)state;
	fill(x, E * OUT * IN, 0);
	for (int i = 0; i < E; i++)
		transpose(x + i * OUT * IN, t + i * OUT * IN, OUT, IN);
	made_init(&m, &made_gguf);
	made_add(&m, x, "blk.2.ffn_up_exps.weight", E, OUT, IN, 0);
	made_add(&m, x, "blk.2.ffn_down.1.weight", OUT, IN, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	for (int i = 0; i < E; i++)
		expect(&m.w, part(&c, "mlp.up", 2, i), x + i * OUT * IN, OUT, IN);
	expect(&m.w, part(&c, "mlp.down", 2, 1), x, OUT, IN);
	canon_release(&c);
	/* inputs x outputs, gate before up */
	made_init(&m, &made_plain);
	made_add(&m, t, "language_model.model.layers.2.feed_forward.experts.gate_up_proj", E, IN, OUT, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	for (int i = 0; i < E; i++) {
		expect(&m.w, part(&c, "mlp.gate", 2, i), x + i * OUT * IN, OUT / 2, IN);
		expect(&m.w, part(&c, "mlp.up", 2, i), x + i * OUT * IN + OUT / 2 * IN, OUT / 2, IN);
	}
	canon_release(&c);
	/* gpt-oss alternates them */
	h.architecture = "GptOssForCausalLM";
	made_init(&m, &made_plain);
	made_add(&m, t, "model.layers.2.mlp.experts.gate_up_proj", E, IN, OUT, 0);
	made_add(&m, x, "model.layers.2.self_attn.sinks", 4, 0);
	assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
	assert_string_equal(c.family, "llama");
	memcpy(want, x + OUT * IN + IN, IN * sizeof *want);
	memcpy(want + IN, x + OUT * IN + 3 * IN, IN * sizeof *want);
	expect(&m.w, part(&c, "mlp.up", 2, 1), want, OUT / 2, IN);
	canon_release(&c);
	/* as a parameter the inputs come first, also where both sides are as long; as MXFP4 and as a layer's weight they do not */
	h.hidden = IN;
	for (int i = 0; i < 3; i++) {
		made_init(&m, &made_plain);
		struct tensor *square = made_add(&m, NULL, i == 2 ? "model.layers.2.mlp.experts.down_proj.weight" : "model.layers.2.mlp.experts.down_proj",
						 E, IN, IN, 0);
		square->dtype = i == 1 ? DTYPE_CT_MXFP4 : DTYPE_F32;
		assert_int_equal(canon_of(&c, &m.w, &h, NULL), 0);
		assert_int_equal(part(&c, "mlp.down", 2, 1)->transposed, i == 0);
		canon_release(&c);
	}
}

static void adapters(void **state)
{
	float a[2 * 6], at[2 * 6];
	struct made m, n;
	struct canon c, d;

	(void)state;
	fill(a, 12, 0);
	transpose(a, at, 2, 6);
	made_init(&m, &made_plain);
	made_add(&m, a, "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", 2, 6, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	expect(&m.w, part(&c, "attn.q.lora_a", 1, -1), a, 2, 6);
	made_init(&n, &made_plain);	/* MLX */
	made_add(&n, at, "model.layers.1.self_attn.q_proj.lora_a", 6, 2, 0);
	assert_int_equal(canon_of(&d, &n.w, NULL, NULL), 0);
	expect(&n.w, part(&d, "attn.q.lora_a", 1, -1), a, 2, 6);
	canon_release(&c);
	canon_release(&d);
}

/* Sampling a wide matrix reads near the rows it needs, and a narrow one in few reads. */
static void frugal(void **state)
{
	struct made m;
	struct canon c;
	uint64_t rows[4] = {5, 100, 101, 900}, cols[3] = {0, 7, 49999}, few[3] = {1, 2, 3};
	float out[12];

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "a.weight", 1000, 50000, 0);
	made_add(&m, NULL, "b.weight", 1000, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_int_equal(canon_read_grid(&m.w, &c.parts[0], rows, 4, cols, 3, out, NULL), 0);
	assert_float_equal(out[3 * 3 + 1], 900.0f * 50000 + 7, 0);
	assert_true(m.floats <= 4 * 50000);
	assert_true(m.reads <= 4);
	m.reads = m.floats = 0;
	assert_int_equal(canon_read_grid(&m.w, &c.parts[0], rows, 4, few, 3, out, NULL), 0);
	assert_true(m.floats <= 4 * 8);
	m.reads = 0;
	assert_int_equal(canon_read_grid(&m.w, &c.parts[1], rows, 4, few, 3, out, NULL), 0);
	assert_int_equal(m.reads, 1);
	assert_float_equal(out[11], 900 * 4 + 3, 0);
	canon_release(&c);
}

/* A row of millions, of which a few elements are wanted, is never read whole. */
static void huge_row(void **state)
{
	struct made m;
	struct canon c;
	uint64_t row = 0, cols[3] = {0, 1 << 22, (1 << 24) - 1};
	float out[3];

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "a.weight", 1, 1 << 24, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_int_equal(canon_read_grid(&m.w, &c.parts[0], &row, 1, cols, 3, out, NULL), 0);
	assert_float_equal(out[2], (1 << 24) - 1, 0);
	assert_true(m.floats < 10);
	canon_release(&c);
}

static void out_of_range(void **state)
{
	struct made m;
	struct canon c;
	struct err e = ERR_INIT;
	uint64_t bad = 10, ok = 0;
	float out[40];

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "a.weight", 10, 4, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	assert_int_equal(canon_read_row(&m.w, &c.parts[0], 10, out, &e), -EINVAL);
	assert_int_equal(canon_read_rows(&m.w, &c.parts[0], 1, UINT64_MAX, out, &e), -EINVAL);
	assert_int_equal(canon_read_grid(&m.w, &c.parts[0], &bad, 1, &ok, 1, out, &e), -EINVAL);
	assert_int_equal(canon_read_grid(&m.w, &c.parts[0], &ok, 1, &bad, 1, out, &e), -EINVAL);
	canon_release(&c);
}

static void out_of_memory(void **state)
{
	struct made m;
	struct canon c;

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "h.0.attn.c_attn.weight", 6, 18, 0);
	made_add(&m, NULL, "conv1.weight", 8, 1, 3, 3, 0);
	mem_fail_at(0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	canon_release(&c);
	for (uint64_t n = 1;; n++) {
		struct err e = ERR_INIT;
		int r;

		mem_fail_at(n);
		r = canon_of(&c, &m.w, NULL, &e);
		mem_fail_at(0);
		if (!r) {
			assert_true(n > 3);
			canon_release(&c);
			return;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rope_order),   cmocka_unit_test(norms_plus_one), cmocka_unit_test(conv1d),
		cmocka_unit_test(interleaved),  cmocka_unit_test(fused),          cmocka_unit_test(experts),
		cmocka_unit_test(adapters),     cmocka_unit_test(frugal),         cmocka_unit_test(huge_row),
		cmocka_unit_test(out_of_range), cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
