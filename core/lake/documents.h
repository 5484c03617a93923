#ifndef TARN_LAKE_DOCUMENTS_H
#define TARN_LAKE_DOCUMENTS_H
/*
 * What the documents beside a model's weights say, put among its facts. Private to core/lake.
 * Each function takes a parsed document and the file's name; nothing it finds is an error.
 */
#include "core/base/value.h"
#include "core/format/format.h"
#include "core/lake/canon.h"
#include "core/lake/facts.h"

/* Scalars of `v` (one, or a list of them) as values of a key. */
void document_texts(struct facts *f, const char *key, const struct value *v, const char *file);
/* The first of `names` (dotted paths) that is a positive whole number; 0. */
uint64_t document_number(const struct value *v, const char *const *names, size_t n);

/* --- evaluation.c --- */
void evaluations_of_card(struct facts *f, const struct value *front, const char *file);	/* model-index */
void evaluations_of_results(struct facts *f, const struct value *v, const char *file);	/* lm-eval, all_results.json */
void evaluations_of_trainer(struct facts *f, const struct value *v, const char *file);	/* trainer_state.json */

/* --- config.c --- */
void config_facts(struct facts *f, const struct value *config, const char *file);
void adapter_facts(struct facts *f, const struct value *config, const char *file);
void tokenizer_facts(struct facts *f, const struct value *config, const char *file);
void pipeline_facts(struct facts *f, const struct value *index, const char *file);	/* diffusers' model_index.json */
void modules_facts(struct facts *f, const struct value *modules, const char *file);	/* sentence-transformers */
void ollama_facts(struct facts *f, const struct value *config, const char *file);	/* of a tag in its store */
void gptq_facts(struct facts *f, const struct value *config, const char *file);		/* quantize_config.json */

/* --- declared.c --- */
void declare_bases(struct facts *f, const struct value *bases, const char *relation, const char *file);
void declare_mergekit(struct facts *f, const struct value *config, const char *file);
/* A base as text that names a model: without the hub's address, "" where it is a mere path of a machine. */
const char *declared_name(const char *text);

/* --- container.c --- */
void container_facts(struct facts *f, const struct weights *w, const char *file);

/* --- measured.c --- */
void measured_facts(struct facts *f, const struct weights *w, const struct canon *c);

#endif
