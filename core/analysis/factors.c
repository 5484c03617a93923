/* Low-rank factors against the matrices they are to be added to, over the positions that the samples share. */
#include "core/analysis/factors.h"

#include "core/analysis/lanes.h"
#include "core/analysis/sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One place: the factors and a model's matrix there, cut to common rows (of B and W) and columns (of A and W). */
struct place {
	size_t n, m, r;			/* rows, columns, rank as sampled */
	double *left;			/* r x n: B's columns */
	double *right;			/* r x m: A's rows */
	double *w;			/* n x m: the matrix, or a step of it */
};

static void place_release(struct place *p)
{
	free(p->left);
	free(p->right);
	free(p->w);
	*p = (struct place){0};
}

enum { COMPONENTS = 16, COMPONENT_LEN = 32 };

/* A role is preceded by its component's name where a model has several, and a pipeline has more than
 * its adapter. */
struct components { char name[COMPONENTS][COMPONENT_LEN]; size_t n; };

static void components_of(const struct signature *s, struct components *c)
{
	c->n = 0;
	for (size_t i = 0; i < s->n_parts && c->n < COMPONENTS; i++) {
		const char *role = s->parts[i].role, *colon = strchr(role, ':');
		size_t len = colon ? (size_t)(colon + 1 - role) : 0, k = 0;
		if (!len || len >= COMPONENT_LEN)
			continue;
		while (k < c->n && (strncmp(c->name[k], role, len) || c->name[k][len]))
			k++;
		if (k == c->n)
			snprintf(c->name[c->n++], COMPONENT_LEN, "%.*s", (int)len, role);
	}
}

/* The matrix of the base that a factor of this role (without its ending) is of. */
static const struct sigpart *adapted(const struct signature *base, const struct components *c, const char *role,
				     const struct sigpart *a)
{
	const char *bare = strchr(role, ':');
	const struct sigpart *p = signature_find(base, sample_role_hash(role), a->layer, a->expert);
	if (!p && bare)
		return signature_find(base, sample_role_hash(bare + 1), a->layer, a->expert);
	for (size_t i = 0; !p && i < c->n; i++) {
		uint64_t hash;
		cleanup_free char *full = mem_alloc(strlen(c->name[i]) + strlen(role) + 1);
		if (!full)
			return NULL;
		hash = sample_role_hash(strcat(strcpy(full, c->name[i]), role));
		p = signature_find(base, hash, a->layer, a->expert);
	}
	return p;
}

/* The parts in the place of the factor a: the other factor, and the matrix that a model has there; NULL: none. */
static int beside(const struct signature *adapter, const struct signature *model, const struct components *c,
		  const struct sigpart *a, const struct sigpart **b, const struct sigpart **w, struct err *e)
{
	size_t n = strlen(a->role);
	cleanup_free char *role = mem_strdup(a->role);
	if (!role)
		return err_nomem(e);
	role[n - 1] = 'b';
	*b = signature_find(adapter, sample_role_hash(role), a->layer, a->expert);
	role[n - CANON_FACTOR] = 0;
	*w = adapted(model, c, role, a);
	return 0;
}

static bool shapes_fit(const struct sigpart *a, const struct sigpart *b, const struct sigpart *w)
{
	return b && w && a->rows == b->cols && a->cols == w->cols && b->rows == w->rows;
}

int factors_fit(const struct signature *adapter, const struct signature *model, struct factor_fit *out, struct err *e)
{
	struct components c;
	*out = (struct factor_fit){0};
	components_of(model, &c);
	for (size_t i = 0; i < adapter->n_parts; i++) {
		const struct sigpart *a = &adapter->parts[i], *b, *w;
		if (canon_factor(a->role) != 'a')
			continue;
		int rc = beside(adapter, model, &c, a, &b, &w, e);
		if (rc)
			return rc;
		out->places++;
		out->rank = (uint32_t)MIN(a->rows, (uint64_t)UINT32_MAX);
		out->fitting += shapes_fit(a, b, w);
	}
	return 0;
}

/* Positions in two ascending lists of what both have. */
static size_t common(const uint32_t *a, size_t na, const uint32_t *b, size_t nb, uint32_t (*at)[2])
{
	size_t n = 0;
	for (size_t i = 0, j = 0; i < na && j < nb;) {
		if (a[i] == b[j]) {
			at[n][0] = (uint32_t)i;
			at[n++][1] = (uint32_t)j;
		}
		bool next = a[i] <= b[j];
		j += b[j] <= a[i];
		i += next;
	}
	return n;
}

static int cut(struct place *p, const struct sigpart *a, const struct sigpart *b, const struct sigpart *w,
	       const struct sigpart *from, struct err *e)
{
	*p = (struct place){0};
	cleanup_free uint32_t (*row)[2] = mem_array(MIN(b->nr, w->nr) + 1u, sizeof *row);
	cleanup_free uint32_t (*col)[2] = mem_array(MIN(a->nc, w->nc) + 1u, sizeof *col);
	cleanup_free uint32_t (*rank)[2] = mem_array(MIN(a->nr, b->nc) + 1u, sizeof *rank);
	if (!row || !col || !rank)
		return err_nomem(e);
	p->r = common(a->row, a->nr, b->col, b->nc, rank);
	p->n = common(b->row, b->nr, w->row, w->nr, row);
	p->m = common(a->col, a->nc, w->col, w->nc, col);
	p->left = mem_array(p->r * p->n + 1, sizeof *p->left);
	p->right = mem_array(p->r * p->m + 1, sizeof *p->right);
	p->w = mem_array(p->n * p->m + 1, sizeof *p->w);
	if (!p->left || !p->right || !p->w) {
		place_release(p);
		return err_nomem(e);
	}
	for (size_t k = 0; k < p->r; k++) {
		for (size_t i = 0; i < p->n; i++)
			p->left[k * p->n + i] = b->v[(size_t)row[i][0] * b->nc + rank[k][1]];
		for (size_t j = 0; j < p->m; j++)
			p->right[k * p->m + j] = a->v[(size_t)rank[k][0] * a->nc + col[j][0]];
	}
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; j < p->m; j++) {
			size_t at = (size_t)row[i][1] * w->nc + col[j][1];
			p->w[i * p->m + j] = (double)w->v[at] - (from ? (double)from->v[at] : 0);
		}
	return 0;
}

/* A walk over the places of an adapter that a model has; with a parent, the steps from it. */
struct walk {
	const struct signature *adapter, *parent, *model;
	struct components of_parent, of_model;
	size_t i;
	struct place p;			/* released by the next step */
};

static void walk_init(struct walk *w, const struct signature *adapter, const struct signature *parent,
		      const struct signature *model)
{
	*w = (struct walk){.adapter = adapter, .parent = parent, .model = model};
	components_of(model, &w->of_model);
	if (parent)
		components_of(parent, &w->of_parent);
}

/* False at the end; on an error too, which *rc has. Places whose samples differ are passed over. */
static bool walk_next(struct walk *k, int *rc, struct err *e)
{
	place_release(&k->p);
	while (!*rc && k->i < k->adapter->n_parts) {
		const struct sigpart *a = &k->adapter->parts[k->i++], *b, *w, *from = NULL;
		if (canon_factor(a->role) != 'a')
			continue;
		*rc = beside(k->adapter, k->model, &k->of_model, a, &b, &w, e);
		if (!*rc && k->parent)
			*rc = beside(k->adapter, k->parent, &k->of_parent, a, &b, &from, e);
		if (*rc || !shapes_fit(a, b, w) || w->nonfinite > 0 || a->nonfinite > 0 || b->nonfinite > 0 ||
		    (k->parent && (!from || from->grid != w->grid || from->nonfinite > 0)))
			continue;
		*rc = cut(&k->p, a, b, w, from, e);
		return !*rc;
	}
	return false;
}

/* Gram and Schmidt, twice for each vector; returns how many of the r remain. */
static size_t orthonormal(double *v, size_t r, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < r; i++) {
		double *x = v + k * n, before = lanes_dot_double(v + i * n, v + i * n, n);
		memmove(x, v + i * n, n * sizeof *x);
		for (int twice = 0; twice < 2; twice++)
			for (size_t j = 0; j < k; j++)
				lanes_take_out(x, v + j * n, n);
		double left = lanes_dot_double(x, x, n);
		if (!(left > 1e-8 * before))
			continue;
		for (size_t l = 0; l < n; l++)
			x[l] /= sqrt(left);
		k++;
	}
	return k;
}

/* Share of w's energy within the span of k orthonormal vectors over its rows (or columns), over what chance gives. */
static double share(const struct place *p, const double *v, size_t k, bool rows, double energy)
{
	double sum = 0;
	for (size_t q = 0; q < k; q++)
		for (size_t o = 0; o < (rows ? p->m : p->n); o++) {
			double c = 0;
			for (size_t i = 0; i < (rows ? p->n : p->m); i++)
				c += v[q * (rows ? p->n : p->m) + i] * p->w[rows ? i * p->m + o : o * p->m + i];
			sum += c * c;
		}
	return sum / energy * (double)(rows ? p->n : p->m) / (double)k;
}

int factors_excess(const struct signature *adapter, const struct signature *model, double *out, struct err *e)
{
	double left = 0, right = 0;
	size_t n = 0;
	int rc = 0;
	struct walk k;
	*out = NAN;
	walk_init(&k, adapter, NULL, model);
	while (walk_next(&k, &rc, e)) {
		struct place *p = &k.p;
		double energy = lanes_dot_double(p->w, p->w, p->n * p->m);
		if (2 * p->r > p->n || 2 * p->r > p->m || !(energy > 0))
			continue;
		size_t b = orthonormal(p->left, p->r, p->n), a = orthonormal(p->right, p->r, p->m);
		if (!a || !b)
			continue;
		left += share(p, p->left, b, true, energy);
		right += share(p, p->right, a, false, energy);
		n++;
	}
	if (!rc && n)
		*out = log(left / (double)n) + log(right / (double)n);
	return rc;
}

int factors_step(const struct signature *adapter, const struct signature *parent, const struct signature *child,
		 double *out, struct err *e)
{
	double both = 0, step = 0, update = 0;
	int rc = 0;
	struct walk k;
	*out = NAN;
	walk_init(&k, adapter, parent, child);
	while (walk_next(&k, &rc, e)) {
		const struct place *p = &k.p;
		for (size_t i = 0; i < p->n; i++)
			for (size_t j = 0; j < p->m; j++) {
				double u = 0, d = p->w[i * p->m + j];
				for (size_t r = 0; r < p->r; r++)
					u += p->left[r * p->n + i] * p->right[r * p->m + j];
				both += u * d;
				step += d * d;
				update += u * u;
			}
	}
	if (!rc && step > 0 && update > 0)
		*out = both / sqrt(step * update);
	return rc;
}
