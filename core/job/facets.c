#include "core/job/facets.h"

const char *const facet_keys[FACET_KEYS] = {
	"architecture", "author",  "datasets",   "dtype",        "family",   "format", "language",
	"library",      "license", "model_type", "quantization", "relation", "tags",   "task",
};
