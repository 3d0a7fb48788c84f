/* Sessions over graphs that are edited for ever. */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <string.h>

/* Puts leaky(x + 1), with a new constant, a name and an attribute, between x and `end`. */
static aval_value *put_layer_in(rig *r, aval_value *x, aval_value *end)
{
    aval_value *c = aval_graph_number(r->graph, AVAL_FLOAT, 1);
    aval_value *y = aval_apply(r->graph, "LeakyRelu", "alpha=0.5", aval_apply(r->graph, "Add", NULL, x, c));
    aval_value_set_name(y, "layer");
    RIG_OK(aval_graph_status(r->graph));
    RIG_OK(aval_node_set_input(end->producer, 0, y));
    return y;
}

static void take_layer_out(rig *r, aval_value *x, aval_value *end, aval_value *y)
{
    aval_node *sum = y->producer->inputs[0]->producer;
    aval_value *c = sum->inputs[1];
    RIG_OK(aval_node_set_input(end->producer, 0, x));
    RIG_OK(aval_graph_remove_node(r->graph, y->producer));
    RIG_OK(aval_graph_remove_node(r->graph, sum));
    RIG_OK(aval_graph_remove_value(r->graph, c));
}

static size_t arena_bytes_of(const aval_graph *g)
{
    return g->values.count * sizeof(aval_value) + g->nodes.count * sizeof(aval_node);
}

Test(edits, ten_thousand_edits_make_three_plans_and_leave_the_graph_as_large_as_it_was)
{
    rig r;
    float x[2] = { 0.5f, -3 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2), *end = aval_apply(r.graph, "Add", NULL, in, in), *layers[2] = { NULL };
    size_t bytes = 0, outstanding = 0;
    rig_feed(&r, in, x, 2);
    fail_alloc_at(0);
    for (int i = 0; i < 2500; i++) { /* four edits and runs a round */
        rig_run(&r, &end, 1);
        layers[0] = put_layer_in(&r, in, end);
        rig_run(&r, &end, 1);
        layers[1] = put_layer_in(&r, layers[0], end);
        rig_run(&r, &end, 1);
        cr_assert_float_eq(rig_first(&r, end, 2), 0.5 + 2.5, 1e-5);
        take_layer_out(&r, layers[0], end, layers[1]);
        rig_run(&r, &end, 1);
        cr_assert_float_eq(rig_first(&r, end, 2), 0.5 + 1.5, 1e-5);
        take_layer_out(&r, in, end, layers[0]);
        if (i == 10) bytes = arena_bytes_of(r.graph), outstanding = fail_alloc_outstanding();
    }
    cr_expect_eq(arena_bytes_of(r.graph), bytes);
    cr_expect_eq(fail_alloc_outstanding(), outstanding, "%zu pieces of memory, %zu after the first rounds", fail_alloc_outstanding(),
                 outstanding);
    cr_expect_eq(rig_counters(&r).plans_made, 3);
    fail_alloc_off();
    rig_close(&r);
}

Test(edits, an_input_that_took_the_place_of_a_removed_one_was_never_fed)
{
    rig r;
    float x[2] = { 0.5f, 1 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2);
    rig_feed(&r, in, x, 2);
    uint32_t id = in->id;
    RIG_OK(aval_graph_remove_value(r.graph, in));
    aval_value *other = rig_input(&r, "other", 2), *y = aval_apply(r.graph, "Tanh", NULL, other);
    cr_assert_eq(other->id, id);
    cr_assert_eq(aval_session_run(r.session, &y, 1), AVAL_E_ARGUMENT);
    cr_assert(strstr(aval_error(), "'other' was never fed"), "%s", aval_error());
    rig_feed(&r, other, x, 2);
    rig_run(&r, &y, 1);
    RIG_OK(aval_graph_remove_node(r.graph, y->producer));
    aval_value *late = aval_apply(r.graph, "Exp", NULL, other);
    cr_assert_eq(aval_session_read(r.session, late, x, sizeof x), AVAL_E_ARGUMENT, "its id's last owner was computed, it was not");
    rig_close(&r);
}
