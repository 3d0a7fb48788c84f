/* A training step in which one OpenCL call fails, for every function and many of its calls: an error that names the call and its code, nothing
 * leaked, and the same session is right again as soon as the fault is gone. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define STEPS 2
#define MOST_CALLS 5 /* of one function that are made to fail, spread over all of a life's */

typedef struct training {
    rig r;
    aval_value *x, *target, *loss, *wanted[5];
    size_t n_wanted;
} training;

typedef struct outcome {
    float losses[STEPS], weights[12];
} outcome;

static char warnings[4096];

static void keep_warning(void *user, int level, const char *message)
{
    (void)user, (void)level;
    size_t length = strlen(warnings);
    snprintf(warnings + length, sizeof warnings - length, "%s\n", message);
}

static int set_states(aval_store *store)
{
    static const float first[12] = { .1f, -.2f, .3f, -.4f, .5f, -.6f, .7f, -.8f, .9f, -1.f, 1.1f, -1.2f };
    static const float second[6] = { .3f, -.1f, .2f, .4f, -.5f, .6f };
    AVAL__TRY(aval_store_set(store, "w0", AVAL_FLOAT, AVAL_SHAPE(4, 3), first));
    AVAL__TRY(aval_store_set(store, "w1", AVAL_FLOAT, AVAL_SHAPE(3, 2), second));
    AVAL__TRY(aval_store_fill(store, "v0", AVAL_FLOAT, AVAL_SHAPE(4, 3), 0));
    AVAL__TRY(aval_store_fill(store, "v1", AVAL_FLOAT, AVAL_SHAPE(3, 2), 0));
    return aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.5);
}

/* Two layers, a loss, and an update of each weight. */
static int build(training *t)
{
    aval_graph *g = t->r.graph;
    aval_value *w[2] = { aval_graph_state(g, "w0", AVAL_FLOAT, AVAL_SHAPE(4, 3)), aval_graph_state(g, "w1", AVAL_FLOAT, AVAL_SHAPE(3, 2)) };
    aval_value *v[2] = { aval_graph_state(g, "v0", AVAL_FLOAT, AVAL_SHAPE(4, 3)), aval_graph_state(g, "v1", AVAL_FLOAT, AVAL_SHAPE(3, 2)) };
    aval_value *lr = aval_graph_state(g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    t->x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(5, 4));
    t->target = aval_graph_input(g, "target", AVAL_INT64, AVAL_SHAPE(5));
    aval_value *hidden = aval_apply(g, "Tanh", NULL, aval_apply(g, "MatMul", NULL, t->x, w[0]));
    t->loss = aval_apply(g, "SoftmaxCrossEntropyLoss", NULL, aval_apply(g, "MatMul", NULL, hidden, w[1]), t->target);
    t->wanted[t->n_wanted++] = t->loss;
    for (int i = 0; i < 2; i++)
        t->wanted[t->n_wanted++] = aval_apply(g, "aval::Sgd", NULL, w[i], aval_graph_gradient(g, t->loss, w[i], NULL), v[i], lr);
    return aval_graph_status(g);
}

static int open_training(training *t)
{
    *t = (training){ 0 };
    warnings[0] = 0;
    AVAL__TRY(aval_context_create(&t->r.context));
    aval_context_log(t->r.context, keep_warning, NULL);
    t->r.graph = aval_graph_create(t->r.context);
    if (!t->r.graph) return AVAL_E_MEMORY;
    AVAL__TRY(aval_store_create(t->r.context, &t->r.store));
    AVAL__TRY(aval_session_create(t->r.context, t->r.graph, t->r.store, &t->r.session));
    return build(t);
}

static int train(training *t, outcome *out)
{
    float x[20];
    const int64_t target[5] = { 0, 1, 1, 0, 1 };
    for (int i = 0; i < 20; i++) x[i] = (float)(i * 7 % 11) / 5 - 1;
    AVAL__TRY(set_states(t->r.store));
    for (int step = 0; step < STEPS; step++) {
        AVAL__TRY(aval_session_feed(t->r.session, t->x, x, sizeof x, NULL));
        AVAL__TRY(aval_session_feed(t->r.session, t->target, target, sizeof target, NULL));
        AVAL__TRY(aval_session_run(t->r.session, t->wanted, t->n_wanted));
        AVAL__TRY(aval_session_read(t->r.session, t->loss, &out->losses[step], sizeof out->losses[step]));
    }
    return aval_store_get(t->r.store, "w0", out->weights, sizeof out->weights);
}

/* A whole life in which a call may fail, and a second try in the same session. */
static int live(outcome *first, outcome *second)
{
    training t;
    int status = open_training(&t);
    if (status == AVAL_OK) status = train(&t, first);
    if (status < 0 && t.n_wanted == 3 && second) {
        char message[1024];
        snprintf(message, sizeof message, "%s", aval_error());
        cr_expect_eq(train(&t, second), AVAL_OK, "after '%s': %s", message, aval_error());
        aval__fail(status, "%s", message);
    }
    rig_close(&t.r);
    return status;
}

static void fail_one(const char *function, unsigned long n, const outcome *expected)
{
    static const int codes[] = { 0, CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_AVAILABLE };
    const aval_layer *layer = rig_layer();
    outcome found, again = *expected;
    layer->reset();
    cr_assert_eq(layer->fail(function, n, codes[n % 3]), 0);
    int status = live(&found, &again);
    if (status == AVAL_OK) cr_expect_arr_eq(&found, expected, sizeof found, "%s %lu: the fault was borne, with other results", function, n);
    cr_expect_arr_eq(&again, expected, sizeof again, "%s %lu: other results after the fault", function, n);
    if (status < 0)
        cr_expect(strstr(aval_error(), function) || strstr(warnings, function), "%s %lu is not named: %s", function, n, aval_error());
    cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "%s %lu: %s: %lu made, %lu released", function, n,
                 aval_error(), layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED));
}

Test(faults, of_each_call_of_a_training_step_are_named_leak_nothing_and_pass, .timeout = 300)
{
    outcome expected;
    rig_environment(NULL);
    RIG_OK(live(&expected, NULL)); /* loads the platform, and builds */
    cr_assert_lt(expected.losses[1], expected.losses[0]);
    const aval_layer *layer = rig_layer();
    for (unsigned f = 0; layer->function(f); f++) {
        const char *function = layer->function(f);
        outcome same;
        if (strncmp(function, "clRelease", 9) == 0) continue; /* a failed release leaks by itself */
        layer->reset();
        RIG_OK(live(&same, NULL));
        unsigned long calls = layer->calls(function), stride = calls > MOST_CALLS ? calls / MOST_CALLS : 1;
        for (unsigned long n = 1; n <= calls; n += stride) fail_one(function, n, &expected);
    }
}
