/* Single flight: one computation however many wait, leaving, refusing, stopping. */
#include "tests/support/cm.h"

#include "core/base/mem.h"
#include "core/job/flight.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct state {
	atomic_int runs, dones, dropped, freed, cancelled;
	atomic_bool go;
};

static struct flight_result work(void *arg, const struct cancel *c)
{
	struct state *s = arg;
	atomic_fetch_add(&s->runs, 1);
	while (!s->go && !cancel_asked(c))
		usleep(1000);
	if (cancel_asked(c)) {
		atomic_fetch_add(&s->cancelled, 1);
		return (struct flight_result){.code = -ECANCELED};
	}
	return (struct flight_result){.value = s};
}

static void drop(void *v) { atomic_fetch_add(&((struct state *)v)->dropped, 1); }
static void free_arg(void *a) { atomic_fetch_add(&((struct state *)a)->freed, 1); }

static void done(void *arg, struct flight_result r)
{
	struct state *s = arg;
	if (r.code == 0)
		assert_ptr_equal(r.value, s);
	atomic_fetch_add(&s->dones, 1);
}

static int join(struct flight *f, struct state *s, uint64_t key, struct flight_wait **w)
{
	struct flight_work k = {work, drop, free_arg, s};
	struct flight_wait *mine;
	return flight_join(f, (struct flight_key){key, 0}, &k, done, s, w ? w : &mine);
}

static void until(atomic_int *n, int want)
{
	for (int i = 0; i < 5000 && *n < want; i++)
		usleep(1000);
	assert_int_equal(*n, want);
}

static void test_once(void **unused)
{
	(void)unused;
	struct state s = {0};
	struct flight *f = flight_new(2, 100);
	for (int i = 0; i < 300; i++)
		assert_int_equal(join(f, &s, 7, NULL), 0);
	s.go = true;
	until(&s.dones, 300);
	flight_free(f);
	assert_int_equal(s.runs, 1);
	assert_int_equal(s.dropped, 1);
	assert_int_equal(s.freed, 300);
}

static void test_leave(void **unused)
{
	(void)unused;
	struct state s = {0};
	struct flight_wait *a, *b;
	struct flight *f = flight_new(1, 100);
	assert_int_equal(join(f, &s, 1, &a), 0);
	assert_int_equal(join(f, &s, 1, &b), 0);
	until(&s.runs, 1);
	assert_true(flight_leave(f, a));
	usleep(20000);
	assert_int_equal(s.cancelled, 0);	/* one still waits */
	assert_true(flight_leave(f, b));
	until(&s.cancelled, 1);
	/* who comes now gets a run of its own, not the one that is stopping */
	assert_int_equal(join(f, &s, 1, NULL), 0);
	until(&s.runs, 2);
	s.go = true;
	until(&s.dones, 1);
	flight_free(f);
}

static void test_busy(void **unused)
{
	(void)unused;
	struct state s = {0};
	struct flight *f = flight_new(1, 4);
	assert_int_equal(join(f, &s, 0, NULL), 0);
	until(&s.runs, 1);
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(join(f, &s, i, NULL), 0);
	assert_int_equal(join(f, &s, 5, NULL), -EBUSY);
	assert_int_equal(join(f, &s, 4, NULL), 0);	/* joining costs nothing */
	s.go = true;
	until(&s.dones, 6);
	flight_free(f);
	assert_int_equal(s.freed, 7);
}

static void test_stop(void **unused)
{
	(void)unused;
	struct state s = {0};
	struct flight *f = flight_new(2, 100);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(join(f, &s, i, NULL), 0);
	flight_stop(f);
	assert_int_equal(s.dones, 10);
	assert_int_equal(join(f, &s, 99, NULL), -ESHUTDOWN);
	flight_free(f);
}

struct crowd { struct flight *f; struct state *s; unsigned seed; };

static void *come_and_go(void *arg)
{
	struct crowd *c = arg;
	for (int i = 0; i < 300; i++) {
		struct flight_wait *w;
		if (join(c->f, c->s, rand_r(&c->seed) % 5, &w) == 0 && rand_r(&c->seed) % 2)
			usleep(rand_r(&c->seed) % 50);
	}
	return NULL;
}

static void test_crowd(void **unused)
{
	(void)unused;
	struct state s = {.go = true};
	struct flight *f = flight_new(3, 1000);
	struct crowd c[4];
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++) {
		c[i] = (struct crowd){f, &s, i};
		pthread_create(&t[i], NULL, come_and_go, &c[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	until(&s.dones, 1200);
	flight_free(f);
	assert_int_equal(s.freed, 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once), cmocka_unit_test(test_leave), cmocka_unit_test(test_busy),
		cmocka_unit_test(test_stop), cmocka_unit_test(test_crowd),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
