/* lineage/declared.tsv: what the card and the configs claim about descent, against what the weights say; and cite.bib. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/tree/functions.h"
#include "core/tree/kin.h"
#include "core/tree/table.h"

#include <errno.h>
#include <string.h>

struct check {
	struct render *r;
	struct table tb;
	struct ids ancestors;
	bool any_parent;	/* certain ones, by weights */
};

/* The model that a base's text names: the id, or the only one whose last component it is. */
static const struct view_model *resolve(const struct view *v, const char *base)
{
	const struct view_model *m = view_by_name(v, base), *found = NULL;
	const char *last = strrchr(base, '/');
	last = last ? last + 1 : base;
	for (uint32_t i = 0; !m && i < v->n; i++) {
		const char *name = view_name(v, &v->models[i]), *tail = strrchr(name, '/');
		if (strcmp(tail ? tail + 1 : name, last))
			continue;
		if (found)
			return NULL;
		found = &v->models[i];
	}
	return m ? m : found;
}

struct edge_to { uint32_t parent; char relation[16], basis[24]; double confidence; bool found; };

static int edge_row(void *arg, const struct catalog_row *row)
{
	struct edge_to *x = arg;
	if ((uint32_t)catalog_int(row, 0) != x->parent)
		return 0;
	strncpy(x->relation, catalog_text(row, 1, NULL), sizeof x->relation - 1);
	strncpy(x->basis, catalog_text(row, 4, NULL), sizeof x->basis - 1);
	x->confidence = catalog_real(row, 3);
	x->found = true;
	return 1;
}

static int64_t family(struct render *r, uint32_t id)
{
	return catalog_number(tree_catalog(r->tree), Q_FAMILY_OF, 0, "i", (int64_t)id);
}

/* The verdict on one base, and the evidence as text. */
static const char *verdict(struct check *c, const struct view_model *base, struct buf *why)
{
	struct render *r = c->r;
	struct edge_to x = {.parent = base->id};
	if (base->id == r->model->id) {
		buf_str(why, "names itself");
		return "unsupported";
	}
	catalog_each(tree_catalog(r->tree), Q_EDGES_OF, NULL, edge_row, &x, "i", (int64_t)r->model->id);
	if (x.found && strcmp(x.relation, "related")) {
		buf_printf(why, "%s, confidence ", x.relation);
		buf_num(why, x.confidence);
		buf_printf(why, ", basis %s", x.basis);
		return strcmp(x.basis, "weights") ? "unsupported" : "confirmed";
	}
	if (ids_has(&c->ancestors, base->id)) {
		buf_str(why, "an ancestor, not the parent");
		return "confirmed";
	}
	int64_t mine = family(r, r->model->id), theirs = family(r, base->id);
	if (base->state < VIEW_SIGNED || !(base->flags & VIEW_WEIGHTS) || !(r->model->flags & VIEW_WEIGHTS)) {
		buf_str(why, "weights cannot be compared");
		return "unsupported";
	}
	if (!mine || mine != theirs) {
		buf_str(why, r->model->flags & VIEW_ADAPTER ? "nothing ties the adapter to it"
							    : "weights are of another family");
		return r->model->flags & VIEW_ADAPTER ? "unsupported" : "contradicted";
	}
	if (c->any_parent) {
		buf_str(why, "kin, but the weights name another parent");
		return "contradicted";
	}
	buf_str(why, x.found ? "kin, direction unknown" : "kin, no edge between them");
	return "unsupported";
}

static int declared_row(void *arg, const struct catalog_row *row)
{
	struct check *c = arg;
	const char *text = catalog_text(row, 0, NULL);
	const struct view_model *base = resolve(c->r->view, text);
	if (base && !model_shown(c->r->tree, base))
		base = NULL;
	cleanup_buf struct buf why = {0};
	const char *v = "unsupported";
	if (base)
		v = verdict(c, base, &why);
	else
		buf_str(&why, "not in this lake");
	buf_printf(&why, " (said by %s)", catalog_text(row, 2, NULL));
	table_text(&c->tb, base ? view_name(c->r->view, base) : text);
	table_text(&c->tb, catalog_text(row, 1, NULL));
	table_text(&c->tb, v);
	table_text(&c->tb, why.data);
	return why.failed ? -ENOMEM : 0;
}

int render_declared(struct render *r)
{
	struct check c = {.r = r};
	struct ids parents = {0};
	int rc = kin_collect(r->tree, r->view, r->model->id, KIN_ANCESTORS, &c.ancestors);
	if (!rc)
		rc = kin_collect(r->tree, r->view, r->model->id, KIN_PARENTS, &parents);
	c.any_parent = parents.n > 0;
	table_begin(&c.tb, r->out, r->json, "base_model relation verdict evidence");
	if (!rc)
		rc = catalog_each(tree_catalog(r->tree), Q_DECLARED, r->err, declared_row, &c, "i",
				  (int64_t)r->model->id);
	table_end(&c.tb);
	ids_release(&c.ancestors);
	ids_release(&parents);
	return rc;
}

/* --- cite.bib --- */

static void bib_text(struct buf *out, const char *s)
{
	struct buf safe = {0};
	buf_text(&safe, s, strlen(s));
	for (size_t i = 0; i < safe.len; i++) {
		char c = safe.data[i];
		if (c == '\\')
			buf_str(out, "{\\textbackslash}");
		else if (c == '~' || c == '^')
			buf_printf(out, "\\%c{}", c);
		else if (strchr("{}#$%&_", c))
			buf_printf(out, "\\%c", c);
		else
			buf_char(out, c);
	}
	out->failed |= safe.failed;
	buf_release(&safe);
}

/* A citation key: letters, digits and a few signs. */
static void bib_key(struct buf *out, const char *id)
{
	for (; *id; id++)
		buf_char(out, strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *id) ? *id
			      : *id == '/'                                                                     ? ':'
													       : '-');
}

struct cite {
	struct render *r;
	size_t n;
};

static int cite_parent(void *arg, const struct catalog_row *row)
{
	struct cite *c = arg;
	const struct view_model *p = view_by_id(c->r->view, (uint32_t)catalog_int(row, 0));
	if (!p || !model_shown(c->r->tree, p) || !strcmp(catalog_text(row, 1, NULL), "related"))
		return 0;
	buf_str(c->r->out, c->n++ ? ", " : "child of ");
	bib_text(c->r->out, view_name(c->r->view, p));
	buf_printf(c->r->out, " (%s)", catalog_text(row, 1, NULL));
	return 0;
}

static int fact_row(void *arg, const struct catalog_row *row)
{
	struct buf *b = arg;
	if (b->len)
		return 1;
	size_t len;
	const char *s = catalog_text(row, 0, &len);
	buf_add(b, s, len);
	return 1;
}

static int key_row(void *arg, const struct catalog_row *row)
{
	struct hash128 *h = arg;
	size_t len;
	const void *p = catalog_blob(row, 0, &len);
	if (len == sizeof *h)
		memcpy(h, p, len);
	return 1;
}

int render_cite(struct render *r)
{
	struct cite c = {.r = r};
	struct hash128 version = {0}, snapshot;
	struct catalog *cat = tree_catalog(r->tree);
	const char *id = view_name(r->view, r->model);
	cleanup_buf struct buf author = {0};
	char hex[33];
	int rc = kin_snapshot(r->tree, r->view, &snapshot, r->err);
	if (!rc)
		rc = catalog_each(cat, Q_SIGNED_GET, r->err, key_row, &version, "i", (int64_t)r->model->id);
	if (rc >= 0)
		rc = catalog_each(cat, Q_FACT, r->err, fact_row, &author, "is", (int64_t)r->model->id, "author");
	if (rc < 0)
		return rc;
	buf_str(r->out, "@misc{");
	bib_key(r->out, id);
	buf_str(r->out, ",\n  title = {{");
	bib_text(r->out, id);
	buf_str(r->out, "}},\n");
	if (author.len) {
		buf_str(r->out, "  author = {{");
		bib_text(r->out, author.data);
		buf_str(r->out, "}},\n");
	}
	hash128_hex(version, hex);
	buf_printf(r->out, "  version = {%s},\n  note = {", hex);
	rc = catalog_each(cat, Q_EDGES_OF, r->err, cite_parent, &c, "i", (int64_t)r->model->id);
	hash128_hex(snapshot, hex);
	buf_printf(r->out, "%s; lineage of a lake of %u models, snapshot %s},\n", c.n ? "" : "no parent in the lake",
		   r->view->n, hex);
	buf_str(r->out, "  howpublished = {Model weights; lineage recovered by tarn " TARN_VERSION "}\n}\n");
	return rc;
}
