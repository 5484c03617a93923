/* Which value of a key stays; configs, adapters, results and mergekit files as facts. */
#include "core/lake/documents.h"
#include "tests/core/lake/made.h"

#include <errno.h>
#include <stdio.h>

struct doc {
	struct arena arena;
	struct facts facts;
};

/* JSON with ' for ", which reads better here. */
static void read_doc(struct doc *d, const char *text, void (*facts)(struct facts *, const struct value *, const char *))
{
	char *json = arena_strdup(&d->arena, text);
	struct value v;
	struct err e = ERR_INIT;

	for (char *p = json; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (json_parse_loose(&d->arena, json, strlen(json), NULL, &v, &e))
		fail_msg("%s: %s", json, e.msg);
	facts(&d->facts, &v, "x.json");
}

static void done(struct doc *d)
{
	facts_release(&d->facts);
	arena_release(&d->arena);
	memset(d, 0, sizeof *d);
}

static void is(const struct facts *f, const char *key, const char *value)
{
	const char *got = facts_get(f, key);

	if (!value && got)
		fail_msg("%s is %s, expected none", key, got);
	if (value && (!got || strcmp(got, value)))
		fail_msg("%s is %s, expected %s", key, got ? got : "unknown", value);
}

static void precedence(void **state)
{
	struct facts f = {0};

	(void)state;
	facts_put(&f, "dtype", "f16", FACT_INFERRED, NULL);
	facts_put(&f, "dtype", "bf16", FACT_DECLARED, "config.json");
	facts_put(&f, "dtype", "f64", FACT_DECLARED, "other.json");
	is(&f, "dtype", "bf16");
	facts_put(&f, "dtype", "f32", FACT_MEASURED, NULL);
	facts_put(&f, "dtype", "i8", FACT_DECLARED, "late.json");
	facts_put(&f, "task", "nothing", FACT_DECLARED, "README.md");
	is(&f, "dtype", "f32");
	facts_put(&f, "tags", "a", FACT_DECLARED, NULL);
	facts_put(&f, "tags", "a", FACT_DECLARED, NULL);
	facts_put(&f, "tags", "b", FACT_DECLARED, NULL);
	facts_put(&f, "nonsense", "x", FACT_DECLARED, NULL);
	facts_put(&f, "format", "safetensors", FACT_MEASURED, NULL);
	facts_finish(&f);
	assert_int_equal(f.n_facts, 5);
	assert_string_equal(f.facts[0].key, "format");
	assert_string_equal(f.facts[1].key, "dtype");
	assert_string_equal(f.facts[2].value, "a");
	assert_string_equal(f.facts[3].value, "b");
	assert_string_equal(f.facts[4].key, "task");
	/* all that was said against the measurement, and nothing of what was not measured */
	assert_int_equal(f.n_claims, 3);
	assert_string_equal(f.claims[0].value, "bf16");
	assert_string_equal(f.claims[0].file, "config.json");
	assert_string_equal(f.claims[2].value, "i8");
	facts_release(&f);
}

static void cleaning(void **state)
{
	struct facts f = {0};
	char big[FACT_MAX + 100];

	(void)state;
	facts_put(&f, "author", " \t\n ", FACT_DECLARED, NULL);
	is(&f, "author", NULL);
	facts_put(&f, "author", NULL, FACT_DECLARED, NULL);
	facts_put(&f, "author", "", FACT_DECLARED, NULL);
	facts_put(&f, "author", "  two\nlines\tand\rmore \n", FACT_DECLARED, NULL);
	is(&f, "author", "two lines and more");
	facts_putn(&f, "task", "a\0b", 3, FACT_DECLARED, NULL);
	is(&f, "task", "a b");
	memset(big, 'x', sizeof big);
	memcpy(big + FACT_MAX - 1, "\xc3\xa4", 2);
	facts_putn(&f, "library", big, sizeof big, FACT_DECLARED, NULL);
	assert_int_equal(strlen(facts_get(&f, "library")), FACT_MAX - 1);
	for (int i = 0; i < 2 * FACT_VALUES; i++) {
		char tag[16];

		snprintf(tag, sizeof tag, "t%d", i);
		facts_put(&f, "tags", tag, FACT_DECLARED, NULL);
		facts_problem(&f, "f", "p", "%d", i);
	}
	assert_int_equal(f.n_facts, 3 + FACT_VALUES);
	assert_int_equal(f.n_problems, FACT_PROBLEMS);
	facts_put_time(&f, "created", 1763880015, FACT_MEASURED, NULL);
	is(&f, "created", "2025-11-23T06:40:15Z");
	assert_int_equal(facts_day("2025-11-23T06:40:15Z"), 1763856000);
	assert_int_equal(facts_day("1970-01-02"), 86400);
	static const char *const no_days[] = {"",         "2025",       "2025-13-01", "2025-1-1",
					      "May 2025", "1969-12-31", "-025-10-10"};
	for (size_t i = 0; i < COUNT(no_days); i++)
		assert_int_equal(facts_day(no_days[i]), 0);
	facts_put_time(&f, "modified", INT64_MAX, FACT_MEASURED, NULL);
	facts_put_time(&f, "modified", INT64_MIN, FACT_MEASURED, NULL);
	is(&f, "modified", NULL);
	facts_release(&f);
}

static void configs(void **state)
{
	struct doc d = {0};

	(void)state;
	read_doc(&d,
		 "{'architectures':['LlamaForCausalLM'],'model_type':'llama','hidden_size':96,'num_hidden_layers':4,"
		 "'vocab_size':256,'max_position_embeddings':128,'torch_dtype':'bfloat16','_name_or_path':'org/base'}",
		 config_facts);
	is(&d.facts, "architecture", "LlamaForCausalLM");
	is(&d.facts, "model_type", "llama");
	is(&d.facts, "hidden_size", "96");
	is(&d.facts, "layers", "4");
	is(&d.facts, "vocab_size", "256");
	is(&d.facts, "context_length", "128");
	is(&d.facts, "dtype", "bf16");
	is(&d.facts, "task", "text-generation");
	is(&d.facts, "library", "transformers");
	is(&d.facts, "base_model", NULL);
	assert_string_equal(d.facts.declared[0].base, "org/base");
	assert_string_equal(d.facts.declared[0].relation, "");
	done(&d);
	/* multimodal: the language model's numbers stand within */
	read_doc(
		&d,
		"{'model_type':'llava','architectures':['LlavaForConditionalGeneration'],'text_config':{'model_type':"
		"'llama','hidden_size':4096,'n_layers':3},'vision_config':{'hidden_size':1024},'torch_dtype':'torch.float16'}",
		config_facts);
	is(&d.facts, "model_type", "llava");
	is(&d.facts, "hidden_size", "4096");
	is(&d.facts, "layers", "3");
	is(&d.facts, "dtype", "f16");
	done(&d);
	read_doc(&d, "{'n_embd':768,'n_layer':12,'n_ctx':1024,'_name_or_path':'/home/me/gpt2'}", config_facts);
	is(&d.facts, "hidden_size", "768");
	is(&d.facts, "context_length", "1024");
	assert_int_equal(d.facts.n_declared, 0);
	done(&d);
}

static void quantizations(void **state)
{
	static const char *const t[][2] = {
		{"{'quantization_config':{'quant_method':'gptq','bits':4}}", "gptq-4bit"},
		{"{'quantization_config':{'quant_method':'bitsandbytes','load_in_8bit':true}}", "bnb-int8"},
		{"{'quantization_config':{'load_in_4bit':true,'load_in_8bit':false,'bnb_4bit_quant_type':'nf4'}}",
		 "bnb-nf4"},
		{"{'quantization_config':{'quant_method':'fp8'}}", "fp8"},
		{"{'quantization':{'bits':4,'group_size':64}}", "mlx-4bit"},
		{"{'quantization':'x'}", NULL},
		{"{'quantization_config':null}", NULL},
		{"{'quantization_config':[1]}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		struct doc d = {0};

		read_doc(&d, t[i][0], config_facts);
		is(&d.facts, "quantization", t[i][1]);
		done(&d);
	}
}

static void adapters(void **state)
{
	struct doc d = {0};

	(void)state;
	read_doc(&d, "{'peft_type':'LORA','base_model_name_or_path':'org/base','r':8,'task_type':'CAUSAL_LM'}",
		 adapter_facts);
	is(&d.facts, "base_model", "org/base");
	is(&d.facts, "adapter_rank", "8");
	is(&d.facts, "library", "peft");
	is(&d.facts, "task", "text-generation");
	assert_string_equal(d.facts.declared[0].relation, "adapter");
	assert_true(d.facts.flags & FACTS_ADAPTER);
	done(&d);
	read_doc(&d, "{'model':'mlx-community/x','lora_parameters':{'rank':16}}", adapter_facts);
	is(&d.facts, "base_model", "mlx-community/x");
	is(&d.facts, "adapter_rank", "16");
	done(&d);
}

static void wrong_kinds(void **state)
{
	static void (*const readers[])(struct facts *, const struct value *, const char *) = {
		config_facts, adapter_facts, tokenizer_facts, pipeline_facts, modules_facts, ollama_facts, gptq_facts,
		declare_mergekit,
		evaluations_of_results, evaluations_of_trainer, evaluations_of_card,
	};
	static const char *const odd[] = {
		"[]",
		"[1]",
		"null",
		"3",
		"'x'",
		"{}",
		"{'architectures':{},'model_type':[],'hidden_size':'x','vocab_size':-1,'n_layers':1e30,'torch_dtype':3,"
		"'auto_map':[],'quantization_config':{'bits':[]},'text_config':[1],'results':[1],'log_history':{'a':1},"
		"'best_metric':'x','models':[1,{'model':[]}],'slices':[{'sources':3},4],'base_model':{'model':3},"
		"'r':{},'base_model_name_or_path':7,'config':[],'model-index':{}}",
		"{'architectures':[],'results':{'a':3,'b':{'acc,none':'x','f1_stderr,none':1}},'log_history':[1,[2],{}]}",
	};

	(void)state;
	for (size_t r = 0; r < COUNT(readers); r++)
		for (size_t i = 0; i < COUNT(odd); i++) {
			struct doc d = {0};

			read_doc(&d, odd[i], readers[r]);
			facts_finish(&d.facts);
			assert_false(d.facts.failed);
			assert_int_equal(d.facts.n_evaluations, 0);
			done(&d);
		}
}

static void scores(void **state)
{
	struct doc d = {0};

	(void)state;
	read_doc(&d, "{'results':{'hellaswag':{'alias':'hellaswag',"
		 "'acc,none':0.5,'acc_stderr,none':0.1,'acc,strict':0.25}}}",
		 evaluations_of_results);
	assert_int_equal(d.facts.n_evaluations, 2);
	assert_string_equal(d.facts.evaluations[0].task, "hellaswag");
	assert_string_equal(d.facts.evaluations[0].metric, "acc");
	assert_string_equal(d.facts.evaluations[0].value, "0.5");
	assert_string_equal(d.facts.evaluations[1].metric, "acc,strict");
	done(&d);
	read_doc(&d, "{'best_metric':1.5,'log_history':["
		 "{'eval_loss':2,'step':1},{'eval_loss':1.5,'eval_runtime':3},{'loss':1}]}",
		 evaluations_of_trainer);
	assert_int_equal(d.facts.n_evaluations, 2);
	assert_string_equal(d.facts.evaluations[0].metric, "best_metric");
	assert_string_equal(d.facts.evaluations[1].metric, "eval_loss");
	assert_string_equal(d.facts.evaluations[1].value, "1.5");
	done(&d);
	read_doc(&d, "{'eval_accuracy':0.75,'eval_samples':10,'train_loss':1}", evaluations_of_results);
	assert_int_equal(d.facts.n_evaluations, 1);
	done(&d);
}

static void mergekit(void **state)
{
	static const char text[] =
		"merge_method: ties\nbase_model: org/base\nmodels:\n- model: org/a\n- model: {model: {path: org/b}}\n"
		"slices:\n- sources:\n  - model: org/c+org/lora\n    layer_range: [0, 8]\n  - model: org/a\n";
	struct doc d = {0};
	struct value v;

	(void)state;
	assert_int_equal(yaml_parse(&d.arena, text, sizeof text - 1, NULL, &v, NULL), 0);
	declare_mergekit(&d.facts, &v, "mergekit_config.yml");
	assert_int_equal(d.facts.n_declared, 5);
	assert_string_equal(d.facts.declared[0].base, "org/a");
	assert_string_equal(d.facts.declared[0].relation, "merge");
	assert_string_equal(d.facts.declared[1].base, "org/b");
	assert_string_equal(d.facts.declared[2].base, "org/lora");
	assert_string_equal(d.facts.declared[3].base, "org/c");
	assert_string_equal(d.facts.declared[4].base, "org/base");
	done(&d);
}

/* The same base named twice is one row, with the relation that one of them gave. */
static void declared_once(void **state)
{
	struct facts f = {0};

	(void)state;
	facts_declare(&f, "a/b", "", "config.json");
	facts_declare(&f, "a/b", "finetune", "README.md");
	facts_declare(&f, "a/b", "", "other");
	facts_declare(&f, "a/b", "merge", "mergekit_config.yml");
	facts_declare(&f, " ", "merge", "x");
	assert_int_equal(f.n_declared, 2);
	assert_string_equal(f.declared[0].relation, "finetune");
	assert_string_equal(f.declared[0].file, "README.md");
	facts_release(&f);
}

static struct value text(const char *s)
{
	return (struct value){.kind = VALUE_STRING, .str = {s, strlen(s)}};
}

static void containers(void **state)
{
	struct member gguf[] = {
		{"general.architecture", text("qwen2")}, {"general.license", text("mit")},
		{"qwen2.block_count", {.kind = VALUE_INT, .i = 28}},
		{"general.base_model.count", {.kind = VALUE_INT, .i = 2}},
		{"general.base_model.0.repo_url", text("https://huggingface.co/Qwen/Qwen2-7B")},
		{"general.base_model.1.organization", text("Org")}, {"general.base_model.1.name", text("Name")},
		{"general.tags", {.kind = VALUE_SPAN, .span = {8, 100000, 1}}},
	};
	struct member st[] = {{"ss_network_dim", text("32")}, {"ss_training_finished_at", text("1700000000.5")},
			      {"modelspec.author", text("me")},
			      {"ss_sd_model_name", text("D:\\sd\\models\\some-base.safetensors")}};
	struct made m;
	struct facts f = {0};

	(void)state;
	made_init(&m, &made_gguf);
	m.w.meta.obj.items = gguf;
	m.w.meta.obj.n = COUNT(gguf);
	container_facts(&f, &m.w, "x.gguf");
	is(&f, "architecture", "Qwen2ForCausalLM");
	is(&f, "model_type", "qwen2");
	is(&f, "layers", "28");
	is(&f, "license", "mit");
	is(&f, "tags", NULL);
	assert_string_equal(f.declared[0].base, "Qwen/Qwen2-7B");
	assert_string_equal(f.declared[1].base, "Org/Name");
	facts_release(&f);
	made_init(&m, &(const struct format){.name = "safetensors"});
	m.w.meta.obj.items = st;
	m.w.meta.obj.n = COUNT(st);
	container_facts(&f, &m.w, "x.safetensors");
	is(&f, "adapter_rank", "32");
	is(&f, "created", "2023-11-14T22:13:20Z");
	is(&f, "author", "me");
	is(&f, "base_model", "some-base");
	facts_release(&f);
}

static void measured(void **state)
{
	struct made m;
	struct canon c;
	struct facts f = {0};

	(void)state;
	made_init(&m, &made_plain);
	made_add(&m, NULL, "model.embed_tokens.weight", 100, 16, 0)->dtype = DTYPE_BF16;
	made_add(&m, NULL, "model.layers.0.self_attn.q_proj.weight", 16, 16, 0)->dtype = DTYPE_F32;
	made_add(&m, NULL, "model.layers.3.mlp.gate_proj.weight", 20, 16, 0)->dtype = DTYPE_F32;
	made_add(&m, NULL, "model.norm.weight", 16, 0)->dtype = DTYPE_F32;
	m.w.quantization = "Q4_K_M";
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	measured_facts(&f, &m.w, &c);
	is(&f, "dtype", "bf16");
	is(&f, "parameters", "2192");
	is(&f, "tensors", "4");
	is(&f, "layers", "4");
	is(&f, "hidden_size", "16");
	is(&f, "vocab_size", "100");
	is(&f, "quantization", "Q4_K_M");
	facts_release(&f);
	canon_release(&c);
	/* Stable Diffusion in one file says by its names what it is */
	made_init(&m, &made_plain);
	made_add(&m, NULL, "model.diffusion_model.input_blocks.1.0.in_layers.2.weight", 8, 8, 0);
	made_add(&m, NULL, "first_stage_model.encoder.conv_in.weight", 8, 8, 0);
	made_add(&m, NULL, "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight", 8, 8, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	measured_facts(&f, &m.w, &c);
	is(&f, "components", "text_encoder");
	is(&f, "architecture", "StableDiffusionPipeline");
	facts_release(&f);
	canon_release(&c);
	/* an adapter is known by its tensors */
	made_init(&m, &made_plain);
	made_add(&m, NULL, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 8, 16, 0);
	made_add(&m, NULL, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", 16, 8, 0);
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	measured_facts(&f, &m.w, &c);
	is(&f, "adapter_rank", "8");
	is(&f, "hidden_size", NULL);
	assert_true(f.flags & FACTS_ADAPTER);
	facts_release(&f);
	canon_release(&c);
	/* sums that do not fit stop at the most there is */
	made_init(&m, &made_plain);
	made_add(&m, NULL, "a", 1, 0)->elements = UINT64_MAX;
	made_add(&m, NULL, "b", 1, 0)->elements = 5;
	assert_int_equal(canon_of(&c, &m.w, NULL, NULL), 0);
	measured_facts(&f, &m.w, &c);
	is(&f, "parameters", "18446744073709551615");
	facts_release(&f);
	canon_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(precedence),    cmocka_unit_test(cleaning), cmocka_unit_test(configs),
		cmocka_unit_test(quantizations), cmocka_unit_test(adapters), cmocka_unit_test(wrong_kinds),
		cmocka_unit_test(scores),        cmocka_unit_test(mergekit), cmocka_unit_test(declared_once),
		cmocka_unit_test(containers),    cmocka_unit_test(measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
