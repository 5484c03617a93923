/*
 * signature_encode and signature_decode. Little-endian:
 *   "TSIG" version layers n_roles n_parts (u32 each) parameters (u64) key (2 u64) sketch
 *   roles: u16 length and bytes each; parts: see put_part; values in 2 bytes where bf16 or f16 hold all of a part's exactly.
 */
#include "core/analysis/sigblob.h"

#include "core/analysis/rounding.h"
#include "core/analysis/sample.h"


#include <errno.h>
#include <string.h>

enum { AS_BF16, AS_F16, AS_F32 };

uint64_t sigpart_grid(const struct sigpart *p)
{
	return hash64(p->row, p->nr * sizeof *p->row, hash64(p->col, p->nc * sizeof *p->col, p->nr));
}

struct hash128 sigblob_key(const struct signature *s)
{
	struct hash_state *h = hash_new();
	if (!h)
		return (struct hash128){0, 0};
	hash_update(h, &s->version, sizeof s->version);
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		uint64_t facts[] = {p->role_hash,
				    (uint64_t)(int64_t)p->layer,
				    (uint64_t)(int64_t)p->expert,
				    p->dtype,
				    p->rows,
				    p->cols,
				    p->grid,
				    p->content,
				    p->sorted_rows,
				    p->sorted_cols};
		hash_update(h, facts, sizeof facts);
		hash_update(h, p->v, (size_t)p->nr * p->nc * sizeof *p->v);
	}
	struct hash128 out = hash_digest(h);
	hash_free(h);
	return out;
}

static uint32_t bits(float f)
{
	union { float f; uint32_t u; } v = {.f = f};
	return v.u;
}

static int storage_of(const float *v, size_t n)
{
	bool bf16 = true, f16 = true;
	for (size_t i = 0; i < n && (bf16 || f16); i++) {
		bf16 = bf16 && !(bits(v[i]) & 0xffff);
		f16 = f16 && bits(dtype_round(v[i], DTYPE_F16)) == bits(v[i]);
	}
	return bf16 ? AS_BF16 : f16 ? AS_F16 : AS_F32;
}

/* The host is little-endian on every platform that is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "signatures are stored little-endian");

static void put(struct buf *b, const void *v, size_t n) { buf_add(b, v, n); }
static void put32(struct buf *b, uint32_t v) { put(b, &v, sizeof v); }
static void put64(struct buf *b, uint64_t v) { put(b, &v, sizeof v); }

static void put_values(struct buf *b, const struct sigpart *p, int as)
{
	size_t n = (size_t)p->nr * p->nc;
	if (as == AS_F32) {
		put(b, p->v, n * sizeof *p->v);
		return;
	}
	uint16_t h[512];
	for (size_t i = 0, k; i < n; i += k) {
		k = MIN(n - i, COUNT(h));
		for (size_t j = 0; j < k; j++)
			h[j] = as == AS_BF16 ? (uint16_t)(bits(p->v[i + j]) >> 16) : f32_to_f16(p->v[i + j]);
		put(b, h, k * sizeof *h);
	}
}

static void put_part(struct buf *b, const struct sigpart *p, uint32_t role)
{
	int as = storage_of(p->v, (size_t)p->nr * p->nc);
	put32(b, role);
	put32(b, (uint32_t)p->layer);
	put32(b, (uint32_t)p->expert);
	put32(b, p->tensor);
	put32(b, (uint32_t)p->dtype | (uint32_t)p->flags << 8 | (uint32_t)as << 16);
	put64(b, p->rows);
	put64(b, p->cols);
	put32(b, p->nr);
	put32(b, p->nc);
	put64(b, p->sorted_rows);
	put64(b, p->sorted_cols);
	put64(b, p->sorted_all);
	put64(b, p->content);
	put64(b, p->name);
	put32(b, bits(p->nonfinite));
	if (p->nr < p->rows)
		put(b, p->row, p->nr * sizeof *p->row);
	if (p->nc < p->cols)
		put(b, p->col, p->nc * sizeof *p->col);
	put_values(b, p, as);
}

int signature_encode(const struct signature *s, struct buf *out, struct err *e)
{
	uint32_t roles = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		roles += !i || s->parts[i].role_hash != s->parts[i - 1].role_hash;
	put(out, "TSIG", 4);
	put32(out, s->version);
	put32(out, s->layers);
	put32(out, roles);
	put32(out, (uint32_t)s->n_parts);
	put64(out, s->parameters);
	put64(out, s->key.hi);
	put64(out, s->key.lo);
	put(out, s->sketch.scale, sizeof s->sketch.scale);
	put(out, s->sketch.v, sizeof s->sketch.v);
	put64(out, s->sketch.shape);
	put32(out, s->sketch.parts);
	put64(out, s->sketch.invariant);
	put(out, s->sketch.content, sizeof s->sketch.content);
	for (size_t i = 0; i < s->n_parts; i++) {
		if (i && s->parts[i].role_hash == s->parts[i - 1].role_hash)
			continue;
		uint16_t n = (uint16_t)MIN(strlen(s->parts[i].role), (size_t)UINT16_MAX);
		put(out, &n, sizeof n);
		put(out, s->parts[i].role, n);
	}
	uint32_t role = 0;
	for (size_t i = 0; i < s->n_parts; i++) {
		role += i && s->parts[i].role_hash != s->parts[i - 1].role_hash;
		put_part(out, &s->parts[i], role);
	}
	return buf_failed(out) ? err_nomem(e) : 0;
}

/* A cursor over bytes that may say anything. */
struct cursor { const unsigned char *p; size_t at, len; bool bad; };

static const void *take(struct cursor *c, size_t n)
{
	if (c->bad || n > c->len - c->at) {
		c->bad = true;
		return NULL;
	}
	const void *p = c->p + c->at;
	c->at += n;
	return p;
}

static void get(struct cursor *c, void *out, size_t n)
{
	const void *p = take(c, n);
	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

static uint32_t get32(struct cursor *c) { uint32_t v; get(c, &v, sizeof v); return v; }
static uint64_t get64(struct cursor *c) { uint64_t v; get(c, &v, sizeof v); return v; }

static int get_index(struct cursor *c, struct arena *a, uint32_t n, uint64_t of, uint32_t **out, struct err *e)
{
	size_t size = (size_t)n * sizeof **out;
	const void *p = n < of ? take(c, size) : "";
	if (!p || n > of)
		return err_at(e, EINVAL, c->at, "signature: expected %u indices below %llu", n, (unsigned long long)of);
	*out = arena_array(a, n, sizeof **out);
	if (!*out)
		return err_nomem(e);
	if (n < of)
		memcpy(*out, p, size);
	for (uint32_t i = 0; i < n; i++) {
		if (n == of)
			(*out)[i] = i;
		else if ((*out)[i] >= of || (i && (*out)[i] <= (*out)[i - 1]))
			return err_at(e, EINVAL, c->at, "signature: indices must ascend below %llu",
				      (unsigned long long)of);
	}
	return 0;
}

static int get_values(struct cursor *c, struct arena *a, struct sigpart *p, unsigned as, struct err *e)
{
	uint64_t n = (uint64_t)p->nr * p->nc;
	size_t width = as == AS_F32 ? 4 : 2;
	if (as > AS_F32 || n > (c->len - c->at) / width)
		return err_at(e, EINVAL, c->at, "signature: %llu values do not fit in %zu bytes", (unsigned long long)n,
			      c->len - c->at);
	const unsigned char *in = take(c, n * width);
	p->v = arena_array(a, n, sizeof *p->v);
	if (!p->v)
		return err_nomem(e);
	if (as == AS_F32)
		memcpy(p->v, in, n * width);
	else
		dtype_info(as == AS_BF16 ? DTYPE_BF16 : DTYPE_F16)->to_f32(in, p->v, n);
	return 0;
}

static int get_part(struct cursor *c, struct signature *s, struct sigpart *p, char **role, uint32_t roles,
		    struct err *e)
{
	size_t start = c->at;
	uint32_t r = get32(c);
	p->layer = (int32_t)get32(c);
	p->expert = (int32_t)get32(c);
	p->tensor = get32(c);
	uint32_t kind = get32(c);
	p->dtype = (uint8_t)kind;
	p->flags = (uint8_t)(kind >> 8);
	p->rows = get64(c);
	p->cols = get64(c);
	p->nr = get32(c);
	p->nc = get32(c);
	p->sorted_rows = get64(c);
	p->sorted_cols = get64(c);
	p->sorted_all = get64(c);
	p->content = get64(c);
	p->name = get64(c);
	union { uint32_t u; float f; } nf = {.u = get32(c)};
	p->nonfinite = nf.f;
	if (c->bad || r >= roles || p->dtype >= DTYPE_COUNT || !p->nr || !p->nc)
		return err_at(e, EINVAL, start, "signature: a part that does not add up");
	p->role = role[r];
	p->role_hash = sample_role_hash(p->role);
	int rc = get_index(c, &s->arena, p->nr, MIN(p->rows, (uint64_t)SAMPLE_UNIVERSE), &p->row, e);
	rc = rc ? rc : get_index(c, &s->arena, p->nc, MIN(p->cols, (uint64_t)SAMPLE_UNIVERSE), &p->col, e);
	rc = rc ? rc : get_values(c, &s->arena, p, kind >> 16, e);
	p->grid = rc ? 0 : sigpart_grid(p);
	return rc;
}

static int get_head(struct cursor *c, struct signature *s, uint32_t *roles, uint32_t *parts, struct err *e)
{
	const void *magic = take(c, 4);
	s->version = get32(c);
	if (!magic || memcmp(magic, "TSIG", 4))
		return err_at(e, EINVAL, 0, "signature: expected TSIG");
	if (s->version != SIGNATURE_VERSION)
		return err_set(e, ESTALE, "signature: version %u, expected %d", s->version, SIGNATURE_VERSION);
	s->layers = get32(c);
	*roles = get32(c);
	*parts = get32(c);
	s->parameters = get64(c);
	s->key.hi = get64(c);
	s->key.lo = get64(c);
	get(c, s->sketch.scale, sizeof s->sketch.scale);
	get(c, s->sketch.v, sizeof s->sketch.v);
	s->sketch.shape = get64(c);
	s->sketch.parts = get32(c);
	s->sketch.invariant = get64(c);
	get(c, s->sketch.content, sizeof s->sketch.content);
	for (int i = 0; i < SKETCH_BLOCKS; i++)
		if (!(s->sketch.scale[i] >= 0 && s->sketch.scale[i] <= 1))
			return err_at(e, EINVAL, c->at, "signature: a sketch's scale must lie in 0..1");
	if (c->bad || *roles > c->len / 2 || *parts > c->len / SIGBLOB_PART)
		return err_at(e, EINVAL, c->at, "signature: %u roles and %u parts do not fit in %zu bytes", *roles,
			      *parts, c->len);
	return 0;
}

static int get_all(struct cursor *c, struct signature *s, struct err *e)
{
	uint32_t roles = 0, parts = 0;
	int rc = get_head(c, s, &roles, &parts, e);
	if (rc)
		return rc;
	char **role = arena_array(&s->arena, roles, sizeof *role);
	s->parts = arena_array(&s->arena, parts, sizeof *s->parts);
	if (!role || !s->parts)
		return err_nomem(e);
	for (uint32_t i = 0; i < roles; i++) {
		uint16_t n;
		get(c, &n, sizeof n);
		const char *text = take(c, n);
		if (!text)
			return err_at(e, EINVAL, c->at, "signature: cut short in its roles");
		role[i] = arena_strndup(&s->arena, text, n);
		if (!role[i])
			return err_nomem(e);
	}
	for (; s->n_parts < parts; s->n_parts++) {
		rc = get_part(c, s, &s->parts[s->n_parts], role, roles, e);
		if (rc)
			return rc;
		if (s->n_parts && sigpart_cmp(&s->parts[s->n_parts - 1], &s->parts[s->n_parts]) > 0)
			return err_at(e, EINVAL, c->at, "signature: parts out of order");
	}
	return c->at == c->len ? 0 : err_at(e, EINVAL, c->at, "signature: %zu bytes too many", c->len - c->at);
}

int signature_decode(struct signature *s, const void *blob, size_t len, struct err *e)
{
	*s = (struct signature){0};
	struct cursor c = {.p = blob, .len = len};
	int rc = get_all(&c, s, e);
	if (rc)
		signature_release(s);
	return rc;
}
