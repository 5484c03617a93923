/* Allocation that can be made to fail, arrays that grow, arenas, and errors that say what happened. */
#include "core/base/base_test.h"

#include "core/base/err.h"
#include "core/base/mem.h"

#include <errno.h>

static void failing(void **state)
{
	(void)state;
	mem_fail_at(3);
	void *a = mem_alloc(8), *b = mem_array(2, 4), *c = mem_strdup("x"), *d = mem_alloc(8);
	assert_true(a && b && !c && d);
	assert_int_equal(mem_count(), 4);
	mem_fail_at(0);
	free(a);
	free(b);
	free(d);
	assert_null(mem_array(SIZE_MAX / 2, 3));
	char *z = mem_array(3, 5);
	for (int i = 0; i < 15; i++)
		assert_int_equal(z[i], 0);
	free(z);
	char *s = mem_strndup("abc", 2);
	assert_string_equal(s, "ab");
	free(s);
}

static void growing(void **state)
{
	(void)state;
	cleanup_free int *p = NULL;
	size_t cap = 0;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(mem_grow(&p, &cap, (size_t)i + 1), 0);
		p[i] = i;
	}
	assert_true(cap >= 1000 && cap < 2000);
	size_t before = cap;
	mem_fail_at(1);
	assert_int_equal(mem_grow(&p, &cap, cap + 1), -ENOMEM);
	mem_fail_at(0);
	assert_int_equal(cap, before);
	assert_int_equal(p[999], 999);
	assert_int_equal(mem_grow(&p, &cap, SIZE_MAX / 2), -ENOMEM);
}

static void arenas(void **state)
{
	(void)state;
	struct arena a = {0};
	size_t sum = 0;
	for (size_t i = 0; i < 3000; i++) {
		unsigned char *p = arena_alloc(&a, i);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t j = 0; j < i; j++)
			assert_int_equal(p[j], 0);
		memset(p, 0xff, i);
		sum += (i + 15) / 16 * 16;
	}
	assert_int_equal(a.used, sum);
	assert_non_null(arena_alloc(&a, 5 << 20));	/* more than a block */
	assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_array(&a, SIZE_MAX / 8, 16));
	arena_release(&a);
	assert_int_equal(a.used, 0);
	arena_release(&a);
}

static void limited(void **state)
{
	(void)state;
	struct arena a = {.limit = 100};
	assert_non_null(arena_alloc(&a, 80));
	assert_null(arena_alloc(&a, 32));
	assert_non_null(arena_alloc(&a, 16));
	assert_null(arena_alloc(&a, 16));
	arena_release(&a);
	assert_non_null(arena_alloc(&a, 96));
	arena_release(&a);
}

static void errors(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_at(&e, EINVAL, 12, "expected %d", 5), -EINVAL);
	assert_int_equal(e.code, EINVAL);
	assert_int_equal(e.pos, 12);
	assert_int_equal(err_prefix(&e, "file %s: ", "x"), -EINVAL);
	assert_string_equal(e.msg, "file x: expected 5");
	assert_int_equal(err_set(NULL, EIO, "nobody listens"), -EIO);
	assert_int_equal(err_nomem(&e), -ENOMEM);
	assert_true(e.pos == ERR_NOPOS);
	char longest[1000];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	err_set(&e, EIO, "%s", longest);
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
	err_prefix(&e, "%s", longest);
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

static void macros(void **state)
{
	(void)state;
	char *p = mem_strdup("x"), *q = steal(&p);
	assert_null(p);
	free(q);
	int n = 3;
	assert_int_equal(MIN(n++, 5), 3);
	assert_int_equal(MAX(n, 2), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing), cmocka_unit_test(growing), cmocka_unit_test(arenas),
		cmocka_unit_test(limited), cmocka_unit_test(errors),  cmocka_unit_test(macros),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
