/* What was trained as an ONNX file, with the card beside it that says how pictures become its input.  Of a built-in net this is the graph from
 * scaled floats to scores; of a model from a file, the model with its new head and its own input. */
#include "train/train.h"

#include <string.h>

static int export_net(aval__builder *b, const char *file)
{
    const aval_dataset *data = b->data;
    bool planar = b->recipe->net->planar;
    aval_value *scores = NULL;
    const int64_t dims[4] = { -1, (int64_t)data->channels, (int64_t)data->height, (int64_t)data->width };
    const int64_t flat[2] = { -1, (int64_t)aval__dataset_elements(data) };
    b->g = aval_graph_create(b->ctx);
    if (b->g == NULL) return AVAL_E_MEMORY;
    aval_value *input = aval_graph_input(b->g, "input", AVAL_FLOAT, planar ? 4 : 2, planar ? dims : flat);
    int status = b->recipe->net->build(b, input, &scores);
    if (status == AVAL_OK) status = aval_model_save(b->g, b->store, &scores, (const char *const[]){ "scores" }, 1, file);
    aval_graph_release(b->g);
    return status;
}

static int export_model(aval__builder *b, const char *file, aval__layout *layout, bool *repeated)
{
    aval_model *model = NULL;
    aval_value **outputs = NULL;
    const char **names = NULL;
    int status = AVAL_OK;
    AVAL__TRY_DONE(aval__import_open(b, &model));
    AVAL__TRY_DONE(aval__import_layout(b->data, aval_model_input(model, 0), layout, repeated));
    size_t n = aval_model_output_count(model);
    outputs = aval__alloc_array(n, sizeof(aval_value *));
    names = aval__alloc_array(n, sizeof *names);
    if (outputs == NULL || names == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    for (size_t i = 0; i < n; i++) {
        outputs[i] = aval_model_output(model, i);
        names[i] = aval_model_output_name(model, i);
    }
    AVAL__TRY_DONE(aval__import_mode(b, outputs, n));
    status = aval_model_save(b->g, b->store, outputs, names, n, file);
done:
    aval__free(outputs);
    aval__free(names);
    aval_model_release(model);
    return status;
}

int aval__export(aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *data, const char *file)
{
    aval__builder b = { .ctx = ctx, .store = store, .recipe = recipe, .data = data };
    bool imported = recipe->net->build == NULL, repeated = false;
    aval__layout layout = recipe->net->planar ? AVAL__PLANAR : AVAL__FLAT;
    int status = imported ? export_model(&b, file, &layout, &repeated) : export_net(&b, file);
    if (status == AVAL_OK) status = aval__card_write(file, recipe, data, layout, repeated);
    for (size_t i = 0; i < b.parameters.count; i++) aval__free(b.parameters.at[i].name);
    aval__vec_release(&b.parameters);
    aval__vec_release(&b.updates);
    aval__vec_release(&b.fresh);
    aval__arena_release(&b.arena);
    return status;
}
