/* Pickles made to be slow: what they name again and again must cost no more than what is there. */
#include "tests/core/format/memory_file.h"

#include "core/base/buf.h"

#include <errno.h>
#include <time.h>

enum {
#ifdef __SANITIZE_ADDRESS__	/* strict_string_checks walks a whole string at each comparison */
	SIZE = 256 << 10,
#else
	SIZE = 2 << 20,
#endif
	SECONDS = 5,	/* of CPU; they take a tenth without sanitizers, and hours where costs multiply */
};

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void put(struct buf *b, const char *s, size_t n)
{
	buf_add(b, s, n);
}

#define PUT(b, literal) put((b), (literal), sizeof(literal) - 1)

static void put_long(struct buf *b, char op, size_t n, char fill)
{
	char len[4] = {(char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
	put(b, &op, 1);
	put(b, len, 4);
	for (size_t i = 0; i < n; i++)
		put(b, &fill, 1);
}

static void repeat(struct buf *b, const char *s, size_t n, size_t until)
{
	while (b->len < until)
		put(b, s, n);
}

#define REPEAT(b, literal, until) repeat((b), (literal), sizeof(literal) - 1, (until))

static void names_without_letters(struct buf *b)
{
	PUT(b, "\x80\2");
	REPEAT(b, "c\n\n0", SIZE);
	PUT(b, "N.");
}

static void different_names(struct buf *b)
{
	for (unsigned i = 0; b->len < SIZE; i++)
		buf_printf(b, "cm\n%x\n0", i);
	PUT(b, "N.");
}

static void names_then_calls(struct buf *b)
{
	for (unsigned i = 0; i < 400; i++)
		buf_printf(b, "cm\n%x\n0", i);
	REPEAT(b, "N)R0\x82\1" "0", SIZE);
	PUT(b, "N.");
}

static void long_names(struct buf *b)
{
	PUT(b, "\x80\2");
	put_long(b, 'X', SIZE / 2, 'm');
	PUT(b, "q\0000");
	REPEAT(b, "h\0h\0\x93" "0", SIZE);
	PUT(b, "N.");
}

static void nested(struct buf *b, size_t size, const char *inner, size_t n)
{
	PUT(b, "\x80\3ctorch.storage\n_load_from_bytes\nq\0000");
	struct buf in = {0};
	PUT(&in, "N");	/* then copied and dropped: that takes no memory */
	repeat(&in, inner, n, size);
	PUT(&in, "N.");
	put_long(b, 'B', in.len, '.');
	memcpy(b->data + b->len - in.len, in.data, in.len);
	buf_release(&in);
	PUT(b, "q\1" "0");
	REPEAT(b, "h\0h\1\x85R0", SIZE);
	PUT(b, "N.");
}

static void the_same_large_pickle_inside(struct buf *b)
{
	nested(b, SIZE / 2, "2020", 4);
}

static void the_same_small_pickle_inside(struct buf *b)
{
	nested(b, 100, "2020", 4);
}

/* An object of very many attributes, one of them named last, in a list many times. */
static void module_in_a_list(struct buf *b)
{
	PUT(b, "\x80\2cargparse\nNamespace\n)\x81}(");
	REPEAT(b, "U\1aN", SIZE / 2);
	PUT(b, "U\13_parameters}U\10_modules}ubq\0000](");
	REPEAT(b, "h\0", SIZE);
	PUT(b, "e.");
}

/* Deeper than is walked, so that nothing but looking at it costs. */
static void dict_in_the_deep(struct buf *b)
{
	PUT(b, "\x80\2}(");
	REPEAT(b, "U\1aN", SIZE / 2);
	PUT(b, "uq\0000");
	for (int i = 0; i < 64; i++)
		PUT(b, "](");
	PUT(b, "}(");
	REPEAT(b, "U\1ah\0", SIZE);
	PUT(b, "u");
	for (int i = 0; i < 64; i++)
		PUT(b, "e");
	PUT(b, ".");
}

static void long_key(struct buf *b)
{
	PUT(b, "\x80\2");
	put_long(b, 'X', SIZE / 2, 'o');
	PUT(b, "q\0000](");
	REPEAT(b, "}h\0Ns", SIZE);
	PUT(b, "e.");
}

static void tensor(struct buf *b)
{
	PUT(b, "cnumpy.core.numeric\n_frombuffer\n(U\4abcdcnumpy\ndtype\nU\2f4\x85RK\1\x85U\1CtR");
}

static void long_key_of_tensors(struct buf *b)
{
	PUT(b, "\x80\2}(");
	put_long(b, 'X', SIZE / 2, 'k');
	PUT(b, "](");
	tensor(b);
	PUT(b, "q\1");
	REPEAT(b, "h\1", SIZE);
	PUT(b, "eu.");
}

/* The same large value under every name that a model may have in its checkpoint, four wrappers deep. */
static void wrappers(struct buf *b)
{
	PUT(b, "\x80\2](");
	REPEAT(b, "N", SIZE);
	PUT(b, "eq\0000");
	for (int i = 0; i < 4; i++)
		PUT(b, "}(U\12state_dicth\0U\5modelh\0U\3neth\0U\7networkh\0U\6moduleh\0U\7weightsh\0U\3ema");
	tensor(b);
	PUT(b, "uuuu.");
}

static void lattice_under_names(struct buf *b)
{
	PUT(b, "\x80\2Nq\0000");
	for (int i = 0; i < 60; i++)
		PUT(b, "](h\0h\0h\0h\0eq\0000");
	PUT(b, "}(U\12state_dicth\0U\5modelh\0U\3neth\0U\7networkh\0U\6moduleh\0U\7weightsh\0U\3ema");
	tensor(b);
	PUT(b, "u.");
}

static void small_ones_after_a_large_one(struct buf *b)
{
	PUT(b, "\x80\4N");
	REPEAT(b, "\x94", SIZE / 2);
	PUT(b, ".");
	REPEAT(b, "N\x94.", SIZE);
}

static void small_strings(struct buf *b)
{
	PUT(b, "\x80\2](");
	REPEAT(b, "U\0", SIZE);
	PUT(b, "e.");
}

static void test_cost(void **state)
{
	static const struct { const char *name; void (*make)(struct buf *b); } made[] = {
		{"names without letters", names_without_letters}, {"different names", different_names},
		{"names, then calls", names_then_calls}, {"long names", long_names},
		{"the same large pickle inside", the_same_large_pickle_inside},
		{"the same small pickle inside", the_same_small_pickle_inside},
		{"module in a list", module_in_a_list}, {"dict in the deep", dict_in_the_deep},
		{"long key", long_key}, {"long key of tensors", long_key_of_tensors}, {"wrappers", wrappers},
		{"lattice under names", lattice_under_names},
		{"small ones after a large one", small_ones_after_a_large_one}, {"small strings", small_strings},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(made); i++) {
		struct buf b = {0};
		struct weights w;
		struct err e = ERR_INIT;
		made[i].make(&b);
		assert_false(buf_failed(&b));
		double began = cpu();
		int r = open_bytes(&w, b.data, b.len, &e);
		double took = cpu() - began;
		if (getenv("TELL"))
			printf("%-32s %.2f s  %s\n", made[i].name, took, r < 0 ? e.msg : "opened");
		if (!r)
			weights_release(&w);
		buf_release(&b);
		if (took > SECONDS)
			fail_msg("%s: %.1f s", made[i].name, took);
	}
}

/* Bytes of which each takes eight and more here, and more values than the file's share of memory: too large, and no
 * lack of memory, which would be everybody's. */
static void test_room(void **state)
{
	static const struct { const char *before, *each, *after; size_t n; } made[] = {
		{"\x80\2", "(", ".", (1 << 24) + 1}, {"\x80\2N", "2", ".", (1 << 24) + 1},
		{"\x80\4N", "\x94", ".", (1 << 24) + 1}, {"\x80\2(", "N", "t.", 15000000},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(made); i++) {
		struct buf b = {0};
		struct weights w;
		struct err e = ERR_INIT;
		buf_add(&b, made[i].before, strlen(made[i].before));
		for (size_t k = 0; k < made[i].n; k++)
			buf_add(&b, made[i].each, 1);
		buf_add(&b, made[i].after, strlen(made[i].after));
		assert_false(buf_failed(&b));
		assert_int_equal(open_bytes(&w, b.data, b.len, &e), -EFBIG);
		buf_release(&b);
	}
}

/* What ran before a pickle grew too large has run. */
static void test_runs_before(void **state)
{
	static const char before[] = "\x80\2cposix\nsystem\nU\4trueR";
	struct buf b = {0};
	struct weights w;
	struct err e = ERR_INIT;
	(void)state;
	buf_add(&b, before, strlen(before));
	for (size_t k = 0; k <= 1 << 24; k++)
		buf_add(&b, "(", 1);
	assert_false(buf_failed(&b));
	assert_int_equal(open_bytes(&w, b.data, b.len, &e), 0);
	assert_int_equal(w.n_hazards, 1);
	assert_true(w.hazards[0].runs_code);
	weights_release(&w);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cost), cmocka_unit_test(test_room),
					   cmocka_unit_test(test_runs_before)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
