/*
 * tarn mount: everything that can be refused is refused before anything is mounted; the daemon then
 * opens the lake (as another user, where it is told to), mounts, answers, and takes it all down.
 */
#include "core/base/mem.h"
#include "core/job/index.h"
#include "fs/commands.h"
#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/mounts.h"
#include "fs/place.h"
#include "fs/server.h"
#include "fs/user.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mounting {
	const struct options *o;
	struct place place;
	struct user user;
	bool become;
	struct daemon daemon;
	struct server sv;
	struct index *ix;
	struct stop *stop;
	struct mounted mounted;
	bool attached;
	int keeper;		/* how the one who may unmount is told; -1: ourselves */
	struct cancel hurry;	/* stop waiting for --wait */
	pthread_t waiter;
	bool waiting;
};

/* Commas and backslashes in a value of libfuse's option list are quoted. */
static void add_quoted(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == ',' || *s == '\\')
			buf_char(b, '\\');
		buf_char(b, *s);
	}
}

static int new_session(struct mounting *m, struct err *e)
{
	const struct options *o = m->o;
	cleanup_buf struct buf opts = {0};
	buf_str(&opts, "ro,nosuid,nodev,default_permissions,subtype=tarn,fsname=");
	for (size_t i = 0; !o->fsname && i < m->place.n_lakes; i++) {
		add_quoted(&opts, i ? ":" : "");
		add_quoted(&opts, m->place.lakes[i]);
	}
	add_quoted(&opts, o->fsname ? o->fsname : "");
	if (o->allow_other)
		buf_str(&opts, ",allow_other");
	if (buf_failed(&opts))
		return err_nomem(e);
	const char *argv[] = {"tarn", "-o", opts.data, o->debug ? "-d" : NULL, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(o->debug ? 4 : 3, (char **)argv);
	m->sv.se = fuse_session_new(&args, &server_ops, sizeof server_ops, &m->sv);
	fuse_opt_free_args(&args);
	return m->sv.se ? 0 : err_set(e, EINVAL, "cannot make a FUSE session");
}

__attribute__((format(printf, 2, 0))) static void tell_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];
	vsnprintf(line, sizeof line, fmt, ap);
	line[strcspn(line, "\n")] = 0;
	if (*line)
		log_some((int)level, "%s", line);
}

/* libfuse says on stderr, which is still the caller's, what it could not do. */
static int attach(struct mounting *m, struct err *e)
{
	if (fuse_session_mount(m->sv.se, m->place.point))
		return err_set(e, EIO, "cannot mount on '%.200s': the reason stands above", m->place.point);
	session_parallel_dirops(m->sv.se);
	m->attached = true;
	return mounted_find(m->place.point, &m->mounted) ? 0 :
		err_set(e, ENOENT, "cannot find the mount on '%.200s' in /proc/self/mountinfo", m->place.point);
}

/* Does the kernel still talk to us? */
static bool is_connected(const struct mounting *m)
{
	struct pollfd p = {.fd = fuse_session_fd(m->sv.se)};
	return m->attached && poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR);
}

/* Device numbers are used again: only while we are connected is the mount of that number ours. */
static bool is_ours(const struct mounting *m)
{
	struct mounted now;
	return is_connected(m) && mounted_find(m->place.point, &now) && now.major == m->mounted.major &&
	       now.minor == m->mounted.minor;
}

/* Take it out of the name space, if it is there. Once. */
static void detach(void *arg)
{
	struct mounting *m = arg;
	struct err e = ERR_INIT;
	bool ours = is_ours(m);
	if (m->keeper >= 0)
		user_keeper_tell(m->keeper, ours);
	else if (ours && mounted_remove(m->place.point, true, &e))
		log_say(LOG_WARNING, "%s", e.msg);
}

static int open_lake(struct mounting *m, struct err *e)
{
	const struct options *o = m->o;
	struct index_options io = {
		.lakes = (const char *const *)m->place.lakes, .n_lakes = m->place.n_lakes, .catalog = m->place.catalog,
		.allow = (const char *const *)m->place.allow, .n_allow = m->place.n_allow,
		.contain = o->allow_other, .cached = o->compute && !strcmp(o->compute, "cached"), .jobs = o->jobs,
	};
	struct tree_options to = {
		.serve = o->files && !strcmp(o->files, "serve"), .cached = io.cached, .others = o->allow_other,
		.share_all = o->share, .workers = o->jobs, .queue = o->queue,
	};
	cleanup_free char *catalog = NULL;
	if (!io.catalog) {
		char warning[512] = "";
		int r = index_catalog_path(io.lakes, io.n_lakes, &catalog, warning, sizeof warning, e);
		if (r)
			return r;
		if (*warning)
			daemon_warn(&m->daemon, warning);
		io.catalog = catalog;
	}
	int r = index_open(&m->ix, &io, e);
	return r ? r : tree_new(&m->sv.tree, m->ix, &to, e);
}

static int become(struct mounting *m, struct err *e)
{
	int r = attach(m, e);
	if (!r)
		r = user_keeper(m->place.point, &m->keeper, e);
	return r ? r : user_become(&m->user, e);
}

static void *wait_for_all(void *arg)
{
	struct mounting *m = arg;
	index_wait(m->ix, &m->hurry);
	daemon_ready(&m->daemon);
	return NULL;
}

/* The kernel has answered. */
static void ready(void *arg)
{
	struct mounting *m = arg;
	if (m->o->wait && !pthread_create(&m->waiter, NULL, wait_for_all, m))
		m->waiting = true;
	else
		daemon_ready(&m->daemon);
}

static void tell_error(void *arg, const struct err *e)
{
	(void)arg;
	log_say(LOG_ERR, "%s", e->msg);
}

static int start(struct mounting *m, struct err *e)
{
	stop_block();
	int r = m->become ? 0 : attach(m, e);
	if (r)
		return r;
	if (waits_new(&m->sv.waits, m->sv.tree) || notify_new(&m->sv.notify, m->sv.se) ||
	    stop_new(&m->stop, &m->sv, detach, m))
		return err_nomem(e);
	tree_on_change(m->sv.tree, notify_stale, m->sv.notify);
	index_on_error(m->ix, tell_error, NULL);
	if (!m->o->debug)
		fuse_set_log_func(tell_log);
	m->sv.ready = ready;
	m->sv.ready_arg = m;
	return index_start(m->ix, e);
}

/* While connected libfuse unmounts by name: not where another mount has taken our place. */
static void end_session(struct mounting *m)
{
	struct mounted now;
	if (!m->sv.se)
		return;
	if (!is_connected(m) || is_ours(m) || !mounted_find(m->place.point, &now))
		fuse_session_unmount(m->sv.se);
	fuse_session_destroy(m->sv.se);
}

/* Who may still call whom decides the order: the kernel, the waiting, what changes the tree, the tree, the session. */
static void finish(struct mounting *m)
{
	stop_free(m->stop);
	atomic_store(&m->hurry.set, true);
	if (m->waiting)
		pthread_join(m->waiter, NULL);
	detach(m);
	if (m->sv.notify)
		notify_stop(m->sv.notify);
	if (m->sv.waits)
		waits_close(m->sv.waits, ESHUTDOWN);
	if (m->ix)
		index_stop(m->ix);
	handles_close(&m->sv.handles);
	tree_free(m->sv.tree);
	handles_close(&m->sv.handles);	/* what was answered last */
	waits_free(m->sv.waits);
	index_close(m->ix);
	notify_free(m->sv.notify);
	end_session(m);
}

static int serve(struct mounting *m)
{
	struct err e = ERR_INIT;
	/* Threads of libfuse allocate little, and at the same time: two arenas serve them, more would only keep. */
	mallopt(M_ARENA_MAX, 2);
	int r = log_open(m->place.log, m->daemon.fd < 0, &e);
	if (!r)
		r = new_session(m, &e);
	if (!r && m->become)
		r = become(m, &e);
	if (!r)
		r = open_lake(m, &e);
	if (!r)
		r = start(m, &e);
	if (r)
		daemon_failed(&m->daemon, e.msg);
	else
		r = session_loop(m->sv.se);
	if (r < 0 && !e.msg[0])
		log_say(LOG_ERR, "the connection to the kernel broke: %s", strerror(-r));
	finish(m);
	log_close();
	return r < 0;
}

static int prepare(struct mounting *m, struct err *e)
{
	const struct options *o = m->o;
	int r = place_check(&m->place, o, e);
	if (!r && o->user)
		r = user_find(&m->user, o->user, e);
	if (r)
		return r;
	m->become = o->user && !geteuid() && m->user.uid;
	if (!geteuid() && !o->user && o->command == CMD_MOUNT)
		fprintf(stderr, "tarn: running as root; with -o user=NAME the lake is read as NAME instead\n");
	return 0;
}

int command_mount(struct options *o)
{
	struct err e = ERR_INIT;
	struct mounting m = {.o = o, .keeper = -1, .daemon = {.fd = -1}, .sv = {.handles = HANDLES_INIT}};
	if (o->n_args < 2)
		return misused(o, "expected the directory of a lake and a mount point, found %s",
			       o->n_args ? "only one of them" : "neither");
	int r = prepare(&m, &e);
	if (!r && !o->fake && !o->foreground && !o->debug)
		r = daemon_begin(&m.daemon, &e);
	int status = r ? complain("%s", e.msg) : o->fake ? 0 : serve(&m);
	place_release(&m.place);
	return status;
}
