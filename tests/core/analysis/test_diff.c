/* core/analysis/diff: two models tensor by tensor, against values that NumPy gives for the same numbers. */
#include "tests/core/analysis/made_weights.h"

#include "core/analysis/diff.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

struct side {
	struct weights w;
	struct canon c;
	struct diff_model m;
};

static void side_open(struct side *s, struct made *m)
{
	struct err e = ERR_INIT;
	made_open(m, &s->w);
	assert_int_equal(canon_of(&s->c, &s->w, NULL, &e), 0);
	s->m = (struct diff_model){&s->w, &s->c};
}

static void side_close(struct side *s)
{
	canon_release(&s->c);
	weights_release(&s->w);
}

static void run(struct diff *d, const struct side *a, const struct side *b)
{
	struct err e = ERR_INIT;
	if (diff_models(d, &a->m, &b->m, 2, NULL, &e))
		fail_msg("%s", e.msg);
}

static const struct diff_row *row_of(const struct diff *d, const struct side *a, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->rows[i].a != DIFF_NONE && !strcmp(a->w.tensors[d->rows[i].a].name, name))
			return &d->rows[i];
	fail_msg("no row %s", name);
	return NULL;
}

static void near(double got, double want)
{
	if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
		fail_msg("%.17g, expected %.17g", got, want);
}

static void expect(const struct diff_row *r, enum diff_status status, uint64_t elements, uint64_t changed,
		   uint64_t zeroed, double rel, double cosine, double max)
{
	assert_string_equal(diff_status_name(r->status), diff_status_name(status));
	assert_int_equal(r->sums.elements, elements);
	assert_int_equal(r->sums.changed, changed);
	assert_int_equal(r->sums.zeroed, zeroed);
	near(diff_rel_l2(&r->sums), rel);
	if (!isnan(cosine))
		near(diff_cosine(&r->sums), cosine);
	near(r->sums.max_abs, max);
}

static void add_pair(struct made *a, struct made *b, const char *name, const char *shape, const float *x,
		     const float *y, size_t n)
{
	made_f32(a, name, shape, x, n);
	made_f32(b, name, shape, y, n);
}

static void make_two(struct side *a, struct side *b)
{
	struct made ma = {0}, mb = {0};
	size_t n = 2500000;
	float *x = made_floats(n, 0), *y = made_floats(n, 0);
	for (size_t i = 0; i < n; i++)
		x[i] += (made_value(i) + .5f) / 64;
	add_pair(&ma, &mb, "model.layers.0.mlp.up_proj.weight", "[2500,1000]", x, y, n);
	add_pair(&ma, &mb, "model.layers.0.mlp.down_proj.weight", "[1000,2500]", y, y, n);
	memcpy(x, y, 30000 * sizeof *x);
	for (size_t i = 0; i < 30000; i += 7)
		x[i] += .25f;
	add_pair(&ma, &mb, "model.layers.0.self_attn.o_proj.weight", "[150,200]", x, y, 30000);
	for (size_t i = 0; i < 5000; i++)
		x[i] = fabsf(y[i]) < 1 ? 0 : y[i];
	add_pair(&ma, &mb, "pruned", "[50,100]", x, y, 5000);
	for (size_t i = 0; i < 5000; i++)
		x[i] = y[i] + .5f;
	made_bf16(&ma, "model.norm.weight", "[5000]", x, 5000);
	made_f32(&mb, "model.norm.weight", "[5000]", x, 5000);
	memcpy(x, y, 2000 * sizeof *x);
	x[77] += 1;
	made_f32(&ma, "model.embed_tokens.weight", "[40,50]", x, 2000);
	made_f32(&mb, "model.embed_tokens.weight", "[30,50]", y, 1500);
	x[77] -= 1;
	made_f32(&ma, "new", "[20,3]", y + 5, 60);
	made_f32(&mb, "gone", "[20,2]", y + 9, 40);
	x[3] = NAN;
	x[4] = INFINITY;
	x[5] = y[5] + 2;
	add_pair(&ma, &mb, "odd", "[10]", x, y, 10);
	add_pair(&ma, &mb, "none", "[0,7]", x, y, 0);
	float with[4] = {0, 0, 1, -0.0f}, without[4] = {0, 5, 0, 0};
	add_pair(&ma, &mb, "zeros", "[4]", with, without, 4);
	float one = 2, other = 4;
	add_pair(&ma, &mb, "one", "[]", &one, &other, 1);
	free(x);
	free(y);
	side_open(a, &ma);
	side_open(b, &mb);
}

static void test_numpy(void **state)
{
	struct side a, b;
	struct diff d;
	(void)state;
	make_two(&a, &b);
	run(&d, &a, &b);
	expect(row_of(&d, &a, "model.layers.0.mlp.up_proj.weight"), DIFF_CHANGED, 2500000, 2499962, 0,
	       0.015716222259225903, 0.9999986131691012, 0.13280868530273438);
	expect(row_of(&d, &a, "model.layers.0.mlp.down_proj.weight"), DIFF_SAME, 2500000, 0, 0, 0, NAN, 0);
	expect(row_of(&d, &a, "model.layers.0.self_attn.o_proj.weight"), DIFF_CHANGED, 30000, 4286, 1,
	       0.0204585377111042, 0.9997907883886538, 0.25);
	expect(row_of(&d, &a, "pruned"), DIFF_CHANGED, 5000, 622, 622, 0.04392468014382085, 0.9990348454755035,
	       0.993896484375);
	const struct diff_row *r = row_of(&d, &a, "model.norm.weight");
	assert_int_equal(r->status, DIFF_CAST);
	assert_int_equal(r->sums.rounded, 5000);
	expect(row_of(&d, &a, "model.embed_tokens.weight"), DIFF_SHAPE, 1500, 1, 0, 0.005589279676465659,
	       0.9999843875634155, 1);
	assert_int_equal(row_of(&d, &a, "new")->status, DIFF_ADDED);
	assert_int_equal(row_of(&d, &a, "none")->status, DIFF_SAME);
	expect(row_of(&d, &a, "one"), DIFF_CHANGED, 1, 1, 0, .5, 1, 2);
	expect(row_of(&d, &a, "zeros"), DIFF_CHANGED, 4, 2, 1, sqrt(26. / 25), NAN, 5);
	r = row_of(&d, &a, "odd");
	assert_int_equal(r->sums.nonfinite, 2);
	assert_int_equal(r->sums.changed, 3);
	near(r->sums.max_abs, 2);
	r = &d.rows[d.n - 1];
	assert_int_equal(r->status, DIFF_REMOVED);
	assert_string_equal(b.w.tensors[r->b].name, "gone");
	diff_release(&d);
	side_close(&a);
	side_close(&b);
}

static void test_threads(void **state)
{
	struct side a, b;
	struct diff one, many;
	struct err e = ERR_INIT;
	(void)state;
	make_two(&a, &b);
	assert_int_equal(diff_models(&one, &a.m, &b.m, 1, NULL, &e), 0);
	assert_int_equal(diff_models(&many, &a.m, &b.m, 5, NULL, &e), 0);
	assert_int_equal(one.n, many.n);
	assert_memory_equal(one.rows, many.rows, one.n * sizeof *one.rows);
	diff_release(&one);
	diff_release(&many);
	side_close(&a);
	side_close(&b);
}

/* Prefixes, fused against split projections, a transposed layout: the same weights. */
static void test_layouts(void **state)
{
	struct made ma = {0}, mb = {0};
	struct side a, b;
	struct diff d;
	float *v = made_floats(24 * 8, 0), t[8 * 24], o[64];
	(void)state;
	made_f32(&ma, "model.layers.0.self_attn.q_proj.weight", "[8,8]", v, 64);
	made_f32(&ma, "model.layers.0.self_attn.k_proj.weight", "[8,8]", v + 64, 64);
	made_f32(&ma, "model.layers.0.self_attn.v_proj.weight", "[8,8]", v + 128, 64);
	made_f32(&ma, "model.layers.0.mlp.gate_proj.weight", "[8,8]", v, 64);
	for (int i = 0; i < 24; i++)
		for (int k = 0; k < 8; k++)
			t[k * 24 + i] = v[i * 8 + k];
	made_f32(&mb, "transformer.h.0.attn.c_attn.weight", "[8,24]", t, 192);
	made_f32(&mb, "transformer.h.0.mlp.gate_proj.weight", "[8,8]", v, 64);
	for (int i = 0; i < 64; i++)
		o[i % 8 * 8 + i / 8] = v[i];
	made_f32(&ma, "model.layers.0.self_attn.o_proj.weight", "[8,8]", v, 64);
	made_f32(&mb, "transformer.h.0.attn.c_proj.weight", "[8,8]", o, 64);
	side_open(&a, &ma);
	side_open(&b, &mb);
	run(&d, &a, &b);
	assert_int_equal(d.n, 5);
	for (size_t i = 0; i < d.n; i++) {
		assert_int_equal(d.rows[i].status, DIFF_SAME);
		assert_int_equal(d.rows[i].sums.elements, 64);
	}
	assert_true(row_of(&d, &a, "model.layers.0.self_attn.k_proj.weight")->part_b != DIFF_NONE);
	assert_true(row_of(&d, &a, "model.layers.0.mlp.gate_proj.weight")->part_b == DIFF_NONE);
	diff_release(&d);
	side_close(&a);
	side_close(&b);
	free(v);
}

/* Layers in another order, and one repeated. */
static void test_moved(void **state)
{
	struct made ma = {0}, mb = {0};
	struct side a, b;
	struct diff d;
	float *v = made_floats(400, 0);
	(void)state;
	made_f32(&ma, "model.layers.0.mlp.up_proj.weight", "[10,10]", v + 100, 100);
	made_f32(&ma, "model.layers.1.mlp.up_proj.weight", "[10,10]", v + 100, 100);
	made_f32(&ma, "model.layers.2.mlp.up_proj.weight", "[10,10]", v + 200, 100);
	made_f32(&ma, "model.layers.3.mlp.up_proj.weight", "[10,10]", v + 300, 100);
	made_f32(&mb, "model.layers.0.mlp.up_proj.weight", "[10,10]", v, 100);
	made_f32(&mb, "model.layers.1.mlp.up_proj.weight", "[10,10]", v + 100, 100);
	made_f32(&mb, "model.layers.2.mlp.up_proj.weight", "[10,10]", v + 200, 100);
	made_f32(&mb, "unheard.of", "[10,10]", v + 300, 100);
	side_open(&a, &ma);
	side_open(&b, &mb);
	run(&d, &a, &b);
	const struct diff_row *r = row_of(&d, &a, "model.layers.0.mlp.up_proj.weight");
	assert_int_equal(r->status, DIFF_RENAMED);
	assert_string_equal(b.w.tensors[r->b].name, "model.layers.1.mlp.up_proj.weight");
	assert_int_equal(row_of(&d, &a, "model.layers.1.mlp.up_proj.weight")->status, DIFF_SAME);
	r = row_of(&d, &a, "model.layers.3.mlp.up_proj.weight");
	assert_int_equal(r->status, DIFF_RENAMED);
	assert_string_equal(b.w.tensors[r->b].name, "unheard.of");
	assert_int_equal(d.n, 5);	/* b's layer 0 is the one that is gone */
	assert_int_equal(d.rows[4].status, DIFF_REMOVED);
	assert_string_equal(b.w.tensors[d.rows[4].b].name, "model.layers.0.mlp.up_proj.weight");
	diff_release(&d);
	side_close(&a);
	side_close(&b);
	free(v);
}

static void *stop_soon(void *arg)
{
	struct cancel *c = arg;
	usleep(2000);
	atomic_store(&c->set, true);
	return NULL;
}

static void test_cancel(void **state)
{
	struct side a, b;
	struct diff d;
	struct err e = ERR_INIT;
	struct cancel c = {true};
	pthread_t t;
	(void)state;
	make_two(&a, &b);
	assert_int_equal(diff_models(&d, &a.m, &b.m, 2, &c, &e), -ECANCELED);
	assert_int_equal(e.code, ECANCELED);
	atomic_store(&c.set, false);
	pthread_create(&t, NULL, stop_soon, &c);
	int r = diff_models(&d, &a.m, &b.m, 1, &c, &e);
	pthread_join(t, NULL);
	assert_int_equal(r, -ECANCELED);
	side_close(&a);
	side_close(&b);
}

static struct side few[2];

static int once(void *arg)
{
	struct diff d;
	struct err e = ERR_INIT;
	(void)arg;
	int r = diff_models(&d, &few[0].m, &few[1].m, 1, NULL, &e);
	if (r < 0)
		assert_int_equal(r, -e.code);
	else
		diff_release(&d);
	return r;
}

static void test_failures(void **state)
{
	struct made ma = {0}, mb = {0};
	float *v = made_floats(400, 0);
	(void)state;
	made_f32(&ma, "model.layers.0.mlp.up_proj.weight", "[10,10]", v + 100, 100);
	made_f32(&ma, "model.embed_tokens.weight", "[20,10]", v + 100, 200);
	made_f32(&ma, "other", "[20,10]", v + 100, 200);
	made_f32(&mb, "model.layers.0.mlp.up_proj.weight", "[10,10]", v, 100);
	made_f32(&mb, "model.embed_tokens.weight", "[10,10]", v + 100, 100);
	made_f32(&mb, "unheard.of", "[10,10]", v + 100, 100);
	side_open(&few[0], &ma);
	side_open(&few[1], &mb);
	fail_everything(once, NULL);
	side_close(&few[0]);
	side_close(&few[1]);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numpy), cmocka_unit_test(test_threads), cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_moved), cmocka_unit_test(test_cancel), cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
