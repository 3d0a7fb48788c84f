/* Running a case of known answers on its device and on the host, and comparing.  See known.h. */
#include "exec/known.h"

#include <math.h>
#include <string.h>

#define STEP 1e-6 /* of the centred difference that a gradient is compared with */

/* ---- The host -------------------------------------------------------------------------------------------------------------------- */

typedef struct host {
    aval_graph *graph; /* a copy, expanded */
    aval_value **wanted; /* in it */
    const aval__host_tensor **inputs; /* by value id */
    aval__interpretation results;
} host;

static void release_host(host *h)
{
    aval__interpretation_release(&h->results);
    aval__free(h->wanted);
    aval__free(h->inputs);
    aval_graph_release(h->graph);
}

static int make_host(const aval__known *k, host *h)
{
    AVAL__TRY(aval__graph_copy(k->graph, &h->graph));
    h->wanted = aval__alloc_array(k->n_wanted, sizeof *h->wanted);
    if (!h->wanted) return AVAL_E_MEMORY;
    for (size_t i = 0; i < k->n_wanted; i++) h->wanted[i] = h->graph->values.at[k->wanted[i]->id];
    AVAL__TRY(aval__graph_expand(h->graph, h->wanted, k->n_wanted, false));
    h->inputs = aval__alloc_array(h->graph->values.count, sizeof *h->inputs);
    if (!h->inputs) return AVAL_E_MEMORY;
    for (size_t i = 0; i < k->n_inputs; i++)
        if (k->values[i]) h->inputs[k->values[i]->id] = &k->contents[i];
    return AVAL_OK;
}

static int interpret(const aval__known *k, host *h)
{
    aval__interpretation_release(&h->results);
    return aval__graph_interpret(h->graph, h->wanted, k->n_wanted, h->inputs, &h->results);
}

/* A direction in which no two neighbours weigh the same and more point up than down: what is wrong by a share of each element must not cancel. */
static double direction(int64_t e)
{
    return (e % 3 == 1 ? -1 : 1) * (0.5 + (double)(e * 3 % 7) / 7);
}

/* weights . first output, with input i moved by `step` along the direction. */
static int weigh(aval__known *k, host *h, size_t i, double step, double *sum)
{
    aval__host_tensor *t = &k->contents[i];
    int64_t count = aval__tensor_count(&t->tensor);
    for (int64_t e = 0; e < count; e++) t->real[e] += direction(e) * step;
    int status = interpret(k, h);
    for (int64_t e = 0; e < count; e++) t->real[e] -= direction(e) * step;
    AVAL__TRY(status);
    const aval__host_tensor *y = &h->results.at[h->wanted[0]->id];
    *sum = 0;
    for (int64_t e = 0; e < aval__tensor_count(&y->tensor); e++) *sum += k->weights.real[e] * y->real[e];
    return AVAL_OK;
}

/* ---- The device ------------------------------------------------------------------------------------------------------------------ */

static int feed(aval_session *s, const aval_value *value, const aval__host_tensor *content)
{
    size_t bytes = aval__tensor_bytes(&content->tensor);
    void *data = aval__alloc(bytes);
    if (!data) return AVAL_E_MEMORY;
    aval__host_tensor_to(content, data);
    int status = aval_session_feed(s, value, data, bytes, content->tensor.dims);
    aval__free(data);
    return status;
}

int aval__known_feed(const aval__known *k, aval_session *s)
{
    for (size_t i = 0; i < k->n_inputs; i++)
        if (k->values[i] && k->values[i]->kind == AVAL__INPUT) AVAL__TRY(feed(s, k->values[i], &k->contents[i]));
    return k->upstream ? feed(s, k->upstream, &k->weights) : AVAL_OK;
}

size_t aval__known_list(const aval__known *k, aval_value **results)
{
    size_t n = 0;
    for (size_t i = 0; !k->differentiate && i < k->n_wanted; i++) results[n++] = k->wanted[i];
    for (size_t i = 0; i < k->n_inputs; i++)
        if (k->gradients[i]) results[n++] = k->gradients[i];
    return n;
}

static int run(const aval__known *k, aval_session *s)
{
    aval_value **wanted = aval__alloc_array(k->n_wanted + k->n_inputs, sizeof(aval_value *));
    int status = wanted ? aval__known_feed(k, s) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = aval_session_run(s, wanted, aval__known_list(k, wanted));
    aval__free(wanted);
    return status;
}

int aval__known_read(aval_session *s, const aval_value *value, const aval_tensor *shape, aval__host_tensor *out)
{
    size_t bytes = aval__tensor_bytes(shape);
    void *data = aval__alloc(bytes);
    int status = data ? aval_session_read(s, value, data, bytes) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = aval__host_tensor_make(out, shape);
    if (status == AVAL_OK) aval__host_tensor_from(out, data);
    aval__free(data);
    return status;
}

/* ---- Both ------------------------------------------------------------------------------------------------------------------------ */

static double element(const aval__host_tensor *t, int64_t e)
{
    return t->real ? t->real[e] : (double)t->integer[e];
}

/* Where the referee finds no number (a logarithm of what is negative), any result will do. */
int aval__known_compare(const aval__known *k, const aval__host_tensor *found, const aval__host_tensor *expected)
{
    int64_t count = aval__tensor_count(&expected->tensor);
    double scale = 0, whole = expected->real ? 0 : 1; /* integers may be rounded to either side */
    for (int64_t e = 0; e < count; e++)
        if (isfinite(element(expected, e))) scale = fmax(scale, fabs(element(expected, e)));
    for (int64_t e = 0; e < count; e++) {
        double off = fabs(element(found, e) - element(expected, e));
        if (!isfinite(element(expected, e)) || off <= fmax(whole, k->atol + k->rtol * scale)) continue;
        return aval__fail(AVAL_E_CHECK, "element %lld is %g, expected %g", (long long)e, element(found, e), element(expected, e));
    }
    return AVAL_OK;
}

int aval__known_expect(const aval__known *k, aval__host_tensor *out)
{
    host h = { 0 };
    int status = make_host(k, &h);
    if (status == AVAL_OK) status = interpret(k, &h);
    for (size_t i = 0; status == AVAL_OK && i < k->n_wanted; i++) {
        aval__host_tensor *result = &h.results.at[h.wanted[i]->id];
        out[i] = *result;
        *result = (aval__host_tensor){ 0 };
    }
    release_host(&h);
    return status;
}

static int compare_outputs(aval__known *k, aval_session *s, host *h)
{
    AVAL__TRY(interpret(k, h));
    for (size_t i = 0; i < k->n_wanted; i++) {
        const aval__host_tensor *expected = &h->results.at[h->wanted[i]->id];
        aval__host_tensor found = { 0 };
        AVAL__TRY(aval__known_read(s, k->wanted[i], &expected->tensor, &found));
        int status = aval__known_compare(k, &found, expected);
        aval__host_tensor_release(&found);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

/* Along one direction an input: enough to see a kernel that is wrong, and cheap. */
static int compare_gradient(aval__known *k, aval_session *s, host *h, size_t i)
{
    aval__host_tensor found = { 0 };
    double above, below, along = 0, scale = 0;
    AVAL__TRY(weigh(k, h, i, STEP, &above));
    AVAL__TRY(weigh(k, h, i, -STEP, &below));
    AVAL__TRY(aval__known_read(s, k->gradients[i], &k->contents[i].tensor, &found));
    for (int64_t e = 0; e < aval__tensor_count(&found.tensor); e++) {
        along += direction(e) * found.real[e];
        scale += fabs(found.real[e]);
    }
    aval__host_tensor_release(&found);
    double expected = (above - below) / (2 * STEP);
    if (!isfinite(expected) || fabs(along - expected) <= 10 * (k->atol + k->rtol * fmax(scale, fabs(expected)))) return AVAL_OK;
    return aval__fail(AVAL_E_CHECK, "the gradient by input %zu along a direction is %g, expected %g", i, along, expected);
}

int aval__known_run(aval__known *k)
{
    aval_session *s = NULL;
    host h = { 0 };
    int status = aval_session_create(k->ctx, k->graph, k->store, &s);
    if (status == AVAL_OK) status = aval_session_set_memory(s, AVAL_MEMORY_GUARDED);
    if (status == AVAL_OK) status = make_host(k, &h);
    if (status == AVAL_OK) status = run(k, s);
    if (status == AVAL_OK && !k->differentiate) status = compare_outputs(k, s, &h);
    for (size_t i = 0; status == AVAL_OK && i < k->n_inputs; i++)
        if (k->gradients[i]) status = compare_gradient(k, s, &h, i);
    release_host(&h);
    aval_session_release(s);
    return status;
}
