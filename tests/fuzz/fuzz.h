#ifndef TARN_FUZZ_H
#define TARN_FUZZ_H
/*
 * Fuzz targets: LLVMFuzzerTestOneInput each. Built with -Dfuzz=true (clang) they are libFuzzer programs, otherwise
 * fuzz_main.c replays the files and directories that are its arguments.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Open these bytes as a model file and read a few values of its first and last tensors: whatever format they look like,
 * or only if they look like the one named. */
void fuzz_weights(const void *data, size_t len);
void fuzz_format(const char *name, const void *data, size_t len);

/* Walk a tree: no more than `count` values, not too deep, every string ends, every member is found. */
struct value;
void fuzz_value(const struct value *v, size_t count);

#endif
