/* The store as a safetensors file. */
#include "exec/store.h"
#include "model/model.h"

int aval_store_save(aval_store *store, const char *file, const char *const *metadata)
{
    AVAL__NEED(store, "a store");
    int status = AVAL_OK;
    size_t count = store->order.count;
    aval__arena arena = { 0 };
    if (!file) return aval__fail(AVAL_E_ARGUMENT, "a file name is needed, found NULL");
    aval__safetensor *tensors = aval__arena_alloc(&arena, (count + 1) * sizeof *tensors);
    for (size_t i = 0; tensors && i < count; i++) {
        const aval__entry *entry = store->order.at[i];
        void *copy = entry->host ? entry->host : aval__arena_alloc(&arena, entry->bytes);
        if (!copy) status = AVAL_E_MEMORY;
        if (copy && !entry->host) status = aval__entry_read(entry, copy);
        if (status < 0) goto done;
        tensors[i] = (aval__safetensor){ .name = entry->name, .tensor = entry->tensor, .data = copy };
    }
    status = tensors ? aval__safetensors_write(file, tensors, count, metadata) : AVAL_E_MEMORY;
done:
    aval__arena_release(&arena);
    return status;
}

int aval_store_can_save(const aval_store *store, const char *file)
{
    uint64_t bytes = 0;
    if (!store || !file) return aval__fail(AVAL_E_ARGUMENT, "a store and a file name are needed, found NULL");
    for (size_t i = 0; i < store->order.count; i++) bytes += store->order.at[i]->bytes;
    return aval__safe_file_probe(file, bytes);
}

int aval_store_load(aval_store *store, const char *file)
{
    AVAL__NEED(store, "a store");
    int status = AVAL_OK;
    aval__safetensors read;
    if (!file) return aval__fail(AVAL_E_ARGUMENT, "a file name is needed, found NULL");
    AVAL__TRY(aval__safetensors_read(file, &read));
    /* All are checked before the first is written: a file that does not fit changes nothing. */
    for (size_t i = 0; status == AVAL_OK && i < read.count; i++) {
        status = aval__store_check(store, read.at[i].name, &read.at[i].tensor);
        if (status < 0) aval__fail_in(status, "%s", file);
    }
    for (size_t i = 0; status == AVAL_OK && i < read.count; i++)
        status = aval__store_write(store, read.at[i].name, &read.at[i].tensor, read.at[i].data);
    aval__safetensors_release(&read);
    return status;
}
