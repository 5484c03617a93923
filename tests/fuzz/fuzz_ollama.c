#include "tests/fuzz/fuzz.h"
#include "tests/support/remove_tree.h"

#include "core/lake/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static char root[] = "/tmp/tarn-fuzz-XXXXXX";

static void clean(void)
{
	remove_tree(root);
}

static void make(const char *path, const void *data, size_t len)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
}

/* A store of one tag with one blob, made once; what changes is the manifest. */
static const char *store(void)
{
	static char manifest[128];
	char path[192];
	if (*manifest)
		return manifest;
	if (!mkdtemp(root) || atexit(clean))
		abort();
	for (const char *p = "manifests/registry.ollama.ai/library/m/", *end = p; (end = strchr(end, '/')); end++) {
		snprintf(path, sizeof path, "%s/%.*s", root, (int)(end - p), p);
		if (mkdir(path, 0700))
			abort();
	}
	snprintf(path, sizeof path, "%s/blobs", root);
	if (mkdir(path, 0700))
		abort();
	int n = snprintf(path, sizeof path, "%s/blobs/sha256-", root);
	memset(path + n, 'a', 64);
	path[n + 64] = 0;
	make(path, "GGUF", 4);
	snprintf(manifest, sizeof manifest, "%s/manifests/registry.ollama.ai/library/m/latest", root);
	return manifest;
}

/* The bytes as a manifest: whatever it names lies below the store's blobs/. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct lake l;
	struct scan s;
	struct err e = ERR_INIT;
	const char *manifest = store(), *lake = root;
	make(manifest, data, len);
	if (lake_open(&l, &lake, 1, &e) < 0)
		abort();
	if (lake_scan(&s, &l, 0, 1, NULL, NULL, &e) < 0)
		abort();
	for (size_t i = 0; i < s.n_models; i++)
		for (size_t k = 0; k < s.models[i].n_files; k++) {
			const struct scan_file *f = &s.models[i].files[k];
			bool inside = !strncmp(f->path, "blobs/sha256-", 13) && !strchr(f->path + 13, '/');
			if ((!inside && strncmp(f->path, "manifests/", 10)) || !*f->name || strchr(f->name, '/'))
				abort();
		}
	scan_release(&s);
	lake_close(&l);
	return 0;
}
