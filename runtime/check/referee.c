/* The referee: the case's graph in double on the host, prepared once and interpreted for as many inputs as there are questions. */
#include "check/referee.h"

#include <math.h>
#include <string.h>

int aval__referee_create(const aval__case *c, aval__referee **out)
{
    int status = AVAL_E_MEMORY;
    aval__referee *r = aval__alloc(sizeof *r);
    *out = NULL;
    if (r == NULL) return AVAL_E_MEMORY;
    r->c = c;
    aval__context_lock(c->ctx); /* expanding may add definitions to the registry */
    r->wanted = aval__alloc_array(c->n_outputs + 1, sizeof(aval_value *));
    r->moved = aval__alloc_array(c->n_inputs + 1, sizeof *r->moved);
    if (r->wanted == NULL || r->moved == NULL) goto done;
    AVAL__TRY_DONE(aval__graph_copy(c->graph, &r->graph));
    for (size_t o = 0; o < c->n_outputs; o++) r->wanted[o] = r->graph->values.at[c->outputs[o]->id];
    AVAL__TRY_DONE(aval__graph_expand(r->graph, r->wanted, c->n_outputs, false));
    status = AVAL_E_MEMORY;
    r->contents = aval__alloc_array(r->graph->values.count + 1, sizeof *r->contents);
    if (r->contents == NULL) goto done;
    status = aval__case_copy_inputs(c, r->moved);
done:
    aval__context_unlock(c->ctx);
    if (status < 0) aval__referee_release(r);
    else *out = r;
    return status;
}

void aval__referee_release(aval__referee *r)
{
    if (r == NULL) return;
    if (r->moved != NULL) aval__host_tensors_release(r->moved, r->c->n_inputs);
    aval__free(r->moved);
    aval__free(r->contents);
    aval__free(r->wanted);
    aval_graph_release(r->graph);
    aval__free(r);
}

void aval__host_tensors_release(aval__host_tensor *at, size_t n)
{
    for (size_t i = 0; i < n; i++) aval__host_tensor_release(&at[i]);
    memset(at, 0, n * sizeof *at);
}

int aval__case_copy_inputs(const aval__case *c, aval__host_tensor *to)
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

int aval__referee_forward(aval__referee *r, const aval__host_tensor *inputs, aval__host_tensor *outputs)
{
    const aval__case *c = r->c;
    aval__interpretation all = { 0 };
    int status = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && c->values[i]->kind != AVAL__CONSTANT) r->contents[c->values[i]->id] = &inputs[i];
    }
    AVAL__TRY_DONE(aval__graph_interpret(r->graph, r->wanted, c->n_outputs, r->contents, &all));
    for (size_t o = 0; o < c->n_outputs; o++) {
        aval__host_tensor *from = &all.at[r->wanted[o]->id];
        bool again = false; /* two outputs that are one value, as a body may have it */
        for (size_t k = o + 1; k < c->n_outputs; k++) again = again || r->wanted[k] == r->wanted[o];
        if (!again) {
            outputs[o] = *from;
            *from = (aval__host_tensor){ 0 };
            continue;
        }
        AVAL__TRY_DONE(aval__host_tensor_make(&outputs[o], &from->tensor));
        size_t bytes = (size_t)aval__tensor_count(&from->tensor) * sizeof(double);
        if (bytes > 0)
            memcpy(from->real != NULL ? (void *)outputs[o].real : outputs[o].integer,
                   from->real != NULL ? (void *)from->real : from->integer, bytes);
    }
done:
    aval__interpretation_release(&all);
    return status;
}

/* ---- Scales ------------------------------------------------------------------------------------------------------------------- */

int aval__referee_move(aval__referee *r, double unit, uint64_t draw, aval__host_tensor *results)
{
    const aval__case *c = r->c;
    for (size_t i = 0; i < c->n_inputs; i++) {
        const double *from = c->inputs[i].real;
        size_t count = c->values[i] == NULL || from == NULL ? 0 : (size_t)aval__tensor_count(&r->moved[i].tensor);
        for (size_t e = 0; e < count; e++) {
            r->moved[i].real[e] = from[e] * (aval__check_random(c->seed, 2000 + 100 * draw + i, e) < 0.5 ? 1 - unit : 1 + unit);
        }
    }
    int status = aval__referee_forward(r, r->moved, results);
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] == NULL || c->inputs[i].real == NULL) continue;
        memcpy(r->moved[i].real, c->inputs[i].real, (size_t)aval__tensor_count(&r->moved[i].tensor) * sizeof(double));
    }
    return status;
}

/* The larger of the scale and this draw's; a jump moves as far for the small unit as for the large one, and gives none. */
static void take_scales(double *scales, const aval__host_tensor *at, const aval__host_tensor *near, const aval__host_tensor *far,
                        double unit, double ratio)
{
    size_t count = at->real == NULL ? 0 : (size_t)aval__tensor_count(&at->tensor);
    for (size_t e = 0; e < count; e++) {
        double small = fabs(near->real[e] - at->real[e]) / unit, large = fabs(far->real[e] - at->real[e]) / (unit * ratio);
        if (isfinite(small) && small < 4 * large + 1e-9 && small > scales[e]) scales[e] = small;
    }
}

int aval__referee_scales(aval__referee *r, const aval__host_tensor *outputs, double *const *scales)
{
    const double unit = 1e-6, ratio = 16;
    const aval__case *c = r->c;
    aval__host_tensor *near = aval__alloc_array(c->n_outputs + 1, sizeof *near);
    aval__host_tensor *far = aval__alloc_array(c->n_outputs + 1, sizeof *far);
    int status = near == NULL || far == NULL ? AVAL_E_MEMORY : 0;
    for (uint64_t draw = 0; status == 0 && draw < 4; draw++) {
        status = aval__referee_move(r, unit, draw, near);
        if (status == 0) status = aval__referee_move(r, unit * ratio, draw, far);
        for (size_t o = 0; status == 0 && o < c->n_outputs; o++) take_scales(scales[o], &outputs[o], &near[o], &far[o], unit, ratio);
        aval__host_tensors_release(near, c->n_outputs);
        aval__host_tensors_release(far, c->n_outputs);
    }
    aval__free(near);
    aval__free(far);
    return status;
}
