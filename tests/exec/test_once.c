/* What is computed of weights alone: in the first run, and again when, and only when, these may have changed. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N = 64 };

static aval_context *context;
static aval_store *store;
static aval_graph *g;
static aval_session *s;
static aval_value *x, *w, *y, *turned;
static float x_data[N * N];
static uint8_t w_data[N * N];

/* y = x turn(0.5 (w - 3)): weights of 8 bits. */
static void open_weights(void)
{
    rig_environment(NULL);
    RIG_OK(aval_context_create(&context));
    RIG_OK(aval_context_profile(context));
    RIG_OK(aval_store_create(context, &store));
    g = aval_graph_create(context);
    for (int i = 0; i < N * N; i++) {
        x_data[i] = (float)(i % 7);
        w_data[i] = (uint8_t)(i % 5);
    }
    RIG_OK(aval_store_set(store, "w", AVAL_UINT8, AVAL_SHAPE(N, N), w_data));
    x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(N, N));
    w = aval_graph_state(g, "w", AVAL_UINT8, AVAL_SHAPE(N, N));
    const uint8_t zero = 3;
    turned = aval_apply(g, "Transpose", NULL,
                        aval_apply(g, "DequantizeLinear", NULL, w, aval_graph_number(g, AVAL_FLOAT, 0.5),
                                   aval_graph_constant(g, AVAL_UINT8, AVAL_SCALAR, &zero)));
    y = aval_apply(g, "MatMul", NULL, x, turned);
    RIG_OK(aval_session_create(context, g, store, &s));
    RIG_OK(aval_session_feed(s, x, x_data, sizeof x_data, NULL));
}

static void close_weights(void)
{
    aval_session_release(s);
    aval_graph_release(g);
    aval_store_release(store);
    aval_context_release(context);
}

TestSuite(once, .init = open_weights, .fini = close_weights);

static void count(void *user, const aval_profile_entry *entry)
{
    (void)entry;
    ++*(size_t *)user;
}

/* Runs with other numbers each time, and tells how many commands there were; the result must be of what w holds now. */
static size_t run(aval_value *wanted)
{
    static float turn;
    float found[N * N];
    size_t commands = 0;
    turn++;
    for (int i = 0; i < N * N; i++) x_data[i] = (float)(i % 7) + turn;
    RIG_OK(aval_session_feed(s, x, x_data, sizeof x_data, NULL));
    RIG_OK(aval_session_run(s, AVAL_VALUES(wanted)));
    RIG_OK(aval_session_profile(s, count, &commands));
    RIG_OK(aval_session_read(s, wanted, found, sizeof found));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            float sum = wanted == turned ? 0.5f * (float)(w_data[j * N + i] - 3) : 0;
            for (int p = 0; p < N && wanted == y; p++) sum += x_data[i * N + p] * 0.5f * (float)(w_data[j * N + p] - 3);
            cr_assert_float_eq(found[i * N + j], sum, 1e-2, "row %d, column %d: found %g, expected %g", i, j, found[i * N + j], sum);
        }
    }
    return commands;
}

Test(once, what_is_made_of_a_weight_alone_is_made_in_the_first_run_and_again_when_it_was_set)
{
    size_t first = run(y), second = run(y);
    cr_expect_lt(second, first, "%zu and %zu commands", first, second);
    cr_expect_eq(run(y), second);
    for (int i = 0; i < N * N; i++) w_data[i] = (uint8_t)(i % 4);
    RIG_OK(aval_store_set(store, "w", AVAL_UINT8, AVAL_SHAPE(N, N), w_data));
    cr_expect_eq(run(y), first);
    cr_expect_eq(run(y), second);
}

Test(once, what_is_wanted_is_made_in_each_run)
{
    size_t first = run(turned);
    cr_expect_gt(first, 0);
    cr_expect_gt(run(turned), 0);
}

/* A state that the plan itself updates is another in each run: p becomes 0, z is x times the sums of p's rows. */
Test(once, what_is_made_of_a_state_that_the_plan_updates_is_made_in_each_run)
{
    float found[N * N];
    RIG_OK(aval_store_fill(store, "v", AVAL_FLOAT, AVAL_SHAPE(N, N), 0));
    RIG_OK(aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 1));
    RIG_OK(aval_store_fill(store, "p", AVAL_FLOAT, AVAL_SHAPE(N, N), 2));
    aval_value *p = aval_graph_state(g, "p", AVAL_FLOAT, AVAL_SHAPE(N, N)), *v = aval_graph_state(g, "v", AVAL_FLOAT, AVAL_SHAPE(N, N));
    const int64_t axis = 1;
    aval_value *sums = aval_apply(g, "ReduceSum", NULL, p, aval_graph_constant(g, AVAL_INT64, AVAL_SHAPE(1), &axis));
    aval_value *z = aval_apply(g, "Mul", NULL, x, sums);
    aval_value *step = aval_apply(g, "aval::Sgd", NULL, p, p, v, aval_graph_state(g, "lr", AVAL_FLOAT, AVAL_SCALAR));
    for (int turn = 0; turn < 3; turn++) {
        RIG_OK(aval_session_run(s, AVAL_VALUES(z, step)));
        RIG_OK(aval_session_read(s, z, found, sizeof found));
        for (int i = 0; i < N * N; i++)
            cr_assert_float_eq(found[i], turn == 0 ? 2 * N * x_data[i] : 0, 1e-3, "run %d, element %d: found %g", turn, i, found[i]);
    }
}
