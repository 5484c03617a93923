/* YAML into values: what model cards hold, and what they must not be able to do. */
#include "core/base/base_test.h"

#include "core/base/value.h"

#include <errno.h>

static struct arena arena;
static struct value v;
static struct err e;

static int parse(const char *text)
{
	e = ERR_INIT;
	return yaml_parse(&arena, text, strlen(text), NULL, &v, &e);
}

static int forget(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static void card(void **state)
{
	(void)state;
	double f;
	bool b;
	int64_t i;
	assert_int_equal(parse("license: apache-2.0\nlanguage: [en, no]\nbase_model: 'it''s'\ntags:\n- a\n- \"b\\n\"\n"
			       "empty:\ntilde: ~\nyes: True\nn: 12\nf: 1.5e-3\nv: 1.2.3\nhex: 0x10\n"
			       "date: 2024-01-02\nquoted: \"12\"\nneg: -7\ntext: |\n  two\n  lines\n"), 0);
	assert_string_equal(value_str(value_get(&v, "license")), "apache-2.0");
	assert_string_equal(value_get(&v, "language")->arr.items[1].str.s, "no");	/* Norwegian, not false */
	assert_string_equal(value_str(value_get(&v, "base_model")), "it's");
	assert_string_equal(value_get(&v, "tags")->arr.items[1].str.s, "b\n");
	assert_int_equal(value_get(&v, "empty")->kind, VALUE_NULL);
	assert_int_equal(value_get(&v, "tilde")->kind, VALUE_NULL);
	assert_true(value_bool(value_get(&v, "yes"), &b) && b);
	assert_true(value_int(value_get(&v, "n"), &i) && i == 12);
	assert_true(value_int(value_get(&v, "neg"), &i) && i == -7);
	assert_true(value_num(value_get(&v, "f"), &f) && f == 1.5e-3);
	assert_string_equal(value_str(value_get(&v, "v")), "1.2.3");
	assert_string_equal(value_str(value_get(&v, "hex")), "0x10");
	assert_string_equal(value_str(value_get(&v, "date")), "2024-01-02");
	assert_string_equal(value_str(value_get(&v, "quoted")), "12");
	assert_string_equal(value_str(value_get(&v, "text")), "two\nlines\n");
}

static void duplicates_keep_the_last(void **state)
{
	(void)state;
	int64_t i;
	assert_int_equal(parse("a: 1\nb: 2\na: 3\na: 4\n"), 0);
	assert_int_equal(value_count(&v), 2);
	assert_true(value_int(value_get(&v, "a"), &i) && i == 4);
}

static void first_document(void **state)
{
	(void)state;
	assert_int_equal(parse("---\na: 1\n---\n- [\n"), 0);
	assert_int_equal(v.kind, VALUE_OBJECT);
	assert_int_equal(parse(""), 0);
	assert_int_equal(v.kind, VALUE_NULL);
}

static void refused(void **state)
{
	(void)state;
	assert_int_equal(parse("a: &x [1]\nb: *x\n"), -EINVAL);
	assert_non_null(strstr(e.msg, "aliases"));
	assert_int_equal(e.pos, 13);
	assert_int_equal(parse("? [a]\n: b\n"), -EINVAL);
	assert_int_equal(parse("? {a: b}\n: c\n"), -EINVAL);
	assert_int_equal(parse("a:\n\t- b\n"), -EINVAL);
	assert_non_null(strstr(e.msg, "line 2"));
	assert_int_equal(parse("a: \"unfinished\n"), -EINVAL);
	assert_int_equal(parse("a: \xff\n"), -EINVAL);
	assert_int_equal(yaml_parse(&arena, "[", 1, NULL, &v, NULL), -EINVAL);
}

static void limits(void **state)
{
	(void)state;
	char deep[200] = "";
	memset(deep, '[', 65);
	assert_int_equal(parse(deep), -E2BIG);
	e = ERR_INIT;
	assert_int_equal(yaml_parse(&arena, "[1,2,3]", 7, &(struct value_limits){.count = 3}, &v, &e), -E2BIG);
}

static void failing_memory(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int r = parse("a: [1, 2, 3, 4, 5, {b: c}]\nd: |\n  text\nd: again\n");
		uint64_t seen = mem_count();
		mem_fail_at(0);
		arena_release(&arena);
		if (seen < n) {
			assert_int_equal(r, 0);
			break;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(card, forget), cmocka_unit_test_teardown(duplicates_keep_the_last, forget),
		cmocka_unit_test_teardown(first_document, forget), cmocka_unit_test_teardown(refused, forget),
		cmocka_unit_test_teardown(limits, forget), cmocka_unit_test_teardown(failing_memory, forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
