/* Tables and their JSON twins: TREE.md's rules for cells. */
#include "tests/support/cm.h"

#include "core/tree/table.h"

#include <math.h>

static void fill(struct buf *out, bool json)
{
	struct table t;
	uint64_t shape[] = {4096, 11008};
	const char *items[] = {"a", "b,c"};
	table_begin(&t, out, json, "name n x ok shape list");
	table_text(&t, "tab\there\nnew\\line\x01\xff");
	table_int(&t, 18446744073709551615ull);
	table_num(&t, NAN);
	table_yesno(&t, true);
	table_shape(&t, shape, 2);
	table_list(&t, items, 2);
	table_text(&t, "-");
	table_int(&t, 0);
	table_num(&t, -0.0);
	table_yesno(&t, false);
	table_shape(&t, shape, 0);
	table_list(&t, items, 0);
	table_end(&t);
}

static void test_tsv(void **state)
{
	(void)state;
	struct buf b = {0};
	fill(&b, false);
	assert_string_equal(b.data,
		"name\tn\tx\tok\tshape\tlist\n"
		"tab\\there\\nnew\\\\line\\x01\\xFF\t18446744073709551615\tnan\tyes\t4096x11008\ta,b\\x2Cc\n"
		"\\-\t0\t0\tno\t-\t-\n");
	buf_release(&b);
}

static void test_json(void **state)
{
	(void)state;
	struct buf b = {0};
	fill(&b, true);
	assert_non_null(strstr(b.data, "\"n\": 18446744073709551615"));
	assert_non_null(strstr(b.data, "\"x\": \"nan\""));
	assert_non_null(strstr(b.data, "\"ok\": true"));
	assert_non_null(strstr(b.data, "\"list\": [\"a\", \"b,c\"]"));
	assert_non_null(strstr(b.data, "\"shape\": null"));
	assert_non_null(strstr(b.data, "\"name\": \"-\""));
	buf_release(&b);
}

static void test_empty(void **state)
{
	(void)state;
	struct buf b = {0};
	struct table t;
	table_begin(&t, &b, false, "a b");
	table_end(&t);
	assert_string_equal(b.data, "a\tb\n");
	buf_clear(&b);
	table_begin(&t, &b, true, "a b");
	table_end(&t);
	assert_string_equal(b.data, "[]\n");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tsv), cmocka_unit_test(test_json), cmocka_unit_test(test_empty)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
