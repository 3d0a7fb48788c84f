/* Interoperation (aval/opencl.h): a caller's OpenCL objects in a session's and a store's places, and theirs for the caller. */
#include "aval/opencl.h"

#include "exec/session.h"
#include "exec/store.h"

/* ---- Devices --------------------------------------------------------------------------------------------------------------- */

int aval_context_use_opencl(aval_context *ctx, cl_context context, cl_device_id device, cl_command_queue queue)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(context, "a cl_context");
    AVAL__NEED(device, "a cl_device_id");
    return aval__context_bring(ctx, context, device, queue);
}

int aval_context_opencl(aval_context *ctx, size_t i, cl_context *context, cl_device_id *device, cl_command_queue *queue)
{
    AVAL__NEED(ctx, "a context");
    AVAL__TRY(aval__context_ready(ctx));
    if (i >= aval__context_device_count(ctx))
        return aval__fail(AVAL_E_ARGUMENT, "selected device %zu was asked for, but %zu are selected", i, aval__context_device_count(ctx));
    const aval__device *found = aval__context_device(ctx, i);
    if (context) *context = aval__device_context(found);
    if (device) *device = aval__device_id(found);
    if (queue) *queue = aval__device_queue(found);
    return AVAL_OK;
}

static aval__device *device_in(const aval_context *ctx, cl_context context)
{
    for (size_t i = 0; i < aval__context_device_count(ctx); i++)
        if (aval__device_context(aval__context_device(ctx, i)) == context) return aval__context_device(ctx, i);
    return NULL;
}

aval__device *aval__context_device_of(const aval_context *ctx, cl_mem mem)
{
    cl_context context = NULL;
    if (clGetMemObjectInfo(mem, CL_MEM_CONTEXT, sizeof context, &context, NULL) != CL_SUCCESS) return NULL;
    return device_in(ctx, context);
}

/* ---- Buffers --------------------------------------------------------------------------------------------------------------- */

/* A buffer that a tensor fits in. */
static int check_mem(cl_mem mem, const aval_tensor *tensor, const char *kind, const char *name)
{
    cl_mem_object_type type = 0;
    size_t bytes = 0;
    cl_int code = clGetMemObjectInfo(mem, CL_MEM_TYPE, sizeof type, &type, NULL);
    if (code == CL_SUCCESS) code = clGetMemObjectInfo(mem, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    if (code != CL_SUCCESS)
        return aval__fail(AVAL_E_ARGUMENT, "%s '%s': the cl_mem cannot be used: clGetMemObjectInfo: %s", kind, name, aval__cl_name(code));
    if (type != CL_MEM_OBJECT_BUFFER)
        return aval__fail(AVAL_E_ARGUMENT, "%s '%s': expected a cl_mem that is a buffer, found an image", kind, name);
    if (bytes >= aval__tensor_bytes(tensor)) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "%s '%s' has %zu bytes, found a cl_mem of %zu", kind, name, aval__tensor_bytes(tensor), bytes);
}

int aval_session_bind_mem(aval_session *s, const aval_value *input, cl_mem mem, const int64_t *dims)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(mem, "a cl_mem");
    aval_tensor shape;
    AVAL__TRY(aval__session_fed_shape(s, input, dims, &shape));
    AVAL__TRY(check_mem(mem, &shape, "input", aval__value_label(input)));
    return aval__session_keep_mem(s, input, &shape, mem);
}

int aval__session_read_mem(const aval_session *s, const aval_value *input, const aval__fed *fed, void *data)
{
    const char *name = aval__value_label(input);
    AVAL__TRY(aval__context_ready(s->context));
    const aval__device *device = aval__context_device_of(s->context, fed->mem);
    size_t bytes = aval__tensor_bytes(&fed->tensor);
    if (!device)
        return aval__fail(AVAL_E_ARGUMENT, "input '%s' is bound to a buffer of a cl_context that no selected device works in", name);
    if (bytes == 0) return AVAL_OK;
    return aval__cl_check(clEnqueueReadBuffer(aval__device_queue(device), fed->mem, CL_TRUE, 0, bytes, data, 0, NULL, NULL),
                          "clEnqueueReadBuffer", "input '%s', %zu bytes, device '%s'", name, bytes, aval__device_info(device)->name);
}

/* Where a value lies, by its kind. */
typedef struct spot {
    cl_mem mem;
    size_t offset, bytes;
} spot;

static int spot_of_input(aval_session *s, const aval_value *value, spot *out)
{
    const aval__fed *fed = aval__session_fed(s, value);
    if (!fed || !fed->mem || fed->lent)
        return aval__fail(AVAL_E_ARGUMENT, "input '%s' has no buffer of its own: it is fed, not bound (aval_session_bind_mem)",
                          aval__value_label(value));
    *out = (spot){ .mem = fed->mem, .bytes = aval__tensor_bytes(&fed->tensor) };
    return AVAL_OK;
}

static int spot_of_state(aval_session *s, const aval_value *value, spot *out)
{
    if (!s->store) return aval__fail(AVAL_E_ARGUMENT, "state '%s' has no buffer: the session has no store", aval__value_label(value));
    return aval_store_mem(s->store, value->name, &out->mem, &out->bytes);
}

static int spot_of_constant(aval_session *s, const aval_value *value, spot *out)
{
    (void)s, (void)out;
    return aval__fail(AVAL_E_ARGUMENT, "'%s' is a constant, which may have been computed with while planning: it has no buffer",
                      aval__value_label(value));
}

static int spot_of_produced(aval_session *s, const aval_value *value, spot *out)
{
    const aval__located *located;
    AVAL__TRY(aval__session_locate(s, value, &located));
    *out = (spot){ .offset = (size_t)located->place.offset, .bytes = aval__tensor_bytes(located->tensor) };
    return aval__binding_place(s->current->binding, located, &out->mem);
}

static int (*const spots[])(aval_session *s, const aval_value *value, spot *out) = {
    [AVAL__INPUT] = spot_of_input,
    [AVAL__STATE] = spot_of_state,
    [AVAL__CONSTANT] = spot_of_constant,
    [AVAL__PRODUCED] = spot_of_produced,
};

int aval_session_mem(aval_session *s, const aval_value *value, cl_mem *mem, size_t *offset, size_t *bytes)
{
    AVAL__NEED(s, "a session");
    spot found = { 0 };
    AVAL__TRY(aval__session_owns(s, value));
    AVAL__TRY(spots[value->kind](s, value, &found));
    if (mem) *mem = found.mem;
    if (offset) *offset = found.offset;
    if (bytes) *bytes = found.bytes;
    return AVAL_OK;
}

/* ---- Running --------------------------------------------------------------------------------------------------------------- */

static int context_of_event(cl_event event, cl_context *context)
{
    AVAL__NEED(event, "an event");
    cl_int code = clGetEventInfo(event, CL_EVENT_CONTEXT, sizeof *context, context, NULL);
    return code == CL_SUCCESS ? AVAL_OK
                              : aval__fail(AVAL_E_ARGUMENT, "an event cannot be waited for: clGetEventInfo: %s", aval__cl_name(code));
}

/* A marker on each queue of the events' cl_context: what comes behind it, on a queue in order, comes after the events. */
static int enqueue_waits(aval_context *ctx, const cl_event *events, size_t n_events)
{
    cl_context context, other;
    AVAL__TRY(context_of_event(events[0], &context));
    for (size_t i = 1; i < n_events; i++) {
        AVAL__TRY(context_of_event(events[i], &other));
        if (other != context) return aval__fail(AVAL_E_ARGUMENT, "event %zu is of another cl_context than the first", i);
    }
    if (!device_in(ctx, context)) return aval__fail(AVAL_E_ARGUMENT, "the events are of a cl_context that no selected device works in");
    for (size_t i = 0; i < aval__context_device_count(ctx); i++) {
        const aval__device *device = aval__context_device(ctx, i);
        if (aval__device_context(device) != context) continue;
        AVAL__TRY(aval__cl_check(clEnqueueMarkerWithWaitList(aval__device_queue(device), (cl_uint)n_events, events, NULL),
                                 "clEnqueueMarkerWithWaitList", "device %zu '%s'", i, aval__device_info(device)->name));
    }
    return AVAL_OK;
}

int aval_session_run_after(aval_session *s, aval_value *const *wanted, size_t n_wanted, const cl_event *events, size_t n_events,
                           cl_event *done)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(events || n_events == 0, "an array of events");
    AVAL__TRY(aval__context_ready(s->context));
    if (n_events > 0) AVAL__TRY(enqueue_waits(s->context, events, n_events));
    AVAL__TRY(aval_session_run(s, wanted, n_wanted));
    return done ? aval__binding_end(s->current->binding, done) : AVAL_OK;
}

/* ---- States ---------------------------------------------------------------------------------------------------------------- */

int aval_store_bind_mem(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, cl_mem mem)
{
    AVAL__NEED(store, "a store");
    AVAL__NEED(mem, "a cl_mem");
    aval_tensor tensor;
    AVAL__TRY(aval__tensor_set(&tensor, type, rank, dims));
    AVAL__TRY(check_mem(mem, &tensor, "state", name ? name : ""));
    AVAL__TRY(aval__context_ready(store->context));
    aval__device *device = aval__context_device_of(store->context, mem);
    if (!device)
        return aval__fail(AVAL_E_ARGUMENT,
                          "state '%s' is bound to a buffer of a cl_context that no selected device works in: give aval that cl_context "
                          "(aval_context_use_opencl), or make the buffer in aval's (aval_context_opencl)",
                          name ? name : "");
    return aval__store_adopt(store, name, &tensor, device, mem);
}

int aval_store_mem(aval_store *store, const char *name, cl_mem *mem, size_t *bytes)
{
    AVAL__NEED(store, "a store");
    aval__entry *entry;
    cl_mem buffer;
    uint64_t generation;
    AVAL__TRY(aval__store_need(store, name, &entry));
    AVAL__TRY(aval__context_ready(store->context));
    aval__device *device = entry->device ? entry->device : aval__context_device(store->context, 0);
    AVAL__TRY(aval__store_buffer(store, name, &entry->tensor, device, &buffer, &generation));
    store->shared_outside = true;
    if (mem) *mem = buffer;
    if (bytes) *bytes = entry->bytes;
    return AVAL_OK;
}
