/* The store: state by name, on the host or on one device. */
#include "exec/store.h"
#include "exec/context.h"

#include <string.h>

/* The largest pattern of clEnqueueFillBuffer.  Small entries (learning rate, step) are written with it, because it copies the bytes
   when it is called and so needs no wait for the device. */
#define FILL_BYTES 128

int aval_store_create(aval_context *ctx, aval_store **store)
{
    AVAL__NEED(store, "a place for the store");
    AVAL__NEED(ctx, "a context");
    *store = NULL;
    aval_store *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    made->holders = 1;
    made->context = ctx;
    aval__context_hold(ctx);
    made->generation = made->changes = 1; /* 0 is what a binding that has never looked has seen */
    *store = made;
    return AVAL_OK;
}

static void entry_release(aval__entry *entry)
{
    if (!entry) return;
    if (entry->buffer) clReleaseMemObject(entry->buffer);
    aval__free(entry->host);
    aval__free(entry->name);
    aval__free(entry);
}

void aval__store_hold(aval_store *store)
{
    store->holders++;
}

void aval_store_release(aval_store *store)
{
    if (!store || --store->holders > 0) return;
    HASH_CLEAR(hh, store->by_name);
    for (size_t i = 0; i < store->order.count; i++) entry_release(store->order.at[i]);
    aval__vec_release(&store->order);
    aval__context_drop(store->context);
    aval__free(store);
}

/* ---- Entries --------------------------------------------------------------------------------------------------------------- */

aval__entry *aval__store_find(const aval_store *store, const char *name)
{
    aval__entry *entry = NULL;
    if (name) HASH_FIND_STR(store->by_name, name, entry);
    return entry;
}

int aval__store_need(const aval_store *store, const char *name, aval__entry **out)
{
    *out = store ? aval__store_find(store, name) : NULL;
    if (*out) return AVAL_OK;
    if (!store) return aval__fail(AVAL_E_UNKNOWN, "state '%s' is needed, but the session has no store", name ? name : "");
    return aval__fail(AVAL_E_UNKNOWN, "the store has no state '%s': give it a value by aval_store_set, _fill, _random or _load",
                      name ? name : "(NULL)");
}

/* The entry as it is and as `who` has it, then what to do. */
static int fail_shape(const aval__entry *entry, const char *who, const aval_tensor *tensor, const char *advice)
{
    aval__text text = { 0 };
    aval__text_add(&text, "state '%s' is ", entry->name);
    aval__tensor_print(&text, &entry->tensor);
    aval__text_add(&text, " in the store, but %s ", who);
    aval__tensor_print(&text, tensor);
    aval__text_add(&text, ": %s", advice);
    int code = entry->tensor.type != tensor->type ? AVAL_E_TYPE : AVAL_E_SHAPE;
    code = text.failed ? AVAL_E_MEMORY : aval__fail(code, "%s", text.at);
    aval__text_release(&text);
    return code;
}

static bool is_like(const aval__entry *entry, const aval_tensor *tensor)
{
    return entry->tensor.type == tensor->type && aval__tensor_same_shape(&entry->tensor, tensor);
}

int aval__store_check(const aval_store *store, const char *name, const aval_tensor *tensor)
{
    if (!name || !name[0]) return aval__fail(AVAL_E_ARGUMENT, "a state needs a name");
    const aval__entry *entry = aval__store_find(store, name);
    if (!entry || is_like(entry, tensor)) return AVAL_OK;
    return fail_shape(entry, "was given as", tensor, "remove it first to change its shape");
}

static int entry_make(aval_store *store, const char *name, const aval_tensor *tensor, aval__entry **out)
{
    int status = AVAL_E_MEMORY;
    aval__entry *entry = aval__alloc(sizeof *entry);
    if (!entry) goto done;
    entry->name = aval__copy_text(name);
    entry->tensor = *tensor;
    entry->bytes = aval__tensor_bytes(tensor);
    entry->host = aval__alloc(entry->bytes);
    if (!entry->name || !entry->host || aval__vec_reserve(&store->order, store->order.count + 1) < 0) goto done;
    HASH_ADD_KEYPTR(hh, store->by_name, entry->name, strlen(entry->name), entry);
    if (!entry->hh.tbl) goto done;
    store->order.at[store->order.count++] = entry;
    store->generation++;
    *out = entry;
    status = AVAL_OK;
done:
    if (status < 0) entry_release(entry);
    return status;
}

static int device_write(const aval__entry *entry, const void *data)
{
    cl_command_queue queue = aval__device_queue(entry->device);
    const char *call = "clEnqueueWriteBuffer";
    cl_int code;
    if (entry->bytes <= FILL_BYTES && (entry->bytes & (entry->bytes - 1)) == 0) {
        call = "clEnqueueFillBuffer";
        code = clEnqueueFillBuffer(queue, entry->buffer, data, entry->bytes, 0, entry->bytes, 0, NULL, NULL);
    } else {
        code = clEnqueueWriteBuffer(queue, entry->buffer, CL_TRUE, 0, entry->bytes, data, 0, NULL, NULL);
    }
    return aval__cl_check(code, call, "state '%s', %zu bytes, device '%s'", entry->name, entry->bytes,
                          aval__device_info(entry->device)->name);
}

int aval__store_write(aval_store *store, const char *name, const aval_tensor *tensor, const void *data)
{
    AVAL__TRY(aval__store_check(store, name, tensor));
    aval__entry *entry = aval__store_find(store, name);
    if (!entry) AVAL__TRY(entry_make(store, name, tensor, &entry));
    store->changes++;
    if (entry->bytes == 0) return AVAL_OK;
    if (entry->device) return device_write(entry, data);
    memcpy(entry->host, data, entry->bytes);
    return AVAL_OK;
}

int aval__entry_read(const aval__entry *entry, void *data)
{
    if (entry->bytes == 0) return AVAL_OK;
    if (!entry->device) {
        memcpy(data, entry->host, entry->bytes);
        return AVAL_OK;
    }
    return aval__cl_check(
        clEnqueueReadBuffer(aval__device_queue(entry->device), entry->buffer, CL_TRUE, 0, entry->bytes, data, 0, NULL, NULL),
        "clEnqueueReadBuffer", "state '%s', %zu bytes, device '%s'", entry->name, entry->bytes, aval__device_info(entry->device)->name);
}

/* ---- The public calls ------------------------------------------------------------------------------------------------------ */

int aval_store_set(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, const void *data)
{
    AVAL__NEED(store, "a store");
    aval_tensor tensor;
    AVAL__TRY(aval__tensor_set(&tensor, type, rank, dims));
    if (!data && aval__tensor_bytes(&tensor) > 0) return aval__fail(AVAL_E_ARGUMENT, "state '%s': data is NULL", name ? name : "");
    return aval__store_write(store, name, &tensor, data);
}

int aval_store_remove(aval_store *store, const char *name)
{
    AVAL__NEED(store, "a store");
    aval__entry *entry;
    AVAL__TRY(aval__store_need(store, name, &entry));
    size_t i = 0;
    while (store->order.at[i] != entry) i++;
    store->order.count--;
    memmove(store->order.at + i, store->order.at + i + 1, (store->order.count - i) * sizeof *store->order.at);
    HASH_DEL(store->by_name, entry);
    entry_release(entry);
    store->generation++;
    return AVAL_OK;
}

size_t aval_store_count(const aval_store *store)
{
    AVAL__NEED_OR(0, store, "a store");
    return store->order.count;
}

const char *aval_store_name(const aval_store *store, size_t i)
{
    AVAL__NEED_OR(NULL, store, "a store");
    return i < store->order.count ? store->order.at[i]->name : NULL;
}

int aval_store_shape(const aval_store *store, const char *name, int *type, size_t *rank, int64_t *dims)
{
    AVAL__NEED(store, "a store");
    aval__entry *entry;
    AVAL__TRY(aval__store_need(store, name, &entry));
    if (type) *type = entry->tensor.type;
    if (rank) *rank = (size_t)entry->tensor.rank;
    if (dims) memcpy(dims, entry->tensor.dims, sizeof entry->tensor.dims);
    return AVAL_OK;
}

int aval_store_get(aval_store *store, const char *name, void *data, size_t bytes)
{
    AVAL__NEED(store, "a store");
    aval__entry *entry;
    AVAL__TRY(aval__store_need(store, name, &entry));
    if (bytes != entry->bytes)
        return aval__fail(AVAL_E_ARGUMENT, "state '%s' has %zu bytes, found room for %zu", name, entry->bytes, bytes);
    AVAL__NEED(data || bytes == 0, "a place for the content");
    return aval__entry_read(entry, data);
}

/* ---- Devices --------------------------------------------------------------------------------------------------------------- */

static int make_buffer(const aval__entry *entry, aval__device *device, const void *content, cl_mem *buffer)
{
    const aval_device_info *info = aval__device_info(device);
    cl_int code;
    if (entry->bytes > info->largest_allocation_bytes)
        return aval__fail(AVAL_E_DEVICE_MEMORY, "state '%s' needs %zu bytes, but device '%s' allows allocations of at most %llu",
                          entry->name, entry->bytes, info->name, (unsigned long long)info->largest_allocation_bytes);
    *buffer = clCreateBuffer(aval__device_context(device), CL_MEM_READ_WRITE, entry->bytes ? entry->bytes : 1, NULL, &code);
    AVAL__TRY(aval__cl_check(code, "clCreateBuffer", "state '%s', %zu bytes, device '%s'", entry->name, entry->bytes, info->name));
    if (entry->bytes == 0) return AVAL_OK;
    code = clEnqueueWriteBuffer(aval__device_queue(device), *buffer, CL_TRUE, 0, entry->bytes, content, 0, NULL, NULL);
    code = aval__cl_check(code, "clEnqueueWriteBuffer", "state '%s', %zu bytes, device '%s'", entry->name, entry->bytes, info->name);
    if (code < 0) {
        clReleaseMemObject(*buffer);
        *buffer = NULL;
    }
    return code;
}

/* The content is in `buffer` from now on. */
static void entry_place(aval_store *store, aval__entry *entry, aval__device *device, cl_mem buffer)
{
    if (entry->buffer) clReleaseMemObject(entry->buffer);
    aval__free(entry->host);
    entry->host = NULL;
    entry->buffer = buffer;
    entry->device = device;
    entry->generation = ++store->generation;
}

/* Moves the content to `device`, through the host when it is on another one. */
static int entry_move(aval_store *store, aval__entry *entry, aval__device *device)
{
    int status = AVAL_OK;
    cl_mem buffer = NULL;
    void *passing = NULL; /* content on its way from one device to another */
    if (!entry->host) {
        passing = aval__alloc(entry->bytes);
        if (!passing) return AVAL_E_MEMORY;
        AVAL__TRY_DONE(aval__entry_read(entry, passing));
    }
    AVAL__TRY_DONE(make_buffer(entry, device, passing ? passing : entry->host, &buffer));
    entry_place(store, entry, device, buffer);
done:
    aval__free(passing);
    return status;
}

int aval__store_buffer(aval_store *store, const char *name, const aval_tensor *shape, aval__device *device, cl_mem *buffer,
                       uint64_t *generation)
{
    aval__entry *entry;
    AVAL__TRY(aval__store_need(store, name, &entry));
    if (!is_like(entry, shape))
        return fail_shape(entry, "the graph has it as", shape, "make them alike in aval_graph_state and aval_store_set, _fill or _random");
    if (entry->device != device) AVAL__TRY(entry_move(store, entry, device));
    *buffer = entry->buffer;
    *generation = entry->generation;
    return AVAL_OK;
}

int aval__store_adopt(aval_store *store, const char *name, const aval_tensor *tensor, aval__device *device, cl_mem buffer)
{
    aval__entry *entry;
    AVAL__TRY(aval__store_check(store, name, tensor));
    AVAL__TRY(aval__cl_check(clRetainMemObject(buffer), "clRetainMemObject", "state '%s'", name));
    entry = aval__store_find(store, name);
    int status = entry ? AVAL_OK : entry_make(store, name, tensor, &entry);
    if (status < 0) {
        clReleaseMemObject(buffer);
        return status;
    }
    entry_place(store, entry, device, buffer);
    store->shared_outside = true;
    return AVAL_OK;
}

uint64_t aval__store_changes(const aval_store *store)
{
    return store->shared_outside ? 0 : store->changes;
}

void aval__store_change(aval_store *store)
{
    store->changes++;
}

uint64_t aval__store_generation(const aval_store *store)
{
    return store->generation;
}
