/* Tables and their JSON twins: TREE.md's rules for cells. */
#include "tests/support/cm.h"

#include "core/base/mem.h"
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
		"\\-\t0\t0\tno\t-\t-\n"
		"tab\\there\\nnew\\\\line\\x01\\xFF\t18446744073709551615\tnan\tyes\t4096x11008\ta,b\\x2Cc\n");
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

static void fill_rows(struct buf *out, bool json, const char *columns, const char *const *cells, size_t rows)
{
	struct table t;
	table_begin(&t, out, json, columns);
	for (size_t i = 0; i < 2 * rows; i++)
		table_text(&t, cells[i]);
	table_end(&t);
}

static const char *const unsorted[] = {"b",    "2", "b",    "10", "-", "x", "",   "y",
				       ".dot", "x", "a\tb", "x",  "a", "z", "bb", "x"};

/* By the cells as they are printed: `-` for none, `\-` for a dash, `a\tb` after `a`. */
static void test_rows_are_sorted(void **state)
{
	(void)state;
	struct buf b = {0};
	fill_rows(&b, false, "name n", unsorted, 8);
	assert_string_equal(b.data, "name\tn\n-\ty\n.dot\tx\n\\-\tx\na\tz\na\\tb\tx\nb\t10\nb\t2\nbb\tx\n");
	buf_release(&b);
}

static void test_twins_are_sorted_alike(void **state)
{
	(void)state;
	struct buf b = {0};
	fill_rows(&b, true, "name n", unsorted, 8);
	const char *const order[] = {"{\"name\": null", "{\"name\": \".dot\"", "{\"name\": \"-\"", "{\"name\": \"a\"",
				     "{\"name\": \"a\\tb\"", "\"n\": \"10\"", "\"n\": \"2\"", "{\"name\": \"bb\""};
	const char *at = b.data;
	for (size_t i = 0; i < COUNT(order); i++) {
		at = strstr(at, order[i]);
		assert_non_null(at);
	}
	buf_release(&b);
}

static void test_ranks_stay(void **state)
{
	(void)state;
	struct buf b = {0};
	fill_rows(&b, false, "rank n", (const char *const[]){"2", "a", "10", "b", "1", "c"}, 3);
	assert_string_equal(b.data, "rank\tn\n2\ta\n10\tb\n1\tc\n");
	buf_clear(&b);
	fill_rows(&b, false, "ranking n", (const char *const[]){"2", "a", "10", "b", "1", "c"}, 3);
	assert_string_equal(b.data, "ranking\tn\n1\tc\n10\tb\n2\ta\n");
	buf_release(&b);
}

/* An item without a name is not none in one form and a name in the other. */
static void test_a_list_of_nothing(void **state)
{
	(void)state;
	for (int json = 0; json < 2; json++) {
		struct buf b = {0};
		struct table t;
		table_begin(&t, &b, json, "list");
		table_list(&t, (const char *const[]){""}, 1);
		table_end(&t);
		assert_string_equal(b.data, json ? "[\n  {\"list\": null}\n]\n" : "list\n-\n");
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tsv),
					   cmocka_unit_test(test_json),
					   cmocka_unit_test(test_empty),
					   cmocka_unit_test(test_rows_are_sorted),
					   cmocka_unit_test(test_twins_are_sorted_alike),
					   cmocka_unit_test(test_ranks_stay),
					   cmocka_unit_test(test_a_list_of_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
