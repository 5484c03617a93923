/*
 * A model's weights in its other containers: names alone decided that they are the same weights, and headers tell where
 * that is not so. What is shown nowhere is said, and what would run when one of them is loaded.
 */
#include "core/lake/inspect_internal.h"

#include "core/format/compose.h"
#include "core/lake/names.h"

#include <stdio.h>
#include <string.h>

/* Elements of each canonical matrix, ascending: fused, renamed and transposed weights have the same. */
struct sizes {
	uint64_t *of, sum;
	size_t n;
};

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Of the files that lie beside `file`: a pipeline has others in its other components. */
static int sizes_of(struct sizes *s, const struct canon *c, const struct weights *w, const char *file, struct arena *a,
		    struct err *e)
{
	*s = (struct sizes){.of = arena_array(a, c->n_parts + 1, sizeof *s->of)};
	if (!s->of)
		return err_nomem(e);
	for (size_t i = 0; i < c->n_parts; i++) {
		uint64_t n;

		if (!path_beside(w->files[w->tensors[c->parts[i].tensor].file].path, file))
			continue;
		if (__builtin_mul_overflow(c->parts[i].rows, c->parts[i].cols, &n) ||
		    __builtin_add_overflow(s->sum, n, &s->sum))
			continue;
		s->of[s->n++] = n;
	}
	if (s->n > 1)
		qsort(s->of, s->n, sizeof *s->of, by_size);
	return 0;
}

static uint64_t shared(const struct sizes *a, const struct sizes *b)
{
	uint64_t sum = 0;

	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->of[i] == b->of[j]) {
			sum += a->of[i++];
			j++;
		} else if (a->of[i] < b->of[j]) {
			i++;
		} else {
			j++;
		}
	}
	return sum;
}

/* Without tensors there is nothing to compare. Tied embeddings stored twice and buffers make up to twice as much of the
 * same; an ONNX graph may be a part. */
static bool may_be_same(const struct sizes *a, const struct sizes *b, bool part)
{
	uint64_t less = MIN(a->sum, b->sum), more = MAX(a->sum, b->sum);

	return !less || ((part || more - less <= less + less / 4) && shared(a, b) >= less / 2);
}

static bool one_set(const struct scan_file *a, const struct scan_file *b)
{
	struct name x, y;
	const char *p = path_base(a->name), *q = path_base(b->name);

	name_parse(&x, p);
	name_parse(&y, q);
	return x.of && x.of == y.of && x.stem == y.stem && !memcmp(p, q, x.stem) && !strcmp(x.ext, y.ext);
}

/* "consolidated.01.pth": Meta's parts for several GPUs. */
static bool is_slice(const char *name)
{
	unsigned number;
	int end = 0;

	return sscanf(path_base(name), "consolidated.%2u.pth%n", &number, &end) == 1 && end && !path_base(name)[end];
}

static int compare(struct looking *l, const struct weights *w, const struct scan_file *file, const char *read,
		   bool *other, struct err *e)
{
	struct inspect *out = l->out;
	struct canon_hints hints = {0};
	struct canon canon;
	struct sizes here, there;
	int r;

	canon_hints_from(&hints, l->config, &w->meta);
	if ((r = canon_of(&canon, w, &hints, e)))
		return r;
	r = sizes_of(&here, &canon, w, file->name, &l->scratch, e);
	if (!r)
		r = sizes_of(&there, &out->canon, &out->weights, file->name, &l->scratch, e);
	if (is_slice(file->name) && is_slice(read))
		facts_problem(&out->facts, file->name, "not supported",
			      "another slice of each tensor, for several GPUs: only those of %s are shown", read);
	else if (!r && !may_be_same(&here, &there, !strcmp(w->format->name, "onnx"))) {
		*other = true;
		facts_problem(&out->facts, file->name, "other weights",
			      "%llu parameters, not those of %s (%llu), and shown nowhere: a model of its own needs a "
			      "directory of its own", (unsigned long long)here.sum, read,
			      (unsigned long long)there.sum);
	}
	canon_release(&canon);
	return r;
}

/* What is found in a file that is not read is kept with what is found in those that are: a loader may take it. */
static int keep_hazards(struct looking *l, const struct weights *w, const char *file, struct err *e)
{
	struct weights *all = &l->out->weights;

	for (size_t i = 0; i < w->n_hazards; i++) {
		struct hazard h = w->hazards[i];

		h.file = arena_strdup(&all->arena, h.file ? h.file : file);
		if (!h.file || weights_hazard(all, h.file, h.kind, h.pos, h.runs_code, "%s", h.detail) < 0)
			return err_nomem(e);
		look_hazard(l, &h);
	}
	return 0;
}

/* files[0] and its other shards; `read` is beside them, or NULL. */
static int look_set_also(struct looking *l, const struct scan_file *const *files, const char **names, size_t n,
			 const char *read, bool *other, struct err *e)
{
	struct weights w;
	int r = look_set(l, files, names, n, &w, e);

	if (r)		/* a broken file is a problem, and may be anything */
		return r < 0 ? r : 0;
	r = keep_hazards(l, &w, names[0], e);
	if (!r && read)
		r = weights_compose(&w, l->config, e);
	if (!r && read)
		r = compare(l, &w, files[0], read, other, e);
	weights_release(&w);
	return r;
}

static const char *read_beside(const struct looking *l, const struct scan_file *file)
{
	for (size_t i = 0; i < l->in->n_files; i++)
		if (l->in->files[i].kind == SCAN_WEIGHTS && path_beside(l->in->files[i].name, file->name))
			return l->in->files[i].name;
	return NULL;
}

/* Is it, by its content, of a format that can hold a program? */
static bool may_run(const struct looking *l, const struct scan_file *file)
{
	static const char *const able[] = {"pytorch", "hdf5", "keras", "npy", "npz"};
	cleanup_io struct io io = IO_INIT;
	const struct format *f = NULL;

	if (!lake_open_file(l->in->lake, l->in->root, file->path, &io, NULL))
		f = format_probe(&io, NULL);
	for (size_t i = 0; f && i < COUNT(able); i++)
		if (!strcmp(f->name, able[i]))
			return true;
	return false;
}

int look_also(struct looking *l, bool *other, struct err *e)
{
	const struct scan_file *all = l->in->files;
	size_t count = l->in->n_files;
	const struct scan_file **files = arena_array(&l->scratch, count + 1, sizeof *files);
	const char **names = arena_array(&l->scratch, count + 1, sizeof *names);
	bool *seen = arena_array(&l->scratch, count + 1, sizeof *seen);
	int r = files && names && seen ? 0 : err_nomem(e);

	for (size_t i = 0; i < count && !r; i++) {
		const char *read;
		size_t n = 0;
		bool differs = false;

		if (seen[i] || all[i].kind != SCAN_WEIGHTS_ALSO || all[i].broken)
			continue;
		read = read_beside(l, &all[i]);
		if (!read && !may_run(l, &all[i]))
			continue;
		for (size_t k = i; k < count; k++)
			if (k == i || (all[k].kind == SCAN_WEIGHTS_ALSO &&
				       path_beside(all[k].name, all[i].name) && one_set(&all[i], &all[k]))) {
				files[n] = &all[k];
				names[n++] = all[k].name;
				seen[k] = true;
			}
		r = look_set_also(l, files, names, n, read, &differs, e);
		for (size_t k = 0; k < n; k++)
			other[files[k] - all] = differs;
	}
	return r;
}
