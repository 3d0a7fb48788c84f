/* Benchmark of memory planning: arena bytes against the most bytes alive at once, for training graphs of three kinds of networks. */
#include "bench.h"

#include <stdio.h>

#define MOST_PARAMETERS 256

typedef struct builder {
    aval_graph *g;
    aval_value *parameters[MOST_PARAMETERS];
    size_t n_parameters;
    aval_value *wanted[2 * MOST_PARAMETERS];
    size_t n_wanted;
} builder;

static aval_value *parameter(builder *n, size_t rank, const int64_t *dims)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_parameters);
    aval_value *w = aval_graph_state(n->g, name, AVAL_FLOAT, rank, dims);
    if (n->n_parameters < MOST_PARAMETERS) n->parameters[n->n_parameters++] = w;
    return w;
}

static aval_value *ints(builder *n, size_t count, const int64_t *data)
{
    const int64_t shape = (int64_t)count;
    return aval_graph_constant(n->g, AVAL_INT64, 1, &shape, data);
}

static aval_value *reshape(builder *n, aval_value *x, size_t rank, const int64_t *dims)
{
    return aval_apply(n->g, "Reshape", NULL, x, ints(n, rank, dims));
}

static aval_value *conv(builder *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride)
{
    char attrs[96];
    int pad = (int)(kernel / 2);
    snprintf(attrs, sizeof attrs, "pads=[%d,%d,%d,%d] strides=[%d,%d]", pad, pad, pad, pad, stride, stride);
    return aval_apply(n->g, "Conv", attrs, x, parameter(n, AVAL_SHAPE(out, in, kernel, kernel)));
}

static aval_value *norm_relu(builder *n, aval_value *x, int64_t channels, int relu)
{
    char mean[32], var[32];
    snprintf(mean, sizeof mean, "mean%zu", n->n_parameters);
    snprintf(var, sizeof var, "var%zu", n->n_parameters);
    aval_value *running_mean = aval_graph_state(n->g, mean, AVAL_FLOAT, 1, &channels);
    aval_value *running_var = aval_graph_state(n->g, var, AVAL_FLOAT, 1, &channels);
    x = aval_apply(n->g, "BatchNormalization", "training_mode=1", x, parameter(n, 1, &channels), parameter(n, 1, &channels), running_mean,
                   running_var);
    return relu ? aval_apply(n->g, "Relu", NULL, x) : x;
}

/* Squared error to zero, so that no labels are needed; all parameters are updated. */
static void finish(builder *n, aval_value *y)
{
    aval_value *loss = aval_apply(n->g, "ReduceMean", "keepdims=0", aval_apply(n->g, "Mul", NULL, y, y));
    aval_value *lr = aval_graph_state(n->g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    n->wanted[n->n_wanted++] = loss;
    for (size_t i = 0; i < n->n_parameters; i++) {
        aval_value *w = n->parameters[i];
        char name[32];
        snprintf(name, sizeof name, "v%zu", i);
        aval_value *v = aval_graph_state(n->g, name, AVAL_FLOAT, (size_t)aval_value_rank(w), aval_value_dims(w));
        aval_node *step =
            aval_graph_node(n->g, "aval::Sgd", "momentum=0.9", AVAL_VALUES(w, aval_graph_gradient(n->g, loss, w, NULL), v, lr));
        n->wanted[n->n_wanted++] = aval_node_output(step, 0);
        n->wanted[n->n_wanted++] = aval_node_output(step, 1);
    }
}

/* ResNet-20 of He et al. 2015, section 4.2, on 3x32x32. */
static void resnet(builder *n)
{
    aval_value *x = aval_graph_input(n->g, "x", AVAL_FLOAT, AVAL_SHAPE(32, 3, 32, 32));
    x = norm_relu(n, conv(n, x, 3, 16, 3, 1), 16, 1);
    int64_t channels = 16;
    for (int stage = 0; stage < 3; stage++) {
        for (int block = 0; block < 3; block++) {
            int64_t out = 16 << stage;
            int stride = stage > 0 && block == 0 ? 2 : 1;
            aval_value *skip = stride == 1 ? x : conv(n, x, channels, out, 1, 2);
            aval_value *y = norm_relu(n, conv(n, x, channels, out, 3, stride), out, 1);
            y = norm_relu(n, conv(n, y, out, out, 3, 1), out, 0);
            x = aval_apply(n->g, "Relu", NULL, aval_apply(n->g, "Add", NULL, y, skip));
            channels = out;
        }
    }
    x = aval_apply(n->g, "ReduceMean", "keepdims=0", x, ints(n, 2, (const int64_t[]){ 2, 3 }));
    finish(n, aval_apply(n->g, "Gemm", NULL, x, parameter(n, AVAL_SHAPE(64, 10)), parameter(n, AVAL_SHAPE(10))));
}

static aval_value *twice(builder *n, aval_value *x, int64_t c, int64_t h, int stride)
{
    x = aval_apply(n->g, "Relu", NULL, conv(n, x, c, h, 3, stride));
    return aval_apply(n->g, "Relu", NULL, conv(n, x, h, h, 3, 1));
}

/* A U-Net (Ronneberger et al. 2015) of four levels on 1x64x64, nearest upsampling. */
static void unet(builder *n)
{
    aval_value *x = aval_graph_input(n->g, "x", AVAL_FLOAT, AVAL_SHAPE(8, 1, 64, 64)), *skips[3];
    int64_t c = 1, size = 64;
    for (int level = 0; level < 3; level++) {
        skips[level] = twice(n, x, c, 16 << level, 1);
        x = aval_apply(n->g, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", skips[level]);
        c = 16 << level;
        size /= 2;
    }
    x = twice(n, x, c, 2 * c, 1);
    c *= 2;
    for (int level = 2; level >= 0; level--) {
        x = reshape(n, x, AVAL_SHAPE(8, c, size, 1, size, 1));
        x = aval_apply(n->g, "Expand", NULL, x, ints(n, 6, (const int64_t[]){ 8, c, size, 2, size, 2 }));
        size *= 2;
        x = reshape(n, x, AVAL_SHAPE(8, c, size, size));
        x = aval_apply(n->g, "Concat", "axis=1", x, skips[level]);
        x = twice(n, x, c + (16 << level), 16 << level, 1);
        c = 16 << level;
    }
    finish(n, conv(n, x, c, 1, 1, 1));
}

static aval_value *layer_norm(builder *n, aval_value *x, int64_t width)
{
    aval_value *axis = ints(n, 1, (const int64_t[]){ -1 });
    aval_value *centred = aval_apply(n->g, "Sub", NULL, x, aval_apply(n->g, "ReduceMean", NULL, x, axis));
    aval_value *variance = aval_apply(n->g, "ReduceMean", NULL, aval_apply(n->g, "Mul", NULL, centred, centred), axis);
    aval_value *deviation =
        aval_apply(n->g, "Sqrt", NULL, aval_apply(n->g, "Add", NULL, variance, aval_graph_number(n->g, AVAL_FLOAT, 1e-5)));
    aval_value *y = aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "Div", NULL, centred, deviation), parameter(n, 1, &width));
    return aval_apply(n->g, "Add", NULL, y, parameter(n, 1, &width));
}

static aval_value *dense(builder *n, aval_value *x, int64_t in, int64_t out)
{
    return aval_apply(n->g, "Add", NULL, aval_apply(n->g, "MatMul", NULL, x, parameter(n, AVAL_SHAPE(in, out))), parameter(n, 1, &out));
}

static aval_value *heads(builder *n, aval_value *x, const char *perm)
{
    return aval_apply(n->g, "Transpose", perm, reshape(n, x, AVAL_SHAPE(8, 64, 4, 32)));
}

/* Four layers of an encoder (Vaswani et al. 2017), 128 wide, 4 heads, sequences of 64, layer norm first. */
static void transformer(builder *n)
{
    aval_value *x = aval_graph_input(n->g, "x", AVAL_FLOAT, AVAL_SHAPE(8, 64, 128));
    for (int layer = 0; layer < 4; layer++) {
        aval_value *h = layer_norm(n, x, 128);
        aval_value *q = heads(n, dense(n, h, 128, 128), "perm=[0,2,1,3]"), *k = heads(n, dense(n, h, 128, 128), "perm=[0,2,3,1]");
        aval_value *v = heads(n, dense(n, h, 128, 128), "perm=[0,2,1,3]");
        aval_value *scores =
            aval_apply(n->g, "Mul", NULL, aval_apply(n->g, "MatMul", NULL, q, k), aval_graph_number(n->g, AVAL_FLOAT, 0.17677669));
        aval_value *mixed = aval_apply(n->g, "MatMul", NULL, aval_apply(n->g, "Softmax", "axis=-1", scores), v);
        mixed = reshape(n, aval_apply(n->g, "Transpose", "perm=[0,2,1,3]", mixed), AVAL_SHAPE(8, 64, 128));
        x = aval_apply(n->g, "Add", NULL, x, dense(n, mixed, 128, 128));
        h = aval_apply(n->g, "Relu", NULL, dense(n, layer_norm(n, x, 128), 128, 512));
        x = aval_apply(n->g, "Add", NULL, x, dense(n, h, 512, 128));
    }
    finish(n, x);
}

int bench_memory(bench *b)
{
    static const struct {
        const char *name;
        void (*build)(builder *n);
    } nets[] = { { "resnet20 batch 32", resnet }, { "unet batch 8", unet }, { "transformer batch 8", transformer } };
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        builder n = { .g = aval_graph_create(b->ctx) };
        aval_store *store = NULL;
        aval_session *s = NULL;
        char *text = NULL;
        aval_counters counters = { .size = sizeof counters };
        nets[i].build(&n);
        int status = aval_graph_status(n.g);
        if (status == 0) status = aval_store_create(b->ctx, &store);
        if (status == 0) status = aval_session_create(b->ctx, n.g, store, &s);
        if (status == 0) status = aval_session_plan_text(s, n.wanted, n.n_wanted, &text);
        if (status == 0) status = aval_session_counters(s, &counters);
        if (status == 0) {
            char shape[96];
            snprintf(shape, sizeof shape, "%s, %.1f MB alive", nets[i].name, 1e-6 * (double)counters.live_bytes);
            double ms = 1e3 * counters.plan_seconds;
            bench_row row = { .name = "memory", .shape = shape, .figure_name = "arena_over_live" };
            bench_times(&row, &ms, 1);
            row.figure = counters.live_bytes == 0 ? 0 : (double)counters.arena_bytes / (double)counters.live_bytes;
            status = bench_report(b, &row);
        }
        aval_free(text);
        aval_session_release(s);
        aval_store_release(store);
        aval_graph_release(n.g);
        if (status < 0) return status;
    }
    return 0;
}
