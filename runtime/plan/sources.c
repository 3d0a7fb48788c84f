/* Things of which equal ones are one object within a plan: kernel sources with their build options, so that each is built once,
 * generated kernels, names of kernels, and the shapes of what steps write. */
#include "plan/planner.h"

#include <string.h>

/* uthash must report a failed allocation instead of leaving the program. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#define uthash_nonfatal_oom(entry) ((entry)->thing = NULL)
#include <uthash.h>

typedef struct aval__shared_entry {
    aval__hash key;
    const void *thing;
    UT_hash_handle hh;
} shared_entry;

int aval__share(aval__planner *p, aval__hash key, const void *thing)
{
    shared_entry *entry = aval__arena_alloc(&p->scratch, sizeof *entry);
    if (!entry) return AVAL_E_MEMORY;
    entry->key = key;
    entry->thing = thing;
    HASH_ADD(hh, p->shared, key, sizeof entry->key, entry);
    return entry->thing ? AVAL_OK : AVAL_E_MEMORY;
}

const void *aval__find_shared(const aval__planner *p, aval__hash key)
{
    shared_entry *entry;
    HASH_FIND(hh, p->shared, &key, sizeof key, entry);
    return entry ? entry->thing : NULL;
}

void aval__shared_release(aval__planner *p)
{
    HASH_CLEAR(hh, p->shared);
}

const char *aval__keep_text(aval__planner *p, const char *text)
{
    size_t bytes = strlen(text);
    aval__hash key = aval__hash_bytes(text, bytes);
    key.high ^= 0x7e47; /* unlike the keys of kernel texts */
    const char *kept = aval__find_shared(p, key);
    if (kept) return kept;
    kept = aval__arena_text(&p->plan->arena, text);
    return kept && aval__share(p, key, kept) == AVAL_OK ? kept : NULL;
}

int aval__keep_tensor(aval__planner *p, const aval_tensor *t, const aval_tensor **out)
{
    static const uint64_t kind = 0x7e4502; /* unlike what other keys begin with */
    uint64_t words[3 + AVAL_MAX_RANK] = { kind, (uint64_t)t->type, t->layout };
    *out = p->last_kept;
    if (*out && (*out)->type == t->type && (*out)->layout == t->layout && aval__tensor_same_shape(*out, t)) return AVAL_OK;
    size_t rank = t->rank > 0 ? (size_t)t->rank : 0;
    for (size_t i = 0; i < rank; i++) words[3 + i] = (uint64_t)t->dims[i];
    aval__hash key = aval__hash_bytes(words, (3 + rank) * sizeof *words);
    *out = aval__find_shared(p, key);
    if (!*out) {
        *out = aval__arena_copy(&p->plan->arena, t, sizeof *t);
        if (!*out) return AVAL_E_MEMORY;
        AVAL__TRY(aval__share(p, key, *out));
    }
    p->last_kept = *out;
    return AVAL_OK;
}

static int make_source(aval__planner *p, const char *name, const char *text, bool copy_text, const char *options, aval__source **out)
{
    aval__arena *arena = &p->plan->arena;
    aval__source *source = aval__arena_alloc(arena, sizeof *source);
    if (!source) return AVAL_E_MEMORY;
    source->name = name;
    source->text = copy_text ? aval__arena_text(arena, text) : text;
    source->options = aval__arena_text(arena, options);
    if (!source->text || !source->options) return AVAL_E_MEMORY;
    source->hash = aval__hash_bytes(text, strlen(text));
    *out = source;
    return AVAL_OK;
}

static int make_source_with(aval__planner *p, const aval_kernel_source *source, const char *before, const char *options, aval__source **out)
{
    aval__text both = { 0 };
    aval__text_add(&both, "%s%s", before, source->text);
    int status = both.failed ? AVAL_E_MEMORY : make_source(p, source->name, both.at, true, options, out);
    aval__text_release(&both);
    return status;
}

int aval__source_of_text(aval__planner *p, const char *name, const char *text, const char *options, const aval__source **out)
{
    aval__source *made;
    size_t n_options = strlen(options);
    aval__hash key = aval__hash_bytes(text, strlen(text));
    key.low ^= aval__hash64(options, n_options, key.high);
    *out = aval__find_shared(p, key);
    if (*out) return AVAL_OK;
    AVAL__TRY(make_source(p, name, text, true, options, &made));
    AVAL__TRY(aval__share(p, key, made));
    *out = made;
    return AVAL_OK;
}

int aval__source_of_launch(aval__planner *p, const aval_kernel_source *source, const aval_launch *launch, int s_type,
                           const aval__graft *graft, const aval__source **out)
{
    aval__launch_build build;
    uint64_t words[6 + 2 * AVAL__MOST_DEFINES];
    aval__source *made;
    size_t n_words = 0;
    AVAL__TRY(aval__launch_build_of(launch, s_type, &build));
    words[n_words++] = (uintptr_t)source;
    words[n_words++] = build.s_type;
    words[n_words++] = build.i_type;
    words[n_words++] = build.d_type;
    if (graft) words[n_words++] = graft->hash.low;
    if (graft) words[n_words++] = graft->hash.high;
    for (size_t i = 0; i < build.n_defines; i++) {
        words[n_words++] = aval__hash64(build.defines[i].name, strlen(build.defines[i].name), 0);
        words[n_words++] = (uint64_t)build.defines[i].value;
    }
    aval__hash key = aval__hash_bytes(words, n_words * sizeof *words);
    *out = aval__find_shared(p, key);
    if (*out) return AVAL_OK;

    p->text.length = 0;
    aval__launch_options(&build, &p->text);
    if (p->text.failed) return AVAL_E_MEMORY;
    if (graft) AVAL__TRY(make_source_with(p, source, graft->text, p->text.at, &made));
    else AVAL__TRY(make_source(p, source->name, source->text, false, p->text.at, &made));
    AVAL__TRY(aval__share(p, key, made));
    *out = made;
    return AVAL_OK;
}
