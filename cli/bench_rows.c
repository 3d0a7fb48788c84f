/* Benchmarks of operators that the memory's bandwidth bounds where their arithmetic is cheap enough: a chain of an activation, softmax, normalisations and a
 * loss, forward alone and with all gradients.  The sizes are those of transformers and convolutional networks; tests/bench/peers times
 * PyTorch on the same. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_INPUTS 4

/* An operator of one tensor x, with gradients by x and by what else has `dims`. */
typedef struct row_case {
    const char *name;
    size_t rank;
    int64_t dims[4];
    size_t queued; /* runs that are enqueued before they are waited for */
    size_t n_states;
    const char *states[2]; /* of dims[1] elements, 1 at first */
    aval_value *(*build)(aval_graph *g, const struct row_case *c, aval_value **inputs, size_t *n_inputs); /* inputs[0] is x */
} row_case;

static aval_value *feed_of(aval_graph *g, const char *name, int64_t count)
{
    return aval_graph_input(g, name, AVAL_FLOAT, AVAL_SHAPE(count));
}

/* relu(tanh(x) w + b): one launch. */
static aval_value *build_activation(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    (void)c;
    inputs[1] = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SCALAR);
    inputs[2] = aval_graph_input(g, "b", AVAL_FLOAT, AVAL_SCALAR);
    *n_inputs = 3;
    return aval_apply(g, "Relu", NULL,
                      aval_apply(g, "Add", NULL, aval_apply(g, "Mul", NULL, aval_apply(g, "Tanh", NULL, inputs[0]), inputs[1]), inputs[2]));
}

static aval_value *build_softmax(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    (void)c;
    *n_inputs = 1;
    return aval_apply(g, "Softmax", "axis=-1", inputs[0]);
}

static aval_value *build_layer_norm(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = feed_of(g, "scale", c->dims[1]);
    inputs[2] = feed_of(g, "bias", c->dims[1]);
    *n_inputs = 3;
    return aval_apply(g, "LayerNormalization", "axis=-1", inputs[0], inputs[1], inputs[2]);
}

static aval_value *normalise_batch(aval_graph *g, const row_case *c, aval_value *x, aval_value **inputs)
{
    inputs[1] = feed_of(g, "scale", c->dims[1]);
    inputs[2] = feed_of(g, "bias", c->dims[1]);
    aval_value *mean = aval_graph_state(g, "mean", AVAL_FLOAT, AVAL_SHAPE(c->dims[1])),
               *var = aval_graph_state(g, "var", AVAL_FLOAT, AVAL_SHAPE(c->dims[1]));
    return aval_apply(g, "BatchNormalization", "training_mode=1", x, inputs[1], inputs[2], mean, var);
}

static aval_value *build_batch_norm(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    *n_inputs = 3;
    return normalise_batch(g, c, inputs[0], inputs);
}

/* Of two branches' sum. */
static aval_value *build_residual_batch_norm(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[3] = aval_graph_input(g, "residual", AVAL_FLOAT, c->rank, c->dims);
    *n_inputs = 4;
    return normalise_batch(g, c, aval_apply(g, "Add", NULL, inputs[0], inputs[3]), inputs);
}

/* The mean of a loss by constant labels; classes are along axis 1. */
static aval_value *apply_loss(aval_graph *g, const row_case *c, const char *op, aval_value *scores)
{
    int64_t dims[4] = { c->dims[0] }, count = c->dims[0];
    for (size_t i = 2; i < c->rank; i++) dims[i - 1] = c->dims[i], count *= c->dims[i];
    int64_t *labels = malloc((size_t)count * sizeof *labels);
    if (labels == NULL) return NULL;
    for (int64_t i = 0; i < count; i++) labels[i] = i * 7 % c->dims[1];
    aval_value *of = aval_graph_constant(g, AVAL_INT64, c->rank - 1, dims, labels);
    free(labels);
    return aval_apply(g, op, NULL, scores, of);
}

static aval_value *build_loss(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    *n_inputs = 1;
    return apply_loss(g, c, "SoftmaxCrossEntropyLoss", inputs[0]);
}

/* The sum of what two nets say. */
static aval_value *build_ensemble_loss(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = aval_graph_input(g, "other", AVAL_FLOAT, c->rank, c->dims);
    *n_inputs = 2;
    return apply_loss(g, c, "SoftmaxCrossEntropyLoss", aval_apply(g, "Add", NULL, inputs[0], inputs[1]));
}

/* Of probabilities; x is above 0. */
static aval_value *build_likelihood(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    *n_inputs = 1;
    return apply_loss(g, c, "NegativeLogLikelihoodLoss", aval_apply(g, "Log", NULL, aval_apply(g, "Sigmoid", NULL, inputs[0])));
}

/* Shares of channels at each pixel, from scores with a bias a channel. */
static aval_value *build_pixel_softmax(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = aval_graph_input(g, "bias", AVAL_FLOAT, 3, (const int64_t[]){ c->dims[1], 1, 1 });
    *n_inputs = 2;
    return aval_apply(g, "Softmax", "axis=1", aval_apply(g, "Add", NULL, inputs[0], inputs[1]));
}

static aval_value *build_channel_softmax(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    (void)c;
    *n_inputs = 1;
    return aval_apply(g, "Softmax", "axis=1", inputs[0]);
}

/* The mean of (x - target)^2. */
static aval_value *build_squared_error(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = feed_of(g, "target", c->dims[0]);
    *n_inputs = 2;
    aval_value *d = aval_apply(g, "Sub", NULL, inputs[0], inputs[1]);
    return aval_apply(g, "ReduceMean", "keepdims=0", aval_apply(g, "Mul", NULL, d, d));
}

/* A sum of two, normalised as behind a residual connection. */
static aval_value *build_residual_norm(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = feed_of(g, "scale", c->dims[1]);
    inputs[2] = feed_of(g, "bias", c->dims[1]);
    inputs[3] = aval_graph_input(g, "residual", AVAL_FLOAT, c->rank, c->dims);
    *n_inputs = 4;
    return aval_apply(g, "LayerNormalization", "axis=-1", aval_apply(g, "Add", NULL, inputs[0], inputs[3]), inputs[1], inputs[2]);
}

/* Scores divided by a number, and masked, as attention has them. */
static aval_value *build_masked_softmax(aval_graph *g, const row_case *c, aval_value **inputs, size_t *n_inputs)
{
    inputs[1] = feed_of(g, "mask", c->dims[1]);
    inputs[2] = aval_graph_input(g, "divisor", AVAL_FLOAT, AVAL_SCALAR);
    *n_inputs = 3;
    return aval_apply(g, "Softmax", "axis=-1", aval_apply(g, "Add", NULL, aval_apply(g, "Div", NULL, inputs[0], inputs[2]), inputs[1]));
}

static const row_case cases[] = {
    { "squared_error", 1, { 16 << 20 }, 1, 0, { 0 }, build_squared_error },
    { "masked_softmax", 2, { 512, 1024 }, 8, 0, { 0 }, build_masked_softmax },
    { "residual_norm", 2, { 4096, 256 }, 8, 0, { 0 }, build_residual_norm },
    { "pixel_softmax", 4, { 8, 21, 128, 128 }, 8, 0, { 0 }, build_pixel_softmax },
    { "channel_softmax", 4, { 8, 21, 128, 128 }, 8, 0, { 0 }, build_channel_softmax },
    { "ensemble_loss", 2, { 1024, 1000 }, 8, 0, { 0 }, build_ensemble_loss },
    { "likelihood", 2, { 1024, 1000 }, 8, 0, { 0 }, build_likelihood },
    { "activation", 1, { 16 << 20 }, 1, 0, { 0 }, build_activation },
    { "softmax", 2, { 512, 1024 }, 8, 0, { 0 }, build_softmax },
    { "softmax", 2, { 4096, 128 }, 8, 0, { 0 }, build_softmax },
    { "layer_norm", 2, { 4096, 256 }, 8, 0, { 0 }, build_layer_norm },
    { "batch_norm", 4, { 32, 64, 32, 32 }, 8, 2, { "mean", "var" }, build_batch_norm },
    { "residual_batch_norm", 4, { 32, 64, 32, 32 }, 8, 2, { "mean", "var" }, build_residual_batch_norm },
    { "cross_entropy", 2, { 1024, 1000 }, 8, 0, { 0 }, build_loss },
    { "pixel_loss", 4, { 8, 21, 128, 128 }, 8, 0, { 0 }, build_loss },
};

static int64_t count_of(const aval_value *v)
{
    int64_t count = 1;
    for (int i = 0; i < aval_value_rank(v); i++) count *= aval_value_dims(v)[i];
    return count;
}

static void describe(const row_case *c, const char *what, char *text, size_t room)
{
    int length = 0;
    for (size_t i = 0; i < c->rank; i++)
        length += snprintf(text + length, room - (size_t)length, "%s%lld", i > 0 ? " x " : "", (long long)c->dims[i]);
    snprintf(text + length, room - (size_t)length, ", %s", what);
}

/* Times what is wanted and says how many gigabytes a second that is if x, and with `backward` the upstream gradient, is read once and each result
   is written once. */
static int time_wanted(bench *b, const row_case *c, aval_session *s, aval_value *const *wanted, size_t n, const char *what, int backward)
{
    char shape[64];
    bench_row row = { .name = c->name, .shape = shape };
    describe(c, what, shape, sizeof shape);
    int status = bench_time_runs(s, wanted, n, c->queued, &row);
    double elements = (double)count_of(wanted[0]);
    int64_t x = 1;
    for (size_t i = 0; i < c->rank; i++) x *= c->dims[i];
    elements += (double)x;
    if (backward) elements += (double)x + (double)count_of(wanted[0]);
    if (status == 0) row.gbytes_per_s = 4e-6 * elements / row.median_ms;
    return status == 0 ? bench_report(b, &row) : status;
}

static int run_case(bench *b, const row_case *c)
{
    aval_value *inputs[MOST_INPUTS + 1], *wanted[MOST_INPUTS + 1];
    aval_graph *g = aval_graph_create(b->ctx);
    aval_store *store = NULL;
    aval_session *s = NULL;
    size_t n = 0;
    inputs[0] = aval_graph_input(g, "x", AVAL_FLOAT, c->rank, c->dims);
    wanted[0] = c->build(g, c, inputs, &n);
    int status = aval_graph_status(g);
    if (status < 0 || wanted[0] == NULL) goto done;
    aval_value *upstream = aval_graph_input(g, "upstream", AVAL_FLOAT, (size_t)aval_value_rank(wanted[0]), aval_value_dims(wanted[0]));
    for (size_t i = 0; i < n; i++) wanted[1 + i] = aval_graph_gradient(g, wanted[0], inputs[i], upstream);
    status = aval_graph_status(g);
    if (status == 0) status = aval_store_create(b->ctx, &store);
    for (size_t i = 0; status == 0 && i < c->n_states; i++)
        status = aval_store_fill(store, c->states[i], AVAL_FLOAT, AVAL_SHAPE(c->dims[1]), 1);
    if (status == 0) status = aval_session_create(b->ctx, g, store, &s);
    for (size_t i = 0; status == 0 && i < n; i++) status = bench_feed(s, inputs[i], (size_t)count_of(inputs[i]));
    if (status == 0) status = bench_feed(s, upstream, (size_t)count_of(upstream));
    if (status == 0) status = time_wanted(b, c, s, wanted, 1, "forward", 0);
    if (status == 0) status = time_wanted(b, c, s, wanted, 1 + n, "both ways", 1);
done:
    aval_session_release(s);
    aval_store_release(store);
    aval_graph_release(g);
    return status;
}

int bench_rows(bench *b)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof cases / sizeof *cases; i++) status = run_case(b, &cases[i]);
    return status;
}
