/*
 * The last step of a scan: ids. Two models of one id are told apart by, in this order: a single
 * file's extension; the directory in front of a hub cache or an Ollama store; the lake directory's
 * name; a '~' at the end. A component that is a virtual name below another model gets a '~' too:
 * reserved names with any number of '~' already behind them get one more, so that nothing collides.
 */
#include "core/lake/ids.h"

#include <errno.h>
#include <string.h>

static inline int rank_of(unsigned char c)
{
	return c == '/' ? 1 : c ? c + 1 : 0;
}

int scan_id_cmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return rank_of((unsigned char)*a) - rank_of((unsigned char)*b);
}

static int model_cmp(const void *a, const void *b)
{
	const struct scan_model *x = a, *y = b;
	int r = scan_id_cmp(x->id, y->id);
	if (!r && x->root != y->root)
		return x->root < y->root ? -1 : 1;
	if (!r)
		r = strcmp(x->dir, y->dir);
	return r ? r : strcmp(x->n_files ? x->files[0].path : "", y->n_files ? y->files[0].path : "");
}

static void sort(struct scan *s)
{
	if (s->n_models > 1)
		qsort(s->models, s->n_models, sizeof *s->models, model_cmp);
}

static bool below(const char *id, const char *of)
{
	size_t n = strlen(of);
	return strncmp(id, of, n) == 0 && id[n] == '/';
}

/* One step: groups of equal ids [i, j), whether across lake directories or within one. */
struct step {
	bool within;
	const char *(*rename)(struct arena *a, const struct lake *l, const struct scan_model *m, size_t nth);
	bool nested;		/* models below take the same prefix */
};

static const struct scan_file *weights_of(const struct scan_model *m)
{
	for (size_t i = 0; i < m->n_files; i++)
		if (m->files[i].kind == SCAN_WEIGHTS)
			return &m->files[i];
	return NULL;
}

static const char *with_extension(struct arena *a, const struct lake *l, const struct scan_model *m, size_t nth)
{
	(void)l;
	(void)nth;
	const struct scan_file *f = m->single ? weights_of(m) : NULL;
	const char *dot = f ? strrchr(f->name, '.') : NULL;
	return dot && dot[1] && dot != f->name ? arena_printf(a, "%s%s", m->id, dot) : m->id;
}

static const char *with_directory(struct arena *a, const struct lake *l, const struct scan_model *m, size_t nth)
{
	(void)l;
	(void)nth;
	const char *store = strstr(m->dir, "models--");
	if (!store && strcmp(m->layout, "ollama") == 0)
		store = strstr(m->dir, "manifests");
	return store && store > m->dir ? arena_printf(a, "%.*s%s", (int)(store - m->dir), m->dir, m->id) : m->id;
}

static const char *basename_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : "lake";
}

static const char *with_root(struct arena *a, const struct lake *l, const struct scan_model *m, size_t nth)
{
	(void)nth;
	const char *name = basename_of(l->roots[m->root].path);
	unsigned same = 0;	/* earlier lake directories of the same name */
	for (uint32_t i = 0; i < m->root; i++)
		same += strcmp(basename_of(l->roots[i].path), name) == 0;
	return same ? arena_printf(a, "%s~%u/%s", name, same + 1, m->id) : arena_printf(a, "%s/%s", name, m->id);
}

static const char *with_tilde(struct arena *a, const struct lake *l, const struct scan_model *m, size_t nth)
{
	(void)l;
	return nth ? arena_printf(a, "%s~%s", m->id, nth > 1 ? arena_printf(a, "%zu", nth) : "") : m->id;
}

static bool clash(const struct step *st, const struct scan_model *a, const struct scan_model *b)
{
	return strcmp(a->id, b->id) == 0 && (!st->within || a->root == b->root);
}

/* Does the group [i, j) hold a model of this root? */
static bool has_root(const struct scan *s, size_t i, size_t j, uint32_t root)
{
	while (i < j)
		if (s->models[i++].root == root)
			return true;
	return false;
}

/* Returns how many ids changed, or -ENOMEM. */
static long step_run(struct scan *s, const struct lake *l, const struct step *st)
{
	struct arena *a = &s->arenas[0];
	long changed = 0;
	for (size_t i = 0, j; i < s->n_models; i = j) {
		const char *id = s->models[i].id;
		for (j = i + 1; j < s->n_models && clash(st, &s->models[i], &s->models[j]); j++)
			;
		size_t end = j;
		while (j > i + 1 && st->nested && end < s->n_models && below(s->models[end].id, id))
			end++;
		for (size_t k = i; j > i + 1 && k < end; k++) {
			if (k >= j && !has_root(s, i, j, s->models[k].root))
				continue;
			const char *to = st->rename(a, l, &s->models[k], k - i);
			if (!to)
				return -ENOMEM;
			changed += strcmp(to, s->models[k].id) != 0;
			s->models[k].id = to;
		}
		j = end;
	}
	return changed;
}

static int unique(struct scan *s, const struct lake *l)
{
	static const struct step steps[] = {
		{true, with_extension, false}, {true, with_directory, false},
		{false, with_root, true}, {false, with_tilde, false},
	};
	for (size_t i = 0; i < COUNT(steps); i++) {
		long r = step_run(s, l, &steps[i]);
		if (r < 0)
			return (int)r;
		if (r)
			sort(s);
		if (r && i + 1 == COUNT(steps))
			i--;	/* a '~' may have met another */
	}
	return 0;
}

static bool is_reserved(const char *s, size_t n, const char *const *reserved)
{
	while (n && s[n - 1] == '~')
		n--;
	for (; reserved && *reserved; reserved++)
		if (strlen(*reserved) == n && memcmp(*reserved, s, n) == 0)
			return true;
	return false;
}

/* The id with a '~' behind each reserved component that directly follows one of the models above it. */
static const char *off_reserved(struct arena *a, const char *id, const char *const *above, size_t n,
				const char *const *reserved)
{
	const char *out = id;
	size_t added = 0;
	for (size_t i = 0; i < n && out; i++) {
		size_t at = strlen(above[i]) + 1, len = strcspn(id + at, "/");
		if (!is_reserved(id + at, len, reserved))
			continue;
		size_t cut = at + len + added++;
		out = arena_printf(a, "%.*s~%s", (int)cut, out, out + cut);
	}
	return out;
}

static int keep_off_reserved(struct scan *s, const char *const *reserved)
{
	cleanup_free const char **above = NULL;	/* the models that the current one is nested in, outermost first */
	size_t n = 0, cap = 0;
	bool changed = false;
	for (size_t i = 0; i < s->n_models; i++) {
		const char *id = s->models[i].id;
		while (n && !below(id, above[n - 1]))
			n--;
		const char *to = off_reserved(&s->arenas[0], id, above, n, reserved);
		if (!to || mem_grow(&above, &cap, n + 1) < 0)
			return -ENOMEM;
		above[n++] = id;
		changed |= to != id;
		s->models[i].id = to;
	}
	if (changed)
		sort(s);
	return 0;
}

int ids_settle(struct scan *s, const struct lake *l, const char *const *reserved)
{
	sort(s);
	int r = unique(s, l);
	return r < 0 ? r : keep_off_reserved(s, reserved);
}
