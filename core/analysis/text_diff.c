/* Unified diffs: lines as numbers, Myers's middle snakes, hunks with context. */
#include "core/analysis/text_diff.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include <errno.h>
#include <string.h>

enum { CONTEXT = 3 };

struct line {
	const char *s;
	size_t len;		/* without the newline */
	uint64_t hash;
	bool cut;		/* no newline at its end */
};

struct side {
	struct line *lines;
	int n;
	bool *changed;		/* n of them */
};

struct diff {
	struct side a, b;	/* a old, b new */
	int *fore, *back;	/* farthest x on each diagonal, both offset by `mid` */
	int mid;
	const struct cancel *cancel;
};

static int split(struct side *t, struct text text, struct err *e)
{
	size_t n = 0;
	const char *end = text.s ? text.s + text.len : NULL;
	for (const char *p = text.s; p < end; n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		p = nl ? nl + 1 : end;
	}
	if (n > 1 << 30)
		return err_set(e, EFBIG, "%zu lines are too many to compare", n);
	t->lines = mem_array(n, sizeof *t->lines);
	t->changed = mem_array(n, sizeof *t->changed);
	if (!t->lines || !t->changed)
		return err_nomem(e);
	for (const char *p = text.s; p < end; t->n++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);
		t->lines[t->n] = (struct line){p, len, hash64(p, len, !nl), !nl};
		p = nl ? nl + 1 : end;
	}
	return 0;
}

static bool same(const struct diff *d, int i, int j)
{
	const struct line *x = &d->a.lines[i], *y = &d->b.lines[j];
	return x->hash == y->hash && x->len == y->len && x->cut == y->cut && !memcmp(x->s, y->s, x->len);
}

/* --- the algorithm --- */

struct box { int a0, a1, b0, b1; };
struct point { int x, y; };

/* One more edit from the corner of the lower numbers; true when it meets the other's path. */
static bool step_fore(const struct diff *d, const struct box *k, int edits, int delta, struct point *at)
{
	int *v = d->fore + d->mid;
	for (int g = -edits; g <= edits; g += 2) {
		int x = g == -edits || (g != edits && v[g - 1] < v[g + 1]) ? v[g + 1] : v[g - 1] + 1;
		int y = x - k->a0 - g + k->b0;
		while (x < k->a1 && y < k->b1 && y >= k->b0 && same(d, x, y))
			x++, y++;
		v[g] = x;
		if (x > k->a1 || y > k->b1)
			continue;
		if (delta % 2 && g - delta >= -(edits - 1) && g - delta <= edits - 1 &&
		    x >= d->back[d->mid + g - delta]) {
			*at = (struct point){x, y};
			return true;
		}
	}
	return false;
}

static bool step_back(const struct diff *d, const struct box *k, int edits, int delta, struct point *at)
{
	int *v = d->back + d->mid;
	for (int g = -edits; g <= edits; g += 2) {
		int x = g == -edits || (g != edits && v[g + 1] <= v[g - 1]) ? v[g + 1] - 1 : v[g - 1];
		int y = x - k->a1 - g + k->b1;
		while (x > k->a0 && y > k->b0 && y <= k->b1 && same(d, x - 1, y - 1))
			x--, y--;
		v[g] = x;
		if (x < k->a0 || y < k->b0)
			continue;
		if (delta % 2 == 0 && g + delta >= -edits && g + delta <= edits && x <= d->fore[d->mid + g + delta]) {
			*at = (struct point){x, y};
			return true;
		}
	}
	return false;
}

/* A point on a short path through the box, neither of its corners. */
static bool middle(const struct diff *d, const struct box *k, struct point *at)
{
	int delta = (k->a1 - k->a0) - (k->b1 - k->b0), most = (k->a1 - k->a0) + (k->b1 - k->b0), edits;
	d->fore[d->mid + 1] = k->a0;
	d->back[d->mid + 1] = k->a1 + 1;
	for (edits = 0; edits <= most / 2 + 1 && edits < TEXT_DIFF_EDITS; edits++)
		if (step_fore(d, k, edits, delta, at) || step_back(d, k, edits, delta, at))
			return true;
	int best = -1;
	for (int g = -(edits - 1); g <= edits - 1; g += 2) {
		int x = d->fore[d->mid + g], y = x - k->a0 - g + k->b0;
		if (x <= k->a1 && y <= k->b1 && y >= k->b0 && x + y > best) {
			best = x + y;
			*at = (struct point){x, y};
		}
	}
	return best >= 0;
}

static void mark_all(struct diff *d, const struct box *k)
{
	memset(d->a.changed + k->a0, true, (size_t)(k->a1 - k->a0) * sizeof(bool));
	memset(d->b.changed + k->b0, true, (size_t)(k->b1 - k->b0) * sizeof(bool));
}

/* Both halves have half the edits, so this is as deep as their number has bits (and as often again as the search
 * gave up). */
static int compare(struct diff *d, struct box k, struct err *e)
{
	for (;;) {
		struct point at;
		while (k.a0 < k.a1 && k.b0 < k.b1 && same(d, k.a0, k.b0))
			k.a0++, k.b0++;
		while (k.a0 < k.a1 && k.b0 < k.b1 && same(d, k.a1 - 1, k.b1 - 1))
			k.a1--, k.b1--;
		if (k.a0 == k.a1 || k.b0 == k.b1) {
			mark_all(d, &k);
			return 0;
		}
		if (cancel_asked(d->cancel))
			return err_set(e, ECANCELED, "cancelled");
		bool found = middle(d, &k, &at);
		if (!found || (at.x == k.a0 && at.y == k.b0) || (at.x == k.a1 && at.y == k.b1)) {
			mark_all(d, &k);
			return 0;
		}
		int r = compare(d, (struct box){k.a0, at.x, k.b0, at.y}, e);
		if (r < 0)
			return r;
		k.a0 = at.x;
		k.b0 = at.y;
	}
}

/* --- writing --- */

static void write_line(struct buf *out, char mark, const struct line *l)
{
	const char *p = l->s, *end = p + l->len;
	buf_char(out, mark);
	while (p < end) {
		const char *tab = memchr(p, '\t', (size_t)(end - p));
		size_t n = (size_t)((tab ? tab : end) - p);
		buf_text(out, p, n);
		if (tab)
			buf_char(out, '\t');
		p += n + (tab != NULL);
	}
	buf_char(out, '\n');
	if (l->cut)
		buf_str(out, "\\ No newline at end of file\n");
}

static void write_range(struct buf *out, char mark, int first, int n)
{
	buf_printf(out, n == 1 ? "%c%d" : "%c%d,%d", mark, n ? first + 1 : first, n);
}

/* Lines [i, i_end) of a and [j, j_end) of b: changes and what is between them. */
static void write_hunk(struct buf *out, const struct diff *d, int i, int i_end, int j, int j_end)
{
	buf_str(out, "@@ ");
	write_range(out, '-', i, i_end - i);
	buf_char(out, ' ');
	write_range(out, '+', j, j_end - j);
	buf_str(out, " @@\n");
	while (i < i_end || j < j_end) {
		if (i < i_end && d->a.changed[i])
			write_line(out, '-', &d->a.lines[i++]);
		else if (j < j_end && d->b.changed[j])
			write_line(out, '+', &d->b.lines[j++]);
		else
			write_line(out, ' ', &d->a.lines[i++]), j++;
	}
}

static void write_hunks(struct buf *out, const struct diff *d)
{
	int i = 0, j = 0;
	for (;;) {
		while (i < d->a.n && j < d->b.n && !d->a.changed[i] && !d->b.changed[j])
			i++, j++;
		if (i == d->a.n && j == d->b.n)
			return;
		int before = MIN(i, CONTEXT), i0 = i - before, j0 = j - before, i_end = i, j_end = j, calm = 0;
		while ((i < d->a.n || j < d->b.n) && calm <= 2 * CONTEXT) {
			bool a = i < d->a.n && d->a.changed[i], b = j < d->b.n && d->b.changed[j];
			i += a || !b;
			j += b || !a;
			calm = a || b ? 0 : calm + 1;
			if (a || b) {
				i_end = i;
				j_end = j;
			}
		}
		int left = MIN(d->a.n - i_end, d->b.n - j_end), after = MIN(left, CONTEXT);
		write_hunk(out, d, i0, i_end + after, j0, j_end + after);
		i = i_end + after;
		j = j_end + after;
	}
}

static void diff_free(struct diff *d)
{
	free(d->a.lines);
	free(d->a.changed);
	free(d->b.lines);
	free(d->b.changed);
	free(d->fore);
	free(d->back);
}

int text_diff(struct buf *out, const char *old_name, struct text old, const char *new_name, struct text new,
	      const struct cancel *cancel, struct err *e)
{
	struct diff d = {.cancel = cancel};
	if (old.len == new.len && !old.s == !new.s && (!old.len || !memcmp(old.s, new.s, old.len)))
		return 0;
	int r = split(&d.a, old, e);
	if (!r)
		r = split(&d.b, new, e);
	d.mid = TEXT_DIFF_EDITS + 1;
	if (!r) {
		d.fore = mem_array(2 * (size_t)d.mid + 1, sizeof *d.fore);
		d.back = mem_array(2 * (size_t)d.mid + 1, sizeof *d.back);
		r = d.fore && d.back ? compare(&d, (struct box){0, d.a.n, 0, d.b.n}, e) : err_nomem(e);
	}
	if (!r) {
		buf_str(out, "--- ");
		buf_text(out, old.s ? old_name : "/dev/null", strlen(old.s ? old_name : "/dev/null"));
		buf_str(out, "\n+++ ");
		buf_text(out, new.s ? new_name : "/dev/null", strlen(new.s ? new_name : "/dev/null"));
		buf_char(out, '\n');
		write_hunks(out, &d);
		r = buf_failed(out) ? err_nomem(e) : 0;
	}
	diff_free(&d);
	return r;
}
