/* The random numbers of kernels/philox.clh on the host, for references. */
#ifndef AVAL_PLUGINS_PHILOX_H
#define AVAL_PLUGINS_PHILOX_H

#include <stdint.h>

/* The four words of a block. */
static inline void philox(uint64_t block, uint64_t seed, uint64_t counter, uint32_t words[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    words[0] = (uint32_t)block;
    words[1] = (uint32_t)(block >> 32);
    words[2] = (uint32_t)counter;
    words[3] = (uint32_t)(counter >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * words[0], p1 = (uint64_t)0xCD9E8D57u * words[2];
        words[0] = (uint32_t)(p1 >> 32) ^ words[1] ^ key0;
        words[2] = (uint32_t)(p0 >> 32) ^ words[3] ^ key1;
        words[1] = (uint32_t)p1;
        words[3] = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* A number in [0, 1). */
static inline double philox_uniform(uint32_t word)
{
    return (word >> 8) * 0x1p-24;
}

#endif
