#ifndef TARN_LAKE_LAYOUTS_INTERNAL_H
#define TARN_LAKE_LAYOUTS_INTERNAL_H
/* The layouts that layout.c's table lists, one file each. */
#include "core/lake/layout.h"

extern const struct layout layout_hub, layout_ollama, layout_opaque, layout_component, layout_diffusers, layout_modules,
	layout_directory;

#endif
