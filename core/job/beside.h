#ifndef TARN_JOB_BESIDE_H
#define TARN_JOB_BESIDE_H
/*
 * Files that weights name and that are none of their model's own files (ONNX's external data among several models): a scan
 * does not know of them, so what was noted when the model was looked into is compared with what is there now.
 */
#include "core/job/index_internal.h"

struct beside_model { uint32_t id; uint64_t now; bool changed; };

struct beside_models {
	struct beside_model *at;	/* by id; heap */
	size_t n, cap;
};

int beside_look(struct beside_models *b, struct catalog *c, const struct lake *l, struct err *e);
void beside_release(struct beside_models *b);
/* Of a model that the catalog knows under this number: NULL where it names no such files. `now` is a hash of the files as
 * they are, to be put (xor) into the identity of the model that takes the place of a changed one. */
const struct beside_model *beside_find(const struct beside_models *b, uint32_t id);

#endif
