/* Building, editing, ordering, printing, copying, hashing and folding graphs. */
#include "fail_alloc.h"
#include "fake_ops.h"

#include <stdio.h>

static aval_value *input(fixture *f, const char *name)
{
    return aval_graph_input(f->g, name, AVAL_FLOAT, AVAL_SHAPE(2, 3));
}

Test(graph, shapes_are_known_as_soon_as_the_inputs_are)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x"), *row = aval_graph_input(f.g, "row", AVAL_FLOAT, AVAL_SHAPE(4, 1, 3));
    aval_value *free_batch = aval_graph_input(f.g, "batch", AVAL_FLOAT, AVAL_SHAPE(-1, 3));
    aval_value *sum = aval_apply(f.g, "Add", NULL, x, row), *later = aval_apply(f.g, "Tanh", NULL, free_batch);
    expect_built(f.g);
    cr_assert_eq(aval_value_rank(sum), 3);
    cr_assert_arr_eq(aval_value_dims(sum), ((int64_t[]){ 4, 2, 3 }), 3 * sizeof(int64_t));
    cr_assert_eq(aval_value_rank(later), -1);
    aval_graph *copy;
    cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
    cr_assert_eq(aval__graph_infer(copy, &later, 1), AVAL_E_SHAPE);
    expect_message("batch");
    aval_tensor bound = { .type = AVAL_FLOAT, .rank = 2, .dims = { 7, 3 } }, wrong = { .type = AVAL_FLOAT, .rank = 2, .dims = { 7, 4 } };
    cr_assert_eq(aval__graph_bind(copy->values.at[free_batch->id], &wrong), AVAL_E_SHAPE);
    cr_assert_eq(aval__graph_bind(copy->values.at[free_batch->id], &bound), 0);
    cr_assert_eq(aval__graph_infer(copy, &later, 1), 0, "%s", aval_error());
    cr_assert_eq(copy->values.at[later->id]->tensor.dims[0], 7);
    aval_graph_release(copy);
    finish(&f);
}

Test(graph, contents_are_computed_on_the_host_from_known_ones)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x");
    aval_value *six = aval_graph_constant(f.g, AVAL_FLOAT, AVAL_SHAPE(1), (float[]){ 6 });
    aval_value *shape = aval_apply(f.g, "Cast", "to=7", six);
    aval_value *flat = aval_apply(f.g, "Reshape", NULL, x, shape);
    expect_built(f.g);
    cr_assert_eq(aval_value_rank(flat), 1);
    cr_assert_eq(aval_value_dims(flat)[0], 6);
    cr_assert_null(shape->data, "a graph that is edited must not remember contents");
    finish(&f);
}

Test(graph, a_content_that_is_not_known_is_named_when_planning)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x"), *shape = aval_graph_input(f.g, "target", AVAL_INT64, AVAL_SHAPE(1));
    aval_value *flat = aval_apply(f.g, "Reshape", NULL, x, shape);
    expect_built(f.g);
    aval_graph *copy;
    cr_assert_eq(aval__graph_copy(f.g, &copy), 0);
    cr_assert_eq(aval__graph_infer(copy, &flat, 1), AVAL_E_CONTENT);
    expect_message("'target'");
    int64_t six = 6;
    copy->values.at[shape->id]->data = &six;
    cr_assert_eq(aval__graph_infer(copy, &flat, 1), 0, "%s", aval_error());
    cr_assert_eq(copy->values.at[flat->id]->tensor.dims[0], 6);
    aval_graph_release(copy);
    finish(&f);
}

Test(graph, the_first_error_sticks_and_calls_after_it_are_safe)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x");
    aval_value *bad = aval_apply(f.g, "Nonsuch", NULL, x);
    cr_assert_null(bad);
    cr_assert_null(aval_apply(f.g, "Add", NULL, bad, x));
    cr_assert_null(aval_graph_gradient(f.g, bad, x, NULL));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_UNKNOWN);
    expect_message("Nonsuch");
    cr_assert_eq(aval_graph_status(f.g), 0, "the status is cleared by asking");
    cr_assert_not_null(aval_apply(f.g, "Tanh", NULL, x));
    cr_assert_null(aval_apply(f.g, "Add", NULL, x));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_ARGUMENT);
    expect_message("'b'");
    aval_apply(f.g, "Add", NULL, x, aval_graph_input(f.g, "y", AVAL_FLOAT, AVAL_SHAPE(2, 4)));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_SHAPE);
    finish(&f);
}

Test(graph, a_state_asked_for_twice_is_one_value_of_one_shape)
{
    fixture f;
    start(&f);
    aval_value *w = aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(3));
    cr_assert_eq(w, aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(3)));
    expect_built(f.g);
    cr_assert_null(aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(4)));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_SHAPE);
    finish(&f);
}

Test(graph, rewiring_changes_shapes_downstream_and_the_generation)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x"), *wide = aval_graph_input(f.g, "wide", AVAL_FLOAT, AVAL_SHAPE(5));
    aval_node *first = aval_graph_node(f.g, "Tanh", NULL, &x, 1);
    aval_value *y = aval_apply(f.g, "Tanh", NULL, aval_node_output(first, 0));
    uint64_t before = f.g->generation;
    cr_assert_eq(aval_node_set_input(first, 0, wide), 0);
    cr_assert_neq(f.g->generation, before);
    cr_assert_eq(aval_value_rank(y), 1);
    cr_assert_eq(aval_graph_replace(f.g, wide, x), 0);
    cr_assert_eq(aval_value_rank(y), 2);
    cr_assert_eq(aval_node_set_input(first, 0, NULL), AVAL_E_ARGUMENT);
    finish(&f);
}

Test(graph, removal_is_refused_while_something_reads)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x");
    aval_node *first = aval_graph_node(f.g, "Tanh", NULL, &x, 1);
    aval_value *middle = aval_node_output(first, 0);
    aval_node *second = aval_graph_node(f.g, "Floor", NULL, &middle, 1);
    cr_assert_eq(aval_graph_remove_node(f.g, first), AVAL_E_GRAPH);
    expect_message("Floor");
    cr_assert_eq(aval_graph_remove_value(f.g, x), AVAL_E_GRAPH);
    cr_assert_eq(aval_graph_remove_node(f.g, second), 0);
    cr_assert_eq(aval_graph_remove_node(f.g, first), 0);
    cr_assert_eq(aval_graph_remove_value(f.g, x), 0);
    cr_assert_null(aval_apply(f.g, "Tanh", NULL, x));
    cr_assert_eq(aval_graph_status(f.g), AVAL_E_ARGUMENT);
    finish(&f);
}

Test(graph, records_of_what_was_removed_are_used_again_and_nothing_grows)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x");
    size_t outstanding = 0, n_values = 0, n_nodes = 0;
    fail_alloc_at(0);
    for (int i = 0; i < 10000; i++) {
        aval_value *c = aval_graph_constant(f.g, AVAL_FLOAT, AVAL_SHAPE(3), (float[]){ 1, 2, 3 });
        aval_value *s = aval_graph_state(f.g, "a state with a name of some length", AVAL_FLOAT, AVAL_SHAPE(3));
        aval_value *y = aval_apply(f.g, "Add", NULL, aval_apply(f.g, "Mul", NULL, c, s), x), *z = NULL;
        aval_node_set_name(y->producer, "a layer with a name of some length");
        z = aval_apply(f.g, "Scale", "by=4", y);
        expect_built(f.g);
        for (size_t n = f.g->nodes.count; n-- > 0;)
            if (!f.g->nodes.at[n]->dead) (void)aval_graph_remove_node(f.g, f.g->nodes.at[n]); /* readers first, in some order */
        for (size_t n = f.g->nodes.count; n-- > 0;)
            if (!f.g->nodes.at[n]->dead) (void)aval_graph_remove_node(f.g, f.g->nodes.at[n]);
        cr_assert(z->dead && y->dead);
        cr_assert_eq(aval_graph_remove_value(f.g, c), 0, "%s", aval_error());
        cr_assert_eq(aval_graph_remove_value(f.g, s), 0, "%s", aval_error());
        if (i == 100) outstanding = fail_alloc_outstanding(), n_values = f.g->values.count, n_nodes = f.g->nodes.count;
    }
    cr_expect_eq(fail_alloc_outstanding(), outstanding);
    cr_expect_eq(f.g->values.count, n_values);
    cr_expect_eq(f.g->nodes.count, n_nodes);
    fail_alloc_off();
    finish(&f);
}

Test(graph, a_million_nodes_against_the_order_of_ids_are_ordered_without_a_deep_stack)
{
    fixture f;
    enum { COUNT = 1000000 };
    start(&f);
    aval_value *x = input(&f, "x"), *y = x, *second = NULL;
    for (int i = 0; i < COUNT; i++) {
        y = aval_apply(f.g, "Tanh", NULL, y);
        if (i == 0) second = y;
    }
    expect_built(f.g);
    /* the first node made becomes the last to be computed */
    aval_node *first = second->producer, *next = f.g->nodes.at[1];
    cr_assert_eq(aval_node_set_input(next, 0, x), 0, "%s", aval_error());
    cr_assert_eq(aval_node_set_input(first, 0, y), 0, "%s", aval_error());
    aval_node **order = NULL;
    size_t count = 0;
    cr_assert_eq(aval__graph_order(f.g, &second, 1, &order, &count), 0, "%s", aval_error());
    cr_assert_eq(count, COUNT);
    cr_assert_eq(order[0], next);
    cr_assert_eq(order[COUNT - 1], first);
    aval__free(order);
    finish(&f);
}

Test(graph, the_nodes_of_a_cycle_are_named)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x");
    aval_node *first = aval_graph_node(f.g, "Tanh", NULL, &x, 1);
    aval_value *y = aval_apply(f.g, "Floor", NULL, aval_node_output(first, 0));
    aval_node_set_name(first, "head");
    cr_assert_eq(aval_node_set_input(first, 0, y), 0);
    aval_node **order;
    size_t count;
    cr_assert_eq(aval__graph_order(f.g, &y, 1, &order, &count), AVAL_E_GRAPH);
    expect_message("cycle");
    expect_message("node 'head' (Tanh)");
    expect_message("(Floor)");
    finish(&f);
}

Test(graph, readers_of_a_state_come_before_its_update)
{
    fixture f;
    start(&f);
    aval_value *w = aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2)), *by = aval_graph_input(f.g, "by", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *updated = aval_apply(f.g, "Update", NULL, w, by), *reader = aval_apply(f.g, "Tanh", NULL, w);
    expect_built(f.g);
    aval_value *wanted[] = { updated, reader };
    aval_node **order;
    size_t count;
    cr_assert_eq(aval__graph_order(f.g, wanted, 2, &order, &count), 0, "%s", aval_error());
    cr_assert_eq(count, 2);
    cr_assert_eq(order[0], reader->producer);
    cr_assert_eq(aval__node_updates(updated->producer, 0), w);
    aval__free(order);
    aval_value *late = aval_apply(f.g, "Add", NULL, w, updated);
    cr_assert_eq(aval__graph_order(f.g, &late, 1, &order, &count), AVAL_E_GRAPH);
    expect_message("state 'w'");
    finish(&f);
}

Test(graph, updates_need_a_state_and_one_updater_a_run)
{
    fixture f;
    start(&f);
    aval_value *w = aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2)), *by = aval_graph_input(f.g, "by", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *wanted[] = { aval_apply(f.g, "Update", NULL, w, by), aval_apply(f.g, "Update", NULL, w, by) };
    aval_value *wrong = aval_apply(f.g, "Update", NULL, by, by);
    aval_node **order;
    size_t count;
    expect_built(f.g);
    cr_assert_eq(aval__graph_order(f.g, wanted, 2, &order, &count), AVAL_E_GRAPH);
    expect_message("both update state 'w'");
    cr_assert_eq(aval__graph_order(f.g, &wrong, 1, &order, &count), AVAL_E_GRAPH);
    expect_message("'by', which is no state");
    cr_assert_eq(aval__graph_order(f.g, wanted, 1, &order, &count), 0);
    aval__free(order);
    finish(&f);
}

Test(graph, text_and_dot_show_nodes_values_and_attributes)
{
    fixture f;
    start(&f);
    aval_value *x = aval_graph_input(f.g, "a \"name\"", AVAL_FLOAT, AVAL_SHAPE(2, 3));
    aval_value_set_name(aval_apply(f.g, "Scale", "by=3", x), "y");
    expect_built(f.g);
    char *text, *dot;
    cr_assert_eq(aval_graph_text(f.g, &text), 0);
    cr_assert_not_null(strstr(text, "y float[2,3] = Scale(a \"name\") by=3\n"), "%s", text);
    cr_assert_eq(aval_graph_dot(f.g, &dot), 0);
    cr_assert_not_null(strstr(dot, "a &quot;name&quot;"), "%s", dot);
    cr_assert_not_null(strstr(dot, "v0 -> n0"), "%s", dot);
    aval_free(text);
    aval_free(dot);
    finish(&f);
}

static void note_y(void *user, const aval_value *value, aval_value_note *note)
{
    ++*(int *)user;
    if (strcmp(aval_value_name(value), "y") != 0) return;
    snprintf(note->value, sizeof note->value, "1 < 2");
    snprintf(note->gradient, sizeof note->gradient, "3");
    snprintf(note->type, sizeof note->type, "float[9]");
}

Test(graph, a_drawing_has_boxes_and_only_what_is_wanted)
{
    fixture f;
    start(&f);
    aval_value *x = aval_graph_input(f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2, 3)), *w = aval_graph_state(f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2, 3));
    aval_value *y = aval_apply(f.g, "Add", NULL, x, w);
    aval_value_set_name(y, "y");
    aval_value_set_name(aval_apply(f.g, "Tanh", NULL, y), "unwanted");
    expect_built(f.g);
    char *dot;
    int noted = 0;
    cr_assert_eq(aval_graph_draw(f.g, &y, 1, note_y, &noted, &dot), 0, "%s", aval_error());
    cr_expect_eq(noted, 3, "each value once: x, w and y");
    cr_expect_not_null(strstr(dot, "1 &lt; 2"), "%s", dot);
    cr_expect_not_null(strstr(dot, "float[9]"), "%s", dot);
    cr_expect_null(strstr(dot, "unwanted"), "%s", dot);
    cr_expect_null(strstr(dot, "-> v"), "%s", dot);
    cr_expect_null(strstr(dot, "v1 ->"), "a weight of one node is a row of it: %s", dot);
    aval_free(dot);
    cr_expect_eq(aval_graph_draw(f.g, (aval_value *const[]){ NULL }, 1, NULL, NULL, &dot), AVAL_E_ARGUMENT);
    finish(&f);
}

static aval__hash hash_of(aval_graph *g, aval_value *wanted)
{
    aval__hash hash;
    aval__numbering numbers = { 0 };
    cr_assert_eq(aval__graph_hash(g, &wanted, 1, &hash, &numbers), 0, "%s", aval_error());
    aval__vec_release(&numbers);
    return hash;
}

Test(graph, the_hash_follows_links_attributes_and_constants)
{
    fixture f;
    start(&f);
    aval_value *x = input(&f, "x"), *z = input(&f, "z");
    aval_node *scale = aval_graph_node(f.g, "Scale", "by=3", &x, 1);
    aval_value *y = aval_apply(f.g, "Add", NULL, aval_node_output(scale, 0), aval_graph_number(f.g, AVAL_FLOAT, 1));
    expect_built(f.g);
    aval__hash first = hash_of(f.g, y);
    aval_apply(f.g, "Tanh", NULL, z);
    cr_assert_eq(hash_of(f.g, y).low, first.low, "a node that is not needed changes nothing");
    cr_assert_eq(aval_node_set_input(scale, 0, z), 0);
    cr_assert_neq(hash_of(f.g, y).low, first.low);
    cr_assert_eq(aval_node_set_input(scale, 0, x), 0);
    cr_assert_eq(hash_of(f.g, y).low, first.low);
    aval_node_place(scale, 1);
    cr_assert_neq(hash_of(f.g, y).low, first.low);
    finish(&f);
}

/* Nodes that are left. */
static size_t fold(aval_graph *g, aval_value **wanted, size_t limit_bytes)
{
    aval_node **order = NULL;
    size_t count = 0;
    cr_assert_eq(aval__graph_fold(g, wanted, 1, limit_bytes, &order, &count), 0, "%s", aval_error());
    aval__free(order);
    return count;
}

Test(graph, folding_replaces_what_follows_from_constants_up_to_the_limit)
{
    fixture f;
    start(&f);
    aval_value *two = aval_graph_number(f.g, AVAL_FLOAT, 2), *x = input(&f, "x");
    aval_value *four = aval_apply(f.g, "Mul", NULL, two, two), *y = aval_apply(f.g, "Mul", NULL, x, four);
    aval_graph *copy = expanded(&f, &y, 1);
    fold(copy, &y, 3);
    cr_assert_eq(count_ops(copy, &y, 1, "Mul"), 2, "4 bytes are more than the limit");
    cr_assert_eq(fold(copy, &y, 1024), 1, "the order leaves out what was folded");
    cr_assert_eq(count_ops(copy, &y, 1, "Mul"), 1);
    cr_assert_float_eq(*(const float *)copy->values.at[four->id]->data, 4.0f, 0.0f);
    aval_graph_release(copy);
    finish(&f);
}
