#ifndef TARN_BASE_VALUE_H
#define TARN_BASE_VALUE_H
/*
 * A tree of values, as read from JSON (RFC 8259, with yajl), YAML (1.1, with libyaml) and from the
 * metadata of model files. All of it lives in the arena it was parsed into. Strings may hold NULs
 * (len counts) and are NUL-terminated. Members keep their order.
 */
#include "core/base/err.h"
#include "core/base/mem.h"

enum value_kind { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_FLOAT, VALUE_STRING, VALUE_ARRAY, VALUE_OBJECT,
	/* an array left in its file: element type (the format's own number), count and byte offset */
	VALUE_SPAN };

struct value;
struct member;

struct value {
	enum value_kind kind;
	union {
		bool b;
		int64_t i;
		double f;
		struct { const char *s; size_t len; } str;
		struct { struct value *items; size_t n; } arr;
		struct { struct member *items; size_t n; } obj;
		struct { uint32_t type; uint64_t n, offset; } span;
	};
};

struct member {
	const char *key;
	struct value value;
};

/* Limits of what is parsed; 0 means the default (depth 64, 1 << 22 values). */
struct value_limits { size_t depth, count; };

/* Parse a whole document. Errors: EINVAL with the byte offset, E2BIG beyond the limits, ENOMEM.
 * Duplicate keys: EINVAL for JSON; YAML keeps the last. */
int json_parse(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
	       struct value *out, struct err *e);
/* The same, but duplicate keys keep the last (configs in the wild), // NaN and Infinity of Python's writers are read. */
int json_parse_loose(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
		     struct value *out, struct err *e);
int yaml_parse(struct arena *a, const char *text, size_t len, const struct value_limits *lim,
	       struct value *out, struct err *e);

/* Look-ups never fail loudly: a wrong kind or a missing key is NULL or the fallback. */
const struct value *value_get(const struct value *v, const char *key);
const struct value *value_path(const struct value *v, const char *dotted);	/* "text_config.hidden_size" */
const char *value_str(const struct value *v);			/* NULL unless a string */
bool value_int(const struct value *v, int64_t *out);		/* ints, and floats that are whole */
bool value_num(const struct value *v, double *out);
bool value_bool(const struct value *v, bool *out);
size_t value_count(const struct value *v);			/* of an array or object, else 0 */
/* A scalar as text ("1e-05", "true"), in the arena; NULL for arrays, objects and null. */
const char *value_text(struct arena *a, const struct value *v);

#endif
