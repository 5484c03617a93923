#ifndef TARN_BASE_MEM_H
#define TARN_BASE_MEM_H
/*
 * Memory. Every allocation of tarn's own goes through mem_*, so that tests can make the Nth one
 * fail. Ownership in one sentence: callers own what they pass; functions named _new, _dup or _take
 * transfer; results shared between threads are immutable and counted; the rest dies with its arena.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* All return NULL when out of memory. mem_alloc zeroes. Free with free(). */
void *mem_alloc(size_t size);
void *mem_array(size_t n, size_t size);		/* zeroed; NULL on overflow */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);

/* Grow *p (elements of `size` bytes, *cap of them) to hold at least `need`; -ENOMEM leaves it as it was. */
int mem_grow_(void **p, size_t *cap, size_t need, size_t size);
#define mem_grow(p, cap, need) mem_grow_((void **)(p), (cap), (need), sizeof **(p))

/* Tests: the nth allocation from now fails (0: never), and how many there were since. */
void mem_fail_at(uint64_t nth);
uint64_t mem_count(void);

/* An arena: many small things that die together. Not for threads to share while it grows. */
struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used;	/* bytes handed out */
	size_t limit;	/* 0: none; beyond it allocations fail */
	bool full;	/* it was asked for more than its limit, or than any memory: that is no lack of memory */
};
void *arena_alloc(struct arena *a, size_t size);	/* zeroed, 16-aligned */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
__attribute__((format(printf, 2, 3))) char *arena_printf(struct arena *a, const char *fmt, ...);
void arena_release(struct arena *a);

/* Cleanup attributes: `cleanup_free char *s = …;` and steal(&s) to hand it on. */
static inline void mem_cleanup_free(void *p) { free(*(void **)p); }
static inline void mem_cleanup_fd(int *fd) { if (*fd >= 0) close(*fd); }
#define cleanup_free __attribute__((__cleanup__(mem_cleanup_free)))
#define cleanup_fd __attribute__((__cleanup__(mem_cleanup_fd)))
#define cleanup_with(f) __attribute__((__cleanup__(f)))
#define steal(p) ({ __typeof__(*(p)) steal_ = *(p); *(p) = 0; steal_; })

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define MIN(a, b) ({ __typeof__(a) min_a_ = (a); __typeof__(b) min_b_ = (b); min_a_ < min_b_ ? min_a_ : min_b_; })
#define MAX(a, b) ({ __typeof__(a) max_a_ = (a); __typeof__(b) max_b_ = (b); max_a_ > max_b_ ? max_a_ : max_b_; })

#endif
