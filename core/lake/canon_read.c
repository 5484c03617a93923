/* Reading parts as canonical matrices: rows and grids through transposition, fusion, interleaving and RoPE order. */
#include "core/lake/canon_internal.h"

#include <string.h>

enum {
	BUDGET = 1 << 18,	/* floats decoded at once */
	GAP = 4096,		/* elements read and thrown away rather than issuing another read */
};

uint64_t part_stored(const struct part *p, uint64_t row)
{
	if (p->rope_heads) {
		uint64_t d = p->rows / p->rope_heads, head = row / d, i = row % d, half = d / 2;

		row = head * d + 2 * (i % half) + i / half;
	}
	if (p->stride)
		row = row / p->run * p->stride + p->phase + row % p->run;
	return p->first + row;
}

/* One wanted index of the stored matrix and where its values go. */
struct want {
	uint64_t at, to;
};

static int want_cmp(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void want_sort(struct want *w, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (w[i].at < w[i - 1].at) {
			qsort(w, n, sizeof *w, want_cmp);
			return;
		}
	}
}

struct grid {
	const struct weights *w;
	const struct tensor *t;
	const struct part *p;
	struct want *line, *cell;	/* stored rows, and places in each; sorted by `at` */
	size_t lines, cells;
	float *tmp, *out;
};

/* The wanted cells of the stored rows line[from..to) in one read. */
static int read_block(struct grid *g, size_t from, size_t to, struct err *e)
{
	uint64_t lo = g->cell[0].at, hi = g->cell[g->cells - 1].at + 1, first = g->line[from].at;
	uint64_t span = (g->line[to - 1].at - first) * g->p->ld + (hi - lo);
	int r = weights_read(g->w, g->t, g->p->base + first * g->p->ld + lo, span, g->tmp, e);

	for (size_t i = from; i < to && !r; i++) {
		const float *row = g->tmp + (g->line[i].at - first) * g->p->ld;
		float *out = g->out + g->line[i].to;

		for (size_t j = 0; j < g->cells; j++)
			out[g->cell[j].to] = row[g->cell[j].at - lo];
	}
	return r;
}

/* A stored row too long to read whole: its wanted cells in clusters. */
static int read_long(struct grid *g, size_t line, struct err *e)
{
	uint64_t start = g->p->base + g->line[line].at * g->p->ld;
	float *out = g->out + g->line[line].to;
	int r = 0;

	for (size_t i = 0, j; i < g->cells && !r; i = j) {
		uint64_t lo = g->cell[i].at;

		for (j = i + 1; j < g->cells && g->cell[j].at - g->cell[j - 1].at <= GAP && g->cell[j].at - lo < BUDGET;
		     j++)
			;
		r = weights_read(g->w, g->t, start + lo, g->cell[j - 1].at + 1 - lo, g->tmp, e);
		for (size_t k = i; k < j && !r; k++)
			out[g->cell[k].to] = g->tmp[g->cell[k].at - lo];
	}
	return r;
}

static int grid_read(struct grid *g, struct err *e)
{
	uint64_t width = g->cell[g->cells - 1].at + 1 - g->cell[0].at, ld = g->p->ld, need = width;
	bool gaps = ld - width <= GAP;	/* the end of one row and the beginning of the next are near */
	cleanup_free float *tmp = NULL;
	int r = 0;

	if (gaps && g->lines > 1)
		need = MIN((g->line[g->lines - 1].at - g->line[0].at) * ld + width, (uint64_t)BUDGET);
	need = MIN(MAX(need, width), (uint64_t)BUDGET);
	if (!(g->tmp = tmp = mem_array(need, sizeof *tmp)))
		return err_nomem(e);
	for (size_t i = 0, j; i < g->lines && !r; i = j) {
		j = i + 1;
		if (width > BUDGET) {
			r = read_long(g, i, e);
			continue;
		}
		while (gaps && j < g->lines && (g->line[j].at - g->line[j - 1].at) * ld - width <= GAP &&
		       (g->line[j].at - g->line[i].at) * ld + width <= need)
			j++;
		r = read_block(g, i, j, e);
	}
	return r;
}

static int part_range(const struct part *p, uint64_t row, uint64_t col, struct err *e)
{
	if (row >= p->rows || col >= p->cols)
		return err_set(e, EINVAL, "element (%llu, %llu) asked for of %s, which is %llux%llu",
			       (unsigned long long)row, (unsigned long long)col, p->role, (unsigned long long)p->rows,
			       (unsigned long long)p->cols);
	return 0;
}

static int shifted(const struct part *p, float *out, uint64_t n, int result)
{
	for (uint64_t i = 0; i < n && p->offset != 0 && !result; i++)
		out[i] += p->offset;
	return result;
}

int canon_read_grid(const struct weights *w, const struct part *p, const uint64_t *rows, size_t nr,
		    const uint64_t *cols, size_t nc, float *out, struct err *e)
{
	struct grid g = {.w = w, .t = &w->tensors[p->tensor], .p = p, .out = out};
	struct want *r, *c;
	cleanup_free struct want *wants = NULL;

	if (!nr || !nc)
		return 0;
	if (part_range(p, rows[nr - 1], cols[nc - 1], e))
		return -EINVAL;
	if (!(wants = mem_array(nr + nc, sizeof *wants)))
		return err_nomem(e);
	r = wants;
	c = wants + nr;
	for (size_t i = 0; i < nr; i++)
		r[i] = (struct want){part_stored(p, rows[i]), i * nc};
	for (size_t i = 0; i < nc; i++)
		c[i] = (struct want){cols[i], i};
	want_sort(r, nr);
	g.line = p->transposed ? c : r;
	g.lines = p->transposed ? nc : nr;
	g.cell = p->transposed ? r : c;
	g.cells = p->transposed ? nr : nc;
	return shifted(p, out, (uint64_t)nr * nc, grid_read(&g, e));
}

/* Rows of a plain part are stored one after the other. */
static bool is_plain(const struct part *p)
{
	return !p->transposed && !p->rope_heads && !p->stride && p->ld == p->cols;
}

/* Whole rows by a grid, so many at a time that the lists of indices stay small. */
static int read_rows_grid(const struct weights *w, const struct part *p, uint64_t row, uint64_t n, float *out,
			  struct err *e)
{
	uint64_t chunk = p->transposed ? n : MIN(n, (uint64_t)BUDGET);
	cleanup_free uint64_t *index = mem_array(chunk + p->cols, sizeof *index);
	int r = 0;

	if (!index)
		return err_nomem(e);
	for (uint64_t i = 0; i < p->cols; i++)
		index[chunk + i] = i;
	for (uint64_t done = 0, k; done < n && !r; done += k) {
		k = MIN(chunk, n - done);
		for (uint64_t i = 0; i < k; i++)
			index[i] = row + done + i;
		r = canon_read_grid(w, p, index, k, index + chunk, p->cols, out + done * p->cols, e);
	}
	return r;
}

int canon_read_rows(const struct weights *w, const struct part *p, uint64_t row, uint64_t n, float *out, struct err *e)
{
	if (!n || !p->cols)
		return 0;
	if (row >= p->rows || n > p->rows - row)
		return err_set(e, EINVAL, "rows %llu to %llu asked for of %s, which has %llu", (unsigned long long)row,
			       (unsigned long long)(row + n), p->role, (unsigned long long)p->rows);
	if (is_plain(p))
		return shifted(p, out, n * p->cols,
			       weights_read(w, &w->tensors[p->tensor], p->base + (p->first + row) * p->ld, n * p->cols,
					    out, e));
	return read_rows_grid(w, p, row, n, out, e);
}

int canon_read_row(const struct weights *w, const struct part *p, uint64_t row, float *out, struct err *e)
{
	return canon_read_rows(w, p, row, 1, out, e);
}
