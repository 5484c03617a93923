/*
 * One directory, read with raw getdents64, classified by name and, where names are not enough, by stat and first
 * bytes.
 */
#include "core/lake/layout.h"

#include "core/format/format.h"
#include "core/lake/open.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

struct linux_dirent64 {
	uint64_t d_ino;
	int64_t d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

void listing_free(struct listing *l)
{
	free(l->names);
	free(l->entries);
	free(l->sets);
	free(l);
}

void listing_put(struct walker *w, struct listing *l)
{
	if (mem_grow(&w->spare, &w->spare_cap, w->n_spare + 1) < 0)
		listing_free(l);
	else
		w->spare[w->n_spare++] = l;
}

/* Names into l->names, each behind its type byte. */
static int read_names(struct walker *w, int fd, struct listing *l)
{
	for (;;) {
		long got = syscall(SYS_getdents64, fd, w->dents, LISTING_DENTS);
		if (got <= 0)
			return got < 0 ? -errno : 0;
		for (long at = 0; at < got;) {
			const struct linux_dirent64 *d = (const void *)(w->dents + at);
			at += d->d_reclen;
			const char *s = d->d_name;
			if (s[0] == '.' && (!s[1] || (s[1] == '.' && !s[2])))
				continue;
			size_t n = strlen(s) + 1;
			if (mem_grow(&l->names, &l->names_cap, l->names_len + n + 1) < 0)
				return -ENOMEM;
			l->names[l->names_len] = (char)d->d_type;
			memcpy(l->names + l->names_len + 1, s, n);
			l->names_len += n + 1;
			l->n++;
		}
	}
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return strcmp(x->name, y->name);
}

/* Entries from the names: what is no directory first, by name; then the directories, in no order. */
static int make_entries(struct listing *l)
{
	if (mem_grow(&l->entries, &l->cap, l->n) < 0)
		return -ENOMEM;
	size_t files = 0, dirs = l->n;
	for (size_t at = 0; at < l->names_len; at += strlen(l->names + at) + 1) {
		unsigned char type = (unsigned char)l->names[at++];
		struct entry *e = type == DT_DIR ? &l->entries[--dirs] : &l->entries[files++];
		*e = (struct entry){.name = l->names + at, .dir = type == DT_DIR, .link = type == DT_LNK,
				    .special = type != DT_DIR && type != DT_LNK && type != DT_REG};
		if (!e->dir)
			name_parse(&e->info, e->name);
	}
	l->n_files = files;
	if (files > 1)
		qsort(l->entries, files, sizeof *l->entries, by_name);
	return 0;
}

/* What the target of a link lies in, too: a link must not open to others what a directory closes. */
static int target_in(struct walker *w, int fd, struct entry *e)
{
	char self[32], real[PATH_MAX];
	snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(self, real, sizeof real - 1);
	if (n < 0)
		return -errno;
	real[n] = 0;
	return walk_in_target(w, real, &e->in);
}

/* The kind that the directory did not tell (d_type unknown on some file systems), and links followed. 0 or -errno. */
static int stat_entry(struct walker *w, const struct place *p, int fd, struct entry *e, bool unknown)
{
	struct stat st;
	int r = 0;
	if (unknown) {
		if (fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		e->link = S_ISLNK(st.st_mode);
	}
	if (e->link && w->lake->contain) {
		cleanup_free char *path = path_join(p->path, e->name);
		if (!path)
			return -ENOMEM;
		cleanup_fd int at = lake_open_at(w->lake, p->root, path, O_PATH);
		r = at < 0 ? at : fstat(at, &st) < 0 ? -errno : target_in(w, at, e);
	} else if (!unknown || e->link) {
		r = fstatat(fd, e->name, &st, 0) < 0 ? -errno : 0;
	}
	if (r < 0)
		return r;
	bool dir = S_ISDIR(st.st_mode);
	e->linked_dir = dir && e->link;
	e->dir = dir && !e->link;
	e->special = !dir && !S_ISREG(st.st_mode);
	e->mode = st.st_mode & 07777;
	e->uid = st.st_uid;
	e->gid = st.st_gid;
	e->id = io_id_of(&st);
	return 0;
}

static const char *broken_reason(int code)
{
	return code == -ELOOP ? "a link that leads in a circle" :
	       code == -EXDEV ? "a link out of the lake, to where no 'allow=' permits" :
	       code == -EACCES ? "a link to where reading is not permitted" : "a dangling link";
}

static int not_weights(struct walker *w, const struct place *p, struct entry *e, const char *reason)
{
	e->info.kind = SCAN_OTHER;
	e->info.unsure = false;
	e->info.unread = NULL;
	return reason && !p->quiet ? walk_unread(w, p->root, p->path, e->name, e->id.size, reason) : 0;
}

/* Weights by name that are a Git LFS pointer; files whose name says nothing, and what they are by content. */
static int look_inside(struct walker *w, const struct place *p, struct entry *e)
{
	static const char lfs[] = "version https://git-lfs";
	bool pointer = e->id.size >= sizeof lfs && e->id.size <= 1024, weights = e->info.kind == SCAN_WEIGHTS;
	char head[sizeof lfs - 1];
	struct err ignored = ERR_INIT;
	if (!(pointer && weights) && !(e->info.unsure && e->id.size >= 8))
		return weights || !e->info.unsure ? 0 : not_weights(w, p, e, NULL);
	cleanup_free char *path = path_join(p->path, e->name);
	if (!path)
		return -ENOMEM;
	cleanup_io struct io io = IO_INIT;
	if (lake_open_file(w->lake, p->root, path, &io, &ignored) < 0)
		return weights ? 0 : not_weights(w, p, e, NULL);
	if (pointer && io_pread(&io, head, sizeof head, 0, &ignored) == 0 && memcmp(head, lfs, sizeof head) == 0)
		return not_weights(w, p, e, weights ? "a Git LFS pointer: the weights were not downloaded" : NULL);
	if (!e->info.unsure)
		return 0;
	const struct format *f = format_probe(&io, &ignored);
	if (!f)
		return not_weights(w, p, e, weights ? "of no known format" :
		    *e->info.ext ? "an archive is not unpacked" : NULL);
	name_by_format(&e->info, e->name, f->name);
	return 0;
}

static int settle(struct walker *w, const struct place *p, int fd, struct entry *e, bool unknown)
{
	if (e->dir)
		return 0;
	bool links = e->link && !(p->hub && !e->info.unsure);
	if (unknown || links || (!w->names_only && !e->special)) {
		int r = stat_entry(w, p, fd, e, unknown);
		if (r == -ENOMEM)
			return r;
		e->broken = r < 0;
		if (r < 0 && !e->link)
			return not_weights(w, p, e, r == -ENOENT ? NULL : "cannot be examined");
		if (r < 0)
			return not_weights(w, p, e, broken_reason(r));
	}
	if (e->dir || e->linked_dir)
		return 0;
	if (e->special)
		return not_weights(w, p, e,
		    e->info.kind != SCAN_OTHER ? "not a regular file: a FIFO, socket or device" : NULL);
	w->files++;
	w->bytes += e->id.size;
	if (e->info.unread)
		return not_weights(w, p, e, e->info.unread);
	if (!w->names_only && !p->blobs)
		return look_inside(w, p, e);
	return e->info.kind == SCAN_WEIGHTS || !e->info.unsure ? 0 : not_weights(w, p, e, NULL);
}

/* The lake's own directory does not count: who it is opened to was settled by whoever mounts. */
static int place_in(struct walker *w, const struct place *p, struct listing *l, int fd)
{
	struct stat st;
	if (w->names_only || !*p->path)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	l->in = walk_in(w, &st, p->in);
	return l->in ? 0 : -ENOMEM;
}

static int fill(struct walker *w, const struct place *p, struct listing *l, int fd)
{
	int r = place_in(w, p, l, fd);
	if (r == 0)
		r = read_names(w, fd, l);
	if (r < 0)
		return r;
	r = make_entries(l);
	if (r == 0 && *p->path && listing_find(l, "CACHEDIR.TAG") && lake_is_view(fd)) {
		l->n = l->n_files = 0;
		return walk_unread(w, p->root, p->path, "", 0, "a mount of tarn: what it shows lies elsewhere");
	}
	for (size_t i = 0; i < l->n && r == 0; i++) {
		struct entry *e = &l->entries[i];
		e->in = l->in;
		r = settle(w, p, fd, e, !e->dir && (unsigned char)e->name[-1] == DT_UNKNOWN);
	}
	return r;
}

static const char *unlisted_reason(int code)
{
	return code == -EACCES ? "a directory that may not be read" :
	       code == -ENAMETOOLONG ? "a path longer than 4095 bytes" : "a directory that cannot be read";
}

int listing_get(struct walker *w, const struct place *p, struct listing **out)
{
	struct listing *l = w->n_spare ? w->spare[--w->n_spare] : mem_alloc(sizeof *l);
	if (!l)
		return -ENOMEM;
	l->n = l->n_files = l->names_len = l->n_sets = 0;
	l->rows = w->n_unread;
	l->in = p->in;
	int r = 0;
	cleanup_fd int fd = lake_open_at(w->lake, p->root, p->path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		r = fd;
	else if (!p->external || walk_first_visit(w, fd, &r))
		r = r < 0 ? r : fill(w, p, l, fd);
	if (r < 0)
		l->n = l->n_files = 0;
	if (r < 0 && r != -ENOMEM && *p->path)
		r = r == -ENOENT ? 0 : walk_unread(w, p->root, p->path, "", 0, unlisted_reason(r));
	if (r < 0)
		listing_put(w, l);
	else
		*out = l;
	return r;
}

const struct entry *listing_find(const struct listing *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (!l->entries[i].dir && strcmp(l->entries[i].name, name) == 0)
			return &l->entries[i];
	return NULL;
}

bool listing_has_dir(const struct listing *l, const char *name)
{
	for (size_t i = l->n; i--;)
		if (l->entries[i].dir && strcmp(l->entries[i].name, name) == 0)
			return true;
	return false;
}
