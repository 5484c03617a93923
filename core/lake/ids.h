#ifndef TARN_LAKE_IDS_H
#define TARN_LAKE_IDS_H
/* Ids made unique, kept off virtual names, and put in order; private to the room. */
#include "core/lake/scan.h"

/* Sorts s->models. -ENOMEM, else 0. */
int ids_settle(struct scan *s, const struct lake *l, const char *const *reserved);

#endif
