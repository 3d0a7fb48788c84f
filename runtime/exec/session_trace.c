/* A run of a session one launch at a time: what each launch has made can be looked at, and replaced, before the next one runs.  The plan is
 * the one that runs always run, with its fused launches and shared buffers: nothing of it has to be kept for this. */
#include "exec/binding.h"
#include "exec/session.h"

typedef struct tracer {
    aval_session *session;
    aval__trace_function visit;
    void *user;
} tracer;

/* "launch 3 of 40, node 7 (Relu): fused:fused". */
static int describe_step(const aval__plan *plan, size_t index, aval__text *out)
{
    const aval__step *step = &plan->steps[index];
    aval__text_add(out, "launch %zu of %zu, %s", index + 1, plan->n_steps, step->node ? step->node : "");
    if (step->kind == AVAL__STEP_LAUNCH) aval__text_add(out, ": %s:%s", step->source->name, step->kernel);
    if (step->kind == AVAL__STEP_GEMM) aval__text_add(out, ": %s", aval__gemm_provider_at(step->provider)->name);
    return out->failed ? AVAL_E_MEMORY : AVAL_OK;
}

static int write_back(aval__binding *b, const aval__located *value, const void *data, size_t bytes)
{
    return aval__cl_check(clEnqueueWriteBuffer(aval__binding_queue(b, value->device), b->slots[value->place.slot].buffer, CL_TRUE,
                                               (size_t)value->place.offset, bytes, data, 0, NULL, NULL),
                          "clEnqueueWriteBuffer", "value '%s', %zu bytes", value->name ? value->name : "", bytes);
}

static int show_value(tracer *t, aval__binding *b, const char *launch, double reach, const aval__located *value)
{
    size_t bytes = aval__tensor_bytes(value->tensor);
    const aval__numbering *numbers = &t->session->numbers;
    bool replaced = false;
    void *data = aval__alloc(bytes + 1);
    if (!data) return AVAL_E_MEMORY;
    const aval__traced traced = { .name = value->name ? value->name : "",
                                  .launch = launch,
                                  .number = value->value,
                                  .id = value->value < numbers->count ? (int64_t)numbers->at[value->value] : -1,
                                  .reach = reach,
                                  .shape = value->tensor,
                                  .bytes = bytes };
    int status = aval__binding_read(b, value, data, bytes);
    if (status == AVAL_OK) status = t->visit(t->user, &traced, data, &replaced);
    if (status == AVAL_OK && replaced && bytes > 0) status = write_back(b, value, data, bytes);
    aval__free(data);
    return status;
}

static int show_step(void *user, aval__binding *b, size_t index)
{
    tracer *t = user;
    const aval__step *step = &b->plan->steps[index];
    aval__text launch = { 0 };
    double reach = 0;
    int status = describe_step(b->plan, index, &launch);
    if (status == AVAL_OK && step->n_values > 0) status = aval__binding_reach(b, index, &reach);
    for (uint32_t i = 0; i < step->n_values && status == AVAL_OK; i++)
        status = show_value(t, b, launch.at, reach, &b->plan->written[step->first_value + i]);
    aval__text_release(&launch);
    return status;
}

int aval__session_trace(aval_session *s, aval_value *const *wanted, size_t n_wanted, aval__trace_function visit, void *user)
{
    tracer t = { .session = s, .visit = visit, .user = user };
    AVAL__TRY(aval__session_ready(s, wanted, n_wanted));
    AVAL__TRY(aval__binding_run_steps(s->current->binding, s->store, show_step, &t));
    s->ran = true;
    return AVAL_OK;
}
