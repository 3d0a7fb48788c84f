/* Random tensors: their distribution, and that a state moves on while a seed stays. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

TestSuite(draws, .timeout = 120);

#define COUNT 100000

static aval_value *draw(rig *r, const char *op, const char *attrs, aval_value *state, aval_value **next)
{
    aval_node *node = aval_graph_node(r->graph, op, attrs, &state, state != NULL);
    cr_assert(node, "%s", aval_error());
    *next = aval_node_output(node, 1);
    return aval_node_output(node, 0);
}

static void read_all(rig *r, aval_value *y, float *data)
{
    RIG_OK(aval_session_read(r->session, y, data, COUNT * sizeof *data));
}

/* Within 5 standard deviations of what so many independent numbers give. */
static void expect_moments(const float *x, double mean, double variance, double fourth)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) sum += (double)x[i];
    for (int i = 0; i < COUNT; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    cr_expect(fabs(sum / COUNT - mean) < 5 * sqrt(variance / COUNT), "mean %g, expected %g", sum / COUNT, mean);
    cr_expect(fabs(squares / COUNT - variance) < 5 * sqrt((fourth - variance * variance) / COUNT), "variance %g, expected %g",
              squares / COUNT, variance);
}

Test(draws, have_the_moments_of_their_distributions)
{
    static float x[COUNT];
    rig r;
    aval_value *next;
    rig_open(&r);
    aval_value *uniform = draw(&r, "RandomUniform", "shape=[100000] low=-1 high=3 seed=3", NULL, &next);
    aval_value *normal = draw(&r, "RandomNormal", "shape=[100000] mean=2 scale=0.5 seed=3", NULL, &next);
    rig_run(&r, AVAL_VALUES(uniform, normal));
    read_all(&r, uniform, x);
    expect_moments(x, 1, 16.0 / 12, 256.0 / 80);
    for (int i = 0; i < COUNT; i++) cr_assert(x[i] >= -1 && x[i] <= 3);
    read_all(&r, normal, x);
    expect_moments(x, 2, 0.25, 3 * 0.0625);
    rig_close(&r);
}

Test(draws, a_state_moves_on_at_each_run_and_can_be_set_back)
{
    static float first[COUNT], second[COUNT], again[COUNT];
    static const int64_t start[2] = { 11, 5 };
    int64_t state[2];
    rig r;
    aval_value *next;
    rig_open(&r);
    RIG_OK(aval_store_set(r.store, "noise", AVAL_INT64, AVAL_SHAPE(2), start));
    aval_value *noise = aval_graph_state(r.graph, "noise", AVAL_INT64, AVAL_SHAPE(2));
    aval_value *y = draw(&r, "RandomNormal", "shape=[100000]", noise, &next);
    rig_run(&r, AVAL_VALUES(y, next));
    read_all(&r, y, first);
    rig_run(&r, AVAL_VALUES(y, next));
    read_all(&r, y, second);
    RIG_OK(aval_store_get(r.store, "noise", state, sizeof state));
    cr_expect_eq(state[0], 11);
    cr_expect_eq(state[1], 7);
    cr_expect_neq(memcmp(first, second, sizeof first), 0);
    RIG_OK(aval_store_set(r.store, "noise", AVAL_INT64, AVAL_SHAPE(2), start));
    rig_run(&r, AVAL_VALUES(y, next));
    read_all(&r, y, again);
    cr_expect_eq(memcmp(first, again, sizeof first), 0);
    rig_close(&r);
}

Test(draws, classes_come_as_often_as_their_weights_say)
{
    static int32_t chosen[COUNT];
    int counts[3] = { 0 };
    const float logarithms[3] = { logf(0.2f), logf(0.5f), logf(0.3f) };
    rig r;
    rig_open(&r);
    aval_value *x = aval_graph_constant(r.graph, AVAL_FLOAT, AVAL_SHAPE(1, 3), logarithms);
    aval_value *y = aval_apply(r.graph, "Multinomial", "sample_size=100000", x);
    rig_run(&r, AVAL_VALUES(y));
    RIG_OK(aval_session_read(r.session, y, chosen, sizeof chosen));
    for (int i = 0; i < COUNT; i++) {
        cr_assert(chosen[i] >= 0 && chosen[i] < 3);
        counts[chosen[i]]++;
    }
    for (int c = 0; c < 3; c++) {
        double p = exp((double)logarithms[c]);
        cr_expect(fabs(counts[c] - COUNT * p) < 5 * sqrt(COUNT * p * (1 - p)), "class %d: %d of %d", c, counts[c], COUNT);
    }
    rig_close(&r);
}
