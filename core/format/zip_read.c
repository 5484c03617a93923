/*
 * Reading entries of a zip. Deflate has no random access: a few cursors remember where they stand in
 * which entry, so that reading forwards, in any number of pieces, inflates every byte once.
 */
#include "core/format/zip.h"
#include "core/format/zip_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <zlib.h>

enum { CURSORS = 4, INPUT = 16384, SKIP = 16384 };

struct inflating {
	z_stream zs;
	const struct zip_entry *entry;	/* NULL: fresh */
	uint64_t in, out;		/* how far in the stored and in the inflated bytes */
	uint64_t used;			/* when last */
	bool live, busy;
	unsigned char buf[INPUT];
};

struct zip_cursor {
	pthread_mutex_t lock;
	uint64_t clock;
	struct inflating *at[CURSORS];
};

static void *z_alloc(void *opaque, unsigned n, unsigned size)
{
	(void)opaque;
	return mem_array(n, size);
}

static void z_free(void *opaque, void *p)
{
	(void)opaque;
	free(p);
}

static void inflating_free(struct inflating *c)
{
	if (c && c->live)
		inflateEnd(&c->zs);
	free(c);
}

struct zip_cursor *zip_cursors_new(void)
{
	struct zip_cursor *k = mem_alloc(sizeof *k);
	if (k)
		pthread_mutex_init(&k->lock, NULL);
	return k;
}

void zip_cursors_free(struct zip_cursor *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < CURSORS; i++)
		inflating_free(k->at[i]);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* The cursor nearest before `off` in the entry, else the one longest unused, else (all busy) a new one of the caller's own. */
static struct inflating *take(struct zip_cursor *k, const struct zip_entry *entry, uint64_t off)
{
	struct inflating *best = NULL;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < CURSORS; i++) {
		struct inflating *c = k->at[i];
		if (c && !c->busy && c->live && c->entry == entry && c->out <= off && (!best || c->out > best->out))
			best = c;
	}
	size_t slot = CURSORS;
	for (size_t i = 0; i < CURSORS && !best; i++)
		if (!k->at[i])
			slot = i;
	if (!best && slot == CURSORS)
		for (size_t i = 0; i < CURSORS; i++)
			if (!k->at[i]->busy && (!best || k->at[i]->used < best->used))
				best = k->at[i];
	if (!best) {
		best = mem_alloc(sizeof *best);
		if (best && slot < CURSORS)
			k->at[slot] = best;
	}
	if (best) {
		best->busy = true;
		best->used = ++k->clock;
	}
	pthread_mutex_unlock(&k->lock);
	return best;
}

static void put(struct zip_cursor *k, struct inflating *c)
{
	bool kept = false;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < CURSORS; i++)
		kept |= k->at[i] == c;
	c->busy = false;
	pthread_mutex_unlock(&k->lock);
	if (!kept)
		inflating_free(c);
}

static int start(struct inflating *c, const struct zip_entry *entry, struct err *e)
{
	if (!c->live) {
		c->zs = (z_stream){.zalloc = z_alloc, .zfree = z_free};
		if (inflateInit2(&c->zs, -MAX_WBITS) != Z_OK)
			return err_nomem(e);
		c->live = true;
	} else {
		inflateReset(&c->zs);
	}
	c->zs.avail_in = 0;
	c->entry = entry;
	c->in = c->out = 0;
	return 0;
}

static int spend(const struct zip *z, size_t n, struct err *e)
{
	uint64_t *left = z->inflatable;
	if (!left || *left == UINT64_MAX)
		return 0;
	if (n > *left)
		return err_set(e, EFBIG, "opening would inflate far more than the file has");
	*left -= n;
	return 0;
}

/* The next n bytes of output. */
static int produce(struct inflating *c, unsigned char *out, size_t n, struct err *e)
{
	const struct zip_entry *t = c->entry;
	int paid = spend(t->zip, n, e);
	if (paid < 0)
		return paid;
	while (n) {
		if (!c->zs.avail_in) {
			size_t len = MIN(t->stored - c->in, (uint64_t)INPUT);
			int r = source_pread(&t->zip->src, c->buf, len, t->data + c->in, e);
			if (r < 0)
				return r;
			c->zs.next_in = c->buf;
			c->zs.avail_in = (unsigned)len;
			c->in += len;
		}
		unsigned want = (unsigned)MIN(n, (size_t)1 << 30);
		c->zs.next_out = out;
		c->zs.avail_out = want;
		int z = inflate(&c->zs, Z_NO_FLUSH);
		size_t got = want - c->zs.avail_out;
		out += got;
		n -= got;
		c->out += got;
		if (z == Z_MEM_ERROR)
			return err_nomem(e);
		if (n && (z != Z_OK || (!got && !c->zs.avail_in && c->in == t->stored)))
			return err_at(e, EINVAL, source_pos(&t->zip->src, t->data),
				      "%.100s: expected %" PRIu64 " inflated bytes, found %" PRIu64 " and %s%s",
				      t->name, t->size, c->out,
				      z == Z_STREAM_END   ? "its end"
				      : z == Z_DATA_ERROR ? "bad deflate data"
							  : "no more input",
				      t->flagged ? " (it says that it is encrypted)" : "");
	}
	return 0;
}

static int forward(struct inflating *c, uint64_t off, struct err *e)
{
	unsigned char skip[SKIP];
	while (c->out < off) {
		int r = produce(c, skip, (size_t)MIN(off - c->out, (uint64_t)SKIP), e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_deflated(const void *ctx, void *out, size_t len, uint64_t off, struct err *e)
{
	const struct zip_entry *entry = ctx;
	struct zip_cursor *k = entry->zip->cursors;
	struct inflating *c = take(k, entry, off);
	if (!c)
		return err_nomem(e);
	int r = 0;
	if (!c->live || c->entry != entry || c->out > off)
		r = start(c, entry, e);
	if (!r)
		r = forward(c, off, e);
	if (!r)
		r = produce(c, out, len, e);
	if (r < 0)
		c->entry = NULL;
	put(k, c);
	return r;
}

int zip_source(const struct zip_entry *entry, struct source *out, struct err *e)
{
	if (entry->refused)
		return err_at(e, ENOTSUP, source_pos(&entry->zip->src, entry->header), "%.100s: %s", entry->name,
			      entry->refused);
	*out = entry->method == 0 ? source_part(&entry->zip->src, entry->data, entry->size)
		: (struct source){.read = read_deflated, .ctx = entry, .size = entry->size};
	return 0;
}

int zip_slurp(const struct zip_entry *entry, uint64_t max, char **out, size_t *len, struct err *e)
{
	struct source s;
	int r = zip_source(entry, &s, e);
	if (r < 0)
		return r;
	if (s.size > max)
		return err_set(e, EFBIG, "%.100s: %" PRIu64 " bytes, at most %" PRIu64 " are read", entry->name, s.size,
			       max);
	cleanup_free char *p = mem_alloc(s.size + 1);
	if (!p)
		return err_nomem(e);
	r = source_pread(&s, p, s.size, 0, e);
	if (r < 0)
		return r;
	*len = s.size;
	*out = steal(&p);
	return 0;
}

int zip_check(const struct zip_entry *entry, struct err *e)
{
	unsigned char buf[SKIP];
	struct source s;
	uLong crc = crc32(0, NULL, 0);
	int r = zip_source(entry, &s, e);
	for (uint64_t at = 0, n; !r && at < s.size; at += n) {
		n = MIN(s.size - at, (uint64_t)sizeof buf);
		r = source_pread(&s, buf, n, at, e);
		if (!r)
			crc = crc32(crc, buf, (unsigned)n);
	}
	return r < 0 ? r : crc == entry->crc;
}
