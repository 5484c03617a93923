#ifndef TARN_LAKE_HF_NAMES_H
#define TARN_LAKE_HF_NAMES_H
/*
 * llama.cpp's tensor names as Hugging Face's, for the architectures where what its converter does to each tensor is
 * known: llama (and mistral), qwen2, qwen3, phi3, gpt2, starcoder2, stablelm, gemma, gemma2, gemma3. Elsewhere names
 * stay as they are. Sources: llama.cpp's gguf-py/gguf/tensor_mapping.py and convert_hf_to_gguf.py, the modelling files
 * of transformers.
 */
#include <stdbool.h>
#include <stddef.h>

struct hf_tensor {
	char name[160];
	bool transpose;		/* stored inputs x outputs there (GPT-2's Conv1D) */
};

/* Is the architecture (general.architecture) one of those? */
bool hf_known(const char *architecture);
/* The name there of a tensor of that architecture; false: it has none, keep its own. */
bool hf_name(const char *architecture, const char *name, struct hf_tensor *out);

#endif
