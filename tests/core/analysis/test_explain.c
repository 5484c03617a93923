/* core/analysis/explain: each rung of the ladder on a tensor that was made by its transformation. */
#include "tests/core/analysis/made_weights.h"

#include "core/analysis/explain.h"
#include "core/base/hash.h"

#include <errno.h>
#include <math.h>

enum { ROWS = 60, COLS = 80, N = ROWS * COLS };

/* Sums of uniform numbers: near enough to normal. */
static float noise(uint64_t i)
{
	double sum = 0;
	for (uint64_t k = 0; k < 4; k++)
		sum += (double)(hash_mix(i * 4 + k) >> 40) / (1 << 24) - .5;
	return (float)sum;
}

static void base_values(float *v, uint64_t seed)
{
	for (uint64_t i = 0; i < N; i++)
		v[i] = noise(i + seed * 1000003);
}

struct side {
	struct weights w;
	struct canon c;
};

static void side_open(struct side *s, struct made *m)
{
	struct err e = ERR_INIT;
	made_open(m, &s->w);
	assert_int_equal(canon_of(&s->c, &s->w, NULL, &e), 0);
}

static struct made ma, mb;

static void add(const char *name, const float *a, const float *b)
{
	made_f32(&ma, name, "[60,80]", a, N);
	made_f32(&mb, name, "[60,80]", b, N);
}

static void make_simple(float *a, const float *b)
{
	memcpy(a, b, N * sizeof *a);
	add("identical", a, b);
	for (int i = 0; i < N; i++)
		a[i] = b[i] * 1.25f;
	add("scaled", a, b);
	for (int i = 0; i < N; i++)
		a[i] = fabsf(b[i]) < .2f ? 0 : b[i];
	add("pruned", a, b);
	memcpy(a, b, N * sizeof *a);
	for (int i = 0; i < N; i += 100)
		a[i] += 1;
	add("few", a, b);
	for (int i = 0; i < N; i++)
		a[i] = b[i] + .02f * noise((uint64_t)i + 77777777);
	add("dense", a, b);
	base_values(a, 99);
	add("idiopathic", a, b);
	made_bf16(&ma, "cast", "[60,80]", b, N);
	made_f32(&mb, "cast", "[60,80]", b, N);
	made_f32(&ma, "appended", "[60,80]", b, N);
	made_f32(&mb, "appended", "[50,80]", b, N - 800);
	made_f32(&ma, "cut", "[50,80]", b, N - 800);
	made_f32(&mb, "cut", "[60,80]", b, N);
	made_f32(&ma, "new", "[7]", b, 7);
	made_f32(&mb, "gone", "[8]", b, 8);
}

static void make_structured(float *a, const float *b)
{
	for (int i = 0; i < ROWS; i++)
		memcpy(a + i * COLS, b + (i * 7 + 3) % ROWS * COLS, COLS * sizeof *a);
	a[5 * COLS] += 1;	/* two rows are another's */
	a[50 * COLS + 1] -= 1;
	add("rows", a, b);
	for (int i = 0; i < N; i++)
		a[i] = b[i / COLS * COLS + (i % COLS * 3 + 5) % COLS];
	add("columns", a, b);
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < COLS; k++) {
			double sum = 0;
			for (int r = 0; r < 5; r++)
				sum += (double)noise((uint64_t)(r * 1000 + i + 555555)) *
				       noise((uint64_t)(r * 1000 + k + 888888));
			a[i * COLS + k] = b[i * COLS + k] + (float)(.3 * sum);
		}
	made_bf16(&ma, "low", "[60,80]", a, N);
	made_bf16(&mb, "low", "[60,80]", b, N);
}

static const struct explanation *find(const struct explanation *x, const struct diff *d, const struct side *a,
				      const struct side *b, const char *name)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct diff_row *r = &d->rows[i];
		if (!strcmp(r->a != DIFF_NONE ? a->w.tensors[r->a].name : b->w.tensors[r->b].name, name))
			return &x[i];
	}
	fail_msg("no %s", name);
	return NULL;
}

static void expect(const struct explanation *x, enum explain_kind kind, double value, double validity,
		   double conciseness)
{
	assert_string_equal(explain_words(x->kind), explain_words(kind));
	if (!isnan(value) && fabs(x->value - value) > 1e-4)
		fail_msg("%s: value %g, expected %g", explain_words(kind), x->value, value);
	if (!isnan(validity) && fabs(x->validity - validity) > 1e-4)
		fail_msg("%s: validity %g, expected %g", explain_words(kind), x->validity, validity);
	if (!isnan(conciseness) && fabs(x->conciseness - conciseness) > 1e-9)
		fail_msg("%s: conciseness %g, expected %g", explain_words(kind), x->conciseness, conciseness);
}

static void test_ladder(void **state)
{
	static float a[N], b[N];
	struct side sa, sb;
	struct diff d;
	struct err e = ERR_INIT;
	(void)state;
	base_values(b, 1);
	make_simple(a, b);
	make_structured(a, b);
	side_open(&sa, &ma);
	side_open(&sb, &mb);
	struct diff_model this = {&sa.w, &sa.c}, other = {&sb.w, &sb.c};
	assert_int_equal(diff_models(&d, &this, &other, 1, NULL, &e), 0);
	struct explanation *x = malloc(d.n * sizeof *x);
	assert_int_equal(explain_diff(x, &d, &this, &other, 2, NULL, &e), 0);
	int zeroed = 0;
	for (int i = 0; i < N; i++)
		zeroed += fabsf(b[i]) < .2f;
	expect(find(x, &d, &sa, &sb, "identical"), EXPLAIN_IDENTICAL, NAN, 1, 1);
	expect(find(x, &d, &sa, &sb, "scaled"), EXPLAIN_SCALED, 1.25, 1, 1);
	expect(find(x, &d, &sa, &sb, "pruned"), EXPLAIN_PRUNED, (double)zeroed / N, 1, .5);
	expect(find(x, &d, &sa, &sb, "few"), EXPLAIN_FEW, .01, .99, 1. / 49);
	expect(find(x, &d, &sa, &sb, "dense"), EXPLAIN_DENSE, NAN, NAN, 1. / 61);
	assert_true(fabs(find(x, &d, &sa, &sb, "dense")->value - .02) < .001);
	expect(find(x, &d, &sa, &sb, "idiopathic"), EXPLAIN_IDIOPATHIC, NAN, 0, 1. / 61);
	expect(find(x, &d, &sa, &sb, "cast"), EXPLAIN_CAST, NAN, 1, 1);
	expect(find(x, &d, &sa, &sb, "appended"), EXPLAIN_ROWS_ADDED, 10, 1, .5);
	expect(find(x, &d, &sa, &sb, "cut"), EXPLAIN_ROWS_REMOVED, 10, 1, .5);
	expect(find(x, &d, &sa, &sb, "rows"), EXPLAIN_ROWS_PERMUTED, NAN, 58. / 60, .5);
	expect(find(x, &d, &sa, &sb, "columns"), EXPLAIN_COLUMNS_PERMUTED, NAN, 1, .5);
	expect(find(x, &d, &sa, &sb, "low"), EXPLAIN_LOW_RANK, 5, NAN, 1. / 6);
	assert_true(find(x, &d, &sa, &sb, "low")->validity > .99);
	expect(find(x, &d, &sa, &sb, "new"), EXPLAIN_ADDED, NAN, NAN, NAN);
	expect(find(x, &d, &sa, &sb, "gone"), EXPLAIN_REMOVED, NAN, NAN, NAN);
	free(x);
	diff_release(&d);
	canon_release(&sa.c);
	canon_release(&sb.c);
	weights_release(&sa.w);
	weights_release(&sb.w);
}

static struct side failing[2];

static int once(void *arg)
{
	struct diff_model a = {&failing[0].w, &failing[0].c}, b = {&failing[1].w, &failing[1].c};
	struct diff d;
	struct explanation x[8];
	struct buf blob = {0};
	struct err e = ERR_INIT;
	(void)arg;
	int r = diff_models(&d, &a, &b, 1, NULL, &e);
	if (r < 0)
		return r;
	assert_true(d.n <= COUNT(x));
	r = explain_diff(x, &d, &a, &b, 1, NULL, &e);
	if (!r)
		r = diff_encode(&d, &a, &b, &blob, &e);
	size_t n = d.n;
	diff_release(&d);
	if (!r && !(r = diff_decode(&d, &a, &b, blob.data, blob.len, &e))) {
		assert_int_equal(d.n, n);
		diff_release(&d);
	}
	buf_release(&blob);
	return r;
}

static void test_failures(void **state)
{
	static float a[N], b[N];
	struct diff_model this = {&failing[0].w, &failing[0].c}, other = {&failing[1].w, &failing[1].c};
	struct diff d;
	struct buf blob = {0};
	struct err e = ERR_INIT;
	struct cancel stop = {true};
	(void)state;
	base_values(b, 1);
	memset(&ma, 0, sizeof ma);
	memset(&mb, 0, sizeof mb);
	make_structured(a, b);
	side_open(&failing[0], &ma);
	side_open(&failing[1], &mb);
	fail_everything(once, NULL);
	assert_int_equal(diff_models(&d, &this, &other, 1, NULL, &e), 0);
	struct explanation x[8];
	assert_int_equal(explain_diff(x, &d, &this, &other, 1, &stop, &e), -ECANCELED);
	assert_int_equal(diff_encode(&d, &this, &other, &blob, &e), 0);
	diff_release(&d);
	/* a blob is nobody's friend */
	for (size_t n = 0; n < blob.len; n++)
		assert_true(diff_decode(&d, &this, &other, blob.data, n, &e) < 0);
	assert_int_equal(diff_decode(&d, &other, &other, blob.data, blob.len, &e), 0);	/* the same shapes */
	diff_release(&d);
	for (size_t i = 0; i < blob.len; i++) {
		blob.data[i] ^= 0x7f;
		if (diff_decode(&d, &this, &other, blob.data, blob.len, &e) == 0)
			diff_release(&d);
		blob.data[i] ^= 0x7f;
	}
	buf_release(&blob);
	for (int i = 0; i < 2; i++) {
		canon_release(&failing[i].c);
		weights_release(&failing[i].w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ladder), cmocka_unit_test(test_failures)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
