/* Growth of the arrays that AVAL__VEC declares. */
#include "base/base.h"

#define LEAST_CAPACITY 8

int aval__vec_grow(void **at, size_t *capacity, size_t wanted, size_t item_bytes)
{
    if (wanted <= *capacity) return AVAL_OK;
    size_t grown = *capacity < LEAST_CAPACITY ? LEAST_CAPACITY : *capacity > SIZE_MAX / 2 ? SIZE_MAX : *capacity * 2;
    if (grown < wanted) grown = wanted;
    void *memory = aval__resize(*at, grown, item_bytes);
    if (!memory) return AVAL_E_MEMORY;
    *at = memory;
    *capacity = grown;
    return AVAL_OK;
}
