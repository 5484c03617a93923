#ifndef TARN_LAKE_LINKS_H
#define TARN_LAKE_LINKS_H
/* Links to directories and to weights: followed once, told apart from what they lead to. Private to the room. */
#include "core/lake/layout.h"

/* A model that is another one reached through links: not shown, named among the unread. */
struct alias {
	uint32_t root;
	const char *path;		/* of the link */
	const struct scan_file *same;	/* the shown model's files; NULL: what lies in `dir` of root `to` */
	uint32_t to;
	const char *dir;
};

struct links {
	struct alias *aliases;
	size_t n, cap;
};

/* The directory a link leads to: in the lake, outside, or not to be reached. Lake paths are relative to root *to. */
enum target { TARGET_LAKE, TARGET_OUTSIDE, TARGET_AROUND /* it holds the lake */, TARGET_NONE };
enum target links_resolve(const struct lake *l, uint32_t root, const char *path, char real[], const char **rel,
			  uint32_t *to);

int links_add(struct links *k, struct alias a);
/* After the merge and before the ids are settled: take models away that are others' files. */
int links_drop_models(struct links *k, struct scan *s, const struct lake *l, const struct filelink *links, size_t n);
/* After the ids are settled: rows of the unread. */
int links_report(struct links *k, struct scan *s);
void links_release(struct links *k);

#endif
