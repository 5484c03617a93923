/*
 * Keras: weights in HDF5 (.h5), and version 3's zip of config.json, metadata.json and model.weights.h5 (.keras). The model's
 * config is looked at for what loading it would run: Lambda layers hold Python bytecode, functions may come from any module.
 */
#include "core/format/formats_internal.h"
#include "core/format/hdf5.h"
#include "core/format/zip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_MAX = 64 << 20, DEPTH = 64 };

/* --- the config --- */

struct config { struct weights *w; const char *path; struct err *e; };

static bool begins(const char *s, const char *with)
{
	size_t n = strlen(with);
	return !strncmp(s, with, n) && (!s[n] || s[n] == '.');
}

static bool is_keras_module(const char *module)
{
	static const char *const own[] = {"keras",     "tf_keras", "tensorflow", "keras_nlp",
					  "keras_hub", "keras_cv", "builtins"};
	for (size_t i = 0; i < COUNT(own); i++)
		if (begins(module, own[i]))
			return true;
	return false;
}

/* Functions that a config may name and that do harm when a loader calls them (CVE-2025-1550, CVE-2025-9906). */
static bool is_harmful(const char *function)
{
	static const char *const known[] = {"eval", "exec", "compile", "open", "getattr", "__import__", "get_file",
					    "enable_unsafe_deserialization"};
	for (size_t i = 0; i < COUNT(known); i++)
		if (!strcmp(function, known[i]))
			return true;
	return false;
}

static int look_at_object(struct config *c, const struct value *v)
{
	const char *cls = value_str(value_get(v, "class_name")), *module = value_str(value_get(v, "module"));
	const char *function = value_str(value_get(v, "config"));
	int r = 0;
	if (!cls)
		return 0;
	if (!strcmp(cls, "Lambda") || !strcmp(cls, "__lambda__"))
		r = weights_hazard(c->w, c->path, "keras-lambda", ERR_NOPOS, true,
				   "a Lambda layer, which holds a program");
	else if (!strcmp(cls, "TorchModuleWrapper"))
		r = weights_hazard(c->w, c->path, "keras-pickle", ERR_NOPOS, true,
				   "a TorchModuleWrapper, whose module is a pickle");
	else if (!strcmp(cls, "function") && function && is_harmful(function))
		r = weights_hazard(c->w, c->path, "keras-module", ERR_NOPOS, true, "the function %.100s", function);
	else if (module && !is_keras_module(module))
		r = weights_hazard(c->w, c->path, "keras-module", ERR_NOPOS, true, "%.100s of module %.150s", cls,
				   module);
	else if (module && begins(module, "builtins") && strcmp(cls, "type") && strcmp(cls, "function"))
		r = weights_hazard(c->w, c->path, "keras-module", ERR_NOPOS, true, "%.100s of Python itself", cls);
	return r < 0 ? err_nomem(c->e) : 0;
}

static int look_at(struct config *c, const struct value *v, int depth)
{
	int r = 0;
	if (depth > DEPTH)
		return 0;
	if (v->kind == VALUE_OBJECT) {
		r = look_at_object(c, v);
		for (size_t i = 0; !r && i < v->obj.n; i++)
			r = look_at(c, &v->obj.items[i].value, depth + 1);
	}
	for (size_t i = 0; v->kind == VALUE_ARRAY && !r && i < v->arr.n; i++)
		r = look_at(c, &v->arr.items[i], depth + 1);
	return r;
}

/* The config as meta; one that cannot be read is a warning. */
static int read_config(struct weights *w, const char *path, const char *text, size_t len, struct err *e)
{
	struct value v;
	struct err why = ERR_INIT;
	struct config c = {w, path, e};
	struct member *m = arena_alloc(&w->arena, sizeof *m);
	if (!m)
		return err_nomem(e);
	int r = json_parse_loose(&w->arena, text, len, NULL, &v, &why);
	if (r == -ENOMEM)
		return err_nomem(e);
	if (r < 0)
		return weights_warn(w, path, "config", "the model's config: %s", why.msg) < 0 ? err_nomem(e) : 0;
	*m = (struct member){"model_config", v};
	w->meta.obj.items = m;
	w->meta.obj.n = 1;
	return look_at(&c, &v, 0);
}

/* --- .h5 --- */

static int open_hdf5(struct weights *w, uint32_t file, struct source src, bool configured, struct err *e)
{
	cleanup_free struct hdf5 *h = mem_alloc(sizeof *h);
	if (!h)
		return err_nomem(e);
	*h = (struct hdf5){.w = w, .file = file, .src = src, .prefix = "", .e = e};
	int r = hdf5_read(h);
	const struct hdf5_attribute *config = r < 0 || configured ? NULL : hdf5_find(h, "", "model_config");
	return config ? read_config(w, w->files[file].path, config->text, strnlen(config->text, config->len), e) : r;
}

static int finish(struct weights *w, struct err *e)
{
	if (!w->n_tensors && !w->n_hazards)
		return err_set(e, ENOTSUP, "an HDF5 file without datasets of numbers");
	return weights_check_names(w, e);
}

static int hdf5_open(struct weights *w, struct err *e)
{
	int r = stored_init(w, e);
	for (uint32_t i = 0; !r && i < w->n_files; i++) {
		w->reading = i;
		r = open_hdf5(w, i, source_file(&w->files[i].io), false, e);
	}
	return r < 0 ? r : finish(w, e);
}

static int hdf5_probe(const unsigned char *head, size_t len, uint64_t size)
{
	(void)size;
	if (hdf5_is(head, len))
		return 100;
	for (size_t at = 512; at + 8 <= len; at *= 2)	/* behind a user block */
		if (hdf5_is(head + at, len - at))
			return 80;
	return 0;
}

/* --- .keras --- */

static int open_archive(struct weights *w, uint32_t file, struct err *e)
{
	const char *path = w->files[file].path;
	struct zip *z = stored_zip(w, e);
	cleanup_free char *text = NULL;
	size_t len;
	struct source src;
	int r = z ? zip_open(z, source_file(&w->files[file].io), w, path, e) : -e->code;
	if (r < 0)
		return r;
	const struct zip_entry *config = zip_find(z, "config.json"), *weights = zip_find(z, "model.weights.h5");
	if (config) {
		r = zip_slurp(config, CONFIG_MAX, &text, &len, e);
		if (!r)
			r = read_config(w, path, text, len, e);
	}
	if (!r && !weights)
		return err_set(e, ENOTSUP, "a Keras archive without model.weights.h5");
	if (!r)
		r = zip_source(weights, &src, e);
	return r < 0 ? r : open_hdf5(w, file, src, config != NULL, e);
}

static int keras_open(struct weights *w, struct err *e)
{
	if (w->n_files != 1)
		return err_set(e, EINVAL, "expected one file, found %zu", w->n_files);
	int r = stored_init(w, e);
	if (!r)
		r = open_archive(w, 0, e);
	return r < 0 ? r : finish(w, e);
}

/* A zip that begins with one of its three files. */
static int keras_probe(const unsigned char *head, size_t len, uint64_t size)
{
	static const char *const names[] = {"config.json", "metadata.json", "model.weights.h5"};
	(void)size;
	if (len < 30 || memcmp(head, "PK\3\4", 4))
		return 0;
	size_t n = head[26] | (size_t)head[27] << 8;
	for (size_t i = 0; i < COUNT(names); i++)
		if (n == strlen(names[i]) && n <= len - 30 && !memcmp(head + 30, names[i], n))
			return 92;
	return 0;
}

const struct format format_hdf5 = {
	.name = "hdf5",
	.extensions = " h5 hdf5 keras ",
	.probe = hdf5_probe,
	.open = hdf5_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};

const struct format format_keras = {
	.name = "keras",
	.extensions = " keras ",
	.probe = keras_probe,
	.open = keras_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};
