/* Sweeping one tensor: bytes to the hash, values to the moments, and counts from which the quantiles are told. */
#include "core/analysis/exact_tensor.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

const double exact_points[EXACT_QUANTILES] = {.01, .25, .5, .75, .99};

/* How the quantiles are found. */
enum way {
	WAY_SORT,	/* few elements: sort them */
	WAY_CODES,	/* types of one or two bytes: count each code; everything else follows from the counts */
	WAY_REFINE,	/* count the leading 16 bits, then read again where a quantile lies */
	WAY_HASH,	/* not decoded */
};

struct sweep {
	struct exact_worker *k;
	const struct weights *w;
	const struct tensor *t;
	const struct dtype_info *d;	/* of what is read: float32 for a tensor that is not in one piece */
	bool floats;			/* read through weights_read */
	enum way way;
	uint64_t counted;		/* in k->count since it was emptied */
	uint64_t zeros, nonfinite;
	int32_t min, max;		/* ordered, see order_of */
	struct moments_sum sum;
	uint64_t rank[EXACT_RANKS];	/* ascending */
	float at_rank[EXACT_RANKS];
	uint64_t kept;			/* WAY_SORT: keys so far */
};

int exact_worker_init(struct exact_worker *k, const struct cancel *cancel, struct err *e)
{
	*k = (struct exact_worker){.cancel = cancel};
	k->raw = mem_alloc(EXACT_CHUNK);
	k->values = mem_array(EXACT_KEYS, sizeof *k->values);
	k->keys = mem_array(EXACT_SORT, sizeof *k->keys);
	k->spare = mem_array(EXACT_SORT, sizeof *k->spare);
	k->count = mem_array(EXACT_KEYS, sizeof *k->count);
	k->total = mem_array(EXACT_KEYS, sizeof *k->total);
	if (k->raw && k->values && k->keys && k->spare && k->count && k->total)
		return 0;
	exact_worker_release(k);
	return err_nomem(e);
}

void exact_worker_release(struct exact_worker *k)
{
	free(k->raw);
	free(k->values);
	free(k->keys);
	free(k->spare);
	free(k->count);
	free(k->total);
	free(k->fine);
	*k = (struct exact_worker){0};
}

/* --- ordering --- */

/* Integers in the order of the floats they are the bits of; -0 is 0. */
static inline int32_t order_of(float f)
{
	int32_t i;
	memcpy(&i, &f, sizeof i);
	i = i ^ ((i >> 31) & INT32_MAX);
	return i == -1 ? 0 : i;
}

static float order_value(int32_t i)
{
	float f;
	i = i ^ ((i >> 31) & INT32_MAX);
	memcpy(&f, &i, sizeof f);
	return f;
}

static inline uint32_t key_of(float f)
{
	return (uint32_t)order_of(f) ^ 0x80000000u;
}

static float key_value(uint32_t key)
{
	return order_value((int32_t)(key ^ 0x80000000u));
}

/* Least significant digit first, 11 bits at a time. The result is in `a`. */
static void sort_keys(uint32_t *a, uint32_t *b, size_t n)
{
	for (unsigned shift = 0; shift < 33; shift += 11) {
		uint32_t at[2049] = {0};
		for (size_t i = 0; i < n; i++)
			at[(a[i] >> shift & 2047) + 1]++;
		for (size_t i = 0; i < 2048; i++)
			at[i + 1] += at[i];
		for (size_t i = 0; i < n; i++)
			b[at[a[i] >> shift & 2047]++] = a[i];
		uint32_t *c = a;
		a = b;
		b = c;
	}
	memcpy(b, a, n * sizeof *a);	/* three passes: what was `b` holds it */
}

/* --- counting --- */

static void flush_counts(struct sweep *s)
{
	for (size_t i = 0; i < EXACT_KEYS; i++)
		s->k->total[i] += s->k->count[i];
	memset(s->k->count, 0, EXACT_KEYS * sizeof *s->k->count);
	s->counted = 0;
}

static void make_room(struct sweep *s, size_t n)
{
	if (s->counted + n > UINT32_MAX)
		flush_counts(s);
	s->counted += n;
}

static void count_codes(struct sweep *s, size_t n)
{
	uint32_t *count = s->k->count;
	const uint16_t *wide = (const uint16_t *)(const void *)s->k->raw;
	const uint8_t *narrow = s->k->raw;
	make_room(s, n);
	if (s->d->bytes == 2)
		for (size_t i = 0; i < n; i++)
			count[wide[i]]++;
	else
		for (size_t i = 0; i < n; i++)
			count[narrow[i]]++;
}

/* Moves the finite values to the front; how many. */
static size_t keep_finite(float *v, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (isfinite(v[i]))
			v[kept++] = v[i];
	return kept;
}

/* At most MOMENTS_BLOCK values. */
static void take_values(struct sweep *s, float *v, size_t n)
{
	uint32_t odd = 0, zeros = 0;
	int32_t min = INT32_MAX, max = INT32_MIN;
	for (size_t i = 0; i < n; i++) {
		uint32_t u;
		memcpy(&u, &v[i], sizeof u);
		odd += (u & 0x7f800000) == 0x7f800000;
	}
	if (odd)
		n = keep_finite(v, n);
	for (size_t i = 0; i < n; i++) {
		int32_t o = order_of(v[i]);
		zeros += o == 0;
		min = o < min ? o : min;
		max = o > max ? o : max;
	}
	s->nonfinite += odd;
	s->zeros += zeros;
	s->min = MIN(s->min, min);
	s->max = MAX(s->max, max);
	moments_add(&s->sum, moments_block(v, n));
	if (s->way == WAY_SORT) {
		for (size_t i = 0; i < n; i++)
			s->k->keys[s->kept++] = key_of(v[i]);
		return;
	}
	make_room(s, n);
	for (size_t i = 0; i < n; i++)
		s->k->count[key_of(v[i]) >> 16]++;
}

/* --- reading --- */

static int fetch(struct sweep *s, uint64_t first, uint64_t n, struct err *e)
{
	if (cancel_asked(s->k->cancel))
		return err_set(e, ECANCELED, "cancelled");
	if (s->floats)
		return weights_read(s->w, s->t, first, n, (float *)(void *)s->k->raw, e);
	return weights_read_raw(s->w, s->t, first / s->d->block * s->d->bytes, n / s->d->block * s->d->bytes, s->k->raw,
				e);
}

/* Bytes of n elements. */
static size_t width(const struct sweep *s, uint64_t n)
{
	return n / s->d->block * s->d->bytes;
}

/* Calls use with each block of at most MOMENTS_BLOCK decoded values; they may be changed. */
static void decode(struct sweep *s, uint64_t n, void (*use)(struct sweep *s, float *v, size_t n))
{
	for (uint64_t i = 0, m; i < n; i += m) {
		m = MIN(n - i, (uint64_t)MOMENTS_BLOCK);
		s->d->to_f32(s->k->raw + width(s, i), s->k->values, m);
		use(s, s->k->values, m);
	}
}

/* Elements in a chunk: whole blocks of moments, which are whole blocks of every type. */
static uint64_t step_of(const struct sweep *s)
{
	return MAX(EXACT_CHUNK / width(s, MOMENTS_BLOCK), (size_t)1) * MOMENTS_BLOCK;
}

static int read_all(struct sweep *s, struct hash_state *hash, struct hash_state *file, struct err *e)
{
	uint64_t step = step_of(s);
	for (uint64_t i = 0, n; i < s->t->elements; i += n) {
		n = MIN(s->t->elements - i, step);
		int r = fetch(s, i, n, e);
		if (r < 0)
			return r;
		hash_update(hash, s->k->raw, width(s, n));
		if (file)
			hash_update(file, s->k->raw, width(s, n));
		if (s->way == WAY_CODES)
			count_codes(s, n);
		else if (s->way != WAY_HASH)
			decode(s, n, take_values);
	}
	return 0;
}

/* Stored bytes of a type that is not decoded. */
static int read_bytes(struct sweep *s, struct hash_state *hash, struct hash_state *file, struct err *e)
{
	for (uint64_t i = 0, n; i < s->t->bytes; i += n) {
		n = MIN(s->t->bytes - i, (uint64_t)EXACT_CHUNK);
		if (cancel_asked(s->k->cancel))
			return err_set(e, ECANCELED, "cancelled");
		int r = weights_read_raw(s->w, s->t, i, n, s->k->raw, e);
		if (r < 0)
			return r;
		hash_update(hash, s->k->raw, n);
		if (file)
			hash_update(file, s->k->raw, n);
	}
	return 0;
}

/* --- quantiles --- */

static void plan_ranks(struct sweep *s, uint64_t n)
{
	for (int i = 0; i < EXACT_QUANTILES; i++) {
		uint64_t low = (uint64_t)floor(exact_points[i] * (double)(n - 1));
		uint64_t two[2] = {MIN(low, n - 1), MIN(low + 1, n - 1)};
		for (int j = 0; j < 2; j++) {
			int at = 2 * i + j;
			for (; at > 0 && s->rank[at - 1] > two[j]; at--)
				s->rank[at] = s->rank[at - 1];
			s->rank[at] = two[j];
		}
	}
}

static double value_at(const struct sweep *s, uint64_t rank)
{
	int i = 0;
	while (s->rank[i] != rank)
		i++;
	return s->at_rank[i];
}

static void tell_quantiles(const struct sweep *s, uint64_t n, struct exact_tensor *out)
{
	for (int i = 0; i < EXACT_QUANTILES; i++) {
		double at = exact_points[i] * (double)(n - 1), low = floor(at);
		uint64_t rank = MIN((uint64_t)low, n - 1);
		double a = value_at(s, rank), b = value_at(s, MIN(rank + 1, n - 1));
		out->quantile[i] = a + (b - a) * (at - low);
	}
}

/* Where the ranks lie among the leading 16 bits: slot[key] is one more than the place of its fine counts. */
static int find_slots(struct sweep *s, uint8_t *slot, uint64_t *before, uint32_t *key)
{
	uint64_t sum = 0;
	int next = 0, slots = 0;
	for (uint32_t i = 0; i < EXACT_KEYS && next < EXACT_RANKS; i++) {
		uint64_t after = sum + s->k->total[i];
		if (s->rank[next] < after) {
			before[slots] = sum;
			key[slots] = i;
			slot[i] = (uint8_t)++slots;
		}
		while (next < EXACT_RANKS && s->rank[next] < after)
			next++;
		sum = after;
	}
	return slots;
}

struct refine {
	struct sweep *s;
	uint8_t slot[EXACT_KEYS];
	uint64_t before[EXACT_RANKS];
	uint32_t key[EXACT_RANKS];
	int slots;
};

static void count_fine(struct refine *f, uint64_t n)
{
	struct sweep *s = f->s;
	for (uint64_t i = 0, m; i < n; i += m) {
		m = MIN(n - i, (uint64_t)MOMENTS_BLOCK);
		s->d->to_f32(s->k->raw + width(s, i), s->k->values, m);
		for (uint64_t j = 0; j < m; j++) {
			uint32_t key = key_of(s->k->values[j]);
			if (f->slot[key >> 16] && isfinite(s->k->values[j]))
				s->k->fine[(size_t)(f->slot[key >> 16] - 1) * EXACT_KEYS + (key & 0xffff)]++;
		}
	}
}

static void read_ranks(struct refine *f)
{
	struct sweep *s = f->s;
	int next = 0;
	for (int i = 0; i < f->slots; i++) {
		const uint64_t *fine = s->k->fine + (size_t)i * EXACT_KEYS;
		uint64_t sum = f->before[i];
		for (uint32_t low = 0; low < EXACT_KEYS; low++) {
			sum += fine[low];
			for (; next < EXACT_RANKS && s->rank[next] < sum; next++)
				s->at_rank[next] = key_value(f->key[i] << 16 | low);
		}
	}
}

static int refine(struct sweep *s, struct err *e)
{
	struct exact_worker *k = s->k;
	cleanup_free struct refine *f = mem_alloc(sizeof *f);
	if (!k->fine)
		k->fine = mem_array(EXACT_RANKS * EXACT_KEYS, sizeof *k->fine);
	if (!f || !k->fine)
		return err_nomem(e);
	f->s = s;
	flush_counts(s);
	f->slots = find_slots(s, f->slot, f->before, f->key);
	memset(k->fine, 0, (size_t)f->slots * EXACT_KEYS * sizeof *k->fine);
	uint64_t step = step_of(s);
	for (uint64_t i = 0, n; i < s->t->elements; i += n) {
		n = MIN(s->t->elements - i, step);
		int r = fetch(s, i, n, e);
		if (r < 0)
			return r;
		count_fine(f, n);
	}
	read_ranks(f);
	/* The file has changed since it was counted. */
	return io_changed(&s->w->files[s->t->file].io) ?
		       err_set(e, EIO, "%s: the file changed while it was read", s->t->name) :
		       0;
}

/* --- from codes --- */

/* The i-th code in the order of values: sign and magnitude, two's complement, or plain. */
static uint32_t code_at(const struct sweep *s, uint32_t i)
{
	uint32_t half = s->d->bytes == 2 ? 0x8000 : 0x80;
	enum dtype t = s->t->dtype;
	if (t == DTYPE_I8 || t == DTYPE_I16)
		return i ^ half;
	if (s->d->floating && t != DTYPE_F8_E8M0)
		return i < half ? 2 * half - 1 - i : i - half;
	return i;
}

/* Everything there is to say, from how often each code is there. */
static struct moments sum_codes(struct sweep *s)
{
	const uint64_t *total = s->k->total;
	float *value = s->k->values;
	uint32_t codes = s->d->bytes == 2 ? EXACT_KEYS : 256;
	struct moments m = {0};
	double sum = 0;
	for (uint32_t c = 0; c < codes; c++)
		if (total[c] && isfinite(value[c])) {
			m.n += total[c];
			sum += (double)total[c] * value[c];
			s->zeros += value[c] == 0 ? total[c] : 0;
			s->min = MIN(s->min, order_of(value[c]));
			s->max = MAX(s->max, order_of(value[c]));
		} else {
			s->nonfinite += total[c];
		}
	m.mean = m.n ? sum / (double)m.n : 0;
	for (uint32_t c = 0; c < codes; c++)
		if (total[c] && isfinite(value[c])) {
			double d = value[c] - m.mean, q = d * d, n = (double)total[c];
			m.m2 += n * q;
			m.m4 += n * (q * q);
		}
	return m;
}

static void rank_codes(struct sweep *s)
{
	uint32_t codes = s->d->bytes == 2 ? EXACT_KEYS : 256;
	uint64_t sum = 0;
	int next = 0;
	for (uint32_t i = 0; i < codes && next < EXACT_RANKS; i++) {
		uint32_t c = code_at(s, i);
		if (!s->k->total[c] || !isfinite(s->k->values[c]))
			continue;
		sum += s->k->total[c];
		for (; next < EXACT_RANKS && s->rank[next] < sum; next++)
			s->at_rank[next] = s->k->values[c];
	}
}

static void decode_codes(struct sweep *s)
{
	uint16_t *codes = (uint16_t *)(void *)s->k->keys;
	uint8_t *bytes = (uint8_t *)s->k->keys;
	uint32_t n = s->d->bytes == 2 ? EXACT_KEYS : 256;
	for (uint32_t i = 0; i < n; i++)
		if (s->d->bytes == 2)
			codes[i] = (uint16_t)i;
		else
			bytes[i] = (uint8_t)i;
	s->d->to_f32(s->k->keys, s->k->values, n);
}

/* --- a tensor --- */

static int finish(struct sweep *s, struct exact_tensor *out, struct err *e)
{
	struct moments m;
	int r = 0;
	if (s->way == WAY_CODES) {
		flush_counts(s);
		decode_codes(s);
		m = sum_codes(s);
	} else {
		m = moments_total(&s->sum);
	}
	out->zeros = s->zeros;
	out->nonfinite = s->nonfinite;
	if (!m.n)
		return 0;
	plan_ranks(s, m.n);
	if (s->way == WAY_CODES) {
		rank_codes(s);
	} else if (s->way == WAY_SORT) {
		sort_keys(s->k->keys, s->k->spare, s->kept);
		for (int i = 0; i < EXACT_RANKS; i++)
			s->at_rank[i] = key_value(s->k->keys[s->rank[i]]);
	} else {
		r = refine(s, e);
	}
	double n = (double)m.n, variance = m.m2 / n;
	out->mean = m.mean;
	out->std = sqrt(variance);
	out->l2 = sqrt(m.m2 + n * m.mean * m.mean);
	out->kurtosis = variance > 0 ? m.m4 / n / (variance * variance) - 3 : NAN;
	out->min = order_value(s->min);
	out->max = order_value(s->max);
	tell_quantiles(s, m.n, out);
	return r;
}

static bool stored_plainly(const struct tensor *t)
{
	const struct dtype_info *d = dtype_info(t->dtype);
	uint64_t bytes;
	return d->bytes && d->block <= MOMENTS_BLOCK && dtype_size(t->dtype, t->elements, &bytes) && bytes == t->bytes;
}

bool exact_in_place(const struct weights *w, const struct tensor *t)
{
	return !w->format->read_raw && stored_plainly(t);
}

static void begin(struct sweep *s, struct exact_worker *k, const struct weights *w, const struct tensor *t)
{
	*s = (struct sweep){.k = k, .w = w, .t = t, .d = dtype_info(t->dtype), .min = INT32_MAX, .max = INT32_MIN};
	s->floats = !stored_plainly(t);
	if (s->floats)
		s->d = dtype_info(DTYPE_F32);
	if (!s->d->to_f32)
		s->way = WAY_HASH;
	else if (t->elements <= EXACT_SORT)
		s->way = WAY_SORT;
	else
		s->way = s->d->block == 1 && s->d->bytes <= 2 ? WAY_CODES : WAY_REFINE;
	if (s->way == WAY_CODES || s->way == WAY_REFINE) {
		memset(k->count, 0, EXACT_KEYS * sizeof *k->count);
		memset(k->total, 0, EXACT_KEYS * sizeof *k->total);
	}
}

int exact_sweep(struct exact_worker *k, const struct weights *w, const struct tensor *t, struct hash_state *file,
		struct exact_tensor *out, struct err *e)
{
	struct sweep s;
	struct hash_state *hash = hash_new();
	if (!hash)
		return err_nomem(e);
	begin(&s, k, w, t);
	out->elements = t->elements;
	out->mean = out->std = out->min = out->max = out->l2 = out->kurtosis = NAN;
	for (int i = 0; i < EXACT_QUANTILES; i++)
		out->quantile[i] = NAN;
	int r = s.way == WAY_HASH ? read_bytes(&s, hash, file, e) : read_all(&s, hash, file, e);
	out->hash = hash_digest(hash);
	hash_free(hash);
	out->values = s.way != WAY_HASH;
	if (!r && out->values)
		r = finish(&s, out, e);
	if (r < 0 && e && e->code != ECANCELED)
		err_prefix(e, "%.200s: ", t->name);
	return r;
}
