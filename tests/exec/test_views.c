/* Operators that give the same elements another shape, or a part of them, launch nothing and take no memory; and an op with any number of
 * outputs has as many as its infer sets. */
#include "exec/rig.h"

#include <criterion/criterion.h>

TestSuite(views, .timeout = 120);

static aval_value *numbers(rig *r, const int64_t *values, int64_t count)
{
    return aval_graph_constant(r->graph, AVAL_INT64, 1, &count, values);
}

/* Rows 2 and 3 of the sine of x [6, 4], through every view there is. */
static aval_value *through_views(rig *r, aval_value *sine)
{
    const int64_t shape[] = { 3, 2, 4 }, axes[] = { 0, 3 }, lengths[] = { 1, 1, 1 }, first = 0, last = 1;
    aval_value *v = aval_apply(r->graph, "Reshape", NULL, sine, numbers(r, shape, 3));
    aval_value *split[] = { v, numbers(r, lengths, 3) };
    v = aval_node_output(aval_graph_node(r->graph, "Split", NULL, split, 2), 1);
    v = aval_apply(r->graph, "Unsqueeze", NULL, v, numbers(r, axes, 2));
    v = aval_apply(r->graph, "Squeeze", NULL, v, numbers(r, axes, 1));
    v = aval_apply(r->graph, "Slice", NULL, v, numbers(r, &first, 1), numbers(r, &last, 1));
    v = aval_apply(r->graph, "Identity", NULL, v);
    return aval_apply(r->graph, "Flatten", "axis=0", v);
}

Test(views, cost_no_launch_and_no_bytes)
{
    static const float x[24] = { 0 };
    aval_counters counters[2];
    for (int viewed = 0; viewed < 2; viewed++) {
        rig r;
        rig_open(&r);
        aval_value *input = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(6, 4)), *sine = aval_apply(r.graph, "Sin", NULL, input);
        aval_value *wanted = viewed ? through_views(&r, sine) : sine;
        cr_assert_not_null(wanted, "%s", aval_error());
        rig_feed(&r, input, x, 24);
        rig_run(&r, AVAL_VALUES(wanted));
        counters[viewed] = rig_counters(&r);
        rig_close(&r);
    }
    cr_expect_eq(counters[1].launches, counters[0].launches, "%llu launches, expected %llu", (unsigned long long)counters[1].launches,
                 (unsigned long long)counters[0].launches);
    cr_expect_eq(counters[1].arena_bytes, counters[0].arena_bytes);
}

Test(views, show_the_elements_that_they_stand_for)
{
    float x[24], found[8];
    rig r;
    rig_open(&r);
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    aval_value *input = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(6, 4)), *part = through_views(&r, input);
    cr_assert_not_null(part, "%s", aval_error());
    rig_feed(&r, input, x, 24);
    rig_run(&r, AVAL_VALUES(part));
    RIG_OK(aval_session_read(r.session, part, found, sizeof found));
    for (int i = 0; i < 8; i++) cr_expect_eq(found[i], (float)(8 + i));
    rig_close(&r);
}

Test(views, a_node_has_as_many_outputs_as_its_infer_sets)
{
    const int64_t lengths[] = { 1, 4, 0, 1 };
    rig r;
    rig_open(&r);
    aval_value *input = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(6, 4)), *split[] = { input, numbers(&r, lengths, 4) };
    cr_expect_eq(aval_node_output_count(aval_graph_node(r.graph, "Split", NULL, split, 2)), 4);
    cr_expect_eq(aval_node_output_count(aval_graph_node(r.graph, "Split", "axis=1 num_outputs=3", split, 1)), 3);
    cr_expect_eq(aval_node_output_count(aval_graph_node(r.graph, "Split", NULL, split, 1)), 1);
    rig_close(&r);
}

Test(views, gradients_of_parts_that_nobody_used_are_zero)
{
    float x[6] = { 1, 2, 3, 4, 5, 6 }, found[6];
    rig r;
    rig_open(&r);
    aval_value *input = rig_input(&r, "x", 6);
    aval_value *part = aval_node_output(aval_graph_node(r.graph, "Split", "num_outputs=3", AVAL_VALUES(input)), 1);
    aval_value *gradient = aval_graph_gradient(r.graph, part, input, NULL);
    rig_feed(&r, input, x, 6);
    rig_run(&r, AVAL_VALUES(gradient));
    RIG_OK(aval_session_read(r.session, gradient, found, sizeof found));
    for (int i = 0; i < 6; i++) cr_expect_eq(found[i], i == 2 || i == 3 ? 1.0f : 0.0f);
    rig_close(&r);
}
