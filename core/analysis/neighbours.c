/* Distances between signatures and the nearest ones. */
#include "core/analysis/neighbours.h"

#include "core/analysis/lanes.h"
#include "core/analysis/pair.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static double weights_of(const struct sigpart *p)
{
	return (double)p->rows * (double)p->cols;
}

static double finite_weights(const struct signature *s)
{
	double sum = 0;
	for (size_t i = 0; i < s->n_parts; i++)
		sum += s->parts[i].flags & SIGPART_INTEGER ? 0 : weights_of(&s->parts[i]);
	return sum;
}

/* Each part counts with its parameters: the sample's sums are scaled up to the whole part. */
double signature_distance(const struct signature *a, const struct signature *b)
{
	double d2 = 0, n2 = 0, shared = 0;
	struct pair p;
	pair_init(&p, a, b);
	while (pair_next(&p)) {
		if (p.pa->flags & SIGPART_INTEGER || p.pa->nonfinite > 0 || p.pb->nonfinite > 0)
			continue;
		double d = lanes_distance2(p.x, p.y, p.n), n = lanes_norms2(p.x, p.y, p.n);
		double whole = MIN(weights_of(p.pa), weights_of(p.pb)), scale = whole / (double)p.n;
		d2 += d * scale;
		n2 += n * scale;
		shared += whole;
	}
	pair_release(&p);
	if (p.failed || !(n2 > 0))
		return shared > 0 && !p.failed && n2 == 0 ? 0 : 1;
	double wa = finite_weights(a), wb = finite_weights(b), most = wa > wb ? wa : wb;
	double part = most > 0 ? MIN(shared / most, 1.0) : 0, d = sqrt(d2 / n2);
	return part * (d < 1 ? d : 1) + (1 - part);
}

static double sketch_distance(const struct sketch *a, const struct sketch *b)
{
	double sum = 0;
	int n = 0;
	for (int i = 0; i < SKETCH_BLOCKS; i++) {
		if (!(a->scale[i] > 0) && !(b->scale[i] > 0))
			continue;
		n++;
		if (a->scale[i] > 0 && b->scale[i] > 0)
			sum += sketch_cosine(a, b, i);
	}
	return n ? 1 - sum / n : 1;
}

static int cmp_neighbour(const struct neighbour *a, const struct neighbour *b, const uint32_t *rank)
{
	if (a->distance != b->distance)
		return a->distance < b->distance ? -1 : 1;
	uint32_t x = rank ? rank[a->model] : a->model, y = rank ? rank[b->model] : b->model;
	return (x > y) - (x < y);
}

static void insert(struct neighbour *list, size_t *n, size_t k, struct neighbour x, const uint32_t *rank)
{
	if (*n == k && cmp_neighbour(&x, &list[k - 1], rank) >= 0)
		return;
	size_t at = *n < k ? (*n)++ : k - 1;
	for (; at > 0 && cmp_neighbour(&x, &list[at - 1], rank) < 0; at--)
		list[at] = list[at - 1];
	list[at] = x;
}

size_t neighbours_by_sketch(const struct sketch *const *all, size_t n, const uint32_t *rank, size_t of, size_t k,
			    struct neighbour *out)
{
	size_t count = 0;
	if (!k || of >= n || !all[of])
		return 0;
	for (size_t i = 0; i < n; i++)
		if (i != of && all[i])
			insert(out, &count, k, (struct neighbour){(uint32_t)i, sketch_distance(all[of], all[i])}, rank);
	return count;
}

int neighbours_by_signature(const struct signature *of, struct neighbour *list, size_t n, const uint32_t *rank,
			    int (*load)(void *arg, uint32_t i, struct signature *s, struct err *e), void *arg,
			    const struct cancel *cancel, struct err *e)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		struct neighbour x = {list[i].model, 1};
		struct signature s;
		if (cancel_asked(cancel))
			return err_set(e, ECANCELED, "asked to stop");
		if (!load(arg, x.model, &s, NULL)) {
			x.distance = signature_distance(of, &s);
			signature_release(&s);
		}
		insert(list, &k, n, x, rank);	/* in place: k <= i, so what is not yet read is not touched */
	}
	return 0;
}
