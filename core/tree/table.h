#ifndef TARN_TREE_TABLE_H
#define TARN_TREE_TABLE_H
/*
 * The tables of TREE.md ("Formats of virtual files") and their JSON twins from one description: a renderer
 * writes cells, the table writes either. JSON: an array of objects, numbers as numbers (nan and inf as strings), yes/no as
 * booleans, lists as arrays, an empty cell as null.
 *
 * A table with a column `rank` keeps the order it is written in. The others are sorted when they end: bytewise by the cells
 * as a .tsv prints them, the first before the second; their twins in the same order.
 */
#include "core/base/buf.h"

struct table {
	struct buf *out;
	bool json;
	const char *columns;	/* space-separated names */
	const char *at;		/* of the next cell */
	struct table_row { size_t at, len, twin_at, twin_len; } *rows;
	size_t n, cap;
	struct buf text, twin;	/* of all rows: as cells, and (json) as objects */
};

void table_begin(struct table *t, struct buf *out, bool json, const char *columns);
void table_end(struct table *t);	/* only now anything is in out, but for the heading; what failed is out's failure */

void table_text(struct table *t, const char *s);		/* NULL or "": empty */
void table_bytes(struct table *t, const char *s, size_t len);	/* names from the lake */
void table_int(struct table *t, uint64_t v);
void table_num(struct table *t, double v);
void table_opt(struct table *t, double v);			/* NAN: empty */
void table_yesno(struct table *t, bool v);
void table_shape(struct table *t, const uint64_t *shape, size_t n);	/* "4096x4096"; a scalar: empty */
void table_list(struct table *t, const char *const *items, size_t n);
void table_none(struct table *t);

#endif
