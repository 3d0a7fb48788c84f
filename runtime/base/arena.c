/* Memory given back all at once: a list of blocks, the newest first, filled from the front. */
#include "base/base.h"

#include <stdalign.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)16 * 1024) /* of the first block; each later one is twice as large, up to LARGEST_BLOCK_BYTES */
#define LARGEST_BLOCK_BYTES ((size_t)1024 * 1024)
#define ALIGNMENT alignof(max_align_t)

struct aval__arena_block {
    struct aval__arena_block *next;
    size_t used, bytes; /* of `data` */
    alignas(max_align_t) unsigned char data[];
};

static struct aval__arena_block *make_block(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct aval__arena_block)) {
        aval__fail(AVAL_E_MEMORY, "out of memory: %zu bytes were asked for", bytes);
        return NULL;
    }
    struct aval__arena_block *block = aval__resize(NULL, sizeof *block + bytes, 1);
    if (block) *block = (struct aval__arena_block){ .bytes = bytes };
    return block;
}

/* Not zeroed: a block that were, would have left the nearest cache when it is filled. */
static void *cut(aval__arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT) bytes = SIZE_MAX; /* refused by make_block */
    else bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    struct aval__arena_block *block = arena->first;
    if (!block || block->bytes - block->used < bytes) {
        size_t usual = block ? block->bytes * 2 : BLOCK_BYTES;
        if (usual > LARGEST_BLOCK_BYTES) usual = LARGEST_BLOCK_BYTES;
        struct aval__arena_block *made = make_block(bytes > usual ? bytes : usual);
        if (!made) return NULL;
        made->next = block;
        arena->first = block = made;
    }
    void *memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

void *aval__arena_alloc(aval__arena *arena, size_t bytes)
{
    void *memory = cut(arena, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *aval__arena_copy(aval__arena *arena, const void *data, size_t bytes)
{
    void *copy = cut(arena, bytes);
    if (copy && bytes) memcpy(copy, data, bytes);
    return copy;
}

char *aval__arena_text(aval__arena *arena, const char *text)
{
    return text ? aval__arena_copy(arena, text, strlen(text) + 1) : NULL;
}

void aval__arena_clear(aval__arena *arena)
{
    struct aval__arena_block *kept = arena->first;
    if (!kept) return;
    aval__arena rest = { kept->next };
    aval__arena_release(&rest);
    kept->next = NULL;
    kept->used = 0;
}

void aval__arena_release(aval__arena *arena)
{
    struct aval__arena_block *block = arena->first;
    while (block) {
        struct aval__arena_block *next = block->next;
        aval__free(block);
        block = next;
    }
    arena->first = NULL;
}
