#ifndef TARN_LAKE_LDM_NAMES_H
#define TARN_LAKE_LDM_NAMES_H
#include <stdbool.h>
#include <stddef.h>

/*
 * The names of the original Stable Diffusion checkpoints (one file; CompVis's latent-diffusion modules) as those that
 * diffusers gives the same modules: "input_blocks.4.1.norm" is "down_blocks.1.attentions.0.norm". words: a name without
 * wrappers, component and parameter; component: "unet", "vae", "controlnet" or "" where none was said.
 * Writes the dotted name to out; false when the words are none of these, or do not fit.
 */
bool ldm_name(const char *component, char *const *words, size_t n, char *out, size_t size);

#endif
