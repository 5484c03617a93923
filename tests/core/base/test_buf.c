/* Strings that grow, and text made safe for each kind of generated file. */
#include "core/base/base_test.h"

#include "core/base/buf.h"
#include "core/base/mem.h"

#include <math.h>

/* A literal may hold NULs. */
#define CHECK(f, in, want) do {						\
	struct buf b_ = {0};						\
	f(&b_, in, sizeof in - 1);					\
	assert_string_equal(b_.data ? b_.data : "", want);		\
	buf_release(&b_);						\
} while (0)

static void text(void **state)
{
	(void)state;
	CHECK(buf_text, "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	CHECK(buf_text, "a\0b\n\t\x1b[31m\x7f", "a\\x00b\\x0A\\x09\\x1B[31m\\x7F");
	CHECK(buf_text, "\xc2\x9b" "31m", "\\xC2\\x9B" "31m");		/* C1: a terminal's escape in one */
	CHECK(buf_text, "\xc2\xa0", "\xc2\xa0");
	CHECK(buf_text, "\xc3", "\\xC3");				/* cut short */
	CHECK(buf_text, "\xc0\x80\xe0\x80\x80", "\\xC0\\x80\\xE0\\x80\\x80");	/* overlong */
	CHECK(buf_text, "\xed\xa0\x80", "\\xED\\xA0\\x80");		/* a surrogate */
	CHECK(buf_text, "\xf4\x90\x80\x80\xff", "\\xF4\\x90\\x80\\x80\\xFF");	/* beyond Unicode */
}

static void tsv(void **state)
{
	(void)state;
	CHECK(buf_tsv, "", "-");
	CHECK(buf_tsv, "-", "\\-");
	CHECK(buf_tsv, "--", "--");
	CHECK(buf_tsv, "a\tb\nc\rd\\e", "a\\tb\\nc\\rd\\\\e");
	CHECK(buf_tsv, "\1\xff", "\\x01\\xFF");
}

static void json(void **state)
{
	(void)state;
	CHECK(buf_json, "", "\"\"");
	CHECK(buf_json, "a\"b\\c\n\t\r", "\"a\\\"b\\\\c\\n\\t\\r\"");
	CHECK(buf_json, "\0\x1f\xff\xc2\x85", "\"\\\\x00\\\\x1F\\\\xFF\\\\xC2\\\\x85\"");
	CHECK(buf_json, "\xe2\x82\xac", "\"\xe2\x82\xac\"");
}

static void xml(void **state)
{
	(void)state;
	CHECK(buf_xml, "<a b=\"c\">'&\n", "&lt;a b=&quot;c&quot;&gt;&#39;&amp;\\x0A");
}

static void numbers(void **state)
{
	(void)state;
	static const struct { double v; const char *want; } cases[] = {
		{0, "0"}, {-0.0, "0"}, {1, "1"}, {0.1, "0.1"}, {1234567, "1.23457e+06"}, {-2.5e-7, "-2.5e-07"},
		{NAN, "nan"}, {-NAN, "nan"}, {INFINITY, "inf"}, {-INFINITY, "-inf"},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b = {0};
		buf_num(&b, cases[i].v);
		assert_string_equal(b.data, cases[i].want);
		buf_release(&b);
	}
}

static void grows(void **state)
{
	(void)state;
	struct buf b = {0};
	for (int i = 0; i < 10000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 48890);
	assert_int_equal(strlen(b.data), b.len);
	buf_clear(&b);
	assert_string_equal(b.data, "");
	buf_add(&b, "x\0y", 3);
	assert_int_equal(b.len, 3);
	char *s = buf_take(&b);
	assert_memory_equal(s, "x\0y", 4);
	assert_null(b.data);
	free(s);
	s = buf_take(&b);	/* of nothing: still a string */
	assert_string_equal(s, "");
	free(s);
}

/* After a failure nothing is added, and nobody is told that it was. */
static void failure_sticks(void **state)
{
	(void)state;
	struct buf b = {0};
	buf_str(&b, "kept");
	mem_fail_at(1);
	buf_printf(&b, "%0200d", 1);
	mem_fail_at(0);
	assert_true(buf_failed(&b));
	buf_char(&b, '!');
	buf_str(&b, "more");
	assert_string_equal(b.data, "kept");
	assert_null(buf_take(&b));
	assert_false(buf_failed(&b));
}

static void utf8(void **state)
{
	(void)state;
	assert_int_equal(utf8_len("", 0), 0);
	assert_int_equal(utf8_len("a", 1), 1);
	assert_int_equal(utf8_len("\xc3\xa9", 1), 0);
	assert_int_equal(utf8_len("\xc3\xa9", 2), 2);
	assert_int_equal(utf8_len("\xf4\x8f\xbf\xbf", 4), 4);
	assert_int_equal(utf8_len("\x80", 1), 0);
	assert_int_equal(utf8_len("\xc1\xbf", 2), 0);
	assert_int_equal(utf8_len("\xf5\x80\x80\x80", 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),           cmocka_unit_test(tsv),
		cmocka_unit_test(json),           cmocka_unit_test(xml),
		cmocka_unit_test(numbers),        cmocka_unit_test(grows),
		cmocka_unit_test(failure_sticks), cmocka_unit_test(utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
