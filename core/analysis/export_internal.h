#ifndef TARN_ANALYSIS_EXPORT_INTERNAL_H
#define TARN_ANALYSIS_EXPORT_INTERNAL_H
#include "core/analysis/export.h"

/* Where an entry's bytes come from. Private to export*.c. */
enum export_how {
	EXPORT_RAW,		/* the stored bytes */
	EXPORT_CONVERT,		/* values in stored order */
	EXPORT_ROWS,		/* values by canonical rows of a part */
	EXPORT_DELTA,		/* minus the other model's */
};

/* Where the bytes of an entry that is written as it is stored begin in its tensor. */
static inline uint64_t export_raw_at(const struct export_entry *t)
{
	return t->first * dtype_info(t->dtype)->bytes;	/* experts have whole bytes each; elsewhere first is 0 */
}

/* As loaders have it: the entry's last two dimensions are the source's the other way round. Not of EXPORT_RAW. */
static inline void export_turn(struct export_entry *t, const struct tensor *src)
{
	t->turned = true;
	t->shape[t->ndim - 2] = src->shape[src->ndim - 1];
	t->shape[t->ndim - 1] = src->shape[src->ndim - 2];
}

/* Values [first, first+n) of an entry as float32, n at most EXPORT_VALUES. */
enum { EXPORT_VALUES = 1 << 14 };
int export_values(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
		  struct err *e);
/* Values as `to`: F16 or F32. */
int export_converted(const struct export *x, const struct export_entry *t, enum dtype to, uint64_t off, uint64_t n,
		     void *out, struct err *e);
int export_finish(struct export *x, const struct value *meta, const char *base, struct err *e);

/* Values [first, first+n) of this - other. */
int export_delta_values(const struct export *x, const struct export_entry *t, uint64_t first, uint64_t n, float *out,
			struct err *e);

#endif
