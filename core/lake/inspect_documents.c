/* Reading the documents beside the weights: which there are, how large each may be, who understands it. */
#include "core/lake/card.h"
#include "core/lake/inspect_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

enum { RESULTS_FILES = 50 };

const char *path_base(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

size_t path_dir_len(const char *name)
{
	return (size_t)(path_base(name) - name);
}

bool path_beside(const char *a, const char *b)
{
	size_t n = path_dir_len(a);

	return n == path_dir_len(b) && !memcmp(a, b, n);
}

int look_text(struct looking *l, const struct scan_file *file, size_t max, bool cut, char **text, size_t *len,
	      struct err *e)
{
	struct facts *f = &l->out->facts;
	cleanup_io struct io io = IO_INIT;
	struct err why = ERR_INIT;
	int r = lake_open_file(l->in->lake, l->in->root, file->path, &io, &why);

	if (!r && io.size > max && !cut)
		r = err_set(&why, EFBIG, "%llu bytes, at most %zu are read of such a file", (unsigned long long)io.size,
			    max);
	if (!r) {
		*len = MIN(io.size, (uint64_t)max);
		if (!(*text = arena_alloc(&l->scratch, *len + 1)))
			return err_nomem(e);
		r = *len ? io_pread(&io, *text, *len, 0, &why) : 0;
	}
	if (r == -ENOMEM)
		return err_nomem(e);
	if (r)
		facts_problem_err(f, file->name, r, &why);
	return r ? 1 : 0;
}

static int read_card(struct looking *l, const struct scan_file *file, struct err *e)
{
	struct card card;
	char *text;
	size_t len;
	int r = look_text(l, file, CARD_MAX, true, &text, &len, e);

	if (!r)
		r = card_parse(&card, &l->scratch, text, len, e);
	if (r)
		return r == 1 ? 0 : r;
	card_facts(&card, &l->out->facts, file->name);
	if (len == CARD_MAX)
		facts_problem(&l->out->facts, file->name, "too large", "only the first %d bytes are looked at",
			      CARD_MAX);
	return 0;
}

int look_value(struct looking *l, const struct scan_file *file, size_t max, const struct value **v, struct err *e)
{
	struct value_limits lim = {.depth = 64, .count = 1 << 20};
	struct value *value = arena_alloc(&l->scratch, sizeof *value);
	struct err why = ERR_INIT;
	const char *dot = strrchr(file->name, '.');
	bool yaml = dot && (!strcmp(dot, ".yml") || !strcmp(dot, ".yaml"));
	char *text;
	size_t len;
	int r = value ? look_text(l, file, max, false, &text, &len, e) : err_nomem(e);

	*v = NULL;
	if (r)
		return r == 1 ? 0 : r;
	if (!yaml && strspn(text, " \t\r\n") == len) {
		facts_problem(&l->out->facts, file->name, "malformed", "expected JSON, found an empty file");
		return 0;
	}
	r = yaml ? yaml_parse(&l->scratch, text, len, &lim, value, &why) :
		   json_parse_loose(&l->scratch, text, len, &lim, value, &why);
	if (r == -ENOMEM)
		return err_nomem(e);
	if (r)
		facts_problem_err(&l->out->facts, file->name, r, &why);
	else
		*v = value;
	return 0;
}

/* In the order in which they are believed. */
static const struct document {
	const char *name;
	size_t max;
	void (*facts)(struct facts *f, const struct value *v, const char *file);
} documents[] = {
	{"config.json", 4 << 20, config_facts},
	{"params.json", 1 << 20, config_facts},
	{"model_index.json", 1 << 20, pipeline_facts},
	{"adapter_config.json", 1 << 20, adapter_facts},
	{"modules.json", 1 << 20, modules_facts},
	{"tokenizer_config.json", 8 << 20, tokenizer_facts},
	{"mergekit_config.yml", 1 << 20, declare_mergekit},
	{"trainer_state.json", 32 << 20, evaluations_of_trainer},
	{"all_results.json", 1 << 20, evaluations_of_results},
	{"eval_results.json", 1 << 20, evaluations_of_results},
	{"ollama-config.json", 1 << 20, ollama_facts},
	{"quantize_config.json", 1 << 20, gptq_facts},
};

static const struct scan_file *find(const struct inspect_input *in, const char *name)
{
	for (size_t i = 0; i < in->n_files; i++)
		if (!strcmp(in->files[i].name, name))
			return &in->files[i];
	return NULL;
}

/* lm-eval writes results_2024-05-01T….json, often in a directory of the model's name. */
static bool is_harness(const struct scan_file *file)
{
	const char *base = path_base(file->name);
	size_t n = strlen(base);

	return !strncmp(base, "results", 7) && n > 12 && !strcmp(base + n - 5, ".json") && base[7] == '_';
}

/* The card that a reader would take: README.md before all others. */
static const struct scan_file *find_card(const struct inspect_input *in)
{
	const struct scan_file *card = find(in, "README.md");

	for (size_t i = 0; i < in->n_files && !card; i++)
		if (in->files[i].kind == SCAN_CARD && !strchr(in->files[i].name, '/'))
			card = &in->files[i];
	return card;
}

static int read_results(struct looking *l, struct err *e)
{
	const struct value *v;
	unsigned n = 0;
	int r = 0;

	for (size_t i = 0; i < l->in->n_files && !r; i++) {
		const struct scan_file *file = &l->in->files[i];

		if (file->broken || !is_harness(file) || n++ >= RESULTS_FILES)
			continue;
		r = look_value(l, file, 16 << 20, &v, e);
		if (!r && v)
			evaluations_of_results(&l->out->facts, v, file->name);
	}
	return r;
}

int look_documents(struct looking *l, struct err *e)
{
	const struct scan_file *card = find_card(l->in);
	int r = card && !card->broken ? read_card(l, card, e) : 0;

	for (size_t i = 0; i < COUNT(documents) && !r; i++) {
		const struct scan_file *file = find(l->in, documents[i].name);
		const struct value *v;

		if (!file || file->broken)
			continue;
		r = look_value(l, file, documents[i].max, &v, e);
		if (r || !v)
			continue;
		documents[i].facts(&l->out->facts, v, file->name);
		look_code(l, v, file->name);
		if (documents[i].facts == config_facts && !l->config)
			l->config = v;
	}
	if (!r)
		r = look_code_of_others(l, e);
	return r ? r : read_results(l, e);
}
