/* Values of an ONNX graph by their names. */
#include "model/onnx.h"

#include <string.h>

/* uthash would exit the process when memory runs out. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#include <uthash.h>

typedef struct onnx_name {
    const char *name;
    aval_value *value;
    UT_hash_handle hh;
} onnx_name;

bool onnx_names_find(const onnx_names *names, const char *name, aval_value **value)
{
    onnx_name *found = NULL;
    HASH_FIND_STR(names->table, name, found);
    if (found) *value = found->value;
    return found != NULL;
}

int onnx_names_add(onnx_names *names, const char *name, aval_value *value)
{
    aval_value *taken;
    if (onnx_names_find(names, name, &taken))
        return aval__fail(AVAL_E_FORMAT, "expected each name of a value once, found '%s' given to two", name);
    onnx_name *added = aval__alloc(sizeof *added);
    if (!added) return AVAL_E_MEMORY;
    added->name = name;
    added->value = value;
    HASH_ADD_KEYPTR(hh, names->table, added->name, strlen(added->name), added);
    if (added->hh.tbl) return AVAL_OK;
    aval__free(added);
    return aval__fail(AVAL_E_MEMORY, "out of memory for the names of a model");
}

void onnx_names_release(onnx_names *names)
{
    onnx_name *one, *next;
    HASH_ITER (hh, names->table, one, next) {
        HASH_DEL(names->table, one);
        aval__free(one);
    }
}
