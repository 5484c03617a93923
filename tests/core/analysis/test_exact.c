/* core/analysis/exact: facts of whole weights, against values that NumPy gives for the same numbers. */
#include "tests/core/analysis/made_weights.h"

#include "core/analysis/exact.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

enum { FACTS = 13 };

struct expected {
	const char *name;
	double fact[FACTS];	/* mean std min max l2 kurtosis p01 p25 p50 p75 p99 zeros nonfinite */
};

/* numpy 1.24 in float64: mean, sqrt(mean((x-mean)^2)), …, quantile(…) of the finite values */
static const struct expected expected[] = {
	{"small f32",
	 {-0.016818603515625, 4.620035021468298, -8.0, 7.98046875, 146.09930343782545, -1.1992689784945447,
	  -7.83741943359375, -4.01312255859375, -0.0228271484375, 3.97869873046875, 7.81764404296875, 0, 0}},
	{"wide f32",
	 {0.49851244873046874, 4.618815434195226, -7.5, 8.497314453125, 1469.080347588221, -1.1999988986100953,
	  -7.34155517578125, -3.50201416015625, 0.4986572265625, 4.499267578125, 8.338623046875, 0, 0}},
	{"wide bf16",
	 {-0.00149036865234375, 4.618823342840867, -8.0, 8.0, 1460.6002633701803, -1.1999741437964748, -7.84375, -4.0,
	  -0.0013427734375, 4.0, 7.84375, 3, 0}},
	{"wide f16 odd",
	 {-2.146833692426104, 4618.8311748813885, -8000.0, 7996.0, 1222001.809061052, -1.2000069020032327, -7844.0,
	  -4002.0, -1.953125, 4000.0, 7840.0, 0, 3}},
	{"i8",
	 {-0.022542857142857142, 45.75532294207831, -80.0, 79.0, 12105.72203546736, -1.188757511968996, -78.0, -40.0,
	  0.0, 39.0, 78.0, 872, 0}},
	{"small odd",
	 {-0.03381757288171141, 4.626940099205661, -8.0, 7.8759765625, 79.875503480993, -1.203264535520019,
	  -7.9033251953125, -3.98382568359375, 0.032470703125, 3.98529052734375, 7.7792944335937495, 0, 2}},
	{"const",
	 {0.10000000149011612, 0, 0.10000000149011612, 0.10000000149011612, 44.72136021639598, NAN, 0.10000000149011612,
	  0.10000000149011612, 0.10000000149011612, 0.10000000149011612, 0.10000000149011612, 0, 0}},
	{"one", {3, 0, 3, 3, 3, NAN, 3, 3, 3, 3, 3, 0, 0}},
	{"empty", {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0}},
	{"all nan", {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 4}},
	{"zeros", {0, 0, 0, 0, 0, NAN, 0, 0, 0, 0, 0, 2, 0}},
};

static void make_odd(struct made *m)
{
	float *v = made_floats(70000, 0);
	for (size_t i = 0; i < 70000; i++)
		v[i] *= 1000;
	v[5] = NAN;
	v[6] = INFINITY;
	v[7] = -INFINITY;
	made_f16(m, "wide f16 odd", "[70000]", v, 70000);
	free(v);
	v = made_floats(300, 0);
	v[1] = v[2] = NAN;
	made_f32(m, "small odd", "[300]", v, 300);
	free(v);
	int8_t *b = malloc(70000);
	for (size_t i = 0; i < 70000; i++)
		b[i] = (int8_t)(made_value(i) * 10);
	made_add(m, "i8", "I8", "[700,100]", b, 70000);
	free(b);
}

static void make(struct weights *w)
{
	struct made m = {0};
	float *v = made_floats(1000, 0), none[4] = {NAN, NAN, INFINITY, -INFINITY}, three = 3, zeros[2] = {0, -0.0f};
	made_f32(&m, "small f32", "[10,100]", v, 1000);
	free(v);
	v = made_floats(100000, .5f);
	made_f32(&m, "wide f32", "[1000,100]", v, 100000);
	free(v);
	v = made_floats(100000, 0);
	made_bf16(&m, "wide bf16", "[1000,100]", v, 100000);
	free(v);
	make_odd(&m);
	v = malloc(200000 * sizeof *v);
	for (size_t i = 0; i < 200000; i++)
		v[i] = .1f;
	made_f32(&m, "const", "[200000]", v, 200000);
	free(v);
	made_f32(&m, "one", "[]", &three, 1);
	made_f32(&m, "empty", "[0,4]", &three, 0);
	made_f32(&m, "all nan", "[4]", none, 4);
	made_f32(&m, "zeros", "[2]", zeros, 2);
	made_open(&m, w);
}

static const struct exact_tensor *find(const struct exact *x, const char *name)
{
	for (size_t i = 0; i < x->n; i++)
		if (!strcmp(x->tensors[i].name, name))
			return &x->tensors[i];
	fail_msg("no %s", name);
	return NULL;
}

static void same_number(const char *name, int fact, double got, double want)
{
	if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
		fail_msg("%s: fact %d is %.17g, expected %.17g", name, fact, got, want);
}

static void test_numpy(void **state)
{
	struct weights w;
	struct exact x;
	struct err e = ERR_INIT;
	(void)state;
	make(&w);
	assert_int_equal(exact_of(&x, &w, 1, NULL, &e), 0);
	assert_int_equal(x.n, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		const struct exact_tensor *t = find(&x, expected[i].name);
		double got[FACTS] = {t->mean,
				     t->std,
				     t->min,
				     t->max,
				     t->l2,
				     t->kurtosis,
				     t->quantile[0],
				     t->quantile[1],
				     t->quantile[2],
				     t->quantile[3],
				     t->quantile[4],
				     (double)t->zeros,
				     (double)t->nonfinite};
		assert_true(t->values);
		for (int k = 0; k < FACTS; k++)
			same_number(t->name, k, got[k], expected[i].fact[k]);
	}
	exact_release(&x);
	weights_release(&w);
}

/* Known: XXH3-128 of nothing. The rest against the one-shot hash of the bytes. */
static void test_hashes(void **state)
{
	struct weights w;
	struct exact x;
	struct err e = ERR_INIT;
	char hex[33];
	(void)state;
	make(&w);
	assert_int_equal(exact_of(&x, &w, 1, NULL, &e), 0);
	hash128_hex(find(&x, "empty")->hash, hex);
	assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
	for (size_t i = 0; i < w.n_tensors; i++) {
		char *raw = malloc(w.tensors[i].bytes + 1);
		assert_int_equal(weights_read_raw(&w, &w.tensors[i], 0, w.tensors[i].bytes, raw, &e), 0);
		assert_int_equal(hash128_cmp(hash128(raw, w.tensors[i].bytes), x.tensors[i].hash), 0);
		free(raw);
	}
	/* one file, one thread: its hash comes with the sweep, and is that of the file read alone */
	struct hash128 h;
	assert_int_equal(x.n_files, 1);
	assert_int_equal(exact_file(&h, &w.files[0].io, NULL, &e), 0);
	assert_int_equal(hash128_cmp(h, x.files[0]), 0);
	char *all;
	size_t len;
	assert_int_equal(io_slurp(&w.files[0].io, 1 << 24, &all, &len, &e), 0);
	assert_int_equal(hash128_cmp(h, hash128(all, len)), 0);
	free(all);
	exact_release(&x);
	weights_release(&w);
}

static void encode(const struct weights *w, unsigned threads, struct buf *out)
{
	struct exact x;
	struct err e = ERR_INIT;
	assert_int_equal(exact_of(&x, w, threads, NULL, &e), 0);
	assert_int_equal(exact_encode(&x, out, &e), 0);
	exact_release(&x);
}

static void test_threads_and_blob(void **state)
{
	struct weights w;
	struct buf one = {0}, many = {0}, again = {0};
	struct exact x;
	struct err e = ERR_INIT;
	(void)state;
	make(&w);
	encode(&w, 1, &one);
	encode(&w, 7, &many);
	assert_int_equal(one.len, many.len);
	assert_memory_equal(one.data, many.data, one.len);
	assert_int_equal(exact_decode(&x, one.data, one.len, &e), 0);
	assert_int_equal(exact_encode(&x, &again, &e), 0);
	assert_int_equal(again.len, one.len);
	assert_memory_equal(again.data, one.data, one.len);
	exact_release(&x);
	for (size_t n = 0; n < one.len; n++)	/* cut short anywhere */
		assert_int_equal(exact_decode(&x, one.data, n, &e), -EINVAL);
	one.data[4]++;
	assert_int_equal(exact_decode(&x, one.data, one.len, &e), -ESTALE);
	one.data[4]--;
	memset(one.data + 8, 0xff, 8);
	assert_int_equal(exact_decode(&x, one.data, one.len, &e), -EINVAL);
	buf_release(&one);
	buf_release(&many);
	buf_release(&again);
	weights_release(&w);
}

static void *stop_soon(void *arg)
{
	struct cancel *c = arg;
	usleep(2000);
	atomic_store(&c->set, true);
	return NULL;
}

/* Asked before: nothing is read. Asked in the middle: it ends with the same error. */
static void test_cancel(void **state)
{
	struct made m = {0};
	struct weights w;
	struct exact x;
	struct err e = ERR_INIT;
	struct cancel c = {true};
	pthread_t t;
	size_t n = 1 << 23;
	float *v = made_floats(n, 0);
	(void)state;
	made_f32(&m, "large", "[2048,4096]", v, n);
	made_open(&m, &w);
	free(v);
	assert_int_equal(exact_of(&x, &w, 2, &c, &e), -ECANCELED);
	assert_int_equal(e.code, ECANCELED);
	struct hash128 h;
	assert_int_equal(exact_file(&h, &w.files[0].io, &c, &e), -ECANCELED);
	atomic_store(&c.set, false);
	pthread_create(&t, NULL, stop_soon, &c);
	assert_int_equal(exact_of(&x, &w, 1, &c, &e), -ECANCELED);
	pthread_join(t, NULL);
	weights_release(&w);
}

static int sweep_once(void *arg)
{
	struct exact x;
	struct err e = ERR_INIT;
	struct buf b = {0};
	int r = exact_of(&x, arg, 1, NULL, &e);
	if (r < 0) {
		assert_int_equal(r, -e.code);
		return r;
	}
	r = exact_encode(&x, &b, &e);
	exact_release(&x);
	if (!r && !(r = exact_decode(&x, b.data, b.len, &e)))
		exact_release(&x);
	buf_release(&b);
	return r;
}

static void test_failures(void **state)
{
	struct weights w;
	(void)state;
	make(&w);
	fail_everything(sweep_once, &w);
	weights_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numpy), cmocka_unit_test(test_hashes), cmocka_unit_test(test_threads_and_blob),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
