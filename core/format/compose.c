/* Finding the tensors that make up one quantised weight and putting the weight in their place. */
#include "core/format/compose_internal.h"

#include <errno.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct tensor *const *)a)->name, (*(const struct tensor *const *)b)->name);
}

const struct tensor *compose_find(const struct site *at, const char *suffix)
{
	size_t lo = 0, hi = at->f->w->n_tensors;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *name = at->f->by_name[mid]->name;
		int c = strncmp(at->base, name, at->n);
		if (!c)
			c = strcmp(suffix, name + at->n);
		if (!c)
			return at->f->by_name[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static size_t index_of(const struct finding *f, const struct tensor *t)
{
	return (size_t)(t - f->w->tensors);
}

static bool is_free(const struct finding *f, const struct composite *c)
{
	for (size_t i = 0; i < c->n_parts; i++)
		if (f->made[index_of(f, c->parts[i])] || f->dropped[index_of(f, c->parts[i])])
			return false;
	return true;
}

static int add(struct finding *f, const char *name, size_t n, const struct composite *c, struct tensor *t)
{
	if (mem_grow(&f->items, &f->cap, f->n + 1) < 0 || mem_grow(&f->shown, &f->shown_cap, f->n + 1) < 0)
		return err_nomem(f->e);
	t->name = arena_printf(&f->w->arena, "%.*s%s", (int)n, name, c->named ? "" : ".weight");
	if (!t->name)
		return err_nomem(f->e);
	t->aux = (uint32_t)f->n;
	t->bytes = 0;
	for (size_t i = 0; i < c->n_parts; i++) {
		f->dropped[index_of(f, c->parts[i])] = c->parts[i] != c->q;
		t->bytes += c->parts[i]->bytes;
	}
	f->items[f->n] = *c;
	f->shown[f->n++] = *t;
	f->made[index_of(f, c->q)] = (uint32_t)f->n;
	return 0;
}

/* Has another tensor the weight's name already? */
static bool is_taken(const struct site *at, const struct composite *c)
{
	const struct tensor *t = compose_find(at, c->named ? "" : ".weight");
	return t && t != c->q;
}

static int find_all(struct finding *f)
{
	struct weights *w = f->w;
	for (size_t i = 0; i < w->n_tensors; i++) {
		size_t n;
		const char *name = w->tensors[i].name;
		const struct writer *writer = compose_writer(name, &n);
		if (!writer || n > INT32_MAX)
			continue;
		struct composite c = {0};
		struct tensor t = {0};
		struct site at = {f, name, n, writer->suffix};
		if (!writer->make(&at, &c, &t) || is_taken(&at, &c)) {
			if (f->failed)
				return f->failed;
			if (!writer->shared &&
			    weights_warn(w, w->files[w->tensors[i].file].path, "quantisation",
					 "%.200s: its parts do not fit together, they are shown as they are", name) < 0)
				return err_nomem(f->e);
			continue;
		}
		int r = is_free(f, &c) ? add(f, name, n, &c, &t) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *method_name(struct weights *w, const struct composite *c, const struct tensor *t)
{
	switch (t->dtype) {
	case DTYPE_BNB_INT8: return "bnb-int8";
	case DTYPE_BNB_NF4: return "bnb-nf4";
	case DTYPE_BNB_FP4: return "bnb-fp4";
	case DTYPE_CT_INT8: return "compressed-int8";
	case DTYPE_CT_INT4: return "compressed-int4";
	case DTYPE_CT_FP8: return "fp8";
	case DTYPE_CT_MXFP8: return "mxfp8";
	case DTYPE_CT_MXFP4: return "mxfp4";
	case DTYPE_CT_NVFP4: return "nvfp4";
	default:
		return arena_printf(&w->arena, "%s-%ubit",
				    t->dtype == DTYPE_GPTQ  ? "gptq"
				    : t->dtype == DTYPE_AWQ ? "awq"
							    : "mlx",
				    c->bits);
	}
}

/* The method of most of the weights. */
static int set_quantization(struct finding *f)
{
	uint64_t count[DTYPE_COUNT] = {0}, most = 0;
	for (size_t i = 0; i < f->n; i++)
		count[f->shown[i].dtype] += f->shown[i].elements / 1024 + 1;
	for (size_t i = 0; i < f->n && !f->w->quantization; i++)
		most = MAX(most, count[f->shown[i].dtype]);
	for (size_t i = 0; i < f->n && !f->w->quantization; i++)
		if (count[f->shown[i].dtype] == most)
			f->w->quantization = method_name(f->w, &f->items[i], &f->shown[i]);
	return f->w->quantization ? 0 : err_nomem(f->e);
}

/* ComfyUI said at first in a tensor of its own that a file is scaled: what is shown no longer is. */
static void drop_markers(struct finding *f)
{
	for (size_t i = 0; f->scaled && i < f->w->n_tensors; i++) {
		const struct tensor *t = &f->w->tensors[i];
		const char *last = strrchr(t->name, '.');
		f->dropped[i] |= !f->made[i] && t->elements <= 2 && !strcmp(last ? last + 1 : t->name, "scaled_fp8");
	}
}

static int install(struct finding *f)
{
	struct weights *w = f->w;
	struct composed *k = arena_alloc(&w->arena, sizeof *k);
	struct tensor *list = arena_array(&w->arena, w->n_tensors, sizeof *list);
	struct composite *items = arena_array(&w->arena, f->n, sizeof *items);
	if (!k || !list || !items)
		return err_nomem(f->e);
	int r = set_quantization(f);
	if (r < 0)
		return r;
	size_t n = 0;
	for (size_t i = 0; i < w->n_tensors; i++)
		if (f->made[i])
			list[n++] = f->shown[f->made[i] - 1];
		else if (!f->dropped[i])
			list[n++] = w->tensors[i];
	memcpy(items, f->items, f->n * sizeof *items);
	*k = (struct composed){.format = *w->format, .stored = *w, .items = items, .n = f->n};
	k->format.read = compose_read;
	k->format.read_raw = compose_read_raw;
	w->format = &k->format;
	w->tensors = list;
	w->n_tensors = n;
	return 0;
}

static bool any_trigger(const struct weights *w)
{
	size_t base;
	for (size_t i = 0; i < w->n_tensors; i++)
		if (compose_writer(w->tensors[i].name, &base))
			return true;
	return false;
}

static int name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Would two weights have one name? (The same one, stored in two ways.) */
static int are_distinct(const struct finding *f, bool *distinct)
{
	cleanup_free const char **names = mem_array(f->n, sizeof *names);
	if (!names)
		return err_nomem(f->e);
	for (size_t i = 0; i < f->n; i++)
		names[i] = f->shown[i].name;
	qsort(names, f->n, sizeof *names, name_order);
	*distinct = true;
	for (size_t i = 1; i < f->n; i++)
		*distinct = *distinct && strcmp(names[i - 1], names[i]);
	return 0;
}

static int compose(struct finding *f)
{
	size_t n = f->w->n_tensors;
	f->by_name = mem_array(n, sizeof *f->by_name);
	f->made = mem_array(n, sizeof *f->made);
	f->dropped = mem_array(n, sizeof *f->dropped);
	if (!f->by_name || !f->made || !f->dropped)
		return err_nomem(f->e);
	for (size_t i = 0; i < n; i++)
		f->by_name[i] = &f->w->tensors[i];
	qsort(f->by_name, n, sizeof *f->by_name, by_name);
	bool distinct = true;
	int r = find_all(f);
	if (!r && f->n)
		r = are_distinct(f, &distinct);
	if (r < 0 || !f->n)
		return r;
	if (!distinct)
		return weights_warn(f->w, f->w->files[0].path, "quantisation",
				    "a weight is there in two ways: all are shown as they are stored") < 0
			       ? err_nomem(f->e)
			       : 0;
	drop_markers(f);
	return install(f);
}

enum { COMFY_MAX = 1 << 24 };

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const struct member *const *)a)->key, (*(const struct member *const *)b)->key);
}

static int comfy_layers(struct finding *f)
{
	const char *text = value_str(value_get(&f->w->meta, "_quantization_metadata"));
	struct value all;
	struct err e = ERR_INIT;
	size_t n = text ? strlen(text) : 0;
	int r = n && n <= COMFY_MAX ? json_parse_loose(&f->w->arena, text, n, NULL, &all, &e) : -EINVAL;
	const struct value *layers = r < 0 ? NULL : value_get(&all, "layers");
	if (r == -ENOMEM)
		return err_nomem(f->e);
	if (!layers || layers->kind != VALUE_OBJECT || !layers->obj.n)
		return 0;
	f->comfy = mem_array(layers->obj.n, sizeof *f->comfy);
	if (!f->comfy)
		return err_nomem(f->e);
	for (; f->n_comfy < layers->obj.n; f->n_comfy++)
		f->comfy[f->n_comfy] = &layers->obj.items[f->n_comfy];
	qsort(f->comfy, f->n_comfy, sizeof *f->comfy, by_key);
	return 0;
}

int weights_compose(struct weights *w, const struct value *config, struct err *e)
{
	if (composed_of(w) || !any_trigger(w))
		return 0;
	const struct value *q = value_get(config, "quantization_config");
	if (!q)
		q = value_get(config, "quantization");
	if (!q)
		q = value_get(config, "compression_config");
	struct err local = ERR_INIT;
	struct finding f = {.w = w, .config = q, .e = e ? e : &local};
	int r = comfy_layers(&f);
	if (!r)
		r = compose(&f);
	free(f.comfy);
	free(f.by_name);
	free(f.made);
	free(f.dropped);
	free(f.items);
	free(f.shown);
	return r;
}

const struct weights *weights_stored(const struct weights *w)
{
	const struct composed *k = composed_of(w);
	return k ? &k->stored : w;
}

bool weights_turned(const struct weights *w, const struct tensor *t)
{
	const struct composed *k = composed_of(w);
	return k && is_composite(t) && k->items[t->aux].turned;
}

size_t weights_parts(const struct weights *w, const struct tensor *t, const struct tensor *const **parts)
{
	const struct composed *k = composed_of(w);
	if (!k || !is_composite(t))
		return 0;
	*parts = k->items[t->aux].parts;
	return k->items[t->aux].n_parts;
}
