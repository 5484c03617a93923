/* What the headers of the weights show, whatever any document says. */
#include "core/lake/documents.h"

#include <ctype.h>
#include <string.h>

/* The short name of an element type; packed ones go by what they hold. */
static const char *dtype_short(struct facts *f, enum dtype d)
{
	static const struct { enum dtype dtype; const char *name; } packed[] = {
		{DTYPE_BNB_INT8, "int8"}, {DTYPE_BNB_NF4, "nf4"}, {DTYPE_BNB_FP4, "fp4"}, {DTYPE_GPTQ, "gptq"},
		{DTYPE_AWQ, "awq"},
		{DTYPE_CT_INT8, "int8"}, {DTYPE_CT_INT4, "int4"}, {DTYPE_CT_FP8, "fp8"}, {DTYPE_MLX, "mlx"},
		{DTYPE_CT_MXFP4, "mxfp4"}, {DTYPE_CT_MXFP8, "mxfp8"}, {DTYPE_CT_NVFP4, "nvfp4"},
	};
	char *s;

	for (size_t i = 0; i < COUNT(packed); i++)
		if (packed[i].dtype == d)
			return packed[i].name;
	if (!(s = arena_strdup(&f->arena, dtype_info(d)->name))) {
		f->failed = true;
		return NULL;
	}
	for (char *p = s; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return s;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static void elements(struct facts *f, const struct weights *w)
{
	uint64_t of[DTYPE_COUNT] = {0}, sum = 0;
	enum dtype most = DTYPE_NONE;

	for (size_t i = 0; i < w->n_tensors; i++) {
		const struct tensor *t = &w->tensors[i];

		sum = plus(sum, t->elements);
		of[t->dtype] = plus(of[t->dtype], t->elements);
	}
	for (int d = 0; d < DTYPE_COUNT; d++)
		if (of[d] > of[most])
			most = (enum dtype)d;
	facts_put_number(f, "parameters", sum, FACT_MEASURED, NULL);
	facts_put_number(f, "tensors", w->n_tensors, FACT_MEASURED, NULL);
	if (most != DTYPE_NONE)
		facts_put(f, "dtype", dtype_short(f, most), FACT_MEASURED, NULL);
}

static const struct part *part_of(const struct canon *c, const char *role)
{
	for (size_t i = 0; i < c->n_parts; i++)
		if (!strcmp(c->parts[i].role, role))
			return &c->parts[i];
	return NULL;
}

/* The width of the stream between blocks is that of its norms; an embedding may be narrower. */
static void widths(struct facts *f, const struct canon *c)
{
	static const char *const norms[] = {"norm.final", "norm.attn", "norm.attn.post"};
	const struct part *embed = part_of(c, "embed"), *norm = NULL;

	for (size_t i = 0; i < COUNT(norms) && !norm; i++)
		norm = part_of(c, norms[i]);
	if (embed && embed->cols > 1 && embed->rows > 1)
		facts_put_number(f, "vocab_size", embed->rows, FACT_MEASURED, NULL);
	if (norm && norm->cols == 1 && norm->rows > 1)
		facts_put_number(f, "hidden_size", norm->rows, FACT_MEASURED, NULL);
	else if (embed && embed->cols > 1)
		facts_put_number(f, "hidden_size", embed->cols, FACT_MEASURED, NULL);
}

/* The rank that most of an adapter's pairs have. */
static void adapter(struct facts *f, const struct canon *c)
{
	uint64_t rank = 0;
	size_t votes = 0, pairs = 0;

	for (size_t i = 0; i < c->n_parts; i++) {
		if (canon_factor(c->parts[i].role) != 'a')
			continue;
		pairs++;
		if (!votes)
			rank = c->parts[i].rows;
		votes = c->parts[i].rows == rank ? votes + 1 : votes - 1;
	}
	if (!pairs)
		return;
	facts_put_number(f, "adapter_rank", rank, FACT_MEASURED, NULL);
	if (pairs * 2 * 3 > c->n_parts)	/* pairs are most of it, norms and alphas aside */
		f->flags |= FACTS_ADAPTER;
}

/* What a model of several parts consists of, in diffusers' words; by these one file in the original names is known. */
static void components(struct facts *f, const struct canon *c)
{
	static const struct { const char *role, *name; } words[] = {
		{"text:", "text_encoder"}, {"text2:", "text_encoder_2"}, {"text3:", "text_encoder_3"},
		{"unet:", "unet"}, {"vae:", "vae"}, {"controlnet:", "controlnet"}, {"vision:", "vision"},
		{"audio:", "audio"},
		{"qformer:", "qformer"}, {"safety:", "safety_checker"}, {"mtp:", "mtp"},
	};
	bool has[COUNT(words)] = {false}, resolutions = false;

	for (size_t i = 0; i < c->n_parts; i++) {
		resolutions = resolutions || !strncmp(c->parts[i].role, "unet:down_blocks.", 17);
		for (size_t k = 0; k < COUNT(words); k++)
			has[k] = has[k] || !strncmp(c->parts[i].role, words[k].role, strlen(words[k].role));
	}
	for (size_t k = 0; k < COUNT(words); k++)
		if (has[k])
			facts_put(f, "components", words[k].name, FACT_MEASURED, NULL);
	if (has[0] && has[4] && resolutions)
		facts_put(f, "architecture", has[1] ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline",
			  FACT_INFERRED, NULL);
}

/* Where the block begins that guesses the token after next (DeepSeek's, GLM's): configs do not count it, GGUF's do. */
static int32_t first_extra(const struct weights *w, const struct canon *c)
{
	int32_t first = INT32_MAX;

	for (size_t i = 0; i < c->n_parts && strcmp(w->format->name, "gguf"); i++) {
		size_t n = strlen(c->parts[i].role);

		if (c->parts[i].layer >= 0 && n > 7 && !strcmp(c->parts[i].role + n - 7, "eh_proj"))
			first = MIN(first, c->parts[i].layer);
	}
	return first;
}

/* Blocks of the part that configs speak of: where there is text beside vision or sound, of the text. */
static uint32_t main_layers(const struct weights *w, const struct canon *c)
{
	static const char *const sides[] = {"vision:", "audio:", "qformer:", "mtp:"};
	static const char *const mains[] = {"text:", "encoder:", "decoder:"};
	int32_t extra = first_extra(w, c), most = -1;
	bool several = extra < INT32_MAX;

	for (size_t i = 0; i < c->n_parts; i++) {
		const char *role = c->parts[i].role;
		bool side = false;

		for (size_t k = 0; k < COUNT(sides); k++)
			side = side || !strncmp(role, sides[k], strlen(sides[k]));
		several = several || side;
		for (size_t k = 0; k < COUNT(mains); k++)
			if (!strncmp(role, mains[k], strlen(mains[k])))
				role += strlen(mains[k]);
		if (!side && c->parts[i].layer < extra &&
		    (!strncmp(role, "attn.", 5) || !strncmp(role, "mlp.", 4) || !strncmp(role, "norm.", 5)))
			most = MAX(most, c->parts[i].layer);
	}
	return several && most >= 0 ? MIN((uint32_t)most + 1, c->layers) : c->layers;
}

void measured_facts(struct facts *f, const struct weights *w, const struct canon *c)
{
	if (w->n_tensors)
		f->flags |= FACTS_WEIGHTS;
	elements(f, w);
	if (w->quantization)
		facts_put(f, "quantization", w->quantization, FACT_MEASURED, NULL);
	if (c->layers && strcmp(c->family, "other"))
		facts_put_number(f, "layers", main_layers(w, c), FACT_MEASURED, NULL);
	adapter(f, c);
	components(f, c);
	if (!(f->flags & FACTS_ADAPTER))
		widths(f, c);
}
