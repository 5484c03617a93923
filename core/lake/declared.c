/* What documents say that a model was made from. */
#include "core/lake/documents.h"

#include <string.h>
#include <strings.h>

const char *declared_name(const char *text)
{
	static const char *const hubs[] = {"https://huggingface.co/", "http://huggingface.co/", "https://hf.co/",
					   "hf://"};

	for (size_t i = 0; i < COUNT(hubs); i++)
		if (!strncasecmp(text, hubs[i], strlen(hubs[i])))
			return text + strlen(hubs[i]);
	return text;
}

static void declare_one(struct facts *f, const struct value *v, const char *relation, const char *file)
{
	const char *s = value_str(v);

	if (!s)	/* {model: …}, {path: …}, {name: …} */
		s = value_str(value_get(v, "model"));
	if (!s)
		s = value_str(value_get(v, "path"));
	if (!s)
		s = value_str(value_get(v, "name"));
	if (s)
		facts_declare(f, declared_name(s), relation, file);
}

void declare_bases(struct facts *f, const struct value *bases, const char *relation, const char *file)
{
	if (!bases)
		return;
	if (bases->kind != VALUE_ARRAY) {
		declare_one(f, bases, relation, file);
		return;
	}
	for (size_t i = 0; i < bases->arr.n; i++)
		declare_one(f, &bases->arr.items[i], relation, file);
}

/* mergekit: models, slices of sources, a base; "model+adapter" applies an adapter first. */
static void mergekit_model(struct facts *f, const struct value *v, const char *file)
{
	const char *s = value_str(v), *plus;

	if (!s)
		s = value_str(value_path(v, "model.path"));
	if (!s)
		s = value_str(value_get(v, "path"));
	if (!s)
		return;
	plus = strchr(s, '+');
	if (plus && plus > s) {
		facts_declare(f, plus + 1, "merge", file);
		s = arena_strndup(&f->arena, s, (size_t)(plus - s));
	}
	if (s) {
		facts_declare(f, declared_name(s), "merge", file);
		facts_put(f, "base_model", declared_name(s), FACT_DECLARED, file);
	}
}

static void mergekit_list(struct facts *f, const struct value *list, const char *file)
{
	for (size_t i = 0; list && list->kind == VALUE_ARRAY && i < list->arr.n; i++)
		mergekit_model(f, value_get(&list->arr.items[i], "model"), file);
}

void declare_mergekit(struct facts *f, const struct value *config, const char *file)
{
	const struct value *slices = value_get(config, "slices"), *base = value_get(config, "base_model");

	mergekit_list(f, value_get(config, "models"), file);
	for (size_t i = 0; slices && slices->kind == VALUE_ARRAY && i < slices->arr.n; i++)
		mergekit_list(f, value_get(&slices->arr.items[i], "sources"), file);
	if (base)
		mergekit_model(f, base, file);
}
