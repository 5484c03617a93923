/* Remembered looks: for each member what was asked of it, and the basis of the step that leads to it. */
#include "core/analysis/looks.h"

#include "core/analysis/matrix.h"

enum { SIDE_FEW = 32, AT_ONCE = 16 };

struct look { uint32_t p, x, near; struct between is; };
struct memory { struct look *look; size_t n, cap; };

struct looks {
	const struct fam *f;
	struct step_basis **basis;
	struct memory *of;		/* by y */
};

struct looks *looks_new(const struct fam *f)
{
	struct looks *l = mem_alloc(sizeof *l);
	if (!l)
		return NULL;
	l->f = f;
	l->basis = mem_array(f->n + 1, sizeof *l->basis);
	l->of = mem_array(f->n + 1, sizeof *l->of);
	if (l->basis && l->of)
		return l;
	looks_free(l);
	return NULL;
}

void looks_free(struct looks *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->f->n; i++) {
		if (l->basis)
			step_basis_free(l->basis[i]);
		if (l->of)
			free(l->of[i].look);
	}
	free(l->basis);
	free(l->of);
	free(l);
}

static const struct between *known(const struct looks *l, uint32_t p, uint32_t x, uint32_t y, uint32_t near)
{
	const struct memory *m = &l->of[y];
	for (size_t i = 0; i < m->n; i++)
		if (m->look[i].p == p && m->look[i].x == x && m->look[i].near == near)
			return &m->look[i].is;
	return NULL;
}

static size_t side_of(const struct fam *f)
{
	return f->large ? SIDE_FEW : MATRIX_MAX;
}

const struct step_basis *looks_basis(const struct looks *l, uint32_t p, uint32_t x, size_t side)
{
	const struct step_basis *b = l->basis[x];
	return b && step_basis_from(b) == p && side == side_of(l->f) ? b : NULL;
}

struct asked {
	struct looks *l;
	uint32_t p, y, near, x[AT_ONCE];	/* all x differ: each its own basis */
	struct between is[AT_ONCE];
};

static int look(void *arg, size_t i)
{
	struct asked *a = arg;
	const struct fam *f = a->l->f;
	uint32_t x = a->x[i];
	struct step_basis **kept = &a->l->basis[x];
	bool keep = f->node[x].state == NODE_TRUNK && f->node[x].parent == a->p;
	if (keep && *kept && step_basis_from(*kept) != a->p) {		/* x has moved since */
		step_basis_free(*kept);
		*kept = NULL;
	}
	struct step_basis *b = keep ? *kept : NULL;
	b = b ? b : step_basis_new(f, a->p, x, side_of(f));
	if (!b)
		return 0;
	a->is[i] = step_between(f, b, a->y, a->near);
	if (keep)
		*kept = b;
	else
		step_basis_free(b);
	return 0;
}

void looks_at(struct looks *l, uint32_t p, const uint32_t *x, size_t k, uint32_t y, uint32_t near, struct between *out)
{
	struct memory *m = &l->of[y];
	for (size_t from = 0; from < k; from += AT_ONCE) {
		struct asked a = {.l = l, .p = p, .y = y, .near = near};
		size_t n = 0, end = MIN(k, from + AT_ONCE);
		for (size_t i = from; i < end; i++)
			if (!known(l, p, x[i], y, near))
				a.x[n++] = x[i];
		pool_for(fam_threads(l->f), n, look, &a);
		size_t next = 0;
		for (size_t i = from; i < end; i++) {
			const struct between *b = known(l, p, x[i], y, near);
			out[i] = b ? *b : a.is[next];
			if (!b && !mem_grow(&m->look, &m->cap, m->n + 1))
				m->look[m->n++] = (struct look){p, x[i], near, a.is[next]};
			next += !b;
		}
	}
}
