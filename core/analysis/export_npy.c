/* A tensor as a NumPy file (numpy/lib/format.py, format 1.0): magic, version, length of a Python dict padded to 64
 * bytes, data. */
#include "core/analysis/export_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* NumPy's name of a type, NULL where it has none. */
static const char *numpy_type(enum dtype d)
{
	switch (d) {
	case DTYPE_F64: return "<f8";
	case DTYPE_F32: return "<f4";
	case DTYPE_F16: return "<f2";
	case DTYPE_I64: return "<i8";
	case DTYPE_I32: return "<i4";
	case DTYPE_I16: return "<i2";
	case DTYPE_I8: return "|i1";
	case DTYPE_U64: return "<u8";
	case DTYPE_U32: return "<u4";
	case DTYPE_U16: return "<u2";
	case DTYPE_U8: return "|u1";
	case DTYPE_BOOL: return "|b1";
	case DTYPE_C64: return "<c8";
	default: return NULL;
	}
}

/* Quantised types are written as float32 here, whatever they are in the safetensors. */
static const char *type_of(const struct export_entry *t)
{
	return t->how == EXPORT_RAW ? numpy_type(t->dtype) : NULL;
}

/* At most 10 + 65 + 8 * 22 bytes, padded: 256. */
static size_t header(const struct export_entry *t, unsigned char out[256])
{
	char dict[256];
	const char *type = type_of(t);
	int n = snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", type ? type : "<f4");
	for (unsigned k = 0; k < t->ndim; k++)
		n += snprintf(dict + n, sizeof dict - (size_t)n, "%" PRIu64 "%s", t->shape[k],
			      k + 1 < t->ndim ? ", " :
			      t->ndim == 1 ? "," :
						"");
	n += snprintf(dict + n, sizeof dict - (size_t)n, "), }");
	size_t len = ((size_t)n + 10 + 1 + 63) / 64 * 64;
	memcpy(out, "\x93NUMPY\x01\x00", 8);
	out[8] = (unsigned char)((len - 10) & 0xff);
	out[9] = (unsigned char)((len - 10) >> 8);
	memset(out + 10, ' ', len - 10);
	memcpy(out + 10, dict, (size_t)n);
	out[len - 1] = '\n';
	return len;
}

uint64_t export_npy_size(const struct export_entry *t)
{
	unsigned char head[256];
	return header(t, head) + (type_of(t) ? t->bytes : t->elements * sizeof(float));
}

int export_npy_read(const struct export *x, const struct export_entry *t, uint64_t off, uint64_t n, void *out,
		    struct err *e)
{
	unsigned char head[256], *p = out;
	uint64_t len = header(t, head);
	if (off < len) {
		uint64_t m = MIN(n, len - off);
		memcpy(p, head + off, m);
		p += m;
		off += m;
		n -= m;
	}
	if (!n)
		return 0;
	if (type_of(t))
		return weights_read_raw(x->w, &x->w->tensors[t->tensor], export_raw_at(t) + off - len, n, p, e);
	return export_converted(x, t, DTYPE_F32, off - len, n, p, e);
}
