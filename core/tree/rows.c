/* The table itself, and what is told from it alone. */
#include "core/tree/functions.h"

#include <string.h>

#define ROW(kind, pat, par, fl, nd, est, ...) \
	[KIND_##kind] = {.pattern = pat, .parent = KIND_##par, .flags = fl, .needs = nd, .estimate = est, __VA_ARGS__},
const struct row rows[KIND_COUNT] = {
#include "core/tree/rows.h"
};
#undef ROW

_Static_assert(KIND_COUNT <= 128, "a kind is seven bits of an inode number, the eighth tells a twin");

const char *row_name(const struct row *r)
{
	const char *slash = strrchr(r->pattern, '/');
	return slash ? slash + 1 : r->pattern;
}

uint32_t tree_x(const struct row *r, const struct view *v)
{
	return r->flags & ROW_LAKE ? (uint32_t)(v->generation & NODE_MASK) : 0;
}

uint64_t node_ino(struct node n)
{
	if (n.kind == KIND_ROOT)
		return TREE_ROOT;
	return (uint64_t)(n.kind | (n.json ? 0x80u : 0)) << (2 * NODE_BITS) | (uint64_t)(n.x & NODE_MASK) << NODE_BITS |
	       (n.model & NODE_MASK);
}

struct node node_of(uint64_t ino)
{
	if (ino == TREE_ROOT)
		return (struct node){.kind = KIND_ROOT};
	struct node n = {
		.kind = (uint8_t)(ino >> (2 * NODE_BITS) & 0x7f), .json = ino >> (2 * NODE_BITS + 7) & 1,
		.x = (uint32_t)(ino >> NODE_BITS & NODE_MASK), .model = (uint32_t)(ino & NODE_MASK),
	};
	if (n.kind >= KIND_COUNT)
		n.kind = KIND_NONE;
	return n;
}
