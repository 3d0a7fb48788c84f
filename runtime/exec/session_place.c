/* Inputs that are used where the caller has them, on devices that share the host's memory. */
#include "exec/session.h"

#include <inttypes.h>

/* The device that may read host memory in place; NULL: none.  With several devices it is the plan that says which one reads an input.  Guarded
   runs have bands around their inputs, which need memory of their own. */
static aval__device *device_in_place(const aval_session *s, const void *data, size_t bytes)
{
    if (bytes == 0 || s->memory == AVAL_MEMORY_GUARDED || aval__context_device_count(s->context) != 1) return NULL;
    aval__device *device = aval__context_device(s->context, 0);
    const aval_device_info *info = aval__device_info(device);
    size_t alignment = info->alignment_bytes > 0 ? info->alignment_bytes : 1;
    return info->unified_memory && (uintptr_t)data % alignment == 0 ? device : NULL;
}

int aval_session_feed_in_place(aval_session *s, const aval_value *input, const void *data, size_t bytes, const int64_t *dims)
{
    AVAL__NEED(s, "a session");
    aval_tensor shape;
    cl_int code;
    AVAL__TRY(aval__session_fed_shape(s, input, dims, &shape));
    AVAL__TRY(aval__context_ready(s->context));
    aval__device *device = data && bytes == aval__tensor_bytes(&shape) ? device_in_place(s, data, bytes) : NULL;
    if (!device) return aval_session_feed(s, input, data, bytes, dims);
    /* no kernel writes to an input, so that the cast takes nothing from the caller */
    cl_mem mem =
        clCreateBuffer(aval__device_context(device), CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, bytes, (void *)(uintptr_t)data, &code);
    AVAL__TRY(aval__cl_check(code, "clCreateBuffer", "input '%s' in place, %zu bytes, device '%s'", aval__value_label(input), bytes,
                             aval__device_info(device)->name));
    int status = aval__session_keep_mem(s, input, &shape, mem);
    clReleaseMemObject(mem);
    return status;
}
