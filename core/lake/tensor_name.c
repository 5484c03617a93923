/* Takes tensor names apart, whatever framework wrote them: separators, wrappers, components, LoRA suffixes. */
#include "core/lake/tensor_name.h"
#include "core/lake/kohya.h"
#include "core/lake/synonyms.h"

#include "core/base/mem.h"

#include <string.h>

struct words {
	char *at[TENSOR_NAME_WORDS];
	size_t n;
};

/* Words that say nothing about what a tensor is. */
static const char *const wrappers[] = {
	"_forward_module", "_fsdp_wrapped_module",
	"_orig_mod",       "backbone",
	"base_model",      "bert",
	"deberta",         "distilbert",
	"electra",         "gpt_neox",
	"language_model",  "llm",
	"model",           "module",
	"mpnet",           "params",
	"resnet",          "roberta",
	"state_dict",      "text_decoder",
	"transformer",     "vit",
};

static const struct { const char *word, *component; } components[] = {
	{"a", "audio"}, {"audio_encoder", "audio"}, {"audio_model", "audio"}, {"audio_tower", "audio"},
	{"cond_stage_model", "text"}, {"control_model", "controlnet"}, {"controlnet", "controlnet"},
	{"diffusion_model", "unet"}, {"first_stage_model", "vae"}, {"image_encoder", "vision"},
	{"img_encoder", "vision"}, {"mtp", "mtp"}, {"qformer", "qformer"}, {"safety_checker", "safety"},
	{"speech_encoder", "audio"},
	{"text_encoder", "text"}, {"text_encoder_2", "text2"}, {"text_encoder_3", "text3"}, {"text_model", "text"},
	{"unet", "unet"}, {"v", "vision"}, {"vae", "vae"}, {"vision_backbone", "vision"}, {"vision_encoder", "vision"},
	{"vision_model", "vision"}, {"vision_tower", "vision"}, {"visual", "vision"},
};

/* Words after which a number counts blocks. */
static const char *const containers[] = {
	"blk", "block", "blocks", "decoder_layers", "encoder_layer", "encoder_layers",
	"h",   "layer", "layers", "resblocks",
};

static bool is_one_of(const char *w, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (w[0] == list[i][0] && !strcmp(w, list[i]))
			return true;
	return false;
}

static bool is_container(const char *w)
{
	return is_one_of(w, containers, COUNT(containers));
}

/* At most five digits: a larger number is no layer of anything. */
static bool number(const char *w, int32_t *out)
{
	int32_t v = 0;
	size_t i = 0;

	for (; w[i] >= '0' && w[i] <= '9' && i < 6; i++)
		v = v * 10 + (w[i] - '0');
	if (!i || i == 6 || w[i])
		return false;
	*out = v;
	return true;
}

/* Flax and torchvision write the number behind an underscore: layers_3, encoder_layer_3. */
static char *joined_number(char *w, const char *end)
{
	char *u;
	int32_t v;

	if (end == w || end[-1] < '0' || end[-1] > '9' || !(u = strrchr(w, '_')) || u == w || !number(u + 1, &v))
		return NULL;
	*u = 0;
	if (is_container(w))
		return u + 1;
	*u = '_';
	return NULL;
}

static bool words_split(struct words *ws, char *text)
{
	char *p = text;

	ws->n = 0;
	while (true) {
		char *end = p + strcspn(p, "./"), *num;
		char stop = *end;

		*end = 0;
		if (ws->n + 2 > TENSOR_NAME_WORDS)
			return false;
		ws->at[ws->n++] = p;
		if ((num = joined_number(p, end)))
			ws->at[ws->n++] = num;
		if (!stop)
			return true;
		p = end + 1;
	}
}

static void words_drop(struct words *ws, size_t at, size_t count)
{
	memmove(ws->at + at, ws->at + at + count, (ws->n - at - count) * sizeof *ws->at);
	ws->n -= count;
}

static bool ends_with(char *w, const char *end)
{
	size_t n = strlen(w), m = strlen(end);

	if (n <= m || strcmp(w + n - m, end))
		return false;
	w[n - m] = 0;
	return true;
}

static const struct { const char *word; enum lora_kind kind;
} lora_words[] = {
	{"lora_A", LORA_A},
	{"lora_B", LORA_B},
	{"lora_a", LORA_A_T},
	{"lora_b", LORA_B_T},
	{"lora_down", LORA_A},
	{"lora_up", LORA_B},
	{"lora_mid", LORA_MID},
	{"lora_embedding_A", LORA_EMBED_A},
	{"lora_embedding_B", LORA_EMBED_B},
	{"lora_magnitude_vector", LORA_MAGNITUDE},
	{"dora_scale", LORA_MAGNITUDE},
};

static enum lora_kind lora_word(const char *w)
{
	if (w[0] != 'l' && w[0] != 'd')
		return LORA_NONE;
	for (size_t i = 0; i < COUNT(lora_words); i++)
		if (!strcmp(w, lora_words[i].word))
			return lora_words[i].kind;
	return LORA_NONE;
}

/* "X.to_q.lora.down", "X.processor.to_q_lora.down": diffusers before PEFT. */
static void lora_of_diffusers(struct tensor_name *n, struct words *ws)
{
	char *first = n->text + sizeof n->text - 2;	/* behind the name, which is half as long at most */
	char *last = ws->at[ws->n - 1], *before;
	bool down = !strcmp(last, "down");

	if (ws->n < 3 || (!down && strcmp(last, "up")))
		return;
	before = ws->at[ws->n - 2];
	if (!strcmp(before, "lora") || !strcmp(before, "lora_linear_layer"))
		ws->n -= 2;
	else if (ends_with(before, "_lora"))
		ws->n--;
	else
		return;
	n->lora = down ? LORA_A : LORA_B;
	if (ws->n > 1 && !strcmp(ws->at[ws->n - 2], "processor"))
		words_drop(ws, ws->n - 2, 1);
	if (!strcmp(ws->at[ws->n - 1], "to_out"))
		ws->at[ws->n++] = strcpy(first, "0");	/* the module is a sequence; its first is meant */
}

/* Takes the LoRA words off the end; the adapter's own name ("default") goes with them. */
static void lora_parse(struct tensor_name *n, struct words *ws)
{
	size_t from = ws->n > 3 ? ws->n - 3 : 1;

	for (size_t i = ws->n; i-- > from;) {
		enum lora_kind kind = lora_word(ws->at[i]);

		if (kind == LORA_NONE)
			continue;
		/* llama.cpp's adapters: "blk.0.attn_q.weight.lora_a" is rank x inputs like PEFT's */
		if (i >= 2 && !strcmp(ws->at[i - 1], "weight") && (kind == LORA_A_T || kind == LORA_B_T)) {
			kind = kind == LORA_A_T ? LORA_A : LORA_B;
			i--;
		}
		n->lora = kind;
		ws->n = i;
		return;
	}
}

/* Flax: "wte.embedding". */
static bool flax_table(const struct words *ws)
{
	const char *before = ws->n > 1 ? ws->at[ws->n - 2] : "";

	return !strcmp(ws->at[ws->n - 1], "embedding") && (strstr(before, "embed") || !strcmp(before, "wte") ||
							   !strcmp(before, "wpe") || !strcmp(before, "shared"));
}

/* The parameter's own word: weight is silent, bias is said. */
static void leaf_parse(struct tensor_name *n, struct words *ws)
{
	char *last = ws->at[ws->n - 1];

	if (!strcmp(last, "alpha") && ws->n > 1 && !n->lora) {
		n->lora = LORA_ALPHA;
		ws->n--;
	} else if (ws->n > 1 && (!strcmp(last, "weight") || !strcmp(last, "gamma"))) {
		ws->n--;
	} else if (ws->n > 1 && (!strcmp(last, "bias") || !strcmp(last, "beta"))) {
		n->bias = true;
		ws->n--;
	} else if (ws->n > 1 && !strcmp(last, "kernel")) {
		n->kernel = true;
		ws->n--;
	} else if (flax_table(ws)) {
		ws->n--;
	} else if (!strcmp(last, "text_projection")) {
		n->kernel = true;	/* CLIP's own code multiplies by it as it is, no module does */
	} else if (ends_with(last, "_bias")) {
		n->bias = true;
	} else {
		ends_with(last, "_weight");
	}
}

/* Flax calls a norm's weight "scale"; other things called scale keep their name. */
static void scale_parse(struct words *ws)
{
	const char *before = ws->n > 1 ? ws->at[ws->n - 2] : "";

	if (ws->n > 1 && !strcmp(ws->at[ws->n - 1], "scale") &&
	    (strstr(before, "norm") || strstr(before, "Norm") || strstr(before, "ln_")))
		ws->n--;
}

static const char *component_of(const char *w)
{
	for (size_t i = 0; i < COUNT(components); i++)
		if (w[0] == components[i].word[0] && !strcmp(w, components[i].word))
			return components[i].component;
	return NULL;
}

/* SDXL's single-file checkpoints keep their two text encoders here. */
static size_t embedders(struct tensor_name *n, struct words *ws, size_t i)
{
	if (i + 3 >= ws->n || strcmp(ws->at[i], "conditioner") || strcmp(ws->at[i + 1], "embedders"))
		return i;
	n->component = strcmp(ws->at[i + 2], "0") ? "text2" : "text";
	return i + 3;
}

/* Wrappers and components in front; leaves ws without them. */
static void front_parse(struct tensor_name *n, struct words *ws)
{
	size_t i = 0;

	while (i + 1 < ws->n) {
		const char *c, *w = ws->at[i];
		size_t j = embedders(n, ws, i);

		if (j > i) {
			i = j;
			continue;
		}
		if (is_one_of(w, wrappers, COUNT(wrappers))) {
			i++;
		} else if ((c = component_of(w)) &&
			   (w[1] || !strcmp(ws->at[i + 1], "blk") || strchr(ws->at[i + 1], '_'))) {
			if (!*n->component)
				n->component = c;
			i++;
		} else {
			break;
		}
	}
	words_drop(ws, 0, i);
}

static char *put(char *p, const char *end, const char *w, char sep)
{
	size_t len = strlen(w);

	if (sep && p < end)
		*p++ = sep;
	if (len > (size_t)(end - p))
		len = (size_t)(end - p);
	memcpy(p, w, len);
	p[len] = 0;
	return p + len;
}

static bool is_side(const char *w, char *side)
{
	*side = !strcmp(w, "encoder") || !strcmp(w, "enc") ? 'e' : !strcmp(w, "decoder") || !strcmp(w, "dec") ? 'd' : 0;
	return *side;
}

/* The module below a block, its expert's number taken out. */
static void module_in_block(struct tensor_name *n, const struct words *ws, size_t from)
{
	char *p = n->module;
	const char *end = n->module + sizeof n->module - 1;

	for (size_t i = from; i < ws->n; i++) {
		const char *w = ws->at[i], *before = ws->at[i - 1];
		int32_t v;

		if (i > from && n->expert < 0 && number(w, &v) &&
		    (!strcmp(before, "experts") || !strncmp(before, "ffn_", 4))) {
			n->expert = v;
			w = "@";
		}
		p = put(p, end, w, i > from ? '.' : 0);
	}
}

static void block_parse(struct tensor_name *n, struct words *ws)
{
	size_t at = 0, front = 0;
	char *p = n->body, *m = n->module;
	const char *end = n->body + sizeof n->body - 1, *mend = n->module + sizeof n->module - 1;

	while (at < ws->n && !number(ws->at[at], &n->layer))
		at++;
	/* A module named by nothing but a number ("0.weight") is a layer too. */
	for (size_t i = 0; i < ws->n; i++)
		p = put(p, end, i == at ? "#" : ws->at[i], i ? '.' : 0);
	if (is_side(ws->at[0], &n->side) && ws->n > 1)
		front = 1;
	else
		n->side = 0;
	n->in_block = at < ws->n - 1 && at > 0 && is_container(ws->at[at - 1]);
	if (n->in_block) {
		module_in_block(n, ws, at + 1);
		return;
	}
	for (size_t i = front; i < ws->n; i++)
		m = put(m, mend, ws->at[i], i > front ? '.' : 0);
}

/* The same module under another name is the same module. False: too many words. */
static bool words_translate(struct tensor_name *n, struct words *ws)
{
	return ws->n <= 1 || !module_synonym(n->component, ws->at, ws->n, n->body, sizeof n->body) ||
	       words_split(ws, strcpy(n->text, n->body));
}

void tensor_name_parse(struct tensor_name *n, const char *name)
{
	size_t len = strlen(name);
	struct words ws;

	n->opaque = n->bias = n->kernel = n->in_block = false;
	n->lora = LORA_NONE;
	n->component = "";
	n->side = 0;
	n->layer = n->expert = -1;
	n->body[0] = n->module[0] = 0;
	if (len > TENSOR_NAME_MAX || !len) {
		n->opaque = true;
		return;
	}
	if (!kohya_name(name, n->text, sizeof n->text))
		memcpy(n->text, name, len + 1);
	ends_with(n->text, ":0");
	if (!words_split(&ws, n->text)) {
		n->opaque = true;
		return;
	}
	lora_parse(n, &ws);
	leaf_parse(n, &ws);
	if (!n->lora)
		lora_of_diffusers(n, &ws);
	scale_parse(&ws);
	front_parse(n, &ws);
	if (!words_translate(n, &ws)) {
		n->opaque = true;
		return;
	}
	block_parse(n, &ws);
}
