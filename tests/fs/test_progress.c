/* The line of the progress bar. */
#include "fs/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_bytes(void **state)
{
	(void)state;
	char line[200];
	struct index_status s = {.phase = INDEX_SIGNATURES, .done = 42, .total = 89, .bytes_done = 500000000,
				 .bytes_total = 2000000000, .current = "org/model"};
	progress_line(line, sizeof line, "signatures", &s, 10, 150);
	assert_string_equal(line, "signatures [#####...............] 42/89  500 MB of 2.0 GB  50.0 MB/s  0:30 left  "
			    "org/model");
}

static void test_models(void **state)
{
	(void)state;
	char line[200];
	struct index_status s = {.phase = INDEX_SCAN, .done = 300, .total = 1200, .current = "a\033[31mb"};
	progress_line(line, sizeof line, "names", &s, 2, 150);
	assert_string_equal(line, "names      [#####...............] 300/1200  150 models/s  0:06 left  a\\x1B[31mb");
}

static void test_width_and_nonsense(void **state)
{
	(void)state;
	char line[200];
	struct index_status s = {.done = 5, .total = 3, .bytes_done = 9, .bytes_total = 1,
				 .current = "\303\251\303\251"};
	for (unsigned width = 0; width < 120; width++) {
		progress_line(line, sizeof line, "x", &s, 0, width);
		assert_true(strlen(line) <= width);
		size_t n = strlen(line);
		assert_true(!n || line[n - 1] != '\303');	/* no character is cut in two */
	}
	s = (struct index_status){0};
	progress_line(line, sizeof line, "x", &s, -1, 100);
	assert_string_equal(line, "x          ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_width_and_nonsense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
