/* Runs over several devices.  They share nothing, so a value goes from one to the other through host memory: a read on the sender's queue,
 * then a write on the receiver's.  The host never waits for a device while another has something to be given: each device has a list of its
 * own of what to do, in the order of the plan, and goes on in it until a copy holds it up; only when all are held up is one of the copies
 * waited for.  So branches on different devices run at the same time, in whatever order the plan lists them.
 *
 * A copy is sent where the plan has it, and received only when a step of the receiver needs it: its place in memory is free from the copy's
 * own position on.  A device that waits for a copy is at a step after that copy, and what it sends before is sent; so the device that is
 * behind all others in the plan is never held up by them. */
#include "exec/binding.h"

#include <inttypes.h>

typedef enum progress { AT_END, HELD, MOVED } progress;

static bool crosses(const aval__step *step)
{
    return step->kind == AVAL__STEP_COPY && step->from_device != step->device;
}

/* ---- What each device does, listed once ------------------------------------------------------------------------------------ */

static bool lies_in(const aval__step *copy, aval__place place)
{
    return place.slot == copy->to.slot && place.offset >= copy->to.offset && place.offset < copy->to.offset + (int64_t)copy->bytes;
}

/* Does the step touch what the copy brings? */
static bool touches(const aval__step *step, const aval__step *copy)
{
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind == AVAL__ARG_TENSOR && !arg->absent && lies_in(copy, (aval__place){ arg->slot, arg->offset * (int64_t)arg->bytes }))
            return true;
    }
    if (step->kind == AVAL__STEP_GEMM) return lies_in(copy, step->a) || lies_in(copy, step->b) || lies_in(copy, step->c);
    if (step->kind == AVAL__STEP_FILL) return lies_in(copy, step->to);
    return step->kind == AVAL__STEP_COPY && (lies_in(copy, step->from) || (step->device == copy->device && lies_in(copy, step->to)));
}

/* The first step after the copy that its device must not take before it has received it; n_steps: none. */
static uint32_t needed_by(const aval__plan *plan, uint32_t copy)
{
    const aval__step *c = &plan->steps[copy];
    uint32_t s = copy + 1;
    while (s < plan->n_steps && !touches(&plan->steps[s], c)) s++;
    return s;
}

int aval__binding_list_actions(aval__binding *b)
{
    const aval__plan *plan = b->plan;
    size_t n = plan->n_steps;
    int status = AVAL_E_MEMORY;
    /* by step: the copies that are received before it, as lists: index + 1 of the first, and of the next one; 0 ends */
    uint32_t *first = aval__alloc_array(n + 1, sizeof *first), *next = aval__alloc_array(n, sizeof *next);
    if (!first || !next) goto done;
    for (uint32_t s = 0; s < n; s++) {
        if (b->steps[s].idle || !crosses(&plan->steps[s])) continue;
        uint32_t reader = needed_by(plan, s);
        next[s] = first[reader];
        first[reader] = s + 1;
    }
    for (uint32_t s = 0; s <= n; s++) {
        for (uint32_t c = first[s]; c != 0; c = next[c - 1])
            AVAL__TRY_DONE(aval__vec_push(&b->devices[plan->steps[c - 1].device].actions, (aval__action){ AVAL__RECEIVE, c - 1 }));
        if (s == n || b->steps[s].idle) continue;
        const aval__step *step = &plan->steps[s];
        bool send = crosses(step);
        aval__bound_device *d = &b->devices[send ? step->from_device : step->device];
        AVAL__TRY_DONE(aval__vec_push(&d->actions, (aval__action){ send ? AVAL__SEND : AVAL__ENQUEUE, s }));
    }
    status = AVAL_OK;
done:
    aval__free(first);
    aval__free(next);
    return status;
}

/* ---- The two halves of a copy ---------------------------------------------------------------------------------------------- */

static int send(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    cl_command_queue queue = aval__binding_queue(b, step->from_device);
    AVAL__TRY(aval__cl_check(clEnqueueReadBuffer(queue, b->slots[step->from.slot].buffer, CL_FALSE, (size_t)step->from.offset,
                                                 (size_t)step->bytes, bound->staging, 0, NULL, &bound->sent),
                             "clEnqueueReadBuffer", "from device %" PRIu32 " to %s", aval__binding_number(b, step->from_device),
                             aval__binding_where(b, step)));
    return aval__cl_check(clFlush(queue), "clFlush", "device %" PRIu32 ", %s", aval__binding_number(b, step->from_device),
                          aval__binding_where(b, step));
}

static int receive(aval__binding *b, const aval__step *step, aval__bound_step *bound)
{
    cl_command_queue queue = aval__binding_queue(b, step->device);
    aval__drop_event(&bound->sent);
    AVAL__TRY(aval__cl_check(clEnqueueWriteBuffer(queue, b->slots[step->to.slot].buffer, CL_FALSE, (size_t)step->to.offset,
                                                  (size_t)step->bytes, bound->staging, 0, NULL, &bound->written),
                             "clEnqueueWriteBuffer", "%s", aval__binding_where(b, step)));
    return aval__cl_check(clFlush(queue), "clFlush", "%s", aval__binding_where(b, step));
}

static int wait_for(const aval__binding *b, const aval__step *step, cl_event event)
{
    return aval__cl_check(clWaitForEvents(1, &event), "clWaitForEvents", "%s", aval__binding_where(b, step));
}

int aval__binding_copy_across(aval__binding *b, size_t index)
{
    const aval__step *step = &b->plan->steps[index];
    aval__bound_step *bound = &b->steps[index];
    aval__drop_event(&bound->sent);
    if (bound->written) AVAL__TRY(wait_for(b, step, bound->written)); /* the last run's write still reads the staging memory */
    aval__drop_event(&bound->written);
    AVAL__TRY(send(b, step, bound));
    AVAL__TRY(wait_for(b, step, bound->sent));
    return receive(b, step, bound);
}

/* ---- Several devices at a time ----------------------------------------------------------------------------------------------- */

/* What must be complete before the action: the last write from the staging memory that a send fills, the sending of what is received. */
static cl_event awaited_by(const aval__binding *b, aval__action action)
{
    const aval__bound_step *bound = &b->steps[action.step];
    return action.kind == AVAL__SEND ? bound->written : action.kind == AVAL__RECEIVE ? bound->sent : NULL;
}

/* *ready: the action can be taken.  A command that failed is an error. */
static int is_ready(const aval__binding *b, aval__action action, bool *ready)
{
    const aval__step *step = &b->plan->steps[action.step];
    cl_event event = awaited_by(b, action);
    cl_int state = CL_COMPLETE;
    *ready = action.kind != AVAL__RECEIVE; /* which has no event where the sender is not there yet */
    if (!event) return AVAL_OK;
    AVAL__TRY(aval__cl_check(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), "clGetEventInfo", "%s",
                             aval__binding_where(b, step)));
    *ready = state == CL_COMPLETE;
    return state < 0 ? aval__cl_check(state, "a copy between devices", "%s", aval__binding_where(b, step)) : AVAL_OK;
}

static int act(aval__binding *b, aval__action action)
{
    const aval__step *step = &b->plan->steps[action.step];
    aval__bound_step *bound = &b->steps[action.step];
    if (action.kind == AVAL__ENQUEUE) return aval__binding_enqueue(b, action.step);
    if (action.kind == AVAL__RECEIVE) return receive(b, step, bound);
    aval__drop_event(&bound->written);
    return send(b, step, bound);
}

/* All that the device can be given now. */
static int advance(aval__binding *b, aval__bound_device *d, progress *outcome)
{
    size_t first = d->next;
    bool ready = true;
    while (d->next < d->actions.count) {
        AVAL__TRY(is_ready(b, d->actions.at[d->next], &ready));
        if (!ready) break;
        AVAL__TRY(act(b, d->actions.at[d->next]));
        d->next++;
    }
    *outcome = ready ? AT_END : d->next > first ? MOVED : HELD;
    return AVAL_OK;
}

/* Waits for the copy that comes first in the plan, of those that hold a device up. */
static int wait_for_first(aval__binding *b)
{
    uint32_t first = UINT32_MAX;
    cl_event awaited = NULL;
    for (size_t i = 0; i < b->plan->n_devices; i++) {
        const aval__bound_device *d = &b->devices[i];
        if (d->next >= d->actions.count) continue;
        aval__action action = d->actions.at[d->next];
        if (!awaited_by(b, action) || action.step >= first) continue;
        first = action.step;
        awaited = awaited_by(b, action);
    }
    if (!awaited) return aval__fail(AVAL_E_INTERNAL, "devices wait for each other: please report this");
    return wait_for(b, &b->plan->steps[first], awaited);
}

/* What a run that failed on its way has left: copies that were sent and not received, and staging memory that is still being read. */
static void forget_interrupted(aval__binding *b)
{
    aval__binding_wait(b);
    for (size_t i = 0; i < b->plan->n_steps; i++) {
        aval__drop_event(&b->steps[i].sent);
        aval__drop_event(&b->steps[i].written);
    }
}

int aval__binding_enqueue_devices(aval__binding *b)
{
    if (b->interrupted) forget_interrupted(b);
    b->interrupted = true;
    for (size_t i = 0; i < b->plan->n_devices; i++) b->devices[i].next = 0;
    for (bool complete = false; !complete;) {
        bool moved = false;
        complete = true;
        for (size_t i = 0; i < b->plan->n_devices; i++) {
            progress outcome;
            AVAL__TRY(advance(b, &b->devices[i], &outcome));
            complete = complete && outcome == AT_END;
            moved = moved || outcome == MOVED;
        }
        if (complete || moved) continue;
        AVAL__TRY(aval__binding_flush(b)); /* all devices are to be at work while the host waits */
        AVAL__TRY(wait_for_first(b));
    }
    b->interrupted = false;
    return AVAL_OK;
}
