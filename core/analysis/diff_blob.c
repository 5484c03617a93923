/* A comparison as one blob: a head that says which tensors it is of, then the rows. Little-endian, like the memory. */
#include "core/analysis/diff.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct head {
	char magic[4];
	uint32_t version;
	uint64_t tensors_a, tensors_b, parts_a, parts_b, rows;
};

struct record {
	uint32_t status, a, b, part_a, part_b, zero;
	uint64_t elements, changed, zeroed, rounded, nonfinite;
	double dd, aa, bb, ab, max_abs;
};

static struct head head_of(const struct diff_model *a, const struct diff_model *b, uint64_t rows)
{
	return (struct head){{'T', 'R', 'N', 'D'}, DIFF_VERSION, a->w->n_tensors, b->w->n_tensors, a->c->n_parts,
			     b->c->n_parts,	   rows};
}

int diff_encode(const struct diff *d, const struct diff_model *a, const struct diff_model *b, struct buf *out,
		struct err *e)
{
	struct head h = head_of(a, b, d->n);
	buf_add(out, &h, sizeof h);
	for (size_t i = 0; i < d->n; i++) {
		const struct diff_row *w = &d->rows[i];
		const struct diff_sums *s = &w->sums;
		struct record r = {w->status, w->a, w->b, w->part_a, w->part_b, 0,
				   s->elements, s->changed, s->zeroed, s->rounded, s->nonfinite, s->dd,
				   s->aa, s->bb, s->ab, s->max_abs};
		buf_add(out, &r, sizeof r);
	}
	return buf_failed(out) ? err_nomem(e) : 0;
}

static bool in_range(uint32_t i, size_t n)
{
	return i == DIFF_NONE || i < n;
}

/* Indices must lie in the models, and sides must be there as the status says. */
static bool is_sound(const struct record *r, const struct diff_model *a, const struct diff_model *b)
{
	if (r->status > DIFF_UNREAD || !in_range(r->a, a->w->n_tensors) || !in_range(r->b, b->w->n_tensors) ||
	    !in_range(r->part_a, a->c->n_parts) || !in_range(r->part_b, b->c->n_parts))
		return false;
	bool has_a = r->a != DIFF_NONE, has_b = r->b != DIFF_NONE;
	if (has_a != (r->status != DIFF_REMOVED) || has_b != (r->status != DIFF_ADDED))
		return false;
	if (r->part_a != DIFF_NONE && (!has_a || a->c->parts[r->part_a].tensor != r->a))
		return false;
	if (r->part_b != DIFF_NONE && (!has_b || b->c->parts[r->part_b].tensor != r->b))
		return false;
	return !has_a || !has_b || (r->part_a == DIFF_NONE) == (r->part_b == DIFF_NONE);
}

int diff_decode(struct diff *d, const struct diff_model *a, const struct diff_model *b, const void *blob, size_t len,
		struct err *e)
{
	struct head h, want = head_of(a, b, 0);
	*d = (struct diff){0};
	if (len < sizeof h)
		return err_at(e, EINVAL, 0, "expected at least %zu bytes, found %zu", sizeof h, len);
	memcpy(&h, blob, sizeof h);
	want.rows = h.rows;
	if (memcmp(&h, &want, sizeof h))
		return err_at(e, ESTALE, 0, "a comparison of other models or another version");
	if (h.rows != (len - sizeof h) / sizeof(struct record) || (len - sizeof h) % sizeof(struct record))
		return err_at(e, EINVAL, sizeof h, "%" PRIu64 " rows do not make %zu bytes", h.rows, len);
	d->rows = arena_array(&d->arena, h.rows, sizeof *d->rows);
	if (!d->rows)
		return err_nomem(e);
	for (; d->n < h.rows; d->n++) {
		struct record r;
		size_t at = sizeof h + d->n * sizeof r;
		memcpy(&r, (const char *)blob + at, sizeof r);
		if (!is_sound(&r, a, b)) {
			diff_release(d);
			return err_at(e, EINVAL, at, "a row that fits neither model");
		}
		d->rows[d->n] = (struct diff_row){
			(enum diff_status)r.status, r.a, r.b, r.part_a, r.part_b,
			{r.elements, r.changed, r.zeroed, r.rounded, r.nonfinite, r.dd, r.aa, r.bb, r.ab, r.max_abs},
		};
	}
	return 0;
}
