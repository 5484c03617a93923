/* Replays inputs: every file named, and every file below every directory named, in the order they are found. */
#include "tests/fuzz/fuzz.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static int one_file(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)place;
	if (kind != FTW_F)
		return 0;
	FILE *f = fopen(path, "rb");
	size_t size = (size_t)st->st_size;
	uint8_t *data = malloc(size ? size : 1);	/* no byte more, so that a read past the end is seen */
	if (!f || !data || fread(data, 1, size, f) != size) {
		perror(path);
		exit(1);
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (nftw(argv[i], one_file, 16, FTW_PHYS)) {
			perror(argv[i]);
			return 1;
		}
	return 0;
}
