/* How a signature is made: which elements are read, within how many bytes, and what survives a permutation. */
#include "core/analysis/signature.h"

#include "core/analysis/sample.h"
#include "core/analysis/sketch.h"
#include "core/analysis/sigblob.h"

#include <math.h>
#include <errno.h>
#include <string.h>

enum {
	WHOLE_FILE = 16 << 20,		/* models up to here are read whole for the permutation hashes … */
	WHOLE_PART = 1 << 20,		/* … a part at a time, of at most so many elements */
	PROBES = 8,			/* parts of a larger model that get sorted hashes … */
	PROBE_LINES = 4,		/* … of so many rows and one column */
	PROBE_ROWS = 1 << 16,
};

/* Bytes that a grid is allowed to read: below one percent of a file that is not small. */
static uint64_t read_cost(const struct weights *w, const struct part *p, int level)
{
	struct sample_size s = sample_size(p, level);
	const struct tensor *t = &w->tensors[p->tensor];
	double width = t->elements ? (double)t->bytes / (double)t->elements : 0;
	double lines = p->transposed ? (double)s.nc * (double)p->rows : (double)s.nr * (double)p->cols;
	return (uint64_t)(lines * width);
}

static uint64_t kept_bytes(const struct weights *w, const struct part *p, int level)
{
	struct sample_size s = sample_size(p, level);
	enum dtype d = w->tensors[p->tensor].dtype;
	unsigned width = d == DTYPE_BF16 || d == DTYPE_F16 ? 2 : 4;
	uint64_t index = (s.nr < p->rows ? 4ull * s.nr : 0) + (s.nc < p->cols ? 4ull * s.nc : 0);
	return (uint64_t)s.nr * s.nc * width + index + SIGBLOB_PART;
}

static uint64_t total_bytes(const struct weights *w)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < w->n_tensors; i++)
		sum += w->tensors[i].bytes;
	return sum;
}

/* The richest level that keeps the signature small and reads little. */
static int choose_level(const struct weights *w, const struct canon *c, uint64_t stored)
{
	for (int level = 0; level < SAMPLE_LEVELS; level++) {
		uint64_t kept = SIGBLOB_HEAD, read = 0;
		for (size_t i = 0; i < c->n_parts; i++) {
			kept += kept_bytes(w, &c->parts[i], level) + strlen(c->parts[i].role) / 4;
			read += read_cost(w, &c->parts[i], level);
		}
		if (kept <= SIGNATURE_MAX * 9 / 10 && (stored <= WHOLE_FILE || read <= stored / 100 * 85 / 100))
			return level;
	}
	return SAMPLE_LEVELS - 1;
}

static bool numeric(enum dtype d)
{
	return d != DTYPE_NONE && d != DTYPE_C64 && d != DTYPE_C128;
}

static uint64_t place_hash(const struct part *p)
{
	return hash_mix(sample_role_hash(p->role) ^
			hash_mix((uint64_t)(int64_t)p->layer * 65537u + (uint64_t)(int64_t)p->expert));
}

/* Scratch of a part that is read whole, kept from one part to the next. */
struct reader {
	const struct weights *w;
	float *v;
	uint64_t *cols;			/* sums of the columns' hashes */
	size_t cap, cols_cap;
};

static void reader_release(struct reader *r)
{
	free(r->v);
	free(r->cols);
}

/* A value's share of a multiset's hash: one zero, one NaN. */
static inline uint64_t value_hash(float v)
{
	union { float f; uint32_t u; } x = {.f = v};
	return hash_mix(x.f == 0 ? 0 : x.f != x.f ? 1 : x.u);
}

/* A hash of the multiset of n values: their order does not count. */
static uint64_t multiset_hash(const float *v, size_t n)
{
	uint64_t h = n;
	for (size_t i = 0; i < n; i++)
		h += value_hash(v[i]);
	return hash_mix(h);
}

/* Hashes over a part that was read whole: of everything in order, and of the multisets of rows, of columns, of all. */
static int whole_hashes(struct sigpart *q, struct reader *r, const struct part *p, struct err *e)
{
	size_t n = p->rows * p->cols;
	if (mem_grow(&r->cols, &r->cols_cap, p->cols))
		return err_nomem(e);
	q->content = hash64(r->v, n * sizeof *r->v, 3);
	q->content += !q->content;
	uint64_t all = n;
	for (uint64_t j = 0; j < p->cols; j++)
		r->cols[j] = p->rows;
	for (uint64_t i = 0; i < p->rows; i++) {
		const float *v = r->v + i * p->cols;
		uint64_t row = 0;
		for (uint64_t j = 0; j < p->cols; j++) {
			uint64_t h = value_hash(v[j]);
			row += h;
			r->cols[j] += h;
		}
		all += row;
		q->sorted_rows += hash_mix(hash_mix(p->cols + row));
	}
	for (uint64_t j = 0; j < p->cols; j++)
		q->sorted_cols += hash_mix(hash_mix(r->cols[j]));
	q->sorted_all = hash_mix(all);
	return 0;
}

/* Of a large part a few sampled rows and one column: the one set or the other survives a permutation of one side. The column is
 * read value by value, for the sake of the bytes between. */
static int probe_hashes(struct sigpart *q, const struct weights *w, const struct part *p, struct err *e)
{
	if (p->rows > PROBE_ROWS || p->cols > PROBE_ROWS)
		return 0;
	uint64_t row[PROBE_LINES], col = 0;
	uint32_t nr = (uint32_t)MIN(p->rows, (uint64_t)PROBE_LINES);
	cleanup_free float *line = mem_array(p->cols > p->rows ? p->cols : p->rows, sizeof *line);
	if (!line)
		return err_nomem(e);
	int rc = sample_bottom(q->role_hash, p->rows, nr, row, e);
	rc = rc ? rc : sample_bottom(hash_mix(q->role_hash), p->cols, 1, &col, e);
	for (uint32_t i = 0; i < nr && !rc; i++) {
		rc = canon_read_row(w, p, row[i], line, e);
		if (!rc)
			q->sorted_rows += hash_mix(multiset_hash(line, p->cols));
	}
	for (uint64_t i = 0; i < p->rows && !rc; i++)
		rc = canon_read_grid(w, p, &i, 1, &col, 1, &line[i], e);
	if (!rc)
		q->sorted_cols = hash_mix(multiset_hash(line, p->rows));
	return rc;
}

/* Of a part that was read whole the grid is taken from what is in memory. */
static int read_values(struct sigpart *q, const struct reader *r, const struct part *p, const struct sample_size *n,
		       const uint64_t *row, const uint64_t *col, bool whole, struct err *e)
{
	if (!whole)
		return canon_read_grid(r->w, p, row, n->nr, col, n->nc, q->v, e);
	for (uint32_t i = 0; i < n->nr; i++) {
		const float *from = r->v + row[i] * p->cols;
		float *to = q->v + (size_t)i * n->nc;
		for (uint32_t j = 0; j < n->nc; j++)
			to[j] = from[col[j]];
	}
	return 0;
}

static int read_grid(struct signature *s, struct sigpart *q, const struct reader *r, const struct part *p, int level,
		     bool whole, struct err *e)
{
	struct sample_size n = sample_size(p, level);
	cleanup_free uint64_t *row = mem_array(n.nr, sizeof *row), *col = mem_array(n.nc, sizeof *col);
	q->row = arena_array(&s->arena, n.nr, sizeof *q->row);
	q->col = arena_array(&s->arena, n.nc, sizeof *q->col);
	q->v = arena_array(&s->arena, (size_t)n.nr * n.nc, sizeof *q->v);
	if (!row || !col || !q->row || !q->col || !q->v)
		return err_nomem(e);
	int rc = sample_rows(p, level, row, e);
	rc = rc ? rc : sample_cols(p, level, col, e);
	rc = rc ? rc : read_values(q, r, p, &n, row, col, whole, e);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n.nr; i++)
		q->row[i] = (uint32_t)row[i];
	for (uint32_t j = 0; j < n.nc; j++)
		q->col[j] = (uint32_t)col[j];
	q->nr = n.nr;
	q->nc = n.nc;
	size_t bad = 0, all = (size_t)n.nr * n.nc;
	for (size_t i = 0; i < all; i++)
		bad += !isfinite(q->v[i]);
	q->nonfinite = all ? (float)((double)bad / (double)all) : 0;
	return 0;
}

static int read_whole(struct reader *r, const struct part *p, struct err *e)
{
	if (mem_grow(&r->v, &r->cap, p->rows * p->cols))
		return err_nomem(e);
	return canon_read_rows(r->w, p, 0, p->rows, r->v, e);
}

static int make_part(struct signature *s, struct sigpart *q, struct reader *r, const struct part *p, int level,
		     bool whole, bool probe, struct err *e)
{
	const struct tensor *t = &r->w->tensors[p->tensor];
	const struct dtype_info *d = dtype_info(t->dtype);
	*q = (struct sigpart){.role = arena_strdup(&s->arena, p->role),
			      .role_hash = sample_role_hash(p->role),
			      .layer = p->layer,
			      .name = sample_role_hash(t->name),
			      .expert = p->expert,
			      .tensor = p->tensor,
			      .dtype = (uint8_t)t->dtype,
			      .rows = p->rows,
			      .cols = p->cols};
	if (!q->role)
		return err_nomem(e);
	q->flags = (uint8_t)((d->quantised ? SIGPART_QUANTISED : 0) | (d->floating ? 0 : SIGPART_INTEGER) |
			     (p->cols == 1 || p->rows == 1 ? SIGPART_VECTOR : 0));
	int rc = whole ? read_whole(r, p, e) : 0;
	rc = rc ? rc : read_grid(s, q, r, p, level, whole, e);
	if (!rc && whole)
		rc = whole_hashes(q, r, p, e);
	else if (!rc && probe)
		rc = probe_hashes(q, r->w, p, e);
	if (rc)
		return err_prefix(e, "tensor '%.100s': ", t->name);
	if (q->nr == p->rows && q->nc == p->cols)
		q->flags |= SIGPART_WHOLE;
	q->grid = sigpart_grid(q);
	return 0;
}

/* Matrices inside the layers with the smallest place hashes: what a permutation of neurons or heads touches. */
static void choose_probes(const struct canon *c, uint8_t *use)
{
	uint64_t cut[PROBES];
	size_t n = 0;
	for (size_t i = 0; i < c->n_parts; i++) {
		const struct part *p = &c->parts[i];
		if (!(use[i] & 1) || p->layer < 0 || p->rows < 16 || p->cols < 16)
			continue;
		uint64_t h = place_hash(p);
		if (n == PROBES && h >= cut[n - 1])
			continue;
		size_t at = n < PROBES ? n++ : n - 1;
		for (; at > 0 && cut[at - 1] > h; at--)
			cut[at] = cut[at - 1];
		cut[at] = h;
	}
	for (size_t i = 0; i < c->n_parts && n; i++)
		if (c->parts[i].layer >= 0 && c->parts[i].rows >= 16 && c->parts[i].cols >= 16 &&
		    place_hash(&c->parts[i]) <= cut[n - 1])
			use[i] |= 2;
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Which parts are kept: all, unless even the leanest sample of so many does not fit; then those with the smallest place hashes. */
static int choose_parts(const struct weights *w, const struct canon *c, int level, uint8_t *use, struct err *e)
{
	uint64_t kept = SIGBLOB_HEAD;
	for (size_t i = 0; i < c->n_parts; i++) {
		const struct part *p = &c->parts[i];
		use[i] = numeric(w->tensors[p->tensor].dtype) && p->rows && p->cols;
		kept += use[i] ? kept_bytes(w, p, level) + strlen(p->role) + 4 : 0;
	}
	if (kept <= SIGNATURE_MAX)
		return 0;
	cleanup_free uint64_t *h = mem_array(c->n_parts, sizeof *h);
	if (!h)
		return err_nomem(e);
	for (size_t i = 0; i < c->n_parts; i++)
		h[i] = place_hash(&c->parts[i]);
	qsort(h, c->n_parts, sizeof *h, cmp_u64);
	uint64_t cut = h[(size_t)((double)c->n_parts * (SIGNATURE_MAX * 0.9) / (double)kept)];
	kept = SIGBLOB_HEAD;
	for (size_t i = 0; i < c->n_parts; i++) {
		const struct part *p = &c->parts[i];
		if (!use[i])
			continue;
		uint64_t size = kept_bytes(w, p, level) + strlen(p->role) + 4;
		use[i] = place_hash(p) <= cut && kept + size <= SIGNATURE_MAX;
		kept += use[i] ? size : 0;
	}
	return 0;
}

int sigpart_cmp(const void *a, const void *b)
{
	const struct sigpart *x = a, *y = b;
	if (x->role_hash != y->role_hash)
		return x->role_hash < y->role_hash ? -1 : 1;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	if (x->expert != y->expert)
		return x->expert < y->expert ? -1 : 1;
	return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

static int make_parts(struct signature *s, const struct weights *w, const struct canon *c, const uint8_t *use,
		      int level, bool whole, const struct cancel *cancel, struct err *e)
{
	struct reader reader cleanup_with(reader_release) = {.w = w};
	s->parts = arena_array(&s->arena, c->n_parts, sizeof *s->parts);
	if (!s->parts)
		return err_nomem(e);
	for (size_t i = 0; i < c->n_parts; i++) {
		const struct part *p = &c->parts[i];
		if (!use[i])
			continue;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		bool all = whole && p->rows <= WHOLE_PART / p->cols;
		int rc = make_part(s, &s->parts[s->n_parts], &reader, p, level, all, use[i] & 2, e);
		if (rc)
			return rc;
		s->n_parts++;
	}
	if (!s->n_parts)
		return err_set(e, ENODATA, "no tensor holds numbers");
	qsort(s->parts, s->n_parts, sizeof *s->parts, sigpart_cmp);
	return 0;
}

int signature_of(struct signature *s, const struct weights *w, const struct canon *c, const struct cancel *cancel,
		 struct err *e)
{
	*s = (struct signature){.version = SIGNATURE_VERSION, .layers = c->layers};
	uint64_t stored = total_bytes(w), before = io_bytes_read();
	int level = choose_level(w, c, stored);
	cleanup_free uint8_t *use = mem_array(c->n_parts + 1, 1);
	if (!use)
		return err_nomem(e);
	int rc = choose_parts(w, c, level, use, e);
	if (!rc && stored > WHOLE_FILE)
		choose_probes(c, use);
	rc = rc ? rc : make_parts(s, w, c, use, level, stored <= WHOLE_FILE, cancel, e);
	if (rc) {
		signature_release(s);
		return rc;
	}
	for (size_t i = 0; i < c->n_parts; i++)
		s->parameters += c->parts[i].rows * c->parts[i].cols;
	sketch_of(&s->sketch, s);
	s->key = sigblob_key(s);
	s->bytes_read = io_bytes_read() - before;
	return 0;
}

void signature_release(struct signature *s)
{
	arena_release(&s->arena);
	*s = (struct signature){0};
}

const struct sigpart *signature_find(const struct signature *s, uint64_t role_hash, int32_t layer, int32_t expert)
{
	struct sigpart key = {.role_hash = role_hash, .layer = layer, .expert = expert};
	size_t lo = 0, hi = s->n_parts;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (sigpart_cmp(&s->parts[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct sigpart *p = &s->parts[lo];
	return lo < s->n_parts && p->role_hash == role_hash && p->layer == layer && p->expert == expert ? p : NULL;
}

int signature_floats(const struct signature *s, float **out, size_t *n, struct err *e)
{
	*n = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		*n += (size_t)s->parts[i].nr * s->parts[i].nc;
	*out = mem_array(*n + 1, sizeof **out);
	if (!*out)
		return err_nomem(e);
	float *to = *out;
	for (size_t i = 0; i < s->n_parts; i++) {
		size_t k = (size_t)s->parts[i].nr * s->parts[i].nc;
		memcpy(to, s->parts[i].v, k * sizeof *to);
		to += k;
	}
	return 0;
}
