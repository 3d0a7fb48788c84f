/* Recordings: what a run enqueues is the same each time the slots have the same buffers, so that from the second such run on its launches go to
 * the device as a few command buffers (device/commands.h) instead of one by one.  Copies, fills and the products of providers stand between them.
 *
 * A recording holds the buffers that its launches had.  Those of inputs alternate between two, hence several recordings; where the store has moved
 * a state, or a caller's buffer is let go, all are forgotten. */
#include "exec/binding.h"

#include <inttypes.h>

#define LEAST_LAUNCHES 2 /* one alone gains nothing */

static const aval__commands *commands_of(const aval__binding *b, uint32_t device)
{
    return aval__device_commands(b->devices[device].device);
}

static void forget(aval__binding *b, aval__recording *r)
{
    for (size_t i = 0; i < r->stretches.count; i++) {
        const aval__stretch *s = &r->stretches.at[i];
        commands_of(b, s->device)->release(s->commands);
    }
    aval__vec_release(&r->stretches);
    *r = (aval__recording){ 0 };
}

void aval__binding_forget_recordings(aval__binding *b)
{
    for (size_t i = 0; i < AVAL__MOST_RECORDINGS; i++) forget(b, &b->recordings[i]);
}

bool aval__binding_can_record(const aval__binding *b)
{
    if (b->profiled || b->crosses) return false; /* each step's times are wanted; or devices take turns */
    for (uint32_t i = 0; i < b->plan->n_devices; i++)
        if (b->devices[i].used && commands_of(b, i)) return true;
    return false;
}

/* ---- Recording ------------------------------------------------------------------------------------------------------------- */

static bool is_skipped(const aval__binding *b, size_t i)
{
    return b->steps[i].idle || (b->plan->steps[i].once && b->skips_once);
}

/* A kernel that is shared gets other arguments between launches, and a launch in parts is flushed between them. */
static bool is_recordable(const aval__binding *b, size_t i)
{
    const aval__step *step = &b->plan->steps[i];
    const aval__bound_step *bound = &b->steps[i];
    if (step->kind != AVAL__STEP_LAUNCH || bound->shared || !commands_of(b, step->device)) return false;
    return bound->split_items >= bound->global[bound->split_axis];
}

static int check(const aval__binding *b, cl_int code, const char *call, const aval__step *step)
{
    if (code == CL_SUCCESS) return AVAL_OK;
    return aval__cl_check(code, call, "%s; AVAL_COMMAND_BUFFERS=0 does without", aval__binding_where(b, step));
}

static int record_stretch(aval__binding *b, aval__stretch *s)
{
    const aval__step *steps = b->plan->steps;
    const aval__commands *c = commands_of(b, s->device);
    const cl_command_queue queue = aval__binding_queue(b, s->device);
    cl_int code = CL_SUCCESS;
    s->commands = c->create(1, &queue, c->properties, &code);
    AVAL__TRY(check(b, code, "clCreateCommandBufferKHR", &steps[s->first]));
    for (uint32_t i = s->first; i < s->end; i++) {
        const aval__bound_step *bound = &b->steps[i];
        if (is_skipped(b, i)) continue;
        code = c->launch(s->commands, NULL, NULL, bound->kernel, steps[i].dims, NULL, bound->global, bound->set_local ? bound->local : NULL,
                         0, NULL, NULL, NULL);
        if (code != CL_SUCCESS) break;
    }
    if (code == CL_SUCCESS) code = c->finish(s->commands);
    if (code == CL_SUCCESS) return AVAL_OK;
    c->release(s->commands);
    return check(b, code, "clCommandNDRangeKernelKHR", &steps[s->first]);
}

/* The launches from `first` on that can be one command buffer: `end` is the first step that can not be in it. */
static uint32_t find_stretch(const aval__binding *b, aval__stretch *s)
{
    const uint32_t n_steps = (uint32_t)b->plan->n_steps;
    uint32_t launches = 0;
    s->device = b->plan->steps[s->first].device;
    for (s->end = s->first; s->end < n_steps; s->end++) {
        if (is_skipped(b, s->end)) continue;
        if (!is_recordable(b, s->end) || b->plan->steps[s->end].device != s->device) break;
        launches++;
    }
    return launches;
}

static int record(aval__binding *b, aval__recording *r)
{
    aval__stretch s = { 0 };
    for (; s.first<b->plan->n_steps; s.first = s.end> s.first ? s.end : s.first + 1) {
        if (find_stretch(b, &s) < LEAST_LAUNCHES) continue;
        AVAL__TRY(aval__vec_reserve(&r->stretches, r->stretches.count + 1));
        AVAL__TRY(record_stretch(b, &s));
        r->stretches.at[r->stretches.count++] = s;
    }
    r->recorded = true;
    return AVAL_OK;
}

/* ---- Runs ------------------------------------------------------------------------------------------------------------------ */

/* The recording of this run.  A run whose buffers were not seen before is only noted: many are never seen again. */
static int find(aval__binding *b, aval__recording **out)
{
    const uint64_t key = b->skips_once ? ~b->pointed : b->pointed;
    aval__recording *oldest = &b->recordings[0];
    *out = NULL;
    for (size_t i = 0; i < AVAL__MOST_RECORDINGS; i++) {
        aval__recording *r = &b->recordings[i];
        if (r->used > 0 && r->key == key) *out = r;
        if (r->used < oldest->used) oldest = r;
    }
    if (*out) {
        if (!(*out)->recorded) AVAL__TRY(record(b, *out));
    } else {
        forget(b, oldest);
        oldest->key = key;
    }
    (*out ? *out : oldest)->used = ++b->n_recorded_runs;
    return AVAL_OK;
}

static int enqueue_each(aval__binding *b, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) AVAL__TRY(aval__binding_enqueue(b, i));
    return AVAL_OK;
}

/* A command buffer that can't be enqueued twice and is still under way from an earlier run: its launches go one by one. */
static int enqueue_stretch(aval__binding *b, const aval__stretch *s)
{
    cl_int code = commands_of(b, s->device)->enqueue(0, NULL, s->commands, 0, NULL, NULL);
    if (code == CL_INVALID_OPERATION) return enqueue_each(b, s->first, s->end);
    return check(b, code, "clEnqueueCommandBufferKHR", &b->plan->steps[s->first]);
}

int aval__binding_enqueue_recorded(aval__binding *b)
{
    aval__recording *r = NULL;
    uint32_t at = 0;
    int status = find(b, &r);
    if (status < 0) {
        aval__binding_forget_recordings(b);
        return status;
    }
    for (size_t i = 0; r && i < r->stretches.count; i++) {
        const aval__stretch *s = &r->stretches.at[i];
        AVAL__TRY(enqueue_each(b, at, s->first));
        AVAL__TRY(enqueue_stretch(b, s));
        at = s->end;
    }
    return enqueue_each(b, at, (uint32_t)b->plan->n_steps);
}
