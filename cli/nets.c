/* The networks of nets.h. */
#include "nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parts of networks ------------------------------------------------------------------------------------------------------ */

static void note(net *n, int status)
{
    if (n->status == 0) n->status = status;
}

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

static aval_value *weight(net *n, size_t rank, const int64_t *dims)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_parameters);
    note(n, aval_store_random(n->store, name, AVAL_FLOAT, rank, dims, AVAL_INIT_HE, 1, 1));
    return learnt(n, aval_graph_state(n->g, name, AVAL_FLOAT, rank, dims));
}

static aval_value *vector(net *n, int64_t length, double value)
{
    return learnt(n, filled(n, "b", 1, &length, value));
}

static aval_value *input(net *n, size_t rank, const int64_t *dims)
{
    return n->input = aval_graph_input(n->g, "x", AVAL_FLOAT, rank, dims);
}

static aval_value *ints(net *n, size_t count, const int64_t *data)
{
    const int64_t shape = (int64_t)count;
    return aval_graph_constant(n->g, AVAL_INT64, 1, &shape, data);
}

static aval_value *reshape(net *n, aval_value *x, size_t rank, const int64_t *dims)
{
    return aval_apply(n->g, "Reshape", NULL, x, ints(n, rank, dims));
}

static aval_value *relu(net *n, aval_value *x)
{
    return aval_apply(n->g, "Relu", NULL, x);
}

static aval_value *dense(net *n, aval_value *x, int64_t in, int64_t out)
{
    return aval_apply(n->g, "Add", NULL, aval_apply(n->g, "MatMul", NULL, x, weight(n, AVAL_SHAPE(in, out))), vector(n, out, 0));
}

static aval_value *conv(net *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride)
{
    char attrs[96];
    int pad = (int)(kernel / 2);
    snprintf(attrs, sizeof attrs, "pads=[%d,%d,%d,%d] strides=[%d,%d]", pad, pad, pad, pad, stride, stride);
    return aval_apply(n->g, "Conv", attrs, x, weight(n, AVAL_SHAPE(out, in, kernel, kernel)));
}

static aval_value *norm(net *n, aval_value *x, int64_t channels)
{
    aval_value *mean = filled(n, "mean", 1, &channels, 0), *variance = filled(n, "var", 1, &channels, 1);
    aval_value *scale = vector(n, channels, 1), *shift = vector(n, channels, 0);
    return aval_apply(n->g, "BatchNormalization", "training_mode=1", x, scale, shift, mean, variance);
}

/* ---- Losses and updates ------------------------------------------------------------------------------------------------------ */

/* Stochastic gradient descent with momentum on all parameters. */
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

static void classify(net *n, aval_value *scores, size_t classes)
{
    n->classes = classes;
    n->labels = aval_graph_input(n->g, "labels", AVAL_INT64, AVAL_SHAPE(n->batch));
    n->loss = aval_apply(n->g, "SoftmaxCrossEntropyLoss", NULL, scores, n->labels);
    update_all(n);
}

/* Squared error to zero: no labels are needed. */
static void vanish(net *n, aval_value *y)
{
    n->loss = aval_apply(n->g, "ReduceMean", "keepdims=0", aval_apply(n->g, "Mul", NULL, y, y));
    update_all(n);
}

/* ---- The networks ------------------------------------------------------------------------------------------------------------- */

static void mlp(net *n)
{
    aval_value *x = input(n, AVAL_SHAPE(n->batch, 784));
    x = relu(n, dense(n, x, 784, 512));
    x = relu(n, dense(n, x, 512, 512));
    classify(n, dense(n, x, 512, 10), 10);
}

/* 5x5x32, pool, 5x5x64, pool, 3136-256-10 on 1x28x28. */
static void lenet(net *n)
{
    aval_value *x = input(n, AVAL_SHAPE(n->batch, 1, 28, 28));
    for (int64_t in = 1, out = 32; out <= 64; in = out, out *= 2) {
        x = aval_apply(n->g, "Conv", "pads=[2,2,2,2]", x, weight(n, AVAL_SHAPE(out, in, 5, 5)), vector(n, out, 0));
        x = aval_apply(n->g, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", relu(n, x));
    }
    x = relu(n, dense(n, reshape(n, x, AVAL_SHAPE(n->batch, 3136)), 3136, 256));
    classify(n, dense(n, x, 256, 10), 10);
}

/* ResNet-20 of He et al. 2015, section 4.2, on 3x32x32. */
static void resnet20(net *n)
{
    aval_value *x = input(n, AVAL_SHAPE(n->batch, 3, 32, 32));
    x = relu(n, norm(n, conv(n, x, 3, 16, 3, 1), 16));
    int64_t channels = 16;
    for (int stage = 0; stage < 3; stage++) {
        for (int block = 0; block < 3; block++) {
            int64_t out = 16 << stage;
            int stride = stage > 0 && block == 0 ? 2 : 1;
            aval_value *skip = stride == 1 ? x : conv(n, x, channels, out, 1, 2);
            aval_value *y = relu(n, norm(n, conv(n, x, channels, out, 3, stride), out));
            y = norm(n, conv(n, y, out, out, 3, 1), out);
            x = relu(n, aval_apply(n->g, "Add", NULL, y, skip));
            channels = out;
        }
    }
    x = aval_apply(n->g, "ReduceMean", "keepdims=0", x, ints(n, 2, (const int64_t[]){ 2, 3 }));
    classify(n, dense(n, x, 64, 10), 10);
}

static aval_value *twice(net *n, aval_value *x, int64_t c, int64_t h)
{
    x = relu(n, conv(n, x, c, h, 3, 1));
    return relu(n, conv(n, x, h, h, 3, 1));
}

/* A U-Net (Ronneberger et al. 2015) of four levels on 1x64x64, nearest upsampling. */
static void unet(net *n)
{
    aval_value *x = input(n, AVAL_SHAPE(n->batch, 1, 64, 64)), *skips[3];
    int64_t c = 1, size = 64;
    for (int level = 0; level < 3; level++) {
        skips[level] = twice(n, x, c, 16 << level);
        x = aval_apply(n->g, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", skips[level]);
        c = 16 << level;
        size /= 2;
    }
    x = twice(n, x, c, 2 * c);
    c *= 2;
    for (int level = 2; level >= 0; level--) {
        x = reshape(n, x, AVAL_SHAPE(n->batch, c, size, 1, size, 1));
        x = aval_apply(n->g, "Expand", NULL, x, ints(n, 6, (const int64_t[]){ n->batch, c, size, 2, size, 2 }));
        size *= 2;
        x = reshape(n, x, AVAL_SHAPE(n->batch, c, size, size));
        x = aval_apply(n->g, "Concat", "axis=1", x, skips[level]);
        x = twice(n, x, c + (16 << level), 16 << level);
        c = 16 << level;
    }
    vanish(n, conv(n, x, c, 1, 1, 1));
}

static aval_value *layer_norm(net *n, aval_value *x, int64_t width)
{
    aval_value *axis = ints(n, 1, (const int64_t[]){ -1 });
    aval_value *centred = aval_apply(n->g, "Sub", NULL, x, aval_apply(n->g, "ReduceMean", NULL, x, axis));
    aval_value *variance = aval_apply(n->g, "ReduceMean", NULL, aval_apply(n->g, "Mul", NULL, centred, centred), axis);
    aval_value *deviation =
        aval_apply(n->g, "Sqrt", NULL, aval_apply(n->g, "Add", NULL, variance, aval_graph_number(n->g, AVAL_FLOAT, 1e-5)));
    aval_value *y = aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "Div", NULL, centred, deviation), vector(n, width, 1));
    return aval_apply(n->g, "Add", NULL, y, vector(n, width, 0));
}

static aval_value *heads(net *n, aval_value *x, const char *perm)
{
    return aval_apply(n->g, "Transpose", perm, reshape(n, x, AVAL_SHAPE(n->batch, 64, 4, 32)));
}

/* Four layers of an encoder (Vaswani et al. 2017), 128 wide, 4 heads, sequences of 64, layer norm first. */
static void transformer(net *n)
{
    aval_value *x = input(n, AVAL_SHAPE(n->batch, 64, 128));
    for (int layer = 0; layer < 4; layer++) {
        aval_value *h = layer_norm(n, x, 128);
        aval_value *q = heads(n, dense(n, h, 128, 128), "perm=[0,2,1,3]"), *k = heads(n, dense(n, h, 128, 128), "perm=[0,2,3,1]");
        aval_value *v = heads(n, dense(n, h, 128, 128), "perm=[0,2,1,3]");
        aval_value *scores =
            aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "MatMul", NULL, q, k), aval_graph_number(n->g, AVAL_FLOAT, 0.17677669));
        aval_value *mixed = aval_apply(n->g, "MatMul", NULL, aval_apply(n->g, "Softmax", "axis=-1", scores), v);
        mixed = reshape(n, aval_apply(n->g, "Transpose", "perm=[0,2,1,3]", mixed), AVAL_SHAPE(n->batch, 64, 128));
        x = aval_apply(n->g, "Add", NULL, x, dense(n, mixed, 128, 128));
        h = relu(n, dense(n, layer_norm(n, x, 128), 128, 512));
        x = aval_apply(n->g, "Add", NULL, x, dense(n, h, 512, 128));
    }
    vanish(n, x);
}

#define BATCHES(...) \
    (const int64_t[]) \
    { \
        __VA_ARGS__, 0 \
    }

const net_kind net_kinds[] = {
    { "mlp", "784-512-512-10", BATCHES(32, 128, 512), mlp },
    { "lenet", "5x5x32, pool, 5x5x64, pool, 3136-256-10 on 1x28x28", BATCHES(64), lenet },
    { "resnet20", "ResNet-20 on 3x32x32", BATCHES(32), resnet20 },
    { "unet", "a U-Net of four levels on 1x64x64", BATCHES(8), unet },
    { "transformer", "four layers, 128 wide, 4 heads, sequences of 64", BATCHES(8), transformer },
    { NULL, NULL, NULL, NULL },
};

const net_kind *net_find(const char *name)
{
    for (const net_kind *kind = net_kinds; kind->name; kind++)
        if (strcmp(kind->name, name) == 0) return kind;
    return NULL;
}

int net_open(aval_context *ctx, const net_kind *kind, int64_t batch, net *n)
{
    *n = (net){ .ctx = ctx, .batch = batch };
    int status = aval_store_create(ctx, &n->store);
    if (status < 0) return status;
    n->g = aval_graph_create(ctx);
    kind->build(n);
    status = aval_graph_status(n->g);
    return status < 0 ? status : n->status;
}

void net_close(net *n)
{
    aval_graph_release(n->g);
    aval_store_release(n->store);
    *n = (net){ 0 };
}

/* ---- Data ------------------------------------------------------------------------------------------------------------------------ */

static int feed_input(const net *n, aval_session *s)
{
    size_t count = 1;
    for (int axis = 0; axis < aval_value_rank(n->input); axis++) count *= (size_t)aval_value_dims(n->input)[axis];
    float *data = malloc(count * sizeof *data);
    if (data == NULL) return AVAL_E_MEMORY;
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
    int status = aval_session_feed(s, n->input, data, count * sizeof *data, NULL);
    free(data);
    return status;
}

int net_feed(const net *n, aval_session *s)
{
    int status = feed_input(n, s);
    if (status < 0 || n->labels == NULL) return status;
    int64_t *labels = malloc((size_t)n->batch * sizeof *labels);
    if (labels == NULL) return AVAL_E_MEMORY;
    for (int64_t i = 0; i < n->batch; i++) labels[i] = i * 7 % (int64_t)n->classes;
    status = aval_session_feed(s, n->labels, labels, (size_t)n->batch * sizeof *labels, NULL);
    free(labels);
    return status;
}
