/* ONNX models become graphs: operators by version, initializers, constants, functions. */
#include "onnx_fixture.h"

static const float two[2] = { 0.5f, 2 };

Test(onnx, nodes_inputs_and_initializers_become_a_graph_with_states)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(-1, 2));
    maker_initializer(&t.m, "w", AVAL_FLOAT, DIMS(2), two, sizeof two);
    Aval__Onnx__Node *n = maker_node(&t.m, "Mul", "x w", "h");
    n->name = aval__arena_text(&t.m.arena, "scale it");
    maker_float(&t.m, maker_node(&t.m, "Scale", "h", "y"), "by", 0.1f);
    maker_output(&t.m, "y");
    onnx_read_good(&t);
    cr_assert_eq(t.read.inputs.count, 1);
    cr_assert_eq(t.read.outputs.count, 1);
    cr_assert_eq(t.read.states.count, 1);
    const aval_value *x = t.read.inputs.at[0].value, *y = t.read.outputs.at[0].value, *w = t.read.states.at[0].value;
    cr_expect(x->tensor.dims[0] == -1 && x->tensor.dims[1] == 2);
    cr_expect_str_eq(t.read.outputs.at[0].name, "y");
    cr_expect_str_eq(y->name, "y");
    cr_expect_str_eq(w->name, "w");
    cr_expect_eq(memcmp(t.read.states.at[0].data, two, sizeof two), 0);
    cr_expect_eq(y->producer->attrs.at[0].real, (double)0.1f);
    cr_expect_str_eq(y->producer->inputs[0]->producer->name, "scale it");
    cr_expect_eq(y->producer->inputs[0]->producer->inputs[1], w);
    onnx_finish(&t);
}

Test(onnx, an_operator_has_the_newest_form_that_the_models_version_has)
{
    static const struct {
        int64_t version;
        const char *attr; /* NULL: none has it */
    } cases[] = { { 7, "old" }, { 12, "old" }, { 13, "fresh" }, { 21, "fresh" }, { 6, NULL } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        onnx_test t;
        onnx_start(&t, cases[i].version);
        maker_input(&t.m, "x", DIMS(2));
        maker_node(&t.m, "Formed", "x", "y");
        maker_output(&t.m, "y");
        if (cases[i].attr) {
            onnx_read_good(&t);
            cr_expect_str_eq(t.read.outputs.at[0].value->producer->attrs.at[0].name, cases[i].attr);
        } else {
            onnx_expect(&t, AVAL_E_UNSUPPORTED, "operator Formed as of version 6 (there is that of 13)");
        }
        onnx_finish(&t);
    }
}

Test(onnx, integers_and_what_shapes_are_computed_from_become_constants)
{
    onnx_test t;
    onnx_start(&t, 13);
    int64_t shape[2] = { 1, 2 };
    maker_input(&t.m, "x", DIMS(2));
    maker_initializer(&t.m, "shape", AVAL_INT64, DIMS(2), shape, sizeof shape);
    maker_initializer(&t.m, "axis", AVAL_FLOAT, DIMS(1), (const float[]){ 0 }, 4);
    maker_initializer(&t.m, "w", AVAL_FLOAT, DIMS(2), two, sizeof two);
    maker_node(&t.m, "Reshape", "x shape", "y");
    maker_float(&t.m, maker_node(&t.m, "Scale", "axis", "scaled"), "by", 2);
    Aval__Onnx__Attribute *to = maker_attr(&t.m, maker_node(&t.m, "Cast", "scaled", "axes"), "to", 2);
    to->i = AVAL_INT64;
    to->has_i = 1;
    maker_node(&t.m, "Sum", "w axes", "z");
    maker_output(&t.m, "y");
    maker_output(&t.m, "z");
    onnx_read_good(&t);
    cr_assert_eq(t.read.states.count, 1);
    cr_expect_str_eq(t.read.states.at[0].value->name, "w");
    cr_expect_eq(t.read.outputs.at[0].value->tensor.dims[1], 2);
    cr_expect_eq(t.read.outputs.at[1].value->tensor.rank, 1, "the axis that is computed is known");
    onnx_finish(&t);
}

Test(onnx, everything_that_is_unsupported_stands_in_one_message)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    maker_input(&t.m, "words", DIMS(2));
    t.m.inputs[1]->type->tensor_type->elem_type = AVAL_STRING;
    maker_initializer(&t.m, "c", AVAL_COMPLEX64, DIMS(1), two, sizeof two);
    Aval__Onnx__Node *n = maker_node(&t.m, "Unheard", "x", "a");
    n->name = aval__arena_text(&t.m.arena, "first");
    maker_float(&t.m, maker_node(&t.m, "Tanh", "a", "b"), "sharpness", 1);
    maker_node(&t.m, "Mul", "b words", "d");
    n = maker_node(&t.m, "Scale", "d", "e");
    maker_attr(&t.m, n, "by", 3);
    n = maker_node(&t.m, "Tanh", "x", "y");
    n->domain = aval__arena_text(&t.m.arena, "com.example");
    maker_output(&t.m, "e");
    onnx_expect(&t, AVAL_E_UNSUPPORTED, "6 things are not supported");
    expect_message("initializer 'c': elements of type complex64");
    expect_message("input 'words': elements of type string");
    expect_message("node 'first' (Unheard): operator Unheard");
    expect_message("node 'b' (Tanh): attribute sharpness (a number)");
    expect_message("node 'e' (Scale): attribute by as a text");
    expect_message("domain 'com.example'");
    onnx_finish(&t);
}

/* Sizes that do not fit are another matter: what is fed may fit. */
Test(onnx, what_free_dimensions_hide_is_told_before_anything_runs)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(-1, 2));
    maker_input(&t.m, "numbers", DIMS(-1));
    t.m.inputs[1]->type->tensor_type->elem_type = AVAL_INT64;
    maker_node(&t.m, "Tanh", "numbers", "a")->name = aval__arena_text(&t.m.arena, "first");
    maker_node(&t.m, "Add", "x numbers", "b")->name = aval__arena_text(&t.m.arena, "second");
    maker_node(&t.m, "Tanh", "x", "y");
    maker_output(&t.m, "y");
    onnx_expect(&t, AVAL_E_UNSUPPORTED, "2 things are not supported");
    expect_message("'first'");
    expect_message("'second'");
    onnx_finish(&t);
}

Test(onnx, what_shapes_that_only_a_run_tells_hide_is_told_too)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(-1));
    maker_input(&t.m, "shape", DIMS(1));
    t.m.inputs[1]->type->tensor_type->elem_type = AVAL_INT64;
    maker_node(&t.m, "Reshape", "x shape", "a");
    maker_node(&t.m, "Add", "a shape", "y")->name = aval__arena_text(&t.m.arena, "behind");
    maker_output(&t.m, "y");
    onnx_expect(&t, AVAL_E_UNSUPPORTED, "'behind'");
    onnx_finish(&t);
}

Test(onnx, sizes_that_may_fit_once_they_are_known_are_no_refusal)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(-1, 2));
    maker_input(&t.m, "z", DIMS(5, 2));
    maker_node(&t.m, "Add", "x z", "a");
    maker_node(&t.m, "Tanh", "a", "y");
    maker_output(&t.m, "y");
    onnx_read_good(&t);
    onnx_finish(&t);
}

Test(onnx, constants_come_in_every_form)
{
    onnx_test t;
    onnx_start(&t, 13);
    int64_t ints[2] = { -1, 7 };
    Aval__Onnx__Attribute *a = maker_attr(&t.m, maker_node(&t.m, "Constant", "", "tensor"), "value", 4);
    a->t = maker_tensor(&t.m, "", AVAL_FLOAT, DIMS(1, 2), two, sizeof two);
    maker_float(&t.m, maker_node(&t.m, "Constant", "", "float"), "value_float", 1.5f);
    a = maker_attr(&t.m, maker_node(&t.m, "Constant", "", "ints"), "value_ints", 7);
    a->ints = ints;
    a->n_ints = 2;
    a = maker_attr(&t.m, maker_node(&t.m, "Constant", "", "floats"), "value_floats", 6);
    a->floats = (float *)(uintptr_t)two;
    a->n_floats = 2;
    for (const char *const *o = (const char *const[]){ "tensor", "float", "ints", "floats", NULL }; *o; o++) maker_output(&t.m, *o);
    onnx_read_good(&t);
    const aval__onnx_port *out = t.read.outputs.at;
    cr_expect(out[0].value->tensor.rank == 2 && memcmp(out[0].value->data, two, sizeof two) == 0);
    cr_expect(out[1].value->tensor.rank == 0 && *(const float *)out[1].value->data == 1.5f);
    cr_expect(out[2].value->tensor.type == AVAL_INT64 && memcmp(out[2].value->data, ints, sizeof ints) == 0);
    cr_expect(out[3].value->tensor.dims[0] == 2 && memcmp(out[3].value->data, two, sizeof two) == 0);
    onnx_finish(&t);
}

Test(onnx, a_tensor_attribute_named_like_an_input_becomes_it)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    maker_attr(&t.m, maker_node(&t.m, "WithValue", "x", "y"), "value", 4)->t = maker_tensor(&t.m, "", AVAL_FLOAT, DIMS(2), two, sizeof two);
    maker_output(&t.m, "y");
    onnx_read_good(&t);
    const aval_node *node = t.read.outputs.at[0].value->producer;
    cr_assert_eq(node->n_inputs, 2);
    cr_expect_eq(memcmp(node->inputs[1]->data, two, sizeof two), 0);
    onnx_finish(&t);
}

Test(onnx, typed_elements_are_read_in_every_type)
{
    static const struct {
        int type;
        size_t bytes;
    } types[] = { { AVAL_INT8, 1 },  { AVAL_UINT8, 1 }, { AVAL_INT16, 2 },  { AVAL_UINT16, 2 },
                  { AVAL_INT32, 4 }, { AVAL_BOOL, 1 },  { AVAL_FLOAT16, 2 } };
    int32_t elements[3] = { 1, 0, 1 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        onnx_test t;
        onnx_start(&t, 13);
        Aval__Onnx__Tensor *tensor = maker_initializer(&t.m, "c", types[i].type, DIMS(3), NULL, 0);
        tensor->int32_data = elements;
        tensor->n_int32_data = 3;
        maker_output(&t.m, "c");
        onnx_read_good(&t);
        const aval_value *c = t.read.outputs.at[0].value;
        const unsigned char *data = c->kind == AVAL__STATE ? t.read.states.at[0].data : c->data;
        cr_expect(data[0] == 1 && data[types[i].bytes] == 0 && data[2 * types[i].bytes] == 1, "%s", aval_type_name(types[i].type));
        onnx_finish(&t);
    }
}

/* ---- Functions ------------------------------------------------------------------------------------------------------------------------ */

Test(onnx, functions_are_expanded_with_the_attributes_of_the_call)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    Aval__Onnx__Function *f = maker_function(&t.m, "Twice", "in", "out", 2);
    f->node[0] = maker_loose_node(&t.m, "Scale", "in", "x"); /* the name is another's outside */
    maker_attr(&t.m, f->node[0], "by", 1)->ref_attr_name = (char *)(uintptr_t) "factor";
    f->node[1] = maker_loose_node(&t.m, "Tanh", "x", "out");
    Aval__Onnx__Node *call = maker_local(&t.m, maker_node(&t.m, "Twice", "x", "h"));
    call->name = aval__arena_text(&t.m.arena, "call");
    maker_float(&t.m, call, "factor", 3);
    maker_local(&t.m, maker_node(&t.m, "Twice", "h", "y"));
    maker_output(&t.m, "y");
    onnx_read_good(&t);
    const aval_node *second = t.read.outputs.at[0].value->producer->inputs[0]->producer;
    const aval_node *first = second->inputs[0]->producer->inputs[0]->producer;
    cr_expect_eq(second->attrs.at[0].real, 2, "an attribute that the call does not give has its default");
    cr_expect_eq(first->attrs.at[0].real, 3);
    cr_expect_str_eq(first->outputs[0]->name, "call/x");
    onnx_finish(&t);
}

Test(onnx, a_function_that_calls_itself_is_refused)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    Aval__Onnx__Function *f = maker_function(&t.m, "Endless", "in", "out", 1);
    f->node[0] = maker_local(&t.m, maker_loose_node(&t.m, "Endless", "in", "out"));
    maker_local(&t.m, maker_node(&t.m, "Endless", "x", "y"));
    maker_output(&t.m, "y");
    onnx_expect(&t, AVAL_E_FORMAT, "or themselves");
    onnx_finish(&t);
}

Test(onnx, functions_that_double_at_each_level_are_refused_before_they_fill_the_memory)
{
    onnx_test t;
    char names[15][8];
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(2));
    for (int i = 0; i < 14; i++) { /* each calls the next eight times: 8^14 nodes */
        snprintf(names[i], sizeof names[i], "F%d", i);
        snprintf(names[i + 1], sizeof names[i + 1], "F%d", i + 1);
        Aval__Onnx__Function *f = maker_function(&t.m, names[i], "in", "out", 8);
        for (int k = 0; k < 8; k++) {
            char out[8];
            snprintf(out, sizeof out, k < 7 ? "v%d" : "out", k);
            f->node[k] = maker_local(&t.m, maker_loose_node(&t.m, names[i + 1], "in", out));
        }
    }
    Aval__Onnx__Function *f = maker_function(&t.m, names[14], "in", "out", 1);
    f->node[0] = maker_loose_node(&t.m, "Unheard", "in", "out"); /* so that no node of the graph takes time */
    maker_local(&t.m, maker_node(&t.m, "F0", "x", "y"));
    maker_output(&t.m, "y");
    onnx_expect(&t, AVAL_E_FORMAT, "more than 1000000 nodes");
    onnx_finish(&t);
}

Test(onnx, a_version_of_operators_that_is_newer_than_what_is_known_is_told)
{
    static const int64_t versions[] = { 23, 24 };
    for (size_t i = 0; i < 2; i++) {
        onnx_test t;
        onnx_start(&t, versions[i]);
        maker_input(&t.m, "x", DIMS(2));
        maker_node(&t.m, "Tanh", "x", "y");
        maker_output(&t.m, "y");
        onnx_read_good(&t);
        cr_expect_eq(strstr(t.f.warned.last, "version 24 of ONNX's operators") != NULL, i == 1, "%s", t.f.warned.last);
        onnx_finish(&t);
    }
}
