/* FLATIDs: the rule of TREE.md, and that it can be undone. */
#include "tests/support/cm.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/tree/flat.h"

static void encodes(const char *id, const char *want)
{
	struct buf b = {0}, back = {0};
	flat_encode(&b, id, strlen(id));
	assert_string_equal(b.data, want);
	assert_true(flat_decode(&back, b.data));
	assert_string_equal(back.data ? back.data : "", id);
	buf_release(&b);
	buf_release(&back);
}

static void test_rule(void **state)
{
	(void)state;
	encodes("org/name", "org--name");
	encodes("name", "name");
	encodes("a/b/c", "a--b--c");
	encodes("a--b", "a%2D%2Db");
	encodes("a---b", "a%2D%2D-b");
	encodes("a-/b", "a%2D--b");
	encodes("a/-b", "a--%2Db");
	encodes("50%/x", "50%25--x");
	encodes(".hidden", ".hidden");
	encodes(".", "%2E");
	encodes("..", "%2E%2E");
	encodes("a\nb", "a\nb");
}

static void test_decode_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {"a%2", "a%zz", "a%2d", "a%41", "a---b", "%2D"};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buf b = {0};
		if (flat_decode(&b, bad[i]))
			fail_msg("'%s' decoded", bad[i]);
		buf_release(&b);
	}
}

static void test_long(void **state)
{
	(void)state;
	char id[400];
	struct buf a = {0}, b = {0};
	memset(id, 'x', sizeof id - 1);
	id[sizeof id - 1] = 0;
	flat_encode(&a, id, strlen(id));
	assert_int_equal(a.len, FLAT_KEEP + 17);
	assert_true(flat_is_short(a.data));
	id[398] = 'y';
	flat_encode(&b, id, strlen(id));
	assert_string_not_equal(a.data, b.data);
	id[240] = 0;
	assert_false(flat_is_short(id));
	buf_release(&a);
	buf_release(&b);
	encodes("0123456789", "0123456789");
}

static void test_random_round_trip(void **state)
{
	(void)state;
	static const char letters[] = "a-/%.~";
	for (uint64_t i = 0; i < 20000; i++) {
		char id[12];
		uint64_t h = hash_mix(i);
		size_t n = 1 + h % 10;
		for (size_t k = 0; k < n; k++)
			id[k] = letters[hash_mix(h + k) % 6];
		id[n] = 0;
		struct buf b = {0}, back = {0};
		flat_encode(&b, id, n);
		assert_null(strchr(b.data, '/'));
		if (!flat_decode(&back, b.data) || strcmp(back.data, id))
			fail_msg("'%s' became '%s' and was not undone", id, b.data);
		buf_release(&b);
		buf_release(&back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule), cmocka_unit_test(test_decode_refuses), cmocka_unit_test(test_long),
		cmocka_unit_test(test_random_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
