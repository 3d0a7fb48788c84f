/* Calls of the functions that a model brings: the function's nodes are added at each call, in a scope of their own. */
#include "model/onnx.h"

#include <string.h>

const onnx_function *onnx_function_of(const onnx_reader *r, const onnx_node *node)
{
    for (size_t i = 0; i < r->model->n_functions; i++) {
        const onnx_function *f = r->model->functions[i];
        if (strcmp(onnx_text(f->name), onnx_text(node->op_type)) == 0 && strcmp(onnx_text(f->domain), onnx_text(node->domain)) == 0 &&
            strcmp(onnx_text(f->overload), onnx_text(node->overload)) == 0)
            return f;
    }
    return NULL;
}

/* What the call gives, and defaults for what it does not. */
static int gather_attrs(onnx_reader *r, const onnx_function *function, const onnx_attrs *given, onnx_attrs *out)
{
    onnx_attr *at = aval__arena_alloc(&r->out->arena, (given->count + function->n_attribute_proto + 1) * sizeof *at);
    if (!at) return AVAL_E_MEMORY;
    *out = (onnx_attrs){ .at = at, .count = given->count };
    for (size_t i = 0; i < given->count; i++) at[i] = given->at[i];
    for (size_t i = 0; i < function->n_attribute_proto; i++) {
        const char *name = onnx_text(function->attribute_proto[i]->name);
        if (!onnx_attrs_find(given, name)) at[out->count++] = (onnx_attr){ name, function->attribute_proto[i] };
    }
    return AVAL_OK;
}

static int name_inputs(onnx_scope *inner, const onnx_function *function, aval_value *const *inputs, size_t n_inputs)
{
    for (size_t i = 0; i < function->n_input; i++)
        AVAL__TRY(onnx_names_add(&inner->names, function->input[i], i < n_inputs ? inputs[i] : NULL));
    return AVAL_OK;
}

static int take_outputs(const onnx_scope *inner, const onnx_function *function, size_t n_outputs, aval_value **outputs)
{
    for (size_t i = 0; i < n_outputs; i++)
        if (!onnx_names_find(&inner->names, function->output[i], &outputs[i]))
            return aval__fail(AVAL_E_FORMAT, "nothing in the function '%.100s' gives its output '%.200s'", onnx_text(function->name),
                              function->output[i]);
    return AVAL_OK;
}

int onnx_call(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, const onnx_function *function, const onnx_attrs *attrs,
              aval_value *const *inputs, size_t n_inputs, aval_value **outputs)
{
    onnx_scope inner = { .depth = scope->depth + 1 };
    int status = AVAL_OK;
    if (inner.depth > ONNX_MOST_DEPTH)
        return aval__fail(AVAL_E_FORMAT, "functions call each other more than %d deep, or themselves", ONNX_MOST_DEPTH);
    if (n_inputs > function->n_input || node->n_output > function->n_output)
        return aval__fail(AVAL_E_FORMAT, "expected at most %zu inputs and %zu outputs, found %zu and %zu", function->n_input,
                          function->n_output, n_inputs, node->n_output);
    inner.opsets = function->n_opset_import ? function->opset_import : scope->opsets;
    inner.n_opsets = function->n_opset_import ? function->n_opset_import : scope->n_opsets;
    inner.path = onnx_path_within(r, scope, node, "");
    if (!inner.path) return AVAL_E_MEMORY;
    AVAL__TRY(gather_attrs(r, function, attrs, &inner.given));
    AVAL__TRY_DONE(name_inputs(&inner, function, inputs, n_inputs));
    AVAL__TRY_DONE(onnx_add_nodes(r, &inner, function->node, function->n_node));
    AVAL__TRY_DONE(take_outputs(&inner, function, node->n_output, outputs));
done:
    onnx_names_release(&inner.names);
    return status;
}
