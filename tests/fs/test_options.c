/* The command line: what is taken, and how what is not is refused. */
#include "fs/options.h"

#include "core/base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#define PARSE(o, e, command, ...) \
	parse(o, e, command, (const char *[]){"tarn", __VA_ARGS__}, COUNT(((const char *[]){"tarn", __VA_ARGS__})))

static int parse(struct options *o, struct err *e, enum command c, const char **argv, size_t n)
{
	*e = ERR_INIT;
	return options_parse(o, c, (int)n, (char **)argv, e);
}

static void test_the_same_option_every_way(void **state)
{
	(void)state;
	struct options o;
	struct err e;
	assert_int_equal(PARSE(&o, &e, CMD_MOUNT, "L", "--files=serve", "--queue", "7", "M", "--allow-other", "-fj3"),
			 0);
	assert_string_equal(o.files, "serve");
	assert_int_equal(o.queue, 7);
	assert_int_equal(o.jobs, 3);
	assert_true(o.foreground && o.allow_other);
	assert_int_equal(o.n_args, 2);
	assert_string_equal(o.args[1], "M");
	options_release(&o);
	assert_int_equal(PARSE(&o, &e, CMD_MOUNT, "-o", "files=serve,queue=7", "-oallow_other,jobs=3,wait", "L"), 0);
	assert_string_equal(o.files, "serve");
	assert_true(o.queue == 7 && o.jobs == 3 && o.allow_other && o.wait && o.n_args == 1);
	options_release(&o);
}

static void test_lists_and_quoting(void **state)
{
	(void)state;
	struct options o;
	struct err e;
	assert_int_equal(PARSE(&o, &e, CMD_MOUNT, "-o", "allow=/a\\,b,,allow=/c\\\\d,", "--allow", "/e,f", "--",
			       "-x"), 0);
	assert_int_equal(o.n_allow, 3);
	assert_string_equal(o.allow[0], "/a,b");
	assert_string_equal(o.allow[1], "/c\\d");
	assert_string_equal(o.allow[2], "/e,f");
	assert_string_equal(o.args[0], "-x");
	options_release(&o);
}

static void test_what_mount_passes(void **state)
{
	(void)state;
	struct options o;
	struct err e;
	assert_int_equal(PARSE(&o, &e, CMD_HELPER, "L", "M", "-n", "-v", "-s", "-f", "-t", "fuse.tarn", "-o",
			       "rw,noauto,user,_netdev,nofail,x-anything=1,sloppy_unknown,relatime,comment=a b"), 0);
	assert_true(o.fake && o.sloppy && o.verbose && !o.foreground && !o.user);
	options_release(&o);
	assert_int_equal(PARSE(&o, &e, CMD_MOUNT, "L", "M", "-o", "user=nobody"), 0);
	assert_string_equal(o.user, "nobody");
	options_release(&o);
}

static void refused(enum command c, const char *option, const char *words)
{
	struct options o;
	struct err e;
	assert_int_equal(PARSE(&o, &e, c, "L", option), -EINVAL);
	if (!strstr(e.msg, words))
		fail_msg("'%s' said '%s'; expected '%s' in it", option, e.msg, words);
	options_release(&o);
}

static void test_refused(void **state)
{
	(void)state;
	refused(CMD_MOUNT, "--nonsense", "unknown option '--nonsense'");
	refused(CMD_MOUNT, "-onosuch=1", "unknown option 'nosuch=1'");
	refused(CMD_MOUNT, "--files=both", "expected link|serve");
	refused(CMD_MOUNT, "--files=", "needs a value");
	refused(CMD_MOUNT, "--files=lin", "expected link|serve");
	refused(CMD_MOUNT, "--queue=-1", "expected a number");
	refused(CMD_MOUNT, "--queue=99999999999999999999", "expected a number");
	refused(CMD_MOUNT, "--queue=1x", "expected a number");
	refused(CMD_MOUNT, "--wait=1", "takes no value");
	refused(CMD_MOUNT, "--user", "needs a value");
	refused(CMD_MOUNT, "--catalog", "needs a value");
	refused(CMD_MOUNT, "-o", "needs a value");
	refused(CMD_MOUNT, "-oremount", "cannot remount");
	refused(CMD_MOUNT, "--exact", "unknown option");
	refused(CMD_INDEX, "--files=serve", "unknown option");
	refused(CMD_INDEX, "-orw", "unknown option");
	refused(CMD_LS, "-lZ", "unknown option '-Z'");
	refused(CMD_UMOUNT, "-f", "unknown option");
}

static void test_lakes(void **state)
{
	(void)state;
	char dir[] = "/tmp/tarn-options-XXXXXX", sub[64], arg[200], file[64];
	struct err e = ERR_INIT;
	char **lakes = NULL;
	size_t n = 0;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof sub, "%s/a:b", dir);
	snprintf(file, sizeof file, "%s/file", dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	fclose(fopen(file, "w"));
	assert_int_equal(options_lakes(sub, &lakes, &n, &e), 0);
	assert_int_equal(n, 1);		/* the name has a colon, and is there */
	snprintf(arg, sizeof arg, "%s:/tmp", dir);
	assert_int_equal(options_lakes(arg, &lakes, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_string_equal(lakes[1], dir);
	snprintf(arg, sizeof arg, "%s:%s/none", dir, dir);
	assert_int_equal(options_lakes(arg, &lakes, &n, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/none"));
	assert_int_equal(options_lakes(file, &lakes, &n, &e), -ENOTDIR);
	assert_non_null(strstr(e.msg, "expected a directory"));
	options_free_lakes(lakes, n);
	unlink(file);
	rmdir(sub);
	rmdir(dir);
}

/* Every allocation fails once; nothing leaks and it is said. */
static void test_out_of_memory(void **state)
{
	(void)state;
	for (uint64_t nth = 1;; nth++) {
		struct options o;
		struct err e;
		mem_fail_at(nth);
		int r = PARSE(&o, &e, CMD_MOUNT, "L", "M", "-o", "files=serve,allow=/a", "--allow", "/b");
		mem_fail_at(0);
		options_release(&o);
		if (!r)
			break;
		assert_int_equal(r, -ENOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_same_option_every_way),
		cmocka_unit_test(test_lists_and_quoting),
		cmocka_unit_test(test_what_mount_passes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lakes),
		cmocka_unit_test(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
