/*
 * libfuse's low-level operations over core/tree. Each asks the tree, which never waits, and answers;
 * where the tree says EAGAIN the request is set aside (fs/wait.h) and asked again when it is done.
 * Nothing is remembered of a node: its number says all.
 */
#include "fs/server.h"

#include "core/base/mem.h"
#include "fs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

/* Seconds. What is steady is kept until a notification says otherwise. */
static const double KEEP = 3600, MOMENT = 1;

/* A directory is read from ".", "..", then the tree's own cookies. The kernel asks once more after the last entry, to
 * learn that it was the last: where we know it already, its offset says so. */
enum { OFF_DOT = 1, OFF_DOTDOT = 2, BLOCK = 4096, TRIES = 8,
       LISTING = 32 << 10 /* as much as getdents asks for */ };
static const uint64_t OFF_END = 1ull << 62;

enum kind { CALL_OPEN, CALL_LOOKUP, CALL_LIST, CALL_LIST_PLUS };

struct call {	/* a request that may have to wait */
	struct server *sv;
	fuse_req_t req;
	enum kind kind;
	fuse_ino_t ino;
	struct fuse_file_info fi;
	size_t size;
	off_t off;
	unsigned tries;
	const char *name;
};

uint64_t server_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct server *server_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void stat_of(struct stat *st, const struct tree_attr *a)
{
	*st = (struct stat){
		.st_ino = a->ino, .st_mode = a->mode, .st_nlink = a->nlink, .st_uid = a->uid, .st_gid = a->gid,
		.st_size = (off_t)a->size, .st_blksize = BLOCK, .st_blocks = (blkcnt_t)((a->size + 511) / 512),
	};
	st->st_mtim.tv_sec = a->mtime_ns / 1000000000;
	st->st_mtim.tv_nsec = a->mtime_ns % 1000000000;
	if (st->st_mtim.tv_nsec < 0) {
		st->st_mtim.tv_nsec += 1000000000;
		st->st_mtim.tv_sec--;
	}
	st->st_atim = st->st_ctim = st->st_mtim;
}

static void entry_of(struct fuse_entry_param *p, const struct tree_attr *a)
{
	*p = (struct fuse_entry_param){
		.ino = a->ino, .attr_timeout = a->exact ? KEEP : 0, .entry_timeout = a->steady ? KEEP : MOMENT,
	};
	stat_of(&p->attr, a);
}

/* Answers: each sends a reply and returns 0, or returns -errno and sends none. */

static int answer_lookup(struct call *c)
{
	struct tree_attr a;
	struct fuse_entry_param p = {.entry_timeout = MOMENT};
	int r = tree_lookup(c->sv->tree, c->ino, c->name, &a);
	if (r && r != -ENOENT)
		return r;
	if (!r)
		entry_of(&p, &a);
	fuse_reply_entry(c->req, &p);
	return 0;
}

static void log_unopened(struct call *c, const struct err *e)
{
	cleanup_buf struct buf place = {0};
	tree_describe(c->sv->tree, c->ino, &place);
	if (!place.failed)
		log_some(LOG_WARNING, "cannot open %s: %s", place.data, e->msg);
}

static int answer_open(struct call *c, struct tree_file *f)
{
	if (!f) {
		struct err e = ERR_INIT;
		int r = tree_open(c->sv->tree, c->ino, &f, &e);
		if (r) {
			if (r != -EAGAIN && r != -ESTALE && r != -ENOENT && e.msg[0])
				log_unopened(c, &e);
			return r;
		}
	}
	c->fi.keep_cache = tree_file_keep(f);
	c->fi.noflush = 1;
	struct handle *h = handle_open(&c->sv->handles, c->ino, f);
	if (!h)
		return -ENOMEM;
	c->fi.fh = (uintptr_t)h;
	if (fuse_reply_open(c->req, &c->fi))	/* the caller has gone */
		handle_put(&c->sv->handles, h);
	return 0;
}

struct listing {
	fuse_req_t req;
	bool plus, full;
	char *data;
	size_t used, size, last;	/* where the last entry begins */
};

static bool list_add(struct listing *l, const char *name, const struct fuse_entry_param *p, uint64_t off)
{
	size_t room = l->size - l->used, need;
	char *at = l->data + l->used;
	if (l->plus)
		need = fuse_add_direntry_plus(l->req, at, room, name, p, (off_t)off);
	else
		need = fuse_add_direntry(l->req, at, room, name, &p->attr, (off_t)off);
	if (need > room)
		return false;
	l->last = l->used;
	l->used += need;
	return true;
}

static void list_end(struct listing *l)
{
	char *entry = l->data + l->last + (l->plus ? offsetof(struct fuse_direntplus, dirent) : 0);
	if (l->used)
		memcpy(entry + offsetof(struct fuse_dirent, off), &OFF_END, sizeof OFF_END);
}

static int list_fill(void *arg, const char *name, const struct tree_attr *a, uint64_t cookie)
{
	struct fuse_entry_param p;
	struct listing *l = arg;
	entry_of(&p, a);
	l->full = !list_add(l, name, &p, cookie + OFF_DOTDOT);
	return l->full;
}

/* "." and ".." are not looked up by the kernel: it counts nothing for them. */
static bool list_dots(struct listing *l, struct call *c)
{
	struct fuse_entry_param p = {.attr = {.st_mode = S_IFDIR}};
	if (c->off < OFF_DOT) {
		p.attr.st_ino = c->ino;
		if (!list_add(l, ".", &p, OFF_DOT))
			return false;
	}
	if (c->off < OFF_DOTDOT) {
		p.attr.st_ino = tree_parent(c->sv->tree, c->ino);
		if (!list_add(l, "..", &p, OFF_DOTDOT))
			return false;
	}
	return true;
}

static int answer_list(struct call *c)
{
	if ((uint64_t)c->off == OFF_END) {
		fuse_reply_buf(c->req, NULL, 0);
		return 0;
	}
	char here[LISTING];
	struct listing l = {.req = c->req, .plus = c->kind == CALL_LIST_PLUS, .size = c->size, .data = here};
	cleanup_free char *more = c->size > sizeof here ? mem_realloc(NULL, c->size) : NULL;
	if (c->size > sizeof here && !(l.data = more))
		return -ENOMEM;
	int r = 0;
	uint64_t after = c->off > OFF_DOTDOT ? (uint64_t)c->off - OFF_DOTDOT : 0;
	l.full = !list_dots(&l, c);
	if (!l.full)
		r = tree_list(c->sv->tree, c->ino, after, list_fill, &l);
	if (r < 0 && (r == -EAGAIN || !l.used))	/* what was packed before an error is good */
		return r;
	if (!r && !l.full)
		list_end(&l);
	fuse_reply_buf(c->req, l.data, l.used);
	return 0;
}

static int answer(struct call *c, struct tree_file *f)
{
	switch (c->kind) {
	case CALL_OPEN:
		return answer_open(c, f);
	case CALL_LOOKUP:
		return answer_lookup(c);
	case CALL_LIST:
	case CALL_LIST_PLUS:
		return answer_list(c);
	}
	return -EINVAL;
}

static void set_aside(struct call *c);

static void resume(void *arg, int result, struct tree_file *f)
{
	struct call *c = arg;
	int r = result ? result : answer(c, f);
	if (r == -EAGAIN && !result && ++c->tries < TRIES) {	/* the lake has changed meanwhile */
		set_aside(c);
		return;
	}
	if (r)
		fuse_reply_err(c->req, r == -EAGAIN ? EBUSY : -r);
	free(c);
}

static void set_aside(struct call *c)
{
	const char *name = c->kind == CALL_OPEN ? NULL : c->name;
	int r = wait_begin(c->sv->waits, c->req, c->ino, name, resume, c);
	if (r) {
		fuse_reply_err(c->req, -r);
		free(c);
	}
}

/* A copy that outlives the request's own memory. */
static struct call *call_keep(const struct call *c)
{
	size_t len = strlen(c->name);
	struct call *kept = mem_alloc(sizeof *kept + len + 1);
	if (!kept)
		return NULL;
	*kept = *c;
	kept->name = memcpy(kept + 1, c->name, len + 1);
	return kept;
}

/* Answer now, or keep the call and answer later. */
static void begin(fuse_req_t req, struct call *c)
{
	c->sv = server_of(req);
	c->req = req;
	int r = answer(c, NULL);
	if (!r)
		return;
	struct call *kept = r == -EAGAIN ? call_keep(c) : NULL;
	if (kept)
		set_aside(kept);
	else
		fuse_reply_err(req, r == -EAGAIN ? ENOMEM : -r);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct server *sv = userdata;
	session_wants(conn);
	if (sv->ready)
		sv->ready(sv->ready_arg);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (strlen(name) > NAME_MAX)
		fuse_reply_err(req, ENAMETOOLONG);
	else
		begin(req, &(struct call){.kind = CALL_LOOKUP, .ino = parent, .name = name});
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct server *sv = server_of(req);
	struct tree_attr a;
	struct stat st;
	int r = tree_getattr(sv->tree, ino, &a);
	if (r) {
		fuse_reply_err(req, -r);
		return;
	}
	if (!a.exact)
		handles_size(&sv->handles, ino, &a.size);
	stat_of(&st, &a);
	fuse_reply_attr(req, &st, a.exact ? KEEP : 0);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	cleanup_buf struct buf b = {0};
	int r = tree_readlink(server_of(req)->tree, ino, &b);
	if (!r && buf_failed(&b))
		r = -ENOMEM;
	if (r)
		fuse_reply_err(req, -r);
	else
		fuse_reply_readlink(req, b.data);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC) {
		fuse_reply_err(req, EROFS);
		return;
	}
	begin(req, &(struct call){.kind = CALL_OPEN, .ino = ino, .name = "", .fi = *fi});
}

static void reply_served(fuse_req_t req, int fd, size_t size, off_t off)
{
	struct fuse_bufvec v = FUSE_BUFVEC_INIT(size);
	v.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
	v.buf[0].fd = fd;
	v.buf[0].pos = off;
	fuse_reply_data(req, &v, FUSE_BUF_SPLICE_MOVE);
}

static void reply_stream(fuse_req_t req, struct tree_file *f, size_t size, off_t off)
{
	cleanup_free char *out = mem_realloc(NULL, size);
	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	size_t n = 0;
	while (n < size) {	/* a short reply would be the end of the file */
		ssize_t r = tree_read(f, out + n, size - n, (uint64_t)off + n);
		if (r < 0) {
			fuse_reply_err(req, (int)-r);
			return;
		}
		if (!r)
			break;
		n += (size_t)r;
	}
	fuse_reply_buf(req, out, n);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	struct server *sv = server_of(req);
	struct handle *h = (void *)(uintptr_t)fi->fh;
	struct tree_file *f = handle_get(&sv->handles, h);
	const char *data = tree_file_data(f);
	uint64_t at = (uint64_t)off, end = tree_file_size(f);
	int fd = tree_file_fd(f);
	atomic_store_explicit(&sv->last_read, server_clock(), memory_order_relaxed);
	if (data)
		fuse_reply_buf(req, at < end ? data + at : NULL, at < end ? MIN(size, end - at) : 0);
	else if (fd >= 0)
		reply_served(req, fd, size, off);
	else
		reply_stream(req, f, size, off);
	handle_put(&sv->handles, h);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_put(&server_of(req)->handles, (void *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

/* ENOSYS: the kernel never asks again, and keeps listings until told. */
static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	begin(req, &(struct call){.kind = CALL_LIST, .ino = ino, .name = "", .size = size, .off = off});
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	begin(req, &(struct call){.kind = CALL_LIST_PLUS, .ino = ino, .name = "", .size = size, .off = off});
}

/* No space, none free, so many files; nothing here is counted anew. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	struct tree_counts n;
	tree_counts(server_of(req)->tree, &n);
	struct statvfs st = {
		.f_bsize = BLOCK, .f_frsize = BLOCK, .f_files = n.models, .f_namemax = NAME_MAX, .f_flag = ST_RDONLY,
	};
	fuse_reply_statfs(req, &st);
}

/*
 * What writes. The mount is read-only, so that the kernel asks only after somebody has remounted it
 * read-write. One refusal for each shape of operation.
 */
static void refuse_setattr(fuse_req_t req, fuse_ino_t i, struct stat *st, int set, struct fuse_file_info *fi)
{
	(void)i, (void)st, (void)set, (void)fi;
	fuse_reply_err(req, EROFS);
}

static void refuse_mknod(fuse_req_t req, fuse_ino_t i, const char *name, mode_t mode, dev_t dev)
{
	(void)i, (void)name, (void)mode, (void)dev;
	fuse_reply_err(req, EROFS);
}

static void refuse_mkdir(fuse_req_t req, fuse_ino_t i, const char *name, mode_t mode)
{
	(void)i, (void)name, (void)mode;
	fuse_reply_err(req, EROFS);
}

static void refuse_name(fuse_req_t req, fuse_ino_t i, const char *name)
{
	(void)i, (void)name;
	fuse_reply_err(req, EROFS);
}

static void refuse_symlink(fuse_req_t req, const char *link, fuse_ino_t i, const char *name)
{
	(void)link, (void)i, (void)name;
	fuse_reply_err(req, EROFS);
}

static void refuse_rename(fuse_req_t req, fuse_ino_t i, const char *name, fuse_ino_t to, const char *now,
			  unsigned flags)
{
	(void)i, (void)name, (void)to, (void)now, (void)flags;
	fuse_reply_err(req, EROFS);
}

static void refuse_link(fuse_req_t req, fuse_ino_t i, fuse_ino_t to, const char *name)
{
	(void)i, (void)to, (void)name;
	fuse_reply_err(req, EROFS);
}

static void refuse_create(fuse_req_t req, fuse_ino_t i, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	(void)i, (void)name, (void)mode, (void)fi;
	fuse_reply_err(req, EROFS);
}

static void refuse_write(fuse_req_t req, fuse_ino_t i, const char *data, size_t n, off_t off, struct fuse_file_info *fi)
{
	(void)i, (void)data, (void)n, (void)off, (void)fi;
	fuse_reply_err(req, EROFS);
}

static void refuse_setxattr(fuse_req_t req, fuse_ino_t i, const char *name, const char *value, size_t n, int flags)
{
	(void)i, (void)name, (void)value, (void)n, (void)flags;
	fuse_reply_err(req, EROFS);
}

static void refuse_fallocate(fuse_req_t req, fuse_ino_t i, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	(void)i, (void)mode, (void)off, (void)len, (void)fi;
	fuse_reply_err(req, EROFS);
}

/* Not getxattr, listxattr, access, flush: ENOSYS once, and the kernel never asks again. Not
 * copy_file_range: nothing here can be opened for writing, and ENOSYS makes tools fall back. */
const struct fuse_lowlevel_ops server_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.setattr = refuse_setattr,
	.mknod = refuse_mknod,
	.mkdir = refuse_mkdir,
	.unlink = refuse_name,
	.rmdir = refuse_name,
	.symlink = refuse_symlink,
	.rename = refuse_rename,
	.link = refuse_link,
	.create = refuse_create,
	.write = refuse_write,
	.setxattr = refuse_setxattr,
	.removexattr = refuse_name,
	.fallocate = refuse_fallocate,
};
