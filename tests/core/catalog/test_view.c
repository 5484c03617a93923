/* The view: order, ranges, look-ups, and cookies that outlive a model. */
#include "tests/support/cm.h"

#include "core/base/mem.h"
#include "core/catalog/view.h"

static struct view *make(const char *const *names, const uint32_t *ids, size_t n, const struct view *old)
{
	struct view_builder b = {0};
	for (size_t i = 0; i < n; i++) {
		struct view_model m = {.id = ids[i], .identity = ids[i]};
		assert_int_equal(view_builder_add(&b, &m, names[i]), 0);
	}
	struct view *v = view_build(&b, 1, old);
	assert_non_null(v);
	return v;
}

static const char *const names[] = {"b", "a/x", "a", "a/x/deep", "a-b", "a/y", "a!"};
static const uint32_t ids[] = {1, 2, 3, 4, 5, 6, 7};

static void test_order(void **state)
{
	(void)state;
	/* what is below a model follows it, before anything that merely begins alike */
	static const char *const want[] = {"a", "a/x", "a/x/deep", "a/y", "a!", "a-b", "b"};
	struct view *v = make(names, ids, 7, NULL);
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(view_name(v, &v->models[i]), want[i]);
	view_unref(v);
}

static void test_find(void **state)
{
	(void)state;
	struct view *v = make(names, ids, 7, NULL);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(view_by_name(v, names[i])->id, ids[i]);
		assert_string_equal(view_name(v, view_by_id(v, ids[i])), names[i]);
	}
	assert_null(view_by_name(v, "a/z"));
	assert_null(view_by_id(v, 99));
	view_unref(v);
}

static void test_below(void **state)
{
	(void)state;
	struct view *v = make(names, ids, 7, NULL);
	uint32_t first, last;
	view_below(v, "a", 1, &first, &last);
	assert_int_equal(last - first, 3);
	assert_string_equal(view_name(v, &v->models[first]), "a/x");
	view_below(v, "a/x", 3, &first, &last);
	assert_int_equal(last - first, 1);
	view_below(v, "zz", 2, &first, &last);
	assert_int_equal(last, first);
	view_below(v, "", 0, &first, &last);
	assert_int_equal(last - first, 7);
	view_unref(v);
}

static void test_graves(void **state)
{
	(void)state;
	struct view *old = make(names, ids, 7, NULL);
	struct view *now = make(names, ids, 3, old);
	assert_null(view_by_id(now, 6));
	assert_string_equal(view_name_of(now, 6), "a/y");
	assert_string_equal(view_name(now, &now->models[view_after(now, "a/y")]), "b");
	struct view *later = make(names, ids, 2, now);
	assert_string_equal(view_name_of(later, 6), "a/y");
	view_unref(old);
	view_unref(now);
	view_unref(later);
}

static void test_same_lake_same_snapshot(void **state)
{
	(void)state;
	static const char *const other[] = {"a!", "a/y", "a-b", "a/x/deep", "a", "a/x", "b"};
	static const uint32_t reversed[] = {7, 6, 5, 4, 3, 2, 1};
	struct view *a = make(names, ids, 7, NULL), *b = make(other, reversed, 7, NULL), *c = make(names, ids, 6, NULL);
	assert_true(a->snapshot == b->snapshot);
	assert_true(a->snapshot != c->snapshot);
	view_unref(a);
	view_unref(b);
	view_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_graves),
		cmocka_unit_test(test_same_lake_same_snapshot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
