/* models/ID/audit.tsv: the model looked into again, for what its row in the catalog does not keep. */
#include "core/analysis/audit.h"
#include "core/job/store.h"
#include "core/tree/functions.h"
#include "core/tree/table.h"

static int audit_rows(struct render *r, const struct inspect *in)
{
	struct audit a;
	struct table tb;
	int rc = audit_model(&a, in, r->err);
	if (rc < 0)
		return rc;
	table_begin(&tb, r->out, r->json, "check verdict declared found evidence");
	for (size_t i = 0; i < a.n; i++) {
		table_text(&tb, a.rows[i].check);
		table_text(&tb, audit_verdict_name(a.rows[i].verdict));
		table_text(&tb, a.rows[i].declared);
		table_text(&tb, a.rows[i].found);
		table_text(&tb, a.rows[i].evidence);
	}
	table_end(&tb);
	audit_release(&a);
	return 0;
}

int render_audit(struct render *r)
{
	struct arena arena = {0};
	struct scan_model m;
	struct inspect in;
	int rc = store_get_files(tree_catalog(r->tree), r->model->id, &arena, &m, r->err);
	if (!rc) {
		struct inspect_input input = {
			.lake = tree_lake(r->tree),
			.root = m.root,
			.id = m.id,
			.dir = m.dir,
			.layout = m.layout,
			.revision = m.revision,
			.files = m.files,
			.n_files = m.n_files,
		};
		rc = inspect_model(&in, &input, r->err);
		if (!rc) {
			rc = audit_rows(r, &in);
			inspect_release(&in);
		}
	}
	arena_release(&arena);
	return rc;
}
