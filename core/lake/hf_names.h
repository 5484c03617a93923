#ifndef TARN_LAKE_HF_NAMES_H
#define TARN_LAKE_HF_NAMES_H
/*
 * llama.cpp's tensor names as Hugging Face's, for the architectures where what its converter does to each tensor is
 * known: llama (and mistral), qwen2, qwen3, phi2, phi3, gpt2, starcoder, starcoder2, stablelm, gemma, gemma2, gemma3,
 * granite, smollm3, olmo, olmo2, arcee, xverse, nemotron, command-r, cohere2, glm4, chatglm, exaone, mpt, bert; with
 * experts llama (Mixtral), qwen2moe, qwen3moe, olmoe. Elsewhere names stay as they are. Sources: llama.cpp's
 * gguf-py/gguf/tensor_mapping.py and convert_hf_to_gguf.py, the modelling files of transformers.
 */
#include <stdbool.h>
#include <stddef.h>

struct hf_tensor {
	char name[160];		/* with '@' where an expert's number goes */
	bool experts;		/* several stacked in one tensor here are a tensor each there */
	bool transpose;		/* stored inputs x outputs there (GPT-2's Conv1D) */
};

/* The name there of a tensor of that architecture (general.architecture); false: it has none, keep its own. */
bool hf_name(const char *architecture, const char *name, struct hf_tensor *out);

#endif
