/*
 * export/: the model as a safetensors repository. The file's size is known since the model was looked into; the names
 * below tensors/ are read from its headers when they are first asked for, and kept.
 */
#include "core/analysis/export.h"
#include "core/base/mem.h"
#include "core/job/index.h"
#include "core/job/store.h"
#include "core/lake/names.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"

#include <errno.h>
#include <string.h>

/* --- export/FLATID/: its own entries, then links to documents and to directories of components --- */

/* A directory below the model's, whose files follow one another. */
struct folder {
	char name[256];
	uint32_t first;		/* its first file */
	bool documents, closed;	/* closed: it holds weights that are not safe to load */
};

struct links {
	struct tree *t;
	struct view *v;
	uint32_t model;
	uint64_t cookie;
	tree_fill fill;
	void *arg;
	const char *want;	/* lookup: only this name */
	struct tree_attr *found;
	bool own_config;	/* config.json is not a link */
	struct folder in;
};

/* Documents that loaders look for. */
static bool is_document(enum scan_kind kind)
{
	return kind == SCAN_CONFIG || kind == SCAN_TOKENIZER;
}

/* Names that stand for something else here, or would announce weights as quantised that come out dequantised. */
static bool is_taken(const struct links *l, const char *name)
{
	static const char *const always[] = {"model.safetensors", "adapter_model.safetensors", "tensors", "delta"};
	static const char *const dequantised[] = {"config.json", "quantize_config.json", "quant_config.json",
						  "quantization_config.json"};
	for (size_t i = 0; i < COUNT(always); i++)
		if (!strcmp(name, always[i]))
			return true;
	for (size_t i = 0; l->own_config && i < COUNT(dequantised); i++)
		if (!strcmp(name, dequantised[i]))
			return true;
	return false;
}

static int give_link(struct links *l, const char *name, uint32_t n)
{
	struct tree_attr a;
	uint64_t cookie = COOKIE_DYNAMIC | n;
	if (is_taken(l, name) ||
	    (l->want ? strcmp(l->want, name) != 0 : cookie <= l->cookie))
		return 0;
	int r = node_attr(l->t, l->v, (struct node){.kind = KIND_EXPORT_LINK, .x = n, .model = l->model}, &a);
	if (r < 0 || !l->want)
		return r < 0 ? r : l->fill(l->arg, name, &a, cookie);
	*l->found = a;
	return 1;
}

/* Components (1_Pooling, scheduler, tokenizer, unet) are linked whole where no loader would find a pickle in them. */
static int end_folder(struct links *l)
{
	struct folder f = l->in;
	l->in = (struct folder){0};
	return *f.name && f.documents && !f.closed ? give_link(l, f.name, f.first) : 0;
}

static void add_to_folder(struct folder *f, const char *file, enum scan_kind kind)
{
	size_t n = strlen(file);
	const char *slash = strrchr(file, '/');
	struct name says;
	name_parse(&says, slash ? slash + 1 : file);
	f->documents |= is_document(kind);
	f->closed |= (kind == SCAN_WEIGHTS || kind == SCAN_WEIGHTS_ALSO || says.kind == SCAN_WEIGHTS || says.unread) &&
		     (n < 12 || strcmp(file + n - 12, ".safetensors") != 0);
}

static int link_row(void *arg, const struct catalog_row *row)
{
	struct links *l = arg;
	uint32_t n = (uint32_t)catalog_int(row, 0);
	const char *name = catalog_text(row, 1, NULL), *slash = strchr(name, '/');
	enum scan_kind kind = (enum scan_kind)catalog_int(row, 3);
	size_t len = slash ? (size_t)(slash - name) : 0;
	if (len >= sizeof l->in.name)
		return 0;
	if (!slash || strncmp(l->in.name, name, len) || l->in.name[len]) {
		int r = end_folder(l);
		if (r)
			return r;
		l->in.first = n;
		memcpy(l->in.name, name, len);
	}
	if (!slash)
		return is_document(kind) ? give_link(l, name, n) : 0;
	add_to_folder(&l->in, name, kind);
	return 0;
}

static int each_link(struct links *l)
{
	int r = catalog_each(tree_catalog(l->t), Q_FILES, NULL, link_row, l, "i", (int64_t)l->model);
	return r ? r : end_folder(l);
}

int list_export_model(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct links l = {.t = t, .v = v, .model = dir.model, .cookie = cookie, .fill = fill, .arg = arg,
			  .own_config = has_export_config(t, view_by_id(v, dir.model))};
	int r = list_static(t, v, dir, cookie, fill, arg);
	return r ? r : each_link(&l);
}

int lookup_export_model(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	struct links l = {.t = t, .v = v, .model = dir.model, .want = name, .found = a,
			  .own_config = has_export_config(t, view_by_id(v, dir.model))};
	int r = lookup_static(t, v, dir, name, a);
	if (r != -ENOENT)
		return r;
	r = each_link(&l);
	return r == 1 ? 0 : r < 0 ? r : -ENOENT;
}

static int name_row(void *arg, const struct catalog_row *row)
{
	size_t len;
	const char *s = catalog_text(row, 1, &len);
	buf_add(arg, s, len);
	return 1;
}

int target_export_file(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	cleanup_buf struct buf name = {0};
	int r = link_to_model(out, 2, v, n.model);
	if (r < 0)
		return r;
	if (catalog_each(tree_catalog(t), Q_FILE, NULL, name_row, &name, "ii", (int64_t)n.model, (int64_t)n.x) != 1)
		return -ESTALE;
	if (name.failed)
		return -ENOMEM;
	buf_str(out, "/files/");
	buf_add(out, name.data, strcspn(name.data, "/"));	/* of a file below: the directory */
	return 0;
}

static int adapter_row(void *arg, const struct catalog_row *row)
{
	(void)arg;
	return catalog_int(row, 3) == SCAN_WEIGHTS && !strncmp(catalog_text(row, 1, NULL), "adapter_model", 13);
}

/* PEFT looks for adapter_model.safetensors beside adapter_config.json. */
bool has_export_adapter(struct tree *t, const struct view_model *m)
{
	return m && (m->flags & VIEW_ADAPTER) &&
	       catalog_each(tree_catalog(t), Q_FILES, NULL, adapter_row, NULL, "i", (int64_t)m->id) == 1;
}

int target_export_adapter(struct tree *t, struct view *v, struct node n, struct buf *out)
{
	(void)t, (void)v, (void)n;
	buf_str(out, "model.safetensors");
	return 0;
}

/* Known when the model was looked into; until then -EAGAIN, and -ENOENT where there is nothing to export. */
int64_t size_export(struct tree *t, struct view *v, struct node n)
{
	const struct view_model *m = view_by_id(v, n.model);
	if (!m)
		return -ESTALE;
	if (m->state < VIEW_INSPECTED)
		return -EAGAIN;
	return catalog_number(tree_catalog(t), Q_EXPORT_SIZE, -ENOENT, "i", (int64_t)n.model);
}

/* --- export/FLATID/tensors/ --- */

bool ready_export_tensors(struct tree *t, struct view *v, struct node n, const char *name)
{
	(void)v, (void)name;
	return catalog_number(tree_catalog(t), Q_EXPORT_LISTED, 0, "i", (int64_t)n.model) != 0;
}

static int keep_names(struct catalog *c, uint32_t model, const struct export *x, struct err *e)
{
	int r = catalog_do(c, Q_EXPORT_PUT, e, "iii", (int64_t)model, (int64_t)x->size, (int64_t)1);
	for (size_t i = 0; i < x->n && !r; i++) {
		const struct export_entry *t = &x->entries[i];
		cleanup_buf struct buf name = {0};
		flat_encode(&name, t->name, strlen(t->name));
		buf_str(&name, ".npy");
		r = buf_failed(&name) ? err_nomem(e) :
					catalog_do(c, Q_EXPORT_TENSOR_PUT, e, "iisi", (int64_t)model,
						   (int64_t)t->id, name.data, (int64_t)export_npy_size(t));
	}
	return r;
}

int prepare_export_tensors(struct render *r)
{
	struct opened o;
	struct export x;
	struct catalog *c = tree_catalog(r->tree);
	int rc = open_model(r, r->model, &o);
	if (rc < 0)
		return rc;
	rc = export_plan(&x, &o.inspect.weights, &o.inspect.canon, export_architecture(&o.inspect.weights), r->err);
	if (!rc) {
		rc = catalog_begin(c, r->err);
		if (!rc && (rc = keep_names(c, r->model->id, &x, r->err)) < 0)
			catalog_rollback(c);
		else if (!rc)
			rc = catalog_commit(c, r->err);
		export_release(&x);
	}
	opened_release(&o);
	return rc;
}

struct tensors {
	struct tree *t;
	struct view *v;
	uint32_t model;
	tree_fill fill;
	void *arg;
};

static int tensor_row(void *arg, const struct catalog_row *row)
{
	struct tensors *l = arg;
	struct tree_attr a;
	uint32_t n = (uint32_t)catalog_int(row, 0);
	int r = node_attr(l->t, l->v, (struct node){.kind = KIND_EXPORT_NPY, .x = n, .model = l->model}, &a);
	return r < 0 ? r : l->fill(l->arg, catalog_text(row, 1, NULL), &a, COOKIE_DYNAMIC | ((uint64_t)n + 1));
}

int list_export_tensors(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct tensors l = {t, v, dir.model, fill, arg};
	int64_t after = cookie < COOKIE_DYNAMIC ? -1 : (int64_t)(cookie & (COOKIE_DYNAMIC - 1)) - 1;
	return catalog_each(tree_catalog(t), Q_EXPORT_TENSORS, NULL, tensor_row, &l, "ii", (int64_t)dir.model, after);
}

int lookup_export_tensors(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	int64_t n = catalog_number(tree_catalog(t), Q_EXPORT_TENSOR_FIND, -1, "is", (int64_t)dir.model, name);
	if (n < 0)
		return -ENOENT;
	return node_attr(t, v, (struct node){.kind = KIND_EXPORT_NPY, .x = (uint32_t)n, .model = dir.model}, a);
}

int64_t size_export_npy(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	return catalog_number(tree_catalog(t), Q_EXPORT_TENSOR_SIZE, -ESTALE, "ii", (int64_t)n.model, (int64_t)n.x);
}

/* --- export/FLATID/delta/: against its parents; any other by name --- */

/* -1: not looked at yet; 0: there is none. */
static int64_t delta_size(struct tree *t, uint32_t model, uint32_t other)
{
	return catalog_number(tree_catalog(t), Q_EXPORT_DELTA_SIZE, -1, "ii", (int64_t)model, (int64_t)other);
}

/* The ith parent on whose delta's size is not known, or the number of parents. */
static size_t unmeasured(struct tree *t, uint32_t model, const struct ids *parents, size_t i)
{
	while (i < parents->n && delta_size(t, model, parents->id[i]) >= 0)
		i++;
	return i;
}

/* Listed or looked up, a parent's delta has its size. */
bool ready_export_delta(struct tree *t, struct view *v, struct node n, const char *name)
{
	struct ids parents = {0};
	if (!index_lineage_known(tree_index(t), v))
		return name != NULL;
	bool ready = kin_collect(t, v, n.model, KIN_PARENTS, &parents) < 0 ||
		     unmeasured(t, n.model, &parents, 0) == parents.n;
	ids_release(&parents);
	return ready;
}

int prepare_export_delta(struct render *r)
{
	struct ids parents = {0};
	int rc = need_lineage(r);
	if (!rc)
		rc = kin_collect(r->tree, r->view, r->model->id, KIN_PARENTS, &parents);
	for (size_t i = 0; !rc && (i = unmeasured(r->tree, r->model->id, &parents, i)) < parents.n; i++)
		rc = measure_delta(r, view_by_id(r->view, parents.id[i]));
	ids_release(&parents);
	return rc;
}

static int delta_entry(struct tree *t, struct view *v, uint32_t model, uint32_t other, struct tree_attr *a)
{
	return node_attr(t, v, (struct node){.kind = KIND_EXPORT_DELTA, .x = other, .model = model}, a);
}

int list_export_delta(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
{
	struct ids ids = {0};
	cleanup_buf struct buf name = {0};
	int r = kin_collect(t, v, dir.model, KIN_PARENTS, &ids);
	size_t i = 0;
	if (cookie)
		while (i < ids.n && (COOKIE_DYNAMIC | ids.id[i]) != cookie)
			i++;
	for (i += cookie != 0; i < ids.n && !r; i++) {
		struct tree_attr a;
		buf_clear(&name);
		tree_flat_name(&name, v, view_by_id(v, ids.id[i]));
		buf_str(&name, ".safetensors");
		r = buf_failed(&name) ? -ENOMEM : delta_entry(t, v, dir.model, ids.id[i], &a);
		if (!r)
			r = fill(arg, name.data, &a, COOKIE_DYNAMIC | ids.id[i]);
	}
	ids_release(&ids);
	return r;
}

int lookup_export_delta(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
{
	static const char suffix[] = ".safetensors";
	size_t len = strlen(name), end = sizeof suffix - 1;
	if (len <= end || strcmp(name + len - end, suffix))
		return -ENOENT;
	cleanup_free char *flat = mem_strndup(name, len - end);
	if (!flat)
		return -ENOMEM;
	const struct view_model *m = tree_flat(t, v, flat);
	if (!m || m->id == dir.model || !model_has(m, VIEW_WEIGHTS))
		return -ENOENT;
	return delta_entry(t, v, dir.model, m->id, a);
}

/* Each value as float32: at most eight times the model's own, of which the smallest take half a byte. */
uint64_t guess_export_delta(struct tree *t, struct view *v, struct node n)
{
	int64_t own = size_export(t, v, n);
	return own > 0 && own < INT64_MAX / 8 ? (uint64_t)own * 8 : UINT32_MAX;
}

/* Told by both headers: known once it has been opened, and of parents when they are listed. */
int64_t size_export_delta(struct tree *t, struct view *v, struct node n)
{
	(void)v;
	int64_t size = delta_size(t, n.model, n.x);
	return size > 0 ? size : -EAGAIN;
}
