/* Roots, and containment: what may be opened and what may not, with openat2 and without. */
#include "temp_lake.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int open_two(const struct temp *t, const char *a, const char *b, struct lake *l, struct err *e)
{
	char one[PATH_MAX], two[PATH_MAX];
	temp_path(t, a, one);
	temp_path(t, b, two);
	return lake_open(l, (const char *[]){one, two}, 2, e);
}

static void roots(void **state)
{
	struct temp t;
	struct lake l;
	struct err e = ERR_INIT;
	(void)state;
	temp_init(&t);
	temp_files(&t, "a/x.safetensors a/b/y.safetensors ab/z.safetensors");
	assert_int_equal(open_two(&t, "a", "ab", &l, &e), 0);
	assert_int_equal(l.n_roots, 2);
	lake_close(&l);
	assert_int_equal(open_two(&t, "a", "a/../a", &l, &e), -EINVAL);
	assert_int_equal(open_two(&t, "a", "a/b", &l, &e), -EINVAL);
	assert_int_equal(open_two(&t, "a/b", "a", &l, &e), -EINVAL);
	assert_int_equal(open_two(&t, "a", "nowhere", &l, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "nowhere"));
	assert_int_equal(open_two(&t, "a", "a/x.safetensors", &l, &e), -ENOTDIR);
	assert_int_equal(lake_open(&l, NULL, 0, &e), -EINVAL);
	temp_release(&t);
}

static int try(const struct lake *l, const char *path)
{
	struct io io;
	struct err e = ERR_INIT;
	int r = lake_open_file(l, 0, path, &io, &e);
	if (r == 0)
		io_close(&io);
	return r;
}

static void contained(const struct temp *t)
{
	struct lake l;
	struct err e = ERR_INIT;
	char full[PATH_MAX];
	temp_open(&l, t, "lake");
	assert_int_equal(try(&l, "out.safetensors"), 0);
	assert_int_equal(try(&l, "m/../../secret"), 0);
	l.contain = true;
	assert_int_equal(try(&l, "m/x.safetensors"), 0);
	assert_int_equal(try(&l, "in.safetensors"), 0);
	assert_int_equal(try(&l, "absolute.safetensors"), 0);
	assert_int_equal(try(&l, "out.safetensors"), -EXDEV);
	assert_int_equal(try(&l, "dir/secret"), -EXDEV);
	assert_int_equal(try(&l, "m/../../secret"), -EXDEV);
	assert_int_equal(try(&l, "proc"), -EXDEV);
	assert_int_equal(try(&l, "loop"), -ELOOP);
	assert_int_equal(try(&l, "gone"), -ENOENT);
	assert_int_equal(try(&l, "fifo"), -EINVAL);
	assert_int_equal(try(&l, "m"), -EINVAL);
	assert_int_equal(try(&l, "/etc/passwd"), -EINVAL);
	temp_path(t, "other", full);
	assert_int_equal(lake_allow(&l, full, &e), 0);
	assert_int_equal(try(&l, "allowed.safetensors"), 0);
	assert_int_equal(try(&l, "out.safetensors"), -EXDEV);
	lake_close(&l);
}

static void containment_tree(struct temp *t)
{
	char full[PATH_MAX];
	temp_init(t);
	temp_files(t, "lake/m/x.safetensors secret other/o.safetensors other2/p.safetensors");
	temp_link(t, "m/x.safetensors", "lake/in.safetensors");
	temp_path(t, "lake/m/x.safetensors", full);
	temp_link(t, full, "lake/absolute.safetensors");
	temp_link(t, "../secret", "lake/out.safetensors");
	temp_link(t, "..", "lake/dir");
	temp_link(t, "../other/o.safetensors", "lake/allowed.safetensors");
	temp_link(t, "/proc/self/status", "lake/proc");
	temp_link(t, "loop", "lake/loop");
	temp_link(t, "nowhere", "lake/gone");
	temp_path(t, "lake/fifo", full);
	assert_int_equal(mkfifo(full, 0644), 0);
}

static void containment(void **state)
{
	struct temp t;
	(void)state;
	containment_tree(&t);
	contained(&t);
	temp_release(&t);
}

/* A kernel without openat2, in a child. */
static void without_openat2(void **state)
{
	struct temp t;
	(void)state;
	containment_tree(&t);
	pid_t child = fork();
	if (child == 0) {
		struct sock_filter f[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog p = {.len = sizeof f / sizeof *f, .filter = f};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
			_exit(77);
		contained(&t);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	temp_release(&t);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots), cmocka_unit_test(containment), cmocka_unit_test(without_openat2),
	};
	return cmocka_run_group_tests_name("lake", tests, NULL, NULL);
}
