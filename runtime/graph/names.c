/* States by name: a hash table, since a graph may hold tens of thousands and each is looked up while building. */
#include "graph/parts.h"

#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct aval__graph_names {
    aval_value *value;
    UT_hash_handle hh;
};

/* uthash's macros mix signed and unsigned numbers */
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"

aval_value *aval__names_find(const struct aval__graph_names *names, const char *name)
{
    struct aval__graph_names *found = NULL;
    HASH_FIND(hh, names, name, strlen(name), found);
    return found ? found->value : NULL;
}

int aval__names_add(struct aval__graph_names **names, aval_value *state)
{
    struct aval__graph_names *entry = aval__alloc(sizeof *entry);
    if (!entry) return AVAL_E_MEMORY;
    entry->value = state;
    HASH_ADD_KEYPTR(hh, *names, state->name, strlen(state->name), entry);
    if (!entry->hh.tbl) {
        aval__free(entry);
        return aval__fail(AVAL_E_MEMORY, "out of memory for the table of states");
    }
    return AVAL_OK;
}

void aval__names_remove(struct aval__graph_names **names, const char *name)
{
    struct aval__graph_names *found = NULL;
    HASH_FIND(hh, *names, name, strlen(name), found);
    if (!found) return;
    HASH_DEL(*names, found);
    aval__free(found);
}

void aval__names_release(struct aval__graph_names **names)
{
    struct aval__graph_names *entry, *next;
    HASH_ITER (hh, *names, entry, next) {
        HASH_DEL(*names, entry);
        aval__free(entry);
    }
}
