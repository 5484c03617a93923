/* The result of a sweep as one blob: a head, then a fixed record and a name for each tensor. Little-endian, like the
 * memory. */
#include "core/analysis/exact.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char magic[4] = {'T', 'R', 'N', 'X'};

struct head { char magic[4]; uint32_t version; uint64_t n; };

struct record {
	uint64_t elements, zeros, nonfinite, hi, lo;
	double fact[6 + EXACT_QUANTILES];
	uint32_t values, name;	/* name: length; its bytes follow */
};

int exact_encode(const struct exact *x, struct buf *out, struct err *e)
{
	struct head h = {.version = EXACT_VERSION, .n = x->n};
	memcpy(h.magic, magic, sizeof magic);
	buf_add(out, &h, sizeof h);
	for (size_t i = 0; i < x->n; i++) {
		const struct exact_tensor *t = &x->tensors[i];
		size_t len = strlen(t->name);
		struct record r = {
			t->elements, t->zeros, t->nonfinite, t->hash.hi, t->hash.lo,
			{t->mean, t->std, t->min, t->max, t->l2, t->kurtosis}, t->values, (uint32_t)len,
		};
		memcpy(r.fact + 6, t->quantile, sizeof t->quantile);
		buf_add(out, &r, sizeof r);
		buf_add(out, t->name, len);
	}
	return buf_failed(out) ? err_nomem(e) : 0;
}

static int decode_one(struct exact *x, struct exact_tensor *t, const char *blob, size_t len, size_t *at, struct err *e)
{
	struct record r;
	if (len - *at < sizeof r)
		return err_at(e, EINVAL, *at, "expected a record of %zu bytes, %zu are left", sizeof r, len - *at);
	memcpy(&r, blob + *at, sizeof r);
	*at += sizeof r;
	if (len - *at < r.name || memchr(blob + *at, 0, r.name))
		return err_at(e, EINVAL, *at, "expected a name of %" PRIu32 " bytes", r.name);
	if (r.zeros > r.elements || r.nonfinite > r.elements || r.values > 1)
		return err_at(e, EINVAL, *at - sizeof r, "more zeros than elements");
	*t = (struct exact_tensor){
		.elements = r.elements,
		.zeros = r.zeros,
		.nonfinite = r.nonfinite,
		.hash = {r.hi, r.lo},
		.mean = r.fact[0],
		.std = r.fact[1],
		.min = r.fact[2],
		.max = r.fact[3],
		.l2 = r.fact[4],
		.kurtosis = r.fact[5],
		.values = r.values,
	};
	memcpy(t->quantile, r.fact + 6, sizeof t->quantile);
	t->name = arena_strndup(&x->arena, blob + *at, r.name);
	*at += r.name;
	return t->name ? 0 : err_nomem(e);
}

int exact_decode(struct exact *x, const void *blob, size_t len, struct err *e)
{
	struct head h;
	size_t at = sizeof h;
	*x = (struct exact){0};
	if (len < sizeof h)
		return err_at(e, EINVAL, 0, "expected at least %zu bytes, found %zu", sizeof h, len);
	memcpy(&h, blob, sizeof h);
	if (memcmp(h.magic, magic, sizeof magic))
		return err_at(e, EINVAL, 0, "not a result of a sweep");
	if (h.version != EXACT_VERSION)
		return err_at(e, ESTALE, 4, "expected version %d, found %" PRIu32, EXACT_VERSION, h.version);
	if (h.n > (len - sizeof h) / sizeof(struct record))
		return err_at(e, EINVAL, 8, "%" PRIu64 " tensors do not fit %zu bytes", h.n, len);
	x->tensors = arena_array(&x->arena, h.n, sizeof *x->tensors);
	int r = x->tensors ? 0 : err_nomem(e);
	for (; x->n < h.n && !r; x->n++)
		r = decode_one(x, &x->tensors[x->n], blob, len, &at, e);
	if (!r && at != len)
		r = err_at(e, EINVAL, at, "%zu bytes follow the last tensor", len - at);
	if (r < 0)
		exact_release(x);
	return r;
}
