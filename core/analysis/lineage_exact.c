/*
 * What follows from equality alone: duplicates, casts, prunings, extensions, permuted copies. Direction is certain wherever
 * something was lost or added.
 */
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_internal.h"

#include "core/analysis/pair.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TWINS_TOLD = 8 };

static const double SMALL_SHARE = 0.001;	/* of values: state, biases of one element */

/* How child could come from parent, place by place. */
struct derivation {
	bool holds;			/* every place of child is explained */
	size_t equal, rounded, zeroed, extended, shrunk;	/* places */
	size_t retyped;			/* places stored in another type */
	size_t thinned;			/* vectors among the zeroed: pruning takes them with the matrices, never alone */
	size_t lost;			/* elements that rounding changed */
	size_t zeros, elements;		/* of matrices: set to zero in child alone, and all */
	size_t dropped;			/* places that the child does not have, told where one of the two is renamed */
	double left_out, size;		/* their values, and the parent's in all */
};

/* One place: what happened to it, into d; false when it is something else. */
static bool derive_place(struct derivation *d, const struct slot *s, const float *c, const float *p,
			 const struct sigpart *pc, const struct sigpart *pp)
{
	size_t lost = 0, zeros = 0;
	enum dtype to = (enum dtype)pc->dtype;
	for (size_t k = 0; k < s->n; k++) {
		if (c[k] == p[k])
			continue;
		if (dtype_round(p[k], to) == c[k])
			lost++;
		else if (c[k] == 0)
			zeros++;
		else
			return false;
	}
	if (zeros && (zeros * 100 < s->n || (s->kind == SLOT_VECTOR && zeros == s->n)))
		return false;	/* a bias that is all zero is not there */
	d->equal += !lost && !zeros;
	d->rounded += lost > 0;
	d->zeroed += zeros > 0;
	d->retyped += s->kind != SLOT_OTHER && pc->dtype != pp->dtype;
	d->thinned += zeros > 0 && s->kind == SLOT_VECTOR;
	d->lost += lost;
	if (s->kind != SLOT_VECTOR) {
		d->zeros += zeros;
		d->elements += s->n;
	}
	d->extended += pc->rows > pp->rows || pc->cols > pp->cols;
	d->shrunk += pc->rows < pp->rows || pc->cols < pp->cols;
	return true;
}

static struct derivation derive(const struct fam *f, uint32_t child, uint32_t parent)
{
	struct derivation d = {0};
	size_t places = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct slot *s = &f->v.slot[i];
		const struct sigpart *pc = fam_part(f, child, i), *pp = fam_part(f, parent, i);
		if (!pc && !pp)
			continue;
		if (pp)
			d.size += (double)pp->rows * (double)pp->cols;
		if (!pc || !pp) {
			if (s->kind == SLOT_OTHER)
				continue;	/* tables and counters that one format keeps and another does not */
			if (pc || !(f->node[child].renamed || f->node[parent].renamed))
				return d;
			d.dropped++;
			d.left_out += (double)pp->rows * (double)pp->cols;
			continue;
		}
		const float *c = fam_x(f, child, i), *p = fam_x(f, parent, i);
		if (!c || !p || !derive_place(&d, s, c, p, pc, pp))
			return d;
		places++;
	}
	d.holds = places > 0 && !(d.extended && d.shrunk) && (!d.thinned || d.zeros);
	return d;
}

/* Bits of mantissa that the values of a model really use: 7 bf16, 10 f16, 23 more. */
static int lattice(const struct fam *f, uint32_t m)
{
	bool bf16 = true, f16 = true;
	for (size_t i = 0; i < f->v.slots; i++) {
		const float *x = fam_x(f, m, i);
		for (size_t k = 0; x && k < f->v.slot[i].n && (bf16 || f16); k++) {
			bf16 = bf16 && dtype_round(x[k], DTYPE_BF16) == x[k];
			f16 = f16 && dtype_round(x[k], DTYPE_F16) == x[k];
		}
	}
	return bf16 ? 7 : f16 ? 10 : 23;
}

static int mantissa(const struct sigpart *p)
{
	return p->dtype == DTYPE_BF16 ? 7 : p->dtype == DTYPE_F16 ? 10 : 23;
}

static int stored_bits(const struct fam *f, uint32_t m)
{
	int bits = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct sigpart *p = fam_part(f, m, i);
		if (!p || f->v.slot[i].kind == SLOT_OTHER)
			continue;
		bits = MAX(bits, mantissa(p));
	}
	return bits;
}

static int hash_model(void *arg, size_t m)
{
	struct fam *f = arg;
	const struct signature *s = &f->sig[m];
	uint64_t values = 1, types = 1;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		uint64_t facts[] = {p->role_hash, (uint64_t)(int64_t)p->layer, (uint64_t)(int64_t)p->expert, p->rows,
				    p->cols, p->content, p->grid};
		values = hash64(p->v, (size_t)p->nr * p->nc * sizeof *p->v, hash64(facts, sizeof facts, values));
		types = hash_mix(types ^ p->dtype);
		f->node[m].quantised |= (p->flags & SIGPART_QUANTISED) != 0;
	}
	f->node[m].values = values;
	f->node[m].types = types;
	return 0;
}

static int find_duplicates(struct fam *f, struct err *e)
{
	(void)e;
	const struct verdict v = {RELATION_DUPLICATE, 1, 1, BASIS_WEIGHTS, "equal values"};
	for (uint32_t b = 1; b < f->n; b++) {
		size_t twins = 0;
		for (uint32_t a = 0; a < b && twins < TWINS_TOLD; a++) {	/* each pair of copies, while they are few */
			if (f->node[a].values != f->node[b].values || f->node[a].types != f->node[b].types)
				continue;
			f->node[b].state = NODE_DUPLICATE;
			f->node[b].leader = f->node[b].parent = twins++ ? f->node[b].leader : a;
			int rc = fam_edge(f, b, a, &v, "every sampled value and every whole-tensor hash is the same\n",
					  "%zu of %zu parts equal", f->sig[b].n_parts, f->sig[b].n_parts);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Are a and b permuted copies of each other? Counts the places that moved; any place that fits neither way ends it. */
static size_t moved_places(const struct fam *f, uint32_t a, uint32_t b)
{
	size_t moved = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct sigpart *p = fam_part(f, a, i), *q = fam_part(f, b, i);
		if (!p && !q)
			continue;
		if (!p || !q || p->rows != q->rows || p->cols != q->cols || p->grid != q->grid)
			return 0;
		if ((!p->content || p->content == q->content) &&
		    !memcmp(p->v, q->v, (size_t)p->nr * p->nc * sizeof *p->v))
			continue;
		bool known = p->sorted_all || p->sorted_rows;
		bool same = p->sorted_all ? p->sorted_all == q->sorted_all :
			    (p->sorted_rows == q->sorted_rows || p->sorted_cols == q->sorted_cols);
		if (known && !same)
			return 0;
		moved += known && p->nr > 1 && p->nc > 1;
		if (!known && f->v.slot[i].kind == SLOT_VOCAB)
			return 0;
	}
	return moved;
}

/* How well m's moved places line up with the rest of the family: the original stands among its relatives, the copy does not. */
static double alignment(const struct fam *f, uint32_t m, uint32_t other)
{
	double best = 0;
	for (uint32_t r = 0; r < f->n; r++) {
		if (r == m || r == other || !fam_live(f, r) || f->node[r].values == f->node[m].values ||
		    moved_places(f, m, r))
			continue;
		double sum = 0;
		size_t n = 0;
		for (size_t i = 0; i < f->v.slots; i++) {
			const float *x = fam_x(f, m, i), *y = fam_x(f, other, i), *z = fam_x(f, r, i);
			const struct slot *s = &f->v.slot[i];
			if (!x || !y || !z || !fam_matrix(f, i) || !memcmp(x, y, s->n * sizeof *x))
				continue;
			sum += grid_cosine(x, z, s->nr, s->nc);
			n++;
		}
		if (n && sum / (double)n > best)
			best = sum / (double)n;
	}
	return best;
}

/* One edge to the original, and to each of its few copies: which of them was reordered cannot be told. */
static int tell_permuted(struct fam *f, uint32_t child, uint32_t parent, const struct verdict *v, size_t moved,
			 double wp, double wc)
{
	size_t told = 0;
	for (uint32_t m = 0; m < f->n && told < TWINS_TOLD; m++) {
		if (f->node[m].values != f->node[parent].values)
			continue;
		told++;
		int rc = fam_edge(f, child, m, v,
				  "the values of every part are the same while their order is not\n"
				  "the original lines up with its relatives, the copy does not\n",
				  "%zu matrices reordered%s%s", moved,
				  said("; cosine with relatives: parent ", wp).text, said("; child ", wc).text);
		if (rc)
			return rc;
	}
	return 0;
}

static int find_permuted(struct fam *f, struct err *e)
{
	(void)e;
	for (uint32_t b = 1; b < f->n; b++)
		for (uint32_t a = 0; a < b; a++) {
			if (f->node[a].state != NODE_TRUNK || f->node[b].state != NODE_TRUNK)
				continue;
			size_t moved = moved_places(f, a, b);
			if (!moved)
				continue;
			double wa = alignment(f, a, b), wb = alignment(f, b, a);
			bool swap = wb > wa + 0.05;
			uint32_t child = swap ? a : b, parent = swap ? b : a;
			double gap = fabs(wa - wb);
			struct verdict v = {RELATION_PERMUTED, 1, gap > 0.05 ? 1 : 0.5, BASIS_WEIGHTS, "sorted values"};
			f->node[child].state = NODE_DERIVED;
			f->node[child].permuted = true;
			f->node[child].parent = f->node[child].leader = parent;
			int rc = tell_permuted(f, child, parent, &v, moved, swap ? wb : wa, swap ? wa : wb);
			if (rc)
				return rc;
			if (child == b)
				break;
		}
	return 0;
}

/* Is x a better explanation than y? Less lost, then one that is itself no copy, then fewer zeros. */
static bool better(const struct fam *f, const struct derivation *x, uint32_t px, const struct derivation *y,
		   uint32_t py)
{
	if (x->lost != y->lost)
		return x->lost < y->lost;
	if (x->extended != y->extended)
		return x->extended < y->extended;
	bool dx = f->node[px].state != NODE_TRUNK, dy = f->node[py].state != NODE_TRUNK;
	if (dx != dy)
		return dy;
	return x->zeros < y->zeros;
}

static int add_derived(struct fam *f, uint32_t child, uint32_t parent, const struct derivation *d)
{
	struct verdict v = {RELATION_CAST, 1, 1, BASIS_WEIGHTS, "rounding reproduces the child"};
	const char *why = "rounding the parent to the child's type gives the child in every sampled value\n";
	if (d->extended) {
		v.relation = RELATION_EXTENDED;
		v.method = "common rows equal";
		why = "all rows and columns of the parent stand in the child; the child has more\n";
	} else if (d->dropped && d->left_out > SMALL_SHARE * d->size) {
		v.relation = RELATION_PRUNED;
		v.method = "a part of the parent";
		why = "every tensor of the child stands in the parent, which has more\n";
	} else if (d->dropped && !d->lost && !d->zeros) {
		v.relation = RELATION_DUPLICATE;
		v.method = "equal values under other names";
		why = "the tensors have the same values, whatever they are called; a few small ones are left out\n";
	} else if (d->zeros) {
		v.relation = RELATION_PRUNED;
		v.method = "non-zero values equal";
		why = "every value of the child that is not zero equals the parent's; the parent has values where the child has zeros\n";
	} else if (!d->lost && !d->retyped) {
		v.relation = RELATION_DUPLICATE;
		v.method = "equal values";
		why = "every sampled value is the same; only tables that are computed, not learnt, differ\n";
	} else if (!d->lost) {
		v.method = "equal values in a wider type";
		why = "the values are the same and all of them fit the parent's narrower type\n";
	}
	f->node[child].state = NODE_DERIVED;
	f->node[child].parent = parent;
	return fam_edge(
		f, child, parent, &v, why,
		"%zu parts equal, %zu rounded (%zu values), %zu with zeros (%.4g of values), %zu larger, %zu left out",
		d->equal, d->rounded, d->lost, d->zeroed, d->elements ? (double)d->zeros / (double)d->elements : 0,
		d->extended, d->dropped);
}

/* Bits of mantissa of all stored values: where only some tensors are wider the widest type is the same. */
static double stored_in_all(const struct fam *f, uint32_t m)
{
	double sum = 0;
	for (size_t i = 0; i < f->v.slots; i++) {
		const struct sigpart *p = fam_part(f, m, i);
		if (p && f->v.slot[i].kind != SLOT_OTHER)
			sum += (double)p->rows * (double)p->cols * mantissa(p);
	}
	return sum;
}

/* Nothing was lost: is b (equal to a) the one in the wider type than its values need? */
static bool widened(const struct fam *f, uint32_t b, uint32_t a)
{
	int bits = lattice(f, a), sa = stored_bits(f, a), sb = stored_bits(f, b);
	double wa = stored_in_all(f, a), wb = stored_in_all(f, b);
	if ((sa == bits) != (sb == bits))
		return sa == bits;
	return sb != sa ? sb > sa : wb != wa ? wb > wa : b > a;
}

struct deriving { const struct fam *f; uint32_t *parent; struct derivation *how; };

/* The best explanation of one member out of another. */
static int derive_one(void *arg, size_t at)
{
	const struct deriving *j = arg;
	const struct fam *f = j->f;
	uint32_t c = (uint32_t)at, *parent = &j->parent[c];
	*parent = UINT32_MAX;
	if (f->node[c].state != NODE_TRUNK || f->node[c].quantised)
		return 0;
	for (uint32_t p = 0; p < f->n; p++) {
		if (p == c || !fam_live(f, p) || f->node[p].quantised)
			continue;
		struct derivation d = derive(f, c, p);
		if (!d.holds || d.shrunk)
			continue;
		bool lossless = !d.lost && !d.zeros && !d.extended && !d.dropped;
		if (lossless && !widened(f, c, p))
			continue;
		if (*parent == UINT32_MAX || better(f, &d, p, &j->how[c], *parent)) {
			*parent = p;
			j->how[c] = d;
		}
	}
	return 0;
}

static int find_derived(struct fam *f, struct err *e)
{
	(void)e;
	cleanup_free uint32_t *parent = mem_array(f->n, sizeof *parent);
	cleanup_free struct derivation *how = mem_array(f->n, sizeof *how);
	if (!parent || !how)
		return -ENOMEM;
	struct deriving j = {f, parent, how};
	pool_for(fam_threads(f), f->n, derive_one, &j);
	for (uint32_t c = 0; c < f->n; c++) {	/* pruned by half, also seen from the same model pruned by a third: from the model itself */
		uint32_t p = parent[c], q = p == UINT32_MAX ? p : parent[p];
		if (q == UINT32_MAX || q == c || !how[c].zeros || !how[p].zeros)
			continue;
		struct derivation d = derive(f, c, q);
		if (d.holds && !d.shrunk) {
			parent[c] = q;
			how[c] = d;
		}
	}
	for (uint32_t c = 0; c < f->n; c++) {
		int rc = parent[c] == UINT32_MAX ? 0 : add_derived(f, c, parent[c], &how[c]);
		if (rc)
			return rc;
	}
	return 0;
}

/* Nothing but a copy of quantised values lies on their lattice in every place. */
static int add_dequantised(struct fam *f, uint32_t child, uint32_t parent)
{
	const struct verdict v = {RELATION_CAST, 1, 1, BASIS_WEIGHTS, "equal values in a wider type"};
	if (f->node[child].state != NODE_TRUNK)
		return 0;
	f->node[child].state = NODE_DERIVED;
	f->node[child].parent = parent;
	return fam_edge(f, child, parent, &v, "the child has the values that the parent's quantised blocks stand for\n",
			"every sampled value equal");
}

/* Quantised: the nearest model of a finer type, at the distance that rounding to the child's steps makes. */
int quantised_find(struct fam *f, struct err *e)
{
	(void)e;
	for (uint32_t c = 0; c < f->n; c++) {
		if (f->node[c].state != NODE_TRUNK || !f->node[c].quantised)
			continue;
		uint32_t best = UINT32_MAX;
		double least = INFINITY, second = INFINITY;
		for (uint32_t p = 0; p < f->n; p++) {
			if (p == c || !fam_live(f, p) || f->node[p].quantised || f->node[p].permuted)
				continue;
			double d2 = 0, p2 = 0;
			for (size_t i = 0; i < f->v.slots; i++) {
				const float *x = fam_x(f, c, i), *y = fam_x(f, p, i);
				const struct sigpart *pc = fam_part(f, c, i);
				bool more = !pc && y && f->v.slot[i].kind == SLOT_MATRIX;	/* layers that c lacks */
				if (!more && (!pc || !(pc->flags & SIGPART_QUANTISED) || !fam_matrix(f, i)))
					continue;
				if (!x || !y) {
					d2 = INFINITY;
					break;
				}
				d2 += lanes_distance2(x, y, f->v.slot[i].n);
				p2 += lanes_dot(y, y, f->v.slot[i].n);
			}
			double rel = p2 > 0 ? sqrt(d2 / p2) : INFINITY;
			if (rel == 0) {
				int rc = add_dequantised(f, p, c);
				if (rc)
					return rc;
			} else if (rel < least) {
				second = least;
				least = rel;
				best = p;
			} else if (rel < second) {
				second = rel;
			}
		}
		if (best == UINT32_MAX || !(least < 0.25))
			continue;
		/* a cast differs from its parent by less than the steps of the child show: then the original */
		while (f->node[best].state == NODE_DERIVED && !f->node[best].permuted && second < 1.0005 * least &&
		       f->node[best].parent != c)
			best = f->node[best].parent;
		struct verdict v = {RELATION_QUANTIZED, 1, second > 1.02 * least ? 0.99 : 0.8, BASIS_WEIGHTS,
				    "nearest before quantisation"};
		f->node[c].state = NODE_DERIVED;
		f->node[c].parent = best;
		int rc = fam_edge(
			f, c, best, &v,
			"the child holds quantised blocks; its error against the parent is that of their steps, and smaller than against any other\n",
			"relative error %.4g%s", least, said(", next model ", second).text);
		if (rc)
			return rc;
	}
	return 0;
}

int exact_find(struct fam *f, struct err *e)
{
	pool_for(fam_threads(f), f->n, hash_model, f);
	int rc = find_duplicates(f, e);
	rc = rc ? rc : find_permuted(f, e);
	return rc ? rc : find_derived(f, e);
}
