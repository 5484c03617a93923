/*
 * Stitches and depth-scaling: models whose every layer is an exact copy (or an exact rounding) of a layer of another
 * model. An index of part hashes over all layers finds the sources; where several models could be copies of each other, the one
 * whose layers are least alike in their distance to the rest of the family is the copy.
 */
#include "core/analysis/lanes.h"
#include "core/analysis/lineage_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One whole layer (or one part outside the layers, layer -1) of one model, as stored or after rounding to `as`. */
struct unit {
	uint64_t hash;
	uint32_t member;
	int32_t layer;
	uint64_t role;		/* 0 for layers */
	uint8_t as;		/* DTYPE_NONE: as stored */
};

struct units { struct unit *u; size_t n, cap; };

/* Units as stored of one member; alone: nobody else has one of them, so that it is no stitch. */
struct own { struct unit *u; size_t n; bool alone; };

struct pieces {
	struct units all;		/* of all members, sorted by hash */
	struct own *own;		/* of each member; in the family's arena */
};

/* What a unit of y may be copied from: who has it, where. */
struct cover {
	const struct unit *u;		/* of y */
	const struct unit *from;	/* chosen source */
	double weights;
};

static uint64_t part_hash(const struct sigpart *p, enum dtype as)
{
	uint64_t facts[] = {p->role_hash, (uint64_t)(int64_t)p->expert, p->rows, p->cols, p->grid};
	uint64_t h = hash64(facts, sizeof facts, 7), n = (uint64_t)p->nr * p->nc;
	float chunk[1024];
	for (uint64_t i = 0; i < n; i += COUNT(chunk)) {
		size_t k = MIN(n - i, (uint64_t)COUNT(chunk));
		for (size_t j = 0; j < k; j++)
			chunk[j] = (as == DTYPE_NONE ? p->v[i + j] : dtype_round(p->v[i + j], as)) + 0.0f;	/* one zero */
		h = hash64(chunk, k * sizeof *chunk, h);
	}
	return h;
}

static bool counts(const struct sigpart *p)
{
	return !(p->flags & SIGPART_INTEGER) && p->nonfinite == 0;
}

static int cmp_unit(const void *x, const void *y)
{
	const struct unit *a = x, *b = y;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->member != b->member)
		return a->member < b->member ? -1 : 1;
	if (a->layer != b->layer)
		return a->layer < b->layer ? -1 : 1;
	return (a->as > b->as) - (a->as < b->as);
}

static int add_unit(struct units *us, struct unit u)
{
	if (mem_grow(&us->u, &us->cap, us->n + 1))
		return -ENOMEM;
	us->u[us->n++] = u;
	return 0;
}

/* All units of member m: each layer's parts combined (order-free), each part outside alone. */
static int member_units(struct units *us, const struct fam *f, uint32_t m, enum dtype as)
{
	const struct signature *s = &f->sig[m];
	size_t first = us->n;
	for (size_t i = 0; i < s->n_parts; i++) {
		const struct sigpart *p = &s->parts[i];
		if (!counts(p))
			continue;
		uint64_t h = part_hash(p, as);
		if (p->layer < 0) {
			int rc = add_unit(us, (struct unit){h, m, -1, p->role_hash, (uint8_t)as});
			if (rc)
				return rc;
			continue;
		}
		size_t k = first;
		while (k < us->n && (us->u[k].layer != p->layer || us->u[k].role))
			k++;
		int rc = k == us->n ? add_unit(us, (struct unit){0, m, p->layer, 0, (uint8_t)as}) : 0;
		if (rc)
			return rc;
		us->u[k].hash += hash_mix(h);
	}
	return 0;
}

static enum dtype main_type(const struct fam *f, uint32_t m)
{
	for (size_t i = 0; i < f->sig[m].n_parts; i++)
		if (f->sig[m].parts[i].nc > 1 && counts(&f->sig[m].parts[i]))
			return (enum dtype)f->sig[m].parts[i].dtype;
	return DTYPE_NONE;
}

static double unit_weights(const struct fam *f, const struct unit *u)
{
	double sum = 0;
	for (size_t i = 0; i < f->sig[u->member].n_parts; i++) {
		const struct sigpart *p = &f->sig[u->member].parts[i];
		if (counts(p) && p->layer == u->layer && (u->layer >= 0 || p->role_hash == u->role))
			sum += (double)p->rows * (double)p->cols;
	}
	return sum;
}

static const struct unit *first_of(const struct units *us, uint64_t hash)
{
	size_t lo = 0, hi = us->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (us->u[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < us->n ? &us->u[lo] : NULL;
}

/* Can `from` have given `to`? Not the model itself or its copies, and rounded only to what the child is stored in. */
static bool may_give(const struct fam *f, const struct unit *to, const struct unit *from, enum dtype child_type)
{
	const struct node *n = &f->node[from->member];
	if (from->member == to->member || n->state == NODE_DUPLICATE || n->state == NODE_STITCH || n->quantised ||
	    (n->state == NODE_DERIVED && (n->parent == to->member || n->permuted)))
		return false;
	return from->as == DTYPE_NONE || from->as == child_type;
}

/* Choose sources for the covers: as few models as possible, the one that gives most first. False when a layer has none. */
static bool choose(const struct fam *f, const struct units *us, struct cover *c, size_t n, enum dtype type)
{
	for (size_t open = n; open;) {
		double most = 0;
		uint32_t who = UINT32_MAX;
		for (uint32_t m = 0; m < f->n; m++) {
			double sum = 0;
			for (size_t i = 0; i < n; i++) {
				bool has = false;
				for (const struct unit *x = first_of(us, c[i].u->hash);
				     !c[i].from && x && x < us->u + us->n && x->hash == c[i].u->hash; x++)
					has = has || (x->member == m && x->role == c[i].u->role &&
						      may_give(f, c[i].u, x, type));
				sum += has ? c[i].weights : 0;
			}
			/* what a copy still has of its original was taken from the original */
			if (sum > most || (sum > 0 && sum == most && f->node[who].state == NODE_DERIVED &&
					   f->node[m].state != NODE_DERIVED)) {
				most = sum;
				who = m;
			}
		}
		if (who == UINT32_MAX)
			return false;
		for (size_t i = 0; i < n; i++) {
			for (const struct unit *x = first_of(us, c[i].u->hash);
			     !c[i].from && x && x < us->u + us->n && x->hash == c[i].u->hash; x++)
				if (x->member == who && x->role == c[i].u->role && may_give(f, c[i].u, x, type)) {
					c[i].from = x;
					/* the same layer number where the source repeats itself */
					for (const struct unit *y = x; y < us->u + us->n && y->hash == x->hash; y++)
						if (y->member == who && y->layer == c[i].u->layer &&
						    may_give(f, c[i].u, y, type))
							c[i].from = y;
				}
		}
		open = 0;
		for (size_t i = 0; i < n; i++)
			open += !c[i].from;
	}
	return true;
}

/* Spread of the layers' distances to a third model: of one training it is small, across a seam it is not. */
static double seam(const struct fam *f, uint32_t y)
{
	double best = INFINITY;
	for (uint32_t r = 0; r < f->n; r++) {
		if (r == y || !fam_live(f, r) || f->node[r].state == NODE_STITCH || f->node[r].quantised)
			continue;
		double lo = INFINITY, hi = 0;
		for (size_t k = 0; k < f->n_tree; k++) {
			size_t i = f->tree_slot[k];
			const float *a = fam_x(f, y, i), *b = fam_x(f, r, i);
			if (!a || !b)
				continue;
			double d = lanes_distance2(a, b, f->v.slot[i].n);
			d = sqrt(d / (double)f->v.slot[i].n) / f->v.slot[i].rms;
			lo = d < lo ? d : lo;
			hi = d > hi ? d : hi;
		}
		if (lo > 0 && hi / lo < best)
			best = hi / lo;
	}
	return best;
}

struct candidate {
	uint32_t member;
	struct cover *c;
	size_t n, sources;
	bool repeats, deeper;
	double seam;
};

static bool others_have(const struct units *us, const struct unit *u)
{
	const struct unit *x = first_of(us, u->hash);
	while (x && x < us->u + us->n && x->hash == u->hash && x->member == u->member)
		x++;
	return x && x < us->u + us->n && x->hash == u->hash;
}

/* y as a stitch, if it is one. candidate->c is in the family's arena. */
static int try_stitch(struct fam *f, const struct pieces *p, uint32_t y, struct candidate *out)
{
	const struct units *us = &p->all;
	const struct unit *keep = p->own[y].u;
	size_t n = p->own[y].n;
	*out = (struct candidate){.member = y};
	if (p->own[y].alone)
		return 0;
	struct cover *c = arena_array(&f->arena, n + 1, sizeof *c);
	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		c[i] = (struct cover){.u = &keep[i], .weights = unit_weights(f, &keep[i])};
	if (n < 2 || !choose(f, us, c, n, main_type(f, y)))
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool seen = false;
		for (size_t j = 0; j < i; j++) {
			seen = seen || c[j].from->member == c[i].from->member;
			out->repeats = out->repeats ||
				       (keep[i].layer >= 0 && keep[j].layer >= 0 && keep[i].hash == keep[j].hash);
		}
		out->sources += !seen;
		out->deeper = out->deeper || (keep[i].layer >= 0 && c[i].from->layer != keep[i].layer);
	}
	if (out->sources < 2 && !out->repeats && !out->deeper && f->sig[y].layers == f->sig[c[0].from->member].layers)
		return 0;
	out->c = c;
	out->n = n;
	out->seam = seam(f, y);
	return 0;
}

/* The likelier copy first: repeated layers, more sources, a clearer seam. */
static bool likelier(const struct candidate *a, const struct candidate *b)
{
	if (a->repeats != b->repeats)
		return a->repeats;
	if (a->deeper != b->deeper)
		return a->deeper;
	if (fabs(a->seam - b->seam) > 1e-9 * (a->seam + b->seam))
		return a->seam > b->seam;
	return a->sources > b->sources;
}

/* Of the copies of a source, the one whose tensors are named like the child's: a stitch keeps the names. */
static uint32_t named_alike(const struct fam *f, uint32_t child, uint32_t source)
{
	uint32_t best = source;
	size_t most = 0;
	for (uint32_t m = 0; m < f->n; m++) {
		if (f->node[m].values != f->node[source].values)
			continue;
		size_t same = 0;
		for (size_t i = 0; i < f->sig[m].n_parts; i++) {
			const struct sigpart *p = &f->sig[m].parts[i],
					     *q = signature_find(&f->sig[child], p->role_hash, p->layer, p->expert);
			same += q && q->name == p->name;
		}
		if (same > most) {
			most = same;
			best = m;
		}
	}
	return best;
}

static int record_sources(struct fam *f, const struct candidate *s, const uint32_t *twin)
{
	const struct signature *sig = &f->sig[s->member];
	for (size_t i = 0; i < sig->n_parts; i++) {
		const struct sigpart *p = &sig->parts[i];
		for (size_t k = 0; k < s->n && counts(p); k++) {
			const struct unit *u = s->c[k].u, *from = s->c[k].from;
			if (u->layer != p->layer || (u->layer < 0 && u->role != p->role_hash))
				continue;
			uint32_t m = twin[from->member];
			const struct sigpart *q = signature_find(&f->sig[m], p->role_hash, from->layer, p->expert);
			int rc = !q ? 0
				    : lineage_add_source(f->out,
							 &(struct lineage_source){.child = f->member[s->member],
										  .tensor = p->tensor,
										  .source = f->member[m],
										  .source_tensor = q->tensor,
										  .weight = 1,
										  .match = from->as == DTYPE_NONE
												   ? MATCH_COPIED
												   : MATCH_ROUNDED},
							 NULL);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* "0-1,4" of the layers that came from m. */
static void layer_list(const struct candidate *s, uint32_t m, bool source, char *out, size_t size)
{
	size_t at = 0;
	out[0] = 0;
	for (int32_t l = 0; at + 16 < size && l < 4096; l++)
		for (size_t k = 0; k < s->n; k++)
			if (s->c[k].u->layer == l && s->c[k].from->member == m)
				at += (size_t)snprintf(out + at, size - at, "%s%d", at ? "," : "",
						       source ? s->c[k].from->layer : l);
	if (!at)
		snprintf(out, size, "none");
}

static int record(struct fam *f, const struct candidate *s)
{
	double all = 0;
	for (size_t k = 0; k < s->n; k++)
		all += s->c[k].weights;
	bool dropped = s->sources == 1 && !s->repeats;
	struct verdict v = {dropped ? RELATION_PRUNED : RELATION_STITCH, 1, 1, BASIS_WEIGHTS,
			    dropped ? "layers left out" : "layers equal"};
	struct node *node = &f->node[s->member];
	node->state = NODE_STITCH;
	node->merged = arena_array(&f->arena, s->sources + 1, sizeof *node->merged);
	cleanup_free uint32_t *twin = mem_array(f->n, sizeof *twin);
	if (!node->merged || !twin)
		return -ENOMEM;
	for (uint32_t m = 0; m < f->n; m++) {
		double sum = 0;
		for (size_t k = 0; k < s->n; k++)
			sum += s->c[k].from->member == m ? s->c[k].weights : 0;
		if (!(sum > 0))
			continue;
		char to[160], from[160];
		twin[m] = named_alike(f, s->member, m);
		layer_list(s, m, false, to, sizeof to);
		layer_list(s, m, true, from, sizeof from);
		v.weight = dropped ? 1 : sum / all;
		if (node->n_merged < s->sources)
			node->merged[node->n_merged++] = m;
		int rc = fam_edge(
			f, s->member, twin[m], &v,
			"every tensor of these layers equals the source's, bit for bit or after rounding to the child's type\n",
			"layers %s from layers %s, %.4g of the parameters", to, from, sum / all);
		if (rc)
			return rc;
	}
	return record_sources(f, s, twin);
}

struct making {
	const struct fam *f;
	bool want[DTYPE_COUNT];		/* types that some member has */
	struct units *of;		/* by member: as stored, own[m] of them, then rounded */
	size_t *own;
};

static int make_units(void *arg, size_t at)
{
	struct making *j = arg;
	uint32_t m = (uint32_t)at;
	if (!fam_live(j->f, m) || j->f->node[m].quantised)
		return 0;
	int rc = member_units(&j->of[m], j->f, m, DTYPE_NONE);
	enum dtype own = main_type(j->f, m);
	j->own[m] = j->of[m].n;
	for (int k = 0; k < 2 && !rc; k++) {
		enum dtype to = k ? DTYPE_F16 : DTYPE_BF16;
		if (j->want[to] && own != to)
			rc = member_units(&j->of[m], j->f, m, to);
	}
	return rc;
}

/* All of m's units into the index, and those as stored aside. */
static int take_units(struct fam *f, struct pieces *p, uint32_t m, const struct units *of, size_t stored)
{
	struct units *us = &p->all;
	struct own *own = &p->own[m];
	own->n = stored;
	own->u = arena_array(&f->arena, stored + 1, sizeof *own->u);
	if (!own->u || mem_grow(&us->u, &us->cap, us->n + of->n + 1))
		return -ENOMEM;
	if (of->n) {
		memcpy(own->u, of->u, stored * sizeof *own->u);
		memcpy(us->u + us->n, of->u, of->n * sizeof *us->u);
	}
	us->n += of->n;
	return 0;
}

static int build_index(struct fam *f, struct pieces *p)
{
	struct units *us = &p->all;
	struct making j = {.f = f};
	cleanup_free struct units *of = mem_array(f->n + 1, sizeof *of);
	cleanup_free size_t *own = mem_array(f->n + 1, sizeof *own);
	p->own = arena_array(&f->arena, f->n + 1, sizeof *p->own);
	if (!p->own || !of || !own)
		return -ENOMEM;
	j.of = of;
	j.own = own;
	for (uint32_t m = 0; m < f->n; m++)
		if (fam_live(f, m))
			j.want[main_type(f, m)] = true;
	int rc = pool_for(fam_threads(f), f->n, make_units, &j);
	for (uint32_t m = 0; m < f->n; m++) {
		rc = rc ? rc : take_units(f, p, m, &of[m], own[m]);
		free(of[m].u);
	}
	if (rc)
		return rc;
	if (us->n)
		qsort(us->u, us->n, sizeof *us->u, cmp_unit);
	for (uint32_t m = 0; m < f->n; m++)
		for (size_t i = 0; i < p->own[m].n && !p->own[m].alone; i++)
			p->own[m].alone = !others_have(us, &p->own[m].u[i]);
	return 0;
}

int stitch_find(struct fam *f, struct err *e)
{
	(void)e;
	struct pieces pieces = {0};
	size_t n = 0;
	int rc = build_index(f, &pieces);
	cleanup_free struct candidate *found = mem_array(f->n + 1, sizeof *found);
	rc = rc || found ? rc : -ENOMEM;
	for (bool more = !rc; more;) {
		struct candidate best = {0};
		for (uint32_t y = 0; y < f->n && !rc; y++) {
			struct candidate c;
			if (f->node[y].state != NODE_TRUNK || f->node[y].quantised)
				continue;
			rc = try_stitch(f, &pieces, y, &c);
			if (!rc && c.c && (!best.c || likelier(&c, &best)))
				best = c;
		}
		more = !rc && best.c;
		if (more) {
			f->node[best.member].state = NODE_STITCH;
			found[n++] = best;
		}
	}
	for (size_t i = 0; i < n && !rc; i++) {		/* now that all are known: none out of another where the originals are there */
		struct candidate c;
		rc = try_stitch(f, &pieces, found[i].member, &c);
		rc = rc ? rc : record(f, c.c ? &c : &found[i]);
	}
	free(pieces.all.u);
	return rc;
}
