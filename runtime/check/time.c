/* How long an operator's cases take: what `aval bench OP` prints. */
#include "check/case.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST_RUNS = 5, MOST_RUNS = 2000 };

/* The first run plans, builds and warms the caches; then one at a time until `seconds` have passed. */
static int time_runs(aval_session *s, aval_value *const *wanted, size_t n, double seconds, aval_check_time *t)
{
    double ms[MOST_RUNS], from;
    size_t runs = 0;
    AVAL__TRY(aval_session_run(s, wanted, n));
    AVAL__TRY(aval_session_wait(s));
    for (from = aval__seconds(); runs < MOST_RUNS && (runs < LEAST_RUNS || aval__seconds() - from < seconds); runs++) {
        double start = aval__seconds();
        AVAL__TRY(aval_session_run(s, wanted, n));
        AVAL__TRY(aval_session_wait(s));
        ms[runs] = 1e3 * (aval__seconds() - start);
    }
    t->median_ms = aval__median(ms, runs);
    t->min_ms = ms[0];
    t->max_ms = ms[runs - 1];
    return AVAL_OK;
}

/* Which output's gradients are timed: all outputs' together where there are several, else the one's. */
static size_t differentiated(const aval__case *c)
{
    return c->n_gradients > 0 ? c->gradients[c->n_gradients - 1].output : SIZE_MAX;
}

static uint64_t bytes_of(const aval_value *value)
{
    return value ? aval__tensor_bytes(&value->tensor) : 0;
}

static int time_case(aval__case *c, double seconds, aval_check_times *times)
{
    aval_session *s = NULL;
    const size_t of = differentiated(c);
    size_t n = 0;
    aval_value **wanted = aval__alloc_array(c->n_outputs + c->n_gradients + 1, sizeof *wanted);
    int status = wanted ? aval_session_create(c->ctx, c->graph, c->store, &s) : AVAL_E_MEMORY;
    for (size_t i = 0; status == AVAL_OK && i < c->n_inputs; i++) {
        times->forward.bytes += bytes_of(c->values[i]);
        if (c->values[i] && c->values[i]->kind == AVAL__INPUT) status = aval__case_feed(s, c->values[i], &c->inputs[i]);
    }
    for (size_t o = 0; status == AVAL_OK && o < c->n_outputs; o++) {
        times->forward.bytes += bytes_of(c->outputs[o]);
        wanted[n++] = c->outputs[o];
    }
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(time_runs(s, wanted, n, seconds, &times->forward));
    if (of == SIZE_MAX) goto done;
    AVAL__TRY_DONE(aval__case_feed(s, c->upstream_values[of], &c->upstreams[of]));
    times->both.bytes = times->forward.bytes + bytes_of(c->upstream_values[of]);
    for (size_t k = 0; k < c->n_gradients; k++) {
        if (c->gradients[k].output != of) continue;
        wanted[n++] = c->gradients[k].value;
        times->both.bytes += bytes_of(c->values[c->gradients[k].input]);
    }
    AVAL__TRY_DONE(time_runs(s, wanted, n, seconds, &times->both));
done:
    aval_session_release(s);
    aval__free(wanted);
    return status;
}

int aval_check_times_of(aval_context *ctx, const aval_check_case *what, double seconds, aval_check_times *times)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(what, "a case");
    AVAL__NEED(times, "a place for the times");
    aval__case c;
    const char *skip;
    *times = (aval_check_times){ .size = sizeof *times };
    int status = aval__case_make(ctx, what, &c, &skip);
    if (status == AVAL_OK && skip) status = aval__fail(AVAL_E_TYPE, "%s: %s", what->op, skip);
    if (status == AVAL_OK) status = time_case(&c, seconds, times);
    aval__case_release(&c);
    return status;
}
