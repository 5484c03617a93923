/* Threads: every job runs once, loops cover every index once and stop at the first failure. */
#include "core/base/base_test.h"

#include "core/base/mem.h"
#include "core/base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static void count(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
}

static void jobs(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 8; threads *= 2) {
		atomic_int n = 0;
		struct pool *p = pool_new(threads);
		assert_non_null(p);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(pool_submit(p, count, &n), 0);
		pool_stop(p);		/* what is queued still runs */
		assert_int_equal(n, 1000);
	}
	pool_stop(NULL);
}

struct order { pthread_mutex_t lock; int next; bool wrong; };
struct job { struct order *order; int i; };

static void in_order(void *arg)
{
	struct job *j = arg;
	pthread_mutex_lock(&j->order->lock);
	if (j->order->next++ != j->i)
		j->order->wrong = true;
	pthread_mutex_unlock(&j->order->lock);
}

static void first_in_first_out(void **state)
{
	(void)state;
	struct order o = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct job jobs_[100];
	struct pool *p = pool_new(1);
	for (int i = 0; i < 100; i++) {
		jobs_[i] = (struct job){&o, i};
		assert_int_equal(pool_submit(p, in_order, &jobs_[i]), 0);
	}
	pool_stop(p);
	assert_int_equal(o.next, 100);
	assert_false(o.wrong);
}

struct again { struct pool *pool; atomic_int runs, refused; };

static void resubmit(void *arg)
{
	struct again *a = arg;
	usleep(20000);		/* until the pool stops */
	atomic_fetch_add(&a->runs, 1);
	if (pool_submit(a->pool, resubmit, a) == -ESHUTDOWN)
		atomic_fetch_add(&a->refused, 1);
}

static void none_after_the_end(void **state)
{
	(void)state;
	struct again a = {.pool = pool_new(2)};
	assert_int_equal(pool_submit(a.pool, resubmit, &a), 0);
	pool_stop(a.pool);
	assert_int_equal(a.runs, 1);
	assert_int_equal(a.refused, 1);
}

static int mark(void *arg, size_t i)
{
	atomic_fetch_add((atomic_int *)arg + i, 1);
	return 0;
}

static int fail_at_500(void *arg, size_t i)
{
	atomic_fetch_add((atomic_int *)arg, 1);
	return i == 500 ? -EIO : 0;
}

static void loops(void **state)
{
	(void)state;
	static atomic_int seen[5000];
	for (unsigned threads = 0; threads < 200; threads = threads * 3 + 1) {
		memset(seen, 0, sizeof seen);
		assert_int_equal(pool_for(threads, COUNT(seen), mark, seen), 0);
		for (size_t i = 0; i < COUNT(seen); i++)
			assert_int_equal(seen[i], 1);
	}
	assert_int_equal(pool_for(4, 0, mark, seen), 0);
	atomic_int n = 0;
	assert_int_equal(pool_for(1, 100000, fail_at_500, &n), -EIO);
	assert_int_equal(n, 501);
	n = 0;
	assert_int_equal(pool_for(8, 10000000, fail_at_500, &n), -EIO);
	assert_true(n < 10000000);
}

static void failing_memory(void **state)
{
	(void)state;
	mem_fail_at(1);
	assert_null(pool_new(2));
	mem_fail_at(0);
	atomic_int n = 0;
	struct pool *p = pool_new(1);
	mem_fail_at(1);
	assert_int_equal(pool_submit(p, count, &n), -ENOMEM);
	mem_fail_at(0);
	pool_stop(p);
	assert_int_equal(n, 0);
}

static void cancels(void **state)
{
	(void)state;
	struct cancel c = {false};
	assert_false(cancel_asked(NULL));
	assert_false(cancel_asked(&c));
	atomic_store(&c.set, true);
	assert_true(cancel_asked(&c));
	assert_true(pool_cores() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs), cmocka_unit_test(first_in_first_out), cmocka_unit_test(none_after_the_end),
		cmocka_unit_test(loops), cmocka_unit_test(failing_memory), cmocka_unit_test(cancels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
