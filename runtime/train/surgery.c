/* Surgery for transfer learning: a model ends earlier, and new layers take the place of what came behind. */
#include "train/train.h"

#include <stdio.h>
#include <string.h>

#define NAMES_SHOWN 5 /* of the values that there are, when one is not found */

/* ---- Cutting --------------------------------------------------------------------------------------------------------------------------- */

static int unknown_value(const aval_graph *g, const char *name)
{
    aval__text names = { 0 };
    size_t shown = 0;
    for (size_t n = aval_graph_node_count(g); n > 0 && shown < NAMES_SHOWN; n--) {
        aval_node *node = aval_graph_node_at(g, n - 1);
        const char *value = node != NULL ? aval_value_name(aval_node_output(node, 0)) : "";
        if (value[0] != 0) aval__text_add(&names, "%s'%s'", shown++ > 0 ? ", " : "", value);
    }
    int code = aval__fail(AVAL_E_UNKNOWN, "the model computes no value '%s': from its end on there are %s ...", name,
                          names.length > 0 && !names.failed ? names.at : "none with a name");
    aval__text_release(&names);
    return code;
}

AVAL_API int aval_model_cut(aval_model *model, const char *value)
{
    AVAL__NEED(model, "a model");
    AVAL__NEED(value, "the name of a value");
    aval_value *found = aval_graph_find(aval_model_graph(model), value);
    if (aval_value_kind_of(found) != AVAL_VALUE_PRODUCED) return unknown_value(aval_model_graph(model), value);
    return aval_model_set_outputs(model, &found, &value, 1);
}

/* ---- A new head ------------------------------------------------------------------------------------------------------------------------ */

typedef struct head {
    aval_model *model;
    aval_graph *g;
    aval_store *store;
    const aval__activation *activation;
    uint64_t seed;
    unsigned number; /* of the layer, in its weights' names */
    aval_value *x;
    int64_t width; /* x is [batch, width] */
} head;

/* Brings the model's first output into the form [batch, width]. */
static int begin(head *h, bool pool)
{
    int type;
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    h->x = aval_model_output(h->model, 0);
    AVAL__TRY(aval_model_output_shape(h->model, 0, &type, &rank, dims));
    const char *name = aval_model_output_name(h->model, 0);
    if (type != AVAL_FLOAT || rank < 2 || (pool && rank < 3))
        return aval__fail(AVAL_E_SHAPE, "a head begins at floats [batch, %s], but '%s' is %s with %zu axes",
                          pool ? "channels, ...]" : "...]", name, aval_type_name(type), rank);
    if (pool) h->x = aval_apply(h->g, "GlobalAveragePool", NULL, h->x);
    h->width = 1;
    for (size_t i = 1; i < (pool ? 2 : rank); i++) {
        if (dims[i] <= 0 || h->width > (1 << 30) / dims[i])
            return aval__fail(
                AVAL_E_SHAPE,
                "axis %zu of '%s' has %lld elements: a head needs sizes that are known and fit a layer; 'pool' first takes the mean "
                "over all axes but batch and channels",
                i, name, (long long)dims[i]);
        h->width *= dims[i];
    }
    if (rank > 2) h->x = aval_apply(h->g, "Flatten", NULL, h->x);
    return AVAL_OK;
}

static int add_weight(head *h, const char *tensor, size_t rank, const int64_t *dims, const aval__activation *before, aval_value **out)
{
    char name[32];
    snprintf(name, sizeof name, "head%u.%s", h->number, tensor);
    if (rank == 1) AVAL__TRY(aval_store_fill(h->store, name, AVAL_FLOAT, rank, dims, 0));
    else if (before != NULL)
        AVAL__TRY(aval_store_random(h->store, name, AVAL_FLOAT, rank, dims, (int)before->initializer, before->gain, h->seed));
    else AVAL__TRY(aval_store_random(h->store, name, AVAL_FLOAT, rank, dims, AVAL_INIT_XAVIER, 0.1, h->seed)); /* small: unsure at first */
    *out = aval_graph_state(h->g, name, AVAL_FLOAT, rank, dims);
    return *out != NULL ? AVAL_OK : aval_graph_status(h->g);
}

/* A second head must not take the first one's weights. */
static void find_free_number(head *h)
{
    char name[32];
    size_t rank;
    do snprintf(name, sizeof name, "head%u.weight", ++h->number);
    while (aval_store_shape(h->store, name, NULL, &rank, NULL) == AVAL_OK);
}

static int add_layer(head *h, int64_t width, bool last)
{
    aval_value *weight = NULL, *bias = NULL;
    find_free_number(h);
    AVAL__TRY(add_weight(h, "weight", AVAL_SHAPE(h->width, width), last ? NULL : h->activation, &weight));
    AVAL__TRY(add_weight(h, "bias", AVAL_SHAPE(width), NULL, &bias));
    h->x = aval_apply(h->g, "Gemm", NULL, h->x, weight, bias);
    if (!last) h->x = aval_apply(h->g, h->activation->op, h->activation->attrs, h->x);
    h->width = width;
    return AVAL_OK;
}

static int add_layers(head *h, const char *layers)
{
    static const char pool[] = "pool,";
    bool pooled = strncmp(layers, pool, sizeof pool - 1) == 0;
    const char *at = pooled ? layers + sizeof pool - 1 : layers;
    AVAL__TRY(begin(h, pooled));
    for (bool last = false; !last; at++) {
        int64_t width;
        if (!aval__parse_int(at, &at, &width) || width < 1 || width > 1 << 30 || (*at != ',' && *at != 0))
            return aval__fail(AVAL_E_ARGUMENT, "head '%s': expected widths of layers with commas between, as in 64,10 or pool,10", layers);
        last = *at == 0;
        AVAL__TRY(add_layer(h, width, last));
    }
    return aval_graph_status(h->g);
}

AVAL_API int aval_model_add_head(aval_model *model, const char *layers, const char *activation, uint64_t seed)
{
    AVAL__NEED(model, "a model");
    AVAL__NEED(layers, "widths of layers");
    head h = { .model = model, .g = aval_model_graph(model), .store = aval_model_store(model), .seed = seed };
    h.activation = aval__choose("activation", activation != NULL ? activation : "relu", aval__activations, sizeof aval__activations[0]);
    if (h.activation == NULL) return AVAL_E_ARGUMENT;
    AVAL__TRY(add_layers(&h, layers));
    return aval_model_set_outputs(model, &h.x, (const char *const[]){ "scores" }, 1);
}
