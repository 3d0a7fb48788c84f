/* Reads that nobody waits for yet: a program looks at a step's result while the device is at the next. */
#include "exec/store.h"

#include <string.h>

struct aval_read {
    cl_event done;
    const char *device; /* its name; the context's */
};

static int begin(const aval__entry *entry, void *data, aval_read *read)
{
    cl_command_queue queue = aval__device_queue(entry->device);
    read->device = aval__device_info(entry->device)->name;
    AVAL__TRY(aval__cl_check(clEnqueueReadBuffer(queue, entry->buffer, CL_FALSE, 0, entry->bytes, data, 0, NULL, &read->done),
                             "clEnqueueReadBuffer", "state '%s', %zu bytes, device '%s'", entry->name, entry->bytes, read->device));
    int status = aval__cl_check(clFlush(queue), "clFlush", "device '%s'", read->device);
    if (status == AVAL_OK) return AVAL_OK;
    clWaitForEvents(1, &read->done); /* the caller does not know that his memory is still in use */
    clReleaseEvent(read->done);
    return status;
}

int aval_store_get_later(aval_store *store, const char *name, void *data, size_t bytes, aval_read **read)
{
    AVAL__NEED(store, "a store");
    AVAL__NEED(read, "a place for the read");
    aval__entry *entry;
    *read = NULL;
    AVAL__TRY(aval__store_need(store, name, &entry));
    if (!entry->device || bytes != entry->bytes || !data || bytes == 0) return aval_store_get(store, name, data, bytes);
    aval_read *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    int status = begin(entry, data, made);
    if (status < 0) aval__free(made);
    else *read = made;
    return status;
}

int aval_read_wait(aval_read *read)
{
    if (!read) return AVAL_OK;
    int status = aval__cl_check(clWaitForEvents(1, &read->done), "clWaitForEvents", "device '%s'", read->device);
    clReleaseEvent(read->done);
    aval__free(read);
    return status;
}
