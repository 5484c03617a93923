#ifndef TARN_BASE_TREE_BUILDER_H
#define TARN_BASE_TREE_BUILDER_H
/* Shared by the JSON and YAML readers: builds a struct value from a stream of events. Private to base. */
#include "core/base/value.h"

struct builder_frame {
	struct builder_frame *up;
	struct value *into;
	const char *key;	/* of the member being read */
	size_t cap;
};

struct builder {
	struct arena *arena;
	struct value *root;
	struct builder_frame *top;
	struct value_limits lim;
	size_t depth, count;
	bool have_root, keep_last;
	struct err *err;
	int failed;		/* -errno of the first failure */
};

void builder_init(struct builder *b, struct arena *a, const struct value_limits *lim, struct value *out, struct err *e);
/* Each returns 0, or -errno with b->failed and *b->err set. */
int builder_key(struct builder *b, const char *s, size_t len);
int builder_add(struct builder *b, struct value v);
int builder_open(struct builder *b, enum value_kind kind);
int builder_close(struct builder *b);

#endif
