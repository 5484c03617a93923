#include "fs/server.h"

#include "core/base/mem.h"
#include "fs/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* How long a clean stop waits: for the next read of a file that stays open, and when none is open (ms). */
enum { IDLE_READER = 30000, IDLE_NOBODY = 500, LOOK = 100 };

struct stop {
	struct server *sv;
	pthread_t thread, loop;		/* ours; the one that serves */
	void (*detach)(void *arg);
	void *arg;
	atomic_bool ended;		/* the loop has */
};

/* SIGUSR2 wakes the thread when the loop has ended; SIGUSR1 wakes the loop. */
static void signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR2);
}

static void wake(int sig)
{
	(void)sig;
}

void stop_block(void)
{
	sigset_t set;
	signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	struct sigaction sa = {.sa_handler = wake};
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

/* 0 when none came within ms. */
static int next_signal(int ms)
{
	sigset_t set;
	signals(&set);
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	int sig = sigtimedwait(&set, NULL, &t);
	return sig > 0 ? sig : 0;
}

/* The loop sleeps on a semaphore, and looks at the flag when a signal wakes it. */
static void end_loop(struct stop *s)
{
	fuse_session_exit(s->sv->se);
	while (!atomic_load(&s->ended)) {
		pthread_kill(s->loop, SIGUSR1);
		next_signal(20);
	}
}

static bool readers_done(struct server *sv, uint64_t since)
{
	uint64_t last = MAX(since, (uint64_t)atomic_load(&sv->last_read)), now = server_clock();
	return now > last + (handles_any(&sv->handles) ? IDLE_READER : IDLE_NOBODY);
}

static void *run(void *arg)
{
	struct stop *s = arg;
	sigset_t set;
	int sig = 0;
	signals(&set);
	while (sigwait(&set, &sig))
		;
	if (atomic_load(&s->ended))
		return NULL;
	log_say(LOG_INFO, "stopping; what is open may still be read");
	s->detach(s->arg);
	waits_close(s->sv->waits, ECANCELED);
	notify_stop(s->sv->notify);
	uint64_t since = server_clock();
	while (!atomic_load(&s->ended) && !next_signal(LOOK) && !readers_done(s->sv, since))
		;
	if (!atomic_load(&s->ended))
		end_loop(s);
	return NULL;
}

int stop_new(struct stop **out, struct server *sv, void (*detach)(void *arg), void *arg)
{
	struct stop *s = mem_alloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	*s = (struct stop){.sv = sv, .loop = pthread_self(), .detach = detach, .arg = arg};
	int r = pthread_create(&s->thread, NULL, run, s);
	if (r) {
		free(s);
		return -r;
	}
	*out = s;
	return 0;
}

void stop_free(struct stop *s)
{
	if (!s)
		return;
	atomic_store(&s->ended, true);
	pthread_kill(s->thread, SIGUSR2);
	pthread_join(s->thread, NULL);
	free(s);
}
