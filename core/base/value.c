#include "core/base/value.h"

#include <math.h>
#include <string.h>

const struct value *value_get(const struct value *v, const char *key)
{
	if (!v || v->kind != VALUE_OBJECT)
		return NULL;
	for (size_t i = v->obj.n; i-- > 0;)
		if (!strcmp(v->obj.items[i].key, key))
			return &v->obj.items[i].value;
	return NULL;
}

const struct value *value_path(const struct value *v, const char *dotted)
{
	char key[128];
	while (v) {
		size_t n = strcspn(dotted, ".");
		if (n >= sizeof key)
			return NULL;
		memcpy(key, dotted, n);
		key[n] = 0;
		v = value_get(v, key);
		if (!dotted[n])
			return v;
		dotted += n + 1;
	}
	return NULL;
}

const char *value_str(const struct value *v)
{
	return v && v->kind == VALUE_STRING ? v->str.s : NULL;
}

bool value_int(const struct value *v, int64_t *out)
{
	if (v && v->kind == VALUE_INT)
		*out = v->i;
	else if (v && v->kind == VALUE_FLOAT && v->f == floor(v->f) && fabs(v->f) < 9e15)
		*out = (int64_t)v->f;
	else
		return false;
	return true;
}

bool value_num(const struct value *v, double *out)
{
	if (v && v->kind == VALUE_INT)
		*out = (double)v->i;
	else if (v && v->kind == VALUE_FLOAT)
		*out = v->f;
	else
		return false;
	return true;
}

bool value_bool(const struct value *v, bool *out)
{
	if (!v || v->kind != VALUE_BOOL)
		return false;
	*out = v->b;
	return true;
}

size_t value_count(const struct value *v)
{
	return !v ? 0 : v->kind == VALUE_ARRAY ? v->arr.n : v->kind == VALUE_OBJECT ? v->obj.n : 0;
}

const char *value_text(struct arena *a, const struct value *v)
{
	switch (v ? v->kind : VALUE_NULL) {
	case VALUE_STRING: return v->str.s;
	case VALUE_BOOL: return v->b ? "true" : "false";
	case VALUE_INT: return arena_printf(a, "%lld", (long long)v->i);
	case VALUE_FLOAT: return arena_printf(a, "%.6g", v->f);
	default: return NULL;
	}
}
