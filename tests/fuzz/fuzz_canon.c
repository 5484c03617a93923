#include "tests/fuzz/fuzz.h"

#include "core/lake/canon.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 64, SIDE = 12 };

static int position(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		    struct err *e)
{
	(void)w;
	(void)e;
	if (first + n > t->elements)
		abort();
	for (uint64_t i = 0; i < n; i++)
		out[i] = (float)(first + i);
	return 0;
}

/* Every element of a part is one of its tensor, no two are the same, and all ways of reading agree. */
static void check(const struct weights *w, const struct part *p)
{
	static float all[SIDE * SIDE * SIDE * SIDE], one[SIDE * SIDE * SIDE * SIDE];
	static uint8_t seen[SIDE * SIDE * SIDE * SIDE];
	uint64_t n = p->rows * p->cols, row = p->rows / 2, col = p->cols / 3;

	memset(seen, 0, sizeof seen);
	if (n > w->tensors[p->tensor].elements || canon_read_rows(w, p, 0, p->rows, all, NULL))
		abort();
	for (uint64_t i = 0; i < n; i++)
		if (seen[(uint64_t)all[i]]++)
			abort();
	if (!n)
		return;
	if (canon_read_row(w, p, row, one, NULL) || memcmp(one, all + row * p->cols, p->cols * sizeof *one) ||
	    canon_read_grid(w, p, &row, 1, &col, 1, one, NULL) || one[0] != all[row * p->cols + col])
		abort();
}

/* The first bytes are the hints, every line then a tensor: two bytes of shape and its name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct format made = {.name = "made", .read = position}, gguf = {.name = "gguf", .read = position};
	struct tensor tensors[MOST];
	struct weights w = {.tensors = tensors, .format = len % 2 ? &made : &gguf, .meta.kind = VALUE_OBJECT};
	struct canon_hints h = {0};
	struct canon c;
	char *text, *p;

	if (len < 8 || !(text = malloc(len + 1)))
		return 0;
	memcpy(text, data, len);
	text[len] = 0;
	h = (struct canon_hints){data[0] & 1 ? "llama" : data[0] & 2 ? "GptOssForCausalLM" : NULL, data[1] % 16,
				 data[2] % 8, data[3] % 8, data[4], data[5] % 16};
	for (p = text + 6; w.n_tensors < MOST && strlen(p) > 2;) {
		struct tensor *t = &tensors[w.n_tensors++];
		uint8_t shape = (uint8_t)p[0], dims = (uint8_t)p[1];
		char *end = strchrnul(p, '\n');

		*t = (struct tensor){.name = end - p > 2 ? p + 2 : "", .dtype = DTYPE_F32, .ndim = dims % 5, .elements = 1};
		for (int i = 0; i < t->ndim; i++)
			t->elements *= t->shape[i] = (uint64_t)(shape + i * (dims / 5)) % (SIDE + 1);
		p = *end ? end + 1 : end;
		*end = 0;
	}
	if (canon_of(&c, &w, &h, NULL))
		abort();
	for (size_t i = 0; i < c.n_parts; i++)
		check(&w, &c.parts[i]);
	canon_release(&c);
	free(text);
	return 0;
}
