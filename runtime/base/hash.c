/* Hashes, by xxHash: keys of caches and checksums of files; not for secrets. */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

aval__hash aval__hash_bytes(const void *data, size_t bytes)
{
    XXH128_hash_t h = XXH3_128bits(data, bytes);
    return (aval__hash){ .low = h.low64, .high = h.high64 };
}

uint64_t aval__hash64(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

void aval__hash_text(aval__hash h, char out[33])
{
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, h.high, h.low);
}
