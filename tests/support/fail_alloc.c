/* The wrapped allocator behind fail_alloc.h.  Live blocks are remembered in a plain array: tests hold few at a time, and most are
 * given back soon after they were made, so that it is searched from its end. */
#include "fail_alloc.h"

#include <pthread.h>
#include <stdbool.h>

#define MAX_LIVE 65536

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool counting;
static size_t fail_at, count, n_live;
static void *live[MAX_LIVE];

static void start(bool on, size_t n)
{
    pthread_mutex_lock(&lock);
    counting = on;
    fail_at = n;
    count = n_live = 0;
    pthread_mutex_unlock(&lock);
}

void fail_alloc_at(size_t n)
{
    start(true, n);
}

void fail_alloc_off(void)
{
    start(false, 0);
}

size_t fail_alloc_count(void)
{
    return count;
}

size_t fail_alloc_outstanding(void)
{
    return n_live;
}

static bool must_fail(void)
{
    pthread_mutex_lock(&lock);
    bool fail = counting && ++count == fail_at;
    pthread_mutex_unlock(&lock);
    return fail;
}

static void *remember(void *memory)
{
    pthread_mutex_lock(&lock);
    if (counting && memory && n_live < MAX_LIVE) live[n_live++] = memory;
    pthread_mutex_unlock(&lock);
    return memory;
}

static bool forget(const void *memory)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (size_t i = n_live; counting && memory && i-- > 0 && !found;) {
        found = live[i] == memory;
        if (found) live[i] = live[--n_live];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void *__wrap_malloc(size_t bytes)
{
    return must_fail() ? NULL : remember(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return must_fail() ? NULL : remember(__real_calloc(n, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (must_fail()) return NULL;
    /* A block from before the counting began stays uncounted. */
    bool counted = forget(memory) || !memory;
    void *resized = __real_realloc(memory, bytes);
    return counted ? remember(resized) : resized;
}

void __wrap_free(void *memory)
{
    forget(memory);
    __real_free(memory);
}
