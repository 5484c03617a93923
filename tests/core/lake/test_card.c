/* Model cards: front matter in every dress it wears in the wild, and what can be had of broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/lake/card.h"

#include <errno.h>
#include <stdio.h>

struct read {
	struct arena arena;
	struct card card;
	struct facts facts;
};

static void read_card(struct read *r, const char *text, size_t len)
{
	memset(r, 0, sizeof *r);
	assert_int_equal(card_parse(&r->card, &r->arena, text, len, NULL), 0);
	card_facts(&r->card, &r->facts, "README.md");
	facts_finish(&r->facts);
	assert_false(r->facts.failed);
}

static void done(struct read *r)
{
	facts_release(&r->facts);
	arena_release(&r->arena);
}

static void fronts(void **state)
{
	static const struct { const char *text, *license, *problem, *body; } t[] = {
		{"---\nlicense: mit\n---\n# Title\n", "mit", NULL, "# Title\n"},
		{"\xef\xbb\xbf---\nlicense: mit\n---\nbody", "mit", NULL, "body"},
		{"---\r\nlicense: mit\r\n---\r\nbody", "mit", NULL, "body"},
		{"---\rlicense: mit\r---\rbody", "mit", NULL, "body"},
		{"\n  \n---\nlicense: mit\n---\n", "mit", NULL, ""},
		{"--- \nlicense: mit\n---\t\nbody", "mit", NULL, "body"},
		{"---\nlicense: mit\n---", "mit", NULL, ""},
		{"---\n---\nbody", NULL, NULL, "body"},
		{"---\n\n---\nbody", NULL, NULL, "body"},
		{"", NULL, NULL, ""},
		{"no front\n---\nlicense: mit\n---\n", NULL, NULL, "no front\n---\nlicense: mit\n---\n"},
		{"----\nlicense: mit\n----\n", NULL, NULL, "----\nlicense: mit\n----\n"},
		/* broken ones: what stands before the defect is read */
		{"---\nlicense: mit\n\n# Title\nbody", "mit", "line 1", "\n# Title\nbody"},
		{"---\nlicense: mit\n# Title\nbody", "mit", "line 1", "# Title\nbody"},
		{"---\nlicense: mit\ntags: [a, b\n---\nbody", "mit", "line 4", "body"},
		{"---\nlicense: mit\n\ttags: x\n---\nbody", "mit", "line 3", "body"},
		{"---\nlicense: mit\nlanguage: [\nen: : x\n---\nbody", "mit", "line", "body"},
		{"---\n- a\n- b\n---\nbody", NULL, "line 2", "body"},
		{"---\njust words\n---\nbody", NULL, "line 2", "body"},
		{"---\nlicense: m\xffit\n---\nbody", "m\xff" "it", "line 2", "body"},
		{"---\na: &x [1]\nlicense: mit\nb: *x\n---\nbody", "mit", "line 4", "body"},
		{"---\n\xc3\xa4: \xc3\xb6\nlicense: mit\nb: *x\n---\nbody", "mit", "line 4", "body"},
		{"---\n{{{{{{\n---\nbody", NULL, "line", "body"},
		{"---", NULL, "line 1", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct read r;
		const char *license;

		read_card(&r, t[i].text, strlen(t[i].text));
		license = facts_get(&r.facts, "license");
		if (!!license != !!t[i].license || !!r.card.problem != !!t[i].problem)
			print_message("%zu: %s (%s)\n", i, t[i].text, r.card.problem ? r.card.detail : "no problem");
		if (t[i].license)
			assert_string_equal(license, t[i].license);
		else
			assert_null(license);
		assert_int_equal(r.facts.n_problems, t[i].problem ? 1 : 0);
		if (t[i].problem) {
			assert_string_equal(r.facts.problems[0].problem, "malformed front matter");
			if (!strstr(r.facts.problems[0].detail, t[i].problem))
				print_message("%zu: %s\n", i, r.facts.problems[0].detail);
			assert_non_null(strstr(r.facts.problems[0].detail, t[i].problem));
		}
		assert_int_equal(r.card.body_len, strlen(t[i].body));
		assert_memory_equal(r.card.body, t[i].body, r.card.body_len);
		done(&r);
	}
}

static const char full[] =
	"---\n"
	"license: other\nlicense_name: llama3\n"
	"language: [en, no]\n"
	"tags:\n- merge\n- 42\n- merge\n- {a: b}\n"
	"pipeline_tag: text-generation\nlibrary_name: transformers\n"
	"datasets: one/only\n"
	"base_model:\n- a/one\n- https://huggingface.co/b/two\n"
	"model-index:\n- name: x\n  results:\n"
	"  - task: {type: text-generation, name: Text}\n    dataset: {name: HellaSwag, type: hellaswag}\n"
	"    metrics:\n    - {type: acc, value: 0.525, name: accuracy}\n    - {name: f1, value: '78.1%'}\n    - "
	"{type: none}\n"
	"---\nbody\n";

static size_t count(const struct facts *f, const char *key)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_facts; i++)
		n += !strcmp(f->facts[i].key, key);
	return n;
}

static void everything(void **state)
{
	struct read r;
	const struct facts *f = &r.facts;

	(void)state;
	read_card(&r, full, sizeof full - 1);
	assert_int_equal(f->n_problems, 0);
	assert_string_equal(facts_get(f, "license"), "llama3");
	assert_int_equal(count(f, "language"), 2);
	assert_int_equal(count(f, "tags"), 2);
	assert_string_equal(facts_get(f, "task"), "text-generation");
	assert_string_equal(facts_get(f, "datasets"), "one/only");
	assert_int_equal(count(f, "base_model"), 2);
	assert_int_equal(f->n_declared, 2);
	assert_string_equal(f->declared[0].base, "a/one");
	assert_string_equal(f->declared[0].relation, "merge");
	assert_string_equal(f->declared[1].base, "b/two");
	assert_int_equal(f->n_evaluations, 2);
	assert_string_equal(f->evaluations[0].task, "text-generation");
	assert_string_equal(f->evaluations[0].dataset, "HellaSwag");
	assert_string_equal(f->evaluations[0].metric, "acc");
	assert_string_equal(f->evaluations[0].value, "0.525");
	assert_string_equal(f->evaluations[1].metric, "f1");
	assert_string_equal(f->evaluations[1].value, "78.1%");
	for (size_t i = 1; i < f->n_facts; i++)
		assert_true(strcmp(f->facts[i - 1].key, "license") || strcmp(f->facts[i].key, "path"));
	done(&r);
}

/* Wrong kinds where a list, a text or an object is expected. */
static void wrong_kinds(void **state)
{
	static const char *const t[] = {
		"---\nlicense: {a: b}\ntags: {x: 1}\nlanguage: {}\nbase_model: {a: [1]}\nmodel-index: yes\n---\n",
		"---\nlicense: [[a]]\ntags: 7\nlanguage: 1.5\nbase_model: 3\nmodel-index: [1, {results: 2}, "
		"{results: [3, {metrics: 4}]}]\n---\n",
		"---\nlicense: ~\ntags: ~\nlanguage: ''\nbase_model: ['', ~]\nmodel-index: [{results: [{task: 1, "
		"dataset: [2], "
		"metrics: [5, {type: {}, value: [1]}, {value: {}}]}]}]\n---\n",
		"---\nlicense: |\n  a\n  b\n\n---\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct read r;

		read_card(&r, t[i], strlen(t[i]));
		assert_int_equal(r.facts.n_problems, 0);
		assert_int_equal(r.facts.n_evaluations, 0);
		for (size_t k = 0; k < r.facts.n_facts; k++) {
			assert_true(r.facts.facts[k].value[0]);
			assert_null(strpbrk(r.facts.facts[k].value, "\r\n\t"));
		}
		done(&r);
	}
}

/* Every cut of a card, and every byte of it damaged: never more than a problem. */
static void damage(void **state)
{
	char copy[sizeof full];

	(void)state;
	for (size_t n = 0; n < sizeof full; n++) {
		struct read r;

		read_card(&r, full, n);
		done(&r);
	}
	for (size_t i = 0; i < sizeof full - 1; i++)
		for (const char *c = "\n\t{[:\xff-\"*"; *c; c++) {
			struct read r;

			memcpy(copy, full, sizeof full);
			copy[i] = *c;
			read_card(&r, copy, sizeof full - 1);
			done(&r);
		}
}

static void out_of_memory(void **state)
{
	static const char broken[] = "---\nlicense: mit\ntags: [a\n---\n";

	(void)state;
	for (uint64_t n = 1;; n++) {
		struct arena a = {0};
		struct facts f = {0};
		struct card c;
		int r;

		mem_fail_at(n);
		r = card_parse(&c, &a, broken, sizeof broken - 1, NULL);
		if (!r) {
			card_facts(&c, &f, "README.md");
			facts_finish(&f);
		}
		mem_fail_at(0);
		assert_true(!r || r == -ENOMEM);
		if (!r && !f.failed) {
			assert_int_equal(f.n_problems, 1);
			n = 0;
		}
		facts_release(&f);
		arena_release(&a);
		if (!n)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fronts), cmocka_unit_test(everything),    cmocka_unit_test(wrong_kinds),
		cmocka_unit_test(damage), cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
