/* Inputs without a copy on the host: used where the caller has them, on devices that share the host's memory, or copied straight to the
 * buffer of the plan that reads them. */
#include "exec/session.h"

#include <inttypes.h>

/* ---- In place --------------------------------------------------------------------------------------------------------------- */

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

/* ---- Straight to the device --------------------------------------------------------------------------------------------------- */

/* The slot by which alone the current plan reads the input; UINT32_MAX: there is none, or there are several. */
static uint32_t only_slot(const aval_session *s, const aval_value *input)
{
    const aval__plan *plan = s->current->shared->plan;
    bool planned = input->id < s->number_of.count && input->born <= s->graph_generation;
    uint32_t number = planned ? s->number_of.at[input->id] : UINT32_MAX, found = UINT32_MAX;
    for (uint32_t i = 0; number != UINT32_MAX && i < plan->n_slots; i++) {
        if (plan->slots[i].kind != AVAL__SLOT_INPUT || plan->slots[i].value != number) continue;
        if (found != UINT32_MAX) return UINT32_MAX;
        found = i;
    }
    return found;
}

/* Small contents may be read while planning; they are kept on the host, as is what several plans read, so that a run need not wait for
   the one before to read it back. */
static bool goes_directly(const aval_session *s, const aval_value *input, const aval__fed *fed, const aval_tensor *shape)
{
    if (!s->current || !fed || fed->several || fed->content || (fed->mem && !fed->lent)) return false;
    if (aval__tensor_bytes(shape) <= AVAL__CONTENT_BYTES || !aval__tensor_same_shape(&fed->tensor, shape)) return false;
    return !aval__session_asked(s, input);
}

int aval__session_feed_directly(aval_session *s, const aval_value *input, const aval_tensor *shape, const void *data, bool *done)
{
    aval__fed *fed = aval__session_fed(s, input);
    uint32_t slot = goes_directly(s, input, fed, shape) ? only_slot(s, input) : UINT32_MAX;
    *done = false;
    cl_mem mem = slot != UINT32_MAX ? aval__binding_next_input(s->current->binding, slot) : NULL;
    if (!mem) return AVAL_OK;
    AVAL__TRY(aval__binding_feed(s->current->binding, slot, data, aval__tensor_bytes(shape)));
    AVAL__TRY(aval__cl_check(clRetainMemObject(mem), "clRetainMemObject", "input '%s'", aval__value_label(input)));
    aval__fed_forget_mem(fed);
    fed->mem = mem;
    fed->lent = true;
    aval__session_note_fed(s, fed, input, shape);
    s->current->carried[slot] = fed->version;
    *done = true;
    return AVAL_OK;
}

int aval__session_bring_back(aval_session *s, const aval_value *input, aval__fed *fed)
{
    AVAL__TRY(aval__fed_reserve(fed, aval__tensor_bytes(&fed->tensor)));
    AVAL__TRY(aval__session_read_mem(s, input, fed, fed->data));
    aval__fed_forget_mem(fed);
    fed->several = true;
    return AVAL_OK;
}
