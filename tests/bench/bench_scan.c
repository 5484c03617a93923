/*
 * The scan beside `find LAKE -type f`, its yardstick, over a tree of model directories made for it: interleaved runs,
 * minimum of each. usage: bench_scan [DIRECTORIES] [RUNS]   (100000, 9)
 */
#include "tests/support/remove_tree.h"
#include "core/lake/scan.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void make(const char *root, unsigned n)
{
	char path[PATH_MAX];
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/org%04u", root, i / 100);
		if (i % 100 == 0)
			mkdir(path, 0755);
		snprintf(path, sizeof path, "%s/org%04u/model-%06u", root, i / 100, i);
		mkdir(path, 0755);
		strcat(path, "/model.safetensors");
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, "\2\0\0\0\0\0\0\0{}", 10) != 10) {
			perror(path);
			exit(1);
		}
		close(fd);
	}
}

static double find(const char *root)
{
	double start = now();
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execlp("find", "find", root, "-type", "f", (char *)NULL);
		_exit(127);
	}
	int status;
	waitpid(child, &status, 0);
	if (status)
		exit(1);
	return now() - start;
}

static double scan(const struct lake *l, unsigned flags, unsigned threads, size_t *memory)
{
	struct scan s;
	struct err e = ERR_INIT;
	double start = now();
	if (lake_scan(&s, l, flags, threads, NULL, NULL, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	double took = now() - start;
	*memory = s.n_models * sizeof *s.models;
	for (size_t i = 0; i < s.n_arenas; i++)
		*memory += s.arenas[i].used;
	scan_release(&s);
	return took;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 100000, runs = argc > 2 ? (unsigned)atoi(argv[2]) : 9;
	char root[] = "/tmp/tarn-bench-XXXXXX";
	struct err e = ERR_INIT;
	struct lake l;
	double best[4] = {1e9, 1e9, 1e9, 1e9};
	size_t memory = 0;
	if (!mkdtemp(root) || lake_open(&l, (const char *[]){root}, 1, &e) < 0)
		return 1;
	make(root, n);
	for (unsigned i = 0; i < runs; i++) {
		best[0] = MIN(best[0], find(root));
		best[1] = MIN(best[1], scan(&l, SCAN_NAMES_ONLY, 1, &memory));
		best[2] = MIN(best[2], scan(&l, SCAN_NAMES_ONLY, pool_cores(), &memory));
		best[3] = MIN(best[3], scan(&l, 0, pool_cores(), &memory));
	}
	printf("find -type f              %.3f s\nnames only, one thread    %.3f s  %.2f x\nnames only, %2u threads    %.3f s  %.2f x\n"
	       "with stat, %2u threads     %.3f s  %.2f x\nmemory                    %zu bytes a model\n",
	       best[0], best[1], best[1] / best[0], pool_cores(), best[2], best[2] / best[0], pool_cores(), best[3],
	       best[3] / best[0], memory / n);
	lake_close(&l);
	remove_tree(root);
	return 0;
}
