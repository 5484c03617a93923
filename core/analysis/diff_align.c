/* Which tensor of one model goes with which of another, from headers alone. */
#include "core/analysis/diff_internal.h"

#include "core/base/hash.h"

#include <errno.h>
#include <string.h>

/* A part by what it is. */
struct place {
	const char *role;
	int32_t layer, expert;
	uint32_t part;
};

static int place_cmp(const struct place *x, const struct place *y)
{
	int c = strcmp(x->role, y->role);
	if (c)
		return c;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return x->expert != y->expert ? (x->expert < y->expert ? -1 : 1) : 0;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int c = place_cmp(x, y);
	return c ? c : x->part < y->part ? -1 : x->part > y->part;
}

static struct place *places_of(const struct canon *c)
{
	struct place *p = mem_array(c->n_parts, sizeof *p);
	for (size_t i = 0; p && i < c->n_parts; i++)
		p[i] = (struct place){c->parts[i].role, c->parts[i].layer, c->parts[i].expert, (uint32_t)i};
	if (p)
		qsort(p, c->n_parts, sizeof *p, by_place);
	return p;
}

/* Partners of a's parts among b's (b_of) and the reverse. */
struct partners {
	uint32_t *b_of, *a_of;
};

static bool same_shape(const struct part *x, const struct part *y)
{
	return x->rows == y->rows && x->cols == y->cols;
}

/* Several parts in one place: those of one shape first, in order; then the rest in order. */
static void match_run(const struct diff_model *a, const struct diff_model *b, const struct place *pa, size_t na,
		      const struct place *pb, size_t nb, struct partners *p)
{
	for (int any = 0; any < 2; any++) {
		size_t j = 0;
		for (size_t i = 0; i < na; i++) {
			if (p->b_of[pa[i].part] != DIFF_NONE)
				continue;
			const struct part *x = &a->c->parts[pa[i].part];
			for (; j < nb; j++)
				if (p->a_of[pb[j].part] == DIFF_NONE &&
				    (any || same_shape(x, &b->c->parts[pb[j].part])))
					break;
			if (j == nb)
				break;
			p->b_of[pa[i].part] = pb[j].part;
			p->a_of[pb[j].part] = pa[i].part;
		}
	}
}

static void match_places(const struct diff_model *a, const struct diff_model *b, const struct place *pa,
			 const struct place *pb, struct partners *p)
{
	size_t na = a->c->n_parts, nb = b->c->n_parts, i = 0, j = 0;
	while (i < na && j < nb) {
		int c = place_cmp(&pa[i], &pb[j]);
		if (c) {
			i += c < 0;
			j += c > 0;
			continue;
		}
		size_t k = i, l = j;
		while (k < na && !place_cmp(&pa[i], &pa[k]))
			k++;
		while (l < nb && !place_cmp(&pb[j], &pb[l]))
			l++;
		match_run(a, b, pa + i, k - i, pb + j, l - j, p);
		i = k;
		j = l;
	}
}

struct named { uint64_t hash; const char *name; uint32_t part; };

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	int c = strcmp(x->name, y->name);
	return c ? c : x->part < y->part ? -1 : x->part > y->part;
}

/* Parts without a partner, by the name of their tensor. */
static struct named *names_of(const struct diff_model *m, const uint32_t *partner, size_t *n)
{
	struct named *s = mem_array(m->c->n_parts, sizeof *s);
	*n = 0;
	for (size_t i = 0; s && i < m->c->n_parts; i++) {
		const char *name = m->w->tensors[m->c->parts[i].tensor].name;
		if (partner[i] == DIFF_NONE)
			s[(*n)++] = (struct named){hash64(name, strlen(name), 0), name, (uint32_t)i};
	}
	if (s)
		qsort(s, *n, sizeof *s, by_name);
	return s;
}

static int match_names(const struct diff_model *a, const struct diff_model *b, struct partners *p, struct err *e)
{
	size_t na, nb, i = 0, j = 0;
	cleanup_free struct named *x = names_of(a, p->b_of, &na), *y = names_of(b, p->a_of, &nb);
	if (!x || !y)
		return err_nomem(e);
	while (i < na && j < nb) {
		int c = x[i].hash != y[j].hash ? (x[i].hash < y[j].hash ? -1 : 1) : strcmp(x[i].name, y[j].name);
		if (!c) {
			p->b_of[x[i].part] = y[j].part;
			p->a_of[y[j].part] = x[i].part;
		}
		i += c <= 0;
		j += c >= 0;
	}
	return 0;
}

/* --- rows --- */

/* End of the run of parts that belong to the tensor of part i. */
static size_t tensor_end(const struct canon *c, size_t i)
{
	size_t k = i;
	while (k < c->n_parts && c->parts[k].tensor == c->parts[i].tensor)
		k++;
	return k;
}

/* Do the parts [i, end) of one tensor of a have all the parts of one tensor of b as their partners, in order? */
static bool is_whole(const struct diff_model *a, const struct diff_model *b, const uint32_t *b_of, size_t i, size_t end)
{
	uint32_t first = b_of[i];
	if (first == DIFF_NONE || (first && b->c->parts[first - 1].tensor == b->c->parts[first].tensor))
		return false;
	for (size_t k = i; k < end; k++)
		if (b_of[k] != first + (k - i))
			return false;
	return tensor_end(b->c, first) - first == end - i && a->c->parts[i].tensor == a->c->parts[end - 1].tensor;
}

static bool shapes_agree(const struct diff_model *a, const struct diff_model *b, size_t pa, size_t pb, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!same_shape(&a->c->parts[pa + k], &b->c->parts[pb + k]))
			return false;
	return true;
}

static bool is_read(const struct weights *w, uint32_t tensor)
{
	const struct dtype_info *d = dtype_info(w->tensors[tensor].dtype);
	return d->to_f32 || !d->bytes;
}

static void add_row(struct diff *d, const struct diff_model *a, const struct diff_model *b, uint32_t pa, uint32_t pb,
		    size_t n, bool whole)
{
	struct diff_row *r = &d->rows[d->n++];
	r->a = pa == DIFF_NONE ? DIFF_NONE : a->c->parts[pa].tensor;
	r->b = pb == DIFF_NONE ? DIFF_NONE : b->c->parts[pb].tensor;
	r->part_a = whole ? DIFF_NONE : pa;
	r->part_b = whole ? DIFF_NONE : pb;
	if (pb == DIFF_NONE)
		r->status = DIFF_ADDED;
	else if (pa == DIFF_NONE)
		r->status = DIFF_REMOVED;
	else if (!is_read(a->w, r->a) || !is_read(b->w, r->b))
		r->status = DIFF_UNREAD;
	else
		r->status = shapes_agree(a, b, pa, pb, n) ? DIFF_SAME : DIFF_SHAPE;
}

static bool none_matched(const uint32_t *partner, size_t i, size_t end)
{
	while (i < end && partner[i] == DIFF_NONE)
		i++;
	return i == end;
}

static void make_rows(struct diff *d, const struct diff_model *a, const struct diff_model *b, const struct partners *p)
{
	for (size_t i = 0, end; i < a->c->n_parts; i = end) {
		end = tensor_end(a->c, i);
		if (is_whole(a, b, p->b_of, i, end) || none_matched(p->b_of, i, end)) {
			add_row(d, a, b, (uint32_t)i, p->b_of[i], end - i, true);
			continue;
		}
		for (size_t k = i; k < end; k++)
			add_row(d, a, b, (uint32_t)k, p->b_of[k], 1, false);
	}
	for (size_t i = 0, end; i < b->c->n_parts; i = end) {
		end = tensor_end(b->c, i);
		if (none_matched(p->a_of, i, end)) {
			add_row(d, a, b, DIFF_NONE, (uint32_t)i, end - i, true);
			continue;
		}
		for (size_t k = i; k < end; k++)
			if (p->a_of[k] == DIFF_NONE)
				add_row(d, a, b, DIFF_NONE, (uint32_t)k, 1, false);
	}
}

int diff_align(struct diff *d, const struct diff_model *a, const struct diff_model *b, struct err *e)
{
	size_t na = a->c->n_parts, nb = b->c->n_parts;
	cleanup_free uint32_t *b_of = mem_array(na, sizeof *b_of), *a_of = mem_array(nb, sizeof *a_of);
	cleanup_free struct place *pa = places_of(a->c), *pb = places_of(b->c);
	struct partners p = {b_of, a_of};
	*d = (struct diff){0};
	d->rows = arena_array(&d->arena, na + nb, sizeof *d->rows);
	if (!b_of || !a_of || !pa || !pb || !d->rows) {
		diff_release(d);
		return err_nomem(e);
	}
	memset(b_of, 0xff, na * sizeof *b_of);
	memset(a_of, 0xff, nb * sizeof *a_of);
	match_places(a, b, pa, pb, &p);
	int r = match_names(a, b, &p, e);
	if (r < 0) {
		diff_release(d);
		return r;
	}
	make_rows(d, a, b, &p);
	return 0;
}

void diff_release(struct diff *d)
{
	arena_release(&d->arena);
	*d = (struct diff){0};
}

static uint32_t first_part(const struct canon *c, uint32_t tensor)
{
	uint32_t low = 0, high = (uint32_t)c->n_parts;	/* parts are in tensor order */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (c->parts[mid].tensor < tensor)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct diff_parts diff_row_parts(const struct diff_row *row, const struct diff_model *a, const struct diff_model *b)
{
	if (row->part_a != DIFF_NONE || row->part_b != DIFF_NONE)
		return (struct diff_parts){row->part_a, row->part_b, 1};
	struct diff_parts p = {DIFF_NONE, DIFF_NONE, 0};
	if (row->a != DIFF_NONE) {
		p.a = first_part(a->c, row->a);
		p.n = (uint32_t)(tensor_end(a->c, p.a) - p.a);
	}
	if (row->b != DIFF_NONE) {
		p.b = first_part(b->c, row->b);
		p.n = (uint32_t)(tensor_end(b->c, p.b) - p.b);
	}
	return p;
}

static bool part_stored_alike(const struct part *x, const struct part *y)
{
	return same_shape(x, y) && x->first == y->first && x->transposed == y->transposed &&
	       x->rope_heads == y->rope_heads && x->stride == y->stride && x->phase == y->phase && x->run == y->run &&
	       x->base == y->base && x->ld == y->ld && x->offset == y->offset;
}

bool diff_stored_alike(const struct diff_row *row, const struct diff_model *a, const struct diff_model *b)
{
	if (row->part_a != DIFF_NONE || row->a == DIFF_NONE || row->b == DIFF_NONE ||
	    a->w->tensors[row->a].elements != b->w->tensors[row->b].elements)
		return false;
	struct diff_parts p = diff_row_parts(row, a, b);
	for (uint32_t k = 0; k < p.n; k++)
		if (!part_stored_alike(&a->c->parts[p.a + k], &b->c->parts[p.b + k]))
			return false;
	return true;
}
