/* The gradient check of a user's own graph: what the session's devices give against centred differences, which the host's referee takes in double
 * for the very contents that the session would run with. */
#include "check/check.h"
#include "check/graph_referee.h"

#include <math.h>
#include <string.h>

/* A difference step is this share of the tensor's largest magnitude: near the cube root of double's epsilon. */
#define STEP 6e-6
/* Larger tensors are compared along this many directions of random signs, each in a block of elements of its own. */
#define MOST_DIFFERENCES 512

typedef struct graph_check {
    aval_session *session;
    aval__graph_referee referee;
    aval__host_tensor upstream;
} graph_check;

/* One gradient's comparison, along directions of `block` elements (1: each element). */
typedef struct directions {
    size_t elements, block, count;
    double step;
} directions;

static uint64_t random_bits(uint64_t stream, uint64_t index)
{
    const uint64_t key[2] = { stream, index };
    return aval__hash64(key, sizeof key, 0);
}

static double random_sign(uint64_t index)
{
    return (random_bits(1, index) & 1) != 0 ? 1 : -1;
}

static void release(graph_check *k)
{
    aval__host_tensor_release(&k->upstream);
    aval__graph_referee_close(&k->referee);
}

/* ---- The host's side ---------------------------------------------------------------------------------------------------------- */

/* Random numbers, never all ones (the gradient of a softmax would be zero), as the device will see them. */
static int make_upstream(graph_check *k, const aval_value *of, aval_value **constant)
{
    const aval_tensor *shape = &k->referee.of->tensor;
    AVAL__TRY(aval__host_tensor_make(&k->upstream, shape));
    if (k->upstream.real == NULL)
        return aval__fail(AVAL_E_TYPE, "'%s' is of type %s, which has no gradient", aval__value_label(of), aval_type_name(shape->type));
    for (size_t e = 0; e < (size_t)aval__tensor_count(shape); e++)
        k->upstream.real[e] = (0.5 + (double)(random_bits(2, e) >> 12) * 0x1p-53) * random_sign(e);
    void *data = aval__alloc(aval__tensor_bytes(shape) + 1);
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(&k->upstream, data);
    aval__host_tensor_from(&k->upstream, data);
    *constant = aval_graph_constant(of->graph, shape->type, (size_t)shape->rank, shape->dims, data);
    aval__free(data);
    return *constant != NULL ? 0 : aval_graph_status(of->graph);
}

/* The derivative along a direction: the tensor is moved by the step both ways. */
static int difference(graph_check *k, aval__host_tensor *moved, const double *old, const directions *d, size_t at, double step, double *out)
{
    size_t first = at * d->block, count = d->elements - first < d->block ? d->elements - first : d->block;
    aval__host_tensor above = { 0 }, below = { 0 };
    int status = 0;
    for (size_t e = first; e < first + count; e++) moved->real[e] = old[e] + step * (d->block == 1 ? 1 : random_sign(e));
    AVAL__TRY_DONE(aval__graph_referee_evaluate(&k->referee, &above));
    for (size_t e = first; e < first + count; e++) moved->real[e] = old[e] - step * (d->block == 1 ? 1 : random_sign(e));
    AVAL__TRY_DONE(aval__graph_referee_evaluate(&k->referee, &below));
    *out = 0;
    for (size_t e = 0; e < (size_t)aval__tensor_count(&k->upstream.tensor); e++)
        *out += k->upstream.real[e] * (above.real[e] - below.real[e]) / (2 * step);
done:
    memcpy(moved->real + first, old + first, count * sizeof *old);
    aval__host_tensor_release(&above);
    aval__host_tensor_release(&below);
    return status;
}

/* ---- The comparison ------------------------------------------------------------------------------------------------------------ */

/* What the device found, along the directions. */
static void project(const directions *d, const double *found, double *along)
{
    for (size_t e = 0; e < d->elements; e++) along[e / d->block] += found[e] * (d->block == 1 ? 1 : random_sign(e));
}

/* `found` and `expected` along all directions; the worst in units of the tolerance, which is relative to the gradient's largest element. */
static void judge(const directions *d, int type, const double *found, const double *expected, aval_gradient_result *result)
{
    double rtol = type == AVAL_DOUBLE ? 1e-6 : type == AVAL_FLOAT16 ? 2e-2 : 1e-3, atol = rtol * 0.1, largest = 0;
    for (size_t i = 0; i < d->count; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < d->count; i++) {
        double error = fabs(found[i] - expected[i]) / (atol + rtol * largest);
        if (!(error <= result->error)) { /* a NaN is the worst */
            result->error = isnan(error) ? INFINITY : error;
            result->worst = i * d->block;
            result->found = found[i];
            result->expected = expected[i];
        }
    }
    result->compared = d->count;
    result->passed = result->error <= 1 && d->count > 0;
}

static int differences(graph_check *k, uint32_t id, const directions *d, const double *along, double *expected)
{
    aval__host_tensor *moved = &k->referee.contents[id];
    double *old = aval__alloc_array(d->elements + 1, sizeof *old);
    if (old == NULL) return AVAL_E_MEMORY;
    memcpy(old, moved->real, d->elements * sizeof *old);
    int status = 0;
    for (size_t i = 0; status == 0 && i < d->count; i++) {
        double again;
        status = difference(k, moved, old, d, i, d->step, &expected[i]);
        if (status < 0 || fabs(along[i] - expected[i]) <= 1e-3 * fabs(expected[i])) continue;
        /* a step may cross a kink by chance; a smaller one seldom does, and a wrong gradient stays wrong */
        status = difference(k, moved, old, d, i, d->step / 16, &again);
        if (status == 0 && fabs(along[i] - again) < fabs(along[i] - expected[i])) expected[i] = again;
    }
    aval__free(old);
    return status;
}

/* Compares one gradient that the session has computed. */
static int check_one(graph_check *k, const aval_value *wrt, const aval_value *gradient, aval_gradient_result *result)
{
    const aval__host_tensor *content = &k->referee.contents[wrt->id];
    size_t elements = (size_t)aval__tensor_count(&content->tensor);
    directions d = { .elements = elements, .block = (elements + MOST_DIFFERENCES - 1) / MOST_DIFFERENCES, .step = STEP };
    double largest = 0, *along = NULL, *expected = NULL;
    aval__host_tensor found = { 0 };
    void *data = aval__alloc(aval__tensor_bytes(&content->tensor) + 1);
    int status = data == NULL ? AVAL_E_MEMORY : 0;
    AVAL__TRY_DONE(status);
    if (d.block == 0) d.block = 1;
    d.count = (elements + d.block - 1) / d.block;
    for (size_t e = 0; e < elements; e++) largest = fmax(largest, fabs(content->real[e]));
    if (largest > 0) d.step *= largest;
    AVAL__TRY_DONE(aval_session_read(k->session, gradient, data, aval__tensor_bytes(&content->tensor)));
    AVAL__TRY_DONE(aval__host_tensor_make(&found, &content->tensor));
    aval__host_tensor_from(&found, data);
    along = aval__alloc_array(d.count + 1, sizeof *along);
    expected = aval__alloc_array(d.count + 1, sizeof *expected);
    if (along == NULL || expected == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    project(&d, found.real, along);
    AVAL__TRY_DONE(differences(k, wrt->id, &d, along, expected));
    judge(&d, content->tensor.type, along, expected, result);
done:
    aval__host_tensor_release(&found);
    aval__free(along);
    aval__free(expected);
    aval__free(data);
    return status;
}

static int check_wanted(const graph_check *k, const aval_value *of, const aval_value *wrt)
{
    if (wrt == NULL || wrt->graph != of->graph)
        return aval__fail(AVAL_E_ARGUMENT, "a value to differentiate by is NULL or of another graph");
    if (wrt->kind != AVAL__INPUT && wrt->kind != AVAL__STATE)
        return aval__fail(AVAL_E_ARGUMENT, "'%s' is neither an input nor a state: it cannot be moved for a difference",
                          aval__value_label(wrt));
    if (k->referee.given[wrt->id] == NULL)
        return aval__fail(AVAL_E_ARGUMENT, "'%s' does not depend on '%s'", aval__value_label(of), aval__value_label(wrt));
    if (k->referee.contents[wrt->id].real == NULL)
        return aval__fail(AVAL_E_TYPE, "'%s' is of type %s, which has no gradient", aval__value_label(wrt),
                          aval_type_name(wrt->tensor.type));
    return 0;
}

static int compare_all(graph_check *k, const aval_value *of, aval_value *const *wrt, aval_value *const *gradients, size_t n,
                       aval_gradient_function report, void *user)
{
    size_t failed = 0;
    aval_gradient_result first = { 0 };
    for (size_t i = 0; i < n; i++) {
        aval_gradient_result result = { .size = sizeof result, .value = aval__value_label(wrt[i]) };
        AVAL__TRY(check_one(k, wrt[i], gradients[i], &result));
        if (report != NULL) report(user, &result);
        if (!result.passed && failed++ == 0) first = result;
    }
    if (failed == 0) return 0;
    return aval__fail(AVAL_E_CHECK,
                      "%zu of %zu gradients of '%s' differ from differences; first that by '%s': element %zu is %.9g, by differences %.9g "
                      "(%.3g times the tolerance); `aval check` finds an operator that is wrong",
                      failed, n, aval__value_label(of), first.value, first.worst, first.found, first.expected, first.error);
}

static int check_gradient(aval_session *s, aval_value *of, aval_value *const *wrt, size_t n_wrt, aval_gradient_function report, void *user)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(of, "a value to differentiate");
    AVAL__NEED(wrt || n_wrt == 0, "an array of values to differentiate by");
    if (s == NULL || of == NULL || wrt == NULL || n_wrt == 0)
        return aval__fail(AVAL_E_ARGUMENT, "a gradient check needs a session, a value and what to differentiate it by");
    aval_graph *g = of->graph;
    graph_check k = { .session = s };
    aval_value *upstream = NULL, **gradients = aval__alloc_array(n_wrt, sizeof(aval_value *));
    int status = gradients == NULL ? AVAL_E_MEMORY : aval_graph_status(g);
    AVAL__TRY_DONE(status);
    status = aval__graph_referee_open(s, of, &k.referee);
    for (size_t i = 0; status == 0 && i < n_wrt; i++) status = check_wanted(&k, of, wrt[i]);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(make_upstream(&k, of, &upstream));
    for (size_t i = 0; i < n_wrt; i++) gradients[i] = aval_graph_gradient(g, of, wrt[i], upstream);
    AVAL__TRY_DONE(aval_graph_status(g));
    AVAL__TRY_DONE(aval_session_run(s, gradients, n_wrt));
    status = compare_all(&k, of, wrt, gradients, n_wrt, report, user);
done:
    for (size_t i = 0; gradients != NULL && i < n_wrt; i++) {
        if (gradients[i] != NULL) (void)aval_graph_remove_node(g, gradients[i]->producer);
    }
    if (upstream != NULL) (void)aval_graph_remove_value(g, upstream);
    aval__free(gradients);
    release(&k);
    return status;
}

int aval_check_gradient(aval_session *s, aval_value *of, aval_value *const *wrt, size_t n_wrt, aval_gradient_function report, void *user)
{
    AVAL__NEED(s, "a session");
    aval_context *ctx = aval__session_context(s);
    aval__context_check(ctx, true);
    int status = check_gradient(s, of, wrt, n_wrt, report, user);
    aval__context_check(ctx, false);
    return status;
}
