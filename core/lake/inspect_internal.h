#ifndef TARN_LAKE_INSPECT_INTERNAL_H
#define TARN_LAKE_INSPECT_INTERNAL_H
/* Shared by the files that look into a model. Private to core/lake. */
#include "core/lake/documents.h"
#include "core/lake/inspect.h"

struct looking {
	const struct inspect_input *in;
	struct inspect *out;
	struct arena scratch;		/* texts and values of documents, until the model is done */
	const struct value *config;	/* config.json, NULL when there is none */
};

/* The part of a name after its last '/'. */
const char *path_base(const char *name);
/* Bytes of what stands before that, its '/' among them. */
size_t path_dir_len(const char *name);
/* Do two files lie in one directory? */
bool path_beside(const char *a, const char *b);

/* --- inspect_documents.c: every document that the model has. */
int look_documents(struct looking *l, struct err *e);
/* A document's text, NUL-terminated, in the scratch arena. 0 when it was read, 1 when it could not be (a problem
 * says why), -ENOMEM. Larger than max: cut there when `cut`, else a problem. */
int look_text(struct looking *l, const struct scan_file *file, size_t max, bool cut, char **text, size_t *len,
	      struct err *e);

/* JSON, or YAML by its name; *v NULL when it is none, which is a problem of the model and no failure (-ENOMEM is). */
int look_value(struct looking *l, const struct scan_file *file, size_t max, const struct value **v, struct err *e);

/* --- inspect_code.c: does a document name code of the model's own? FACTS_CUSTOM_CODE. */
void look_code(struct looking *l, const struct value *v, const char *file);
/* The same of documents that look_documents has no other use for. */
int look_code_of_others(struct looking *l, struct err *e);

/* --- inspect_weights.c: formats, opening, measuring. */
int look_weights(struct looking *l, struct err *e);

/* All files of a set as one; 0, 1 when it cannot be opened (a problem says why), -ENOMEM. */
int look_set(struct looking *l, const struct scan_file *const *files, const char *const *names, size_t n,
	     struct weights *w, struct err *e);

/* A hazard of any of the model's files: a problem, and what loading the model does. */
void look_hazard(struct looking *l, const struct hazard *h);

/* --- inspect_also.c: which of the model's files hold other weights than those that are read: other[i], which are
 * problems of the model. Of an open model. */
int look_also(struct looking *l, bool *other, struct err *e);

/* --- inspect_index.c: what the indices of sharded weights, and their shards' names, say that is not so. */
int look_index(struct looking *l, struct err *e);

#endif
