/* What each command of the last run took, from the events that bindings keep while profiling, beside what it had to move and compute. */
#include "exec/binding.h"
#include "exec/session.h"

#include <inttypes.h>

/* ---- How much a step moves ------------------------------------------------------------------------------------------------- */

/* Bytes of the value that lies at a place, by the steps so far. */
typedef struct extent {
    aval__place place;
    uint64_t bytes;
    UT_hash_handle hh;
} extent;

static extent *extent_at(extent *table, aval__place place)
{
    aval__place key = { 0 }; /* with its padding */
    extent *found;
    key.slot = place.slot;
    key.offset = place.offset;
    HASH_FIND(hh, table, &key, sizeof key, found);
    return found;
}

static int note_written(const aval__plan *plan, const aval__step *step, extent **table, aval__arena *arena)
{
    for (uint32_t i = 0; i < step->n_values; i++) {
        const aval__located *value = &plan->written[step->first_value + i];
        extent *e = extent_at(*table, value->place);
        if (!e) {
            e = aval__arena_alloc(arena, sizeof *e);
            if (!e) return AVAL_E_MEMORY;
            e->place.slot = value->place.slot;
            e->place.offset = value->place.offset;
            HASH_ADD(hh, *table, place, sizeof e->place, e);
            if (!e->hh.tbl) return AVAL_E_MEMORY;
        }
        e->bytes = aval__tensor_bytes(value->tensor);
    }
    return AVAL_OK;
}

/* Of a tensor argument, once; scratch memory is not what must be moved. */
static double bytes_of(const aval__plan *plan, extent *table, aval__place place)
{
    const aval__slot *slot = &plan->slots[place.slot];
    if (slot->kind != AVAL__SLOT_ARENA) return (double)aval__tensor_bytes(&slot->tensor);
    const extent *e = extent_at(table, place);
    return e ? (double)e->bytes : 0;
}

static bool repeated(const aval__step *step, uint32_t arg)
{
    for (uint32_t i = 0; i < arg; i++) {
        const aval__arg *a = &step->args[i], *b = &step->args[arg];
        if (a->kind == b->kind && a->slot == b->slot && a->offset == b->offset && a->written == b->written) return true;
    }
    return false;
}

static double step_bytes(const aval__plan *plan, extent *table, const aval__step *step)
{
    double bytes = 0;
    if (step->kind == AVAL__STEP_COPY) return 2 * (double)step->bytes;
    if (step->kind == AVAL__STEP_FILL) return (double)step->bytes;
    if (step->kind == AVAL__STEP_GEMM)
        return bytes_of(plan, table, step->a) + bytes_of(plan, table, step->b) + bytes_of(plan, table, step->c);
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind != AVAL__ARG_TENSOR || arg->absent || repeated(step, i)) continue;
        bytes += bytes_of(plan, table, (aval__place){ arg->slot, arg->offset * (int64_t)arg->bytes });
    }
    return bytes;
}

/* ---- How long it took ------------------------------------------------------------------------------------------------------ */

/* What the devices' clocks said so far. */
typedef struct device_clock {
    bool started;
    cl_ulong first, last; /* nanoseconds: start of the first command, end of the last */
} device_clock;

static int read_times(const aval__binding *b, const aval__step *step, bool several, cl_event event, device_clock *clock,
                      aval_profile_entry *entry)
{
    cl_ulong start, end;
    cl_int code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
    if (code == CL_SUCCESS) code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
    AVAL__TRY(aval__cl_check(code, "clGetEventProfilingInfo", "%s", aval__binding_where(b, step)));
    if (several && clock->started) start = clock->last; /* the event is that of the last command, or of a marker behind it */
    if (!clock->started) clock->first = start;
    clock->started = true;
    clock->last = end;
    entry->start_us = 1e-3 * ((double)start - (double)clock->first);
    entry->end_us = 1e-3 * ((double)end - (double)clock->first);
    return AVAL_OK;
}

/* Whether a step may be several commands, of which the event is the last. */
static bool is_several(const aval__step *step, const aval__bound_step *bound)
{
    if (step->kind == AVAL__STEP_LAUNCH) return bound->split_items < bound->global[bound->split_axis];
    return step->kind == AVAL__STEP_GEMM;
}

static const char *command_of(const aval__step *step)
{
    switch (step->kind) {
    case AVAL__STEP_LAUNCH: return step->kernel;
    case AVAL__STEP_GEMM: return aval__gemm_provider_at(step->provider)->name;
    case AVAL__STEP_COPY: return "copy";
    case AVAL__STEP_FILL: break;
    }
    return "fill";
}

int aval__binding_profile(aval__binding *b, aval_profile_function report, void *user)
{
    const aval__plan *plan = b->plan;
    int status = AVAL_OK;
    aval__arena arena = { 0 };
    extent *table = NULL;
    device_clock *clocks = aval__arena_alloc(&arena, plan->n_devices * sizeof *clocks);
    if (!clocks) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(aval__binding_wait(b));
    for (size_t i = 0, product = 0; i < plan->n_steps; i++) {
        const aval__step *step = &plan->steps[i];
        aval_profile_entry entry = { .size = sizeof entry, .device = step->device, .node = step->node ? step->node : "" };
        entry.command = command_of(step);
        AVAL__TRY_DONE(note_written(plan, step, &table, &arena));
        entry.bytes = step_bytes(plan, table, step);
        for (; product < plan->n_products && plan->products[product].step <= i; product++)
            if (plan->products[product].step == i) entry.flops += plan->products[product].flops;
        cl_event event = b->steps[i].timed ? b->steps[i].timed : b->steps[i].written; /* the latter of a copy between devices */
        if (!event) continue;
        AVAL__TRY_DONE(read_times(b, step, is_several(step, &b->steps[i]), event, &clocks[step->device], &entry));
        report(user, &entry);
    }
done:
    HASH_CLEAR(hh, table);
    aval__arena_release(&arena);
    return status;
}

int aval_session_profile(aval_session *s, aval_profile_function report, void *user)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(report, "a function to report to");
    if (!aval__context_profiled(s->context))
        return aval__fail(AVAL_E_ARGUMENT, "no times were kept: call aval_context_profile before the first session runs");
    if (!s->current || !s->ran) return aval__fail(AVAL_E_ARGUMENT, "no run to tell the times of: call aval_session_run first");
    return aval__binding_profile(s->current->binding, report, user);
}
