#ifndef TARN_LAKE_FACTS_H
#define TARN_LAKE_FACTS_H
/*
 * What is known of one model from its documents and its files' headers: metadata facts, what it says
 * it was made from, what it says it scores, and what is wrong with it.
 *
 * Keys are TREE.md's, in its order:
 *   path format formats architecture model_type dtype parameters bytes tensors layers hidden_size vocab_size
 *   context_length license language tags task library datasets base_model author created modified revision
 *   quantization components adapter_rank tokenizer loads_code
 * `formats`, `license`, `language`, `tags`, `datasets`, `base_model`, `components` may have several values: entries
 * of the same key, in the order of their source, no value twice. Values are one line: never empty, no line breaks or
 * tabs, at most FACT_MAX bytes; otherwise bytes of the lake (the renderer escapes them). Numbers are decimal digits.
 * A path and the names of files are exactly those of the lake.
 *
 * dtype is the element type that holds most parameters, by its short lower-case name: f64 f32 f16 bf16 f8_e4m3
 * f8_e5m2 i8 u8 bool …, of GGUF q4_0 q4_k iq2_xs mxfp4 …, of packed formats int8 (bitsandbytes, compressed-tensors)
 * nf4 fp4 gptq awq int4 fp8 mlx. `parameters` counts logical elements of all tensors (buffers too), `bytes` the
 * weight files that are read. `modified` (of the newest file) is UTC, "2026-11-23T06:20:15Z"; `created` is only ever
 * declared.
 *
 * What is measured beats what is declared, which beats what is inferred. Declared values of keys that were
 * measured are kept as claims, whether they agree or not, for the audit.
 */
#include "core/base/err.h"
#include "core/base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FACT_MAX = 2000, FACT_VALUES = 1000 /* of one key */, FACT_PROBLEMS = 200 };

enum fact_source { FACT_INFERRED, FACT_DECLARED, FACT_MEASURED };
const char *fact_source_name(enum fact_source s);	/* "inferred", "declared", "measured" */

struct fact {
	const char *key, *value;
	enum fact_source source;
};

struct claim {
	const char *key, *value, *file;
};

/* What a document says the model was made from. `relation` as it stands there or follows from where it stands:
 * "finetune", "adapter", "merge", "quantized"; "" where nothing says. `base` is the text as written. */
struct declared {
	const char *base, *relation, *file;
};

struct evaluation {
	const char *task, *dataset, *metric, *value, *file;	/* "" where not said */
};

/* For problems.tsv: which file (relative to the model, "" for the model), a few words, and the detail. */
struct problem {
	const char *file, *problem, *detail;
};

enum facts_flag {
	FACTS_CARD = 1, FACTS_CONFIG = 2, FACTS_ADAPTER = 4, FACTS_TOKENIZER = 8, FACTS_PIPELINE = 16,
	FACTS_WEIGHTS = 32 /* its tensors can be read */,
	FACTS_HAZARDS = 64 /* something that loading would run, or deceit */,
	FACTS_CUSTOM_CODE = 128 /* a config names code of its own */,
};

struct facts {
	struct arena arena;	/* owns everything below */
	struct fact *facts;	/* sorted by key in the order above */
	size_t n_facts;
	struct claim *claims;
	size_t n_claims;
	struct declared *declared;
	size_t n_declared;
	struct evaluation *evaluations;
	size_t n_evaluations;
	struct problem *problems;
	size_t n_problems;
	unsigned flags;
	bool failed;		/* out of memory on the way: sticky */
};

void facts_release(struct facts *f);
const char *facts_get(const struct facts *f, const char *key);	/* the first value, NULL when not known */

/* Building. Failure is sticky (`failed`); NULL or blank values are not added. For a key of one value the better
 * source stays, and of equal sources the first. */
void facts_put(struct facts *f, const char *key, const char *value, enum fact_source source, const char *file);
void facts_putn(struct facts *f, const char *key, const char *value, size_t len, enum fact_source source,
		const char *file);
void facts_put_number(struct facts *f, const char *key, uint64_t value, enum fact_source source, const char *file);
void facts_put_time(struct facts *f, const char *key, int64_t seconds, enum fact_source source, const char *file);
/* Seconds of a fact that begins with a day, 2024-05-31; 0 when it does not. Hours are left out. */
int64_t facts_day(const char *text);
void facts_declare(struct facts *f, const char *base, const char *relation, const char *file);
void facts_evaluation(struct facts *f, const char *task, const char *dataset, const char *metric, const char *value,
		      const char *file);
__attribute__((format(printf, 4, 5)))
void facts_problem(struct facts *f, const char *file, const char *problem, const char *fmt, ...);
/* The same from an error: the word follows from its code ("malformed", "truncated", "not supported", …). */
void facts_problem_err(struct facts *f, const char *file, int result, const struct err *e);
/* Last: order the facts by key. */
void facts_finish(struct facts *f);

#endif
