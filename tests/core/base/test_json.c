/* JSON into values: kinds, limits, positions of errors, and memory that fails. */
#include "core/base/base_test.h"

#include "core/base/value.h"

#include <errno.h>

static struct arena arena;
static struct value v;
static struct err e;

static int strict(const char *text)
{
	e = ERR_INIT;
	return json_parse(&arena, text, strlen(text), NULL, &v, &e);
}

static int loose(const char *text)
{
	e = ERR_INIT;
	return json_parse_loose(&arena, text, strlen(text), NULL, &v, &e);
}

static int forget(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static void kinds(void **state)
{
	(void)state;
	int64_t i;
	double f;
	bool b;
	assert_int_equal(strict(" {\"a\": [1, -2.5e3, true, null, \"s\\u0000\\u00e9\"], "
				"\"o\": {\"x\": {\"y\": 7}}, \"\": 1} "), 0);
	assert_int_equal(v.kind, VALUE_OBJECT);
	assert_int_equal(value_count(&v), 3);
	const struct value *a = value_get(&v, "a");
	assert_int_equal(value_count(a), 5);
	assert_true(value_int(&a->arr.items[0], &i) && i == 1);
	assert_true(value_num(&a->arr.items[1], &f) && f == -2500);
	assert_true(value_int(&a->arr.items[1], &i) && i == -2500);
	assert_true(value_bool(&a->arr.items[2], &b) && b);
	assert_int_equal(a->arr.items[3].kind, VALUE_NULL);
	assert_int_equal(a->arr.items[4].str.len, 4);
	assert_memory_equal(a->arr.items[4].str.s, "s\0\xc3\xa9", 5);
	assert_true(value_int(value_path(&v, "o.x.y"), &i) && i == 7);
	assert_null(value_path(&v, "o.x.z"));
	assert_null(value_path(&v, "a.x"));
	assert_null(value_get(a, "x"));
	assert_null(value_str(a));
	assert_false(value_int(value_get(&v, "o"), &i));
	assert_non_null(value_get(&v, ""));
	assert_int_equal(strict("\"top\""), 0);
	assert_string_equal(value_str(&v), "top");
}

static void numbers(void **state)
{
	(void)state;
	int64_t i;
	assert_int_equal(strict("[9223372036854775807, -9223372036854775808, 9223372036854775808, 1e400, 0.5]"), 0);
	assert_int_equal(v.arr.items[0].kind, VALUE_INT);
	assert_true(v.arr.items[0].i == INT64_MAX && v.arr.items[1].i == INT64_MIN);
	assert_int_equal(v.arr.items[2].kind, VALUE_FLOAT);
	assert_false(value_int(&v.arr.items[2], &i));
	assert_false(value_int(&v.arr.items[4], &i));
}

static void texts(void **state)
{
	(void)state;
	assert_int_equal(strict("[1e-5, true, 12, \"x\", null, []]"), 0);
	assert_string_equal(value_text(&arena, &v.arr.items[0]), "1e-05");
	assert_string_equal(value_text(&arena, &v.arr.items[1]), "true");
	assert_string_equal(value_text(&arena, &v.arr.items[2]), "12");
	assert_string_equal(value_text(&arena, &v.arr.items[3]), "x");
	assert_null(value_text(&arena, &v.arr.items[4]));
	assert_null(value_text(&arena, &v.arr.items[5]));
	assert_null(value_text(&arena, NULL));
}

static void refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", " ", "{", "[1,]", "{\"a\":}", "{a:1}", "[1] 2", "nul", "'a'", "[01]", "[+1]", "\"\n\"", "\"\xff\"",
		"{\"a\":1,\"a\":2}", "[NaN]", "\xef\xbb\xbf{}",
	};
	for (size_t i = 0; i < COUNT(bad); i++)
		if (strict(bad[i]) != -EINVAL || e.code != EINVAL || !e.msg[0])
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(strict("{\"abc\": 1, !}"), -EINVAL);
	assert_true(e.pos >= 10 && e.pos <= 12);
	assert_int_equal(json_parse(&arena, "[", 1, NULL, &v, NULL), -EINVAL);
}

static void loosely(void **state)
{
	(void)state;
	double f;
	assert_int_equal(loose("\xef\xbb\xbf{\"a\": NaN, \"b\": [-Infinity, Infinity, 5], "
			       "\"NaN\": \"Infinity \\\" NaN\", \"b\": 2}"), 0);
	assert_false(value_num(value_get(&v, "a"), &f));
	assert_null(value_text(&arena, value_get(&v, "a")));
	assert_string_equal(value_str(value_get(&v, "NaN")), "Infinity \" NaN");
	assert_true(value_num(value_get(&v, "b"), &f) && f == 2);	/* the last counts */
	assert_int_equal(value_count(&v), 3);
	assert_int_equal(loose("[NaN"), -EINVAL);
}

static void limits(void **state)
{
	(void)state;
	char deep[200];
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	deep[130] = 0;
	assert_int_equal(strict(deep), -E2BIG);
	deep[129] = 0;
	assert_int_equal(strict(deep + 1), 0);
	e = ERR_INIT;
	assert_int_equal(json_parse(&arena, "[[1]]", 5, &(struct value_limits){.depth = 1}, &v, &e), -E2BIG);
	assert_int_equal(json_parse(&arena, "[1,2,3]", 7, &(struct value_limits){.count = 3}, &v, &e), -E2BIG);
	assert_int_equal(json_parse(&arena, "[1,2,3]", 7, &(struct value_limits){.count = 4}, &v, &e), 0);
	arena_release(&arena);
	arena.limit = 1000;
	assert_int_equal(strict("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29]"),
			 -ENOMEM);
	arena.limit = 0;
}

static void failing_memory(void **state)
{
	(void)state;
	const char *text = "{\"a\":[1,2,3,4,5,{\"b\":\"a longer string \\u00e9 with escapes\"}],"
			   "\"c\":{\"d\":[],\"e\":\"f\"}}";
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int r = loose(text);
		uint64_t seen = mem_count();
		mem_fail_at(0);
		arena_release(&arena);
		if (seen < n) {
			assert_int_equal(r, 0);
			assert_true(n > 3);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(e.code, ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(kinds, forget), cmocka_unit_test_teardown(numbers, forget),
		cmocka_unit_test_teardown(texts, forget), cmocka_unit_test_teardown(refused, forget),
		cmocka_unit_test_teardown(loosely, forget), cmocka_unit_test_teardown(limits, forget),
		cmocka_unit_test_teardown(failing_memory, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
