/* A node's updates go together: what moves one of the states that it updates moves all. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>

TestSuite(updates, .timeout = 120);

static float stored(rig *r, const char *name)
{
    float value;
    RIG_OK(aval_store_get(r->store, name, &value, sizeof value));
    return value;
}

/* Sgd with momentum 0.5 on a gradient that is 1 everywhere; learning rate 0.25, so that all numbers are exact. */
static aval_node *make_sgd(rig *r, const char *attrs)
{
    aval_value *w = rig_state(r, "w", 1, 1), *v = rig_state(r, "v", 1, 0), *lr = rig_scalar_state(r, "lr", 0.25f);
    aval_value *g = aval_graph_constant(r->graph, AVAL_FLOAT, AVAL_SHAPE(1), &(float){ 1 });
    aval_node *node = aval_graph_node(r->graph, "Sgd", attrs, AVAL_VALUES(w, g, v, lr));
    cr_assert(node, "%s", aval_error());
    return node;
}

Test(updates, momentum_works_when_only_the_weight_is_wanted)
{
    static const float velocity[] = { 1, 1.5f, 1.75f }, weight[] = { 0.75f, 0.375f, -0.0625f };
    rig r;
    rig_open(&r);
    aval_node *node = make_sgd(&r, "momentum=0.5");
    for (int step = 0; step < 3; step++) {
        rig_run(&r, AVAL_VALUES(aval_node_output(node, 0)));
        cr_expect_eq(stored(&r, "v"), velocity[step], "step %d: velocity %g", step, (double)stored(&r, "v"));
        cr_expect_eq(stored(&r, "w"), weight[step], "step %d: weight %g", step, (double)stored(&r, "w"));
    }
    rig_close(&r);
}

Test(updates, the_weight_moves_when_only_the_velocity_is_wanted)
{
    rig r;
    rig_open(&r);
    aval_node *node = make_sgd(&r, "momentum=0.5");
    rig_run(&r, AVAL_VALUES(aval_node_output(node, 1)));
    cr_expect_eq(stored(&r, "v"), 1);
    cr_expect_eq(stored(&r, "w"), 0.75f);
    rig_close(&r);
}

Test(updates, readers_of_the_other_state_still_see_its_old_content)
{
    rig r;
    rig_open(&r);
    aval_node *node = make_sgd(&r, "momentum=0.5");
    aval_value *v = aval_graph_state(r.graph, "v", AVAL_FLOAT, AVAL_SHAPE(1));
    aval_value *reader = aval_apply(r.graph, "Add", NULL, v, v); /* made after the node that updates v */
    rig_run(&r, AVAL_VALUES(aval_node_output(node, 0), reader));
    cr_expect_eq(rig_first(&r, reader, 1), 0);
    cr_expect_eq(stored(&r, "v"), 1);
    rig_close(&r);
}

/* Training mode: mean and variance of the batch {1, 3} are 2 and 1. */
static aval_node *make_normalization(rig *r)
{
    aval_value *x = aval_graph_constant(r->graph, AVAL_FLOAT, AVAL_SHAPE(2, 1), (float[]){ 1, 3 });
    aval_value *scale = rig_state(r, "scale", 1, 1), *bias = rig_state(r, "bias", 1, 0);
    aval_value *mean = rig_state(r, "mean", 1, 0), *variance = rig_state(r, "variance", 1, 0);
    aval_node *node =
        aval_graph_node(r->graph, "BatchNormalization", "training_mode=1 momentum=0.5", AVAL_VALUES(x, scale, bias, mean, variance));
    cr_assert(node, "%s", aval_error());
    return node;
}

Test(updates, running_mean_and_variance_go_together_and_the_result_alone_moves_neither)
{
    rig r;
    rig_open(&r);
    aval_node *node = make_normalization(&r);
    rig_run(&r, AVAL_VALUES(aval_node_output(node, 0)));
    cr_expect_eq(stored(&r, "mean"), 0);
    cr_expect_eq(stored(&r, "variance"), 0);
    rig_run(&r, AVAL_VALUES(aval_node_output(node, 1)));
    cr_expect_float_eq(stored(&r, "mean"), 1, 1e-6);
    cr_expect_float_eq(stored(&r, "variance"), 0.5, 1e-6);
    rig_close(&r);
}
