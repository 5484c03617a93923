/* Opening a model's weights: which files, in what order, as one or by components. */
#include "core/lake/inspect_internal.h"

#include "core/format/compose.h"
#include "core/format/join.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool has_extension(const struct format *f, const char *name)
{
	const char *dot = strrchr(path_base(name), '.');
	char word[32];

	if (!dot || strlen(dot) > 24)
		return false;
	snprintf(word, sizeof word, " %s ", dot + 1);
	return strcasestr(f->extensions, word);
}

/* A format by a file's extension: what it says it is. Several have a claim to .bin; one has most of the files. */
static const char *format_by_extension(const char *name)
{
	const char *dot = strrchr(path_base(name), '.');

	if (dot && !strcasecmp(dot, ".bin"))
		return "pytorch";
	for (size_t i = 0; formats[i]; i++)
		if (has_extension(formats[i], name))
			return formats[i]->name;
	return NULL;
}

/* The files that are read, those of one directory together: a pipeline has a set in each of its components'. */
struct chosen {
	const struct scan_file **files;
	const char **names;
	size_t n;
	uint64_t bytes;
};

static int choose(struct looking *l, struct chosen *c, struct err *e)
{
	c->files = arena_array(&l->scratch, l->in->n_files + 1, sizeof *c->files);
	c->names = arena_array(&l->scratch, l->in->n_files + 1, sizeof *c->names);
	if (!c->files || !c->names)
		return err_nomem(e);
	for (size_t i = 0; i < l->in->n_files; i++) {
		const struct scan_file *file = &l->in->files[i];

		if (file->kind != SCAN_WEIGHTS)
			continue;
		c->files[c->n] = file;
		c->names[c->n++] = file->name;
		c->bytes += file->id.size;
	}
	return 0;
}

/* How many of the files from `first` on lie in the same directory. They are sorted by name, so that subdirectories may
 * come between; those are put behind. */
static size_t gather(struct chosen *c, size_t first)
{
	size_t n = first + 1;

	for (size_t i = n; i < c->n; i++) {
		const struct scan_file *file = c->files[i];

		if (!path_beside(c->names[i], c->names[first]))
			continue;
		memmove(c->files + n + 1, c->files + n, (i - n) * sizeof *c->files);
		memmove(c->names + n + 1, c->names + n, (i - n) * sizeof *c->names);
		c->files[n] = file;
		c->names[n++] = file->name;
	}
	return n - first;
}

/* A file's format by its first bytes, by its name where they say nothing. */
static const char *format_of(struct looking *l, const struct scan_file *file)
{
	cleanup_io struct io io = IO_INIT;
	const struct format *f = NULL;

	if (!file->broken && !lake_open_file(l->in->lake, l->in->root, file->path, &io, NULL))
		f = format_probe(&io, NULL);
	return f ? f->name : format_by_extension(file->name);
}

/* Which containers there are: the one that is read first. */
static void put_formats(struct looking *l, const char *read, const bool *other)
{
	struct facts *f = &l->out->facts;

	facts_put(f, "formats", read, FACT_MEASURED, NULL);
	for (size_t i = 0; i < l->in->n_files && !read; i++)
		if (l->in->files[i].kind == SCAN_WEIGHTS)
			facts_put(f, "formats", format_by_extension(l->in->files[i].name), FACT_INFERRED, NULL);
	for (size_t i = 0; i < l->in->n_files; i++)
		if (l->in->files[i].kind == SCAN_WEIGHTS_ALSO && !other[i])
			facts_put(f, "formats", format_of(l, &l->in->files[i]), FACT_MEASURED, NULL);
}

struct shelf {
	const struct inspect_input *in;
	struct inspect *out;
	const struct scan_file *const *files;
};

/* Kept whether it could be opened or not: what appears later changes the model too. */
static int note_beside(struct inspect *out, const char *path, const struct io *io, struct err *e)
{
	size_t n = out->n_beside;
	const char *kept = arena_strdup(&out->facts.arena, path);

	if (kept && (n & (n - 1)) == 0) {
		struct inspect_beside *more = arena_array(&out->facts.arena, n ? n * 2 : 1, sizeof *more);

		if (!more)
			return err_nomem(e);
		if (n)
			memcpy(more, out->beside, n * sizeof *more);
		out->beside = more;
	}
	if (!kept)
		return err_nomem(e);
	out->beside[out->n_beside++] = (struct inspect_beside){kept, io->id};
	return 0;
}

/* A file that one of the set names as lying beside it. */
static int open_beside(void *ctx, uint32_t file, const char *name, struct io *io, struct err *e)
{
	const struct shelf *s = ctx;
	const char *path = s->files[file]->path;
	size_t len = path_dir_len(path);
	cleanup_free char *full = mem_alloc(len + strlen(name) + 1);

	if (!full)
		return err_nomem(e);
	memcpy(full, path, len);
	strcpy(full + len, name);
	int r = lake_open_file(s->in->lake, s->in->root, full, io, e);
	int noted = note_beside(s->out, full, r < 0 ? &IO_INIT : io, e);

	return noted < 0 ? noted : r;
}

int look_set(struct looking *l, const struct scan_file *const *files, const char *const *names, size_t n,
	     struct weights *w, struct err *e)
{
	cleanup_free struct io *ios = mem_array(n, sizeof *ios);
	struct err why = ERR_INIT;
	size_t i;
	int r = 0;

	if (!ios)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		ios[i] = IO_INIT;
	for (i = 0; i < n && !r; i++)
		r = lake_open_file(l->in->lake, l->in->root, files[i]->path, &ios[i], &why);
	if (r) {
		for (size_t k = 0; k < n; k++)
			io_close(&ios[k]);
		facts_problem_err(&l->out->facts, names[i - 1], r, &why);
	} else {
		r = weights_open_beside(w, ios, names, n,
					&(struct beside){open_beside, &(struct shelf){l->in, l->out, files}}, &why);
		for (i = 0; r && i + 1 < n && strncmp(why.msg, names[i], strlen(names[i])); i++)
			;	/* the message begins with the name of the file that is to blame */
		if (r && r != -ENOMEM)
			facts_problem_err(&l->out->facts, names[i], r, &why);
	}
	return r == -ENOMEM ? err_nomem(e) : r ? 1 : 0;
}

/* A component's name is the directory that it lies in: "text_encoder", "0_Transformer.deeper". */
static char *component_name(struct arena *a, const char *file)
{
	size_t len = path_dir_len(file);
	char *name = arena_strndup(a, file, len ? len - 1 : 0);

	for (char *p = name; p && *p; p++)
		if (*p == '/')
			*p = '.';
	return name;
}

/* Every component on its own, then all as one. What cannot be opened is a problem, and the rest goes without it. */
static int open_components(struct looking *l, struct chosen *c, struct err *e)
{
	struct weights *parts = arena_array(&l->scratch, c->n, sizeof *parts);
	const char **prefixes = arena_array(&l->scratch, c->n, sizeof *prefixes);
	size_t opened = 0;
	struct err why = ERR_INIT;
	int r = parts && prefixes ? 0 : err_nomem(e);

	for (size_t i = 0, n; i < c->n && r >= 0; i += n) {
		n = gather(c, i);
		r = look_set(l, c->files + i, c->names + i, n, &parts[opened], e);
		if (r)
			continue;
		if (!(prefixes[opened++] = component_name(&l->scratch, c->names[i])))
			r = err_nomem(e);
	}
	if (r >= 0 && !opened)
		return 1;
	if (r >= 0)
		r = weights_join(&l->out->weights, parts, prefixes, opened, &why);
	else
		for (size_t i = 0; i < opened; i++)
			weights_release(&parts[i]);
	if (r >= 0 || r == -ENOMEM)
		return r < 0 ? err_nomem(e) : 0;
	facts_problem_err(&l->out->facts, "", r, &why);
	return 1;
}

static bool in_one_directory(const struct chosen *c)
{
	for (size_t i = 1; i < c->n; i++)
		if (!path_beside(c->names[i], c->names[0]))
			return false;
	return true;
}

void look_hazard(struct looking *l, const struct hazard *h)
{
	struct facts *f = &l->out->facts;

	f->flags |= FACTS_HAZARDS | (h->runs_code ? FACTS_CUSTOM_CODE : 0);
	if (h->pos == ERR_NOPOS)
		facts_problem(f, h->file ? h->file : "", h->kind, "%s", h->detail);
	else
		facts_problem(f, h->file ? h->file : "", h->kind, "%s (at byte %llu)", h->detail,
			      (unsigned long long)h->pos);
}

static void put_findings(struct looking *l, const struct weights *w)
{
	struct facts *f = &l->out->facts;

	for (size_t i = 0; i < w->n_warnings; i++)
		facts_problem(f, w->warnings[i].file ? w->warnings[i].file : "", w->warnings[i].problem, "%s",
			      w->warnings[i].detail);
	for (size_t i = 0; i < w->n_hazards; i++)
		look_hazard(l, &w->hazards[i]);
}

static void put_extension(struct looking *l, const struct weights *w)
{
	for (size_t i = 0; i < w->n_files; i++) {
		const char *says = format_by_extension(w->files[i].path);

		if (says && !has_extension(w->format, w->files[i].path))
			facts_problem(&l->out->facts, w->files[i].path, "wrong extension", "named like %s, it is %s",
				      says, w->format->name);
	}
}

static void put_weights(struct looking *l, const struct weights *w)
{
	struct facts *f = &l->out->facts;
	uint64_t bytes = 0;

	for (size_t i = 0; i < w->n_files; i++)
		bytes += w->files[i].io.size;
	facts_put(f, "format", w->format->name, FACT_MEASURED, NULL);
	facts_put_number(f, "bytes", bytes, FACT_MEASURED, NULL);
	container_facts(f, w, w->files[0].path);
	put_extension(l, w);
}

/* The opened weights as they should be seen, and what they show. */
static int measure(struct looking *l, struct err *e)
{
	struct inspect *out = l->out;
	int r;

	put_weights(l, &out->weights);
	r = look_index(l, e);
	if (r >= 0)
		r = weights_compose(&out->weights, l->config, e);
	if (r < 0)
		return r;
	put_findings(l, &out->weights);
	if (!out->weights.n_tensors)
		facts_problem(&out->facts, out->weights.files[0].path, "no tensors", "nothing in it is a tensor");
	canon_hints_from(&out->hints, l->config, &out->weights.meta);
	if (out->hints.architecture) {	/* of a document that goes away */
		out->hints.architecture = arena_strdup(&out->facts.arena, out->hints.architecture);
		if (!out->hints.architecture)
			return err_nomem(e);
	}
	r = canon_of(&out->canon, &out->weights, &out->hints, e);
	if (!r)
		measured_facts(&out->facts, &out->weights, &out->canon);
	return r;
}

int look_weights(struct looking *l, struct err *e)
{
	struct inspect *out = l->out;
	struct chosen c = {0};
	int r = choose(l, &c, e);

	if (r)
		return r;
	r = !c.n ? 1 : in_one_directory(&c) ? look_set(l, c.files, c.names, c.n, &out->weights, e) :
					      open_components(l, &c, e);
	if (r < 0)
		return r;
	out->open = !r;
	bool *other = arena_array(&l->scratch, l->in->n_files + 1, sizeof *other);
	if (!other)
		return err_nomem(e);
	if (out->open && ((r = measure(l, e)) || (r = look_also(l, other, e))))
		return r;
	put_formats(l, out->open ? out->weights.format->name : NULL, other);
	if (out->open)
		return 0;
	if (c.n) {
		facts_put(&out->facts, "format", format_by_extension(c.names[0]), FACT_INFERRED, NULL);
		facts_put_number(&out->facts, "bytes", c.bytes, FACT_MEASURED, NULL);
	}
	return look_index(l, e);
}
