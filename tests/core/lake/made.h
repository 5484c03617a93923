#ifndef TARN_TESTS_LAKE_MADE_H
#define TARN_TESTS_LAKE_MADE_H
/* Tensors made in memory, behind the interface of core/format, for tests that need names and layouts but no files. */
#include "core/format/format.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

struct made {
	struct weights w;
	struct tensor tensors[256];
	float *data[256];
	uint64_t reads, floats;		/* asked of the container */
};

static int made_read(const struct weights *w, const struct tensor *t, uint64_t first, uint64_t n, float *out,
		     struct err *e)
{
	struct made *m = w->priv;

	(void)e;
	m->reads++;
	m->floats += n;
	for (uint64_t i = 0; i < n; i++)
		out[i] = m->data[t - w->tensors] ? m->data[t - w->tensors][first + i] : (float)(first + i);
	return 0;
}

static const struct format made_plain = {.name = "made", .read = made_read};
static const struct format made_gguf = {.name = "gguf", .read = made_read};

static inline void made_init(struct made *m, const struct format *f)
{
	memset(m, 0, sizeof *m);
	m->w.format = f;
	m->w.tensors = m->tensors;
	m->w.priv = m;
	m->w.meta.kind = VALUE_OBJECT;
}

/* data may be NULL: element i is i. Dimensions end with 0. */
static inline struct tensor *made_add(struct made *m, float *data, const char *name, ...)
{
	struct tensor *t = &m->tensors[m->w.n_tensors];
	va_list ap;
	int d;

	*t = (struct tensor){.name = name, .dtype = DTYPE_F32, .elements = 1};
	va_start(ap, name);
	while ((d = va_arg(ap, int)) > 0) {
		t->shape[t->ndim++] = (uint64_t)d;
		t->elements *= (uint64_t)d;
	}
	va_end(ap);
	t->bytes = t->elements * 4;
	m->data[m->w.n_tensors++] = data;
	return t;
}

#endif
