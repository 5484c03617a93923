/*
 * diff/FLATID/OTHER/summary.txt: for a person. The verdict first: the statistic from the two signatures, descent as the
 * lake's lineage has it; then what moved, exactly where both models can be read in a moment, else from the
 * samples; then what the configs say otherwise.
 */
#include "core/analysis/dna.h"
#include "core/analysis/pair.h"
#include "core/analysis/renamed.h"
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/config_changes.h"
#include "core/tree/diffs.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const uint64_t read_in_a_moment = (uint64_t)1 << 30;	/* bytes of both: about two seconds */

struct summary {
	struct render *r;
	struct buf *out;
	const char *this_id, *other_id;
	struct signature this, other;
	struct two two;
	struct diff diff;
	bool exact;		/* diff holds rows */
};

static void name(struct buf *out, const char *s)
{
	buf_text(out, s, strlen(s));
}

/* --- the verdict --- */

static const char *relation_words(enum relation relation)
{
	static const char *const words[RELATION_COUNT] = {
		[RELATION_FINETUNE] = "fine-tuned from it",
		[RELATION_LORA] = "a low-rank update merged into it",
		[RELATION_ADAPTER] = "an adapter for it",
		[RELATION_QUANTIZED] = "quantized from it",
		[RELATION_CAST] = "cast to another type, nothing else",
		[RELATION_MERGE] = "merged from it and others",
		[RELATION_STITCH] = "stitched from its tensors",
		[RELATION_PRUNED] = "pruned",
		[RELATION_EXTENDED] = "with rows or columns added",
		[RELATION_PERMUTED] = "with neurons or heads in another order",
		[RELATION_REINITIALIZED] = "with some tensors drawn anew",
		[RELATION_DUPLICATE] = "a copy",
		[RELATION_RELATED] = "kin, of unknown direction",
	};
	return words[relation];
}

/* What the lake's lineage says of the two: an edge between them, the first of either direction. */
struct told {
	uint32_t parent;
	bool found, up;		/* up: this model is the child */
	char relation[16];
	double confidence;
	struct buf method, evidence;
};

static void told_release(struct told *t)
{
	buf_release(&t->method);
	buf_release(&t->evidence);
}

static int told_row(void *arg, const struct catalog_row *row)
{
	struct told *t = arg;
	size_t len;
	if ((uint32_t)catalog_int(row, 0) != t->parent)
		return 0;
	t->found = true;
	snprintf(t->relation, sizeof t->relation, "%s", catalog_text(row, 1, NULL));
	t->confidence = catalog_real(row, 3);
	const char *s = catalog_text(row, 6, &len);
	buf_add(&t->method, s, len);
	s = catalog_text(row, 7, &len);
	buf_add(&t->evidence, s, len);
	return 1;
}

static int find_edge(struct render *r, struct told *t)
{
	int rc = 0;
	for (int up = 1; up >= 0 && rc == 0; up--) {
		t->parent = up ? r->other->id : r->model->id;
		t->up = up;
		rc = catalog_each(tree_catalog(r->tree), Q_EDGES_OF, r->err, told_row, t, "i",
				  (int64_t)(up ? r->model->id : r->other->id));
	}
	return rc < 0 ? rc : 0;
}

static enum relation relation_of(const char *text)
{
	enum relation k = 0;
	while (k < RELATION_RELATED && strcmp(relation_name(k), text))
		k++;
	return k;
}

static bool is_above(struct render *r, const struct view_model *m, const struct view_model *of, int *rc)
{
	struct ids up = {0};
	if (!*rc)
		*rc = kin_collect(r->tree, r->view, of->id, KIN_ANCESTORS, &up);
	bool found = ids_has(&up, m->id);
	ids_release(&up);
	return found;
}

/* The lineage knows more than two samples do: a cast has the same values and is a descendant, a merge has two parents. */
static int final_verdict(struct render *r, const struct told *t, const struct dna *d, enum dna_verdict *out)
{
	int rc = 0;
	struct catalog *c = tree_catalog(r->tree);
	enum relation relation = t->found ? relation_of(t->relation) : RELATION_RELATED;
	int64_t mine = catalog_number(c, Q_FAMILY_OF, 0, "i", (int64_t)r->model->id);
	if (relation == RELATION_DUPLICATE)
		*out = DNA_SAME;
	else if (relation != RELATION_RELATED)
		*out = t->up ? DNA_DESCENDANT : DNA_ANCESTOR;
	else if (is_above(r, r->other, r->model, &rc))
		*out = DNA_DESCENDANT;
	else if (!rc && is_above(r, r->model, r->other, &rc))
		*out = DNA_ANCESTOR;
	else if (d->verdict == DNA_UNRELATED && mine &&
		 mine == catalog_number(c, Q_FAMILY_OF, 0, "i", (int64_t)r->other->id))
		*out = DNA_SHARES_ANCESTOR;
	else
		*out = d->verdict;
	return rc;
}

static int verdict_line(struct summary *s, const struct told *t, const struct dna *d)
{
	enum dna_verdict v;
	int rc = final_verdict(s->r, t, d, &v);
	name(s->out, s->this_id);
	if (v == DNA_UNRELATED && !d->parts)
		buf_str(s->out, " cannot be compared with ");
	else
		buf_printf(s->out, " %s%s ", v == DNA_UNRELATED ? "is " : "", dna_verdict_name(v));
	name(s->out, s->other_id);
	buf_char(s->out, '\n');
	if (!t->found)
		return rc;
	enum relation relation = relation_of(t->relation);
	buf_printf(s->out, "\n  relation   %s (%s), confidence ", t->relation,
		   t->up || relation >= RELATION_DUPLICATE ? relation_words(relation) : "of the other to this one");
	buf_num(s->out, t->confidence);
	buf_str(s->out, "\n  evidence   ");
	name(s->out, t->method.len ? t->method.data : "");
	if (t->evidence.len) {
		buf_str(s->out, ": ");
		name(s->out, t->evidence.data);
	}
	buf_char(s->out, '\n');
	return rc;
}

static bool no_number(const struct signature *s)
{
	for (size_t i = 0; i < s->n_parts; i++)
		if (s->parts[i].nonfinite < 1)
			return false;
	return s->n_parts > 0;
}

static void kinship_lines(struct summary *s, const struct dna *d)
{
	if (!d->parts) {
		bool adapter = (s->r->model->flags | s->r->other->flags) & VIEW_ADAPTER;
		buf_str(s->out, no_number(&s->this) || no_number(&s->other) ?
			"\n  kinship    of one of the two no value sampled is a finite number" :
			"\n  kinship    the two have no matrix of the same role and layer");
		buf_str(s->out, adapter ? "; an adapter's weights say little of its base\n" : "\n");
		return;
	}
	buf_str(s->out, "\n  kinship    z = ");
	buf_num(s->out, d->z);
	buf_str(s->out, " (cosine ");
	buf_num(s->out, d->cosine);
	if (d->role) {
		buf_str(s->out, " in ");
		if (d->layer >= 0)
			buf_printf(s->out, "layer %d's ", (int)d->layer);
		name(s->out, d->role);
	}
	buf_printf(s->out, ", best of %zu matrices)\n  background unrelated weights: z is normal with mean 0 and sd 1; "
		   "kin from z = %g on\n  error      ", d->parts, KIN_Z);
	buf_num(s->out, d->error);
	buf_str(s->out, ", the probability that this is wrong about kinship\n  distance   ");
	buf_num(s->out, d->distance);
	buf_str(s->out, " (0 identical, 1 unrelated); median cosine ");
	buf_num(s->out, d->median_cosine);
	buf_printf(s->out, "; %zu of %zu matrices equal wherever they were sampled\n", d->equal, d->parts);
	if (d->constants)
		buf_str(s->out,
			"             the others have nothing in common: what is equal is taken for a constant, as a filter bank\n");
}

static int verdict(struct summary *s)
{
	struct render *r = s->r;
	struct told t cleanup_with(told_release) = {0};
	struct dna d = {0};
	int rc = find_edge(r, &t);
	if (!rc)
		rc = dna_compare(&d, &s->this, &s->other, NULL, 0, 1, NULL, r->err);
	if (!rc)
		rc = verdict_line(s, &t, &d);
	if (!rc)
		kinship_lines(s, &d);
	return rc;
}

/* --- what moved --- */

/* Sums of a role, or of a layer. */
struct group {
	const char *role;
	int32_t layer;
	double dd, bb;
	uint64_t elements, changed;
};

static bool has_moved(const struct group *g)
{
	return g->dd > 0;
}

struct groups {
	struct group *g;
	size_t n, cap;
	bool by_layer;
};

static struct group *group_of(struct groups *gs, const char *role, int32_t layer)
{
	for (size_t i = 0; i < gs->n; i++)
		if (gs->by_layer && layer >= 0 ? gs->g[i].layer == layer :
						 gs->g[i].layer == -1 && !strcmp(gs->g[i].role, role))
			return &gs->g[i];
	if (mem_grow(&gs->g, &gs->cap, gs->n + 1))
		return NULL;
	gs->g[gs->n] = (struct group){.role = role, .layer = gs->by_layer ? layer : -1};
	return &gs->g[gs->n++];
}

static int note(struct groups gs[2], const char *role, int32_t layer, double dd, double bb, uint64_t elements,
		uint64_t changed)
{
	for (int i = 0; i < 2; i++) {
		struct group *g = group_of(&gs[i], role, layer);
		if (!g)
			return -ENOMEM;
		g->dd += dd;
		g->bb += bb;
		g->elements += elements;
		g->changed += changed;
	}
	return 0;
}

static int gather_exact(struct summary *s, struct groups gs[2])
{
	int rc = 0;
	for (size_t i = 0; i < s->diff.n && !rc; i++) {
		const struct diff_row *row = &s->diff.rows[i];
		if (row->a == DIFF_NONE || row->b == DIFF_NONE || row->status == DIFF_UNREAD)
			continue;
		const struct part *p = &s->two.a.c->parts[diff_row_parts(row, &s->two.a, &s->two.b).a];
		rc = note(gs, p->role, p->layer, row->sums.dd, row->sums.bb, row->sums.elements, row->sums.changed);
	}
	return rc;
}

static int gather_samples(struct summary *s, struct groups gs[2])
{
	struct pair p;
	int rc = 0;
	pair_init(&p, &s->this, &s->other);
	while (!rc && pair_next(&p)) {
		double dd = 0, bb = 0;
		uint64_t changed = 0;
		for (size_t i = 0; i < p.n; i++) {
			if (!isfinite(p.x[i]) || !isfinite(p.y[i]))
				continue;
			double d = (double)p.x[i] - p.y[i];
			dd += d * d;
			bb += (double)p.y[i] * p.y[i];
			changed += p.x[i] != p.y[i];
		}
		rc = note(gs, p.pa->role, p.pa->layer, dd, bb, p.n, changed);
	}
	rc = p.failed ? -ENOMEM : rc;
	pair_release(&p);
	return rc;
}

static double moved(const struct group *g)
{
	return g->dd == 0 ? 0 : g->bb > 0 ? sqrt(g->dd / g->bb) : INFINITY;
}

static int by_move(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	double mx = moved(x), my = moved(y);
	if (mx != my)
		return mx > my ? -1 : 1;
	if (x->layer != y->layer)
		return x->layer < y->layer ? -1 : 1;
	return strcmp(x->role, y->role);
}

enum { SHOWN = 12, BAR = 40 };

static void group_lines(struct buf *out, struct groups *gs)
{
	if (gs->n)
		qsort(gs->g, gs->n, sizeof *gs->g, by_move);
	double most = gs->n ? moved(&gs->g[0]) : 0;
	size_t n = 0;
	while (n < gs->n && has_moved(&gs->g[n]))
		n++;
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		const struct group *g = &gs->g[i];
		cleanup_buf struct buf label = {0};
		if (g->layer >= 0)
			buf_printf(&label, "layer %d", (int)g->layer);
		else
			name(&label, g->role);
		buf_printf(out, "  %-24s ", label.data ? label.data : "");
		double m = moved(g);
		int bar = most > 0 ? isfinite(most) ? (int)(m / most * BAR + .5) : isfinite(m) ? 0 : BAR : 0;
		size_t from = out->len;
		if (isfinite(m))
			buf_num(out, m);
		else
			buf_str(out, "from zeros");
		for (size_t k = out->len - from; k < 14; k++)
			buf_char(out, ' ');
		buf_printf(out, "%5.1f %%  ", g->elements ? 100 * (double)g->changed / (double)g->elements : 0);
		for (int k = 0; k < bar; k++)
			buf_char(out, '#');
		buf_char(out, '\n');
	}
	if (n > SHOWN)
		buf_printf(out, "  and %zu more\n", n - SHOWN);
}

static void value_lines(struct buf *out, const struct diff_sums *sum)
{
	unsigned long long n = sum->elements, changed = sum->changed;
	if (!n)
		return;
	if (!changed) {
		buf_printf(out, "  values     all %llu are the same\n", n);
	} else {
		buf_printf(out, "  values     %llu of %llu differ (", changed, n);
		buf_num(out, 100 * (double)changed / (double)n);
		buf_str(out, " %)");
		if (sum->max_abs > 0) {
			buf_str(out, ", by at most ");
			buf_num(out, sum->max_abs);
		}
		buf_char(out, '\n');
	}
	if (sum->nonfinite)
		buf_printf(out, "  not finite %llu values, in one of the two or both: of these no difference is told\n",
			   (unsigned long long)sum->nonfinite);
}

static void status_lines(struct summary *s)
{
	size_t count[DIFF_UNREAD + 1] = {0};
	struct diff_sums sum = {0};
	for (size_t i = 0; i < s->diff.n; i++) {
		count[s->diff.rows[i].status]++;
		sum = diff_sums_add(sum, s->diff.rows[i].sums);
	}
	buf_str(s->out, "  tensors    ");
	const char *comma = "";
	for (int i = 0; i <= DIFF_UNREAD; i++) {
		if (!count[i])
			continue;
		buf_printf(s->out, "%s%zu %s", comma, count[i], diff_status_name((enum diff_status)i));
		comma = ", ";
	}
	buf_char(s->out, '\n');
	value_lines(s->out, &sum);
}

/* Of equal tensors no sums are taken. */
static void group_tables(struct summary *s, struct groups gs[2])
{
	buf_str(s->out, s->exact ?
				"\n  Which layers moved most: |this - other| / |other| over the tensors that differ, "
				"and the share of values\n\n" :
				"\n  Which layers moved most: |this - other| / |other|, and the share of values\n\n");
	group_lines(s->out, &gs[0]);
	buf_str(s->out, "\n  Which roles\n\n");
	group_lines(s->out, &gs[1]);
}

static int movement(struct summary *s)
{
	struct groups gs[2] = {{.by_layer = true}, {.by_layer = false}};
	int rc = s->exact ? gather_exact(s, gs) : gather_samples(s, gs);
	buf_str(s->out, s->exact ? "\nWhat changed (exact; tensors.tsv has each tensor)\n\n" :
			"\nWhat changed (from the samples of the signatures; tensors.tsv is exact)\n\n");
	if (s->exact)
		status_lines(s);
	bool any = false;
	for (size_t i = 0; i < gs[1].n; i++)
		any |= has_moved(&gs[1].g[i]);
	if (!any && !s->exact)
		buf_str(s->out, gs[1].n ? "  Nothing, wherever both were sampled\n"
					: "  No tensor of the one is in the other\n");
	if (any && !rc)
		group_tables(s, gs);
	free(gs[0].g);
	free(gs[1].g);
	return rc < 0 ? err_nomem(s->r->err) : 0;
}

/* --- sizes --- */

static void size_lines(struct summary *s)
{
	buf_str(s->out, "\nSizes\n\n");
	const struct { const char *label; uint64_t this, other; } lines[] = {
		{"parameters", s->this.parameters, s->other.parameters}, {"layers", s->this.layers, s->other.layers},
		{"tensors", s->two.a.w->n_tensors, s->two.b.w->n_tensors},
	};
	for (size_t i = 0; i < COUNT(lines); i++) {
		buf_printf(s->out, "  %-10s %llu", lines[i].label, (unsigned long long)lines[i].this);
		if (lines[i].this == lines[i].other)
			buf_str(s->out, ", the same\n");
		else
			buf_printf(s->out, ", the other has %llu\n", (unsigned long long)lines[i].other);
	}
}

static int compose(struct summary *s)
{
	int rc = verdict(s);
	if (!rc && two_bytes(&s->two) <= read_in_a_moment) {
		rc = two_diff(s->r, &s->two, &s->diff);
		s->exact = !rc;
	}
	if (!rc) {
		size_lines(s);
		rc = movement(s);
	}
	if (!rc)
		rc = config_changes(s->r);
	if (s->exact)
		diff_release(&s->diff);
	return rc;
}

int render_diff_summary(struct render *r)
{
	struct summary s = {.r = r,
			    .out = r->out,
			    .this_id = view_name(r->view, r->model),
			    .other_id = view_name(r->view, r->other)};
	int rc = need_state(r, r->other, VIEW_SIGNED);
	if (!rc)
		rc = store_get_signature(tree_catalog(r->tree), r->model->id, &s.this, r->err);
	if (rc < 0)
		return rc;
	rc = store_get_signature(tree_catalog(r->tree), r->other->id, &s.other, r->err);
	if (!rc && renamed_take(&s.other, &s.this) < 0)
		rc = err_nomem(r->err);
	if (!rc && !(rc = two_open(r, &s.two))) {
		rc = compose(&s);
		two_release(&s.two);
	}
	if (s.other.n_parts || s.other.arena.head)
		signature_release(&s.other);
	signature_release(&s.this);
	return rc;
}
