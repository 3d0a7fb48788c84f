/* The parts of networks (nets_parts.h). */
#include "nets_parts.h"

#include <stdio.h>

static void note(net *n, int status)
{
    if (n->status == 0) n->status = status;
}

aval_value *net_input(net *n, size_t rank, const int64_t *dims)
{
    return n->input = aval_graph_input(n->g, "x", AVAL_FLOAT, rank, dims);
}

/* ---- States -------------------------------------------------------------------------------------------------------------------- */

/* A state with the same content everywhere. */
static aval_value *filled(net *n, const char *kind, size_t rank, const int64_t *dims, double value)
{
    char name[32];
    snprintf(name, sizeof name, "%s%zu", kind, n->n_parameters);
    note(n, aval_store_fill(n->store, name, AVAL_FLOAT, rank, dims, value));
    return aval_graph_state(n->g, name, AVAL_FLOAT, rank, dims);
}

static aval_value *learnt(net *n, aval_value *w)
{
    if (n->n_parameters < NETS_MOST_PARAMETERS) n->parameters[n->n_parameters++] = w;
    return w;
}

aval_value *net_weight(net *n, size_t rank, const int64_t *dims)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_parameters);
    note(n, aval_store_random(n->store, name, AVAL_FLOAT, rank, dims, AVAL_INIT_HE, 1, 1));
    return learnt(n, aval_graph_state(n->g, name, AVAL_FLOAT, rank, dims));
}

aval_value *net_vector(net *n, int64_t length, double value)
{
    return learnt(n, filled(n, "b", 1, &length, value));
}

aval_value *net_ints(net *n, size_t count, const int64_t *data)
{
    const int64_t shape = (int64_t)count;
    return aval_graph_constant(n->g, AVAL_INT64, 1, &shape, data);
}

/* ---- Layers -------------------------------------------------------------------------------------------------------------------- */

aval_value *net_reshape(net *n, aval_value *x, size_t rank, const int64_t *dims)
{
    return aval_apply(n->g, "Reshape", NULL, x, net_ints(n, rank, dims));
}

aval_value *net_relu(net *n, aval_value *x)
{
    return aval_apply(n->g, "Relu", NULL, x);
}

aval_value *net_dense(net *n, aval_value *x, int64_t in, int64_t out)
{
    x = aval_apply(n->g, "MatMul", NULL, x, net_weight(n, AVAL_SHAPE(in, out)));
    return aval_apply(n->g, "Add", NULL, x, net_vector(n, out, 0));
}

aval_value *net_conv(net *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride)
{
    char attrs[96];
    int pad = (int)(kernel / 2);
    snprintf(attrs, sizeof attrs, "pads=[%d,%d,%d,%d] strides=[%d,%d]", pad, pad, pad, pad, stride, stride);
    return aval_apply(n->g, "Conv", attrs, x, net_weight(n, AVAL_SHAPE(out, in, kernel, kernel)));
}

aval_value *net_norm(net *n, aval_value *x, int64_t channels)
{
    aval_value *mean = filled(n, "mean", 1, &channels, 0), *variance = filled(n, "var", 1, &channels, 1);
    aval_value *scale = net_vector(n, channels, 1), *shift = net_vector(n, channels, 0);
    return aval_apply(n->g, "BatchNormalization", n->inference ? NULL : "training_mode=1", x, scale, shift, mean, variance);
}

aval_value *net_layer_norm(net *n, aval_value *x, int64_t width)
{
    aval_value *scale = net_vector(n, width, 1), *shift = net_vector(n, width, 0);
    return aval_apply(n->g, "LayerNormalization", NULL, x, scale, shift);
}

aval_value *net_pool(net *n, const char *op, aval_value *x, int kernel, int stride, int pad)
{
    char attrs[96];
    snprintf(attrs, sizeof attrs, "kernel_shape=[%d,%d] strides=[%d,%d] pads=[%d,%d,%d,%d]", kernel, kernel, stride, stride, pad, pad, pad,
             pad);
    return aval_apply(n->g, op, attrs, x);
}

/* ---- Losses and updates ---------------------------------------------------------------------------------------------------------- */

static void update_all(net *n)
{
    n->wanted[n->n_wanted++] = n->loss;
    note(n, aval_store_fill(n->store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.01));
    aval_value *lr = aval_graph_state(n->g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    for (size_t i = 0; i < n->n_parameters; i++) {
        aval_value *w = n->parameters[i];
        char name[32];
        snprintf(name, sizeof name, "v%zu", i);
        note(n, aval_store_fill(n->store, name, AVAL_FLOAT, (size_t)aval_value_rank(w), aval_value_dims(w), 0));
        aval_value *v = aval_graph_state(n->g, name, AVAL_FLOAT, (size_t)aval_value_rank(w), aval_value_dims(w));
        aval_node *step =
            aval_graph_node(n->g, "aval::Sgd", "momentum=0.9", AVAL_VALUES(w, aval_graph_gradient(n->g, n->loss, w, NULL), v, lr));
        n->wanted[n->n_wanted++] = aval_node_output(step, 0);
        n->wanted[n->n_wanted++] = aval_node_output(step, 1);
    }
}

/* True where nothing is learnt: the result alone is wanted. */
static bool end_inference(net *n, aval_value *y)
{
    n->output = y;
    if (n->inference) n->wanted[n->n_wanted++] = y;
    return n->inference;
}

void net_classify(net *n, aval_value *scores, size_t classes)
{
    if (end_inference(n, scores)) return;
    n->classes = classes;
    n->labels = aval_graph_input(n->g, "labels", AVAL_INT64, AVAL_SHAPE(n->batch));
    n->loss = aval_apply(n->g, "SoftmaxCrossEntropyLoss", NULL, scores, n->labels);
    update_all(n);
}

void net_vanish(net *n, aval_value *y)
{
    if (end_inference(n, y)) return;
    n->loss = aval_apply(n->g, "ReduceMean", "keepdims=0", aval_apply(n->g, "Mul", NULL, y, y));
    update_all(n);
}
