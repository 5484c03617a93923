#ifndef TARN_BASE_HASH_H
#define TARN_BASE_HASH_H
/* XXH3 (github.com/Cyan4973/xxHash): content keys and seeded choices. Not against an adversary. */
#include <stddef.h>
#include <stdint.h>

struct hash128 { uint64_t hi, lo; };
struct hash_state;	/* streaming */

uint64_t hash64(const void *data, size_t len, uint64_t seed);
struct hash128 hash128(const void *data, size_t len);
static inline int hash128_cmp(struct hash128 a, struct hash128 b)
{
	return a.hi != b.hi ? (a.hi < b.hi ? -1 : 1) : a.lo != b.lo ? (a.lo < b.lo ? -1 : 1) : 0;
}
void hash128_hex(struct hash128 h, char out[33]);

struct hash_state *hash_new(void);		/* NULL when out of memory */
void hash_update(struct hash_state *s, const void *data, size_t len);
struct hash128 hash_digest(const struct hash_state *s);
void hash_free(struct hash_state *s);

/* splitmix64's finaliser: a well mixed number from a counter. */
static inline uint64_t hash_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
