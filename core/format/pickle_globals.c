/* The allow-list of globals, and what each of them means. Whole names only: prefixes hide functions. */
#include "core/format/pickle_internal.h"

#include "core/base/hash.h"

#include <stdio.h>
#include <string.h>

struct known { const char *module, *name; enum pick_meaning means; };

static const struct known list[] = {
	{"torch._utils", "_rebuild_tensor", MEANS_TENSOR},
	{"torch._utils", "_rebuild_tensor_v2", MEANS_TENSOR_V2},
	{"torch._utils", "_rebuild_tensor_v3", MEANS_TENSOR_V3},
	{"torch._utils", "_rebuild_parameter", MEANS_PARAMETER},
	{"torch._utils", "_rebuild_parameter_with_state", MEANS_PARAMETER},
	{"torch._utils", "_rebuild_device_tensor_from_numpy", MEANS_FIRST},
	{"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", MEANS_FIRST},
	{"torch._utils", "_rebuild_qtensor", MEANS_OTHER_TENSOR},
	{"torch._utils", "_rebuild_sparse_tensor", MEANS_OTHER_TENSOR},
	{"torch._utils", "_rebuild_sparse_csr_tensor", MEANS_OTHER_TENSOR},
	{"torch._utils", "_rebuild_meta_tensor_no_storage", MEANS_OTHER_TENSOR},
	{"torch._utils", "_rebuild_nested_tensor", MEANS_OTHER_TENSOR},
	{"torch._utils", "_rebuild_wrapper_subclass", MEANS_OTHER_TENSOR},
	{"torch._tensor", "_rebuild_from_type_v2", MEANS_TYPED},
	{"torch.tensor", "_rebuild_from_type", MEANS_TYPED},
	{"torch._tensor", "_rebuild_from_type", MEANS_TYPED},
	{"torch.storage", "_load_from_bytes", MEANS_NESTED},
	{"torch", "Size", MEANS_TUPLE},
	{"torch", "device", MEANS_OPAQUE},
	{"torch", "per_tensor_affine", MEANS_OPAQUE},
	{"torch", "per_channel_affine", MEANS_OPAQUE},
	{"torch", "per_tensor_symmetric", MEANS_OPAQUE},
	{"torch", "per_channel_symmetric", MEANS_OPAQUE},
	{"torch", "per_channel_affine_float_qparams", MEANS_OPAQUE},
	{"torch", "strided", MEANS_OPAQUE},
	{"torch", "sparse_coo", MEANS_OPAQUE},
	{"torch", "sparse_csr", MEANS_OPAQUE},
	{"torch", "contiguous_format", MEANS_OPAQUE},
	{"torch", "channels_last", MEANS_OPAQUE},
	{"torch", "preserve_format", MEANS_OPAQUE},
	{"torch", "Tensor", MEANS_CLASS},
	{"torch", "Generator", MEANS_CLASS},
	{"torch.nn.parameter", "Parameter", MEANS_FIRST},
	{"torch.nn.parameter", "Buffer", MEANS_FIRST},
	{"torch.nn", "Parameter", MEANS_FIRST},
	{"torch.serialization", "_get_layout", MEANS_OPAQUE},
	{"torch.jit._pickle", "build_intlist", MEANS_FIRST},
	{"torch.jit._pickle", "build_tensorlist", MEANS_FIRST},
	{"torch.jit._pickle", "build_doublelist", MEANS_FIRST},
	{"torch.jit._pickle", "build_boollist", MEANS_FIRST},
	{"torch.jit._pickle", "build_tensor_from_id", MEANS_FIRST},
	{"torch.jit._pickle", "restore_type_tag", MEANS_FIRST},
	{"collections", "OrderedDict", MEANS_DICT},
	{"collections", "defaultdict", MEANS_DICT},
	{"collections", "Counter", MEANS_DICT},
	{"collections", "deque", MEANS_LIST},
	{"_codecs", "encode", MEANS_ENCODE},
	{"copy_reg", "_reconstructor", MEANS_NEW},
	{"copyreg", "_reconstructor", MEANS_NEW},
	{"copy_reg", "__newobj__", MEANS_NEW},
	{"copyreg", "__newobj__", MEANS_NEW},
	{"argparse", "Namespace", MEANS_CLASS},
	{"types", "SimpleNamespace", MEANS_CLASS},
	{"pathlib", "Path", MEANS_CLASS},
	{"pathlib", "PosixPath", MEANS_CLASS},
	{"pathlib", "PurePosixPath", MEANS_CLASS},
	{"pathlib", "WindowsPath", MEANS_CLASS},
	{"pathlib._local", "PosixPath", MEANS_CLASS},
	{"datetime", "datetime", MEANS_CLASS},
	{"datetime", "date", MEANS_CLASS},
	{"datetime", "timedelta", MEANS_CLASS},
	{"datetime", "timezone", MEANS_CLASS},
	{"decimal", "Decimal", MEANS_CLASS},
	{"fractions", "Fraction", MEANS_CLASS},
	{"uuid", "UUID", MEANS_CLASS},
	{"numpy", "ndarray", MEANS_ND_ARRAY},
	{"numpy", "dtype", MEANS_ND_DTYPE},
	{"numpy.core.multiarray", "_reconstruct", MEANS_ND_RECONSTRUCT},
	{"numpy._core.multiarray", "_reconstruct", MEANS_ND_RECONSTRUCT},
	{"numpy.core.multiarray", "scalar", MEANS_ND_SCALAR},
	{"numpy._core.multiarray", "scalar", MEANS_ND_SCALAR},
	{"numpy.core.numeric", "_frombuffer", MEANS_ND_FROMBUFFER},
	{"numpy._core.numeric", "_frombuffer", MEANS_ND_FROMBUFFER},
	{"numpy.random._pickle", "__randomstate_ctor", MEANS_OPAQUE},
	{"numpy.random._pickle", "__generator_ctor", MEANS_OPAQUE},
	{"numpy.random._pickle", "__bit_generator_ctor", MEANS_OPAQUE},
	{"numpy.random._mt19937", "MT19937", MEANS_CLASS},
	{"numpy.random._pcg64", "PCG64", MEANS_CLASS},
	{"omegaconf.dictconfig", "DictConfig", MEANS_CLASS},
	{"omegaconf.listconfig", "ListConfig", MEANS_CLASS},
	{"omegaconf.nodes", "AnyNode", MEANS_CLASS},
	{"omegaconf.base", "ContainerMetadata", MEANS_CLASS},
	{"omegaconf.base", "Metadata", MEANS_CLASS},
	{"typing", "Any", MEANS_OPAQUE},
};

/* Python's builtins that make plain values of plain values; the module has had three names. */
static const struct known builtins[] = {
	{"", "dict", MEANS_DICT},      {"", "list", MEANS_LIST},     {"", "tuple", MEANS_TUPLE},
	{"", "set", MEANS_SET},        {"", "frozenset", MEANS_SET}, {"", "int", MEANS_NUMBER},
	{"", "long", MEANS_NUMBER},    {"", "float", MEANS_NUMBER},  {"", "bool", MEANS_NUMBER},
	{"", "complex", MEANS_OPAQUE}, {"", "object", MEANS_CLASS},  {"", "str", MEANS_OPAQUE},
	{"", "unicode", MEANS_OPAQUE}, {"", "bytes", MEANS_FIRST},   {"", "bytearray", MEANS_FIRST},
	{"", "slice", MEANS_OPAQUE},   {"", "range", MEANS_OPAQUE},  {"", "xrange", MEANS_OPAQUE},
};

struct named_dtype { const char *name; enum dtype dtype; };

static const struct named_dtype dtypes[] = {
	{"float32", DTYPE_F32},
	{"float", DTYPE_F32},
	{"float64", DTYPE_F64},
	{"double", DTYPE_F64},
	{"float16", DTYPE_F16},
	{"half", DTYPE_F16},
	{"bfloat16", DTYPE_BF16},
	{"int8", DTYPE_I8},
	{"uint8", DTYPE_U8},
	{"int16", DTYPE_I16},
	{"short", DTYPE_I16},
	{"int32", DTYPE_I32},
	{"int", DTYPE_I32},
	{"int64", DTYPE_I64},
	{"long", DTYPE_I64},
	{"uint16", DTYPE_U16},
	{"uint32", DTYPE_U32},
	{"uint64", DTYPE_U64},
	{"bool", DTYPE_BOOL},
	{"complex64", DTYPE_C64},
	{"cfloat", DTYPE_C64},
	{"complex128", DTYPE_C128},
	{"cdouble", DTYPE_C128},
	{"float8_e4m3fn", DTYPE_F8_E4M3},
	{"float8_e5m2", DTYPE_F8_E5M2},
	{"float8_e4m3fnuz", DTYPE_F8_E4M3FNUZ},
	{"float8_e5m2fnuz", DTYPE_F8_E5M2FNUZ},
	{"float8_e8m0fnu", DTYPE_F8_E8M0},
	{"qint8", DTYPE_I8},
	{"quint8", DTYPE_U8},
	{"qint32", DTYPE_I32},
};

static const struct named_dtype storages[] = {
	{"FloatStorage", DTYPE_F32},     {"DoubleStorage", DTYPE_F64},       {"HalfStorage", DTYPE_F16},
	{"BFloat16Storage", DTYPE_BF16}, {"LongStorage", DTYPE_I64},         {"IntStorage", DTYPE_I32},
	{"ShortStorage", DTYPE_I16},     {"CharStorage", DTYPE_I8},          {"ByteStorage", DTYPE_U8},
	{"BoolStorage", DTYPE_BOOL},     {"ComplexFloatStorage", DTYPE_C64}, {"ComplexDoubleStorage", DTYPE_C128},
	{"QInt8Storage", DTYPE_I8},      {"QUInt8Storage", DTYPE_U8},        {"QInt32Storage", DTYPE_I32},
	{"UntypedStorage", DTYPE_NONE},  {"_UntypedStorage", DTYPE_NONE},    {"TypedStorage", DTYPE_NONE},
	{"_TypedStorage", DTYPE_NONE},
};

static bool one_of(const char *s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s, names[i]))
			return true;
	return false;
}

static const struct named_dtype *find(const struct named_dtype *in, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(in[i].name, name))
			return &in[i];
	return NULL;
}

/* Layers and optimizers of PyTorch itself: CamelCase names below these modules are classes that hold tensors. */
static bool is_layer(const char *module, const char *name)
{
	return (!strncmp(module, "torch.nn.modules.", 17) || !strncmp(module, "torch.optim.", 12)) &&
	       name[0] >= 'A' && name[0] <= 'Z' && name[1] && !strchr(name, '.');
}

static bool is_script(const char *module)
{
	return !strncmp(module, "__torch__", 9) && (!module[9] || module[9] == '.');
}

enum pick_meaning pickle_meaning(const char *module, const char *name, bool script, enum dtype *dtype)
{
	static const char *const python[] = {"builtins", "__builtin__", "__builtins__"};
	static const char *const torches[] = {"torch", "torch.cuda", "torch.storage"};
	const struct named_dtype *d;
	*dtype = DTYPE_NONE;
	if (one_of(module, python, 2))
		for (size_t i = 0; i < COUNT(builtins); i++)
			if (!strcmp(builtins[i].name, name))
				return builtins[i].means;
	if (one_of(module, torches, 3) && (d = find(storages, COUNT(storages), name))) {
		*dtype = d->dtype;
		return MEANS_STORAGE;
	}
	if ((!strcmp(module, "torch") || !strcmp(module, "numpy")) && (d = find(dtypes, COUNT(dtypes), name))) {
		*dtype = d->dtype;
		return *module == 't' ? MEANS_DTYPE : MEANS_OPAQUE;
	}
	for (size_t i = 0; i < COUNT(list); i++)
		if (list[i].module[0] == module[0] && !strcmp(list[i].name, name) && !strcmp(list[i].module, module))
			return list[i].means;
	if (script && is_script(module))
		return MEANS_SCRIPT_CLASS;
	return is_layer(module, name) ? MEANS_CLASS : MEANS_UNKNOWN;
}

enum dtype pickle_dtype_of(const struct pick *global)
{
	enum dtype d = DTYPE_NONE;
	if (global && global->kind == PICK_GLOBAL)
		pickle_meaning(global->global.module, global->global.name, false, &d);
	return d;
}

/* --- each global once --- */

static struct seen_global *slot(const struct pickle_machine *m, uint64_t hash, const char *module, const char *name)
{
	size_t i = hash & (m->globals_size - 1);
	for (; m->globals[i].value; i = (i + 1) & (m->globals_size - 1)) {
		const struct pick *v = m->globals[i].value;
		if (m->globals[i].hash == hash && !strcmp(v->global.module, module) && !strcmp(v->global.name, name))
			break;
	}
	return &m->globals[i];
}

static int more_slots(struct pickle_machine *m)
{
	size_t old_size = m->globals_size, size = old_size ? old_size * 2 : 32;
	struct seen_global *old = m->globals, *fresh = mem_array(size, sizeof *fresh);
	if (!fresh)
		return err_nomem(m->e);
	m->globals = fresh;
	m->globals_size = size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].value)
			*slot(m, old[i].hash, old[i].value->global.module, old[i].value->global.name) = old[i];
	free(old);
	return 0;
}

/* As C strings; what is longer than any name that is known, or has a NUL inside, means nothing. */
static struct pick *make(struct pickle *p, const char *module, const char *name, bool odd)
{
	enum dtype unused;
	struct pick *v = pick_new(p, PICK_GLOBAL, p->machine->e);
	if (!v)
		return NULL;
	v->global.module = arena_strdup(p->arena, module);
	v->global.name = arena_strdup(p->arena, name);
	if (!v->global.module || !v->global.name) {
		err_nomem(p->machine->e);
		return NULL;
	}
	v->means = odd ? MEANS_UNKNOWN : pickle_meaning(module, name, p->script, &unused);
	return v;
}

static bool take_name(const char *s, size_t n, char out[PICKLE_NAME])
{
	size_t m = MIN(n, (size_t)PICKLE_NAME - 1);
	memcpy(out, s, m);
	out[m] = 0;
	return m < n || memchr(s, 0, n);
}

int pickle_global(struct pickle *p, const char *module, size_t module_len, const char *name, size_t name_len,
		  struct pick **out)
{
	struct pickle_machine *m = p->machine;
	char mod[PICKLE_NAME], nam[PICKLE_NAME], what[PICKLE_NAME];
	bool odd = take_name(module, module_len, mod);
	odd |= take_name(name, name_len, nam);
	/* names are anyone's choice: the seed keeps them from being chosen to collide */
	uint64_t hash = hash64(mod, strlen(mod), (uintptr_t)m) ^ hash_mix(hash64(nam, strlen(nam), odd));
	if ((m->globals_n + 1) * 2 > m->globals_size && more_slots(m) < 0)
		return -m->e->code;
	struct seen_global *s = slot(m, hash, mod, nam);
	*out = s->value;
	if (s->value)
		return 0;
	*out = make(p, mod, nam, odd);
	if (!*out)
		return -m->e->code;
	*s = (struct seen_global){hash, *out};
	m->globals_n++;
	if ((*out)->means != MEANS_UNKNOWN)
		return 0;
	snprintf(what, sizeof what, "%.120s.%.120s", mod, nam);
	return pickle_hazard(p, "pickle-global", 0, m->at, what, m->e);
}
