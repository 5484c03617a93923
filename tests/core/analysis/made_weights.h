#ifndef TARN_TEST_MADE_WEIGHTS_H
#define TARN_TEST_MADE_WEIGHTS_H
/* Tests: safetensors made tensor by tensor, and values that a NumPy script can make alike. */
#include "tests/core/format/memory_file.h"

#include "core/base/buf.h"

struct made {
	struct buf header, data;
};

/* shape: "[2,3]" */
static inline void made_add(struct made *m, const char *name, const char *dtype, const char *shape, const void *bytes,
			    size_t len)
{
	buf_printf(&m->header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
		   m->header.len ? ',' : '{', name, dtype, shape, m->data.len, m->data.len + len);
	buf_add(&m->data, bytes, len);
}

/* The file's bytes; m is empty after. */
static inline void made_bytes(struct made *m, struct buf *out)
{
	buf_char(&m->header, m->header.len ? '}' : '{');
	if (m->header.len == 1)
		buf_char(&m->header, '}');
	while (m->header.len % 8)
		buf_char(&m->header, ' ');
	uint64_t n = m->header.len;
	buf_add(out, &n, 8);
	buf_add(out, m->header.data, m->header.len);
	if (m->data.len)
		buf_add(out, m->data.data, m->data.len);
	buf_release(&m->header);
	buf_release(&m->data);
}

static inline void made_open(struct made *m, struct weights *w)
{
	struct buf b = {0};
	struct err e = ERR_INIT;
	made_bytes(m, &b);
	if (open_bytes(w, b.data, b.len, &e))
		fail_msg("%s", e.msg);
	buf_release(&b);
}

/* Multiples of 2^-12 in [-8, 8). */
static inline float made_value(uint64_t i)
{
	return (float)((int)((i * 2654435761u & 0xffffffffu) >> 8 & 0xffff) - 32768) / 4096.0f;
}

static inline float *made_floats(size_t n, float add)
{
	float *v = malloc(n * sizeof *v);
	for (size_t i = 0; i < n; i++)
		v[i] = made_value(i) + add;
	return v;
}

static inline void made_f32(struct made *m, const char *name, const char *shape, const float *v, size_t n)
{
	made_add(m, name, "F32", shape, v, n * sizeof *v);
}

static inline void made_bf16(struct made *m, const char *name, const char *shape, const float *v, size_t n)
{
	uint16_t *h = malloc((n ? n : 1) * sizeof *h);
	for (size_t i = 0; i < n; i++)
		h[i] = f32_to_bf16(v[i]);
	made_add(m, name, "BF16", shape, h, n * sizeof *h);
	free(h);
}

static inline void made_f16(struct made *m, const char *name, const char *shape, const float *v, size_t n)
{
	uint16_t *h = malloc((n ? n : 1) * sizeof *h);
	for (size_t i = 0; i < n; i++)
		h[i] = f32_to_f16(v[i]);
	made_add(m, name, "F16", shape, h, n * sizeof *h);
	free(h);
}

#endif
