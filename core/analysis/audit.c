/* Claims against measurements, hazards, and what is wrong with files. */
#include "core/analysis/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

struct auditor {
	struct audit *a;
	const struct inspect *in;
	size_t cap;
	bool failed;
};

const char *audit_verdict_name(enum audit_verdict v)
{
	static const char *const names[] = {"ok", "warn", "fail", "unknown"};
	return names[v];
}

static void add(struct auditor *u, const char *check, enum audit_verdict v, const char *declared, const char *found,
		const char *evidence)
{
	struct arena *m = &u->a->arena;
	struct audit_row r = {arena_strdup(m, check), v, arena_strdup(m, declared ? declared : ""),
			      arena_strdup(m, found ? found : ""), arena_strdup(m, evidence ? evidence : "")};
	if (!r.check || !r.declared || !r.found || !r.evidence || mem_grow(&u->a->rows, &u->cap, u->a->n + 1)) {
		u->failed = true;
		return;
	}
	u->a->rows[u->a->n++] = r;
}

/* --- what loading would do --- */

static void add_hazards(struct auditor *u)
{
	const struct weights *w = &u->in->weights;
	for (size_t i = 0; i < w->n_hazards && u->in->open; i++) {
		const struct hazard *h = &w->hazards[i];
		char *evidence = h->pos == ERR_NOPOS ? arena_strdup(&u->a->arena, h->detail) :
			arena_printf(&u->a->arena, "%s (at byte %" PRIu64 ")", h->detail, h->pos);
		u->failed |= !evidence;
		add(u, h->kind, h->runs_code ? AUDIT_FAIL : AUDIT_WARN, NULL, h->file, evidence);
	}
}

static void add_loads_code(struct auditor *u)
{
	const char *found = facts_get(&u->in->facts, "loads_code");
	bool yes = found && !strcmp(found, "yes"), weights = false;
	for (size_t i = 0; i < u->in->weights.n_hazards && u->in->open; i++)
		weights |= u->in->weights.hazards[i].runs_code;
	const char *evidence = !found ? "the weights could not be looked into" :
			       !yes ? "nothing in the weights or configs is run" :
			       weights ? "the weights: see the other rows" :
					 "a config names code of its own (auto_map, custom_pipelines, a module or a component)";
	add(u, "loads_code", !found ? AUDIT_UNKNOWN : yes ? AUDIT_FAIL : AUDIT_OK, NULL, found, evidence);
}

/* --- claims --- */

static const struct fact *fact_of(const struct facts *f, const char *key)
{
	for (size_t i = 0; i < f->n_facts; i++)
		if (!strcmp(f->facts[i].key, key))
			return &f->facts[i];
	return NULL;
}

static bool number(const char *s, double *out)
{
	char *end;
	*out = strtod(s, &end);
	return end != s && !*end && isfinite(*out);
}

/* A config may name the writer, whose files hold one of several types; where it says the bits, they must agree. */
static bool is_by_writer(const char *declared, const char *found)
{
	static const struct { const char *writer, *type; } known[] = {
		{"compressed-tensors", "compressed-"}, {"compressed-tensors", "fp8"}, {"fbgemm_fp8", "fp8"},
		{"modelopt", "fp8"}, {"quark", "fp8"}, {"auto-round", "gptq"}, {"auto-round", "awq"},
		{"intel/auto-round", "gptq"}, {"intel/auto-round", "awq"},
	};
	for (size_t i = 0; i < COUNT(known); i++) {
		size_t n = strlen(known[i].writer);
		if (strncasecmp(declared, known[i].writer, n) || strncmp(found, known[i].type, strlen(known[i].type)))
			continue;
		const char *bits = strrchr(found, '-');
		return !declared[n] || (declared[n] == '-' && bits && !strcmp(declared + n, bits));
	}
	return false;
}

static enum audit_verdict judge(const struct facts *f, const char *key, const char *declared, const char *found,
				const char **why)
{
	double x = 0, y = 0;
	bool numbers = number(declared, &x) && number(found, &y);
	*why = "";
	if (!strcasecmp(declared, found) || (numbers && x == y))
		return AUDIT_OK;
	if (!strcmp(key, "parameters") && numbers && fabs(x - y) <= .05 * y) {
		*why = "rounded";
		return AUDIT_OK;
	}
	if (!strcmp(key, "dtype") && facts_get(f, "quantization")) {
		*why = "the type that quantized weights are computed in";
		return AUDIT_OK;
	}
	if (!strcmp(key, "quantization") && is_by_writer(declared, found)) {
		*why = "the writer of such weights";
		return AUDIT_OK;
	}
	if (!strcmp(key, "vocab_size") && numbers && y > x && (y - x <= 1024 || (y - x < 2 * x && fmod(y, 64) == 0))) {
		*why = "more rows than tokens: padding";
		return AUDIT_WARN;
	}
	return AUDIT_FAIL;
}

static void add_claims(struct auditor *u)
{
	const struct facts *f = &u->in->facts;
	for (size_t i = 0; i < f->n_claims; i++) {
		const struct claim *c = &f->claims[i];
		const struct fact *found = fact_of(f, c->key);
		const char *why;
		if (!found)
			continue;
		enum audit_verdict v = judge(f, c->key, c->value, found->value, &why);
		const char *evidence = arena_printf(&u->a->arena, "%s%s%s", c->file, *c->file && *why ? ": " : "", why);
		u->failed |= !evidence;
		add(u, c->key, v, c->value, found->value, evidence);
	}
}

/* Keys that headers show, said by a document, of weights that show nothing. */
static void add_unknown(struct auditor *u)
{
	static const char *const keys[] = {"dtype", "parameters", "quantization", "adapter_rank",
					   "layers", "hidden_size", "vocab_size"};
	for (size_t i = 0; i < COUNT(keys); i++) {
		const struct fact *f = fact_of(&u->in->facts, keys[i]);
		if (f && f->source == FACT_DECLARED)
			add(u, keys[i], AUDIT_UNKNOWN, f->value, NULL, "the weights do not show it");
	}
}

/* --- files --- */

/* Hazards have rows of their own. */
static bool is_hazard(const struct auditor *u, const char *problem)
{
	for (size_t i = 0; i < u->in->weights.n_hazards && u->in->open; i++)
		if (!strcmp(u->in->weights.hazards[i].kind, problem))
			return true;
	return false;
}

static bool is_odd_only(const char *problem)
{
	static const char *const odd[] = {"wrong extension", "hole", "overlap", "trailing bytes",
					  "large header", "unknown field", "odd metadata", "malformed front matter",
					  "other weights", "no tensors", "training state"};
	for (size_t i = 0; i < COUNT(odd); i++)
		if (!strcmp(problem, odd[i]))
			return true;
	return false;
}

static void add_problems(struct auditor *u)
{
	const struct facts *f = &u->in->facts;
	for (size_t i = 0; i < f->n_problems; i++) {
		const struct problem *p = &f->problems[i];
		if (is_hazard(u, p->problem))
			continue;
		const char *evidence = arena_printf(&u->a->arena, "%s: %s", p->problem, p->detail);
		u->failed |= !evidence;
		add(u, "files", is_odd_only(p->problem) ? AUDIT_WARN : AUDIT_FAIL, NULL, p->file, evidence);
	}
	if (!f->n_problems)
		add(u, "files", AUDIT_OK, NULL, NULL, "every file is what its name, its index and its header say");
}

static int by_check(const void *a, const void *b)
{
	const struct audit_row *x = a, *y = b;
	int c = strcmp(x->check, y->check);
	if (!c)
		c = strcmp(x->found, y->found);
	if (!c)
		c = strcmp(x->declared, y->declared);
	return c ? c : strcmp(x->evidence, y->evidence);
}

int audit_model(struct audit *a, const struct inspect *in, struct err *e)
{
	struct auditor u = {.a = a, .in = in};
	*a = (struct audit){0};
	add_loads_code(&u);
	add_hazards(&u);
	add_claims(&u);
	add_unknown(&u);
	add_problems(&u);
	if (u.failed) {
		audit_release(a);
		return err_nomem(e);
	}
	qsort(a->rows, a->n, sizeof *a->rows, by_check);
	return 0;
}

void audit_release(struct audit *a)
{
	free(a->rows);
	arena_release(&a->arena);
	*a = (struct audit){0};
}
