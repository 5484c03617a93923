/*
 * export/FLATID/config.json where the model's own would mislead: weights that come out dequantised must not be announced as
 * quantised. The model's config without its quantisation, of type float16; where the own one is right there is a link to it.
 */
#include "core/base/json_text.h"
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/functions.h"

#include <errno.h>
#include <string.h>

enum { CONFIG_MAX = 16 << 20 };

struct packed { bool quantized, gguf; };

static int fact_row(void *arg, const struct catalog_row *row)
{
	struct packed *p = arg;
	const char *key = catalog_text(row, 0, NULL);
	if (!strcmp(key, "quantization"))
		p->quantized = !strcmp(catalog_text(row, 2, NULL), "measured");
	if (!strcmp(key, "format"))
		p->gguf = !strcmp(catalog_text(row, 1, NULL), "gguf");
	return 0;
}

bool has_export_config(struct tree *t, const struct view_model *m)
{
	struct packed p = {0};
	if (!m || !(m->flags & VIEW_CONFIG))
		return false;
	catalog_each(tree_catalog(t), Q_FACTS, NULL, fact_row, &p, "i", (int64_t)m->id);
	return p.quantized && !p.gguf;
}

static bool is_dropped(const char *key)
{
	static const char *const keys[] = {"quantization_config", "quantization", "compression_config"};
	for (size_t i = 0; i < COUNT(keys); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static void rewrite(struct value *v)
{
	size_t kept = 0;
	for (size_t i = 0; i < v->obj.n; i++) {
		struct member *m = &v->obj.items[i];
		if (is_dropped(m->key))
			continue;
		if (!strcmp(m->key, "torch_dtype") || !strcmp(m->key, "dtype"))
			m->value = (struct value){.kind = VALUE_STRING, .str = {"float16", 7}};
		v->obj.items[kept++] = *m;
	}
	v->obj.n = kept;
}

static int write_config(struct render *r, const char *text, size_t len)
{
	struct arena a = {0};
	struct value v;
	int rc = json_parse_loose(&a, text, len, NULL, &v, r->err);
	if (!rc && v.kind == VALUE_OBJECT)
		rewrite(&v);
	if (!rc)
		rc = json_text(r->out, &v, r->err);
	arena_release(&a);
	return rc;
}

int render_export_config(struct render *r)
{
	struct arena a = {0};
	struct scan_model m;
	cleanup_io struct io io = IO_INIT;
	cleanup_free char *text = NULL;
	size_t len = 0;
	int rc = store_get_files(tree_catalog(r->tree), r->model->id, &a, &m, r->err);
	size_t i = 0;
	while (!rc && i < m.n_files && strcmp(m.files[i].name, "config.json"))
		i++;
	if (!rc && i == m.n_files)
		rc = err_set(r->err, ENOENT, "the model has no config.json");
	if (!rc)
		rc = lake_open_file(tree_lake(r->tree), m.root, m.files[i].path, &io, r->err);
	if (!rc)
		rc = io_slurp(&io, CONFIG_MAX, &text, &len, r->err);
	if (!rc)
		rc = write_config(r, text, len);
	arena_release(&a);
	return rc;
}
