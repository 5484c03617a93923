#ifndef TARN_JOB_FACETS_H
#define TARN_JOB_FACETS_H
/* The facts that by/ lists models by. Values in lower case; a model without one is under `_none`. */
enum { FACET_KEYS = 14 };
extern const char *const facet_keys[FACET_KEYS];
#endif
