/*
 * The yardstick of the mount: a bare low-level FUSE file system that serves given entries from memory, with the mount's
 * own loop, threads and capabilities (fs/session.c), and nothing else.
 *
 *     bare_fuse LIST MOUNTPOINT
 *
 * LIST: entries as `find ROOT -mindepth 1 -printf '%y\t%s\t%m\t%l\t%P\0'` writes them, a directory before what
 * is in it.
 */
#include "fs/session.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double KEEP = 3600;

struct node {
	const char *name, *target;
	uint32_t parent, first, count;	/* children are nodes[first, first + count), by name */
	mode_t mode;
	off_t size;
};

struct bare {
	struct session session;		/* first: see fs/session.h */
	struct node *nodes;		/* node number i + 1 */
	uint32_t n;
};

static struct bare *bare_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void stat_of(struct stat *st, const struct bare *b, uint32_t i)
{
	const struct node *x = &b->nodes[i];
	*st = (struct stat){
		.st_ino = i + 1, .st_mode = x->mode, .st_nlink = S_ISDIR(x->mode) ? 2 : 1, .st_size = x->size,
		.st_blksize = 4096, .st_blocks = (x->size + 511) / 512, .st_mtim.tv_sec = 1500000000,
	};
}

static void entry_of(struct fuse_entry_param *p, const struct bare *b, uint32_t i)
{
	*p = (struct fuse_entry_param){.ino = i + 1, .attr_timeout = KEEP, .entry_timeout = KEEP};
	stat_of(&p->attr, b, i);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	session_wants(conn);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct bare *b = bare_of(req);
	const struct node *dir = &b->nodes[parent - 1];
	struct fuse_entry_param p = {.entry_timeout = 1};
	uint32_t low = dir->first, high = dir->first + dir->count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = strcmp(name, b->nodes[mid].name);
		if (!c) {
			entry_of(&p, b, mid);
			break;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	fuse_reply_entry(req, &p);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct stat st;
	stat_of(&st, bare_of(req), (uint32_t)ino - 1);
	fuse_reply_attr(req, &st, KEEP);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	fuse_reply_readlink(req, bare_of(req)->nodes[ino - 1].target);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	const struct bare *b = bare_of(req);
	const struct node *dir = &b->nodes[ino - 1];
	char *data = malloc(size);
	size_t used = 0;
	for (uint64_t i = (uint64_t)off; data && i < dir->count + 2u; i++) {
		struct fuse_entry_param p = {.attr = {.st_ino = i ? dir->parent + 1 : ino, .st_mode = S_IFDIR}};
		const char *name = i == 0 ? "." : i == 1 ? ".." : b->nodes[dir->first + i - 2].name;
		if (i > 1)
			entry_of(&p, b, dir->first + (uint32_t)i - 2);
		size_t need = fuse_add_direntry_plus(req, data + used, size - used, name, &p, (off_t)i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, data, used);
	free(data);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init, .lookup = op_lookup, .getattr = op_getattr, .readlink = op_readlink, .opendir = op_opendir,
	.readdirplus = op_readdirplus,
};

/* --- reading the list --- */

struct line { const char *path; size_t dir_len; const char *target; mode_t mode; off_t size; };

static int by_dir_and_name(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	size_t n = x->dir_len < y->dir_len ? x->dir_len : y->dir_len;
	int c = memcmp(x->path, y->path, n);
	if (!c && x->dir_len != y->dir_len)
		return x->dir_len < y->dir_len ? -1 : 1;
	return c ? c : strcmp(x->path + x->dir_len, y->path + y->dir_len);
}

static char *slurp(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	struct stat st;
	if (!f || fstat(fileno(f), &st))
		return NULL;
	char *s = malloc((size_t)st.st_size + 1);
	*len = s ? fread(s, 1, (size_t)st.st_size, f) : 0;
	if (s)
		s[*len] = 0;
	fclose(f);
	return s;
}

static bool parse(struct line *l, char *s)
{
	char *field[5] = {s};
	for (int i = 1; i < 5; i++) {
		field[i] = strchr(field[i - 1], '\t');
		if (!field[i])
			return false;
		*field[i]++ = 0;
	}
	mode_t type = field[0][0] == 'd' ? S_IFDIR : field[0][0] == 'l' ? S_IFLNK : S_IFREG;
	const char *slash = strrchr(field[4], '/');
	*l = (struct line){
		.path = field[4], .dir_len = slash ? (size_t)(slash - field[4]) + 1 : 0, .target = field[3],
		.mode = type | (mode_t)strtoul(field[2], NULL, 8), .size = strtoll(field[1], NULL, 10),
	};
	return true;
}

/* The node of the directory of a line: its own line stands where its directory and name sort. */
static uint32_t dir_of(const struct line *lines, uint32_t n, const struct line *l)
{
	if (!l->dir_len)
		return 0;
	char path[4096];
	snprintf(path, sizeof path, "%.*s", (int)l->dir_len - 1, l->path);
	const char *slash = strrchr(path, '/');
	struct line key = {.path = path, .dir_len = slash ? (size_t)(slash - path) + 1 : 0};
	const struct line *found = bsearch(&key, lines, n, sizeof *lines, by_dir_and_name);
	return found ? (uint32_t)(found - lines) + 1 : UINT32_MAX;
}

static bool build(struct bare *b, char *text, size_t len)
{
	uint32_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += !text[i];
	struct line *lines = calloc(n + 1u, sizeof *lines);
	b->nodes = calloc(n + 1u, sizeof *b->nodes);
	b->n = n + 1;
	if (!lines || !b->nodes)
		return false;
	char *s = text;
	for (uint32_t i = 0; i < n; i++) {
		char *next = s + strlen(s) + 1;
		if (!parse(&lines[i], s))
			return false;
		s = next;
	}
	qsort(lines, n, sizeof *lines, by_dir_and_name);
	b->nodes[0] = (struct node){.name = "", .mode = S_IFDIR | 0555};
	uint32_t dir = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct line *l = &lines[i];
		if (!i || lines[i - 1].dir_len != l->dir_len || memcmp(lines[i - 1].path, l->path, l->dir_len))
			dir = dir_of(lines, n, l);
		if (dir == UINT32_MAX)
			return false;
		struct node *parent = &b->nodes[dir];
		if (!parent->count++)
			parent->first = i + 1;
		b->nodes[i + 1] = (struct node){.name = l->path + l->dir_len, .target = l->target, .parent = dir,
						.first = b->nodes[i + 1].first, .count = b->nodes[i + 1].count,
						.mode = l->mode, .size = l->size};
	}
	free(lines);
	return true;
}

int main(int argc, char **argv)
{
	struct bare b = {0};
	size_t len;
	if (argc != 3)
		return 2;
	char *text = slurp(argv[1], &len);
	if (!text || !build(&b, text, len)) {
		fprintf(stderr, "bare_fuse: cannot read the list '%s'\n", argv[1]);
		return 1;
	}
	char *args_[] = {argv[0], strdup("-o"),
			 strdup("ro,nosuid,nodev,default_permissions,fsname=bare,subtype=bare"), NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, args_);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, &b);
	if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, argv[2]))
		return 1;
	session_parallel_dirops(se);
	int r = session_loop(se);
	fuse_remove_signal_handlers(se);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	return r < 0;
}
