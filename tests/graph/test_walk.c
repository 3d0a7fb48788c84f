/* Graphs seen from outside. */
#include "fake_ops.h"

Test(walk, nodes_tell_their_op_attributes_inputs_and_outputs)
{
    fixture f;
    char *text = NULL;
    start(&f);
    aval_value *x = aval_graph_input(f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2)), *w = aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *h = aval_apply(f.g, "Scale", "by=0.5", x), *y = aval_apply(f.g, "Mul", NULL, h, w);
    aval_value *dx = aval_graph_gradient(f.g, y, x, NULL);
    expect_built(f.g);
    cr_assert_eq(aval_graph_node_count(f.g), 3);
    aval_node *scale = aval_graph_node_at(f.g, 0), *request = aval_graph_node_at(f.g, 2);
    cr_expect_str_eq(aval_node_op(scale)->name, "Scale");
    cr_expect_str_eq(aval_node_name(scale), "");
    cr_expect_eq(aval_node_attrs(scale, &text), 0);
    cr_expect_str_eq(text, "by=0.5");
    aval_free(text);
    cr_expect(aval_node_input_count(scale) == 1 && aval_node_input(scale, 0) == x && aval_node_input(scale, 1) == NULL);
    cr_expect_eq(aval_value_producer(h), scale);
    cr_expect_null(aval_node_op(request), "a request of a gradient has no operator");
    cr_expect(aval_node_input(request, 1) == x && aval_node_output(request, 0) == dx);
    cr_expect(aval_value_kind_of(x) == AVAL_VALUE_INPUT && aval_value_kind_of(w) == AVAL_VALUE_STATE);
    cr_expect(aval_value_kind_of(y) == AVAL_VALUE_PRODUCED && aval_value_producer(w) == NULL);
    cr_expect_eq(aval_graph_remove_node(f.g, request), 0, "%s", aval_error());
    cr_expect_null(aval_graph_node_at(f.g, 2));
    finish(&f);
}

Test(walk, nothing_is_asked_of_nothing)
{
    cr_expect(aval_graph_node_count(NULL) == 0 && aval_graph_node_at(NULL, 0) == NULL && aval_node_op(NULL) == NULL);
    cr_expect(aval_node_input_count(NULL) == 0 && aval_node_input(NULL, 0) == NULL && aval_value_kind_of(NULL) == 0);
    cr_expect_str_eq(aval_node_name(NULL), "");
    cr_expect_eq(aval_node_attrs(NULL, NULL), AVAL_E_ARGUMENT);
}
