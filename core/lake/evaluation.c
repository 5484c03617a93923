/* What a model is said to score: model-index of cards, lm-eval's results, the Trainer's states. */
#include "core/lake/documents.h"

#include <string.h>

static const struct value *item(const struct value *v, size_t i)
{
	return v && v->kind == VALUE_ARRAY && i < v->arr.n ? &v->arr.items[i] : NULL;
}

static const char *text_of(struct facts *f, const struct value *v, const char *a, const char *b)
{
	const char *s = value_text(&f->arena, value_get(v, a));

	return s && *s ? s : value_text(&f->arena, value_get(v, b));
}

static void card_result(struct facts *f, const struct value *r, const char *file)
{
	const char *task = text_of(f, value_get(r, "task"), "type", "name");
	const char *dataset = text_of(f, value_get(r, "dataset"), "name", "type");
	const struct value *m, *metrics = value_get(r, "metrics");

	for (size_t i = 0; (m = item(metrics, i)); i++)
		facts_evaluation(f, task, dataset, text_of(f, m, "type", "name"),
				 value_text(&f->arena, value_get(m, "value")), file);
}

void evaluations_of_card(struct facts *f, const struct value *front, const char *file)
{
	const struct value *model, *index = value_get(front, "model-index"), *result;

	for (size_t i = 0; (model = item(index, i)); i++)
		for (size_t j = 0; (result = item(value_get(model, "results"), j)); j++)
			card_result(f, result, file);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

/* lm-eval names a metric "acc,none": the second word is a filter, and "none" is no filter. */
static void harness_task(struct facts *f, const char *task, const struct value *metrics, const char *file)
{
	for (size_t i = 0; metrics->kind == VALUE_OBJECT && i < metrics->obj.n; i++) {
		const struct member *m = &metrics->obj.items[i];
		const char *key = m->key;
		double v;

		if (!value_num(&m->value, &v) || strstr(key, "_stderr") || !strcmp(key, "sample_len"))
			continue;
		if (ends_with(key, ",none"))
			key = arena_strndup(&f->arena, key, strlen(key) - 5);
		facts_evaluation(f, task, task, key, value_text(&f->arena, &m->value), file);
	}
}

/* The Trainer's own measures of speed are no scores. */
static bool is_score(const char *key)
{
	return !strncmp(key, "eval_", 5) && !ends_with(key, "_runtime") && !ends_with(key, "_per_second") &&
	       !ends_with(key, "_samples") && !ends_with(key, "_time") && !ends_with(key, "_steps");
}

static void eval_keys(struct facts *f, const struct value *v, const char *file)
{
	double x;

	for (size_t i = 0; v && v->kind == VALUE_OBJECT && i < v->obj.n; i++)
		if (is_score(v->obj.items[i].key) && value_num(&v->obj.items[i].value, &x))
			facts_evaluation(f, "", "", v->obj.items[i].key, value_text(&f->arena, &v->obj.items[i].value),
					 file);
}

void evaluations_of_results(struct facts *f, const struct value *v, const char *file)
{
	const struct value *results = value_get(v, "results");

	if (results && results->kind == VALUE_OBJECT)
		for (size_t i = 0; i < results->obj.n; i++)
			harness_task(f, results->obj.items[i].key, &results->obj.items[i].value, file);
	else
		eval_keys(f, v, file);
}

void evaluations_of_trainer(struct facts *f, const struct value *v, const char *file)
{
	const struct value *log = value_get(v, "log_history"), *entry;
	double x;

	if (value_num(value_get(v, "best_metric"), &x))
		facts_evaluation(f, "", "", "best_metric", value_text(&f->arena, value_get(v, "best_metric")), file);
	for (size_t i = value_count(log); i-- > 0;) {	/* the last evaluation is that of these weights */
		entry = item(log, i);
		if (!value_get(entry, "eval_loss") && !value_get(entry, "eval_accuracy"))
			continue;
		eval_keys(f, entry, file);
		return;
	}
}
