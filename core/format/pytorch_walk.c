/*
 * From the values of a checkpoint to named tensors: state dicts in their usual wrappers, modules
 * pickled whole, lists. Optimizer states, random states and averaged copies are kept apart: they are
 * not the model's tensors, and are told as a warning.
 */
#include "core/format/pytorch_internal.h"

#include "core/base/buf.h"
#include "core/base/hash.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH = 64, TELLING = 256 /* bytes of a key that say what it is for */,
       NAMED = 64 /* buffers that are not saved, of a module */ };

struct found { uint64_t hash; const char *name; const struct pick_tensor *tensor; };

struct walk {
	struct torch_part *t;
	struct found *at;		/* heap */
	size_t n, cap;
	size_t budget, looking;		/* values shared in a lattice could be visited for ever */
	size_t apart;			/* tensors that are not the model's */
	bool counting;			/* inside of what is kept apart */
	size_t left_out;
	struct buf path;
	struct err *e;
};

static int walk_value(struct walk *k, const struct pick *v, int depth);

static const struct pick_pairs *pairs_of(const struct pick *v)
{
	return v->kind == PICK_DICT ? &v->pairs : v->kind == PICK_OBJECT ? &v->object->pairs : NULL;
}

/* --- what belongs to the model --- */

static bool contains_word(const char *s, const char *word)
{
	size_t n = strlen(word);
	for (const char *end = s + TELLING; *s && s < end; s++)
		if (!strncasecmp(s, word, n))
			return true;
	return false;
}

static const char *text_of(const struct pick *key)
{
	return key && (key->kind == PICK_STR || key->kind == PICK_BYTES) ? key->str.s : NULL;
}

/* An optimizer's state_dict says {state, param_groups}. */
static bool is_optimizer(const struct pick *v)
{
	return v->kind == PICK_DICT && pick_get(v, "param_groups") && pick_get(v, "state");
}

static bool is_apart(const struct pick *key, const struct pick *v)
{
	static const char *const whole[] = {"opt",
					    "opt_state",
					    "scheduler",
					    "lr_scheduler",
					    "lr_schedulers",
					    "scaler",
					    "grad_scaler",
					    "loss_scaler",
					    "amp",
					    "ema",
					    "ema_state_dict",
					    "params_ema",
					    "model_ema",
					    "state_dict_ema",
					    "callbacks",
					    "hyper_parameters"};
	const char *s = text_of(key);
	if (is_optimizer(v))
		return true;
	if (!s)
		return false;
	if (contains_word(s, "rng_state"))
		return true;
	if (v->kind == PICK_TENSOR)
		return false;
	for (size_t i = 0; i < COUNT(whole); i++)
		if (!strcasecmp(s, whole[i]))
			return true;
	return contains_word(s, "optim") || contains_word(s, "exp_avg");
}

/* --- names --- */

static void path_add(struct buf *b, const struct pick *key)
{
	if (b->len)
		buf_char(b, '.');
	switch (key->kind) {
	case PICK_STR: case PICK_BYTES:
		for (size_t i = 0; key->str.s && i < key->str.len; i++)	/* names are C strings */
			buf_char(b, key->str.s[i] ? key->str.s[i] : '?');
		break;
	case PICK_INT: buf_printf(b, "%" PRId64, key->i); break;
	case PICK_BOOL: buf_str(b, key->b ? "True" : "False"); break;
	case PICK_NONE: buf_str(b, "None"); break;
	default: buf_str(b, "?");
	}
}

static void path_cut(struct buf *b, size_t len)
{
	if (b->data)
		b->data[len] = 0;
	b->len = len;
}

static int add_found(struct walk *k, const struct pick_tensor *tensor)
{
	if (k->counting) {
		k->apart++;
		return 0;
	}
	if (buf_failed(&k->path) || mem_grow(&k->at, &k->cap, k->n + 1) < 0)
		return err_nomem(k->e);
	const char *path = k->path.len ? k->path.data : "tensor", *prefix = k->t->prefix;
	char *name = arena_printf(&k->t->w->arena, "%s%s", prefix, path);
	if (!name)
		return err_nomem(k->e);
	k->at[k->n++] = (struct found){0, name, tensor};
	return 0;
}

/* --- walking --- */

static bool may_hold(const struct pick *v)
{
	return v->kind == PICK_TENSOR || v->kind == PICK_LIST || v->kind == PICK_TUPLE || v->kind == PICK_SET ||
	       v->kind == PICK_DICT || v->kind == PICK_OBJECT;
}

/* Keys and values that are shared cost again wherever they stand. */
static void pay(struct walk *k, const struct pick *key, const struct pick *v)
{
	const struct pick_pairs *d = pairs_of(v);
	size_t cost = k->path.len / 64 + (d ? d->n / 4 : 0);
	if (key && (key->kind == PICK_STR || key->kind == PICK_BYTES))
		cost += key->str.len / 64;
	k->budget -= MIN(k->budget, cost);
}

static int walk_member(struct walk *k, const struct pick *key, const struct pick *v, bool named, int depth)
{
	size_t len = k->path.len;
	bool counting = k->counting;
	if (!may_hold(v)) {
		k->budget -= k->budget > 0;
		return 0;
	}
	pay(k, named ? key : NULL, v);
	if (!k->budget) {
		k->left_out++;
		return 0;
	}
	if (key && is_apart(key, v))
		k->counting = true;
	if (key && named)
		path_add(&k->path, key);
	int r = walk_value(k, v, depth + 1);
	k->counting = counting;
	path_cut(&k->path, len);
	return r;
}

static bool is_one_of(const struct pick *set, const struct pick *key)
{
	const char *s = text_of(key);
	for (size_t i = 0; s && key->str.len <= TELLING && i < set->items.n && i < NAMED; i++) {
		const char *one = text_of(set->items.at[i]);
		if (one && !strcmp(one, s))
			return true;
	}
	return false;
}

/* Of a module's buffers those that its state_dict() has too: the others are computed when it is made. */
static int walk_buffers(struct walk *k, const struct pick *v, const struct pick *buffers, int depth)
{
	const struct pick *left = pick_get(v, "_non_persistent_buffers_set");
	const struct pick_pairs *d = pairs_of(buffers);
	if (!d || !left || left->kind != PICK_SET || !left->items.n)
		return walk_member(k, NULL, buffers, false, depth);
	pay(k, NULL, buffers);
	for (size_t i = 0; i < d->n; i++) {
		k->budget -= MIN(k->budget, (size_t)8);
		if (!k->budget) {
			k->left_out++;
			break;
		}
		int r = is_one_of(left, d->at[i].key) ? 0 : walk_member(k, d->at[i].key, d->at[i].value, true, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

/* torch.nn.Module: parameters, buffers and children stand in dicts of their own, which names do not mention. */
static int walk_module(struct walk *k, const struct pick *v, int depth)
{
	const struct pick *parameters = pick_get(v, "_parameters"), *buffers = pick_get(v, "_buffers");
	const struct pick *children = pick_get(v, "_modules");
	int r = parameters ? walk_member(k, NULL, parameters, false, depth) : 0;
	if (!r && buffers)
		r = walk_buffers(k, v, buffers, depth);
	return !r && children ? walk_member(k, NULL, children, false, depth) : r;
}

static int walk_items(struct walk *k, const struct pick_items *l, int depth)
{
	for (size_t i = 0; i < l->n; i++) {
		struct pick index = {.kind = PICK_INT, .i = (int64_t)i};
		int r = walk_member(k, &index, l->at[i], true, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_pairs(struct walk *k, const struct pick_pairs *d, int depth)
{
	for (size_t i = 0; i < d->n; i++) {
		int r = walk_member(k, d->at[i].key, d->at[i].value, true, depth);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_value(struct walk *k, const struct pick *v, int depth)
{
	k->budget -= k->budget > 0;
	if (depth > DEPTH || !k->budget) {
		k->left_out++;
		return 0;
	}
	switch (v->kind) {
	case PICK_TENSOR: return add_found(k, v->tensor);
	case PICK_LIST: case PICK_TUPLE: case PICK_SET: return walk_items(k, &v->items, depth);
	case PICK_DICT: return walk_pairs(k, &v->pairs, depth);
	case PICK_OBJECT: {
		if (pick_get(v, "_parameters") && pick_get(v, "_modules"))
			return walk_module(k, v, depth);
		int r = walk_pairs(k, &v->object->pairs, depth);
		if (!r)
			r = walk_items(k, &v->object->items, depth);
		const struct pick *state = v->object->state;
		return r < 0 || !state || state->kind == PICK_DICT ? r : walk_member(k, NULL, state, false, depth);
	}
	default: return 0;
	}
}

/* --- wrappers --- */

static bool has_tensors(const struct pick *v, int depth, size_t *budget)
{
	if (!*budget || depth > DEPTH)
		return false;
	--*budget;
	if (v->kind == PICK_TENSOR || !may_hold(v))
		return v->kind == PICK_TENSOR;
	const struct pick_pairs *d = pairs_of(v);
	for (size_t i = 0; d && i < d->n; i++)
		if (has_tensors(d->at[i].value, depth + 1, budget))
			return true;
	const struct pick_items *l = v->kind == PICK_LIST || v->kind == PICK_TUPLE ? &v->items : NULL;
	for (size_t i = 0; l && i < l->n; i++)
		if (has_tensors(l->at[i], depth + 1, budget))
			return true;
	return false;
}

/* A loss or a best accuracy that was kept as a tensor. */
static bool is_number(const struct pick *v)
{
	for (unsigned i = 0; v->kind == PICK_TENSOR && i < v->tensor->ndim; i++)
		if (v->tensor->shape[i] != 1)
			return false;
	return v->kind == PICK_TENSOR;
}

static bool has_own_tensors(const struct pick *v)
{
	for (size_t i = 0; i < v->pairs.n; i++) {
		const struct pick *value = v->pairs.at[i].value;
		if (value->kind == PICK_TENSOR && !is_number(value) && !is_apart(v->pairs.at[i].key, value))
			return true;
	}
	return false;
}

/* The key under which a checkpoint keeps its model. What may also be a part of one is no wrapper beside tensors. */
static const struct pick *wrapper(const struct pick *v, size_t *budget)
{
	static const char *const keys[] = {
		"state_dict", "model_state_dict", "model",          "model_state",    "net",
		"network",    "module",           "params",         "weights",        "params_ema",
		"ema",        "model_ema",        "ema_state_dict", "state_dict_ema", "generator"};
	enum { SURE = 2 };
	if (v->kind != PICK_DICT)
		return NULL;
	size_t n = has_own_tensors(v) ? SURE : COUNT(keys);
	for (size_t i = 0; i < n; i++) {
		const struct pick *inner = pick_get(v, keys[i]);
		if (inner && has_tensors(inner, 0, budget))
			return inner;
	}
	return NULL;
}

/* The model first, then what stands beside it under keys of its own. */
static int walk_root(struct walk *k, const struct pick *root, int depth)
{
	const struct pick *inner = depth < 4 ? wrapper(root, &k->looking) : NULL;
	if (!inner) {
		k->counting = is_optimizer(root);
		int r = walk_value(k, root, 0);
		k->counting = false;
		return r;
	}
	int r = walk_root(k, inner, depth + 1);
	for (size_t i = 0; !r && i < root->pairs.n; i++) {
		const struct pick_pair *p = &root->pairs.at[i];
		if (p->value == inner)
			continue;
		k->counting = is_number(p->value);
		r = walk_member(k, p->key, p->value, true, 0);
		k->counting = false;
	}
	return r;
}

/* --- adding --- */

static void drop_common_prefix(struct walk *k)
{
	static const char *const common[] = {"_orig_mod.", "module.", "_orig_mod."};	/* compile(DDP), DDP(compile) */
	size_t skip = strlen(k->t->prefix);
	for (size_t c = 0; c < COUNT(common); c++) {
		size_t n = strlen(common[c]), i = 0;
		while (i < k->n && !strncmp(k->at[i].name + skip, common[c], n) && k->at[i].name[skip + n])
			i++;
		if (i < k->n || skip)
			continue;
		for (i = 0; i < k->n; i++)
			k->at[i].name += n;
	}
}

static int by_name(const void *a, const void *b)
{
	const struct found *x = *(const struct found *const *)a, *y = *(const struct found *const *)b;
	int c = x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : strcmp(x->name, y->name);
	return c ? c : x < y ? -1 : x > y;
}

/* Of two tensors with one name the later is the one that a dict would keep. */
static int drop_duplicates(struct walk *k)
{
	cleanup_free struct found **by = mem_array(k->n, sizeof *by);
	if (!by)
		return err_nomem(k->e);
	for (size_t i = 0; i < k->n; i++) {
		k->at[i].hash = hash64(k->at[i].name, strlen(k->at[i].name), 0);
		by[i] = &k->at[i];
	}
	qsort(by, k->n, sizeof *by, by_name);
	size_t dropped = 0;
	for (size_t i = 1; i < k->n; i++)
		if (by[i - 1]->hash == by[i]->hash && !strcmp(by[i - 1]->name, by[i]->name)) {
			by[i - 1]->tensor = NULL;
			dropped++;
		}
	if (dropped && weights_warn(k->t->w, k->t->path, "duplicate names",
				    "%zu tensors are hidden by later ones of the same name", dropped) < 0)
		return err_nomem(k->e);
	return 0;
}

static bool bytes_source(const struct torch_part *t, const struct pick *data, struct source *out)
{
	if (data->str.s)
		*out = source_memory(data->str.s, data->str.len);
	else if (data->str.pos <= t->pickle.size && data->str.len <= t->pickle.size - data->str.pos)
		*out = source_part(&t->pickle, data->str.pos, data->str.len);
	else
		return false;
	return true;
}

static int add_tensor(struct torch_part *t, const struct found *f, struct err *e)
{
	const struct pick_tensor *p = f->tensor;
	struct tensor out = {.name = f->name, .dtype = p->dtype, .ndim = p->ndim, .file = t->file};
	struct stored s = {.swap = p->storage ? t->big : p->swap};
	const struct dtype_info *d = dtype_info(p->dtype);
	memcpy(out.shape, p->shape, sizeof out.shape);
	memcpy(s.stride, p->stride, sizeof s.stride);
	int r = 0;
	if (!p->storage) {
		if (!bytes_source(t, p->data, &s.src))
			return err_set(e, EINVAL, "%.200s: its bytes are not in the pickle", f->name);
		t->keep_values |= s.src.mem != NULL;
	} else {
		if (p->storage->nested)
			s.src = p->storage->bytes;
		else
			r = t->locate(t, p->storage, &s.src, e);
		t->keep_values |= s.src.mem != NULL;
		uint64_t first = p->offset;
		if (!r && (__builtin_add_overflow(first, p->storage->root_offset, &first) ||
			   __builtin_mul_overflow(first, d->bytes, &s.start)))
			return err_set(e, EINVAL, "%.200s: its offset overflows 64 bits", f->name);
	}
	if (r < 0)
		return err_prefix(e, "%.100s: ", f->name);
	s.swap = s.swap && d->bytes > 1;
	return stored_add(t->w, out, &s, e);
}

/* A view may repeat its storage without end (expand); what is far larger than what it is made of is not shown. */
static bool is_inflated(const struct pick_tensor *p)
{
	uint64_t n = 1;
	for (unsigned i = 0; i < p->ndim; i++)
		if (__builtin_mul_overflow(n, p->shape[i], &n))
			return true;
	return p->storage && n > 1 << 20 && n / 64 > p->storage->numel;
}

static int warn(struct walk *k, const char *problem, const char *what, size_t n)
{
	return n && weights_warn(k->t->w, k->t->path, problem, "%zu %s", n, what) < 0 ? err_nomem(k->e) : 0;
}

static int add_all(struct walk *k)
{
	size_t inflated = 0;
	int r = 0;
	for (size_t i = 0; !r && i < k->n; i++) {
		if (!k->at[i].tensor)
			continue;
		if (is_inflated(k->at[i].tensor))
			inflated++;
		else
			r = add_tensor(k->t, &k->at[i], k->e);
	}
	if (!r)
		r = warn(k, "bad tensor", "views far larger than their storage are left out", inflated);
	if (!r)
		r = warn(k, "training state", "tensors of optimizers, averages, random states or measures are not listed",
			 k->apart);
	return r < 0 ? r
		     : warn(k, "deep values", "values nested too deeply, or shared too often, are left out",
			    k->left_out);
}

int torch_add_tensors(struct torch_part *t, struct pick *root, struct err *e)
{
	size_t budget = 4096 + t->values.used / 16;
	struct walk k = {.t = t, .e = e, .budget = budget, .looking = budget};
	int r = walk_root(&k, root, 0);
	if (!r && buf_failed(&k.path))
		r = err_nomem(e);
	if (!r)
		drop_common_prefix(&k);
	if (!r)
		r = drop_duplicates(&k);
	if (!r)
		r = add_all(&k);
	buf_release(&k.path);
	free(k.at);
	return r;
}

const char *torch_why_none(const struct weights *w)
{
	for (size_t i = w->n_warnings; i-- > 0;)
		if (!strcmp(w->warnings[i].problem, "bad tensor"))
			return w->warnings[i].detail;
	return w->n_warnings && !strcmp(w->warnings[w->n_warnings - 1].problem, "training state")
		       ? "training state only"
		       : NULL;
}

void torch_part_init(struct torch_part *t, struct weights *w, uint32_t file, const char *prefix, uint64_t pickle_size)
{
	/* one byte can make a value of 64 bytes and a place for it; real checkpoints take 12 a byte */
	uint64_t limit = MIN(pickle_size, (uint64_t)512 << 20 >> 7) * 128 + (1 << 20);
	*t = (struct torch_part){.w = w, .file = file, .path = w->files[file].path, .prefix = prefix, .values.limit = limit};
}

int torch_part_release(struct torch_part *t)
{
	struct stored_set *set = t->w->priv;
	free(t->keys);
	t->keys = NULL;
	if (!t->keep_values) {
		arena_release(&t->values);
		return 0;
	}
	if (mem_grow(&set->arenas, &set->arena_cap, set->n_arenas + 1) < 0) {
		arena_release(&t->values);	/* the weights are about to be released too */
		return -ENOMEM;
	}
	set->arenas[set->n_arenas++] = t->values;
	return 0;
}
