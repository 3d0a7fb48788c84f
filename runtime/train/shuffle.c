/* The order of the examples in an epoch: Fisher and Yates's shuffle with numbers from splitmix64 (Steele, Lea and Flood, 2014), which
 * needs no state beyond a counter, so that (seed, epoch) says it all and a training can be resumed in the middle of an epoch. */
#include "train/train.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void aval__shuffle(uint32_t *order, size_t count, uint64_t seed, uint64_t epoch)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t state = mix(seed + golden) ^ mix(mix(epoch + golden));
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        state += golden;
        /* 32 random bits scaled to 0 .. i - 1: i is below 2^32, and the bias, i / 2^32, is of no matter here */
        size_t j = (size_t)(((mix(state) >> 32) * (uint64_t)i) >> 32);
        uint32_t other = order[i - 1];
        order[i - 1] = order[j];
        order[j] = other;
    }
}
