/* core/analysis/audit: claims, hazards and problems of models that never were. */
#include "tests/core/analysis/made_weights.h"

#include "core/analysis/audit.h"

static struct fact facts[] = {
	{"dtype", "q8_0", FACT_MEASURED}, {"parameters", "1000000", FACT_MEASURED},
	{"layers", "4", FACT_MEASURED},	      {"vocab_size", "264", FACT_MEASURED},
	{"hidden_size", "96", FACT_DECLARED}, {"quantization", "Q8_0", FACT_MEASURED},
	{"loads_code", "yes", FACT_MEASURED},
};
static struct claim claims[] = {
	{"dtype", "bf16", "config.json"}, {"parameters", "1030000", "README.md"},
	{"parameters", "2000000", "README.md"}, {"layers", "4", "config.json"},
	{"vocab_size", "256", "config.json"}, {"quantization", "q8_0", "config.json"},
};
static struct problem problems[] = {
	{"a.bin", "wrong extension", "named like ggml"},
	{"b.safetensors", "truncated", "at byte 9"},
	{"a.bin", "pickle-global", "os.system"},
	{"c.ckpt", "training state", "of an optimizer"},
};
static struct hazard hazards[] = {{"a.bin", "pickle-global", "os.system", 12, true},
				  {"c.zip", "zip-prefix", "7 bytes", ERR_NOPOS, false}};

static struct inspect make(void)
{
	struct inspect in = {.open = true};
	in.facts.facts = facts;
	in.facts.n_facts = COUNT(facts);
	in.facts.claims = claims;
	in.facts.n_claims = COUNT(claims);
	in.facts.problems = problems;
	in.facts.n_problems = COUNT(problems);
	in.weights.hazards = hazards;
	in.weights.n_hazards = COUNT(hazards);
	return in;
}

static void expect(const struct audit *a, size_t i, const char *check, const char *verdict, const char *declared,
		   const char *found, const char *evidence)
{
	assert_true(i < a->n);
	assert_string_equal(a->rows[i].check, check);
	assert_string_equal(audit_verdict_name(a->rows[i].verdict), verdict);
	assert_string_equal(a->rows[i].declared, declared);
	assert_string_equal(a->rows[i].found, found);
	assert_string_equal(a->rows[i].evidence, evidence);
}

static void test_rows(void **state)
{
	struct inspect in = make();
	struct audit a;
	struct err e = ERR_INIT;
	size_t i = 0;
	(void)state;
	assert_int_equal(audit_model(&a, &in, &e), 0);
	expect(&a, i++, "dtype", "ok", "bf16", "q8_0", "config.json: the type that quantized weights are computed in");
	expect(&a, i++, "files", "warn", "", "a.bin", "wrong extension: named like ggml");
	expect(&a, i++, "files", "fail", "", "b.safetensors", "truncated: at byte 9");
	expect(&a, i++, "files", "warn", "", "c.ckpt", "training state: of an optimizer");
	expect(&a, i++, "hidden_size", "unknown", "96", "", "the weights do not show it");
	expect(&a, i++, "layers", "ok", "4", "4", "config.json");
	expect(&a, i++, "loads_code", "fail", "", "yes", "the weights: see the other rows");
	expect(&a, i++, "parameters", "ok", "1030000", "1000000", "README.md: rounded");
	expect(&a, i++, "parameters", "fail", "2000000", "1000000", "README.md");
	expect(&a, i++, "pickle-global", "fail", "", "a.bin", "os.system (at byte 12)");
	expect(&a, i++, "quantization", "ok", "q8_0", "Q8_0", "config.json");
	expect(&a, i++, "vocab_size", "warn", "256", "264", "config.json: more rows than tokens: padding");
	expect(&a, i++, "zip-prefix", "warn", "", "c.zip", "7 bytes");
	assert_int_equal(a.n, i);
	audit_release(&a);
}

/* Configs that name who wrote the weights, not their type. */
static void test_writers(void **state)
{
	static const struct { const char *declared, *found, *verdict; } rows[] = {
		{"compressed-tensors", "fp8", "ok"}, {"compressed-tensors", "compressed-int4", "ok"},
		{"compressed-tensors", "gptq-4bit", "fail"}, {"auto-round-4bit", "gptq-4bit", "ok"},
		{"auto-round-4bit", "gptq-8bit", "fail"}, {"modelopt", "fp8", "ok"}, {"fbgemm_fp8", "fp8", "ok"},
		{"awq-4bit", "gptq-4bit", "fail"}, {"compressed-tensors-x", "fp8", "fail"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fact fact = {"quantization", rows[i].found, FACT_MEASURED};
		struct claim claim = {"quantization", rows[i].declared, "config.json"};
		struct facts all = {.facts = &fact, .n_facts = 1, .claims = &claim, .n_claims = 1};
		struct inspect in = {.open = true, .facts = all};
		struct audit a;
		struct err e = ERR_INIT;
		assert_int_equal(audit_model(&a, &in, &e), 0);
		size_t seen = 0;
		for (size_t k = 0; k < a.n; k++)
			if (!strcmp(a.rows[k].check, "quantization") && ++seen)
				expect(&a, k, "quantization", rows[i].verdict, rows[i].declared, rows[i].found,
				       !strcmp(rows[i].verdict, "ok") ? "config.json: the writer of such weights"
								      : "config.json");
		assert_int_equal(seen, 1);
		audit_release(&a);
	}
}

/* Weights that cannot be opened: nothing is claimed to be safe. */
static void test_closed(void **state)
{
	struct inspect in = make();
	struct audit a;
	struct err e = ERR_INIT;
	(void)state;
	in.open = false;
	in.facts.n_facts = in.facts.n_claims = in.facts.n_problems = 0;
	assert_int_equal(audit_model(&a, &in, &e), 0);
	expect(&a, 0, "files", "ok", "", "", "every file is what its name, its index and its header say");
	expect(&a, 1, "loads_code", "unknown", "", "", "the weights could not be looked into");
	assert_int_equal(a.n, 2);
	audit_release(&a);
}

static void test_failures(void **state)
{
	struct inspect in = make();
	struct err e = ERR_INIT;
	(void)state;
	for (uint64_t n = 1;; n++) {
		struct audit a;
		mem_fail_at(n);
		int r = audit_model(&a, &in, &e);
		uint64_t seen = mem_count();
		mem_fail_at(0);
		if (!r)
			audit_release(&a);
		assert_true(seen < n ? r == 0 : r < 0);
		if (seen < n)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_writers),
					   cmocka_unit_test(test_closed), cmocka_unit_test(test_failures)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
