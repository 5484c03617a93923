/* What calls and states of a pickle make: tensors, arrays, plain containers, and opaque objects of all else. */
#include "core/format/pickle_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int pickle_hazard(struct pickle *p, const char *kind, unsigned bit, uint64_t at, const char *what, struct err *e)
{
	if (p->machine->told & bit)
		return 0;
	p->machine->told |= bit;
	for (size_t i = 0; i < p->w->n_hazards && i < 256; i++)	/* each name once a file */
		if (p->w->hazards[i].file == p->file && !strcmp(p->w->hazards[i].kind, kind) &&
		    !strcmp(p->w->hazards[i].detail, what))
			return 0;
	uint64_t pos = source_pos(&p->src, at);
	int r = weights_hazard(p->w, p->file, kind, pos == ERR_NOPOS ? at : pos, true, "%s", what);
	return r < 0 ? err_nomem(e) : 0;
}

static struct pick *object(struct pickle *p, struct pick *cls, struct pick *args, struct err *e)
{
	struct pick *v = pick_new(p, PICK_OBJECT, e);
	if (!v)
		return NULL;
	v->object = arena_alloc(p->arena, sizeof *v->object);
	if (!v->object) {
		err_nomem(e);
		return NULL;
	}
	v->object->cls = cls;
	v->object->args = args;
	return v;
}

static int give_object(struct pickle *p, struct pick *cls, struct pick *args, struct pick **out, struct err *e)
{
	*out = object(p, cls, args, e);
	return *out ? 0 : -e->code;
}

static struct pick *arg(const struct pick *args, size_t i)
{
	return args && (args->kind == PICK_TUPLE || args->kind == PICK_LIST) && i < args->items.n ? args->items.at[i]
												  : NULL;
}

static bool to_size(const struct pick *v, uint64_t *out)
{
	if (!v || (v->kind != PICK_INT && v->kind != PICK_BOOL) || (v->kind == PICK_INT && v->i < 0))
		return false;
	*out = v->kind == PICK_BOOL ? v->b : (uint64_t)v->i;
	return true;
}

/* A tuple of sizes into out[TENSOR_DIMS]; its length or -1. */
static int to_sizes(const struct pick *v, uint64_t *out)
{
	if (!v || (v->kind != PICK_TUPLE && v->kind != PICK_LIST) || v->items.n > TENSOR_DIMS)
		return -1;
	for (size_t i = 0; i < v->items.n; i++)
		if (!to_size(v->items.at[i], &out[i]))
			return -1;
	return (int)v->items.n;
}

/* --- tensors of torch --- */

static int give_tensor(struct pickle *p, const struct pick_tensor *t, struct pick **out, struct err *e)
{
	struct pick *v = pick_new(p, PICK_TENSOR, e);
	struct pick_tensor *mine = v ? arena_alloc(p->arena, sizeof *mine) : NULL;
	if (!mine)
		return err_nomem(e);
	*mine = *t;
	v->tensor = mine;
	*out = v;
	return 0;
}

/* What cannot be a tensor is kept as an object; the walk does not miss it, the user hears of it. */
static int not_tensor(struct pickle *p, struct pick *callable, struct pick *args, const char *why, struct pick **out,
		      struct err *e)
{
	const struct warning *last = p->w->n_warnings ? &p->w->warnings[p->w->n_warnings - 1] : NULL;
	if (!(last && last->file == p->file && !strcmp(last->detail, why)) &&
	    weights_warn(p->w, p->file, "bad tensor", "%s", why) < 0)
		return err_nomem(e);
	return give_object(p, callable, args, out, e);
}

enum { METADATA = 16 };

/* Its metadata say that signs are still to be turned when it is read; or they are far more than torch writes. */
static bool is_lazy(const struct pick *metadata)
{
	static const char *const bits[] = {"conj", "neg"};
	if (metadata && metadata->kind == PICK_DICT && metadata->pairs.n > METADATA)
		return true;
	for (size_t i = 0; metadata && metadata->kind == PICK_DICT && i < COUNT(bits); i++) {
		const struct pick *v = pick_get(metadata, bits[i]);
		if (v && v->kind == PICK_BOOL && v->b)
			return true;
	}
	return false;
}

static int rebuild_tensor(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *storage = arg(args, 0);
	struct pick_tensor t = {0};
	if (!storage || storage->kind != PICK_STORAGE)
		return not_tensor(p, callable, args, "a tensor rebuilt from what is not a storage", out, e);
	t.storage = storage->storage;
	t.dtype = callable->means == MEANS_TENSOR_V3 ? pickle_dtype_of(arg(args, 6)) : t.storage->dtype;
	int n = to_sizes(arg(args, 2), t.shape);
	if (n < 0 || to_sizes(arg(args, 3), t.stride) != n || !to_size(arg(args, 1), &t.offset))
		return not_tensor(
			p, callable, args,
			"a tensor whose shape, strides or offset are not numbers, or of more than 8 dimensions", out,
			e);
	if (t.dtype == DTYPE_NONE)
		return not_tensor(p, callable, args, "a tensor of unknown element type", out, e);
	if (is_lazy(arg(args, callable->means == MEANS_TENSOR_V3 ? 7 : 6)))
		return not_tensor(p, callable, args, "a conjugate or negative view: its storage has other values", out,
				  e);
	t.ndim = (uint8_t)n;
	return give_tensor(p, &t, out, e);
}

static bool is_text(const struct pick *v)
{
	return v && (v->kind == PICK_STR || v->kind == PICK_BYTES) && v->str.s;
}

int pickle_persistent(struct pickle *p, struct pick *id, struct pick **out, struct err *e)
{
	const struct pick *what = arg(id, 0), *cls = arg(id, 1), *key = arg(id, 2), *view = arg(id, 5);
	if (is_text(what) && !strcmp(what->str.s, "module") && cls) {	/* a class with its source beside it */
		*out = arg(id, 1);
		return 0;
	}
	struct pick_storage s = {0};
	if (!is_text(what) || strcmp(what->str.s, "storage") || !cls || cls->kind != PICK_GLOBAL ||
	    cls->means != MEANS_STORAGE || !is_text(key) || !to_size(arg(id, 4), &s.numel))
		return give_object(p, id, NULL, out, e);
	s.dtype = pickle_dtype_of(cls);
	s.key = key->str.s;
	s.location = is_text(arg(id, 3)) ? arg(id, 3)->str.s : "";
	if (view && view->kind == PICK_TUPLE && is_text(arg(view, 0)) && to_size(arg(view, 1), &s.root_offset)) {
		s.root = s.key;		/* the file holds the root's bytes under `key`, the view begins at the offset */
		if (to_size(arg(view, 2), &s.numel))
			s.key = arg(view, 0)->str.s;
	}
	struct pick *v = pick_new(p, PICK_STORAGE, e);
	v = v && (v->storage = arena_alloc(p->arena, sizeof s)) ? v : NULL;
	if (!v)
		return e->code ? -e->code : err_nomem(e);
	*v->storage = s;
	*out = v;
	return pick_append(p, &p->storages, v, e);
}

/* --- arrays of numpy --- */

/* "f4", "<f8", "|b1", … and the byte order of its state. */
static enum dtype numpy_dtype(const struct pick *v, bool *swap)
{
	static const struct { char code[4]; enum dtype d;
	} known[] = {
		{"f2", DTYPE_F16}, {"f4", DTYPE_F32},  {"f8", DTYPE_F64}, {"i1", DTYPE_I8},    {"i2", DTYPE_I16},
		{"i4", DTYPE_I32}, {"i8", DTYPE_I64},  {"u1", DTYPE_U8},  {"u2", DTYPE_U16},   {"u4", DTYPE_U32},
		{"u8", DTYPE_U64}, {"b1", DTYPE_BOOL}, {"c8", DTYPE_C64}, {"c16", DTYPE_C128},
	};
	*swap = false;
	if (!v || v->kind != PICK_OBJECT || !v->object->cls || v->object->cls->kind != PICK_GLOBAL ||
	    v->object->cls->means != MEANS_ND_DTYPE)
		return DTYPE_NONE;
	const struct pick *name = arg(v->object->args, 0), *order = arg(v->object->state, 1);
	if (!is_text(name))
		return DTYPE_NONE;
	const char *s = name->str.s;
	if (is_text(order) && *order->str.s == '>')
		*swap = true;
	if (*s && strchr("<>|=", *s))
		*swap |= *s++ == '>';
	for (size_t i = 0; i < COUNT(known); i++)
		if (!strcmp(s, known[i].code))
			return known[i].d;
	return DTYPE_NONE;
}

static void dense_strides(struct pick_tensor *t, bool fortran)
{
	uint64_t step = 1;
	for (unsigned k = 0; k < t->ndim; k++) {
		unsigned i = fortran ? k : t->ndim - 1 - k;
		t->stride[i] = step;
		if (__builtin_mul_overflow(step, t->shape[i], &step))
			step = UINT64_MAX;	/* measured, and refused, when the tensor is added */
	}
}

/* shape, dtype, fortran, bytes at args[k…] of a state or of _frombuffer; false: not a plain array. */
static bool array_of(const struct pick *shape, const struct pick *dtype, bool fortran, struct pick *data,
		     struct pick_tensor *t)
{
	*t = (struct pick_tensor){.data = data};
	int n = to_sizes(shape, t->shape);
	t->dtype = numpy_dtype(dtype, &t->swap);
	if (n < 0 || t->dtype == DTYPE_NONE || !data || (data->kind != PICK_BYTES && data->kind != PICK_STR))
		return false;
	t->ndim = (uint8_t)n;
	dense_strides(t, fortran);
	return true;
}

static int set_array_state(struct pickle *p, struct pick *v, struct pick *state, struct err *e)
{
	size_t k = state->kind == PICK_TUPLE && state->items.n == 5;	/* older ones have no version in front */
	const struct pick *f = arg(state, k + 2);
	struct pick_tensor t;
	if (!array_of(arg(state, k), arg(state, k + 1),
		      f && ((f->kind == PICK_BOOL && f->b) || (f->kind == PICK_INT && f->i)), arg(state, k + 3), &t)) {
		v->object->state = state;
		return 0;
	}
	struct pick *made;
	int r = give_tensor(p, &t, &made, e);
	if (!r)
		*v = *made;
	return r;
}

static int from_buffer(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *order = arg(args, 3);
	struct pick_tensor t;
	if (!array_of(arg(args, 2), arg(args, 1), is_text(order) && *order->str.s == 'F', arg(args, 0), &t))
		return give_object(p, callable, args, out, e);
	return give_tensor(p, &t, out, e);
}

static int scalar(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *data = arg(args, 1);
	bool swap;
	enum dtype d = numpy_dtype(arg(args, 0), &swap);
	union { double f; int64_t i; float h; int32_t j; char b[8]; } v = {0};
	size_t size = d == DTYPE_F64 || d == DTYPE_I64 ? 8 : d == DTYPE_F32 || d == DTYPE_I32 ? 4 : 0;
	if (!size || swap || !is_text(data) || data->str.len != size)
		return give_object(p, callable, args, out, e);
	memcpy(v.b, data->str.s, size);
	bool whole = d == DTYPE_I64 || d == DTYPE_I32;
	struct pick *n = pick_new(p, whole ? PICK_INT : PICK_FLOAT, e);
	if (!n)
		return -e->code;
	if (whole)
		n->i = size == 8 ? v.i : v.j;
	else
		n->f = size == 8 ? v.f : (double)v.h;
	*out = n;
	return 0;
}

/* --- plain values --- */

/* Protocol 2's bytes: _codecs.encode(text, "latin1") undoes the text. */
static int encode(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *text = arg(args, 0), *codec = arg(args, 1);
	if (!text || text->kind != PICK_STR || !is_text(codec) ||
	    (strcmp(codec->str.s, "latin1") && strcmp(codec->str.s, "latin-1")))
		return give_object(p, callable, args, out, e);
	struct pick *v = pick_new(p, PICK_BYTES, e);
	unsigned char *o = v ? arena_alloc(p->arena, text->str.len + 1) : NULL;
	if (!o)
		return err_nomem(e);
	const unsigned char *s = (const unsigned char *)text->str.s;
	size_t n = 0;
	for (size_t i = 0; i < text->str.len; i++) {
		if (s[i] < 0x80)
			o[n++] = s[i];
		else if ((s[i] == 0xc2 || s[i] == 0xc3) && i + 1 < text->str.len && (s[i + 1] & 0xc0) == 0x80)
			o[n++] = (unsigned char)((s[i] & 3) << 6 | (s[i + 1] & 63)), i++;
		else
			return give_object(p, callable, args, out, e);
	}
	v->str.s = (char *)o;
	v->str.len = n;
	*out = v;
	return 0;
}

static struct pick *last_container(const struct pick *args)
{
	for (size_t i = args && args->kind == PICK_TUPLE ? args->items.n : 0; i-- > 0;) {
		enum pick_kind k = args->items.at[i]->kind;
		if (k == PICK_LIST || k == PICK_TUPLE || k == PICK_SET || k == PICK_DICT)
			return args->items.at[i];
	}
	return NULL;
}

/* OrderedDict(), OrderedDict([[k, v], …]), defaultdict(list, {…}) */
static int make_dict(struct pickle *p, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *from = last_container(args);
	struct pick *d = pick_new(p, PICK_DICT, e);
	if (!d)
		return -e->code;
	*out = d;
	if (from && from->kind == PICK_DICT) {
		for (size_t i = 0; i < from->pairs.n; i++)
			if (pick_put(p, &d->pairs, from->pairs.at[i].key, from->pairs.at[i].value, e) < 0)
				return -e->code;
		return 0;
	}
	for (size_t i = 0; from && i < from->items.n; i++) {
		struct pick *k = arg(from->items.at[i], 0), *v = arg(from->items.at[i], 1);
		if (k && v && pick_put(p, &d->pairs, k, v, e) < 0)
			return -e->code;
	}
	return 0;
}

static int make_sequence(struct pickle *p, enum pick_kind kind, struct pick *args, struct pick **out, struct err *e)
{
	const struct pick *from = last_container(args);
	struct pick *v = pick_new(p, kind, e);
	if (!v)
		return -e->code;
	*out = v;
	for (size_t i = 0; from && from->kind != PICK_DICT && i < from->items.n; i++)
		if (pick_append(p, &v->items, from->items.at[i], e) < 0)
			return -e->code;
	return 0;
}

static int give_first(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	struct pick *first = arg(args, 0);
	if (!first)
		return give_object(p, callable, args, out, e);
	*out = first;
	return 0;
}

/* --- storages pickled by themselves, as pickle.dump of a tensor does --- */

static bool source_of(const struct pickle *p, const struct pick *bytes, struct source *out)
{
	if (!bytes || (bytes->kind != PICK_BYTES && bytes->kind != PICK_STR))
		return false;
	if (bytes->str.s)
		*out = source_memory(bytes->str.s, bytes->str.len);
	else
		*out = source_part(&p->src, bytes->str.pos, bytes->str.len);
	return true;
}

/* torch.save's five pickles, of which the fourth is the storage; then its length and data. 1: it is something else. */
static int read_nested(struct pickle *inner, struct pick **out, struct err *e)
{
	struct pick *part[5];
	struct err why = ERR_INIT;
	int r = 0;
	for (size_t i = 0; !r && i < 5; i++)
		r = pickle_load(inner, &part[i], &why);
	if (r == -EINVAL)
		return 1;
	if (r < 0) {
		*e = why;
		return r;
	}
	if (part[0]->kind != PICK_LONG || part[3]->kind != PICK_STORAGE)
		return 1;
	struct pick_storage *s = part[3]->storage;
	uint64_t bytes, item = dtype_info(s->dtype)->bytes ? dtype_info(s->dtype)->bytes : 1;
	if (__builtin_mul_overflow(s->numel, item, &bytes) || inner->src.size - inner->pos < 8 ||
	    bytes > inner->src.size - inner->pos - 8)
		return 1;
	s->nested = true;
	s->bytes = source_part(&inner->src, inner->pos + 8, bytes);
	*out = part[3];
	return 0;
}

/* The same bytes may be named any number of times; in a file that was saved each is there once. */
static bool is_paid(struct pickle *p, uint64_t size)
{
	uint64_t cost = size > UINT64_MAX / 2 ? size : size + 128;
	if (cost > p->machine->nested)
		return false;
	p->machine->nested -= cost;
	return true;
}

static int load_nested(struct pickle *p, struct pick *callable, struct pick *args, uint64_t at, struct pick **out,
		       struct err *e)
{
	struct source src;
	struct pickle inner;
	int r = 1;
	if (p->depth < 2 && source_of(p, arg(args, 0), &src) && is_paid(p, src.size)) {
		r = pickle_init(&inner, src, p->w, p->file, p->arena, e);
		inner.depth = p->depth + 1;
		if (!r)
			r = read_nested(&inner, out, e);
		pickle_release(&inner);
	}
	if (r <= 0)
		return r;
	r = pickle_hazard(p, "pickle-global", TOLD_NESTED, at, "torch.storage._load_from_bytes", e);
	return r < 0 ? r : give_object(p, callable, args, out, e);
}

/* --- calls --- */

int pickle_construct(struct pickle *p, struct pick *cls, struct pick *args, struct pick **out, struct err *e)
{
	if (cls->kind == PICK_GLOBAL &&
	    (cls->means == MEANS_DICT || cls->means == MEANS_SET || cls->means == MEANS_LIST ||
	     cls->means == MEANS_TUPLE || cls->means == MEANS_FIRST))
		return pickle_call(p, cls, args, 0, out, e);
	return give_object(p, cls, args, out, e);
}

/* _rebuild_from_type_v2(function, type, arguments, state): the function is called, the type is decoration. */
static int typed(struct pickle *p, struct pick *callable, struct pick *args, uint64_t at, struct pick **out,
		 struct err *e)
{
	struct pick *f = arg(args, 0), *inner = arg(args, 2);
	if (f && inner && f->kind == PICK_GLOBAL && f->means != MEANS_TYPED && f->means != MEANS_UNKNOWN)
		return pickle_call(p, f, inner, at, out, e);
	return give_object(p, callable, args, out, e);
}

static int new_object(struct pickle *p, struct pick *callable, struct pick *args, struct pick **out, struct err *e)
{
	struct pick *cls = arg(args, 0);
	return cls ? pickle_construct(p, cls, NULL, out, e) : give_object(p, callable, args, out, e);
}

int pickle_call(struct pickle *p, struct pick *callable, struct pick *args, uint64_t at, struct pick **out,
		struct err *e)
{
	if (callable->kind != PICK_GLOBAL) {
		int r = pickle_hazard(p, "pickle-call", TOLD_CALL, at, "a call of a computed value", e);
		return r < 0 ? r : give_object(p, callable, args, out, e);
	}
	switch (callable->means) {
	case MEANS_TENSOR: case MEANS_TENSOR_V2: case MEANS_TENSOR_V3: return rebuild_tensor(p, callable, args, out, e);
	case MEANS_PARAMETER: case MEANS_FIRST: return give_first(p, callable, args, out, e);
	case MEANS_TYPED: return typed(p, callable, args, at, out, e);
	case MEANS_OTHER_TENSOR:
		return not_tensor(p, callable, args,
				  "a quantised, sparse or nested tensor, or one without data, is not read", out, e);
	case MEANS_NESTED: return load_nested(p, callable, args, at, out, e);
	case MEANS_DICT: return make_dict(p, args, out, e);
	case MEANS_LIST: return make_sequence(p, PICK_LIST, args, out, e);
	case MEANS_TUPLE: return make_sequence(p, PICK_TUPLE, args, out, e);
	case MEANS_SET: return make_sequence(p, PICK_SET, args, out, e);
	case MEANS_NUMBER: return give_first(p, callable, args, out, e);
	case MEANS_ENCODE: return encode(p, callable, args, out, e);
	case MEANS_NEW: return new_object(p, callable, args, out, e);
	case MEANS_ND_RECONSTRUCT: return new_object(p, callable, args, out, e);
	case MEANS_ND_FROMBUFFER: return from_buffer(p, callable, args, out, e);
	case MEANS_ND_SCALAR: return scalar(p, callable, args, out, e);
	default: return give_object(p, callable, args, out, e);
	}
}

/* The attributes of an object or, in the pair form (state, slots), both. */
static int add_attributes(struct pickle *p, struct pick_object *o, const struct pick *state, struct err *e)
{
	for (size_t i = 0; state && state->kind == PICK_DICT && i < state->pairs.n; i++)
		if (pick_put(p, &o->pairs, state->pairs.at[i].key, state->pairs.at[i].value, e) < 0)
			return -e->code;
	return 0;
}

int pickle_set_state(struct pickle *p, struct pick *v, struct pick *state, struct err *e)
{
	if (v->kind != PICK_OBJECT)	/* attributes of a dict (OrderedDict._metadata) or of a parameter */
		return 0;
	struct pick_object *o = v->object;
	if (o->cls && o->cls->kind == PICK_GLOBAL && o->cls->means == MEANS_ND_ARRAY)
		return set_array_state(p, v, state, e);
	o->state = state;
	if (state->kind != PICK_TUPLE || state->items.n != 2)
		return add_attributes(p, o, state, e);
	int r = add_attributes(p, o, arg(state, 0), e);
	return r < 0 ? r : add_attributes(p, o, arg(state, 1), e);
}
