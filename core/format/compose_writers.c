/* What each writer of quantised weights calls the tensors that make up one weight, and how they lie. */
#include "core/format/compose_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n > m && !strcmp(s + n - m, end);
}

static int64_t config_int(const struct finding *f, const char *key, int64_t fallback)
{
	int64_t i;
	return value_int(value_get(f->config, key), &i) ? i : fallback;
}

static void part(struct composite *c, const struct tensor **slot, const struct tensor *t)
{
	if (slot)
		*slot = t;
	if (t && c->n_parts < COMPOSITE_PARTS)
		c->parts[c->n_parts++] = t;
}

static bool is_float(const struct tensor *t)
{
	return t->dtype == DTYPE_F16 || t->dtype == DTYPE_BF16 || t->dtype == DTYPE_F32;
}

static bool is_matrix(const struct tensor *t)
{
	return t->ndim == 2 && t->shape[0] && t->shape[1];
}

/* A matrix view of main's shape with `cols` in its last dimension. */
static bool set_shape(struct tensor *t, struct composite *c, const struct tensor *main, uint64_t cols)
{
	if (main->ndim < 1 || !cols || !main->shape[main->ndim - 1] || !main->elements)
		return false;
	*t = *main;
	t->shape[t->ndim - 1] = cols;
	c->cols = cols;
	c->rows = c->matrix_rows = main->elements / main->shape[main->ndim - 1];
	return !__builtin_mul_overflow(c->rows, cols, &t->elements);
}

/* Have the two, but for the last `less` of them, the same dimensions? */
static bool same_dims(const struct tensor *a, const struct tensor *b, unsigned less)
{
	return a->ndim == b->ndim && a->ndim >= less && !memcmp(a->shape, b->shape, (a->ndim - less) * sizeof *a->shape);
}

/* How a grid of scales lies over the matrix, or each of several: one, a row each, groups along rows, or blocks. */
static bool set_grid(struct composite *c, uint64_t block_hint_rows, uint64_t block_hint_cols)
{
	const struct tensor *s = c->scale;
	uint64_t rows = s->ndim >= 2 ? s->elements / MAX(s->shape[s->ndim - 1], (uint64_t)1) : s->elements;
	uint64_t cols = s->ndim >= 2 ? s->shape[s->ndim - 1] : 1;
	if (!rows || !cols)
		return false;
	c->matrix_rows = c->rows;
	if (s->elements == 1) {
		c->block_rows = c->rows;
		c->block_cols = c->cols;
	} else if (c->q->ndim > 2 && cols == 1 && rows == c->q->shape[0]) {	/* an expert each */
		c->block_rows = c->rows / rows;
		c->block_cols = c->cols;
	} else {
		if (s->ndim > 2 && same_dims(s, c->q, 2)) {
			rows = s->shape[s->ndim - 2];
			c->matrix_rows = c->q->shape[s->ndim - 2];
		}
		uint64_t high = c->matrix_rows;
		c->block_rows = rows == high ? 1 : block_hint_rows ? block_hint_rows : (high + rows - 1) / rows;
		c->block_cols = cols == 1 ? c->cols : block_hint_cols ? block_hint_cols : (c->cols + cols - 1) / cols;
		if ((high - 1) / c->block_rows + 1 != rows || (c->cols - 1) / c->block_cols + 1 != cols)
			return false;
	}
	c->scale_cols = cols;
	return true;
}

static bool make_bnb_int8(const struct site *at, struct composite *c, struct tensor *t)
{
	part(c, &c->q, compose_find(at, ".weight"));
	part(c, &c->scale, compose_find(at, ".SCB"));
	part(c, NULL, compose_find(at, ".weight_format"));
	if (!c->q || c->q->dtype != DTYPE_I8 || c->q->ndim < 2 || !set_shape(t, c, c->q, c->q->shape[c->q->ndim - 1]))
		return false;
	c->packing = PACK_I8;
	c->factor = 7.874015718698502e-3f;	/* 1/127, as bitsandbytes writes it */
	t->dtype = DTYPE_BNB_INT8;
	return c->scale->dtype == DTYPE_F32 && c->scale->elements == c->rows && set_grid(c, 0, 0);
}

/* Only what is wrong with the file makes a composite that does not fit; out of memory and failed reads end it all. */
static bool succeeded(struct finding *f, int r)
{
	if (r < 0)
		f->failed = r;
	return r == 0;
}

static bool read_table(struct finding *f, const struct tensor *t, float *out, uint64_t n)
{
	return t && t->elements == n && is_float(t) && succeeded(f, weights_read(f->w, t, 0, n, out, f->e));
}

/* The JSON that bitsandbytes stores as a tensor of bytes. */
static const struct value *read_state(struct finding *f, const struct tensor *t, struct value *v)
{
	char text[4096];
	struct err e = ERR_INIT;
	if (!t || t->dtype != DTYPE_U8 || t->bytes > sizeof text ||
	    !succeeded(f, weights_read_raw(f->w, t, 0, t->bytes, text, f->e)))
		return NULL;
	int r = json_parse_loose(&f->w->arena, text, t->bytes, NULL, v, &e);
	if (r == -ENOMEM)
		f->failed = err_nomem(f->e);
	return r < 0 ? NULL : v;
}

static bool set_state_shape(struct tensor *t, struct composite *c, const struct value *shape)
{
	size_t nd = value_count(shape);
	uint64_t elements = 1;
	if (!nd || nd > TENSOR_DIMS || shape->kind != VALUE_ARRAY)
		return false;
	*t = *c->q;
	t->ndim = (uint8_t)nd;
	for (size_t i = 0; i < nd; i++) {
		int64_t d;
		if (!value_int(&shape->arr.items[i], &d) || d <= 0 ||
		    __builtin_mul_overflow(elements, (uint64_t)d, &elements))
			return false;
		t->shape[i] = (uint64_t)d;
	}
	t->elements = elements;
	c->cols = t->shape[nd - 1];
	c->rows = elements / c->cols;
	return true;
}

static bool make_bnb_4bit(const struct site *at, struct composite *c, struct tensor *t)
{
	struct value json;
	const struct tensor *state = compose_find(at, at->suffix), *nested = compose_find(at, ".nested_absmax");
	const struct tensor *map = compose_find(at, ".quant_map"), *nested_map = compose_find(at, ".nested_quant_map");
	const struct value *v = read_state(at->f, state, &json);
	int64_t block = 0, nested_block = 0;
	double offset = 0;
	part(c, &c->q, compose_find(at, ""));
	part(c, &c->scale, compose_find(at, ".absmax"));
	part(c, &c->nested_scale, nested);
	part(c, NULL, nested_map);
	part(c, NULL, map);
	part(c, NULL, state);
	if (!c->q || !c->scale || !v || !set_state_shape(t, c, value_get(v, "shape")) ||
	    !read_table(at->f, map, c->codes, 16) || !value_int(value_get(v, "blocksize"), &block) || block < 1 ||
	    c->q->bytes != t->elements / 2 + t->elements % 2)
		return false;
	c->block_cols = (uint64_t)block;
	if (c->scale->elements != (t->elements - 1) / c->block_cols + 1)
		return false;
	if (nested) {
		if (!read_table(at->f, nested_map, c->nested_codes, 256) ||
		    !value_int(value_get(v, "nested_blocksize"), &nested_block) || nested_block < 1 ||
		    !value_num(value_get(v, "nested_offset"), &offset) || c->scale->dtype != DTYPE_U8 ||
		    nested->elements != (c->scale->elements - 1) / (uint64_t)nested_block + 1)
			return false;
		c->nested_block = (uint64_t)nested_block;
		c->nested_offset = (float)offset;
	}
	c->named = true;
	c->packing = PACK_CODES;
	t->dtype = ends_with(at->suffix, "nf4") ? DTYPE_BNB_NF4 : DTYPE_BNB_FP4;
	return nested || is_float(c->scale);
}

/* GPTQ's words go down the inputs, AWQ's along the outputs: the scales' width tells. */
static bool make_gptq(const struct site *at, struct composite *c, struct tensor *t)
{
	part(c, &c->q, compose_find(at, ".qweight"));
	part(c, &c->zeros, compose_find(at, ".qzeros"));
	part(c, &c->scale, compose_find(at, ".scales"));
	part(c, &c->index, compose_find(at, ".g_idx"));
	const struct tensor *q = c->q, *z = c->zeros, *s = c->scale;
	if (!z || !s || !is_matrix(q) || !is_matrix(z) || !is_matrix(s) || q->dtype != DTYPE_I32 ||
	    z->dtype != DTYPE_I32 || !is_float(s) || z->shape[0] != s->shape[0] || s->shape[1] % 8 ||
	    q->shape[0] > UINT32_MAX || s->shape[1] > UINT32_MAX)
		return false;
	bool awq = q->shape[1] != s->shape[1];
	const char *version = value_str(value_get(at->f->config, "checkpoint_format"));
	c->packing = awq ? PACK_AWQ : PACK_GPTQ;
	c->rows = s->shape[1];
	c->bits = (uint32_t)(z->shape[1] * 32 / c->rows);
	if (c->bits < 2 || c->bits > 8 || z->shape[1] * 32 != c->rows * c->bits)
		return false;
	if (awq && (c->bits != 4 || q->shape[1] * 8 != c->rows))
		return false;
	c->cols = awq ? q->shape[0] : q->shape[0] * 32 / c->bits;
	if (!awq && (c->cols * c->bits != q->shape[0] * 32 || (32 % c->bits && (c->rows % 32 || c->cols % 32))))
		return false;
	c->zero = awq || (version && !strcmp(version, "gptq_v2")) ? 0 : 1;
	c->block_cols = (c->cols + s->shape[0] - 1) / s->shape[0];
	int64_t group = config_int(at->f, "group_size", 0);
	if (group > 0 && (c->cols - 1) / (uint64_t)group + 1 == s->shape[0])
		c->block_cols = (uint64_t)group;
	if (c->index && (c->index->elements != c->cols || c->index->dtype != DTYPE_I32))
		return false;
	*t = *q;
	t->dtype = awq ? DTYPE_AWQ : DTYPE_GPTQ;
	t->shape[0] = c->rows;
	t->shape[1] = c->cols;
	return !__builtin_mul_overflow(c->rows, c->cols, &t->elements);
}

/* --- floats of 4 and 8 bits with a scale for a few columns --- */

/* The scales' bytes, where they are exponents (E8M0) or small floats that their tensor calls whole numbers. */
static bool set_scale_type(struct composite *c, enum dtype of_bytes)
{
	enum dtype d = c->scale->dtype;
	c->scale_type = d == DTYPE_U8 ? of_bytes : DTYPE_NONE;
	return d == DTYPE_U8 || d == of_bytes;
}

/* Rows of packed elements, the low bits first, with a scale for every `group`. */
static bool set_groups(struct composite *c, struct tensor *t, enum dtype element, uint64_t group, enum dtype shown)
{
	const struct tensor *q = c->q, *s = c->scale;
	uint64_t groups = s->ndim ? s->shape[s->ndim - 1] : 0, cols;
	if (!groups || !same_dims(q, s, 1) || __builtin_mul_overflow(groups, group, &cols) || cols > UINT32_MAX ||
	    !set_shape(t, c, q, cols))
		return false;
	c->packing = PACK_BITS;
	c->element = element;
	c->bits = element == DTYPE_F4 ? 4 : 8;
	c->factor = 1;
	c->block_rows = 1;
	c->block_cols = group;
	c->scale_cols = groups;
	t->dtype = shown;
	return q->bytes % c->rows == 0 && q->bytes / c->rows == cols * c->bits / 8;
}

static bool set_outer(const struct site *at, struct composite *c, const struct tensor *t, bool divides)
{
	c->outer_divides = divides;
	return read_table(at->f, t, &c->outer, 1) && c->outer != 0;
}

/* compressed-tensors' nvfp4-pack-quantized and mxfp4-pack-quantized */
static bool make_packed_fp4(const struct site *at, struct composite *c, struct tensor *t)
{
	const struct tensor *global = compose_find(at, ".weight_global_scale");
	part(c, NULL, global);
	part(c, NULL, compose_find(at, ".input_global_scale"));
	c->zeros = NULL;	/* these types have none */
	if (!c->scale)
		return false;
	bool nv = c->scale->dtype == DTYPE_F8_E4M3;
	if (nv ? !set_groups(c, t, DTYPE_F4, 16, DTYPE_CT_NVFP4) || !set_outer(at, c, global, true)
	       : !set_scale_type(c, DTYPE_F8_E8M0) || !set_groups(c, t, DTYPE_F4, 32, DTYPE_CT_MXFP4))
		return false;
	return !c->index || (c->index->elements == c->cols && c->index->dtype == DTYPE_I32);
}

/* gpt-oss: [.., R, C/32, 16] bytes. transformers' parameter is transposed, OpenAI's own is not. */
static bool make_blocks(const struct site *at, struct composite *c, struct tensor *t)
{
	c->turned = *at->suffix == '_';
	c->named = true;
	part(c, &c->q, compose_find(at, at->suffix));
	part(c, &c->scale, compose_find(at, c->turned ? "_scales" : ".scales"));
	const struct tensor *q = c->q, *s = c->scale;
	if (!s || q->dtype != DTYPE_U8 || q->ndim < 3 || q->ndim != s->ndim + 1 || q->shape[q->ndim - 1] != 16 ||
	    memcmp(q->shape, s->shape, s->ndim * sizeof *s->shape) || !set_scale_type(c, DTYPE_F8_E8M0))
		return false;
	struct tensor flat = *q;
	flat.ndim = s->ndim;
	if (__builtin_mul_overflow(s->shape[s->ndim - 1], (uint64_t)16, &flat.shape[s->ndim - 1]))
		return false;
	c->q = &flat;
	bool fits = set_groups(c, t, DTYPE_F4, 32, DTYPE_CT_MXFP4);
	c->q = q;
	return fits;
}

/* MLX's modes mxfp4, nvfp4 and mxfp8: the widths of weight and scales tell which. */
static bool make_mlx_float(const struct site *at, struct composite *c, struct tensor *t)
{
	part(c, &c->q, compose_find(at, ".weight"));
	part(c, &c->scale, compose_find(at, ".scales"));
	const struct tensor *q = c->q, *s = c->scale;
	if (!q || q->dtype != DTYPE_U32 || s->dtype != DTYPE_U8 || q->ndim < 2)
		return false;
	if (set_groups(c, t, DTYPE_F4, 16, DTYPE_CT_NVFP4))
		return set_scale_type(c, DTYPE_F8_E4M3);
	return set_scale_type(c, DTYPE_F8_E8M0) && (set_groups(c, t, DTYPE_F4, 32, DTYPE_CT_MXFP4) ||
						    set_groups(c, t, DTYPE_F8_E4M3, 32, DTYPE_CT_MXFP8));
}

/* --- ComfyUI's own words for what it has quantised: beside the layer, or of all layers in the file's metadata --- */

static int comfy_order(const void *name, const void *m)
{
	return strcmp(name, (*(const struct member *const *)m)->key);
}

static const struct value *comfy_layer(const struct site *at)
{
	static const char *const before[] = {"", "model.diffusion_model.", "diffusion_model."};
	char layer[512];
	const struct member *const *m = NULL;
	for (size_t i = 0; i < COUNT(before) && !m && at->f->n_comfy && at->n < sizeof layer; i++) {
		size_t skip = strlen(before[i]);
		if (skip > at->n || strncmp(at->base, before[i], skip))
			continue;
		snprintf(layer, sizeof layer, "%.*s", (int)(at->n - skip), at->base + skip);
		m = bsearch(layer, at->f->comfy, at->f->n_comfy, sizeof *m, comfy_order);
	}
	return m ? &(*m)->value : NULL;
}

/* Is it one of those that lie as others' do? (Scales in the order of a matrix unit, rotated weights and more are not.) */
static bool comfy_is_plain(const struct site *at, const struct tensor *marker, bool fp8)
{
	struct value own;
	bool rotated = false;
	const struct value *v = marker ? read_state(at->f, marker, &own) : comfy_layer(at);
	const char *format = value_str(value_get(v, "format"));
	if (!v && !marker)
		return !at->f->n_comfy || fp8;
	value_bool(value_get(v, "convrot"), &rotated);
	return format && !rotated &&
	       (!strcmp(format, "float8_e4m3fn") || !strcmp(format, "float8_e5m2") || !strcmp(format, "int8_tensorwise"));
}

/* --- whole numbers and floats of 8 bits --- */

static bool make_packed(const struct site *at, struct composite *c, struct tensor *t)
{
	const struct tensor *shape = compose_find(at, ".weight_shape");
	unsigned char raw[16];
	part(c, &c->q, compose_find(at, ".weight_packed"));
	part(c, &c->scale, compose_find(at, ".weight_scale"));
	part(c, &c->zeros, compose_find(at, ".weight_zero_point"));
	part(c, &c->index, compose_find(at, ".weight_g_idx"));
	part(c, NULL, shape);
	if (c->q->dtype == DTYPE_U8)
		return make_packed_fp4(at, c, t);
	if (!is_matrix(c->q) || c->q->dtype != DTYPE_I32 || !c->scale || !is_float(c->scale) || !shape ||
	    shape->dtype != DTYPE_I64 || shape->elements != 2 ||
	    !succeeded(at->f, weights_read_raw(at->f->w, shape, 0, 16, raw, at->f->e)))
		return false;
	uint64_t dims[2] = {0};
	for (int i = 15; i >= 0; i--)
		dims[i / 8] = dims[i / 8] << 8 | raw[i];
	if (dims[0] != c->q->shape[0] || !dims[1] || dims[1] > UINT32_MAX || !set_shape(t, c, c->q, dims[1]))
		return false;
	c->packing = PACK_BITS;
	c->bits = (c->cols + 7) / 8 == c->q->shape[1] ? 4 : (c->cols + 3) / 4 == c->q->shape[1] ? 8 : 0;
	c->zero = c->bits == 4 ? 8 : 128;
	c->factor = 1;
	t->dtype = c->bits == 4 ? DTYPE_CT_INT4 : DTYPE_CT_INT8;
	if (!c->bits || !set_grid(c, 0, 0) ||
	    (c->index && (c->index->elements != c->cols || c->index->dtype != DTYPE_I32)))
		return false;
	uint64_t each = 32 / c->bits;
	return !c->zeros ||
	       (c->zeros->dtype == DTYPE_I32 && c->zeros->elements == (c->rows + each - 1) / each * c->scale_cols);
}

/* A weight of 8 bits with its scale beside it. */
static bool make_scaled(const struct site *at, struct composite *c, struct tensor *t)
{
	part(c, &c->q, compose_find(at, ".weight"));
	part(c, &c->scale, compose_find(at, at->suffix));
	part(c, &c->zeros, compose_find(at, ".weight_zero_point"));
	part(c, NULL, compose_find(at, ".input_scale"));
	part(c, NULL, compose_find(at, ".scale_input"));
	const struct tensor *q = c->q, *outer = compose_find(at, ".weight_scale_2"), *comfy = compose_find(at, ".comfy_quant");
	bool fp8 = q && (q->dtype == DTYPE_F8_E4M3 || q->dtype == DTYPE_F8_E5M2 || q->dtype == DTYPE_F8_E4M3FNUZ);
	if (!q || q->ndim < 2 || !comfy_is_plain(at, comfy, fp8))
		return false;
	if (q->dtype == DTYPE_U8) {	/* ModelOpt's NVFP4 */
		part(c, NULL, outer);
		c->zeros = NULL;
		return !comfy && c->scale->dtype == DTYPE_F8_E4M3 &&
		       set_groups(c, t, DTYPE_F4, 16, DTYPE_CT_NVFP4) && set_outer(at, c, outer, false);
	}
	part(c, NULL, comfy);
	at->f->scaled |= !strcmp(at->suffix, ".scale_weight");
	bool powers = fp8 && set_scale_type(c, DTYPE_F8_E8M0);
	if ((!fp8 && q->dtype != DTYPE_I8) || !set_shape(t, c, q, q->shape[q->ndim - 1]) ||
	    (!is_float(c->scale) && !powers))
		return false;
	const struct value *block = value_get(at->f->config, "weight_block_size");
	int64_t hint[2] = {0, 0};
	for (size_t i = 0; i < 2 && value_count(block) == 2 && block->kind == VALUE_ARRAY; i++)
		if (!value_int(&block->arr.items[i], &hint[i]) || hint[i] < 0)
			hint[i] = 0;
	c->packing = fp8 ? PACK_FLOAT : PACK_I8;
	c->factor = 1;
	t->dtype = fp8 ? DTYPE_CT_FP8 : DTYPE_CT_INT8;
	if (c->zeros && (fp8 || c->zeros->elements != c->scale->elements))
		c->zeros = NULL;
	if (powers && c->cols % 32 == 0 && set_grid(c, 1, 32) && c->block_rows == 1 && c->block_cols == 32) {
		t->dtype = DTYPE_CT_MXFP8;
		return true;
	}
	if (hint[0] && set_grid(c, (uint64_t)hint[0], (uint64_t)hint[1]))
		return true;
	return set_grid(c, 128, 128) || (!powers && set_grid(c, 0, 0));
}

/* MLX: groups of columns; a layer's own settings stand under its name in the config. */
static bool make_mlx(const struct site *at, struct composite *c, struct tensor *t)
{
	char layer[512];
	part(c, &c->q, compose_find(at, ".weight"));
	part(c, &c->scale, compose_find(at, ".scales"));
	part(c, &c->bias, compose_find(at, ".biases"));
	const struct tensor *q = c->q, *s = c->scale;
	if (!q || !s || q->dtype != DTYPE_U32 || q->ndim < 2 || s->ndim != q->ndim || !is_float(s) ||
	    !is_float(c->bias) || c->bias->elements != s->elements)
		return false;
	snprintf(layer, sizeof layer, "%.*s", (int)MIN(at->n, sizeof layer - 1), at->base);
	int64_t group = config_int(at->f, "group_size", 64);
	value_int(value_get(value_get(at->f->config, layer), "group_size"), &group);
	uint64_t words = q->shape[q->ndim - 1], groups = s->shape[s->ndim - 1], cols;
	if (group < 1 || group > 4096 || !words || words > UINT32_MAX || !groups ||
	    __builtin_mul_overflow(groups, (uint64_t)group, &cols) || !set_shape(t, c, q, cols))
		return false;
	c->bits = (uint32_t)(words * 32 / cols);
	c->packing = PACK_BITS;
	c->factor = 1;
	c->block_rows = 1;
	c->block_cols = (uint64_t)group;
	c->scale_cols = groups;
	t->dtype = DTYPE_MLX;
	return c->bits >= 2 && c->bits <= 8 && words * 32 == cols * c->bits && s->elements / groups == c->rows;
}

/* --- the table --- */

static const struct writer writers[] = {
	{".SCB", make_bnb_int8, false},
	{".quant_state.bitsandbytes__nf4", make_bnb_4bit, false},
	{".quant_state.bitsandbytes__fp4", make_bnb_4bit, false},
	{".qweight", make_gptq, false},
	{".weight_packed", make_packed, false},
	{".weight_scale", make_scaled, true},
	{".weight_scale_inv", make_scaled, false},
	{".scale_weight", make_scaled, true},
	{"_blocks", make_blocks, true},
	{".blocks", make_blocks, true},
	{".biases", make_mlx, true},
	{".scales", make_mlx_float, true},
};

const struct writer *compose_writer(const char *name, size_t *base)
{
	for (size_t i = 0; i < COUNT(writers); i++)
		if (ends_with(name, writers[i].suffix)) {
			*base = strlen(name) - strlen(writers[i].suffix);
			return &writers[i];
		}
	return NULL;
}
