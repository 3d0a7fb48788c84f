/* The only callers of malloc: sizes are checked for overflow and each failure leaves a message. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST_BYTES ((size_t)PTRDIFF_MAX) /* no object can be larger, so no allocator need be asked */

static void *out_of_memory(size_t count, size_t item_bytes)
{
    if (item_bytes > 1) aval__fail(AVAL_E_MEMORY, "out of memory: %zu x %zu bytes were asked for", count, item_bytes);
    else aval__fail(AVAL_E_MEMORY, "out of memory: %zu bytes were asked for", count);
    return NULL;
}

void *aval__alloc(size_t bytes)
{
    return aval__alloc_array(bytes, 1);
}

void *aval__alloc_array(size_t count, size_t item_bytes)
{
    if (item_bytes && count > LARGEST_BYTES / item_bytes) return out_of_memory(count, item_bytes);
    /* calloc may answer NULL to a request for nothing. */
    void *memory = count && item_bytes ? calloc(count, item_bytes) : calloc(1, 1);
    return memory ? memory : out_of_memory(count, item_bytes);
}

void *aval__resize(void *memory, size_t count, size_t item_bytes)
{
    if (item_bytes && count > LARGEST_BYTES / item_bytes) return out_of_memory(count, item_bytes);
    size_t bytes = count * item_bytes;
    void *resized = realloc(memory, bytes ? bytes : 1);
    return resized ? resized : out_of_memory(count, item_bytes);
}

char *aval__copy_text(const char *text)
{
    if (!text) return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = aval__alloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

void aval__free(void *memory)
{
    free(memory);
}

void aval_free(void *memory)
{
    aval__free(memory);
}
