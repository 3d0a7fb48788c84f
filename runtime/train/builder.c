/* What nets and optimisers are built with: states that are made in the store when they are not there yet. */
#include "train/train.h"

#include <string.h>

/* Says before anything runs that a state cannot be held by the device. */
static int check_size(aval__builder *b, const char *name, size_t rank, const int64_t *dims)
{
    double bytes = sizeof(float);
    for (size_t i = 0; i < rank; i++) bytes *= (double)dims[i];
    if (aval_device_count(b->ctx) == 0) return AVAL_OK; /* graphs are drawn without one, and sessions say that there is none */
    int64_t device = aval_selected_device(b->ctx, 0);
    if (device < 0) return (int)device;
    const aval_device_info *info = aval_device_info_at(b->ctx, (size_t)device);
    if (info == NULL || bytes <= (double)info->largest_allocation_bytes) return AVAL_OK;
    return aval__fail(AVAL_E_DEVICE_MEMORY, "%s needs %.1f MB in one piece, but %s allows %.1f MB: take a smaller net", name, bytes / 1e6,
                      info->name, (double)info->largest_allocation_bytes / 1e6);
}

static int fill_state(aval__builder *b, const char *name, int type, size_t rank, const int64_t *dims, const aval__initial *initial)
{
    if (initial->values != NULL) return aval_store_set(b->store, name, type, rank, dims, initial->values);
    if (initial->initializer == 0) return aval_store_fill(b->store, name, type, rank, dims, initial->scale);
    return aval_store_random(b->store, name, type, rank, dims, initial->initializer, initial->scale, b->recipe->options.seed);
}

int aval__builder_state(aval__builder *b, const char *name, int type, size_t rank, const int64_t *dims, const aval__initial *initial,
                        aval_value **out)
{
    int found_type;
    size_t found_rank;
    int64_t found[AVAL_MAX_RANK];
    if (aval_store_shape(b->store, name, &found_type, &found_rank, found) < 0) {
        AVAL__TRY(check_size(b, name, rank, dims));
        AVAL__TRY(fill_state(b, name, type, rank, dims, initial));
    } else if (found_type != type || found_rank != rank || (rank > 0 && memcmp(found, dims, rank * sizeof *dims) != 0)) {
        return aval__fail(AVAL_E_SHAPE, "the checkpoint's '%s' has another shape or element type than this net on this data expects", name);
    }
    *out = aval_graph_state(b->g, name, type, rank, dims);
    /* NULL: an earlier call had failed, and callers go on to ask for shapes */
    return *out != NULL ? AVAL_OK : aval_graph_status(b->g);
}

int aval__builder_parameter(aval__builder *b, const char *name, size_t rank, const int64_t *dims, const aval__initial *initial, bool decays,
                            aval_value **out)
{
    aval__parameter parameter = { .decays = decays };
    AVAL__TRY(aval__builder_state(b, name, AVAL_FLOAT, rank, dims, initial, &parameter.value));
    parameter.name = aval__copy_text(name);
    if (parameter.name == NULL) return AVAL_E_MEMORY;
    if (aval__vec_push(&b->parameters, parameter) < 0) {
        aval__free(parameter.name);
        return AVAL_E_MEMORY;
    }
    *out = parameter.value;
    return AVAL_OK;
}

int aval__builder_output_bias(const aval__builder *b, float **out)
{
    size_t classes = b->data->classes;
    float *bias = aval__alloc_array(classes, sizeof *bias);
    size_t *counts = aval__alloc_array(classes, sizeof *counts);
    *out = bias;
    if (bias == NULL || counts == NULL) {
        aval__free(bias);
        aval__free(counts);
        return AVAL_E_MEMORY;
    }
    for (size_t i = 0; i < b->data->count; i++) counts[b->data->labels[i]]++;
    for (size_t c = 0; c < classes; c++) {
        /* one example more of each class: the logarithm of a class without examples stays finite */
        double frequency = ((double)counts[c] + 1) / ((double)b->data->count + (double)classes);
        bias[c] = (float)b->recipe->loss->output_bias(frequency);
    }
    aval__free(counts);
    return AVAL_OK;
}

int aval__builder_dropout(aval__builder *b, size_t layer, aval_value **x)
{
    double ratio = b->recipe->options.dropout;
    if (!b->training || ratio <= 0) return AVAL_OK;
    aval__text name = { 0 };
    aval_value *random;
    int status = AVAL_OK;
    aval__text_add(&name, "dropout%zu.random", layer);
    if (name.failed) {
        status = aval__fail(AVAL_E_MEMORY, "no memory for dropout");
        goto done;
    }
    /* the layer is part of the seed, so that no two layers draw the same numbers */
    const int64_t start[2] = { (int64_t)(b->recipe->options.seed * AVAL__MOST_LAYERS + layer), 0 };
    AVAL__TRY_DONE(aval__builder_state(b, name.at, AVAL_INT64, AVAL_SHAPE(2), &(aval__initial){ .values = start }, &random));
    aval_value *share = aval_graph_number(b->g, AVAL_FLOAT, ratio);
    aval_value *on = aval_graph_constant(b->g, AVAL_BOOL, AVAL_SCALAR, &(const uint8_t){ 1 });
    aval_node *node = aval_graph_node(b->g, "Dropout", NULL, AVAL_VALUES(*x, share, on, random));
    *x = aval_node_output(node, 0);
    AVAL__TRY_DONE(aval__vec_push(&b->updates, aval_node_output(node, 2)));
done:
    aval__text_release(&name);
    return status;
}
