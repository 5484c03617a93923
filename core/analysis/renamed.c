/* Parts matched by their values where names say nothing. */
#include "core/analysis/renamed.h"

#include "core/analysis/pair.h"
#include "core/analysis/sigblob.h"

#include <errno.h>
#include <string.h>

enum { TELLING = 64 };	/* elements */

bool part_is_telling(const struct sigpart *p)
{
	return p->nr >= 2 && p->nc >= 2 && (size_t)p->nr * p->nc >= TELLING && !(p->flags & SIGPART_INTEGER) &&
	       p->nonfinite == 0 && canon_factor(p->role) != 'a';
}

struct loose { uint64_t content; size_t part; bool taken; };

static int cmp_loose(const void *x, const void *y)
{
	const struct loose *a = x, *b = y;
	if (a->content != b->content)
		return a->content < b->content ? -1 : 1;
	return (a->part > b->part) - (a->part < b->part);
}

/* Parts of s at places that other does not have, by content. */
static int loose_parts(const struct signature *s, const struct signature *other, struct loose **out, size_t *n)
{
	size_t cap = 0;
	*out = NULL;
	*n = 0;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		if (!p->content || signature_find(other, p->role_hash, p->layer, p->expert))
			continue;
		if (mem_grow(out, &cap, *n + 1))
			return -ENOMEM;
		(*out)[(*n)++] = (struct loose){.content = p->content, .part = i};
	}
	if (*n)
		qsort(*out, *n, sizeof **out, cmp_loose);
	return 0;
}

static double weight(const struct sigpart *p)
{
	return part_is_telling(p) && !part_is_table(p) ? (double)p->rows * (double)p->cols : 0;
}

/* Of all matrices of s; of those that ref has, with the same values, at the same place. */
static double total(const struct signature *s, const struct signature *ref, double *equal)
{
	double sum = 0;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i], *q = NULL;
		double w = weight(p);
		if (equal && p->content && w > 0)
			q = signature_find(ref, p->role_hash, p->layer, p->expert);
		if (q && q->content == p->content)
			*equal += w;
		sum += w;
	}
	return sum;
}

/* The first of b's parts with a's content that is not taken yet: b stands at or after *at, both are sorted. */
static struct loose *partner(const struct signature *s, const struct signature *ref, const struct loose *a,
			     struct loose *b, size_t n, size_t *at)
{
	const struct sigpart *p = &s->parts[a->part];
	while (*at < n && b[*at].content < a->content)
		++*at;
	for (size_t i = *at; i < n && b[i].content == a->content; i++) {
		const struct sigpart *q = &ref->parts[b[i].part];
		if (!b[i].taken && p->rows == q->rows && p->cols == q->cols)
			return &b[i];
	}
	return NULL;
}

static void take(struct sigpart *p, const struct sigpart *q)
{
	p->role = q->role;
	p->role_hash = q->role_hash;
	p->layer = q->layer;
	p->expert = q->expert;
	p->nr = q->nr;
	p->nc = q->nc;
	p->row = q->row;
	p->col = q->col;
	p->v = q->v;
	p->grid = q->grid;
	p->nonfinite = q->nonfinite;
}

int renamed_take(struct signature *s, const struct signature *ref)
{
	cleanup_free struct loose *a = NULL, *b = NULL;
	size_t na, nb, at = 0, moved = 0;
	int rc = loose_parts(s, ref, &a, &na);
	if (rc || !na)
		return rc;
	rc = loose_parts(ref, s, &b, &nb);
	if (rc || !nb)
		return rc;
	cleanup_free size_t *of = mem_array(na, sizeof *of);
	if (!of)
		return -ENOMEM;
	double same = 0;
	for (size_t i = 0; i < na; i++) {
		struct loose *q = partner(s, ref, &a[i], b, nb, &at);
		of[i] = q ? q->part : SIZE_MAX;
		if (!q)
			continue;
		q->taken = true;
		same += weight(&ref->parts[q->part]);
		moved++;
	}
	if (!moved)
		return 0;
	double in_s = total(s, ref, &same), in_ref = total(ref, s, NULL);
	if (same <= 0 || 2 * same < MIN(in_s, in_ref))
		return 0;
	for (size_t i = 0; i < na; i++)
		if (of[i] != SIZE_MAX)
			take(&s->parts[a[i].part], &ref->parts[of[i]]);
	qsort(s->parts, s->n_parts, sizeof *s->parts, sigpart_cmp);
	return (int)moved;
}
