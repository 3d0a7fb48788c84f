/* Models as users have them: a graph and a store, filled from a file. */
#include "model/model.h"
#include "exec/exec.h"
#include "exec/store.h"

#include <string.h>

struct aval_model {
    aval__onnx_model onnx; /* names of inputs and outputs */
    aval_graph *graph;
    aval_store *store;
};

static int fill_store(const aval_model *model)
{
    for (size_t i = 0; i < model->onnx.states.count; i++) {
        const aval__onnx_state *state = &model->onnx.states.at[i];
        AVAL__TRY(aval__store_write(model->store, state->value->name, &state->value->tensor, state->data));
    }
    return AVAL_OK;
}

int aval_model_load(aval_context *ctx, const char *file, aval_model **model)
{
    AVAL__NEED(model, "a place for the model");
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(file, "a file name");
    int status = AVAL_OK;
    *model = NULL;
    aval_model *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    made->graph = aval_graph_create(ctx);
    if (!made->graph) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(aval_graph_status(made->graph));
    AVAL__TRY_DONE(aval_store_create(ctx, &made->store));
    AVAL__TRY_DONE(aval__onnx_read(file, made->graph, &made->onnx));
    AVAL__TRY_DONE(fill_store(made));
    aval__onnx_forget_file(&made->onnx);
    *model = made;
done:
    if (status < 0) aval_model_release(made);
    return status;
}

void aval_model_release(aval_model *model)
{
    if (!model) return;
    aval__onnx_release(&model->onnx);
    aval_graph_release(model->graph);
    aval_store_release(model->store);
    aval__free(model);
}

aval_graph *aval_model_graph(const aval_model *model)
{
    return model ? model->graph : NULL;
}

aval_store *aval_model_store(const aval_model *model)
{
    return model ? model->store : NULL;
}

size_t aval_model_input_count(const aval_model *model)
{
    return model ? model->onnx.inputs.count : 0;
}

aval_value *aval_model_input(const aval_model *model, size_t i)
{
    return i < aval_model_input_count(model) ? model->onnx.inputs.at[i].value : NULL;
}

const char *aval_model_input_name(const aval_model *model, size_t i)
{
    return i < aval_model_input_count(model) ? model->onnx.inputs.at[i].name : NULL;
}

size_t aval_model_output_count(const aval_model *model)
{
    return model ? model->onnx.outputs.count : 0;
}

aval_value *aval_model_output(const aval_model *model, size_t i)
{
    return i < aval_model_output_count(model) ? model->onnx.outputs.at[i].value : NULL;
}

const char *aval_model_output_name(const aval_model *model, size_t i)
{
    return i < aval_model_output_count(model) ? model->onnx.outputs.at[i].name : NULL;
}

int aval_model_output_shape(const aval_model *model, size_t i, int *type, size_t *rank, int64_t *dims)
{
    AVAL__NEED(model, "a model");
    if (i >= model->onnx.outputs.count)
        return aval__fail(AVAL_E_ARGUMENT, "output %zu of a model that has %zu", i, model->onnx.outputs.count);
    const aval__onnx_port *output = &model->onnx.outputs.at[i];
    aval_tensor found;
    AVAL__TRY(aval_graph_status(model->graph));
    AVAL__TRY(aval__onnx_output_types(model->graph, output, 1, &found));
    if (found.type == AVAL_NONE || found.rank < 0)
        return aval__fail(AVAL_E_SHAPE, "the shape of output '%s' is not known before a run: give the model's inputs sizes", output->name);
    if (type) *type = found.type;
    if (rank) *rank = (size_t)found.rank;
    if (dims) memcpy(dims, found.dims, (size_t)found.rank * sizeof *dims);
    return AVAL_OK;
}

int aval_model_set_outputs(aval_model *model, aval_value *const *outputs, const char *const *names, size_t n_outputs)
{
    AVAL__NEED(model, "a model");
    AVAL__NEED(outputs && n_outputs > 0, "an array of outputs");
    aval__onnx_ports ports = { 0 };
    int status = AVAL_OK;
    for (size_t i = 0; i < n_outputs; i++) {
        const char *name = names && names[i] ? names[i] : outputs[i] ? aval__value_label(outputs[i]) : "";
        if (!outputs[i] || outputs[i]->graph != model->graph || outputs[i]->dead)
            AVAL__TRY_DONE(aval__fail(AVAL_E_ARGUMENT, "output %zu is no value of the model's graph", i));
        const char *kept = aval__arena_text(&model->onnx.arena, name);
        if (!kept) AVAL__TRY_DONE(AVAL_E_MEMORY);
        AVAL__TRY_DONE(aval__vec_push(&ports, (aval__onnx_port){ kept, outputs[i] }));
    }
    aval__vec_release(&model->onnx.outputs);
    model->onnx.outputs = ports;
    return AVAL_OK;
done:
    aval__vec_release(&ports);
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------------------ */

static int content_of_state(void *user, aval__arena *arena, const aval_value *state, const void **data)
{
    aval_store *store = user;
    aval__entry *entry;
    if (!store) return aval__fail(AVAL_E_ARGUMENT, "state '%s' needs a store, found NULL", aval__value_label(state));
    AVAL__TRY(aval__store_need(store, state->name, &entry));
    if (entry->tensor.type != state->tensor.type || !aval__tensor_same_shape(&entry->tensor, &state->tensor))
        return aval__fail(AVAL_E_SHAPE, "state '%s' has another shape or element type in the store than in the graph", state->name);
    void *copy = aval__arena_alloc(arena, entry->bytes + 1);
    if (!copy) return AVAL_E_MEMORY;
    *data = copy;
    return aval__entry_read(entry, copy);
}

int aval_model_save(aval_graph *g, aval_store *store, aval_value *const *outputs, const char *const *names, size_t n_outputs,
                    const char *file)
{
    AVAL__NEED(g, "a graph");
    AVAL__NEED(outputs, "an array of outputs");
    AVAL__NEED(file, "a file name");
    AVAL__TRY(aval_graph_status(g));
    aval__onnx_port *ports = aval__alloc_array(n_outputs, sizeof *ports);
    if (!ports) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_outputs; i++) ports[i] = (aval__onnx_port){ names ? names[i] : NULL, outputs[i] };
    int status = aval__onnx_write(file, g, ports, n_outputs, content_of_state, store);
    aval__free(ports);
    return status;
}
