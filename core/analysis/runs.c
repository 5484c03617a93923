/* Runs of adapters: who is compared with whom, and the edges. */
#include "core/analysis/runs.h"

#include "core/analysis/family.h"
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_pair.h"
#include "core/analysis/matrix.h"
#include "core/analysis/sample.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARED = 8, WINDOW = 1024, PLACES_MAX = 4096 };
/* Of five runs on three texts: cosines of B in the lower half 0.63 and more between checkpoints of a run, at most 0.42
 * between runs on other texts; of A 0.79 and more in a run (docs/lineage.md). */
static const double START = 0.7, KEPT = 0.55, GROWN = 1.02;

static bool aligned(const struct sigpart *x, const struct sigpart *y)
{
	return x && y && x->rows == y->rows && x->cols == y->cols && x->nr == y->nr && x->nc == y->nc &&
	       x->grid == y->grid;
}

static const struct sigpart *in_its_place(const struct signature *s, const struct sigpart *p)
{
	return signature_find(s, p->role_hash, p->layer, p->expert);
}

/* What the parts of two adapters add up to. */
struct sums {
	double *start, *share;
	size_t n_start, n_share;
	double xx, yy, dd;
};

/* Coefficients of y in the lower half of the spectrum of x, both rows x rank: v' (x' y) v / w for each eigenvector v of
 * x' x. */
static void take_shares(const struct sigpart *x, const struct sigpart *y, struct sums *s)
{
	double g[MATRIX_MAX * MATRIX_MAX], c[MATRIX_MAX * MATRIX_MAX], w[MATRIX_MAX];
	size_t r = MIN(x->nc, (uint32_t)MATRIX_MAX);
	memset(g, 0, sizeof g);
	memset(c, 0, sizeof c);
	for (uint32_t i = 0; i < x->nr; i++) {
		const float *a = x->v + (size_t)i * x->nc, *b = y->v + (size_t)i * y->nc;
		for (size_t j = 0; j < r; j++)
			for (size_t k = 0; k < r; k++) {
				g[j * r + k] += (double)a[j] * a[k];
				c[j * r + k] += (double)a[j] * b[k];
			}
	}
	if (!matrix_eigen(g, r, w, true))
		return;
	for (size_t k = 0; k < (r + 1) / 2; k++) {
		double sum = 0;
		for (size_t i = 0; i < r; i++)
			for (size_t j = 0; j < r; j++)
				sum += g[i * r + k] * c[i * r + j] * g[j * r + k];
		if (w[k] > 1e-9 * w[r - 1] && w[k] > 0)
			s->share[s->n_share++] = sum / w[k];
	}
}

static bool take_parts(const struct signature *x, const struct signature *y, struct sums *s, struct same_run *out)
{
	out->equal = x->n_parts == y->n_parts;
	for (size_t i = 0; i < x->n_parts; i++) {
		const struct sigpart *p = &x->parts[i], *q = in_its_place(y, p);
		size_t n = (size_t)p->nr * p->nc;
		char factor = canon_factor(p->role);
		if (!aligned(p, q)) {
			out->equal = false;
			if (factor)
				return false;
			continue;
		}
		out->equal &= !memcmp(p->v, q->v, n * sizeof *p->v) && p->content == q->content && p->dtype == q->dtype;
		double xx = lanes_dot(p->v, p->v, n), yy = lanes_dot(q->v, q->v, n);
		if (!isfinite(xx) || !isfinite(yy))
			return false;
		if (factor == 'a' && s->n_start < PLACES_MAX && xx > 0 && yy > 0)
			s->start[s->n_start++] = lanes_dot(p->v, q->v, n) / sqrt(xx * yy);
		if (factor != 'b' || out->places == PLACES_MAX)
			continue;
		out->places++;
		s->xx += xx;
		s->yy += yy;
		s->dd += lanes_distance2(p->v, q->v, n);
		take_shares(p, q, s);
	}
	return true;
}

int same_run_of(const struct signature *x, const struct signature *y, struct same_run *out, struct err *e)
{
	struct sums s = {.start = mem_array(PLACES_MAX, sizeof *s.start),
			 .share = mem_array((size_t)PLACES_MAX * MATRIX_MAX / 2, sizeof *s.share)};
	int rc = s.start && s.share ? 0 : err_nomem(e);
	*out = (struct same_run){0};
	if (!rc && !(take_parts(x, y, &s, out) && s.xx > 0 && s.yy > 0 && s.n_share && s.n_start)) {
		*out = (struct same_run){0};
	} else if (!rc) {
		out->start = median_of(s.start, s.n_start);
		out->share = median_of(s.share, s.n_share);
		out->growth = sqrt(s.yy / s.xx);
		out->distance = sqrt(s.dd / (s.xx + s.yy));
	}
	free(s.start);
	free(s.share);
	return rc;
}

bool same_run_holds(const struct same_run *r)
{
	return r->places && r->start > START && r->share > KEPT * r->growth;
}

/* Adapters alone, as models whose families are looked for. */
struct adapters {
	const struct lineage_input *in;
	uint32_t *which;		/* index in the whole */
	struct lineage_model *model;
	double *norm;			/* of all B's */
	bool *copy;			/* of an earlier one */
	size_t n;
};

static int load(void *arg, uint32_t i, struct signature *s, struct err *e)
{
	const struct adapters *a = arg;
	return a->in->load(a->in->arg, a->which[i], s, e);
}

static void adapters_release(struct adapters *a)
{
	free(a->which);
	free(a->model);
	free(a->norm);
	free(a->copy);
}

static int adapters_of(struct adapters *a, const struct lineage_input *in, struct err *e)
{
	size_t n = 0;
	for (size_t i = 0; i < in->n; i++)
		n += in->models[i].adapter && in->models[i].sketch;
	*a = (struct adapters){in, mem_array(n + 1, sizeof *a->which), mem_array(n + 1, sizeof *a->model),
			       mem_array(n + 1, sizeof *a->norm), mem_array(n + 1, sizeof *a->copy), 0};
	if (!a->which || !a->model || !a->norm || !a->copy)
		return err_nomem(e);
	for (uint32_t i = 0; i < in->n; i++)
		if (in->models[i].adapter && in->models[i].sketch) {
			a->model[a->n] = in->models[i];
			a->model[a->n].adapter = NULL;
			a->which[a->n++] = i;
		}
	return 0;
}

static double norm_of(const struct signature *s)
{
	double sum = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		if (canon_factor(s->parts[i].role) == 'b')
			sum += lanes_dot(s->parts[i].v, s->parts[i].v, (size_t)s->parts[i].nr * s->parts[i].nc);
	return isfinite(sum) ? sum : INFINITY;
}

struct checkpoint { uint32_t at, family, rank; double norm; };

static int cmp_member(const void *x, const void *y)
{
	const struct checkpoint *a = x, *b = y;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->norm != b->norm)
		return a->norm < b->norm ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

struct near { uint32_t at, rank; double cosine; };

static int cmp_near(const void *x, const void *y)
{
	const struct near *a = x, *b = y;
	if (a->cosine != b->cosine)
		return a->cosine > b->cosine ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

/* Of those before m[y] the ones most like it by their sketches. */
static size_t nearest(const struct adapters *a, const struct checkpoint *m, size_t first, size_t y, struct near *out)
{
	const struct sketch *s = a->model[m[y].at].sketch;
	struct near best[COMPARED + 1];
	size_t n = 0;
	for (size_t i = y; i-- > first && y - i <= WINDOW;) {
		if (a->copy[m[i].at])
			continue;
		struct near c = {m[i].at, m[i].rank, 0};
		for (int b = 0; b < SKETCH_BLOCKS; b++)
			c.cosine += sketch_cosine(s, a->model[m[i].at].sketch, b);
		size_t at = n < COMPARED ? n++ : COMPARED;
		for (; at > 0 && cmp_near(&c, &best[at - 1]) < 0; at--)
			best[at] = best[at - 1];
		best[at] = c;
	}
	memcpy(out, best, n * sizeof *out);
	return n;
}

static int add_edge(struct lineage *l, const struct adapters *a, uint32_t y, uint32_t x, const struct same_run *r,
		    struct err *e)
{
	bool swap = !(r->growth > GROWN) && a->model[y].rank < a->model[x].rank;
	struct lineage_edge d = {.child = a->which[swap ? x : y],
				 .parent = a->which[swap ? y : x],
				 .weight = 1,
				 .confidence = 0.9,
				 .basis = BASIS_WEIGHTS,
				 .distance = r->distance,
				 .relation = RELATION_RELATED,
				 .method = "direction not told"};
	const char *why = "both began with the same A\nwhat is one's own of B, its noise, is in the other's\n";
	char text[200];
	snprintf(text, sizeof text,
		 "%zu pairs of factors, cosine of A %.4g, %.3g of the other's own B, %.3g times as long", r->places,
		 r->start, r->share, r->growth);
	if (r->growth > GROWN) {
		d.relation = RELATION_FINETUNE;
		d.method = "the factors grew from its";
	}
	if (r->equal) {
		d.relation = RELATION_DUPLICATE;
		d.method = "equal factors";
		why = "all factors have the same values\n";
	}
	return lineage_add_edge(l, &d, text, why) ? err_nomem(e) : 0;
}

/* The edge of m[y] to whichever earlier adapter of its run is nearest. */
static int one_of_run(struct lineage *l, struct adapters *a, const struct checkpoint *m, size_t first, size_t y,
		      struct err *e)
{
	struct near near[COMPARED];
	size_t n = nearest(a, m, first, y, near);
	struct signature s, t;
	struct same_run best = {.distance = INFINITY};
	uint32_t parent = LINEAGE_NONE;
	if (!n || load(a, m[y].at, &s, NULL))
		return 0;
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		struct same_run r;
		if (load(a, near[i].at, &t, NULL))
			continue;
		rc = same_run_of(&t, &s, &r, e);
		signature_release(&t);
		if (!rc && same_run_holds(&r) && r.distance < best.distance) {
			best = r;
			parent = near[i].at;
		}
	}
	signature_release(&s);
	a->copy[m[y].at] = parent != LINEAGE_NONE && best.equal;
	return rc || parent == LINEAGE_NONE ? rc : add_edge(l, a, m[y].at, parent, &best, e);
}

/* Norms of those that share a family with another. */
static int take_norms(struct adapters *a, const uint32_t *family, struct err *e)
{
	cleanup_free uint32_t *size = mem_array(a->n + 1, sizeof *size);
	if (!size)
		return err_nomem(e);
	for (size_t i = 0; i < a->n; i++)
		size[family[i]]++;
	for (uint32_t i = 0; i < a->n; i++) {
		struct signature s;
		if (size[family[i]] < 2 || load(a, i, &s, NULL))
			continue;
		a->norm[i] = norm_of(&s);
		signature_release(&s);
	}
	return 0;
}

int lineage_runs(struct lineage *out, const struct lineage_input *in, const struct cancel *cancel, struct err *e)
{
	struct adapters a cleanup_with(adapters_release) = {0};
	int rc = adapters_of(&a, in, e);
	cleanup_free uint32_t *family = mem_array(a.n + 1, sizeof *family);
	cleanup_free struct checkpoint *m = mem_array(a.n + 1, sizeof *m);
	if (rc || !family || !m)
		return rc ? rc : err_nomem(e);
	if (a.n < 2)
		return 0;
	struct lineage_input alone = {.models = a.model, .n = a.n, .load = load, .arg = &a, .threads = in->threads};
	rc = family_components(&alone, family, cancel, e);
	rc = rc ? rc : take_norms(&a, family, e);
	for (uint32_t i = 0; i < a.n; i++)
		m[i] = (struct checkpoint){i, family[i], a.model[i].rank, a.norm[i]};
	qsort(m, a.n, sizeof *m, cmp_member);
	for (size_t i = 0, first = 0; i < a.n && !rc; i++) {
		first = i && m[i].family != m[i - 1].family ? i : first;
		rc = cancel_asked(cancel) ? err_set(e, ECANCELED, "asked to stop") : 0;
		rc = rc ? rc : one_of_run(out, &a, m, first, i, e);
	}
	return rc;
}
