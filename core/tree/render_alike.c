/*
 * Are two files, two models' tensors the same, without a pass over large ones? What a pass has told before decides;
 * small ones are read; of large ones seeded blocks are compared, at the same places in both. Asked only of models whose
 * signatures agree, that is, whose headers and sampled values do.
 */
#include "core/base/mem.h"
#include "core/tree/exacts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	READ_WHOLE = 16 << 20,	/* as a signature does */
	BLOCK = 4096,
	BLOCKS = 256,		/* of a file */
	TENSORS_SAMPLE = 2 << 20,	/* bytes, of a model's tensors together */
	LEAST = 64,		/* of a tensor */
};

/* Where the ith of n blocks begins: one in each nth of the whole, the first and the last at its ends. */
static uint64_t place(uint64_t size, uint64_t i, uint64_t n, uint64_t block)
{
	uint64_t room = size - block, part = room / n, at = i * part;
	if (i == 0 || i + 1 == n)
		return i ? room : 0;
	return at + (part ? hash_mix(size * 31 + i) % part : 0);
}

/* 1, 0, -EIO and the like. */
static int same_blocks(const struct io *x, const struct io *y, const struct cancel *cancel, struct err *e)
{
	unsigned char a[BLOCK], b[BLOCK];
	for (uint64_t i = 0; i < BLOCKS; i++) {
		uint64_t at = place(x->size, i, BLOCKS, BLOCK);
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "cancelled");
		int r = io_pread(x, a, BLOCK, at, e);
		if (!r)
			r = io_pread(y, b, BLOCK, at, e);
		if (r < 0 || memcmp(a, b, BLOCK))
			return r;
	}
	return 1;
}

int alike_files(struct render *r, const struct exact_place *x, const struct exact_place *y)
{
	struct hash128 hx, hy;
	struct err e = ERR_INIT;
	cleanup_io struct io a = IO_INIT;
	cleanup_io struct io b = IO_INIT;
	if (x->file->id.size != y->file->id.size)
		return 0;
	bool known = exact_hash_known(r, x->file, &hx) && exact_hash_known(r, y->file, &hy);
	int rc = 0;
	if (!known && x->file->id.size <= READ_WHOLE) {
		rc = exact_hash(r, x->root, x->file, &hx, &e);
		if (!rc)
			rc = exact_hash(r, y->root, y->file, &hy, &e);
		known = !rc;
	}
	if (known || rc < 0)
		return rc < 0 ? rc : !hash128_cmp(hx, hy);
	rc = lake_open_file(tree_lake(r->tree), x->root, x->file->path, &a, &e);
	if (!rc)
		rc = lake_open_file(tree_lake(r->tree), y->root, y->file->path, &b, &e);
	if (!rc && a.size == b.size && a.size > BLOCK)
		rc = same_blocks(&a, &b, r->cancel, &e);
	return rc;
}

/* --- tensors, whatever they are called --- */

struct sample { uint64_t elements; struct hash128 hash; };

static int by_sample(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	if (x->elements != y->elements)
		return x->elements < y->elements ? -1 : 1;
	return hash128_cmp(x->hash, y->hash);
}

static bool same_samples(struct sample *x, size_t nx, struct sample *y, size_t ny)
{
	if (nx != ny)
		return false;
	qsort(x, nx, sizeof *x, by_sample);
	qsort(y, ny, sizeof *y, by_sample);
	for (size_t i = 0; i < nx; i++)
		if (by_sample(&x[i], &y[i]))
			return false;
	return true;
}

/* Blocks of one tensor; which, its size says and the room there is. */
static int tensor_sample(struct sample *s, const struct weights *w, const struct tensor *t, uint64_t room,
			 const struct cancel *cancel, struct err *e)
{
	unsigned char block[BLOCK];
	uint64_t size = MIN((uint64_t)BLOCK, room), n = MAX(room / BLOCK, (uint64_t)1);
	size = MIN(size, t->bytes);
	struct hash_state *h = hash_new();
	int rc = h ? 0 : err_nomem(e);
	for (uint64_t i = 0; i < n && size && !rc; i++) {
		rc = cancel_asked(cancel) ? err_set(e, ECANCELED, "cancelled") :
					    weights_read_raw(w, t, place(t->bytes, i, n, size), size, block, e);
		if (!rc)
			hash_update(h, block, size);
	}
	if (h) {
		uint64_t facts[] = {t->bytes, t->dtype};
		hash_update(h, facts, sizeof facts);
		*s = (struct sample){t->elements, hash_digest(h)};
		hash_free(h);
	}
	return rc;
}

static int sample_model(struct render *r, const struct view_model *m, struct sample **out, size_t *n)
{
	struct opened o;
	int rc = open_model(r, m, &o);
	if (rc < 0)
		return rc;
	const struct weights *w = &o.inspect.weights;
	uint64_t room = w->n_tensors ? TENSORS_SAMPLE / w->n_tensors : 0;
	room = MAX(room, (uint64_t)LEAST);
	*n = w->n_tensors;
	*out = mem_array(MAX(*n, (size_t)1), sizeof **out);
	rc = *out ? 0 : err_nomem(r->err);
	for (size_t i = 0; i < *n && !rc; i++)
		rc = tensor_sample(&(*out)[i], w, &w->tensors[i], room, r->cancel, r->err);
	opened_release(&o);
	return rc;
}

static struct sample *samples_of(const struct exact *x)
{
	struct sample *s = mem_array(MAX(x->n, (size_t)1), sizeof *s);
	for (size_t i = 0; i < x->n && s; i++)
		s[i] = (struct sample){x->tensors[i].elements, x->tensors[i].hash};
	return s;
}

/* Full hashes, where both are known, or may be read. -EAGAIN: they are not. */
static int same_exactly(struct render *r, const struct view_model *a, const struct view_model *b, bool read)
{
	struct exact x, y;
	int rc = read ? exact_get(r, a, &x) : exact_known(r, a, &x);
	if (rc < 0)
		return rc;
	rc = read ? exact_get(r, b, &y) : exact_known(r, b, &y);
	if (rc < 0) {
		exact_release(&x);
		return rc;
	}
	cleanup_free struct sample *s = samples_of(&x);
	cleanup_free struct sample *t = samples_of(&y);
	rc = s && t ? same_samples(s, x.n, t, y.n) : err_nomem(r->err);
	exact_release(&x);
	exact_release(&y);
	return rc;
}

int alike_tensors(struct render *r, const struct view_model *a, const struct view_model *b, uint64_t bytes)
{
	cleanup_free struct sample *x = NULL;
	cleanup_free struct sample *y = NULL;
	size_t nx, ny;
	int rc = same_exactly(r, a, b, false);
	if (rc != -EAGAIN)
		return rc;
	if (bytes <= READ_WHOLE)
		return same_exactly(r, a, b, true);
	rc = sample_model(r, a, &x, &nx);
	if (!rc)
		rc = sample_model(r, b, &y, &ny);
	return rc < 0 ? rc : same_samples(x, nx, y, ny);
}
