/* README at the root: what is here, with examples that work on this very lake. */
#include "core/tree/flat.h"
#include "core/tree/functions.h"

#include <string.h>

/* A model to show: readable, and below no other. */
static const struct view_model *example(const struct view *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->models[i].flags & VIEW_WEIGHTS)
			return &v->models[i];
	return v->n ? &v->models[0] : NULL;
}

/* A name as a shell takes it. */
static void shell_word(struct buf *out, const char *s)
{
	bool plain = *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/~%+@=") == strlen(s);
	if (plain) {
		buf_str(out, s);
		return;
	}
	buf_char(out, '\'');
	for (; *s; s++)
		if (*s == '\'')
			buf_str(out, "'\\''");
		else
			buf_char(out, *s);
	buf_char(out, '\'');
}

static void command(struct buf *out, const char *before, const char *word, const char *after, const char *what)
{
	struct buf line = {0};
	buf_str(&line, before);
	if (word)
		shell_word(&line, word);
	buf_str(&line, after);
	buf_str(out, "    ");
	buf_text(out, line.data ? line.data : "", line.len);
	buf_printf(out, "%*s  # %s\n", line.len < 52 ? (int)(52 - line.len) : 0, "", what);
	out->failed |= line.failed;
	buf_release(&line);
}

static void examples(struct buf *out, const struct view *v, const struct view_model *m)
{
	struct buf flat = {0}, path = {0}, in_graph = {0}, in_exact = {0};
	tree_flat_name(&flat, v, m);
	buf_printf(&path, "models/%s", view_name(v, m));
	buf_printf(&in_graph, "graph/%s", flat.data ? flat.data : "");
	buf_printf(&in_exact, "exact/%s", flat.data ? flat.data : "");
	out->failed |= flat.failed || path.failed || in_graph.failed || in_exact.failed;
	if (!out->failed) {
		command(out, "ls ", path.data, "", "one model");
		command(out, "cat ", path.data, "/metadata.json", "what is known of it");
		if (m->flags & VIEW_WEIGHTS) {
			command(out, "cat ", path.data, "/tensors.tsv", "what it holds, from its headers");
			command(out, "cat ", path.data, "/lineage/parents.tsv", "what it was made from, from its weights");
			command(out, "cat ", path.data, "/lineage/tree.txt", "its family");
			command(out, "cat ", path.data, "/neighbours/weights.tsv", "what is like it");
			command(out, "ls ", in_graph.data, "/*/", "its kin as links");
			command(out, "cat ", in_exact.data, "/statistics.tsv", "hashes and statistics (reads all weights)");
		}
	}
	buf_release(&flat);
	buf_release(&path);
	buf_release(&in_graph);
	buf_release(&in_exact);
}

int render_readme(struct render *r)
{
	struct buf *out = r->out;
	const struct view_model *m = example(r->view);
	buf_printf(out, "A lake of %u models, seen through tarn " TARN_VERSION ". Nothing here can be changed, and nothing\n"
		   "is ever written into the lake. What you open is computed then, and kept.\n\n", r->view->n);
	buf_str(out, "models/    the models, by id: cheap to read, also all of it (grep -r, rsync, tar)\n"
		"all/       the same, flat: for globs\n"
		"by/        by a fact: by/license/mit, by/dtype/bf16, by/relation/merge\n"
		"graph/     parents, ancestors, children, descendants, siblings, neighbours as links\n"
		"families/  each family: members, tree, drawing\n"
		"exact/     hashes and statistics of whole weights\n"
		"diff/      what makes one model out of another: diff/THIS/OTHER/summary.txt\n"
		"lake/      tables of the whole lake: models, lineage, duplicates, problems, status\n\n"
		"An id as one name: '/' becomes '--'. Every .tsv has a .json twin.\n"
		"Below models/ only headers and small samples are read; exact/ and diff/ read whole weights, and\n"
		"recursive tools don't go there through a model's links.\n\nExamples:\n\n");
	if (m)
		examples(out, r->view, m);
	command(out, "cat lake/summary.txt", NULL, "", "the lake in numbers");
	command(out, "cat lake/lineage.tsv", NULL, "", "who descends from whom");
	command(out, "cat lake/problems.tsv", NULL, "", "what is wrong with which file");
	command(out, "cat all/*/metadata/license | sort | uniq -c", NULL, "", "licenses, counted");
	command(out, "ls by/architecture", NULL, "", "architectures");
	command(out, "grep -r merge all/*/lineage/parents.tsv", NULL, "", "merges");
	return 0;
}
