/* The networks of nets.h. */
#include "nets_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The networks ------------------------------------------------------------------------------------------------------------- */

static void mlp(net *n)
{
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, 784));
    x = net_relu(n, net_dense(n, x, 784, 512));
    x = net_relu(n, net_dense(n, x, 512, 512));
    net_classify(n, net_dense(n, x, 512, 10), 10);
}

/* 5x5x32, pool, 5x5x64, pool, 3136-256-10 on 1x28x28. */
static void lenet(net *n)
{
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, 1, 28, 28));
    for (int64_t in = 1, out = 32; out <= 64; in = out, out *= 2) {
        x = aval_apply(n->g, "Conv", "pads=[2,2,2,2]", x, net_weight(n, AVAL_SHAPE(out, in, 5, 5)), net_vector(n, out, 0));
        x = net_pool(n, "MaxPool", net_relu(n, x), 2, 2, 0);
    }
    x = net_relu(n, net_dense(n, net_reshape(n, x, AVAL_SHAPE(n->batch, 3136)), 3136, 256));
    net_classify(n, net_dense(n, x, 256, 10), 10);
}

/* ResNet-20 of He et al. 2015, section 4.2, on 3x32x32. */
static void resnet20(net *n)
{
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, 3, 32, 32));
    x = net_relu(n, net_norm(n, net_conv(n, x, 3, 16, 3, 1), 16));
    int64_t channels = 16;
    for (int stage = 0; stage < 3; stage++) {
        for (int block = 0; block < 3; block++) {
            int64_t out = 16 << stage;
            int stride = stage > 0 && block == 0 ? 2 : 1;
            aval_value *skip = stride == 1 ? x : net_conv(n, x, channels, out, 1, 2);
            aval_value *y = net_relu(n, net_norm(n, net_conv(n, x, channels, out, 3, stride), out));
            y = net_norm(n, net_conv(n, y, out, out, 3, 1), out);
            x = net_relu(n, aval_apply(n->g, "Add", NULL, y, skip));
            channels = out;
        }
    }
    x = aval_apply(n->g, "ReduceMean", "keepdims=0", x, net_ints(n, 2, (const int64_t[]){ 2, 3 }));
    net_classify(n, net_dense(n, x, 64, 10), 10);
}

static aval_value *twice(net *n, aval_value *x, int64_t c, int64_t h)
{
    x = net_relu(n, net_conv(n, x, c, h, 3, 1));
    return net_relu(n, net_conv(n, x, h, h, 3, 1));
}

/* A U-Net (Ronneberger et al. 2015) of four levels on 1x64x64, nearest upsampling. */
static void unet(net *n)
{
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, 1, 64, 64)), *skips[3];
    int64_t c = 1, size = 64;
    for (int level = 0; level < 3; level++) {
        skips[level] = twice(n, x, c, 16 << level);
        x = net_pool(n, "MaxPool", skips[level], 2, 2, 0);
        c = 16 << level;
        size /= 2;
    }
    x = twice(n, x, c, 2 * c);
    c *= 2;
    for (int level = 2; level >= 0; level--) {
        x = net_reshape(n, x, AVAL_SHAPE(n->batch, c, size, 1, size, 1));
        x = aval_apply(n->g, "Expand", NULL, x, net_ints(n, 6, (const int64_t[]){ n->batch, c, size, 2, size, 2 }));
        size *= 2;
        x = net_reshape(n, x, AVAL_SHAPE(n->batch, c, size, size));
        x = aval_apply(n->g, "Concat", "axis=1", x, skips[level]);
        x = twice(n, x, c + (16 << level), 16 << level);
        c = 16 << level;
    }
    net_vanish(n, net_conv(n, x, c, 1, 1, 1));
}

/* ---- ResNet-50 and SqueezeNet ------------------------------------------------------------------------------------------------- */

static aval_value *conv_norm(net *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride)
{
    return net_norm(n, net_conv(n, x, in, out, kernel, stride), out);
}

static aval_value *mean_of_channels(net *n, aval_value *x, int64_t channels)
{
    return net_reshape(n, aval_apply(n->g, "GlobalAveragePool", NULL, x), AVAL_SHAPE(n->batch, channels));
}

/* ResNet-50 of He et al. 2015, table 1, on 3x224x224; the second of a block's three convolutions has the stride, as torchvision has it. */
static void resnet50(net *n)
{
    static const int blocks[] = { 3, 4, 6, 3 };
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, 3, 224, 224));
    x = net_pool(n, "MaxPool", net_relu(n, conv_norm(n, x, 3, 64, 7, 2)), 3, 2, 1);
    int64_t channels = 64;
    for (int stage = 0; stage < 4; stage++) {
        for (int block = 0; block < blocks[stage]; block++) {
            int64_t inner = 64 << stage, out = 4 * inner;
            int stride = stage > 0 && block == 0 ? 2 : 1;
            aval_value *skip = block > 0 ? x : conv_norm(n, x, channels, out, 1, stride);
            aval_value *y = net_relu(n, conv_norm(n, x, channels, inner, 1, 1));
            y = net_relu(n, conv_norm(n, y, inner, inner, 3, stride));
            x = net_relu(n, aval_apply(n->g, "Add", NULL, conv_norm(n, y, inner, out, 1, 1), skip));
            channels = out;
        }
    }
    net_classify(n, net_dense(n, mean_of_channels(n, x, channels), channels, 1000), 1000);
}

/* With a bias and its relu. */
static aval_value *biased(net *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride, int pad)
{
    char attrs[96];
    snprintf(attrs, sizeof attrs, "pads=[%d,%d,%d,%d] strides=[%d,%d]", pad, pad, pad, pad, stride, stride);
    aval_value *w = net_weight(n, AVAL_SHAPE(out, in, kernel, kernel));
    return net_relu(n, aval_apply(n->g, "Conv", attrs, x, w, net_vector(n, out, 0)));
}

/* SqueezeNet 1.1 (Iandola et al. 2016, and its repository) on 3x224x224. */
static void squeezenet(net *n)
{
    static const int squeezed[] = { 16, 16, 32, 32, 48, 48, 64, 64 };
    aval_value *x = biased(n, net_input(n, AVAL_SHAPE(n->batch, 3, 224, 224)), 3, 64, 3, 2, 0);
    int64_t channels = 64;
    for (int i = 0; i < 8; i++) {
        int64_t few = squeezed[i], half = 4 * few;
        if (i == 0 || i == 2 || i == 4) x = net_pool(n, "MaxPool", x, 3, 2, 0);
        aval_value *s = biased(n, x, channels, few, 1, 1, 0);
        x = aval_apply(n->g, "Concat", "axis=1", biased(n, s, few, half, 1, 1, 0), biased(n, s, few, half, 3, 1, 1));
        channels = 2 * half;
    }
    net_classify(n, mean_of_channels(n, biased(n, x, channels, 1000, 1, 1, 0), 1000), 1000);
}

/* ---- MobileNetV2 -------------------------------------------------------------------------------------------------------------------- */

static aval_value *relu6(net *n, aval_value *x)
{
    return aval_apply(n->g, "Clip", NULL, x, aval_graph_number(n->g, AVAL_FLOAT, 0), aval_graph_number(n->g, AVAL_FLOAT, 6));
}

/* Each channel has a filter of its own. */
static aval_value *depthwise(net *n, aval_value *x, int64_t channels, int stride)
{
    char attrs[96];
    snprintf(attrs, sizeof attrs, "group=%lld pads=[1,1,1,1] strides=[%d,%d]", (long long)channels, stride, stride);
    return relu6(n, net_norm(n, aval_apply(n->g, "Conv", attrs, x, net_weight(n, AVAL_SHAPE(channels, 1, 3, 3))), channels));
}

/* MobileNetV2 of Sandler et al. 2018, table 2, on 3x224x224. */
static void mobilenet(net *n)
{
    static const struct {
        int64_t widening, channels;
        int blocks, stride;
    } stages[] = {
        { 1, 16, 1, 1 }, { 6, 24, 2, 2 }, { 6, 32, 3, 2 }, { 6, 64, 4, 2 }, { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 }
    };
    aval_value *x = relu6(n, conv_norm(n, net_input(n, AVAL_SHAPE(n->batch, 3, 224, 224)), 3, 32, 3, 2));
    int64_t channels = 32;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        for (int block = 0; block < stages[i].blocks; block++) {
            int64_t wide = stages[i].widening * channels, out = stages[i].channels;
            aval_value *y = wide == channels ? x : relu6(n, conv_norm(n, x, channels, wide, 1, 1));
            y = conv_norm(n, depthwise(n, y, wide, block == 0 ? stages[i].stride : 1), wide, out, 1, 1);
            x = block == 0 ? y : aval_apply(n->g, "Add", NULL, x, y);
            channels = out;
        }
    }
    x = relu6(n, conv_norm(n, x, channels, 1280, 1, 1));
    net_classify(n, net_dense(n, mean_of_channels(n, x, 1280), 1280, 1000), 1000);
}

/* ---- Sequences ------------------------------------------------------------------------------------------------------------------- */

enum { WIDTH = 256, LENGTH = 128, HEADS = 4, LAYERS = 4 }; /* of the transformer */

static aval_value *heads(net *n, aval_value *x, const char *perm)
{
    return aval_apply(n->g, "Transpose", perm, net_reshape(n, x, AVAL_SHAPE(n->batch, LENGTH, HEADS, WIDTH / HEADS)));
}

/* An encoder (Vaswani et al. 2017), layer norm first. */
static void transformer(net *n)
{
    aval_value *x = net_input(n, AVAL_SHAPE(n->batch, LENGTH, WIDTH));
    for (int layer = 0; layer < LAYERS; layer++) {
        aval_value *h = net_layer_norm(n, x, WIDTH);
        aval_value *q = heads(n, net_dense(n, h, WIDTH, WIDTH), "perm=[0,2,1,3]");
        aval_value *k = heads(n, net_dense(n, h, WIDTH, WIDTH), "perm=[0,2,3,1]");
        aval_value *v = heads(n, net_dense(n, h, WIDTH, WIDTH), "perm=[0,2,1,3]");
        aval_value *scale = aval_graph_number(n->g, AVAL_FLOAT, 0.125); /* 1 / sqrt(width of a head) */
        aval_value *scores = aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "MatMul", NULL, q, k), scale);
        aval_value *mixed = aval_apply(n->g, "MatMul", NULL, aval_apply(n->g, "Softmax", "axis=-1", scores), v);
        mixed = net_reshape(n, aval_apply(n->g, "Transpose", "perm=[0,2,1,3]", mixed), AVAL_SHAPE(n->batch, LENGTH, WIDTH));
        x = aval_apply(n->g, "Add", NULL, x, net_dense(n, mixed, WIDTH, WIDTH));
        h = net_relu(n, net_dense(n, net_layer_norm(n, x, WIDTH), WIDTH, 4 * WIDTH));
        x = aval_apply(n->g, "Add", NULL, x, net_dense(n, h, 4 * WIDTH, WIDTH));
    }
    net_vanish(n, x);
}

/* One layer of an LSTM (Hochreiter and Schmidhuber 1997); the last state is classified. */
static void lstm(net *n)
{
    enum { TIME = 64, INPUTS = 128, HIDDEN = 256 };
    aval_value *x = net_input(n, AVAL_SHAPE(TIME, n->batch, INPUTS));
    aval_value *w = net_weight(n, AVAL_SHAPE(1, 4 * HIDDEN, INPUTS)), *r = net_weight(n, AVAL_SHAPE(1, 4 * HIDDEN, HIDDEN));
    aval_value *bias = net_reshape(n, net_vector(n, 8 * HIDDEN, 0), AVAL_SHAPE(1, 8 * HIDDEN));
    aval_node *layer = aval_graph_node(n->g, "LSTM", "hidden_size=256", AVAL_VALUES(x, w, r, bias));
    net_classify(n, net_dense(n, net_reshape(n, aval_node_output(layer, 1), AVAL_SHAPE(n->batch, HIDDEN)), HIDDEN, 10), 10);
}

#define BATCHES(...) \
    (const int64_t[]) \
    { \
        __VA_ARGS__, 0 \
    }

const net_kind net_kinds[] = {
    { "mlp", "784-512-512-10", BATCHES(32, 128, 512), mlp, false },
    { "lenet", "5x5x32, pool, 5x5x64, pool, 3136-256-10 on 1x28x28", BATCHES(64), lenet, false },
    { "resnet20", "ResNet-20 on 3x32x32", BATCHES(32), resnet20, false },
    { "unet", "a U-Net of four levels on 1x64x64", BATCHES(8), unet, false },
    { "transformer", "four layers, 256 wide, 4 heads, sequences of 128", BATCHES(8), transformer, false },
    { "lstm", "one layer, 256 wide, sequences of 64 times 128", BATCHES(32), lstm, false },
    { "resnet50", "ResNet-50 on 3x224x224", BATCHES(1), resnet50, true },
    { "squeezenet", "SqueezeNet 1.1 on 3x224x224", BATCHES(1), squeezenet, true },
    { "mobilenet", "MobileNetV2 on 3x224x224", BATCHES(1), mobilenet, true },
    { NULL, NULL, NULL, NULL, false },
};

const net_kind *net_find(const char *name)
{
    for (const net_kind *kind = net_kinds; kind->name; kind++)
        if (strcmp(kind->name, name) == 0) return kind;
    return NULL;
}

int net_open(aval_context *ctx, const net_kind *kind, int64_t batch, bool inference, net *n)
{
    *n = (net){ .name = kind->name, .ctx = ctx, .batch = batch, .inference = inference };
    int status = aval_store_create(ctx, &n->store);
    if (status < 0) return status;
    n->g = aval_graph_create(ctx);
    kind->build(n);
    status = aval_graph_status(n->g);
    return status < 0 ? status : n->status;
}

/* Free first axes of inputs are the batch. */
static int fix_inputs(const net *n)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_input_count(n->model) && status == AVAL_OK; i++) {
        aval_value *input = aval_model_input(n->model, i);
        int64_t dims[AVAL_MAX_RANK];
        int rank = aval_value_rank(input);
        if (rank < 1 || aval_value_dims(input)[0] >= 0) continue;
        memcpy(dims, aval_value_dims(input), (size_t)rank * sizeof *dims);
        dims[0] = n->batch;
        status =
            aval_graph_replace(n->g, input, aval_graph_input(n->g, aval_value_name(input), aval_value_type(input), (size_t)rank, dims));
    }
    return status;
}

int net_open_model(aval_context *ctx, const char *file, int64_t batch, net *n)
{
    *n = (net){ .name = file, .ctx = ctx, .batch = batch, .inference = true };
    int status = aval_model_load(ctx, file, &n->model);
    if (status < 0) return status;
    n->g = aval_model_graph(n->model);
    n->store = aval_model_store(n->model);
    n->n_wanted = aval_model_output_count(n->model);
    if (n->n_wanted > sizeof n->wanted / sizeof *n->wanted) n->n_wanted = sizeof n->wanted / sizeof *n->wanted;
    for (size_t i = 0; i < n->n_wanted; i++) n->wanted[i] = aval_model_output(n->model, i);
    return fix_inputs(n);
}

void net_close(net *n)
{
    if (n->model != NULL) {
        aval_model_release(n->model);
    } else {
        aval_graph_release(n->g);
        aval_store_release(n->store);
    }
    *n = (net){ 0 };
}

/* ---- Data ------------------------------------------------------------------------------------------------------------------------ */

/* `seed`: other inputs get other numbers. */
static int feed_input(aval_session *s, const aval_value *input, uint32_t seed)
{
    const int64_t *dims = aval_value_dims(input);
    int64_t given[AVAL_MAX_RANK];
    size_t count = 1, bytes = aval_type_bytes(aval_value_type(input));
    for (int axis = 0; axis < aval_value_rank(input); axis++) {
        given[axis] = dims[axis] < 0 ? 1 : dims[axis]; /* free ones that are no batch */
        count *= (size_t)given[axis];
    }
    float *data = calloc(count + 1, sizeof *data);
    void *stored = calloc(count + 1, bytes > 0 ? bytes : 1);
    int type = aval_value_type(input), status = data == NULL || stored == NULL ? AVAL_E_MEMORY : AVAL_OK;
    bool real = type == AVAL_FLOAT || type == AVAL_DOUBLE || type == AVAL_FLOAT16 || type == AVAL_BFLOAT16;
    for (size_t i = 0; status == AVAL_OK && real && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(seed >> 8) / (1 << 23) - 1;
    }
    if (status == AVAL_OK && real) status = aval_convert(stored, type, data, AVAL_FLOAT, count);
    if (status == AVAL_OK) status = aval_session_feed(s, input, stored, count * bytes, given);
    free(data);
    free(stored);
    return status;
}

int net_feed(const net *n, aval_session *s)
{
    int status = AVAL_OK;
    for (size_t i = 0; n->model != NULL && status == AVAL_OK && i < aval_model_input_count(n->model); i++)
        status = feed_input(s, aval_model_input(n->model, i), (uint32_t)i + 1);
    if (n->model == NULL) status = feed_input(s, n->input, 1);
    if (status < 0 || n->labels == NULL) return status;
    int64_t *labels = malloc((size_t)n->batch * sizeof *labels);
    if (labels == NULL) return AVAL_E_MEMORY;
    for (int64_t i = 0; i < n->batch; i++) labels[i] = i * 7 % (int64_t)n->classes;
    status = aval_session_feed(s, n->labels, labels, (size_t)n->batch * sizeof *labels, NULL);
    free(labels);
    return status;
}
