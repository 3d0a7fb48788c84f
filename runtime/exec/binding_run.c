/* Runs bindings: feeding inputs, pointing at states, enqueueing, reading.  Nothing here allocates, but for the drivers' own events. */
#include "exec/binding.h"

#include <inttypes.h>

/* ---- Inputs ---------------------------------------------------------------------------------------------------------------- */

/* The slot's buffer is no caller's any more. */
static void forget_bound(aval__binding *b, aval__bound_slot *bound)
{
    if (!bound->bound) return;
    aval__binding_forget_recordings(b);
    clReleaseMemObject(bound->bound);
    bound->bound = NULL;
}

static uint32_t next_buffer(const aval__bound_slot *bound)
{
    return bound->fed ? 1 - bound->current : bound->current;
}

cl_mem aval__binding_next_input(const aval__binding *b, uint32_t index)
{
    const aval__bound_slot *bound = &b->slots[index];
    return b->plan->slots[index].guard_bytes > 0 || bound->bound ? NULL : bound->buffers[next_buffer(bound)];
}

/* Writes into the buffer that the run before the last one read, on a queue beside the launches: the run under way is not waited for,
   and a program that feeds faster than the device computes is held back to two runs ahead. */
int aval__binding_feed(aval__binding *b, uint32_t index, const void *data, size_t bytes)
{
    const aval__slot *slot = &b->plan->slots[index];
    aval__bound_slot *bound = &b->slots[index];
    const aval__bound_device *d = &b->devices[slot->device];
    uint32_t next = next_buffer(bound);
    if (bytes != aval__tensor_bytes(&slot->tensor))
        return aval__fail(AVAL_E_ARGUMENT, "input '%s' has %zu bytes, found %zu", slot->name ? slot->name : "",
                          aval__tensor_bytes(&slot->tensor), bytes);
    AVAL__TRY(aval__binding_make_input(b, index));
    if (slot->guard_bytes > 0) bound->content = aval__hash64(data, bytes, 0);
    if (bytes > 0)
        AVAL__TRY(aval__cl_check(clEnqueueWriteBuffer(d->transfers, bound->buffers[next], CL_TRUE, slot->guard_bytes, bytes, data,
                                                      bound->used[next] ? 1 : 0, bound->used[next] ? &bound->used[next] : NULL, NULL),
                                 "clEnqueueWriteBuffer", "input '%s', %zu bytes, device %" PRIu32 " '%s'", slot->name ? slot->name : "",
                                 bytes, aval__binding_number(b, slot->device), b->plan->devices[slot->device]->name));
    if (bound->buffer != bound->buffers[next]) AVAL__TRY(aval__binding_point(b, index, bound->buffers[next]));
    forget_bound(b, bound);
    bound->current = next;
    bound->fed = true;
    return AVAL_OK;
}

static int check_context(const aval__binding *b, const aval__slot *slot, cl_mem buffer)
{
    cl_context context = NULL;
    AVAL__TRY(aval__cl_check(clGetMemObjectInfo(buffer, CL_MEM_CONTEXT, sizeof context, &context, NULL), "clGetMemObjectInfo", "input '%s'",
                             slot->name ? slot->name : ""));
    if (context == aval__device_context(b->devices[slot->device].device)) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT,
                      "input '%s' is bound to a buffer of another cl_context than that of device %" PRIu32
                      " '%s', which reads it: give aval that cl_context (aval_context_use_opencl), or make the buffer in aval's "
                      "(aval_context_opencl)",
                      slot->name ? slot->name : "", aval__binding_number(b, slot->device), b->plan->devices[slot->device]->name);
}

int aval__binding_bind(aval__binding *b, uint32_t index, cl_mem buffer)
{
    const aval__slot *slot = &b->plan->slots[index];
    aval__bound_slot *bound = &b->slots[index];
    if (slot->guard_bytes > 0)
        return aval__fail(AVAL_E_UNSUPPORTED, "input '%s' is bound to a buffer, which has no guard bands: feed it in AVAL_MEMORY_GUARDED",
                          slot->name ? slot->name : "");
    if (bound->bound == buffer) return AVAL_OK;
    AVAL__TRY(check_context(b, slot, buffer));
    AVAL__TRY(aval__cl_check(clRetainMemObject(buffer), "clRetainMemObject", "input '%s'", slot->name ? slot->name : ""));
    int status = aval__binding_point(b, index, buffer);
    forget_bound(b, bound);
    bound->bound = buffer;
    return status;
}

/* The end of what the device's queue has now. */
static int mark(aval__binding *b, uint32_t device, cl_event *end)
{
    return aval__cl_check(clEnqueueMarkerWithWaitList(aval__binding_queue(b, device), 0, NULL, end), "clEnqueueMarkerWithWaitList",
                          "device %" PRIu32 " '%s'", aval__binding_number(b, device), b->plan->devices[device]->name);
}

/* The buffers of this device that inputs were read from may be written again after `end`. */
static int mark_device(aval__binding *b, uint32_t device, cl_event end)
{
    for (size_t i = 0; i < b->plan->n_slots; i++) {
        aval__bound_slot *bound = &b->slots[i];
        if (b->plan->slots[i].kind != AVAL__SLOT_INPUT || b->plan->slots[i].device != device) continue;
        AVAL__TRY(aval__cl_check(clRetainEvent(end), "clRetainEvent", "device %" PRIu32 " '%s'", aval__binding_number(b, device),
                                 b->plan->devices[device]->name));
        aval__drop_event(&bound->used[bound->current]);
        bound->used[bound->current] = end;
    }
    return AVAL_OK;
}

/* Notes the end of this run on each device that inputs lie on. */
static int mark_inputs(aval__binding *b)
{
    for (uint32_t device = 0; device < b->plan->n_devices; device++) {
        cl_event *end = &b->devices[device].end;
        if (!b->devices[device].transfers) continue;
        if (!*end) AVAL__TRY(mark(b, device, end));
        int status = mark_device(b, device, *end);
        aval__drop_event(end);
        if (status < 0) return status;
    }
    return AVAL_OK;
}

/* ---- States ---------------------------------------------------------------------------------------------------------------- */

static int point_states(aval__binding *b, aval_store *store)
{
    if (store && b->store == store && b->store_generation == aval__store_generation(store)) return AVAL_OK;
    for (uint32_t i = 0; i < b->plan->n_slots; i++) {
        const aval__slot *slot = &b->plan->slots[i];
        cl_mem buffer;
        uint64_t generation;
        if (slot->kind != AVAL__SLOT_STATE) continue;
        AVAL__TRY(aval__binding_explain_memory(
            b, aval__store_buffer(store, slot->name, &slot->tensor, b->devices[slot->device].device, &buffer, &generation), slot->device));
        if (b->store == store && b->slots[i].generation == generation) continue;
        aval__binding_forget_recordings(b);
        AVAL__TRY(aval__binding_point(b, i, buffer));
        b->slots[i].generation = generation;
    }
    b->store = store;
    b->store_generation = store ? aval__store_generation(store) : 0;
    return AVAL_OK;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------------------- */

cl_event *aval__binding_timed(const aval__binding *b, aval__bound_step *bound)
{
    if (!b->profiled) return NULL;
    aval__drop_event(&bound->timed);
    return &bound->timed;
}

/* Where the event of a launch goes; NULL: nobody asks for it. */
static cl_event *event_of(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    cl_event *timed = aval__binding_timed(b, bound), *end = &b->devices[step->device].end;
    if (timed || !bound->last) return timed;
    aval__drop_event(end);
    return end;
}

static int enqueue_launch(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    if (bound->shared) AVAL__TRY(aval__binding_set_args(b, step, bound->kernel));
    const uint32_t axis = bound->split_axis;
    const cl_command_queue queue = aval__binding_queue(b, step->device);
    size_t offset[3] = { 0 }, global[3] = { bound->global[0], bound->global[1], bound->global[2] };
    for (; offset[axis] < bound->global[axis]; offset[axis] += bound->split_items) {
        const size_t left = bound->global[axis] - offset[axis];
        global[axis] = left < bound->split_items ? left : bound->split_items;
        cl_int code = clEnqueueNDRangeKernel(queue, bound->kernel, step->dims, offset[axis] > 0 ? offset : NULL, global,
                                             bound->set_local ? bound->local : NULL, 0, NULL, event_of(b, step, bound));
        if (code != CL_SUCCESS) return aval__cl_check(code, "clEnqueueNDRangeKernel", "%s", aval__binding_where(b, step));
        /* drivers may hand what was not flushed to the GPU as one */
        if (left > bound->split_items) AVAL__TRY(aval__cl_check(clFlush(queue), "clFlush", "%s", aval__binding_where(b, step)));
    }
    return AVAL_OK;
}

static int enqueue_gemm(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    int64_t item = (int64_t)aval_type_bytes(step->type);
    aval__gemm_operands operands = {
        .a = b->slots[step->a.slot].buffer,
        .b = b->slots[step->b.slot].buffer,
        .c = b->slots[step->c.slot].buffer,
        .scratch = bound->scratch,
        .a_offset = step->a.offset / item,
        .b_offset = step->b.offset / item,
        .c_offset = step->c.offset / item,
        .scratch_bytes = bound->scratch_bytes,
    };
    int status = aval__gemm_provider_at(step->provider)->enqueue(b->devices[step->device].device, step->gemm, step->type, &operands);
    if (status < 0) return aval__fail_in(status, "%s", aval__binding_where(b, step));
    cl_event *timed = aval__binding_timed(b, bound); /* a provider may enqueue several commands: their end is marked */
    if (!timed) return AVAL_OK;
    return aval__cl_check(clEnqueueMarkerWithWaitList(aval__binding_queue(b, step->device), 0, NULL, timed), "clEnqueueMarkerWithWaitList",
                          "%s", aval__binding_where(b, step));
}

static int enqueue_copy(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    return aval__cl_check(clEnqueueCopyBuffer(aval__binding_queue(b, step->device), b->slots[step->from.slot].buffer,
                                              b->slots[step->to.slot].buffer, (size_t)step->from.offset, (size_t)step->to.offset,
                                              (size_t)step->bytes, 0, NULL, aval__binding_timed(b, bound)),
                          "clEnqueueCopyBuffer", "%s", aval__binding_where(b, step));
}

static int enqueue_fill(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    return aval__cl_check(clEnqueueFillBuffer(aval__binding_queue(b, step->device), b->slots[step->to.slot].buffer, step->pattern,
                                              step->pattern_bytes, (size_t)step->to.offset, (size_t)step->bytes, 0, NULL,
                                              aval__binding_timed(b, bound)),
                          "clEnqueueFillBuffer", "%s", aval__binding_where(b, step));
}

static int (*const enqueue[])(aval__binding *b, const aval__step *step, aval__bound_step *bound) = {
    [AVAL__STEP_LAUNCH] = enqueue_launch,
    [AVAL__STEP_GEMM] = enqueue_gemm,
    [AVAL__STEP_COPY] = enqueue_copy,
    [AVAL__STEP_FILL] = enqueue_fill,
};

int aval__binding_enqueue(aval__binding *b, size_t i)
{
    const aval__step *step = &b->plan->steps[i];
    if (b->steps[i].idle) return AVAL_OK;
    if (step->once && b->skips_once) {
        aval__drop_event(&b->steps[i].timed);
        return AVAL_OK;
    }
    bool across = step->kind == AVAL__STEP_COPY && step->from_device != step->device;
    int status = across ? aval__binding_copy_across(b, i) : enqueue[step->kind](b, step, &b->steps[i]);
    return status == AVAL_E_DEVICE_MEMORY ? aval__binding_explain_memory(b, status, step->device) : status;
}

int aval__binding_flush(aval__binding *b)
{
    for (uint32_t i = 0; i < b->plan->n_devices; i++)
        if (b->devices[i].used)
            AVAL__TRY(aval__cl_check(clFlush(aval__binding_queue(b, i)), "clFlush", "device %" PRIu32 " '%s'", aval__binding_number(b, i),
                                     b->plan->devices[i]->name));
    return AVAL_OK;
}

static uint64_t changes_of(const aval_store *store)
{
    return store ? aval__store_changes(store) : 1;
}

static int enqueue_in_turn(aval__binding *b, int (*after)(void *user, aval__binding *binding, size_t step), void *user)
{
    for (size_t i = 0; i < b->plan->n_steps; i++) {
        AVAL__TRY(aval__binding_enqueue(b, i));
        if (after) AVAL__TRY(after(user, b, i));
    }
    return AVAL_OK;
}

int aval__binding_run_steps(aval__binding *b, aval_store *store, int (*after)(void *user, aval__binding *binding, size_t step), void *user)
{
    b->skips_once = b->store == store && !after && b->once_changes != 0 && b->once_changes == changes_of(store);
    b->once_changes = 0; /* until this run is complete */
    for (size_t i = 0; i < b->plan->n_devices; i++) aval__drop_event(&b->devices[i].end); /* of a run that failed */
    AVAL__TRY(point_states(b, store));
    if (b->guarded) AVAL__TRY(aval__binding_poison(b));
    if (b->crosses && !after) AVAL__TRY(aval__binding_enqueue_devices(b));
    else if (b->records && !after) AVAL__TRY(aval__binding_enqueue_recorded(b));
    else AVAL__TRY(enqueue_in_turn(b, after, user));
    if (store && (b->updates || after)) aval__store_change(store);
    if (!after) b->once_changes = changes_of(store); /* what the plan itself updates is not what it does once */
    AVAL__TRY(mark_inputs(b));
    return aval__binding_flush(b);
}

static int check_step(void *user, aval__binding *b, size_t step)
{
    (void)user;
    return aval__binding_check_step(b, step);
}

int aval__binding_run(aval__binding *b, aval_store *store, bool anomaly)
{
    return aval__binding_run_steps(b, store, anomaly ? check_step : NULL, NULL);
}

/* ---- Results --------------------------------------------------------------------------------------------------------------- */

int aval__binding_read(aval__binding *b, const aval__located *value, void *data, size_t bytes)
{
    if (bytes != aval__tensor_bytes(value->tensor))
        return aval__fail(AVAL_E_ARGUMENT, "value '%s' has %zu bytes, found room for %zu", value->name ? value->name : "",
                          aval__tensor_bytes(value->tensor), bytes);
    if (bytes == 0) return AVAL_OK;
    cl_mem buffer;
    AVAL__TRY(aval__binding_place(b, value, &buffer));
    return aval__cl_check(clEnqueueReadBuffer(aval__binding_queue(b, value->device), buffer, CL_TRUE, (size_t)value->place.offset, bytes,
                                              data, 0, NULL, NULL),
                          "clEnqueueReadBuffer", "value '%s', %zu bytes, device %" PRIu32 " '%s'", value->name ? value->name : "", bytes,
                          aval__binding_number(b, value->device), b->plan->devices[value->device]->name);
}

int aval__binding_place(aval__binding *b, const aval__located *value, cl_mem *buffer)
{
    /* Another session may have moved the state since. */
    if (b->plan->slots[value->place.slot].kind == AVAL__SLOT_STATE) AVAL__TRY(point_states(b, b->store));
    *buffer = b->slots[value->place.slot].buffer;
    return AVAL_OK;
}

int aval__binding_wait(aval__binding *b)
{
    for (uint32_t i = 0; i < b->plan->n_devices; i++)
        if (b->devices[i].used) AVAL__TRY(aval__queue_wait(aval__binding_queue(b, i), b->plan->devices[i]->name));
    return AVAL_OK;
}

int aval__binding_end(aval__binding *b, cl_event *end)
{
    uint32_t first = 0;
    while (first + 1 < b->plan->n_devices && !b->devices[first].used) first++;
    for (uint32_t i = first + 1; i < b->plan->n_devices; i++)
        if (b->devices[i].used) AVAL__TRY(aval__queue_wait(aval__binding_queue(b, i), b->plan->devices[i]->name));
    return mark(b, first, end);
}
