#ifndef TARN_LAKE_KOHYA_H
#define TARN_LAKE_KOHYA_H
#include <stdbool.h>
#include <stddef.h>

/* "lora_unet_down_blocks_0_…_to_q.lora_down.weight" as the dotted name it was made of; false when it is none. */
bool kohya_name(const char *name, char *out, size_t size);

#endif
