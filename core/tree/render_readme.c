/* README at the root: what is here, with examples that work on this very lake. */
#include "core/base/mem.h"
#include "core/job/index.h"
#include "core/tree/flat.h"
#include "core/tree/functions.h"

#include <string.h>

static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/~%+@=";

static bool plain(const char *s)
{
	return *s && *s != '-' && s[strspn(s, PLAIN)] == 0;
}

/* What is printed as it is, so that it can be typed. */
static bool printable(const char *s)
{
	cleanup_buf struct buf b = {0};
	buf_text(&b, s, strlen(s));
	return !b.failed && b.data && !strcmp(b.data, s);
}

/* The first of the best models to show: readable ones before others, plain names before those to be quoted. */
static const struct view_model *example(struct tree *t, const struct view *v)
{
	const struct view_model *best = NULL;
	int most = 0;
	for (uint32_t i = 0; i < v->n && most < 3; i++) {
		const struct view_model *m = &v->models[i];
		const char *name = view_name(v, m);
		int good = 1 + (plain(name) ? 1 : 0) + (m->flags & VIEW_WEIGHTS ? 1 : 0);
		if (good <= most || !model_shown(t, m) || !printable(name))
			continue;
		best = m;
		most = good;
	}
	return best;
}

/* A name as a shell takes it. */
static void shell_word(struct buf *out, const char *s)
{
	if (plain(s)) {
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

/* compute=cached leaves out what is not known. */
static bool is_there(struct render *r, enum kind dir, const struct view_model *m, const char *name)
{
	struct tree_attr a;
	struct node n = {.kind = (uint8_t)dir, .model = m ? m->id : 0};
	return lookup_static(r->tree, r->view, n, name, &a) == 0;
}

static void of_model(struct render *r, const struct view_model *m)
{
	static const struct {
		enum kind dir;
		const char *name, *path, *what;
	} files[] = {
		{KIND_MODEL, "metadata.json", "/metadata.json", "what is known of it"},
		{KIND_MODEL, "tensors.tsv", "/tensors.tsv", "what it holds, from its headers"},
		{KIND_LINEAGE, "parents.tsv", "/lineage/parents.tsv", "what it was made from, from its weights"},
		{KIND_LINEAGE, "tree.txt", "/lineage/tree.txt", "its family"},
		{KIND_NEIGHBOURS, "weights.tsv", "/neighbours/weights.tsv", "what is like it"},
	};
	bool cached = tree_opts(r->tree)->cached, weights = m->flags & VIEW_WEIGHTS;
	cleanup_buf struct buf path = {0};
	buf_printf(&path, "models/%s", view_name(r->view, m));
	if (buf_failed(&path)) {
		r->out->failed = true;
		return;
	}
	command(r->out, "ls ", path.data, "", "one model");
	for (size_t i = 0; i < COUNT(files); i++)
		if ((weights || !i) && is_there(r, files[i].dir, m, files[i].name))
			command(r->out, "cat ", path.data, files[i].path, files[i].what);
	struct { const char *top, *before, *after, *what; } parts[] = {
		{"graph", "ls ", "/*/", "its kin as links"},
		{"export", "ls -l ", "/", "it as a safetensors repository, made as it is read"},
		{"exact", "cat ", "/statistics.tsv", "hashes and statistics (reads all weights)"},
	};
	for (size_t i = 0; i < COUNT(parts) && weights; i++) {
		bool known = !cached || (i == 0 ? index_lineage_known(tree_index(r->tree), r->view) : i == 1);
		buf_clear(&path);
		buf_printf(&path, "%s/", parts[i].top);
		tree_flat_name(&path, r->view, m);
		r->out->failed |= path.failed;
		if (known && !path.failed)
			command(r->out, parts[i].before, path.data, parts[i].after, parts[i].what);
	}
}

static void of_lake(struct render *r)
{
	static const struct {
		const char *table, *command, *what;
	} lines[] = {
		{"lineage.tsv", "cat lake/lineage.tsv", "who descends from whom"},
		{"lineage.tsv", "awk '$3 == \"merge\"' lake/lineage.tsv", "merges and what was merged"},
		{"problems.tsv", "cat lake/problems.tsv", "what is wrong with which file"},
		{"models.tsv", "cut -f9 lake/models.tsv | sort | uniq -c", "licenses, counted"},
	};
	command(r->out, "cat lake/summary.txt", NULL, "", "the lake in numbers");
	for (size_t i = 0; i < COUNT(lines); i++)
		if (is_there(r, KIND_LAKE, NULL, lines[i].table))
			command(r->out, lines[i].command, NULL, "", lines[i].what);
	command(r->out, "ls by/architecture", NULL, "", "architectures");
}

int render_readme(struct render *r)
{
	struct buf *out = r->out;
	const struct view_model *m = example(r->tree, r->view);
	buf_printf(out,
		   "A lake of %u models, seen through tarn " TARN_VERSION ". Nothing here can be changed, and nothing\n"
		   "is ever written into the lake. What you open is computed then, and kept.\n\n",
		   r->view->n);
	buf_str(out, "models/    the models, by id: cheap to read, also all of it (grep -r, rsync, tar)\n"
		"all/       the same, flat: for globs\n"
		"by/        by a fact: by/license/mit, by/dtype/bf16, by/relation/merge\n"
		"graph/     parents, ancestors, children, descendants, siblings, neighbours as links\n"
		"families/  each family: members, tree, drawing\n"
		"exact/     hashes and statistics of whole weights\n"
		"diff/      what makes one model out of another: diff/THIS/OTHER/summary.txt\n"
		"export/    each model as a safetensors repository, its tensors as .npy, what it is more than another\n"
		"lake/      tables of the whole lake: models, lineage, duplicates, problems, status\n\n"
		"An id as one name: '/' becomes '--'. Every .tsv has a .json twin.\n"
		"Below models/ only headers and small samples are read; exact/, diff/ and export/ read whole weights,\n"
		"and recursive tools don't go there through a model's links.\n\nExamples:\n\n");
	if (m)
		of_model(r, m);
	of_lake(r);
	return 0;
}
