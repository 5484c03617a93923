/*
 * Which of two models was trained longer. Tokens never seen in training are only ever pushed down, along the mean
 * final hidden state, so that their rows of the head share a vector that grows with every step (lineage-lab.md: 148
 * of 150 pairs). Where the head did not move or there is none: batches counted by normalisation layers, then growth
 * of the norm (35/38, 36/38, 92/96).
 */
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { KNN = 16, VOTERS = 24 };
static const double SPARSER = 0.1;	/* of the values */

/* The slot whose rows are the output's tokens: the head, or the embedding where they are tied. */
static size_t head_slot(const struct fam *f)
{
	size_t head = SIZE_MAX, embed = SIZE_MAX, have_head = 0, have_embed = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct slot *s = &f->v.slot[i];
		if (s->kind != SLOT_VOCAB)
			continue;
		size_t have = 0;
		for (uint32_t m = 0; m < f->n; m++)
			have += fam_x(f, m, i) != NULL;
		if (!strcmp(s->role, "head")) {
			head = i;
			have_head = have;
		} else {
			embed = i;
			have_embed = have;
		}
	}
	return have_head * 2 >= have_embed ? head : embed;
}

static void normalise(const float *x, uint32_t nr, uint32_t nc, float *out)
{
	for (uint32_t i = 0; i < nr; i++) {
		double sq = 0;
		for (uint32_t j = 0; j < nc; j++)
			sq += (double)x[i * nc + j] * x[i * nc + j];
		float r = sq > 0 ? (float)(1 / sqrt(sq)) : 0;
		for (uint32_t j = 0; j < nc; j++)
			out[i * nc + j] = x[i * nc + j] * r;
	}
}

/* Mean cosine of row i to its nearest rows, and which these are. cosine: of i to each. */
static double neighbourhood(const float *cosine, uint32_t nr, uint32_t i, uint32_t *near)
{
	float best[KNN];
	uint32_t n = 0;
	for (uint32_t j = 0; j < nr; j++) {
		if (j == i)
			continue;
		float c = cosine[j];
		if (n == KNN && c <= best[n - 1])
			continue;
		uint32_t at = n < KNN ? n++ : n - 1;
		for (; at > 0 && best[at - 1] < c; at--) {
			best[at] = best[at - 1];
			near[at] = near[at - 1];
		}
		best[at] = c;
		near[at] = j;
	}
	double sum = 0;
	for (uint32_t k = 0; k < n; k++)
		sum += best[k];
	return n ? sum / n : 0;
}

/* The rows of one model that look unseen: those along the densest direction. Votes are counted in `votes`. */
static void vote(const float *x, uint32_t nr, uint32_t nc, float *u, float *cosine, double *c, uint32_t *votes)
{
	uint32_t near[KNN], top[KNN];
	double best = -1;
	uint32_t centre = 0;
	normalise(x, nr, nc, u);
	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t j = 0; j <= i; j++)
			cosine[(size_t)i * nr + j] = cosine[(size_t)j * nr + i] =
				lanes_dot_float(u + (size_t)i * nc, u + (size_t)j * nc, nc);
	for (uint32_t i = 0; i < nr; i++) {
		double v = neighbourhood(cosine + (size_t)i * nr, nr, i, near);
		if (v > best) {
			best = v;
			centre = i;
			memcpy(top, near, sizeof top);
		}
	}
	memset(c, 0, nc * sizeof *c);
	for (uint32_t j = 0; j < nc; j++) {
		for (uint32_t k = 0; k < KNN && k + 1 < nr; k++)
			c[j] += u[(size_t)top[k] * nc + j];
		c[j] += u[(size_t)centre * nc + j];
	}
	double sq = 0;
	for (uint32_t j = 0; j < nc; j++)
		sq += c[j] * c[j];
	for (uint32_t i = 0; i < nr && sq > 0 && best > 0.3; i++) {
		double s = 0;
		for (uint32_t j = 0; j < nc; j++)
			s += u[(size_t)i * nc + j] * c[j];
		votes[i] += s / sqrt(sq) > 0.8 * sqrt(best);
	}
}

/* One set of unseen rows for the whole family: those that six in ten of the voters agree on. */
static int find_unseen(struct fam *f)
{
	const struct slot *s = &f->v.slot[f->head_slot];
	cleanup_free float *u = mem_array(s->n, sizeof *u);
	cleanup_free float *cosine = mem_array((size_t)s->nr * s->nr, sizeof *cosine);
	cleanup_free double *c = mem_array(s->nc, sizeof *c);
	cleanup_free uint32_t *votes = mem_array(s->nr, sizeof *votes);
	f->unseen = arena_array(&f->arena, s->nr + 1, sizeof *f->unseen);
	if (!u || !cosine || !c || !votes || !f->unseen)
		return -ENOMEM;
	size_t voters = 0, step = f->n / VOTERS + 1;
	for (uint32_t m = 0; m < f->n; m += step) {
		const float *x = fam_x(f, m, f->head_slot);
		if (!x || !fam_live(f, m) || f->node[m].permuted)
			continue;
		vote(x, s->nr, s->nc, u, cosine, c, votes);
		voters++;
	}
	for (uint32_t i = 0; i < s->nr; i++) {
		f->unseen[i] = voters && votes[i] * 10 >= voters * 6;
		f->n_unseen += f->unseen[i];
	}
	return 0;
}

static double common_vector(const struct fam *f, uint32_t m)
{
	const struct slot *s = &f->v.slot[f->head_slot];
	const float *x = fam_x(f, m, f->head_slot);
	if (!x)
		return NAN;
	double sq = 0;
	for (uint32_t j = 0; j < s->nc; j++) {
		double sum = 0;
		for (uint32_t i = 0; i < s->nr; i++)
			sum += f->unseen[i] ? x[(size_t)i * s->nc + j] : 0;
		sum /= (double)f->n_unseen;
		sq += sum * sum;
	}
	return sqrt(sq);
}

static double batches(const struct fam *f, uint32_t m)
{
	static const char tail[] = "num_batches_tracked";
	double most = NAN;
	for (size_t i = 0; i < f->sig[m].n_parts; i++) {
		const struct sigpart *p = &f->sig[m].parts[i];
		size_t n = strlen(p->role), k = sizeof tail - 1;
		if (n >= k && !strcmp(p->role + n - k, tail) && p->nr && isfinite(p->v[0]) && p->v[0] > 0)
			most = !(most > p->v[0]) ? p->v[0] : most;
	}
	return most;
}

/* Sums of squares of each of the tree's slots, kept: growth between any two members follows. */
static int take_norms(struct fam *f)
{
	f->norm2 = arena_array(&f->arena, f->n * f->n_tree + 1, sizeof *f->norm2);
	if (!f->norm2)
		return -ENOMEM;
	for (uint32_t m = 0; m < f->n; m++) {
		size_t zeros = 0, all = 0;
		for (size_t k = 0; k < f->n_tree; k++) {
			const float *x = fam_x(f, m, f->tree_slot[k]);
			size_t n = x ? f->v.slot[f->tree_slot[k]].n : 0;
			double sq = lanes_dot(x, x, n);
			f->norm2[m * f->n_tree + k] = sq;
			f->node[m].norm += sq;
			for (size_t i = 0; i < n; i++)
				zeros += x[i] == 0;
			all += n;
		}
		f->node[m].zeros = all ? (double)zeros / (double)all : 0;
	}
	return 0;
}

bool fam_sparser(const struct fam *f, uint32_t s, uint32_t m)
{
	if (f->node[s].zeros < f->node[m].zeros + SPARSER)
		return false;
	double gone = 0, moved = 0;
	size_t zeros = 0, others = 0;
	for (size_t k = 0; k < f->n_tree; k++) {
		const float *x = fam_x(f, s, f->tree_slot[k]), *y = fam_x(f, m, f->tree_slot[k]);
		for (size_t i = 0; x && y && i < f->v.slot[f->tree_slot[k]].n; i++) {
			double d = (double)y[i] - x[i];
			zeros += x[i] == 0;
			gone += x[i] == 0 ? d * d : 0;
			moved += x[i] == 0 ? 0 : d * d;
			others += x[i] != 0;
		}
	}
	return zeros && others && gone / (double)zeros > 4 * moved / (double)others;
}

/* Squared distance of a and b over the tree's slots that both have; in a large family estimated from every fourth. */
static double step2(const struct fam *f, uint32_t a, uint32_t b, const bool *fresh)
{
	double d = 0;
	size_t all = 0, looked = 0, every = f->large ? 4 : 1;
	for (size_t k = 0; k < f->n_tree; k++) {
		size_t i = f->tree_slot[k], n = f->v.slot[i].n;
		const float *x = fam_x(f, a, i), *y = fam_x(f, b, i);
		if (!x || !y || (fresh && fresh[i]))
			continue;
		if (all >= looked * every) {
			d += lanes_distance2(x, y, n);
			looked += n;
		}
		all += n;
	}
	return looked ? d * (double)all / (double)looked : 0;
}

static int take_row(void *arg, size_t a)
{
	struct fam *f = arg;
	for (uint32_t b = 0; b < a; b++)
		f->step2[a * f->n + b] = f->step2[b * f->n + a] = step2(f, (uint32_t)a, b, NULL);
	return cancel_asked(f->cancel) ? -ECANCELED : 0;
}

static int take_steps(struct fam *f)
{
	if (f->large)
		return 0;
	f->step2 = arena_array(&f->arena, f->n * f->n, sizeof *f->step2);
	return f->step2 ? pool_for(fam_threads(f), f->n, take_row, f) : -ENOMEM;
}

int clock_find(struct fam *f, struct err *e)
{
	f->head_slot = head_slot(f);
	int rc = f->head_slot == SIZE_MAX ? 0 : find_unseen(f);
	rc = rc ? rc : take_norms(f);
	rc = rc ? rc : take_steps(f);
	for (uint32_t m = 0; m < f->n && !rc; m++) {
		f->node[m].clock = f->n_unseen >= UNSEEN_LEAST ? common_vector(f, m) : NAN;
		f->node[m].counter = batches(f, m);
	}
	return rc == -ECANCELED ? err_set(e, ECANCELED, "asked to stop") : rc;
}

/* Did the head stay as it was, up to the rounding of the coarser type? */
static bool head_kept(const struct fam *f, uint32_t a, uint32_t b)
{
	const float *x = fam_x(f, a, f->head_slot), *y = fam_x(f, b, f->head_slot);
	enum dtype da = (enum dtype)fam_part(f, a, f->head_slot)->dtype,
		   db = (enum dtype)fam_part(f, b, f->head_slot)->dtype;
	for (size_t i = 0; i < f->v.slot[f->head_slot].n; i++)
		if (x[i] != y[i] && fabs((double)x[i] - y[i]) > 1.01 * fmax(dtype_ulp(x[i], da), dtype_ulp(y[i], db)))
			return false;
	return true;
}

/* Over the matrices both have: growth of the squared norm from a to b over the squared step, and the step over the
 * norm. */
struct growth { double norm, step; };

static struct growth growth(const struct fam *f, uint32_t a, uint32_t b, const bool *fresh)
{
	double d = f->step2 && !fresh ? f->step2[a * f->n + b] : step2(f, a, b, fresh), g = 0, n = 0;
	for (size_t k = 0; k < f->n_tree; k++) {
		size_t i = f->tree_slot[k];
		const float *x = fam_x(f, a, i), *y = fam_x(f, b, i);
		if (!x || !y || (fresh && fresh[i]))
			continue;
		g += f->norm2[b * f->n_tree + k] - f->norm2[a * f->n_tree + k];
		n += f->norm2[b * f->n_tree + k] + f->norm2[a * f->n_tree + k];
	}
	return (struct growth){d > 0 ? g / d : 0, n > 0 ? sqrt(2 * d / n) : 0};
}

enum { ALONE = 3 };

/* Of slots drawn anew between a and b: who is alone with them in the family, but for a few copies and children? -1: b is
 * (so a came first), 1: a, 0: not known. A checkpoint of a run's beginning is as unlike some as it is like others. */
static int drawn_anew(const struct fam *f, uint32_t a, uint32_t b, const bool *fresh)
{
	cleanup_free bool *other = mem_array(f->v.slots + 1, sizeof *other);
	size_t with_a = 0, with_b = 0;
	for (uint32_t r = 0; r < f->n && other; r++) {
		if (r == a || r == b || !fam_live(f, r) || f->node[r].permuted)
			continue;
		bool like_a = true, like_b = true;
		fam_fresh(f, a, r, other);
		for (size_t i = 0; i < f->v.slots; i++)
			like_a = like_a && !(fresh[i] && other[i]);
		fam_fresh(f, b, r, other);
		for (size_t i = 0; i < f->v.slots; i++)
			like_b = like_b && !(fresh[i] && other[i]);
		with_a += like_a;
		with_b += like_b;
	}
	return with_a > ALONE * with_b ? -1 : with_b > ALONE * with_a ? 1 : 0;
}

static int tell(int which, double sure, const char *by, double *out_sure, const char **out_by)
{
	if (out_sure)
		*out_sure = sure;
	if (out_by)
		*out_by = by;
	return which;
}

/* What a copy with zeros, rounding or more rows was trained as. */
static uint32_t trained_as(const struct fam *f, uint32_t m)
{
	for (size_t depth = 0; depth < f->n && f->node[m].state == NODE_DERIVED && f->node[m].parent != UINT32_MAX;
	     depth++)
		m = f->node[m].parent;
	return m;
}

int clock_compare(const struct fam *f, uint32_t a, uint32_t b, double *sure, const char **by)
{
	uint32_t from_a = trained_as(f, a), from_b = trained_as(f, b);
	if (from_a != from_b) {
		a = from_a;
		b = from_b;
	}
	const struct node *x = &f->node[a], *y = &f->node[b];
	if (x->counter > 0 && y->counter > 0 && x->counter != y->counter)
		return tell(x->counter < y->counter ? -1 : 1, 0.99,
			    "batches counted by normalisation layers", sure, by);
	bool sparser = fam_sparser(f, a, b);
	if (sparser || fam_sparser(f, b, a))
		return tell(sparser ? 1 : -1, 0.97, "zeros in one where the other has values", sure, by);
	bool some = fam_any_fresh(f, a, b);
	cleanup_free bool *fresh = some ? mem_array(f->v.slots + 1, sizeof *fresh) : NULL;
	int anew = fresh && fam_fresh(f, a, b, fresh) ? drawn_anew(f, a, b, fresh) : 0;
	if (anew)
		return tell(anew, 0.95, "matrices drawn anew in one, shared with relatives in the other", sure, by);
	bool fresh_head = fresh && f->head_slot != SIZE_MAX && fresh[f->head_slot];
	/* Log odds fitted on 206 pairs of eight lakes: each clock alone turns some round (weight decay takes back
	 * what small steps add to the common vector; the norm shrinks), but not the same ones. */
	struct growth g = growth(f, a, b, fresh);
	double grown = 2.6 * fmax(-1, fmin(g.norm, 2)), later = 0;
	if (x->clock > 0 && y->clock > 0 && g.step > 0 && !fresh_head && !head_kept(f, a, b))
		later = 3.3 * fmax(-1, fmin(100 * log(y->clock / x->clock) / (15 * g.step), 1));
	double both = grown + later;
	const char *what = !(later * both > 0) ? "growth of the norm"
			   : grown * both > 0  ? "rows of the head for unseen tokens and growth of the norm"
					       : "rows of the head for unseen tokens";
	return tell(both > 0 ? -1 : both < 0, 1 / (1 + exp(-fmin(fabs(both), 4))), what, sure, by);
}
