/* Networks that PyTorch exported, loss included, train on here: over 20 steps the loss is PyTorch's within 1e-4 of it.  tests/onnx/curves.py
 * made the files, and says what stands in them. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST 128

typedef struct curve {
    rig r;
    aval_model *model;
    aval_session *session;
    aval_graph *graph;
    aval_store *store;
    char optimizer[16];
    float lr, momentum;
    aval_value *wanted[MOST];
    size_t n_wanted;
    int64_t modulus[4];
    int is_float[4];
    size_t n_inputs;
    double losses[32];
    size_t n_losses;
} curve;

/* A state of the optimiser, zero at first. */
static aval_value *moment(curve *c, const aval_value *weight, const char *kind)
{
    char name[300];
    snprintf(name, sizeof name, "%s/%s", kind, aval_value_name(weight));
    size_t rank = (size_t)aval_value_rank(weight);
    RIG_OK(aval_store_fill(c->store, name, AVAL_FLOAT, rank, aval_value_dims(weight), 0));
    return aval_graph_state(c->graph, name, AVAL_FLOAT, rank, aval_value_dims(weight));
}

static aval_value *number(curve *c, const char *name, int type, double value)
{
    RIG_OK(aval_store_fill(c->store, name, type, AVAL_SCALAR, value));
    return aval_graph_state(c->graph, name, type, AVAL_SCALAR);
}

static aval_value *step_of(curve *c, aval_value *weight, aval_value *gradient)
{
    char attrs[64];
    aval_value *lr = number(c, "lr", AVAL_FLOAT, c->lr);
    if (strcmp(c->optimizer, "adam") == 0) {
        aval_value *steps = number(c, "steps", AVAL_INT64, 1);
        return aval_apply(c->graph, "aval::Adam", "epsilon=1e-8", lr, steps, weight, gradient, moment(c, weight, "velocity"),
                          moment(c, weight, "square"));
    }
    snprintf(attrs, sizeof attrs, "momentum=0.%d", (int)lroundf(c->momentum * 10));
    return aval_apply(c->graph, "aval::Sgd", attrs, weight, gradient, moment(c, weight, "velocity"), lr);
}

static void read_line(curve *c, const char *line)
{
    char name[200], kind[16], dims[64];
    long modulus;
    double loss;
    if (sscanf(line, "optimizer sgd lr=%f momentum=%f", &c->lr, &c->momentum) == 2) strcpy(c->optimizer, "sgd");
    else if (sscanf(line, "optimizer adam lr=%f", &c->lr) == 1) strcpy(c->optimizer, "adam");
    else if (sscanf(line, "input %199s %15s %63s %ld", name, kind, dims, &modulus) == 4) {
        c->modulus[c->n_inputs] = modulus;
        c->is_float[c->n_inputs++] = strcmp(kind, "float") == 0;
    } else if (sscanf(line, "weight %199s", name) == 1) {
        aval_value *weight = aval_graph_find(c->graph, name);
        cr_assert(weight && c->n_wanted < MOST, "the model has no weight '%s'", name);
        c->wanted[c->n_wanted++] = step_of(c, weight, aval_graph_gradient(c->graph, c->wanted[0], weight, NULL));
    } else if (sscanf(line, "loss %lf", &loss) == 1) {
        c->losses[c->n_losses++] = loss;
    } else {
        cr_assert_fail("a line that is none: %s", line);
    }
}

static void open_curve(curve *c, const char *name)
{
    char file[600], line[300];
    rig_open(&c->r);
    snprintf(file, sizeof file, AVAL_TEST_SOURCE_DIR "/tests/onnx/curves/%s.onnx", name);
    RIG_OK(aval_model_load(c->r.context, file, &c->model));
    c->graph = aval_model_graph(c->model);
    c->store = aval_model_store(c->model);
    c->wanted[c->n_wanted++] = aval_model_output(c->model, 0);
    strcpy(file + strlen(file) - strlen("onnx"), "txt");
    FILE *in = fopen(file, "r");
    cr_assert_not_null(in, "%s", file);
    while (fgets(line, sizeof line, in)) read_line(c, line);
    fclose(in);
    if (strcmp(c->optimizer, "adam") == 0)
        c->wanted[c->n_wanted++] =
            aval_apply(c->graph, "aval::Accumulate", NULL, aval_graph_find(c->graph, "steps"), aval_graph_number(c->graph, AVAL_INT64, 1));
    RIG_OK(aval_graph_status(c->graph));
    RIG_OK(aval_session_create(c->r.context, c->graph, c->store, &c->session));
    cr_assert(c->n_losses == 20 && c->n_inputs == aval_model_input_count(c->model));
}

static void feed(curve *c, size_t k, int64_t step)
{
    static float reals[4096];
    static int64_t numbers[4096];
    const aval_value *input = aval_model_input(c->model, k);
    int64_t count = 1, modulus = c->modulus[k];
    for (int d = 0; d < aval_value_rank(input); d++) count *= aval_value_dims(input)[d];
    cr_assert(count > 0 && count <= 4096);
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = (7919 * i + 104729 * step + 31 * (int64_t)k) % modulus;
        reals[i] = (float)numbers[i] / (float)modulus * 2 - 1;
    }
    if (c->is_float[k]) RIG_OK(aval_session_feed(c->session, input, reals, (size_t)count * sizeof *reals, NULL));
    else RIG_OK(aval_session_feed(c->session, input, numbers, (size_t)count * sizeof *numbers, NULL));
}

static void expect_curve(const char *name)
{
    curve c = { .n_wanted = 0 };
    double worst = 0;
    open_curve(&c, name);
    for (size_t step = 0; step < c.n_losses; step++) {
        float loss;
        for (size_t k = 0; k < c.n_inputs; k++) feed(&c, k, (int64_t)step);
        RIG_OK(aval_session_run(c.session, c.wanted, c.n_wanted));
        RIG_OK(aval_session_read(c.session, c.wanted[0], &loss, sizeof loss));
        double off = fabs(loss - c.losses[step]) / fabs(c.losses[step]);
        worst = off > worst || isnan(off) ? off : worst;
        cr_expect(off <= 1e-4, "%s, step %zu: loss %.9g, PyTorch has %.9g", name, step, loss, c.losses[step]);
    }
    cr_log_info("%s: within %.2g of PyTorch's losses\n", name, worst);
    aval_session_release(c.session);
    aval_model_release(c.model);
    rig_close(&c.r);
}

TestSuite(curves, .timeout = 120);

Test(curves, an_mlp_trains_as_in_pytorch)
{
    expect_curve("mlp");
}

Test(curves, a_convolutional_net_with_batch_norm_and_residual_links_trains_as_in_pytorch)
{
    expect_curve("cnn");
}

Test(curves, an_lstm_trains_as_in_pytorch)
{
    expect_curve("lstm");
}

Test(curves, a_transformer_trains_as_in_pytorch)
{
    expect_curve("transformer");
}

Test(curves, a_u_net_trains_as_in_pytorch)
{
    expect_curve("unet");
}
