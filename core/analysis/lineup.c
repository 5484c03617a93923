/* Lays signatures side by side. */
#include "core/analysis/lineup.h"

#include "core/analysis/lanes.h"
#include "core/analysis/sample.h"

#include <math.h>
#include <string.h>

struct entry { const struct sigpart *p; uint32_t member; uint32_t again; /* the same place twice in one model */ };

static int cmp_place(const struct sigpart *a, const struct sigpart *b)
{
	if (a->role_hash != b->role_hash)
		return a->role_hash < b->role_hash ? -1 : 1;
	if (a->layer != b->layer)
		return a->layer < b->layer ? -1 : 1;
	return (a->expert > b->expert) - (a->expert < b->expert);
}

static int cmp_entry(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int c = cmp_place(a->p, b->p);
	if (c)
		return c;
	if (a->again != b->again)
		return a->again < b->again ? -1 : 1;
	return (a->member > b->member) - (a->member < b->member);
}

static enum slot_kind kind_of(const struct sigpart *p)
{
	if (!strncmp(p->role, "table.", 6) || !strcmp(p->role, "rope.freqs"))
		return SLOT_OTHER;	/* computed from the config, not learnt */
	if (p->flags & SIGPART_INTEGER || canon_factor(p->role))
		return SLOT_OTHER;
	if (p->nr < 2 || p->nc < 2)
		return SLOT_VECTOR;
	return sample_is_vocab(p->role) ? SLOT_VOCAB : SLOT_MATRIX;
}

/* The grid that most entries of a slot have; ties to the smaller hash. */
static const struct sigpart *majority(const struct entry *en, size_t n)
{
	const struct sigpart *best = NULL;
	size_t most = 0;
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		for (size_t j = 0; j < n; j++)
			k += en[j].p->grid == en[i].p->grid;
		if (2 * k > n)		/* no other has as many */
			return en[i].p;
		if (k > most || (k == most && en[i].p->grid < best->grid)) {
			most = k;
			best = en[i].p;
		}
	}
	return best;
}

/* Keep in idx (n of them) those also in other (m of them); both ascend. Returns how many are left. */
static uint32_t intersect(uint32_t *idx, uint32_t n, const uint32_t *other, uint32_t m)
{
	uint32_t k = 0;
	for (uint32_t i = 0, j = 0; i < n; i++) {
		while (j < m && other[j] < idx[i])
			j++;
		if (j < m && other[j] == idx[i])
			idx[k++] = idx[i];
	}
	return k;
}

static uint32_t overlap(const uint32_t *a, uint32_t n, const uint32_t *b, uint32_t m)
{
	uint32_t k = 0;
	for (uint32_t i = 0, j = 0; i < n && j < m;) {
		if (a[i] == b[j]) {
			k++;
			i++;
			j++;
		} else if (a[i] < b[j]) {
			i++;
		} else {
			j++;
		}
	}
	return k;
}

/* Close enough to the majority's grid to be compared: rows were added or taken, or another budget was used: then the
 * smaller sample lies in the larger, and all are compared on that. */
static bool fits(const struct sigpart *p, const struct sigpart *ref)
{
	if (p->nonfinite > 0)
		return false;
	if (p->grid == ref->grid)
		return true;
	if (p->nr * 4ull < ref->nr || p->nc * 4ull < ref->nc)
		return false;	/* too few to bring all others down to */
	uint32_t rows = overlap(p->row, p->nr, ref->row, ref->nr), cols = overlap(p->col, p->nc, ref->col, ref->nc);
	return rows * 4 >= MIN(p->nr, ref->nr) * 3 && cols * 4 >= MIN(p->nc, ref->nc) * 3 &&
	       (p->rows == ref->rows || sample_is_vocab(p->role) || p->cols == ref->cols);
}

/* Values of p at rows ri and columns ci, all of which p has. */
static void gather(const struct sigpart *p, const uint32_t *ri, uint32_t nr, const uint32_t *ci, uint32_t nc,
		   float *out)
{
	uint32_t a = 0;
	for (uint32_t i = 0; i < nr; i++) {
		while (p->row[a] != ri[i])
			a++;
		uint32_t b = 0;
		for (uint32_t j = 0; j < nc; j++) {
			while (p->col[b] != ci[j])
				b++;
			out[(size_t)i * nc + j] = p->v[(size_t)a * p->nc + b];
		}
	}
}

static int fill_slot(struct lineup *v, size_t si, const struct entry *en, size_t n, struct err *e)
{
	struct slot *s = &v->slot[si];
	const struct sigpart *ref = majority(en, n);
	cleanup_free uint32_t *ri = mem_array(ref->nr, sizeof *ri), *ci = mem_array(ref->nc, sizeof *ci);
	if (!ri || !ci)
		return err_nomem(e);
	memcpy(ri, ref->row, ref->nr * sizeof *ri);
	memcpy(ci, ref->col, ref->nc * sizeof *ci);
	*s = (struct slot){.role = ref->role, .role_hash = ref->role_hash, .layer = ref->layer, .expert = ref->expert,
			   .kind = kind_of(ref), .nr = ref->nr, .nc = ref->nc};
	for (size_t i = 0; i < n; i++) {
		v->part[en[i].member * v->slots + si] = en[i].p;
		if (!fits(en[i].p, ref) || en[i].p->grid == ref->grid)
			continue;
		s->nr = intersect(ri, s->nr, en[i].p->row, en[i].p->nr);
		s->nc = intersect(ci, s->nc, en[i].p->col, en[i].p->nc);
	}
	s->n = (size_t)s->nr * s->nc;
	double sq = 0;
	size_t have = 0;
	for (size_t i = 0; i < n && s->n; i++) {
		const struct sigpart *p = en[i].p;
		if (!fits(p, ref))
			continue;
		const float *x = p->v;
		if (p->nr != s->nr || p->nc != s->nc) {
			float *copy = arena_array(&v->arena, s->n, sizeof *copy);
			if (!copy)
				return err_nomem(e);
			gather(p, ri, s->nr, ci, s->nc, copy);
			x = copy;
		}
		v->x[en[i].member * v->slots + si] = x;
		have++;
		sq += lanes_dot(x, x, s->n);
	}
	s->rms = have ? sqrt(sq / (double)(have * s->n)) : 0;
	if (s->kind != SLOT_OTHER && !(s->rms > 0 && isfinite(s->rms)))
		s->kind = SLOT_OTHER;
	return 0;
}

static size_t same_place(const struct entry *en, size_t i, size_t n)
{
	size_t j = i + 1;
	while (j < n && !cmp_place(en[i].p, en[j].p) && en[j].again == en[i].again)
		j++;
	return j;
}

static struct entry *gather_entries(const struct signature *const *sigs, size_t n, size_t *count)
{
	*count = 0;
	for (size_t i = 0; i < n; i++)
		*count += sigs[i]->n_parts;
	struct entry *en = mem_array(*count + 1, sizeof *en);
	size_t k = 0;
	for (size_t i = 0; i < n && en; i++)
		for (size_t j = 0; j < sigs[i]->n_parts; j++) {
			const struct sigpart *p = &sigs[i]->parts[j];
			uint32_t again = j && !cmp_place(p, p - 1) ? en[k - 1].again + 1 : 0;
			en[k++] = (struct entry){p, (uint32_t)i, again};
		}
	if (en)
		qsort(en, *count, sizeof *en, cmp_entry);
	return en;
}

int lineup_of(struct lineup *v, const struct signature *const *sigs, size_t n, struct err *e)
{
	*v = (struct lineup){.members = n};
	size_t count;
	cleanup_free struct entry *en = gather_entries(sigs, n, &count);
	if (!en)
		return err_nomem(e);
	for (size_t i = 0; i < count; i = same_place(en, i, count))
		v->slots++;
	v->slot = arena_array(&v->arena, v->slots + 1, sizeof *v->slot);
	v->x = arena_array(&v->arena, n * v->slots + 1, sizeof *v->x);
	v->part = arena_array(&v->arena, n * v->slots + 1, sizeof *v->part);
	int rc = v->slot && v->x && v->part ? 0 : err_nomem(e);
	for (size_t i = 0, s = 0; i < count && !rc; s++) {
		size_t j = same_place(en, i, count);
		rc = fill_slot(v, s, en + i, j - i, e);
		v->slot[s].offset = v->total;
		v->total += v->slot[s].n;
		i = j;
	}
	if (rc)
		lineup_release(v);
	return rc;
}

void lineup_release(struct lineup *v)
{
	arena_release(&v->arena);
	*v = (struct lineup){0};
}
