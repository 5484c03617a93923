/*
 * tarn mount where tarn was built without libfuse.
 */
#include "fs/commands.h"

int command_mount(struct options *o)
{
	(void)o;
	return complain("cannot mount: this tarn was built without libfuse; 'tarn ls' and 'tarn cat' show the same "
			"tree");
}
