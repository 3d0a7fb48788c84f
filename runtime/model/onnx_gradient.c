/* Gradient of ai.onnx.preview.training: a request of the graph for d y / d x, where both are values of the model by their names. */
#include "model/onnx.h"

#include <string.h>

/* A text of the file, which ends with no 0. */
static int value_named(onnx_reader *r, onnx_scope *scope, ProtobufCBinaryData text, aval_value **value)
{
    char *name = aval__arena_alloc(&r->out->arena, text.len + 1);
    if (!name) return AVAL_E_MEMORY;
    if (text.len) memcpy(name, text.data, text.len);
    int status = onnx_find_value(r, scope, name, value);
    return status == AVAL_E_UNKNOWN ? aval__fail(AVAL_E_FORMAT, "there is no value '%.200s' to differentiate", name) : status;
}

/* The inputs are what `names` stand for: another content for them would be another graph. */
static int check_inputs(onnx_reader *r, onnx_scope *scope, const onnx_attribute *names, aval_value *const *inputs)
{
    for (size_t i = 0; names && i < names->n_strings; i++) {
        aval_value *value;
        AVAL__TRY(value_named(r, scope, names->strings[i], &value));
        if (value != inputs[i])
            return aval__fail(AVAL_E_UNSUPPORTED, "input %zu is another value than '%.*s', which it is to replace", i,
                              (int)names->strings[i].len, (const char *)names->strings[i].data);
    }
    return AVAL_OK;
}

int onnx_add_gradient(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                      aval_value **outputs)
{
    const onnx_attribute *xs = onnx_attrs_find(attrs, "xs"), *zs = onnx_attrs_find(attrs, "zs"), *y = onnx_attrs_find(attrs, "y");
    aval_value *of;
    size_t n_xs = xs ? xs->n_strings : 0, n_zs = zs ? zs->n_strings : 0;
    if (!y || n_xs == 0 || node->n_input != n_xs + n_zs || node->n_output != n_xs)
        return aval__fail(AVAL_E_FORMAT,
                          "expected an input for each of xs and zs, an output for each of xs, and y, found %zu and %zu names", n_xs, n_zs);
    AVAL__TRY(value_named(r, scope, y->s, &of));
    AVAL__TRY(check_inputs(r, scope, xs, inputs));
    AVAL__TRY(check_inputs(r, scope, zs, inputs + n_xs));
    for (size_t i = 0; i < n_xs; i++) {
        if (!of || !inputs[i]) continue; /* what is missing has been told */
        outputs[i] = aval_graph_gradient(r->g, of, inputs[i], NULL);
        if (!outputs[i]) return aval_graph_status(r->g);
    }
    return AVAL_OK;
}
