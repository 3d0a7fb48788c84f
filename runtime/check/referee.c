/* The referee: an operator's reference in double on the host, and the centred differences of it. */
#include "check/case.h"

#include <math.h>
#include <string.h>

/* A difference step is this share of the input's largest magnitude: near the cube root of double's epsilon, where the error of the
   truncated series and that of rounding are equal. */
#define STEP 6e-6

int aval__referee_forward(const aval__case *c, const aval__host_tensor *inputs, aval__host_tensor *outputs)
{
    aval_graph *g = NULL;
    aval__interpretation all = { 0 };
    const aval__host_tensor **contents = NULL;
    aval_value **wanted = aval__alloc_array(c->n_outputs + 1, sizeof(aval_value *));
    int status = 0;
    if (wanted == NULL) return AVAL_E_MEMORY;
    aval__context_lock(c->ctx);
    AVAL__TRY_DONE(aval__graph_copy(c->graph, &g));
    for (size_t o = 0; o < c->n_outputs; o++) wanted[o] = g->values.at[c->outputs[o]->id];
    AVAL__TRY_DONE(aval__graph_expand(g, wanted, c->n_outputs, false));
    contents = aval__alloc_array(g->values.count + 1, sizeof *contents);
    if (contents == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && c->values[i]->kind != AVAL__CONSTANT) contents[c->values[i]->id] = &inputs[i];
    }
    AVAL__TRY_DONE(aval__graph_interpret(g, wanted, c->n_outputs, contents, &all));
    for (size_t o = 0; o < c->n_outputs; o++) {
        aval__host_tensor *from = &all.at[wanted[o]->id];
        AVAL__TRY_DONE(aval__host_tensor_make(&outputs[o], &from->tensor));
        size_t count = (size_t)aval__tensor_count(&from->tensor);
        if (count == 0) continue;
        if (from->real != NULL) memcpy(outputs[o].real, from->real, count * sizeof *from->real);
        else memcpy(outputs[o].integer, from->integer, count * sizeof *from->integer);
    }
done:
    aval__interpretation_release(&all);
    aval_graph_release(g);
    aval__context_unlock(c->ctx);
    aval__free(contents);
    aval__free(wanted);
    return status;
}

static void release_all(aval__host_tensor *at, size_t n)
{
    for (size_t i = 0; i < n; i++) aval__host_tensor_release(&at[i]);
    memset(at, 0, n * sizeof *at);
}

/* Copies of the inputs that may be moved; those of integers too. */
static int copy_inputs(const aval__case *c, aval__host_tensor *to)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] == NULL) continue;
        AVAL__TRY(aval__host_tensor_make(&to[i], &c->inputs[i].tensor));
        size_t count = (size_t)aval__tensor_count(&to[i].tensor);
        if (count == 0) continue;
        if (to[i].real != NULL) memcpy(to[i].real, c->inputs[i].real, count * sizeof(double));
        else memcpy(to[i].integer, c->inputs[i].integer, count * sizeof(int64_t));
    }
    return 0;
}

int aval__referee_scales(const aval__case *c, const aval__host_tensor *outputs, double *const *scales)
{
    const double unit = 1e-4;
    aval__host_tensor *moved = aval__alloc_array(c->n_inputs + 1, sizeof *moved);
    aval__host_tensor *results = aval__alloc_array(c->n_outputs + 1, sizeof *results);
    int status = moved == NULL || results == NULL ? AVAL_E_MEMORY : 0;
    for (uint64_t draw = 0; status == 0 && draw < 4; draw++) {
        AVAL__TRY_DONE(copy_inputs(c, moved));
        for (size_t i = 0; i < c->n_inputs; i++) {
            size_t count = moved[i].real == NULL ? 0 : (size_t)aval__tensor_count(&moved[i].tensor);
            for (size_t e = 0; e < count; e++) {
                moved[i].real[e] *= aval__check_random(c->seed, 2000 + 100 * draw + i, e) < 0.5 ? 1 - unit : 1 + unit;
            }
        }
        AVAL__TRY_DONE(aval__referee_forward(c, moved, results));
        for (size_t o = 0; o < c->n_outputs; o++) {
            size_t count = results[o].real == NULL ? 0 : (size_t)aval__tensor_count(&results[o].tensor);
            for (size_t e = 0; e < count; e++) {
                double moves = fabs(results[o].real[e] - outputs[o].real[e]) / unit;
                if (moves > scales[o][e]) scales[o][e] = moves;
            }
        }
        release_all(moved, c->n_inputs);
        release_all(results, c->n_outputs);
    }
done:
    if (moved != NULL) release_all(moved, c->n_inputs);
    if (results != NULL) release_all(results, c->n_outputs);
    aval__free(moved);
    aval__free(results);
    return status;
}

/* One centred difference: the input is moved by `step` along the block's signs. */
static int one_difference(const aval__case *c, aval__host_tensor *moved, size_t input, size_t first, size_t count, double step,
                          const double *signs, aval__host_tensor *above, aval__host_tensor *below, double *const *by_output, size_t at)
{
    double *x = moved[input].real;
    const double *old = c->inputs[input].real;
    int status = 0;
    for (size_t e = first; e < first + count; e++) x[e] = old[e] + step * (signs == NULL ? 1 : signs[e]);
    AVAL__TRY_DONE(aval__referee_forward(c, moved, above));
    for (size_t e = first; e < first + count; e++) x[e] = old[e] - step * (signs == NULL ? 1 : signs[e]);
    AVAL__TRY_DONE(aval__referee_forward(c, moved, below));
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (by_output[o] == NULL) continue;
        /* summed by element, so that large equal parts cancel before they are rounded into a sum */
        double sum = 0;
        for (size_t e = 0, n = (size_t)aval__tensor_count(&above[o].tensor); e < n; e++) {
            double moves = above[o].real[e] - below[o].real[e];
            if (moves != 0) sum += c->upstreams[o].real[e] * moves;
        }
        by_output[o][at] = sum / (2 * step);
    }
done:
    memcpy(x + first, old + first, count * sizeof *x);
    release_all(above, c->n_outputs);
    release_all(below, c->n_outputs);
    return status;
}

int aval__referee_differences(const aval__case *c, size_t input, aval__differences *d)
{
    size_t elements = (size_t)aval__tensor_count(&c->inputs[input].tensor);
    *d = (aval__differences){ .block = elements <= AVAL__EACH_ELEMENT ? 1 : AVAL__BLOCK };
    d->count = (elements + d->block - 1) / d->block;
    aval__host_tensor *moved = aval__alloc_array(c->n_inputs + 1, sizeof *moved);
    aval__host_tensor *above = aval__alloc_array(c->n_outputs + 1, sizeof *above);
    aval__host_tensor *below = aval__alloc_array(c->n_outputs + 1, sizeof *below);
    d->by_output = aval__alloc_array(c->n_outputs + 1, sizeof *d->by_output);
    int status = 0;
    if (moved == NULL || above == NULL || below == NULL || d->by_output == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (c->upstream_values[o] != NULL && (d->by_output[o] = aval__alloc_array(d->count, sizeof(double))) == NULL) {
            status = AVAL_E_MEMORY;
            goto done;
        }
    }
    if (d->block > 1) {
        d->signs = aval__alloc_array(elements, sizeof *d->signs);
        if (d->signs == NULL) {
            status = AVAL_E_MEMORY;
            goto done;
        }
        for (size_t e = 0; e < elements; e++) d->signs[e] = aval__check_random(c->seed, 3000 + input, e) < 0.5 ? -1 : 1;
    }
    double largest = 0;
    for (size_t e = 0; e < elements; e++) largest = fmax(largest, fabs(c->inputs[input].real[e]));
    double step = STEP * (largest > 0 ? largest : 1);
    AVAL__TRY_DONE(copy_inputs(c, moved));
    for (size_t k = 0; k < d->count; k++) {
        size_t first = k * d->block, count = elements - first < d->block ? elements - first : d->block;
        AVAL__TRY_DONE(one_difference(c, moved, input, first, count, step, d->signs, above, below, d->by_output, k));
    }
done:
    if (moved != NULL) release_all(moved, c->n_inputs);
    aval__free(moved);
    aval__free(above);
    aval__free(below);
    return status;
}

void aval__differences_release(aval__differences *d, size_t n_outputs)
{
    for (size_t o = 0; d->by_output != NULL && o < n_outputs; o++) aval__free(d->by_output[o]);
    aval__free(d->by_output);
    aval__free(d->signs);
    *d = (aval__differences){ 0 };
}
