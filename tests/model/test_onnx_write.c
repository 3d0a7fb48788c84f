/* Graphs become ONNX files that are read back as the same graphs. */
#include "onnx_fixture.h"

#include "fail_alloc.h"

static const float two[2] = { 0.5f, 2 };

static int content(void *user, aval__arena *arena, const aval_value *state, const void **data)
{
    (void)user;
    (void)arena;
    (void)state;
    *data = two;
    return AVAL_OK;
}

/* Through a file into a fresh graph. */
static int write_and_read(onnx_test *t, const aval__onnx_port *outputs, size_t n)
{
    expect_built(t->f.g);
    AVAL__TRY(aval__onnx_write(t->file, t->f.g, outputs, n, content, NULL));
    aval_graph *fresh = aval__graph_create(t->f.registry, &t->f.log);
    AVAL__TRY(aval__onnx_read(t->file, fresh, &t->read));
    aval_graph_release(t->f.g);
    t->f.g = fresh;
    return AVAL_OK;
}

Test(onnx_write, names_attributes_and_weights_come_back)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *x = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(-1, 2)),
               *w = aval_graph_state(t.f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *c = aval_graph_constant(t.f.g, AVAL_FLOAT, AVAL_SHAPE(2), two);
    aval_value *h = aval_apply(t.f.g, "Mul", NULL, aval_apply(t.f.g, "Scale", "by=0.25", x), w);
    aval_value *y = aval_apply(t.f.g, "Add", NULL, h, c);
    cr_assert_eq(write_and_read(&t, (aval__onnx_port[]){ { "sum/of it", y }, { NULL, h } }, 2), 0, "%s", aval_error());
    cr_assert_eq(t.read.outputs.count, 2);
    cr_expect_str_eq(t.read.outputs.at[0].name, "sum/of it");
    cr_expect_eq(t.read.inputs.at[0].value->tensor.dims[0], -1);
    cr_expect_eq(t.read.outputs.at[0].value->tensor.type, AVAL_FLOAT, "known from what was written");
    cr_expect_eq(t.read.outputs.at[0].value->tensor.dims[1], 2);
    cr_assert_eq(t.read.states.count, 1, "constants stay constants");
    cr_expect_str_eq(t.read.states.at[0].value->name, "w");
    const aval_node *sum = t.read.outputs.at[0].value->producer, *product = sum->inputs[0]->producer;
    cr_expect_eq(memcmp(sum->inputs[1]->data, two, sizeof two), 0);
    cr_expect_eq(product->inputs[0]->producer->attrs.at[0].real, 0.25);
    cr_expect_eq(t.read.outputs.at[1].value, sum->inputs[0]);
    onnx_finish(&t);
}

Test(onnx_write, equal_names_are_told_apart)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *a = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2)), *b = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *y = aval_apply(t.f.g, "Mul", NULL, a, b);
    aval_value_set_name(y, "x");
    cr_assert_eq(write_and_read(&t, (aval__onnx_port[]){ { NULL, y } }, 1), 0, "%s", aval_error());
    cr_assert_eq(t.read.inputs.count, 2);
    cr_expect_str_eq(t.read.inputs.at[0].name, "x");
    cr_expect_str_neq(t.read.inputs.at[1].name, "x");
    onnx_finish(&t);
}

Test(onnx_write, a_model_that_was_read_keeps_the_forms_of_its_operators)
{
    onnx_test t;
    onnx_start(&t, 9);
    maker_input(&t.m, "x", DIMS(2));
    maker_float(&t.m, maker_node(&t.m, "Formed", "x", "y"), "old", 3);
    maker_output(&t.m, "y");
    onnx_read_good(&t);
    aval__onnx_port y = { "y", t.read.outputs.at[0].value };
    aval__onnx_release(&t.read);
    cr_assert_eq(write_and_read(&t, &y, 1), 0, "%s", aval_error());
    cr_expect_eq(t.f.g->version, 9);
    cr_expect_str_eq(t.read.outputs.at[0].value->producer->attrs.at[0].name, "old");
    onnx_finish(&t);
}

Test(onnx_write, a_graph_that_was_built_is_of_version_21)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *y = aval_apply(t.f.g, "Formed", "fresh=5", aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2)));
    cr_assert_eq(write_and_read(&t, (aval__onnx_port[]){ { "y", y } }, 1), 0, "%s", aval_error());
    cr_expect_eq(t.f.g->version, 21);
    onnx_finish(&t);
}

Test(onnx_write, what_onnx_has_no_place_for_is_said)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *x = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2)), *y = aval_apply(t.f.g, "Tanh", NULL, x);
    aval_value *dx = aval_graph_gradient(t.f.g, y, x, aval_graph_constant(t.f.g, AVAL_FLOAT, AVAL_SHAPE(2), two));
    expect_built(t.f.g);
    cr_expect_eq(aval__onnx_write(t.file, t.f.g, &(aval__onnx_port){ NULL, dx }, 1, content, NULL), AVAL_E_UNSUPPORTED);
    expect_message("upstream gradient");
    cr_expect_eq(access(t.file, F_OK), -1, "nothing is written");
    onnx_finish(&t);
}

/* By z, which is computed from x: so only w is what else y is computed from. */
Test(onnx_write, a_gradient_is_one_when_it_is_read)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *x = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(2)), *w = aval_graph_state(t.f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *z = aval_apply(t.f.g, "Tanh", NULL, x), *y = aval_apply(t.f.g, "Mul", NULL, z, w);
    aval_value *dz = aval_graph_gradient(t.f.g, y, z, NULL);
    cr_assert_eq(write_and_read(&t, (aval__onnx_port[]){ { "y", y }, { "dz", dz } }, 2), 0, "%s", aval_error());
    const aval_value *product = t.read.outputs.at[0].value;
    const aval_node *request = t.read.outputs.at[1].value->producer;
    cr_assert_eq(request->kind, AVAL__GRADIENT_REQUEST);
    cr_expect_eq(request->inputs[0], product);
    cr_expect_eq(request->inputs[1], product->producer->inputs[0]);
    onnx_finish(&t);
}

/* What a file says of axis `axis` of the value of this name. */
static const char *said_of(Aval__Onnx__ValueInfo *const *infos, size_t count, const char *name, size_t axis)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(infos[i]->name, name) == 0) {
            const Aval__Onnx__Shape *shape = infos[i]->type->tensor_type->shape;
            return shape && axis < shape->n_dim && shape->dim[axis]->dim_param ? shape->dim[axis]->dim_param : "a number";
        }
    return "nothing";
}

Test(onnx_write, dimensions_keep_their_names)
{
    onnx_test t;
    onnx_start(&t, 13);
    maker_input(&t.m, "x", DIMS(-1, 2));
    maker_input(&t.m, "z", DIMS(-1));
    t.m.inputs[1]->type->tensor_type->shape->dim[0]->dim_param = aval__arena_text(&t.m.arena, "two words");
    maker_input(&t.m, "u", DIMS(-1, 1));
    t.m.inputs[2]->type->tensor_type->shape->dim[0]->dim_param = NULL;
    maker_node(&t.m, "Tanh", "x", "h");
    maker_node(&t.m, "Tanh", "h", "k");
    maker_node(&t.m, "Mul", "k x", "y");
    maker_node(&t.m, "Tanh", "z", "v");
    maker_node(&t.m, "Add", "z u", "sum");
    for (const char *const *name = (const char *const[]){ "y", "v", "sum", NULL }; *name; name++) maker_output(&t.m, *name);
    Aval__Onnx__ValueInfo *said = maker_info(&t.m, "h", DIMS(-1, 2));
    said->type->tensor_type->shape->dim[0]->dim_param = aval__arena_text(&t.m.arena, "rows");
    t.m.graph.value_info = &said;
    t.m.graph.n_value_info = 1;
    onnx_read_good(&t);
    const aval__onnx_port outputs[] = { t.read.outputs.at[0], t.read.outputs.at[1], t.read.outputs.at[2] };
    cr_assert_eq(aval__onnx_write(t.file, t.f.g, outputs, 3, content, NULL), 0, "%s", aval_error());

    unsigned char *bytes;
    size_t count;
    cr_assert_eq(aval__file_read(t.file, 1 << 20, &bytes, &count), 0, "%s", aval_error());
    Aval__Onnx__Model *model = aval__onnx__model__unpack(NULL, count, bytes);
    const Aval__Onnx__Graph *g = model->graph;
    cr_expect_str_eq(said_of(g->input, g->n_input, "x", 0), "N");
    cr_expect_str_eq(said_of(g->input, g->n_input, "x", 1), "a number");
    cr_expect_str_eq(said_of(g->input, g->n_input, "z", 0), "two words");
    cr_expect_str_eq(said_of(g->input, g->n_input, "u", 0), "u.0", "it had none");
    cr_expect_str_eq(said_of(g->value_info, g->n_value_info, "h", 0), "rows");
    cr_expect_str_eq(said_of(g->value_info, g->n_value_info, "h", 1), "a number");
    cr_expect_str_eq(said_of(g->value_info, g->n_value_info, "k", 0), "nothing");
    cr_expect_str_eq(said_of(g->output, g->n_output, "y", 0), "N", "it moves with x");
    cr_expect_str_eq(said_of(g->output, g->n_output, "y", 1), "a number");
    cr_expect_str_eq(said_of(g->output, g->n_output, "v", 0), "two words");
    cr_expect_str_eq(said_of(g->output, g->n_output, "sum", 0), "u.0");
    cr_expect_str_eq(said_of(g->output, g->n_output, "sum", 1), "two words");
    aval__onnx__model__free_unpacked(model, NULL);
    aval__free(bytes);
    onnx_finish(&t);
}

Test(onnx_write, each_failing_allocation_is_an_error_without_a_leak)
{
    onnx_test t;
    onnx_start(&t, 13);
    aval_value *x = aval_graph_input(t.f.g, "x", AVAL_FLOAT, AVAL_SHAPE(-1, 2)),
               *w = aval_graph_state(t.f.g, "w", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *c = aval_graph_constant(t.f.g, AVAL_FLOAT, AVAL_SHAPE(2), two);
    aval_value *h = aval_apply(t.f.g, "Scale", "by=0.25", x), *y = aval_apply(t.f.g, "Add", NULL, aval_apply(t.f.g, "Mul", NULL, h, w), c);
    expect_built(t.f.g);
    cr_assert_eq(aval__value_name_axes(h, "rows\n"), 0);
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        int status = aval__onnx_write(t.file, t.f.g, (aval__onnx_port[]){ { "y", y }, { "in", x } }, 2, content, NULL);
        size_t outstanding = fail_alloc_outstanding(), allocations = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY, "allocation %zu: %d, %s", n, status, aval_error());
        cr_assert_eq(outstanding, 0, "allocation %zu: %zu were not given back", n, outstanding);
        if (allocations < n) break;
    }
    onnx_finish(&t);
}
