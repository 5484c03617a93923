/* The table of layouts: the first that recognises a directory takes it. */
#include "core/lake/layouts_internal.h"

const struct layout *const layouts[] = {
	&layout_hub,
	&layout_ollama,
	&layout_opaque,
	&layout_component,
	&layout_diffusers,
	&layout_modules,
	&layout_directory,	/* takes whatever is left */
	NULL,
};
