/* Rules by which the names of one library become those of another. Latent diffusion numbers the same blocks flat that
 * diffusers numbers by resolution. */
#include "core/lake/synonyms.h"

#include "core/base/mem.h"

#include <stdio.h>
#include <string.h>

enum { NUMBERS = 3 };	/* at most in a name */

/* In `from` a star is a number. In `to`, of the first number: %d its block and %D its place in the way down, %u and %U
 * in the way up (two modules a block and what changes the resolution; one convolution before the way down; three in a
 * block of the way up), %r counted from the other end of four, %m one less, %h half of one less. %1 and %2: as
 * they are; %p and %q: the first and the third number, one more. */
struct rule {
	const char *component;	/* NULL: the words are its own, whether a component was named or not */
	const char *from, *to;
};

static const struct rule rules[] = {
	{NULL, "time_embed.0", "time_embedding.linear_1"},
	{NULL, "time_embed.2", "time_embedding.linear_2"},
	{NULL, "label_emb.0.0", "add_embedding.linear_1"},
	{NULL, "label_emb.0.2", "add_embedding.linear_2"},
	{NULL, "input_blocks.0.0", "conv_in"},
	{NULL, "input_blocks.*.0.op", "down_blocks.%d.downsamplers.0.conv"},
	{NULL, "input_blocks.*.0", "down_blocks.%d.resnets.%D"},
	{NULL, "input_blocks.*.1", "down_blocks.%d.attentions.%D"},
	{NULL, "middle_block.0", "mid_block.resnets.0"},
	{NULL, "middle_block.1", "mid_block.attentions.0"},
	{NULL, "middle_block.2", "mid_block.resnets.1"},
	{NULL, "output_blocks.*.0", "up_blocks.%u.resnets.%U"},
	{NULL, "output_blocks.*.1.conv", "up_blocks.%u.upsamplers.0.conv"},
	{NULL, "output_blocks.*.2.conv", "up_blocks.%u.upsamplers.0.conv"},
	{NULL, "output_blocks.*.1", "up_blocks.%u.attentions.%U"},
	{"unet", "out.0", "conv_norm_out"},
	{"unet", "out.2", "conv_out"},
	{"controlnet", "zero_convs.*.0", "controlnet_down_blocks.%1"},
	{"controlnet", "middle_block_out.0", "controlnet_mid_block"},
	{"controlnet", "input_hint_block.0", "controlnet_cond_embedding.conv_in"},
	{"controlnet", "input_hint_block.14", "controlnet_cond_embedding.conv_out"},
	{"controlnet", "input_hint_block.*", "controlnet_cond_embedding.blocks.%h"},
	{NULL, "encoder.down.*.block.*", "encoder.down_blocks.%1.resnets.%2"},
	{NULL, "encoder.down.*.downsample.conv", "encoder.down_blocks.%1.downsamplers.0.conv"},
	{NULL, "decoder.up.*.block.*", "decoder.up_blocks.%r.resnets.%2"},
	{NULL, "decoder.up.*.upsample.conv", "decoder.up_blocks.%r.upsamplers.0.conv"},
	{NULL, "encoder.mid.block.*", "encoder.mid_block.resnets.%m"},
	{NULL, "decoder.mid.block.*", "decoder.mid_block.resnets.%m"},
	{NULL, "encoder.mid.attn_1", "encoder.mid_block.attentions.0"},
	{NULL, "decoder.mid.attn_1", "decoder.mid_block.attentions.0"},
	/* diffusers' own older words for the VAE's attention */
	{NULL, "encoder.mid_block.attentions.0", "encoder.mid_block.attentions.0"},
	{NULL, "decoder.mid_block.attentions.0", "decoder.mid_block.attentions.0"},
	{NULL, "embedder.embedder.convolution", "conv1"},
	{NULL, "embedder.embedder.normalization", "bn1"},
	{NULL, "encoder.stages.*.layers.*.layer.*.convolution", "layer%p.%2.conv%q"},
	{NULL, "encoder.stages.*.layers.*.layer.*.normalization", "layer%p.%2.bn%q"},
	{NULL, "encoder.stages.*.layers.*.shortcut.convolution", "layer%p.%2.downsample.0"},
	{NULL, "encoder.stages.*.layers.*.shortcut.normalization", "layer%p.%2.downsample.1"},
	{"vae", "encoder.norm_out", "encoder.conv_norm_out"},
	{"vae", "decoder.norm_out", "decoder.conv_norm_out"},
};

/* What is left below a residual block, and below the VAE's attention. */
static const struct { const char *inside, *from, *to; } below[] = {
	{".resnets.", "in_layers.0", "norm1"},
	{".resnets.", "in_layers.2", "conv1"},
	{".resnets.", "emb_layers.1", "time_emb_proj"},
	{".resnets.", "out_layers.0", "norm2"},
	{".resnets.", "out_layers.3", "conv2"},
	{".resnets.", "skip_connection", "conv_shortcut"},
	{".resnets.", "nin_shortcut", "conv_shortcut"},
	{"coder.mid_block.attentions.", "norm", "group_norm"},
	{"coder.mid_block.attentions.", "q", "to_q"},
	{"coder.mid_block.attentions.", "k", "to_k"},
	{"coder.mid_block.attentions.", "v", "to_v"},
	{"coder.mid_block.attentions.", "proj_out", "to_out.0"},
	{"coder.mid_block.attentions.", "query", "to_q"},
	{"coder.mid_block.attentions.", "key", "to_k"},
	{"coder.mid_block.attentions.", "value", "to_v"},
	{"coder.mid_block.attentions.", "proj_attn", "to_out.0"},
};

static bool small_number(const char *w, unsigned *v)
{
	*v = 0;
	for (size_t i = 0; w[i]; i++) {
		if (w[i] < '0' || w[i] > '9' || i > 2)
			return false;
		*v = *v * 10 + (unsigned)(w[i] - '0');
	}
	return *w;
}

/* How many of the words the pattern takes, 0: it does not fit. */
static size_t matches(const char *from, char *const *words, size_t n, unsigned number[NUMBERS])
{
	size_t i = 0, stars = 0;

	for (const char *p = from; *p; i++) {
		size_t len = strcspn(p, ".");

		if (i == n)
			return 0;
		if (*p == '*' ? !small_number(words[i], &number[stars++]) :
				strncmp(words[i], p, len) || words[i][len])
			return 0;
		p += len + (p[len] == '.');
	}
	return i;
}

/* The first number as the rule wants it; false where it counts nothing there. */
static bool counted(char how, const unsigned number[NUMBERS], unsigned *v)
{
	unsigned x = number[0];

	switch (how) {
	case 'd':
		*v = (x - 1) / 3;
		return x;
	case 'D':
		*v = (x - 1) % 3;
		return x;
	case 'u':
		*v = x / 3;
		return true;
	case 'U':
		*v = x % 3;
		return true;
	case 'r':
		*v = 3 - x;
		return x < 4;
	case 'm':
		*v = x - 1;
		return x;
	case 'h':
		*v = (x - 1) / 2;
		return x;
	case 'p':
	case 'q':
		*v = number[how == 'p' ? 0 : 2] + 1;
		return true;
	default:
		*v = number[how == '2'];
		return true;
	}
}

static char *filled(const char *to, const unsigned number[NUMBERS], char *o)
{
	for (; *to; to++) {
		unsigned v;

		if (*to != '%')
			*o++ = *to;
		else if (counted(*++to, number, &v))
			o += sprintf(o, "%u", v);
		else
			return NULL;
	}
	*o = 0;
	return o;
}

/* The words behind those that a rule took; out holds what they became. */
static const char *rest_of(const char *out, char *const *words, size_t n)
{
	for (size_t i = 0; i < COUNT(below); i++) {
		unsigned none[NUMBERS];

		if (matches(below[i].from, words, n, none) == n && strstr(out, below[i].inside))
			return below[i].to;
	}
	return NULL;
}

bool module_synonym(const char *component, char *const *words, size_t n, char *out, size_t size)
{
	unsigned number[NUMBERS] = {0};
	const struct rule *r = rules;
	size_t used = 0, need = 64;
	const char *known;
	char *o;

	while (r < rules + COUNT(rules) && ((r->component && strcmp(r->component, component)) ||
					    !(used = matches(r->from, words, n, number))))
		r++;
	for (size_t i = used; i < n; i++)
		need += strlen(words[i]) + 1;
	if (!used || need > size || !(o = filled(r->to, number, out)))
		return false;
	if (used < n && (known = rest_of(out, words + used, n - used)))
		stpcpy(stpcpy(o, "."), known);
	else
		for (size_t i = used; i < n; i++)
			o = stpcpy(stpcpy(o, "."), words[i]);
	return true;
}
