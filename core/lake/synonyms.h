#ifndef TARN_LAKE_SYNONYMS_H
#define TARN_LAKE_SYNONYMS_H
#include <stdbool.h>
#include <stddef.h>

/*
 * Modules that two libraries number in different ways, in the words of the one that most files use: the original Stable
 * Diffusion checkpoints (one file; CompVis's latent-diffusion modules) as diffusers has them ("input_blocks.4.1.norm" is
 * "down_blocks.1.attentions.0.norm"), residual networks of transformers as torchvision and timm have them.
 * words: a name without wrappers, component and parameter; component: "unet", "vae", "controlnet" or "" where none was
 * said. Writes the dotted name to out; false when the words are none of these, or do not fit.
 */
bool module_synonym(const char *component, char *const *words, size_t n, char *out, size_t size);

#endif
