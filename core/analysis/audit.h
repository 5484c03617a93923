#ifndef TARN_ANALYSIS_AUDIT_H
#define TARN_ANALYSIS_AUDIT_H
/*
 * What a model says of itself against what its files show, and what loading it would do. From headers alone.
 *
 * Verdicts: `ok` the two agree; `warn` odd, but it can be so; `fail` they contradict each other, a file is broken, or
 * loading runs code; `unknown` nothing to hold the claim against.
 *   loads_code         what is found when the weights and configs are looked at; `fail` when loading the ordinary way
 *                      may run code
 *   a hazard's kind    pickle-global, torchscript, keras-lambda, zip-traversal, …: where, and which
 *   a metadata key     dtype parameters quantization adapter_rank layers hidden_size vocab_size …: declared against
 *                      measured
 *   files              what problems.tsv tells of them
 * A declared `parameters` is taken for a rounded one: within 5 %. A `dtype` beside quantised weights is the one they
 * are computed in. More embedding rows than `vocab_size` (up to 1024, or to a multiple of 64) are padding.
 */
#include "core/lake/inspect.h"

enum audit_verdict { AUDIT_OK, AUDIT_WARN, AUDIT_FAIL, AUDIT_UNKNOWN };
const char *audit_verdict_name(enum audit_verdict v);

struct audit_row {
	const char *check;
	enum audit_verdict verdict;
	const char *declared, *found, *evidence;	/* "": none */
};

struct audit {
	struct arena arena;
	struct audit_row *rows;		/* by check, then as they were found */
	size_t n;
};

int audit_model(struct audit *a, const struct inspect *in, struct err *e);	/* ENOMEM */
void audit_release(struct audit *a);

#endif
