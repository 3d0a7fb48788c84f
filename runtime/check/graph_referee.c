/* A graph on the host: see graph_referee.h. */
#include "check/graph_referee.h"

#include <string.h>

/* Marks what `value` is computed from; gradient requests among it come from second derivatives and end there. */
static int collect_contents(aval__graph_referee *r, aval_session *s, const aval_graph *g, const aval_value *of)
{
    aval_node **order = NULL;
    size_t n_order = 0;
    aval_value *const wanted[] = { g->values.at[of->id] };
    int status = aval__graph_order(g, wanted, 1, &order, &n_order);
    for (size_t n = 0; status == 0 && n < n_order; n++) {
        for (size_t i = 0; status == 0 && i < order[n]->n_inputs; i++) {
            const aval_value *in = order[n]->inputs[i];
            if (in == NULL || r->given[in->id] != NULL || (in->kind != AVAL__INPUT && in->kind != AVAL__STATE)) continue;
            status = aval__session_content(s, in, &r->contents[in->id]);
            r->given[in->id] = &r->contents[in->id];
        }
    }
    aval__free(order);
    return status;
}

/* Free dimensions, and contents that shapes may be computed from. */
static int bind_inputs(aval__graph_referee *r)
{
    for (size_t i = 0; i < r->count; i++) {
        aval_value *value = r->copy->values.at[i];
        if (r->given[i] == NULL || value->kind != AVAL__INPUT) continue;
        AVAL__TRY(aval__graph_bind(value, &r->contents[i].tensor));
        if (r->contents[i].integer == NULL) continue;
        void *data = aval__arena_alloc(&r->copy->arena, aval__tensor_bytes(&r->contents[i].tensor) + 1);
        if (data == NULL) return AVAL_E_MEMORY;
        aval__host_tensor_to(&r->contents[i], data);
        value->data = data;
    }
    return 0;
}

static int prepare(aval__graph_referee *r, aval_session *s, const aval_value *of)
{
    r->count = of->graph->values.count;
    r->contents = aval__alloc_array(r->count + 1, sizeof *r->contents);
    r->given = aval__alloc_array(r->count + 1, sizeof *r->given);
    if (r->contents == NULL || r->given == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(collect_contents(r, s, of->graph, of));
    AVAL__TRY(aval__graph_copy(of->graph, &r->copy));
    r->of = r->copy->values.at[of->id];
    AVAL__TRY(bind_inputs(r));
    AVAL__TRY(aval__graph_expand(r->copy, &r->of, 1, false));
    /* expansion made new values: the interpreter's array is by the ids of all */
    const aval__host_tensor **wider = aval__alloc_array(r->copy->values.count + 1, sizeof *wider);
    if (wider == NULL) return AVAL_E_MEMORY;
    memcpy(wider, r->given, r->count * sizeof *wider);
    aval__free(r->given);
    r->given = wider;
    return 0;
}

int aval__graph_referee_open(aval_session *s, const aval_value *of, aval__graph_referee *out)
{
    aval_context *ctx = aval__session_context(s);
    *out = (aval__graph_referee){ 0 };
    aval__context_lock(ctx); /* expanding may add definitions to the registry */
    int status = prepare(out, s, of);
    aval__context_unlock(ctx);
    return status;
}

void aval__graph_referee_close(aval__graph_referee *r)
{
    for (size_t i = 0; r->contents != NULL && i < r->count; i++) aval__host_tensor_release(&r->contents[i]);
    aval__free(r->contents);
    aval__free(r->given);
    aval_graph_release(r->copy);
    *r = (aval__graph_referee){ 0 };
}

int aval__graph_referee_all(const aval__graph_referee *r, aval__interpretation *out)
{
    *out = (aval__interpretation){ 0 };
    return aval__graph_interpret(r->copy, (aval_value *const *)&r->of, 1, r->given, out);
}

int aval__graph_referee_evaluate(const aval__graph_referee *r, aval__host_tensor *result)
{
    aval__interpretation all;
    AVAL__TRY(aval__graph_referee_all(r, &all));
    *result = all.at[r->of->id];
    all.at[r->of->id] = (aval__host_tensor){ 0 };
    aval__interpretation_release(&all);
    return AVAL_OK;
}
