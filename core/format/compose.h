#ifndef TARN_FORMAT_COMPOSE_H
#define TARN_FORMAT_COMPOSE_H
/*
 * Quantised weights as the ecosystem stores them, several tensors for one weight, shown as that one weight:
 *
 *   bitsandbytes int8   X.weight I8, X.SCB                          w = q · SCB[row] / 127
 *   bitsandbytes 4 bit  X U8, X.absmax, X.quant_map, X.quant_state.bitsandbytes__nf4|fp4 (JSON), X.nested_*
 *                                                                   w = map[q] · absmax[block]
 *   GPTQ                X.qweight, X.qzeros, X.scales, X.g_idx      w = (q − z − 1) · s[group]; format v2 without the 1
 *   AWQ                 X.qweight, X.qzeros, X.scales               the same without the 1, nibbles in its own order
 *   compressed-tensors  X.weight_packed, X.weight_scale, X.weight_shape, X.weight_zero_point, X.weight_g_idx; or X.weight
 *                       I8 with X.weight_scale                      w = (q − z) · s
 *   FP8                 X.weight F8 with X.weight_scale or X.weight_scale_inv, one, a row, or a block; MXFP8: 32 columns
 *                       and a scale of eight bits (E8M0); ComfyUI says X.scale_weight
 *   MXFP4 (gpt-oss)     X_blocks U8 [.., R, C/32, 16], X_scales U8  w = fp4 · 2^(s − 127), [.., R, C]; in the original
 *                       files X.blocks and X.scales
 *   NVFP4               X.weight_packed U8, X.weight_scale F8 for 16 columns, X.weight_global_scale   w = q · (s / g)
 *                       (compressed-tensors; MXFP4 there has scales of E8M0); X.weight U8, X.weight_scale,
 *                       X.weight_scale_2 (ModelOpt)                 w = q · (s · g)
 *   MLX                 X.weight U32, X.scales, X.biases            w = q · s + b; MXFP4, NVFP4, MXFP8: scales U8, no biases
 *
 * Sources: the projects' own packing code (bitsandbytes functional.py, AutoGPTQ qlinear, AutoAWQ packing_utils,
 * compressed-tensors compressors, transformers' finegrained_fp8 and mxfp4, ModelOpt qtensor, mlx ops/quantize); OCP
 * Microscaling Formats v1.0.
 */
#include "core/format/format.h"

/*
 * After weights_open, for any format: components in w->tensors become composites, each in the place of its main part,
 * of dtype DTYPE_BNB_INT8 …, float32 when read; read_raw gives the components' stored bytes after each other. Recognised
 * by names, types and shapes; `config` (the model's config.json, or NULL) settles what they leave open (group size,
 * block size, GPTQ's format). What looks like one and does not fit together stays as it is, with a warning.
 * Sets w->quantization. Errors: ENOMEM. Call it once.
 */
int weights_compose(struct weights *w, const struct value *config, struct err *e);

/* The tensors as they are stored: w itself unless composed. Valid as long as w. */
const struct weights *weights_stored(const struct weights *w);
/* transformers' parameter of that name has each matrix transposed (gpt-oss's experts). */
bool weights_turned(const struct weights *w, const struct tensor *t);
/* The stored parts of a composite, main part first; 0 for a plain tensor. */
size_t weights_parts(const struct weights *w, const struct tensor *t, const struct tensor *const **parts);

#endif
