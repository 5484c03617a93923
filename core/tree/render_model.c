/* The files of one model that come from its headers and its signature. */
#include "core/analysis/signature.h"
#include "core/base/mem.h"
#include "core/job/store.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

#include <errno.h>
#include <string.h>

int open_model(struct render *r, const struct view_model *m, struct opened *o)
{
	*o = (struct opened){0};
	int rc = store_get_files(tree_catalog(r->tree), m->id, &o->arena, &o->files, r->err);
	if (rc < 0)
		goto fail;
	struct inspect_input in = {
		.lake = tree_lake(r->tree),
		.root = o->files.root,
		.id = o->files.id,
		.dir = o->files.dir,
		.layout = o->files.layout,
		.revision = o->files.revision,
		.files = o->files.files,
		.n_files = o->files.n_files,
	};
	rc = inspect_model(&o->inspect, &in, r->err);
	if (rc < 0)
		goto fail;
	if (o->inspect.open)
		return 0;
	const struct facts *f = &o->inspect.facts;
	rc = f->n_problems ? err_set(r->err, EIO, "%s: %s: %s", f->problems[0].file, f->problems[0].problem,
				     f->problems[0].detail)
			   : err_set(r->err, EIO, "no readable weights");
	inspect_release(&o->inspect);
fail:
	arena_release(&o->arena);
	return rc;
}

void opened_release(struct opened *o)
{
	inspect_release(&o->inspect);
	arena_release(&o->arena);
}

/* The roles of a tensor's parts ("attn.q,attn.k,attn.v" when fused); parts are in tensor order. */
static void cell_role(struct table *tb, const struct canon *c, size_t first, size_t last)
{
	const char *roles[16];
	size_t n = 0;
	for (size_t i = first; i < last && n < COUNT(roles); i++) {
		bool seen = false;
		for (size_t k = 0; k < n; k++)
			seen |= !strcmp(roles[k], c->parts[i].role);
		if (!seen)
			roles[n++] = c->parts[i].role;
	}
	table_list(tb, roles, n);
}

static void tensor_row(struct table *tb, const struct inspect *in, const struct tensor *t, size_t first, size_t last)
{
	const struct canon *c = &in->canon;
	table_text(tb, t->name);
	cell_role(tb, c, first, last);
	if (first < last && c->parts[first].layer >= 0)
		table_int(tb, (uint64_t)c->parts[first].layer);
	else
		table_none(tb);
	table_text(tb, dtype_info(t->dtype)->name);
	table_shape(tb, t->shape, t->ndim);
	table_int(tb, t->elements);
	table_int(tb, t->bytes);
	table_text(tb, in->weights.files[t->file].path);
	if (t->offset)
		table_int(tb, t->offset);
	else
		table_none(tb);	/* compressed, or not in one piece */
}

int render_tensors(struct render *r)
{
	struct opened o;
	int rc = open_model(r, r->model, &o);
	if (rc < 0)
		return rc;
	const struct inspect *in = &o.inspect;
	struct table tb;
	size_t part = 0;
	table_begin(&tb, r->out, r->json, "name role layer dtype shape parameters bytes file offset");
	for (size_t i = 0; i < in->weights.n_tensors && !cancel_asked(r->cancel); i++) {
		size_t first = part;
		while (part < in->canon.n_parts && in->canon.parts[part].tensor == i)
			part++;
		tensor_row(&tb, in, &in->weights.tensors[i], first, part);
	}
	table_end(&tb);
	opened_release(&o);
	return cancel_asked(r->cancel) ? -ECANCELED : 0;
}

/* NumPy's format 1.0 (numpy/lib/format.py): magic, version, header length, a Python dict padded to 64 bytes. */
static void npy_header(struct buf *out, size_t n)
{
	cleanup_buf struct buf dict = {0};
	buf_printf(&dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu,), }", n);
	while ((10 + dict.len + 1) % 64)
		buf_char(&dict, ' ');
	buf_char(&dict, '\n');
	buf_add(out, "\x93NUMPY\x01\x00", 8);
	buf_char(out, (char)(dict.len & 0xff));
	buf_char(out, (char)(dict.len >> 8));
	buf_add(out, dict.data, dict.len);
	out->failed |= dict.failed;
}

int render_signature(struct render *r)
{
	struct signature s;
	int rc = store_get_signature(tree_catalog(r->tree), r->model->id, &s, r->err);
	if (rc < 0)
		return rc;
	float *v = NULL;
	size_t n;
	rc = signature_floats(&s, &v, &n, r->err);
	if (rc == 0) {
		npy_header(r->out, n);
		buf_add(r->out, v, n * sizeof *v);	/* little-endian, as every machine tarn runs on */
	}
	free(v);
	signature_release(&s);
	return rc;
}

static int text_row(void *arg, const struct catalog_row *r, int columns)
{
	struct table *tb = arg;
	for (int i = 0; i < columns; i++) {
		size_t len;
		const char *s = catalog_text(r, i, &len);
		table_bytes(tb, s, len);
	}
	return 0;
}

static int three(void *arg, const struct catalog_row *r) { return text_row(arg, r, 3); }
static int five(void *arg, const struct catalog_row *r) { return text_row(arg, r, 5); }

int render_problems(struct render *r)
{
	struct table tb;
	table_begin(&tb, r->out, r->json, "file problem detail");
	int rc = catalog_each(tree_catalog(r->tree), Q_PROBLEMS, r->err, three, &tb, "i", (int64_t)r->model->id);
	table_end(&tb);
	return rc;
}

int render_evaluations(struct render *r)
{
	struct table tb;
	table_begin(&tb, r->out, r->json, "task dataset metric value source");
	int rc = catalog_each(tree_catalog(r->tree), Q_EVALUATIONS, r->err, five, &tb, "i", (int64_t)r->model->id);
	table_end(&tb);
	return rc;
}
