/* A residual block, a recurrent layer and an attention block, each with its gradients and a step of gradient descent. */
#include "nets.h"

#include <stdio.h>

static aval_value *parameter(net *n, int type, size_t rank, const int64_t *dims)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_parameters);
    aval_value *w = aval_graph_state(n->g, name, type, rank, dims);
    if (n->n_parameters < NET_MOST_WANTED) n->parameters[n->n_parameters++] = w;
    return w;
}

static aval_value *ints(net *n, size_t count, const int64_t *data)
{
    const int64_t shape = (int64_t)count;
    return aval_graph_constant(n->g, AVAL_INT64, 1, &shape, data);
}

/* The loss is the mean of squares, so that no labels are needed. */
static void finish(net *n, int type, aval_value *y)
{
    aval_value *loss = aval_apply(n->g, "ReduceMean", "keepdims=0", aval_apply(n->g, "Mul", NULL, y, y));
    aval_value *rate = aval_graph_state(n->g, "lr", type, AVAL_SCALAR);
    n->wanted[n->n_wanted++] = loss;
    for (size_t i = 0; i < n->n_parameters; i++) {
        aval_value *w = n->parameters[i];
        char name[32];
        snprintf(name, sizeof name, "v%zu", i);
        aval_value *moment = aval_graph_state(n->g, name, type, (size_t)aval_value_rank(w), aval_value_dims(w));
        aval_value *gradient = aval_graph_gradient(n->g, loss, w, NULL);
        aval_node *step = aval_graph_node(n->g, "aval::Sgd", "momentum=0.9", AVAL_VALUES(w, gradient, moment, rate));
        n->wanted[n->n_wanted++] = aval_node_output(step, 0);
        n->wanted[n->n_wanted++] = aval_node_output(step, 1);
    }
}

static aval_value *normalised(net *n, int type, aval_value *x, int64_t channels)
{
    char mean[32], variance[32];
    snprintf(mean, sizeof mean, "mean%zu", n->n_parameters);
    snprintf(variance, sizeof variance, "variance%zu", n->n_parameters);
    return aval_apply(n->g, "BatchNormalization", "training_mode=1", x, parameter(n, type, 1, &channels), parameter(n, type, 1, &channels),
                      aval_graph_state(n->g, mean, type, 1, &channels), aval_graph_state(n->g, variance, type, 1, &channels));
}

/* y = relu(x + bn(conv(relu(bn(conv(x)))))), He et al. 2015, then the mean of each channel. */
static void residual(net *n, int type)
{
    const int64_t channels = 16;
    aval_value *x = aval_graph_input(n->g, "x", type, AVAL_SHAPE(8, channels, 16, 16)), *y = x;
    for (int i = 0; i < 2; i++) {
        y = aval_apply(n->g, "Conv", "pads=[1,1,1,1]", y, parameter(n, type, AVAL_SHAPE(channels, channels, 3, 3)));
        y = normalised(n, type, y, channels);
        y = aval_apply(n->g, "Relu", NULL, i == 0 ? y : aval_apply(n->g, "Add", NULL, x, y));
    }
    finish(n, type, aval_apply(n->g, "GlobalAveragePool", NULL, y));
}

static void recurrent(net *n, int type)
{
    const int64_t time = 4, batch = 8, inputs = 12, hidden = 16;
    aval_value *x = aval_graph_input(n->g, "x", type, AVAL_SHAPE(time, batch, inputs));
    aval_value *w = parameter(n, type, AVAL_SHAPE(1, 4 * hidden, inputs)), *r = parameter(n, type, AVAL_SHAPE(1, 4 * hidden, hidden));
    finish(n, type, aval_apply(n->g, "LSTM", NULL, x, w, r, parameter(n, type, AVAL_SHAPE(1, 8 * hidden))));
}

static aval_value *layer_norm(net *n, int type, aval_value *x, int64_t width)
{
    aval_value *axis = ints(n, 1, (const int64_t[]){ -1 });
    aval_value *centred = aval_apply(n->g, "Sub", NULL, x, aval_apply(n->g, "ReduceMean", NULL, x, axis));
    aval_value *variance = aval_apply(n->g, "ReduceMean", NULL, aval_apply(n->g, "Mul", NULL, centred, centred), axis);
    aval_value *kept = aval_apply(n->g, "Add", NULL, variance, aval_graph_number(n->g, type, 1e-5));
    aval_value *y = aval_apply(n->g, "Div", NULL, centred, aval_apply(n->g, "Sqrt", NULL, kept));
    y = aval_apply(n->g, "Mul", NULL, y, parameter(n, type, 1, &width));
    return aval_apply(n->g, "Add", NULL, y, parameter(n, type, 1, &width));
}

static aval_value *dense(net *n, int type, aval_value *x, int64_t in, int64_t out)
{
    x = aval_apply(n->g, "MatMul", NULL, x, parameter(n, type, AVAL_SHAPE(in, out)));
    return aval_apply(n->g, "Add", NULL, x, parameter(n, type, 1, &out));
}

/* One layer of an encoder (Vaswani et al. 2017) of 4 heads, layer norm first; the activation is GELU, x (1 + erf(x / sqrt 2)) / 2. */
static void attention(net *n, int type)
{
    const int64_t batch = 2, length = 16, width = 32, heads = 4;
    aval_value *x = aval_graph_input(n->g, "x", type, AVAL_SHAPE(batch, length, width)), *h = layer_norm(n, type, x, width), *part[3];
    for (int i = 0; i < 3; i++) {
        part[i] = dense(n, type, h, width, width);
        part[i] = aval_apply(n->g, "Reshape", NULL, part[i], ints(n, 4, (const int64_t[]){ batch, length, heads, width / heads }));
        part[i] = aval_apply(n->g, "Transpose", i == 1 ? "perm=[0,2,3,1]" : "perm=[0,2,1,3]", part[i]);
    }
    aval_value *scores = aval_apply(n->g, "MatMul", NULL, part[0], part[1]);
    scores = aval_apply(n->g, "Mul", NULL, scores, aval_graph_number(n->g, type, 0.35355339));
    aval_value *mixed = aval_apply(n->g, "MatMul", NULL, aval_apply(n->g, "Softmax", "axis=-1", scores), part[2]);
    mixed = aval_apply(n->g, "Transpose", "perm=[0,2,1,3]", mixed);
    mixed = aval_apply(n->g, "Reshape", NULL, mixed, ints(n, 3, (const int64_t[]){ batch, length, width }));
    x = aval_apply(n->g, "Add", NULL, x, dense(n, type, mixed, width, width));
    h = dense(n, type, layer_norm(n, type, x, width), width, 2 * width);
    aval_value *bent = aval_apply(n->g, "Erf", NULL, aval_apply(n->g, "Mul", NULL, h, aval_graph_number(n->g, type, 0.70710678)));
    bent = aval_apply(n->g, "Add", NULL, bent, aval_graph_number(n->g, type, 1));
    h = aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "Mul", NULL, h, bent), aval_graph_number(n->g, type, 0.5));
    finish(n, type, aval_apply(n->g, "Add", NULL, x, dense(n, type, h, 2 * width, width)));
}

const net_case net_cases[] = { { "residual", residual }, { "recurrent", recurrent }, { "attention", attention } };
const size_t n_net_cases = sizeof net_cases / sizeof net_cases[0];
