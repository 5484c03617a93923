/*
 * TIES (Yadav et al. 2023) and DARE (Yu et al. 2024) merges. Where one expert alone survives, the child is the base plus a fixed multiple
 * k of that expert's difference, so (y - b) / (x - b) has a sharp peak at k: lambda for TIES, weight / density for DARE. Experts are
 * taken greedily; the certificate is the share of all values within one place of b, b + sums of k d, or TIES's weighted means.
 */
#include "core/analysis/merge.h"

#include "core/analysis/lanes.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { BASES = 4, BINS = 240, EXPERTS = 4, SCREEN = 4, RUN = 64, BLOCK = 256 };
static const double top_ratio = 3.0, need = 0.85, sharp = 24;	/* steps that a difference must span for its ratio to be sharp */

struct peak { double at, share; size_t n; };

struct sparse {
	const struct fam *f;
	const struct mix *m;
	size_t y, base;
	const bool *without;
	size_t x[EXPERTS];		/* positions in the mix */
	double k[EXPERTS];
	size_t n;
	bool ties;			/* all of one k, the survivors' mean; else sums */
	double w[EXPERTS];		/* TIES: weights relative to the first's; 0: not known */
	uint8_t *told;			/* values explained */
	struct peak *first;		/* of each of the mix beside this base, when nothing is told yet; n SIZE_MAX: not looked for */
};

static double value(const struct mix *m, size_t i, size_t e) { return m->x[i * m->len + e]; }

/* A step of y's type at e, or of its inputs where those are coarser. */
static double step(const struct sparse *s, size_t e)
{
	return s->m->ulp[s->y * s->m->len + e];
}

/* The sharpest peak over values of [0.04, top_ratio]; share: of all n. */
static struct peak find_peak(const float *ratio, size_t n)
{
	size_t bin[BINS + 4] = {0};
	struct peak best = {0, 0, n};
	for (size_t i = 0; i < n; i += BLOCK) {
		int at[BLOCK];		/* what lies outside is counted before the first */
		size_t len = MIN(n - i, (size_t)BLOCK);
		for (size_t k = 0; k < len; k++) {
			float r = ratio[i + k] > 0.04f && ratio[i + k] < top_ratio ? ratio[i + k] : -1;
			at[k] = 2 + (int)(r * (BINS / top_ratio));
		}
		for (size_t k = 0; k < len; k++)
			bin[at[k] < 0 ? 0 : at[k]]++;
	}
	bin[0] = 0;
	size_t before[BINS + 5] = {0};
	for (size_t i = 0; i < BINS + 4; i++)
		before[i + 1] = before[i] + bin[i];
	double top = 0;
	size_t at = 0;
	for (size_t i = 3; i < BINS + 1; i++) {
		size_t lo = i > 12 ? i - 10 : 2, hi = i + 11 < BINS + 2 ? i + 11 : BINS + 2;
		size_t from = MAX(lo, i - 1), to = MIN(hi, i + 3), w = hi - lo - (to - from);	/* all but the peak and its neighbours */
		double in = (double)(bin[i] + bin[i + 1]),
		       around = (double)(before[hi] - before[lo] - (before[to] - before[from]));
		double excess = in - (w ? 2 * around / (double)w : 0);
		if (in > 4 * (w ? 2 * around / (double)w : 0) && excess > top) {
			top = excess;
			at = i;
		}
	}
	if (!at || n < 50)
		return best;
	double lo = (double)(at - 2) * top_ratio / BINS, hi = lo + 2 * top_ratio / BINS, sum = 0, k = 0;
	for (int round = 0; round < 3; round++) {	/* the mean of the peak, narrowed about itself */
		sum = k = 0;
		sum = lanes_between(ratio, n, (float)lo, (float)hi, &k);
		if (k < 1)
			return best;
		lo = sum / k - 0.015;
		hi = sum / k + 0.015;
	}
	best.at = sum / k;
	best.share = k / (double)n;
	return best;
}

/* Ratios (y - b) / (x - b) of values not yet told, of every stride-th run of RUN; out holds up to len. */
WIDE static size_t ratios(const struct sparse *s, size_t x, size_t stride, float *out)
{
	size_t n = 0, len = s->m->len;
	const float *yv = s->m->x + s->y * len, *bv = s->m->x + s->base * len, *xv = s->m->x + x * len,
		    *ulp = s->m->ulp + s->y * len;
	for (size_t at = 0; at < len; at += RUN * stride) {
		size_t run = MIN(len - at, (size_t)RUN);
		float r[RUN], d[RUN];
		for (size_t k = 0; k < run; k++) {
			d[k] = xv[at + k] - bv[at + k];
			r[k] = (yv[at + k] - bv[at + k]) / d[k];
			d[k] = fabsf(d[k]) < (float)sharp * ulp[at + k] ? 0 : d[k];
		}
		for (size_t k = 0; k < run; k++) {
			out[n] = r[k];
			n += !(s->told[at + k] || d[k] == 0);
		}
	}
	return n;
}

/* Does the value at e differ from the base's by `sum`, to a step? The peaks place k within about half a percent. */
static bool is_sum(const struct sparse *s, size_t e, double b, double sum)
{
	return fabs(value(s->m, s->y, e) - b - sum) <= 1.01 * step(s, e) + 1e-12 + 0.004 * fabs(sum);
}

/* Is the value at e, not the base's own, one that the experts so far can make? TIES: k times the weighted mean of those that survive and
 * agree in sign; DARE: the sum of k d over those that survive. */
static bool explained(const struct sparse *s, size_t e)
{
	double b = value(s->m, s->base, e), d[EXPERTS];
	for (size_t i = 0; i < s->n; i++)
		d[i] = value(s->m, s->x[i], e) - b;
	for (unsigned set = 1; set < 1u << s->n; set++) {
		double sum = 0, weights = 0;
		bool known = true, up = false, down = false;
		for (size_t i = 0; i < s->n; i++) {
			if (!(set >> i & 1))
				continue;
			double w = s->ties && set & (set - 1) ? s->w[i] : 1;
			known = known && w > 0;
			up = up || d[i] > 0;
			down = down || d[i] < 0;
			sum += w * s->k[s->ties ? 0 : i] * d[i];
			weights += w;
		}
		if (known && !(s->ties && up && down) && is_sum(s, e, b, s->ties ? sum / weights : sum))
			return true;
	}
	return false;
}

WIDE static double coverage(struct sparse *s)
{
	size_t told = 0, len = s->m->len;
	const float *y = s->m->x + s->y * len, *b = s->m->x + s->base * len, *ulp = s->m->ulp + s->y * len;
	uint8_t *restrict is = s->told;
	for (size_t e = 0; e < len; e++)	/* the base's own: is_sum of 0 */
		is[e] = fabs((double)y[e] - b[e]) <= 1.01 * (double)ulp[e] + 1e-12;
	for (size_t e = 0; e < len && s->n; e++)
		is[e] = is[e] || explained(s, e);
	for (size_t e = 0; e < len; e++)
		told += is[e];
	return (double)told / (double)len;
}

/* The certificate: of the values that are not the base's, the share that the experts explain. Nothing where they are few: then
 * y is a near twin of the base. */
static double certificate(struct sparse *s)
{
	size_t moved = 0, told = 0;
	for (size_t e = 0; e < s->m->len; e++) {
		bool is = !(fabs(value(s->m, s->y, e) - value(s->m, s->base, e)) <= 1.01 * step(s, e));
		moved += is;
		told += is && s->told[e];
	}
	return moved * 10 >= s->m->len ? (double)told / (double)moved : 0;
}

/* w_i / (w_i + w_j) from the values where both survive: (y - b - k d_j) / (k (d_i - d_j)); 0: no peak. */
static double share_of(const struct sparse *s, size_t i, size_t j, float *buf)
{
	size_t n = 0;
	double k = s->k[0];
	for (size_t e = 0; e < s->m->len; e++) {
		double b = value(s->m, s->base, e), di = value(s->m, s->x[i], e) - b, dj = value(s->m, s->x[j], e) - b;
		if (s->told[e] || di * dj <= 0 || fabs(k * (di - dj)) < sharp * step(s, e))
			continue;
		buf[n++] = (float)((value(s->m, s->y, e) - b - k * dj) / (k * (di - dj)));
	}
	struct peak p = find_peak(buf, n);
	return p.share > 0.1 && p.at < 0.98 ? p.at : 0;
}

/* The weight of the newest of TIES's experts, from the values that it shares with one whose weight is known: of these
 * what explains most. Returns the coverage with it. */
static double find_weight(struct sparse *s, float *buf)
{
	size_t j = s->n - 1;
	double best = 0, told;
	s->w[j] = j == 0;
	told = coverage(s);
	for (size_t i = 0; i < j && s->ties; i++) {
		s->w[j] = best;
		coverage(s);
		double share = s->w[i] > 0 ? share_of(s, i, j, buf) : 0;
		if (!(share > 0))
			continue;
		s->w[j] = s->w[i] * (1 - share) / share;
		double now = coverage(s);
		if (now > told) {
			told = now;
			best = s->w[j];
		}
	}
	if (j) {
		s->w[j] = best;
		coverage(s);
	}
	return told;
}

static struct peak peak_of(const struct sparse *s, size_t x, float *buf)
{
	struct peak *known = s->n ? NULL : &s->first[x];
	if (known && known->n != SIZE_MAX)
		return *known;
	struct peak p = find_peak(buf, ratios(s, x, SCREEN, buf));	/* most show none in a quarter of the values */
	if (p.share > 0.02)
		p = find_peak(buf, ratios(s, x, 1, buf));
	if (known)
		*known = p;
	return p;
}

/* The expert with the sharpest peak among those not taken yet; share 0: none. */
static struct peak next_expert(const struct sparse *s, float *buf, size_t *who)
{
	struct peak best = {0};
	for (size_t x = 0; x < s->m->n; x++) {
		bool used = x == s->y || x == s->base || (s->without && s->without[x]);
		for (size_t i = 0; i < s->n; i++)
			used = used || s->x[i] == x;
		if (used)
			continue;
		struct peak p = peak_of(s, x, buf);
		if (s->ties && s->n && fabs(p.at - s->k[0]) > 0.005 * s->k[0])
			continue;
		if (p.share * (double)p.n > best.share * (double)best.n) {
			best = p;
			*who = x;
		}
	}
	return best.n < 50 ? (struct peak){0} : best;
}

/* Experts one by one, the sharpest peak first; the certificate. */
static double add_experts(struct sparse *s, float *buf)
{
	double told = coverage(s);
	while (s->n < EXPERTS) {
		size_t who = SIZE_MAX;
		struct peak best = next_expert(s, buf, &who);
		if (best.share < 0.05)
			break;
		s->x[s->n] = who;
		s->k[s->n++] = best.at;
		double now = find_weight(s, buf);
		if (now < told + 0.02) {
			s->n--;
			coverage(s);
			break;
		}
		told = now;
	}
	bool weighed = s->n >= 2;	/* values that two of TIES's experts share show their weights; none show that it is none */
	for (size_t i = 0; i < s->n; i++)
		weighed = weighed && (!s->ties || s->w[i] > 0);
	return weighed ? certificate(s) : 0;
}

/* The members that share most values with y, to within a step: the base is among them. */
static size_t bases(const struct mix *m, size_t y, size_t *out, double *score)
{
	size_t n = 0;
	for (size_t b = 0; b < m->n; b++) {
		if (b == y)
			continue;
		uint32_t same = 0;
		const float *v = m->x + y * m->len, *w = m->x + b * m->len, *u = m->ulp + y * m->len;
		for (size_t e = 0; e < m->len; e++)
			same += fabsf(v[e] - w[e]) <= 0.51f * u[e];
		double share = (double)same / (double)m->len;
		if (n == BASES && share <= score[n - 1])
			continue;
		size_t at = n < BASES ? n++ : n - 1;
		for (; at > 0 && score[at - 1] < share; at--) {
			score[at] = score[at - 1];
			out[at] = out[at - 1];
		}
		score[at] = share;
		out[at] = b;
	}
	return n;
}

static void describe(const struct sparse *s, double told, struct merge *out)
{
	const struct mix *m = s->m;
	size_t zero = 0;
	for (size_t e = 0; e < m->len; e++)
		zero += fabs(value(m, s->y, e) - value(m, s->base, e)) <= 0.51 * step(s, e);
	/* independent masks: nothing survives in (1 - density)^experts of the values */
	double density = 1 - pow((double)zero / (double)m->len, 1.0 / (double)s->n), sum = 0;
	*out = (struct merge){.kind = s->ties ? MERGE_TIES : MERGE_DARE, .child = m->who[s->y], .n = s->n + 1, .ratio = 1 - told, .density = density,
			      .used = m->len, .next = INFINITY, .score = 2 + (1 - told)};
	for (size_t i = 0; i < s->n; i++) {	/* TIES: weights are known up to their sum */
		out->parent[i] = m->who[s->x[i]];
		out->weight[i] = s->ties ? s->w[i] : s->k[i] * density;
		sum += out->weight[i];
	}
	for (size_t i = 0; i < s->n && s->ties; i++)
		out->weight[i] *= s->k[0] / sum;
	out->parent[s->n] = m->who[s->base];
	out->weight[s->n] = NAN;
}

/* The one that shares most first; three experts may stand before the base; more experts explain more, also from a wrong
 * base. Where a member is a mixture itself, what it was mixed of explains more: `mixed` are no experts then. */
static bool found_among(struct sparse *any, const size_t *base, const double *score, size_t n, const bool *mixed,
			struct peak *first, float *buf, struct merge *out)
{
	for (size_t i = 0; i < n; i++) {
		if (score[i] > 0.9)		/* of the rest, a tenth at least must be there for the certificate */
			continue;
		any->base = base[i];
		any->without = mixed;
		any->first = first + i * any->m->n;
		struct sparse s = *any, ties = s;
		double got = add_experts(&s, buf), as_ties = 0;
		ties.ties = true;
		ties.n = s.n > 0;		/* the first is the same */
		ties.x[0] = s.x[0];
		ties.k[0] = s.k[0];
		ties.w[0] = 1;
		if (ties.n)
			as_ties = add_experts(&ties, buf);
		if (fmax(got, as_ties) > need) {
			describe(as_ties > got ? &ties : &s, fmax(got, as_ties), out);
			return true;
		}
	}
	return false;
}

int merge_sparse(const struct fam *f, const struct mix *m, size_t y, const bool *mixed, struct merge *out)
{
	cleanup_free float *buf = mem_array(m->len + 1, sizeof *buf);
	cleanup_free uint8_t *told = mem_array(m->len + 1, 1);
	cleanup_free struct peak *first = mem_array(m->n * BASES, sizeof *first);
	if (!buf || !told || !first)
		return -ENOMEM;
	for (size_t i = 0; i < m->n * BASES; i++)
		first[i].n = SIZE_MAX;
	double score[BASES];
	size_t b[BASES], n = bases(m, y, b, score);
	struct sparse s = {.f = f, .m = m, .y = y, .told = told};
	return (mixed && found_among(&s, b, score, n, mixed, first, buf, out)) ||
	       found_among(&s, b, score, n, NULL, first, buf, out);
}
