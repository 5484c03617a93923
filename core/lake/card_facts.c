/* A model card's front matter as facts. */
#include "core/lake/card.h"
#include "core/lake/documents.h"

#include <string.h>
#include <strings.h>

void document_texts(struct facts *f, const char *key, const struct value *v, const char *file)
{
	size_t n = v && v->kind == VALUE_ARRAY ? v->arr.n : v ? 1 : 0;
	const struct value *items = v && v->kind == VALUE_ARRAY ? v->arr.items : v;

	for (size_t i = 0; i < n; i++)
		if (items[i].kind == VALUE_STRING)
			facts_putn(f, key, items[i].str.s, items[i].str.len, FACT_DECLARED, file);
		else if (items[i].kind == VALUE_INT || items[i].kind == VALUE_FLOAT || items[i].kind == VALUE_BOOL)
			facts_put(f, key, value_text(&f->arena, &items[i]), FACT_DECLARED, file);
}

uint64_t document_number(const struct value *v, const char *const *names, size_t n)
{
	int64_t i;

	for (size_t k = 0; k < n; k++)
		if (value_int(value_path(v, names[k]), &i) && i > 0)
			return (uint64_t)i;
	return 0;
}

/* Some write "en, fr" for a list. */
static void languages(struct facts *f, const struct value *v, const char *file)
{
	const char *s = value_str(v);

	if (!s) {
		document_texts(f, "language", v, file);
		return;
	}
	while (*s) {
		size_t n = strcspn(s, ",");

		facts_putn(f, "language", s, n, FACT_DECLARED, file);
		s += n + (s[n] == ',');
	}
}

static void license(struct facts *f, const struct value *front, const char *file)
{
	const char *s = value_str(value_get(front, "license")), *name = value_str(value_get(front, "license_name"));

	/* "other" says nothing when the name stands beside it */
	if (s && name && !strcasecmp(s, "other"))
		facts_put(f, "license", name, FACT_DECLARED, file);
	else
		document_texts(f, "license", value_get(front, "license"), file);
}

static bool has_tag(const struct value *front, const char *tag)
{
	const struct value *tags = value_get(front, "tags");

	for (size_t i = 0; tags && tags->kind == VALUE_ARRAY && i < tags->arr.n; i++)
		if (value_str(&tags->arr.items[i]) && !strcasecmp(value_str(&tags->arr.items[i]), tag))
			return true;
	return false;
}

static void bases(struct facts *f, const struct value *front, const char *file)
{
	const struct value *base = value_get(front, "base_model"), *rel = value_get(front, "base_model_relation");
	const char *relation = value_str(rel ? rel : value_get(front, "model_relation"));

	if (!relation)
		relation =
			value_count(base) > 1 && (has_tag(front, "merge") || has_tag(front, "mergekit")) ? "merge" : "";
	if (!strcasecmp(relation, "finetuned") || !strcasecmp(relation, "fine-tune") ||
	    !strcasecmp(relation, "fine-tuned"))
		relation = "finetune";
	document_texts(f, "base_model", base, file);
	declare_bases(f, base, relation, file);
}

void card_facts(const struct card *c, struct facts *f, const char *file)
{
	const struct value *front = &c->front;

	f->flags |= FACTS_CARD;
	if (c->problem)
		facts_problem(f, file, c->problem, "%s", c->detail);
	if (front->kind != VALUE_OBJECT)
		return;
	license(f, front, file);
	languages(f, value_get(front, "language"), file);
	document_texts(f, "tags", value_get(front, "tags"), file);
	document_texts(f, "task", value_get(front, "pipeline_tag"), file);
	document_texts(f, "library", value_get(front, "library_name"), file);
	document_texts(f, "datasets", value_get(front, "datasets"), file);
	document_texts(f, "author", value_get(front, "author"), file);
	document_texts(f, "author", value_get(front, "model_creator"), file);
	document_texts(f, "created", value_get(front, "date"), file);
	bases(f, front, file);
	evaluations_of_card(f, front, file);
}
