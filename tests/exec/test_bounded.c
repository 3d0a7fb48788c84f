/* Training within a bound of memory: the same bits as without, whatever is computed again. */
#include "exec/rig.h"
#include "vendors/nets.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 5

TestSuite(bounded, .timeout = 120);

/* ---- Nets: those of tests/vendors, and two without their blocks ------------------------------------------------------------------- */

static aval_value *weight(net *n, size_t rank, const int64_t *dims)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_parameters);
    return n->parameters[n->n_parameters++] = aval_graph_state(n->g, name, AVAL_FLOAT, rank, dims);
}

static aval_value *dense(net *n, aval_value *x, int64_t in, int64_t out)
{
    aval_value *w = weight(n, AVAL_SHAPE(in, out)), *b = weight(n, 1, &out);
    return aval_apply(n->g, "Add", NULL, aval_apply(n->g, "MatMul", NULL, x, w), b);
}

static void finish(net *n, aval_value *y)
{
    aval_value *loss = aval_apply(n->g, "ReduceMean", "keepdims=0", aval_apply(n->g, "Mul", NULL, y, y));
    aval_value *rate = aval_graph_state(n->g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    n->wanted[n->n_wanted++] = loss;
    for (size_t i = 0; i < n->n_parameters; i++) {
        aval_value *w = n->parameters[i];
        char name[32];
        snprintf(name, sizeof name, "v%zu", i);
        aval_value *velocity = aval_graph_state(n->g, name, AVAL_FLOAT, (size_t)aval_value_rank(w), aval_value_dims(w));
        n->wanted[n->n_wanted++] =
            aval_apply(n->g, "aval::Sgd", "momentum=0.9", w, aval_graph_gradient(n->g, loss, w, NULL), velocity, rate);
    }
}

/* With dropout, whose numbers come from a state that it updates. */
static void mlp(net *n, int type)
{
    const int64_t width = 32;
    aval_value *x = aval_graph_input(n->g, "x", type, AVAL_SHAPE(64, width));
    for (int i = 0; i < 5; i++) x = aval_apply(n->g, "Tanh", NULL, dense(n, x, width, width));
    aval_value *numbers = aval_graph_state(n->g, "numbers", AVAL_INT64, AVAL_SHAPE(2));
    aval_value *drop[] = { x, aval_graph_number(n->g, AVAL_FLOAT, 0.5), aval_graph_constant(n->g, AVAL_BOOL, AVAL_SCALAR, &(uint8_t){ 1 }),
                           numbers };
    aval_node *dropped = aval_graph_node(n->g, "Dropout", NULL, drop, 4);
    finish(n, dense(n, aval_node_output(dropped, 0), width, 4));
    n->wanted[n->n_wanted++] = aval_node_output(dropped, 2);
}

static void lenet(net *n, int type)
{
    aval_value *x = aval_graph_input(n->g, "x", type, AVAL_SHAPE(8, 1, 16, 16));
    for (int64_t i = 0, channels = 1; i < 2; i++, channels = 8 * i) {
        x = aval_apply(n->g, "Conv", "pads=[2,2,2,2]", x, weight(n, AVAL_SHAPE(8 * (i + 1), channels, 5, 5)));
        x = aval_apply(n->g, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", aval_apply(n->g, "Relu", NULL, x));
    }
    x = aval_apply(n->g, "Flatten", NULL, x);
    finish(n, dense(n, aval_apply(n->g, "Relu", NULL, dense(n, x, 16 * 4 * 4, 32)), 32, 10));
}

/* ---- Runs -------------------------------------------------------------------------------------------------------------------------- */

typedef struct training {
    aval_context *context;
    aval_store *store;
    aval_session *session;
    net n;
} training;

static void fill_state(aval_store *store, const aval_value *state)
{
    const char *name = aval_value_name(state);
    size_t rank = (size_t)aval_value_rank(state);
    const int64_t *dims = aval_value_dims(state);
    bool weight_of_net = name[0] == 'w';
    if (weight_of_net) RIG_OK(aval_store_random(store, name, AVAL_FLOAT, rank, dims, AVAL_INIT_NORMAL, 0.2, 7));
    else if (strcmp(name, "lr") == 0) RIG_OK(aval_store_fill(store, name, AVAL_FLOAT, rank, dims, 0.05));
    else RIG_OK(aval_store_fill(store, name, aval_value_type(state), rank, dims, strncmp(name, "variance", 8) == 0));
}

static void open_training(training *t, void (*build)(net *n, int type))
{
    *t = (training){ 0 };
    rig_environment(NULL);
    RIG_OK(aval_context_create(&t->context));
    RIG_OK(aval_store_create(t->context, &t->store));
    t->n.g = aval_graph_create(t->context);
    build(&t->n, AVAL_FLOAT);
    RIG_OK(aval_graph_status(t->n.g));
    aval_value **states;
    size_t n_states;
    RIG_OK(aval_graph_states(t->n.g, t->n.wanted, t->n.n_wanted, &states, &n_states));
    for (size_t i = 0; i < n_states; i++) fill_state(t->store, states[i]);
    aval_free(states);
    RIG_OK(aval_session_create(t->context, t->n.g, t->store, &t->session));
    aval_value *x = aval_graph_find(t->n.g, "x");
    size_t count = 1;
    for (int i = 0; i < aval_value_rank(x); i++) count *= (size_t)aval_value_dims(x)[i];
    float *data = calloc(count, sizeof *data);
    cr_assert(data);
    for (size_t i = 0; i < count; i++) data[i] = (float)((i * 7919) % 1000) / 500 - 1;
    RIG_OK(aval_session_feed(t->session, x, data, count * sizeof *data, NULL));
    free(data);
}

static void close_training(training *t)
{
    aval_session_release(t->session);
    aval_store_release(t->store);
    aval_graph_release(t->n.g);
    aval_context_release(t->context);
}

static aval_counters take_steps(training *t)
{
    aval_counters counters = { .size = sizeof counters };
    for (int i = 0; i < STEPS; i++) RIG_OK(aval_session_run(t->session, t->n.wanted, t->n.n_wanted));
    RIG_OK(aval_session_counters(t->session, &counters));
    return counters;
}

static void expect_same_bits(training *a, training *b)
{
    static unsigned char x[1 << 20], y[1 << 20];
    cr_assert_eq(aval_store_count(a->store), aval_store_count(b->store));
    for (size_t i = 0; i < aval_store_count(a->store); i++) {
        const char *name = aval_store_name(a->store, i);
        int64_t dims[AVAL_MAX_RANK];
        size_t rank, bytes;
        int type;
        RIG_OK(aval_store_shape(a->store, name, &type, &rank, dims));
        bytes = aval_type_bytes(type);
        for (size_t k = 0; k < rank; k++) bytes *= (size_t)dims[k];
        cr_assert_leq(bytes, sizeof x);
        RIG_OK(aval_store_get(a->store, name, x, bytes));
        RIG_OK(aval_store_get(b->store, name, y, bytes));
        cr_assert_eq(memcmp(x, y, bytes), 0, "%s", name);
    }
}

static uint64_t least_bound(training *t)
{
    unsigned long long least = 0;
    RIG_OK(aval_session_set_memory_bound(t->session, 1));
    cr_assert_eq(aval_session_run(t->session, t->n.wanted, t->n.n_wanted), AVAL_E_DEVICE_MEMORY);
    const char *said = strstr(aval_error(), "at least ");
    cr_assert(said != NULL && sscanf(said, "at least %llu", &least) == 1, "%s", aval_error());
    return least;
}

/* With the least memory, and with a bound in the middle. */
static void check_net(void (*build)(net *n, int type))
{
    training whole;
    setenv("AVAL_JOINS", "0", 1); /* bounded plans have none, and this compares how much memory both need */
    open_training(&whole, build);
    aval_counters all = take_steps(&whole);
    cr_assert_eq(all.recomputed, 0);
    for (int i = 0; i < 2; i++) {
        training bounded;
        open_training(&bounded, build);
        uint64_t least = least_bound(&bounded), bound = i == 0 ? least : (least + all.arena_bytes) / 2;
        cr_assert_lt(least, all.arena_bytes);
        RIG_OK(aval_session_set_memory_bound(bounded.session, bound));
        aval_counters counters = take_steps(&bounded);
        cr_assert_leq(counters.arena_bytes, bound);
        cr_assert_eq(counters.unbounded_arena_bytes, all.arena_bytes);
        cr_assert(counters.recomputed > 0 && counters.recomputed_share > 0);
        cr_assert_gt(counters.launches, all.launches);
        expect_same_bits(&whole, &bounded);
        close_training(&bounded);
    }
    close_training(&whole);
}

Test(bounded, an_mlp_with_dropout_learns_the_same_bits)
{
    check_net(mlp);
}

Test(bounded, a_lenet_learns_the_same_bits)
{
    check_net(lenet);
}

Test(bounded, a_residual_net_with_batch_norm_learns_the_same_bits)
{
    check_net(net_cases[0].build);
}

Test(bounded, a_transformer_learns_the_same_bits)
{
    check_net(net_cases[2].build);
}
