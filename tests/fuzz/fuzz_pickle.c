#include "tests/fuzz/fuzz.h"

#include "core/format/pickle.h"

#include <stdlib.h>

/* Every value that a pickle makes can be looked at; shared ones only so often. */
static void walk(const struct pick *v, int depth, size_t *budget)
{
	if (depth > 40 || !*budget)
		return;
	--*budget;
	switch (v->kind) {
	case PICK_STR:
		if (v->str.s[v->str.len])
			abort();
		break;
	case PICK_LIST: case PICK_TUPLE: case PICK_SET:
		for (size_t i = 0; i < v->items.n; i++)
			walk(v->items.at[i], depth + 1, budget);
		break;
	case PICK_DICT:
		for (size_t i = 0; i < v->pairs.n; i++) {
			walk(v->pairs.at[i].key, depth + 1, budget);
			walk(v->pairs.at[i].value, depth + 1, budget);
		}
		break;
	case PICK_TENSOR:
		if (v->tensor->ndim > TENSOR_DIMS || (!v->tensor->storage && !v->tensor->data))
			abort();
		break;
	case PICK_OBJECT:
		if (v->object->state)
			walk(v->object->state, depth + 1, budget);
		for (size_t i = 0; i < v->object->pairs.n; i++)
			walk(v->object->pairs.at[i].value, depth + 1, budget);
		break;
	default: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct weights w = {.arena.limit = 1 << 26};
	struct arena values = {.limit = 256 * len + (1 << 20)};
	struct pickle p;
	struct err e = ERR_INIT;
	size_t budget = 10000;
	if (pickle_init(&p, source_memory(data, len), &w, "fuzzed", &values, &e) < 0)
		abort();
	for (int i = 0; i < 5 && p.pos < len; i++) {
		struct pick *root;
		int r = pickle_load(&p, &root, &e);
		if (r < 0 && (e.code != -r || !e.msg[0]))
			abort();
		if (r < 0)
			break;
		walk(root, 0, &budget);
	}
	pickle_release(&p);
	arena_release(&values);
	arena_release(&w.arena);
	return 0;
}
