#include "core/base/hash.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

struct hash128 hash128(const void *data, size_t len)
{
	XXH128_hash_t h = XXH3_128bits(data, len);
	return (struct hash128){h.high64, h.low64};
}

void hash128_hex(struct hash128 h, char out[33])
{
	snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.hi, (unsigned long long)h.lo);
}

struct hash_state *hash_new(void)
{
	XXH3_state_t *s = XXH3_createState();
	if (s)
		XXH3_128bits_reset(s);
	return (struct hash_state *)s;
}

void hash_update(struct hash_state *s, const void *data, size_t len)
{
	XXH3_128bits_update((XXH3_state_t *)s, data, len);
}

struct hash128 hash_digest(const struct hash_state *s)
{
	XXH128_hash_t h = XXH3_128bits_digest((const XXH3_state_t *)s);
	return (struct hash128){h.high64, h.low64};
}

void hash_free(struct hash_state *s)
{
	XXH3_freeState((XXH3_state_t *)s);
}
