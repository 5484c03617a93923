/* Which documents name code that lies in the model: what a loader that trusts them would run. */
#include "core/lake/inspect_internal.h"

#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 8 << 20, MAX_FILES = 1024 /* of components */, MAX_ITEMS = 1000 /* of a list of them */ };

static bool has_file(const struct inspect_input *in, const char *path)
{
	for (size_t i = 0; i < in->n_files; i++)
		if (!strcmp(in->files[i].name, path))
			return true;
	return false;
}

/* sentence-transformers takes "custom_st.Transformer" from custom_st.py of the model, "a/b--c.D" from another model. */
static bool modules_name_code(const struct inspect_input *in, const struct value *modules)
{
	char path[256];

	for (size_t i = 0; modules->kind == VALUE_ARRAY && i < MIN(modules->arr.n, (size_t)MAX_ITEMS); i++) {
		const char *type = value_str(value_get(&modules->arr.items[i], "type"));
		size_t len = type ? MIN(strcspn(type, "."), sizeof path) : 0;
		int n = type ? snprintf(path, sizeof path, "%.*s.py", (int)len, type) : 0;

		if (n > 0 && (strstr(type, "--") || ((size_t)n < sizeof path && has_file(in, path))))
			return true;
	}
	return false;
}

/* diffusers: a pipeline of ["its file", "its class"], a component whose library is a file beside its weights. */
static bool pipeline_names_code(const struct inspect_input *in, const struct value *index)
{
	char path[512];

	for (size_t i = 0; index->kind == VALUE_OBJECT && i < MIN(index->obj.n, (size_t)MAX_ITEMS); i++) {
		const struct member *m = &index->obj.items[i];
		bool list = m->value.kind == VALUE_ARRAY && m->value.arr.n;
		const char *library = list ? value_str(&m->value.arr.items[0]) : NULL;
		int n = library ? snprintf(path, sizeof path, "%s/%s.py", m->key, library) : 0;

		if (n > 0 && (!strcmp(m->key, "_class_name") || ((size_t)n < sizeof path && has_file(in, path))))
			return true;
	}
	return false;
}

void look_code(struct looking *l, const struct value *v, const char *file)
{
	const char *base = path_base(file);

	if (value_count(value_get(v, "auto_map")) || value_count(value_get(v, "custom_pipelines")) ||
	    (!strcmp(base, "modules.json") && modules_name_code(l->in, v)) ||
	    (!strcmp(base, "model_index.json") && pipeline_names_code(l->in, v)))
		l->out->facts.flags |= FACTS_CUSTOM_CODE;
}

/* Documents that say nothing else of the model: processors', and those of its components. */
static bool is_looked_at(const char *name)
{
	static const char *const processors[] = {"preprocessor_config.json", "processor_config.json",
						 "video_preprocessor_config.json"};
	static const char *const components[] = {"config.json", "tokenizer_config.json"};
	const char *base = path_base(name);

	for (size_t i = 0; i < COUNT(processors); i++)
		if (!strcmp(base, processors[i]))
			return true;
	for (size_t i = 0; i < COUNT(components) && base > name; i++)
		if (!strcmp(base, components[i]))
			return true;
	return false;
}

int look_code_of_others(struct looking *l, struct err *e)
{
	const struct value *v;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < l->in->n_files && !r; i++) {
		const struct scan_file *file = &l->in->files[i];

		if (file->broken || !is_looked_at(file->name))
			continue;
		if (path_base(file->name) > file->name && n++ >= MAX_FILES) {	/* what is not looked at may name code */
			l->out->facts.flags |= FACTS_CUSTOM_CODE;
			break;
		}
		r = look_value(l, file, MAX_BYTES, &v, e);
		if (!r && v)
			look_code(l, v, file->name);
	}
	return r;
}
