/*
 * The Hugging Face hub's cache: models--ORG--NAME/{blobs,refs,snapshots/REV}. The revision that
 * refs/main names is ORG/NAME (without it the newest), any other ORG/NAME@REV; files are links into
 * blobs, which are looked at only for downloads that never ended.
 */
#include "core/lake/layouts_internal.h"

#include "core/lake/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DOWNLOAD_DEPTH = 8 };	/* of directories in a repository */

static bool is_dots(const char *s, size_t n)
{
	return n && n <= 2 && strspn(s, ".") >= n;
}

static bool match(const struct walker *w, const struct place *p, const struct listing *l)
{
	const char *name = place_name(w, p);
	if (strncmp(name, "models--", 8) || !name[8] || !listing_has_dir(l, "snapshots"))
		return false;
	name += 8;
	const char *cut = strstr(name, "--");	/* neither part may lead out of models/ */
	return !is_dots(name, cut ? (size_t)(cut - name) : strlen(name)) && !(cut && is_dots(cut + 2, strlen(cut + 2)));
}

/* "models--org--name": "org/name". Only the first "--" divides: names may hold others. */
static char *hub_id(const char *dir)
{
	const char *name = dir + strlen("models--"), *cut = strstr(name, "--");
	if (!cut || cut == name || !cut[2])
		return mem_strdup(name);
	char *id = mem_alloc(strlen(name) + 1);
	if (id)
		stpcpy(stpcpy(mempcpy(id, name, (size_t)(cut - name)), "/"), cut + 2);
	return id;
}

/* The revision in refs/main; "" when it cannot be read. */
static void main_revision(const struct walker *w, const struct place *p, char out[256])
{
	struct err ignored;
	cleanup_io struct io io = IO_INIT;
	out[0] = 0;
	cleanup_free char *path = path_join(p->path, "refs/main");
	if (!path || lake_open_file(w->lake, p->root, path, &io, &ignored) < 0)
		return;
	size_t n = MIN(io.size, 255u);
	if (io_pread(&io, out, n, 0, &ignored) < 0)
		n = 0;
	out[n] = 0;
	out[strcspn(out, "\r\n ")] = 0;
}

static int64_t age_of(const struct walker *w, const struct place *p, const char *name)
{
	struct stat st;
	cleanup_free char *path = path_join(p->path, name);
	cleanup_fd int fd = path ? lake_open_at(w->lake, p->root, path, O_PATH) : -1;
	return fd >= 0 && fstat(fd, &st) == 0 ? io_id_of(&st).mtime_ns : INT64_MIN;
}

/* Which snapshot the plain id stands for: index into the listing, l->n when there is none. */
static size_t current(const struct walker *w, const struct place *p, const struct place *snapshots,
		      const struct listing *l)
{
	size_t best = l->n, dirs = 0;
	char ref[256];
	for (size_t i = 0; i < l->n; i++)
		if (l->entries[i].dir) {
			best = i;
			dirs++;
		}
	if (dirs < 2)
		return best;
	main_revision(w, p, ref);
	int64_t newest = INT64_MIN;
	best = l->n;
	for (size_t i = 0; i < l->n; i++) {
		if (!l->entries[i].dir)
			continue;
		if (strcmp(l->entries[i].name, ref) == 0)
			return i;
		int64_t t = age_of(w, snapshots, l->entries[i].name);
		bool before = best < l->n && strcmp(l->entries[i].name, l->entries[best].name) < 0;
		if (best == l->n || t > newest || (t == newest && before)) {
			newest = t;
			best = i;
		}
	}
	return best;
}

static int take_snapshot(struct walker *w, const struct place *snapshots, const char *rev, const char *id, bool plain)
{
	struct place p = *snapshots;
	cleanup_free char *path = path_join(snapshots->path, rev);
	cleanup_free char *full = plain ? mem_strdup(id) : mem_alloc(strlen(id) + strlen(rev) + 2);
	if (!path || !full)
		return -ENOMEM;
	if (!plain)
		stpcpy(stpcpy(stpcpy(full, id), "@"), rev);
	p.path = path;
	p.id = full;
	p.revision = rev;
	p.layout = "hub-cache";
	p.hub = true;
	return walk_place(w, &p);
}

static int take_snapshots(struct walker *w, struct place *p)
{
	cleanup_free char *path = path_join(p->path, "snapshots"), *id = hub_id(place_name(w, p));
	if (!path || !id)
		return -ENOMEM;
	struct place snapshots = *p;
	snapshots.path = snapshots.id = path;
	struct listing *l;
	int r = listing_get(w, &snapshots, &l);
	if (r < 0)
		return r;
	snapshots.in = l->in;
	size_t plain = current(w, p, &snapshots, l);
	for (size_t i = 0; i < l->n && r == 0; i++)
		if (l->entries[i].dir)
			r = take_snapshot(w, &snapshots, l->entries[i].name, id, i == plain);
	listing_put(w, l);
	return r;
}

/* Downloads that never ended; listing has written their rows when it is done. */
static int look_at_blobs(struct walker *w, const struct place *p)
{
	cleanup_free char *path = path_join(p->path, "blobs");
	if (!path)
		return -ENOMEM;
	struct place blobs = *p;
	blobs.path = blobs.id = path;
	blobs.blobs = true;
	struct listing *l;
	int r = listing_get(w, &blobs, &l);
	if (r == 0)
		listing_put(w, l);
	return r;
}

/* What is in a directory below p: *path is to be freed, *l to be put back. */
static int look_below(struct walker *w, const struct place *p, const char *dir, char **path, struct place *below,
		      struct listing **l)
{
	*path = path_join(p->path, dir);
	if (!*path)
		return -ENOMEM;
	*below = *p;
	below->path = below->id = *path;
	below->owner = NULL;
	below->blobs = true;
	return listing_get(w, below, l);
}

static int downloads_in(struct walker *w, const struct place *p, const char *dir, unsigned depth)
{
	cleanup_free char *path = NULL;
	struct place below;
	struct listing *l;
	int r = look_below(w, p, dir, &path, &below, &l);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n && r == 0 && depth; i++)
		if (l->entries[i].dir)
			r = downloads_in(w, &below, l->entries[i].name, depth - 1);
	listing_put(w, l);
	return r;
}

/* Does dir have a directory of this name, and no link to one? 1, 0 or -errno. */
static int holds(struct walker *w, const struct place *p, const char *dir, const char *name)
{
	cleanup_free char *path = NULL;
	struct place below;
	struct listing *l;
	int r = look_below(w, p, dir, &path, &below, &l);
	if (r < 0)
		return r;
	r = listing_has_dir(l, name);
	listing_put(w, l);
	return r;
}

int walk_downloads(struct walker *w, const struct place *p)
{
	if (w->names_only)
		return 0;
	int r = holds(w, p, ".cache", "huggingface");
	if (r == 1)
		r = holds(w, p, ".cache/huggingface", "download");
	return r == 1 ? downloads_in(w, p, ".cache/huggingface/download", DOWNLOAD_DEPTH) : r;
}

static int take(struct walker *w, struct place *p, struct listing *l)
{
	int r = take_snapshots(w, p);
	return r == 0 && listing_has_dir(l, "blobs") ? look_at_blobs(w, p) : r;
}

const struct layout layout_hub = {.name = "hub-cache", .match = match, .take = take};
