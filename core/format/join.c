/* Components read as one: every question is passed on to the part that a tensor came from. */
#include "core/format/join.h"

#include <errno.h>
#include <string.h>

struct joined {
	struct format format;
	struct weights *parts;
	size_t n;
};

/* A tensor's part is known by its file, its place there by aux. */
static const struct weights *part_of(const struct weights *w, const struct tensor *t, const struct tensor **inner)
{
	const struct joined *j = w->priv;
	uint32_t file = t->file;
	size_t i = 0;

	while (file >= j->parts[i].n_files)
		file -= (uint32_t)j->parts[i++].n_files;
	*inner = &j->parts[i].tensors[t->aux];
	return &j->parts[i];
}

static int joined_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		       struct err *e)
{
	const struct tensor *inner;
	const struct weights *part = part_of(w, t, &inner);

	return weights_read(part, inner, first, n, out, e);
}

static int joined_read_raw(const struct weights *w, const struct tensor *t, uint64_t off, uint64_t n, void *out,
			   struct err *e)
{
	const struct tensor *inner;
	const struct weights *part = part_of(w, t, &inner);

	return weights_read_raw(part, inner, off, n, out, e);
}

/* The descriptors are w's as well, which closes them. */
static void joined_close(struct weights *w)
{
	const struct joined *j = w->priv;

	for (size_t i = 0; i < j->n; i++) {
		for (size_t k = 0; k < j->parts[i].n_files; k++)
			j->parts[i].files[k].io = IO_INIT;
		weights_release(&j->parts[i]);
	}
}

struct counts {
	size_t files, tensors, warnings, hazards;
};

static struct counts count(const struct weights *parts, size_t n)
{
	struct counts c = {0};

	for (size_t i = 0; i < n; i++) {
		c.files += parts[i].n_files;
		c.tensors += parts[i].n_tensors;
		c.warnings += parts[i].n_warnings;
		c.hazards += parts[i].n_hazards;
	}
	return c;
}

static int add_tensors(struct weights *w, const struct weights *part, const char *prefix)
{
	for (size_t i = 0; i < part->n_tensors; i++) {
		struct tensor *t = &w->tensors[w->n_tensors++];

		*t = part->tensors[i];
		t->file += (uint32_t)w->n_files;
		t->aux = (uint32_t)i;
		if (*prefix && !(t->name = arena_printf(&w->arena, "%s.%s", prefix, t->name)))
			return -ENOMEM;
	}
	return 0;
}

/* What weights_warn and weights_hazard count on: the power of two at or above n. */
static size_t power_at(size_t n)
{
	size_t p = 1;
	while (p < n)
		p *= 2;
	return p;
}

static int join(struct weights *w, struct joined *j, const char *const *prefixes, struct err *e)
{
	struct counts c = count(j->parts, j->n);

	w->files = arena_array(&w->arena, c.files, sizeof *w->files);
	w->tensors = arena_array(&w->arena, c.tensors + 1, sizeof *w->tensors);
	w->warnings = arena_array(&w->arena, power_at(c.warnings), sizeof *w->warnings);
	w->hazards = arena_array(&w->arena, power_at(c.hazards), sizeof *w->hazards);
	if (!w->files || !w->tensors || !w->warnings || !w->hazards)
		return err_nomem(e);
	for (size_t i = 0; i < j->n; i++) {
		const struct weights *p = &j->parts[i];

		if (add_tensors(w, p, prefixes[i]))
			return err_nomem(e);
		memcpy(w->files + w->n_files, p->files, p->n_files * sizeof *p->files);
		w->n_files += p->n_files;
		if (p->n_warnings)
			memcpy(w->warnings + w->n_warnings, p->warnings, p->n_warnings * sizeof *p->warnings);
		w->n_warnings += p->n_warnings;
		if (p->n_hazards)
			memcpy(w->hazards + w->n_hazards, p->hazards, p->n_hazards * sizeof *p->hazards);
		w->n_hazards += p->n_hazards;
		if (!w->quantization)
			w->quantization = p->quantization;
	}
	return weights_check_names(w, e);
}

int weights_join(struct weights *w, struct weights *parts, const char *const *prefixes, size_t n, struct err *e)
{
	struct joined *j;
	int r;

	*w = (struct weights){0};
	j = arena_alloc(&w->arena, sizeof *j);
	if (j)
		j->parts = arena_array(&w->arena, n, sizeof *j->parts);
	if (!j || !j->parts) {
		for (size_t i = 0; i < n; i++)
			weights_release(&parts[i]);
		weights_release(w);
		return err_nomem(e);
	}
	memcpy(j->parts, parts, n * sizeof *parts);
	memset(parts, 0, n * sizeof *parts);
	j->n = n;
	j->format = *j->parts[0].format;
	j->format.open = NULL;
	j->format.read = joined_read;
	j->format.read_raw = joined_read_raw;
	j->format.close = joined_close;
	w->format = &j->format;
	w->priv = j;	/* the format may yet be wrapped again */
	w->meta = j->parts[0].meta;
	r = join(w, j, prefixes, e);
	if (r < 0) {
		w->n_files = 0;		/* not all of them are here yet: the parts close their own */
		for (size_t i = 0; i < n; i++)
			weights_release(&j->parts[i]);
		j->n = 0;
		weights_release(w);
	}
	return r;
}
