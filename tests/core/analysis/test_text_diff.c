/* core/analysis/text_diff: known hunks by hand; and for many random pairs, the diff applied to the old text gives
 * the new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/analysis/text_diff.h"
#include "core/base/hash.h"
#include "core/base/json_text.h"
#include "core/base/mem.h"

#include <errno.h>

static void expect(const char *old, const char *new, const char *want)
{
	struct buf out = {0};
	struct err e = ERR_INIT;
	struct text a = {old, old ? strlen(old) : 0}, b = {new, new ? strlen(new) : 0};
	assert_int_equal(text_diff(&out, "old", a, "new", b, NULL, &e), 0);
	assert_string_equal(out.data ? out.data : "", want);
	buf_release(&out);
}

static void test_by_hand(void **state)
{
	(void)state;
	expect("a\nb\n", "a\nb\n", "");
	expect("a\nb\nc\n", "a\nx\nc\n", "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n",
	       "--- old\n+++ new\n@@ -7,3 +7,4 @@\n 7\n 8\n 9\n+ten\n");
	expect("x\n1\n2\n3\n4\n5\n6\n7\ny\n", "1\n2\n3\n4\n5\n6\n7\n",
	       "--- old\n+++ new\n@@ -1,4 +1,3 @@\n-x\n 1\n 2\n 3\n@@ -6,4 +5,3 @@\n 5\n 6\n 7\n-y\n");
	expect(NULL, "a\n", "--- /dev/null\n+++ new\n@@ -0,0 +1 @@\n+a\n");
	expect("a\n", NULL, "--- old\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
	expect("a", "a\n", "--- old\n+++ new\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n");
	expect("a\tb\x01\n", "", "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\tb\\x01\n");
}

/* Reads the hunks of a diff and applies them to old; what they leave out is copied. */
static void apply(const char *old, const char *diff, struct buf *out)
{
	const char *at = old, *p = strstr(diff, "@@ ");
	long line = 0;
	while (p) {
		long first, n = 1;
		if (sscanf(p, "@@ -%ld,%ld", &first, &n) < 2)
			n = 1;
		first = n ? first - 1 : first;
		for (; line < first; line++) {
			const char *nl = strchr(at, '\n');
			buf_add(out, at, (size_t)(nl + 1 - at));
			at = nl + 1;
		}
		p = strchr(p, '\n') + 1;
		while (*p && *p != '@') {
			const char *nl = strchr(p, '\n'), *old_nl;
			if (*p != '-')
				buf_add(out, p + 1, (size_t)(nl - p));
			if (*p != '+') {
				old_nl = strchr(at, '\n');
				assert_memory_equal(p + 1, at, (size_t)(nl - p));
				assert_int_equal(nl - p - 1, old_nl - at);
				at = old_nl + 1;
				line++;
			}
			p = nl + 1;
		}
		if (!*p)
			break;
	}
	buf_str(out, at);
}

static void random_text(struct buf *b, uint64_t *seed, size_t lines, unsigned words)
{
	for (size_t i = 0; i < lines; i++)
		buf_printf(b, "w%u\n", (unsigned)((*seed = hash_mix(*seed)) % words));
}

static int count_marks(const char *diff)
{
	int n = 0;
	for (const char *p = strstr(diff, "@@"); p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		n += *p == '-' || *p == '+';
	return n;
}

/* The length of a shortest diff, by the book. */
static int edits(const char *a, const char *b)
{
	static int best[64][64];
	const char *x[64], *y[64];
	int n = 0, m = 0;
	for (const char *p = a; *p; p = strchr(p, '\n') + 1)
		x[n++] = p;
	for (const char *p = b; *p; p = strchr(p, '\n') + 1)
		y[m++] = p;
	for (int i = n; i >= 0; i--)
		for (int j = m; j >= 0; j--) {
			if (i == n || j == m) {
				best[i][j] = n - i + m - j;
				continue;
			}
			size_t len = strcspn(x[i], "\n");
			bool eq = len == strcspn(y[j], "\n") && !memcmp(x[i], y[j], len);
			int other = 1 + (best[i + 1][j] < best[i][j + 1] ? best[i + 1][j] : best[i][j + 1]);
			best[i][j] = eq ? best[i + 1][j + 1] : other;
		}
	return best[0][0];
}

static void test_random(void **state)
{
	uint64_t seed = 7;
	(void)state;
	for (int k = 0; k < 3000; k++) {
		struct buf a = {0}, b = {0}, diff = {0}, got = {0};
		struct err e = ERR_INIT;
		seed = hash_mix(seed);
		size_t n = k < 2900 ? seed % 50 : 2000;
		unsigned words = k < 2900 ? 1 + k % 9 : 1000;
		random_text(&a, &seed, n, words);
		random_text(&b, &seed, (seed >> 8) % (n + 1), words);
		buf_add(&a, "", 0);
		buf_add(&b, "", 0);
		struct text x = {a.data ? a.data : "", a.len}, y = {b.data ? b.data : "", b.len};
		assert_int_equal(text_diff(&diff, "a", x, "b", y, NULL, &e), 0);
		if (diff.len) {
			apply(x.s, diff.data, &got);
			assert_int_equal(got.len, y.len);
			assert_memory_equal(got.data ? got.data : "", y.s, y.len);
			if (k < 2900)
				assert_int_equal(count_marks(diff.data), edits(x.s, y.s));
		} else {
			assert_string_equal(x.s, y.s);
		}
		buf_release(&a);
		buf_release(&b);
		buf_release(&diff);
		buf_release(&got);
	}
}

static int once(void)
{
	struct buf out = {0};
	struct err e = ERR_INIT;
	int r = text_diff(&out, "a", (struct text){"1\n2\n3\n", 6}, "b", (struct text){"2\n4\n5\n", 6}, NULL, &e);
	if (r < 0)
		assert_int_equal(r, -e.code);
	buf_release(&out);
	return r;
}

static void test_failures(void **state)
{
	struct cancel c = {true};
	struct buf out = {0};
	struct err e = ERR_INIT;
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int r = once();
		uint64_t seen = mem_count();
		mem_fail_at(0);
		assert_true(seen < n ? r == 0 : r < 0);
		if (seen < n)
			break;
	}
	assert_int_equal(text_diff(&out, "a", (struct text){"1\n", 2}, "b", (struct text){"2\n", 2}, &c, &e),
			 -ECANCELED);
	buf_release(&out);
}

static void test_json(void **state)
{
	static const char text[] =
		"{\"b\": [1, 2.0, {}], \"a\":1e-05,\n \"c\":{\"z\":null,\"y\":\"\\u00e9\\n\"}, \"d\":[], \"e\": 0.1}";
	struct arena a = {0};
	struct value v;
	struct buf out = {0};
	struct err e = ERR_INIT;
	(void)state;
	assert_int_equal(json_parse(&a, text, sizeof text - 1, NULL, &v, &e), 0);
	assert_int_equal(json_text(&out, &v, &e), 0);
	assert_string_equal(out.data, "{\n  \"a\": 1e-05,\n  \"b\": [\n    1,\n    2.0,\n    {}\n  ],\n  \"c\": {\n    "
				      "\"y\": \"\xc3\xa9\\n\",\n"
				      "    \"z\": null\n  },\n  \"d\": [],\n  \"e\": 0.1\n}\n");
	buf_release(&out);
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
