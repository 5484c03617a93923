/* The streams of export/: bytes made as they are read, never stored. */
#include "core/analysis/export.h"
#include "core/base/mem.h"
#include "core/lake/inspect.h"
#include "core/tree/content.h"
#include "core/tree/functions.h"

#include <errno.h>

/* What a stream holds open. */
struct source {
	struct opened this, other;
	bool has_this, has_other, planned;
	struct export x;
	const struct export_entry *entry;	/* one tensor, as .npy; else the whole file */
};

static void source_free(void *priv)
{
	struct source *s = priv;
	if (s->planned)
		export_release(&s->x);
	if (s->has_this)
		opened_release(&s->this);
	if (s->has_other)
		opened_release(&s->other);
	free(s);
}

static int source_read(void *priv, void *out, size_t n, uint64_t off, struct err *e)
{
	const struct source *s = priv;
	return s->entry ? export_npy_read(&s->x, s->entry, off, n, out, e) : export_read(&s->x, off, n, out, e);
}

static const struct stream stream = {.read = source_read, .close = source_free};

static int open_this(struct render *r, struct source *s)
{
	int rc = open_model(r, r->model, &s->this);
	s->has_this = rc == 0;
	return rc;
}

static int plan(struct render *r, struct source *s)
{
	const struct inspect *in = &s->this.inspect;
	int rc = open_this(r, s);
	if (!rc)
		rc = export_plan(&s->x, &in->weights, &in->canon, export_architecture(&in->weights), r->err);
	s->planned = rc == 0;
	return rc;
}

static int plan_delta(struct render *r, struct source *s)
{
	int rc = open_this(r, s);
	if (!rc)
		s->has_other = (rc = open_model(r, r->other, &s->other)) == 0;
	if (rc < 0)
		return rc;
	struct diff_model a = {&s->this.inspect.weights, &s->this.inspect.canon},
			  b = {&s->other.inspect.weights, &s->other.inspect.canon};
	rc = export_delta(&s->x, &a, &b, view_name(r->view, r->other), r->err);
	s->planned = rc == 0;
	return rc;
}

static int open_with(struct render *r, int (*planned)(struct render *r, struct source *s), struct source **s)
{
	*s = mem_alloc(sizeof **s);
	if (!*s)
		return err_nomem(r->err);
	int rc = planned(r, *s);
	if (rc < 0) {
		source_free(*s);
		*s = NULL;
	}
	return rc;
}

static int give(struct render *r, struct source *s, uint64_t size, struct tree_file **f)
{
	*f = tree_file_stream(&stream, s, size);
	return *f ? 0 : err_nomem(r->err);
}

int open_export(struct render *r, struct tree_file **f)
{
	struct source *s;
	int rc = open_with(r, plan, &s);
	return rc < 0 ? rc : give(r, s, s->x.size, f);
}

int open_export_npy(struct render *r, struct tree_file **f)
{
	struct source *s;
	int rc = open_with(r, plan, &s);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->x.n; i++)
		if (s->x.entries[i].id == r->node.x)
			s->entry = &s->x.entries[i];
	if (s->entry)
		return give(r, s, export_npy_size(s->entry), f);
	source_free(s);
	return err_set(r->err, ESTALE, "the model has no such tensor any more");
}

static int keep_size(struct render *r, uint64_t size, struct err *e)
{
	return catalog_do(tree_catalog(r->tree), Q_EXPORT_DELTA_PUT, e, "iii", (int64_t)r->model->id,
			  (int64_t)r->other->id, (int64_t)size);
}

/* Both headers tell it. Where one cannot be read it is kept that there is none: opening will say why. */
int measure_delta(struct render *r, const struct view_model *other)
{
	struct err unread = ERR_INIT, *e = r->err;
	struct source *s;
	r->other = other;
	r->err = &unread;
	int rc = open_with(r, plan_delta, &s);
	r->err = e;
	if (rc == -ECANCELED || rc == -ENOMEM) {
		*e = unread;
		return rc;
	}
	rc = keep_size(r, rc < 0 ? 0 : s->x.size, e);
	if (s)
		source_free(s);
	return rc;
}

int open_export_delta(struct render *r, struct tree_file **f)
{
	struct source *s;
	int rc = open_with(r, plan_delta, &s);
	if (rc < 0)
		return rc;
	/* A catalog that cannot be written costs only the keeping. */
	keep_size(r, s->x.size, NULL);
	return give(r, s, s->x.size, f);
}
