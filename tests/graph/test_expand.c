/* Bodies and gradients. */
#include "fake_ops.h"

static aval_value *vector(fixture *f, const char *name)
{
    return aval_graph_input(f->g, name, AVAL_FLOAT, AVAL_SHAPE(3));
}

/* ---- Bodies ------------------------------------------------------------------------------------------------------------------------- */

Test(bodies, nested_bodies_are_expanded_and_wanted_values_keep_their_ids)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_node *ninth = aval_graph_node(f.g, "Ninth", NULL, &x, 1);
    aval_node_set_name(ninth, "power");
    aval_value *y = aval_node_output(ninth, 0), *reader = aval_apply(f.g, "Tanh", NULL, y);
    aval_value *wanted[] = { y, reader };
    aval_graph *copy = expanded(&f, wanted, 2);
    cr_assert_eq(count_ops(copy, wanted, 2, "Mul"), 4);
    cr_assert_eq(count_ops(copy, wanted, 2, "Ninth") + count_ops(copy, wanted, 2, "Cube"), 0);
    cr_assert_eq(copy->values.at[reader->id]->producer->inputs[0], copy->values.at[y->id]);
    cr_assert_str_eq(copy->values.at[y->id]->producer->name, "power/Cube/Mul");
    aval_graph_release(copy);
    cr_assert_float_eq(evaluate(&f, y, &x, (double[]){ 1.1 }, 1), pow(1.1, 9), 1e-12);
    finish(&f);
}

Test(bodies, inputs_constants_and_repeated_values_can_be_yielded)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_node *odd = aval_graph_node(f.g, "Odd", NULL, &x, 1);
    double expected[] = { 1.5, 2.25, 2.25, 3 };
    for (size_t i = 0; i < 4; i++) cr_assert_float_eq(evaluate(&f, aval_node_output(odd, i), &x, (double[]){ 1.5 }, 1), expected[i], 1e-12);
    aval_value *all[] = { odd->outputs[0], odd->outputs[1], odd->outputs[2], odd->outputs[3] };
    aval_graph *copy = expanded(&f, all, 4);
    cr_assert_eq(count_ops(copy, all, 4, "Cast"), 2);
    aval_graph_release(copy);
    finish(&f);
}

Test(bodies, endless_recursion_is_refused_by_name)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *y = aval_apply(f.g, "Endless", NULL, x);
    aval_graph *copy;
    expect_built(f.g);
    cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
    cr_assert_eq(aval__graph_expand(copy, &y, 1, false), AVAL_E_GRAPH);
    expect_message("Endless in Endless");
    aval_graph_release(copy);
    finish(&f);
}

Test(bodies, mistakes_in_a_body_name_the_inner_op_and_whose_body_it_is)
{
    static const struct {
        const char *attrs, *message;
    } mistakes[] = {
        { "mistake=0", "the body of 'Mistaken': my::Mistaken: op 'Scale' in it, attributes \"bye=3\": no attribute 'bye'; there is by" },
        { "mistake=1", "no loaded plugin has the op 'Skale' that it uses (did you mean 'Scale'?)" },
        { "mistake=2", "op 'Scale' in it: expected 1 inputs, found NULL" },
        { "mistake=3", "it applies an op without a name" },
        { "mistake=4", "the body of 'Mistaken', output 'y', which is like input 'x' since the op has no .infer" },
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        fixture f;
        start(&f);
        aval_value *x = vector(&f, "x"), *y = aval_apply(f.g, "my::Mistaken", mistakes[i].attrs, x);
        aval_graph *copy;
        expect_built(f.g);
        cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
        cr_assert_lt(aval__graph_expand(copy, &y, 1, false), 0);
        expect_message(mistakes[i].message);
        aval_graph_release(copy);
        finish(&f);
    }
}

/* ---- Gradients ------------------------------------------------------------------------------------------------------------------------ */

/* Compares a gradient with the centred difference of what it is the gradient of; inputs of equal elements, functions elementwise. */
static void check_slope(fixture *f, aval_value *y, aval_value *slope, aval_value *const *inputs, const double *at, size_t n, size_t by)
{
    double left[8], right[8], step = 1e-5;
    memcpy(left, at, n * sizeof *at);
    memcpy(right, at, n * sizeof *at);
    left[by] -= step;
    right[by] += step;
    double expected = (evaluate(f, y, inputs, right, n) - evaluate(f, y, inputs, left, n)) / (2 * step);
    cr_assert_float_eq(evaluate(f, slope, inputs, at, n), expected, 1e-7, "gradient %g, difference %g", evaluate(f, slope, inputs, at, n),
                       expected);
}

Test(autodiff, gradients_are_summed_where_a_value_fans_out)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_value *t = aval_apply(f.g, "Tanh", NULL, x), *p = aval_apply(f.g, "Mul", NULL, t, x);
    aval_value *y = aval_apply(f.g, "Add", NULL, p, aval_apply(f.g, "Scale", "by=5", x));
    check_slope(&f, y, aval_graph_gradient(f.g, y, x, NULL), &x, (double[]){ 0.7 }, 1, 0);
    finish(&f);
}

Test(autodiff, second_derivatives_of_tanh_and_x_squared_y_are_right)
{
    fixture f;
    start(&f);
    aval_value *in[] = { vector(&f, "x"), vector(&f, "y") };
    aval_value *t = aval_apply(f.g, "Tanh", NULL, in[0]), *dt = aval_graph_gradient(f.g, t, in[0], NULL);
    double at[] = { 0.4, 1.3 };
    check_slope(&f, dt, aval_graph_gradient(f.g, dt, in[0], NULL), in, at, 2, 0);
    aval_value *z = aval_apply(f.g, "Mul", NULL, aval_apply(f.g, "Square", NULL, in[0]), in[1]);
    aval_value *dx = aval_graph_gradient(f.g, z, in[0], NULL);
    check_slope(&f, z, dx, in, at, 2, 0);
    check_slope(&f, dx, aval_graph_gradient(f.g, dx, in[0], NULL), in, at, 2, 0);
    check_slope(&f, dx, aval_graph_gradient(f.g, dx, in[1], NULL), in, at, 2, 1);
    aval_value *cube = aval_apply(f.g, "Cube", NULL, in[0]), *dcube = aval_graph_gradient(f.g, cube, in[0], NULL);
    check_slope(&f, dcube, aval_graph_gradient(f.g, dcube, in[0], NULL), in, at, 2, 0);
    finish(&f);
}

Test(autodiff, gradients_are_summed_over_broadcast_axes_and_cast)
{
    fixture f;
    start(&f);
    aval_value *x = aval_graph_input(f.g, "x", AVAL_FLOAT, AVAL_SHAPE(4, 2, 3));
    aval_value *b = aval_graph_input(f.g, "b", AVAL_FLOAT, AVAL_SHAPE(1, 3)), *s = aval_graph_input(f.g, "s", AVAL_DOUBLE, AVAL_SCALAR);
    aval_value *in[] = { x, b, s };
    aval_value *y = aval_apply(f.g, "Mul", NULL, aval_apply(f.g, "Mul", NULL, x, b), aval_apply(f.g, "Cast", "to=1", s));
    aval_value *db = aval_graph_gradient(f.g, y, b, NULL), *ds = aval_graph_gradient(f.g, y, s, NULL);
    expect_built(f.g);
    double at[] = { 2, 3, 5 };
    cr_assert_eq(aval_value_rank(db), 2);
    cr_assert_float_eq(evaluate(&f, db, in, at, 3), 8 * 2 * 5, 1e-9);
    cr_assert_float_eq(evaluate(&f, ds, in, at, 3), 24 * 2 * 3, 1e-9);
    aval_graph *copy = expanded(&f, &ds, 1);
    cr_assert_eq(copy->values.at[ds->id]->tensor.type, AVAL_DOUBLE);
    cr_assert_eq(count_ops(copy, &ds, 1, "Mul'0"), 0, "the gradient by x is not wanted");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, upstream_is_used_and_the_gradient_by_itself_is_the_upstream)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *up = vector(&f, "up"), *in[] = { x, up };
    aval_value *y = aval_apply(f.g, "Mul", NULL, x, x);
    double at[] = { 3, 7 };
    cr_assert_float_eq(evaluate(&f, aval_graph_gradient(f.g, y, x, up), in, at, 2), 42, 1e-12);
    cr_assert_float_eq(evaluate(&f, aval_graph_gradient(f.g, y, y, up), in, at, 2), 7, 1e-12);
    cr_assert_float_eq(evaluate(&f, aval_graph_gradient(f.g, y, y, NULL), in, at, 2), 1, 1e-12);
    cr_assert_null(aval_graph_gradient(f.g, y, x, aval_graph_number(f.g, AVAL_FLOAT, 1)));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_SHAPE);
    finish(&f);
}

Test(autodiff, one_value_asked_for_twice_gives_two_values)
{
    fixture f;
    start(&f);
    aval_value *a = vector(&f, "a"), *b = vector(&f, "b"), *in[] = { a, b };
    aval_value *y = aval_apply(f.g, "Add", NULL, aval_apply(f.g, "Mul", NULL, a, a), b);
    aval_value *wanted[] = { aval_graph_gradient(f.g, y, a, NULL), aval_graph_gradient(f.g, y, a, NULL),
                             aval_graph_gradient(f.g, y, b, NULL) };
    for (size_t i = 0; i < 3; i++) cr_assert_float_eq(evaluate(&f, wanted[i], in, (double[]){ 2, 0 }, 2), i < 2 ? 4 : 1, 1e-12);
    aval_graph *copy = expanded(&f, wanted, 3);
    cr_assert_eq(count_ops(copy, wanted, 3, "Fill"), 1, "one sweep answers all three");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, without_a_path_the_gradient_is_zeros_and_a_warning_says_where_it_stops)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *z = vector(&f, "z"), *in[] = { x, z };
    aval_node *step = aval_graph_node(f.g, "Step", NULL, &x, 1);
    aval_node_set_name(step, "edge");
    aval_value *y = aval_apply(f.g, "Add", NULL, aval_node_output(step, 0), aval_apply(f.g, "Floor", NULL, x));
    aval_value *dx = aval_graph_gradient(f.g, y, x, NULL), *dz = aval_graph_gradient(f.g, y, z, NULL);
    double slope = evaluate(&f, dx, in, (double[]){ 1, 1 }, 2);
    cr_assert_float_eq(slope, 0, 0);
    cr_assert_eq(f.warned.count, 1, "%d warnings, the last: %s", f.warned.count, f.warned.last);
    cr_assert_not_null(strstr(f.warned.last, "node 'edge' (Step)"), "%s", f.warned.last);
    cr_assert_not_null(strstr(f.warned.last, "(Floor)"), "%s", f.warned.last);
    cr_assert_float_eq(evaluate(&f, dz, in, (double[]){ 1, 1 }, 2), 0, 0);
    cr_assert_not_null(strstr(f.warned.last, "nothing computes"), "%s", f.warned.last);
    aval_graph *copy;
    cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
    cr_assert_eq(aval__graph_expand(copy, &dx, 1, true), AVAL_E_GRADIENT);
    expect_message("'edge'");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, every_op_without_a_gradient_is_named_in_one_message)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_value *y = aval_apply(f.g, "Opaque", NULL, aval_apply(f.g, "Tanh", NULL, aval_apply(f.g, "Opaque", NULL, x)));
    aval_value *dx = aval_graph_gradient(f.g, y, x, NULL), *elsewhere = aval_apply(f.g, "Opaque", NULL, x);
    aval_value_set_name(elsewhere, "elsewhere");
    aval_node_set_name(y->producer, "last");
    expect_built(f.g);
    aval_graph *copy;
    cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
    cr_assert_eq(aval__graph_expand(copy, &dx, 1, false), AVAL_E_GRADIENT);
    expect_message("node 'last' (Opaque), node 0 (Opaque)");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, integers_end_a_path)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_value *y = aval_apply(f.g, "Cast", "to=1", aval_apply(f.g, "ToInt", NULL, x));
    cr_assert_float_eq(evaluate(&f, aval_graph_gradient(f.g, y, x, NULL), &x, (double[]){ 2 }, 1), 0, 0);
    cr_assert_not_null(strstr(f.warned.last, "(ToInt)"), "%s", f.warned.last);
    finish(&f);
}

Test(autodiff, backward_nodes_see_kept_values_and_chain_their_sums)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *w = vector(&f, "w");
    aval_value *h = aval_apply(f.g, "Product", NULL, x, w), *y = aval_apply(f.g, "Product", NULL, h, w);
    aval_value *dw = aval_graph_gradient(f.g, y, w, NULL);
    aval_graph *copy = expanded(&f, &dw, 1);
    const aval_node *last = copy->values.at[dw->id]->producer; /* the backward of h */
    cr_assert_eq(last->def->kind, AVAL__BACKWARD);
    cr_assert_eq(last->forward->id, h->producer->id);
    cr_assert_null(last->outputs[0], "nobody wants the gradient by x");
    cr_assert_eq(last->outputs[1]->id, dw->id);
    aval_value *base = aval__node_base(last, 1);
    cr_assert_not_null(base);
    cr_assert_null(aval__node_base(last, 0));
    cr_assert_eq(base->producer->forward->id, y->producer->id);
    cr_assert_null(aval__node_base(base->producer, 1));
    cr_assert_eq(count_ops(copy, &dw, 1, "Add"), 0);
    bool readable;
    cr_assert_eq(aval__backward_input(last, 0, &readable)->id, x->id);
    cr_assert_not(readable);
    cr_assert_eq(aval__backward_input(last, 1, &readable)->id, w->id);
    cr_assert(readable);
    cr_assert_eq(aval__backward_output(last, 0, &readable)->id, h->id);
    cr_assert(readable);
    cr_assert_eq(aval__backward_upstream(last, 0), base->producer->outputs[0]);
    aval_graph_release(copy);
    finish(&f);
}

/* As in a recurrent net: a weight that each of many time steps reads. */
Test(autodiff, a_weight_of_1000_time_steps_has_its_gradient_summed_in_one_buffer)
{
    fixture f;
    start(&f);
    aval_value *w = vector(&f, "w"), *h = vector(&f, "h");
    for (int i = 0; i < 1000; i++) h = aval_apply(f.g, "Tanh", NULL, aval_apply(f.g, "Product", NULL, h, w));
    aval_value *dw = aval_graph_gradient(f.g, h, w, NULL);
    aval_graph *copy = expanded(&f, &dw, 1);
    cr_assert_eq(count_ops(copy, &dw, 1, "Add"), 0);
    size_t steps = 0;
    for (const aval_value *sum = copy->values.at[dw->id]; sum; sum = aval__node_base(sum->producer, sum->port)) {
        cr_assert_eq(sum->producer->def->kind, AVAL__BACKWARD);
        steps++;
    }
    cr_assert_eq(steps, 1000, "each time step adds to what the later ones made");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, one_backward_node_does_not_wait_for_itself)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *y = aval_apply(f.g, "Product", NULL, x, x), *dx = aval_graph_gradient(f.g, y, x, NULL);
    aval_graph *copy = expanded(&f, &dx, 1);
    cr_assert_eq(count_ops(copy, &dx, 1, "Add"), 1);
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, a_chain_of_100000_nodes_is_expanded_without_a_deep_stack)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x"), *y = x;
    for (int i = 0; i < 100000; i++) y = aval_apply(f.g, i % 2 ? "Tanh" : "Scale", NULL, y);
    aval_value *dx = aval_graph_gradient(f.g, y, x, NULL);
    aval_graph *copy = expanded(&f, &dx, 1);
    cr_assert_eq(count_ops(copy, &dx, 1, "Scale'0"), 50000);
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, an_upstream_that_passes_unchanged_makes_no_node)
{
    fixture f;
    start(&f);
    aval_value *a = vector(&f, "a"), *b = vector(&f, "b"), *y = aval_apply(f.g, "Add", NULL, a, b),
               *da = aval_graph_gradient(f.g, y, a, NULL);
    aval_graph *copy = expanded(&f, &da, 1);
    cr_assert_str_eq(copy->values.at[da->id]->producer->def->name, "Fill");
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, an_output_that_nobody_differentiates_through_has_no_upstream)
{
    fixture f;
    start(&f);
    aval_value *a = vector(&f, "a"), *b = vector(&f, "b"), *in[] = { a, b };
    aval_node *pair = aval_graph_node(f.g, "Pair", NULL, in, 2);
    aval_value *y = aval_apply(f.g, "Tanh", NULL, aval_node_output(pair, 1)), *db = aval_graph_gradient(f.g, y, b, NULL);
    aval_graph *copy = expanded(&f, &db, 1);
    const aval_node *backward = copy->values.at[db->id]->producer;
    cr_assert_eq(backward->def->kind, AVAL__BACKWARD);
    cr_assert_null(aval__backward_upstream(backward, 0));
    cr_assert_not_null(aval__backward_upstream(backward, 1));
    cr_assert_null(backward->outputs[0]);
    aval_graph_release(copy);
    finish(&f);
}

Test(autodiff, a_backward_body_is_told_which_upstreams_are_absent)
{
    fixture f;
    start(&f);
    aval_value *x = vector(&f, "x");
    aval_node *twin = aval_graph_node(f.g, "Twin", NULL, &x, 1);
    aval_value *y = aval_node_output(twin, 0), *z = aval_node_output(twin, 1), *both = aval_apply(f.g, "Mul", NULL, y, z);
    check_slope(&f, aval_apply(f.g, "Tanh", NULL, y), aval_graph_gradient(f.g, aval_apply(f.g, "Tanh", NULL, y), x, NULL), &x,
                (double[]){ 0.3 }, 1, 0);
    check_slope(&f, aval_apply(f.g, "Tanh", NULL, z), aval_graph_gradient(f.g, aval_apply(f.g, "Tanh", NULL, z), x, NULL), &x,
                (double[]){ 0.3 }, 1, 0);
    check_slope(&f, both, aval_graph_gradient(f.g, both, x, NULL), &x, (double[]){ 0.3 }, 1, 0);
    finish(&f);
}
