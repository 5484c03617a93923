#ifndef TARN_FORMAT_JOIN_H
#define TARN_FORMAT_JOIN_H
/*
 * Several opened weights shown as one: the components of a pipeline, the modules of a sentence encoder.
 */
#include "core/format/format.h"

/*
 * Takes the parts (empty afterwards, released on error). Tensors of part i get its prefix and a dot in front of
 * their names, none where the prefix is "". Containers may differ; the name of the format and the
 * metadata are the first part's. Errors: EINVAL when two names are the same, ENOMEM.
 */
int weights_join(struct weights *w, struct weights *parts, const char *const *prefixes, size_t n, struct err *e);

#endif
