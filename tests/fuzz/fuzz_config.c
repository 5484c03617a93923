#include "tests/fuzz/fuzz.h"

#include "core/lake/canon.h"
#include "core/lake/documents.h"

#include <string.h>

/* A document of any kind read as one of each kind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(struct facts *, const struct value *, const char *) = {
		config_facts, adapter_facts, tokenizer_facts, pipeline_facts, modules_facts, ollama_facts, gptq_facts,
		declare_mergekit,
		evaluations_of_results, evaluations_of_trainer, evaluations_of_card,
	};
	static const struct value_limits limits = {.depth = 64, .count = 3000};
	struct arena a = {0};
	struct facts f = {0};
	struct canon_hints h = {0};
	struct value v;
	struct format format = {.name = len & 1 ? "gguf" : "safetensors"};
	struct weights w = {.format = &format};

	if (!json_parse_loose(&a, (const char *)data, len, &limits, &v, NULL) ||
	    !yaml_parse(&a, (const char *)data, len, &limits, &v, NULL)) {
		for (size_t i = 0; i < COUNT(readers); i++)
			readers[i](&f, &v, "x");
		w.meta = v;
		container_facts(&f, &w, "x");
		canon_hints_from(&h, &v, &v);
		facts_finish(&f);
	}
	facts_release(&f);
	arena_release(&a);
	return 0;
}
