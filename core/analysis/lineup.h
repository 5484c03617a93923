#ifndef TARN_ANALYSIS_LINEUP_H
#define TARN_ANALYSIS_LINEUP_H
/*
 * Several signatures laid side by side: one slot for each place (role, layer, expert) that any of them has, and for
 * each member its values there at the positions common to all. What differs in shape beyond a few added rows, or holds NaN or
 * Inf, is absent (NULL).
 */
#include "core/analysis/signature.h"

enum slot_kind { SLOT_MATRIX, SLOT_VOCAB /* rows are tokens */, SLOT_VECTOR, SLOT_OTHER /* integers, constants, LoRA factors */ };

struct slot {
	const char *role;
	uint64_t role_hash;
	int32_t layer, expert;
	enum slot_kind kind;
	uint32_t nr, nc;
	size_t n;			/* nr * nc */
	size_t offset;			/* of its values when all slots are laid end to end */
	double rms;			/* over the members that have it */
};

struct lineup {
	struct arena arena;
	size_t members, slots, total;	/* total: elements of all slots */
	struct slot *slot;
	const float **x;		/* [member * slots + slot]; NULL: absent */
	const struct sigpart **part;	/* the same index; NULL: the member has no such part */
};

/* sigs stay the caller's and must outlive the view. */
int lineup_of(struct lineup *v, const struct signature *const *sigs, size_t n, struct err *e);
void lineup_release(struct lineup *v);

static inline const float *lineup_x(const struct lineup *v, size_t member, size_t slot)
{
	return v->x[member * v->slots + slot];
}
static inline const struct sigpart *lineup_part(const struct lineup *v, size_t member, size_t slot)
{
	return v->part[member * v->slots + slot];
}

#endif
