#ifndef TARN_TESTS_TEMP_LAKE_H
#define TARN_TESTS_TEMP_LAKE_H
/* A lake in a temporary directory, made file by file, and its scan as text to compare with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/remove_tree.h"
#include "core/base/buf.h"
#include "core/lake/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct temp { char dir[64]; };

static inline void temp_init(struct temp *t)
{
	strcpy(t->dir, "/tmp/tarn-test-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
}

static inline void temp_release(struct temp *t)
{
	remove_tree(t->dir);
}

static inline void temp_path(const struct temp *t, const char *path, char out[PATH_MAX])
{
	assert_true(strlen(t->dir) + strlen(path) + 2 <= PATH_MAX);
	stpcpy(stpcpy(stpcpy(out, t->dir), "/"), path);
}

/* The directories above a path. */
static inline void temp_parents(const char *full)
{
	char part[PATH_MAX];
	for (const char *s = strchr(full + 1, '/'); s; s = strchr(s + 1, '/')) {
		memcpy(part, full, (size_t)(s - full));
		part[s - full] = 0;
		mkdir(part, 0755);
	}
}

static inline void temp_dir(const struct temp *t, const char *path)
{
	char full[PATH_MAX];
	temp_path(t, path, full);
	temp_parents(full);
	assert_int_equal(mkdir(full, 0755), 0);
}

static inline void temp_write(const struct temp *t, const char *path, const void *data, size_t len)
{
	char full[PATH_MAX];
	temp_path(t, path, full);
	temp_parents(full);
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	close(fd);
}

static inline void temp_text(const struct temp *t, const char *path, const char *text)
{
	temp_write(t, path, text, strlen(text));
}

/* A small file of what its name says, or a safetensors file. */
static inline void temp_file(const struct temp *t, const char *path)
{
	static const char gguf[24] = "GGUF\3", safetensors[10] = "\2\0\0\0\0\0\0\0{}";
	const char *dot = strrchr(path, '.');
	if (dot && (!strcmp(dot, ".json") || !strcmp(dot, ".md") || !strcmp(dot, ".txt")))
		temp_text(t, path, "{}");
	else if (dot && !strcmp(dot, ".gguf"))
		temp_write(t, path, gguf, sizeof gguf);
	else
		temp_write(t, path, safetensors, sizeof safetensors);
}

/* Several, separated by spaces. */
static inline void temp_files(const struct temp *t, const char *paths)
{
	char one[PATH_MAX];
	while (*paths) {
		size_t n = strcspn(paths, " ");
		assert_true(n < sizeof one);
		memcpy(one, paths, n);
		one[n] = 0;
		if (n)
			temp_file(t, one);
		paths += n + (paths[n] == ' ');
	}
}

static inline void temp_link(const struct temp *t, const char *to, const char *path)
{
	char full[PATH_MAX];
	temp_path(t, path, full);
	temp_parents(full);
	assert_int_equal(symlink(to, full), 0);
}

static inline const char *const *temp_reserved(void)
{
	static const char *const reserved[] = {"files", "metadata", "README.md", NULL};
	return reserved;
}

static inline void temp_open(struct lake *l, const struct temp *t, const char *below)
{
	char full[PATH_MAX];
	struct err e = ERR_INIT;
	temp_path(t, below, full);
	if (lake_open(l, (const char *[]){full}, 1, &e) < 0)
		fail_msg("%s", e.msg);
}

static inline void temp_scan(struct scan *s, const struct lake *l, unsigned flags, unsigned threads)
{
	struct err e = ERR_INIT;
	if (lake_scan(s, l, flags, threads, temp_reserved(), NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

/* "id id id" */
static inline char *temp_ids(const struct scan *s)
{
	struct buf b = {0};
	for (size_t i = 0; i < s->n_models; i++) {
		if (i)
			buf_char(&b, ' ');
		buf_str(&b, s->models[i].id);
	}
	return buf_take(&b);
}

/* One line a row: "path: reason". */
static inline char *temp_unread(const struct scan *s)
{
	struct buf b = {0};
	for (size_t i = 0; i < s->n_unread; i++)
		buf_printf(&b, "%s: %s\n", s->unread[i].path, s->unread[i].reason);
	return buf_take(&b);
}

/* A model's files: "W:name A:name C:name …", broken ones with a '!'. */
static inline char *temp_model(const struct scan *s, const char *id)
{
	static const char kinds[] = "OWICDTRA";
	struct buf b = {0};
	for (size_t i = 0; i < s->n_models; i++)
		for (size_t f = 0; strcmp(s->models[i].id, id) == 0 && f < s->models[i].n_files; f++) {
			const struct scan_file *file = &s->models[i].files[f];
			buf_printf(&b, "%s%c:%s%s", b.len ? " " : "", kinds[file->kind], file->name, file->broken ? "!" : "");
		}
	return buf_take(&b);
}

#define assert_text(call, expected) \
	do { \
		char *text_ = (call); \
		assert_string_equal(text_, expected); \
		free(text_); \
	} while (0)

#endif
