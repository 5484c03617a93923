/* One model looked into, from its files to its facts. */
#include "core/lake/inspect_internal.h"

#include "core/lake/names.h"

#include <errno.h>
#include <string.h>

/* A model named by an organisation and a name is of that organisation, as far as anyone can tell. */
static void put_author(struct looking *l)
{
	const char *id = l->in->id, *slash = id ? strchr(id, '/') : NULL;

	if (!slash || slash == id || strchr(slash + 1, '/'))
		return;
	cleanup_free char *owner = mem_strndup(id, (size_t)(slash - id));
	if (!owner)
		l->out->facts.failed = true;
	else if (!name_is_category(owner))
		facts_put(&l->out->facts, "author", owner, FACT_INFERRED, NULL);
}

/* When it was created only documents can tell: a file's time is that of a download or a checkout. */
static void put_times(struct looking *l)
{
	int64_t newest = 0;

	for (size_t i = 0; i < l->in->n_files; i++)
		newest = MAX(newest, l->in->files[i].id.mtime_ns);
	if (newest > 0)
		facts_put_time(&l->out->facts, "modified", newest / 1000000000, FACT_MEASURED, NULL);
}

/* A base named without a relation: what the model is says it. A config that names the model itself says nothing. */
static void finish_declared(struct looking *l)
{
	struct facts *f = &l->out->facts;
	const char *id = l->in->id ? l->in->id : "", *relation = "";
	size_t n = 0;

	if (f->flags & FACTS_ADAPTER)
		relation = "adapter";
	else if (facts_get(f, "quantization"))
		relation = "quantized";
	for (size_t i = 0; i < f->n_declared; i++) {
		struct declared *d = &f->declared[i];

		if (!*d->relation && (!strcmp(d->base, id) || !strcmp(d->base, path_base(id))))
			continue;
		if (!*d->relation && strcmp(path_base(d->file), "config.json"))
			d->relation = relation;
		f->declared[n++] = *d;
	}
	f->n_declared = n;
}

static void put_rest(struct looking *l)
{
	struct facts *f = &l->out->facts;

	facts_put(f, "path", l->in->dir, FACT_MEASURED, NULL);
	facts_put(f, "revision", l->in->revision, FACT_MEASURED, NULL);
	put_author(l);
	put_times(l);
	for (size_t i = 0; i < l->in->n_files; i++) {
		const struct scan_file *file = &l->in->files[i];

		if (file->kind == SCAN_TOKENIZER && !file->broken)
			f->flags |= FACTS_TOKENIZER;
		if (file->kind != SCAN_WEIGHTS && file->broken)	/* of weights the attempt to open them told more */
			facts_problem(f, file->name, "missing",
				      "a link that leads nowhere, or a file that cannot be looked at");
	}
	if (f->flags & FACTS_CUSTOM_CODE)
		facts_put(f, "loads_code", "yes", FACT_MEASURED, NULL);
	else if (l->out->open)
		facts_put(f, "loads_code", "no", FACT_MEASURED, NULL);
	finish_declared(l);
	facts_finish(f);
}

int inspect_model(struct inspect *out, const struct inspect_input *in, struct err *e)
{
	struct looking l = {.in = in, .out = out};
	int r;

	*out = (struct inspect){0};
	r = look_documents(&l, e);
	if (!r)
		r = look_weights(&l, e);
	if (!r) {
		put_rest(&l);
		if (out->facts.failed)
			r = err_nomem(e);
	}
	arena_release(&l.scratch);
	if (r)
		inspect_release(out);
	return r;
}

void inspect_release(struct inspect *i)
{
	if (i->open) {
		canon_release(&i->canon);
		weights_release(&i->weights);
	}
	facts_release(&i->facts);
	*i = (struct inspect){0};
}
