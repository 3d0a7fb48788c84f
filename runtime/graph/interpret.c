/* The referee: an expanded graph in double on the host, node by node through the ops' references. */
#include "graph/parts.h"

void aval__interpretation_release(aval__interpretation *in)
{
    for (size_t i = 0; in->at && i < in->count; i++) aval__host_tensor_release(&in->at[i]);
    aval__free(in->at);
    *in = (aval__interpretation){ 0 };
}

static int take_content(aval__host_tensor *to, const aval_value *value, const aval__host_tensor *given)
{
    if (!value->data && !given)
        return aval__fail(AVAL_E_CONTENT, "value '%s' is needed to interpret the graph, and has no content", aval__value_label(value));
    const aval_tensor *shape = value->data ? &value->tensor : &given->tensor;
    if (given && !value->data && (given->tensor.type != value->tensor.type || !aval__tensor_same_shape(&given->tensor, &value->tensor)))
        return aval__fail(AVAL_E_SHAPE, "value '%s' was given a content of another shape or type", aval__value_label(value));
    AVAL__TRY(aval__host_tensor_make(to, shape));
    size_t count = (size_t)aval__tensor_count(shape);
    if (value->data) aval__host_tensor_from(to, value->data);
    else
        for (size_t i = 0; i < count; i++) {
            if (to->real) to->real[i] = given->real[i];
            else to->integer[i] = given->integer[i];
        }
    return AVAL_OK;
}

/* Contents of values that no node makes. */
static int make_source(aval__interpretation *in, const aval_value *value, const aval__host_tensor *const *inputs)
{
    aval__host_tensor *t = &in->at[value->id];
    if (value->kind == AVAL__PRODUCED || t->real || t->integer) return AVAL_OK;
    bool is_fed = value->kind != AVAL__CONSTANT; /* constants may be newer than the caller's array */
    return take_content(t, value, is_fed && inputs ? inputs[value->id] : NULL);
}

static int check_node(const aval_node *node)
{
    if (node->kind == AVAL__OP && (node->def->kind == AVAL__EXPRESSION || node->def->kind == AVAL__KERNELS)) return AVAL_OK;
    aval__text text = { 0 };
    aval__node_label(&text, node);
    int code = text.failed ? AVAL_E_MEMORY
                           : aval__fail(AVAL_E_UNSUPPORTED,
                                        "%s has no reference: only expanded graphs without backward recorders can be interpreted", text.at);
    aval__text_release(&text);
    return code;
}

static int interpret_node(aval__interpretation *in, const aval_node *node, const aval__host_tensor *const *given)
{
    AVAL__TRY(check_node(node));
    int status = AVAL_OK;
    const aval__host_tensor **inputs = aval__alloc_array(node->n_inputs, sizeof *inputs);
    aval__host_tensor **outputs = aval__alloc_array(node->n_outputs, sizeof *outputs);
    if (!inputs || !outputs) AVAL__TRY_DONE(AVAL_E_MEMORY);
    for (size_t i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i]) continue;
        AVAL__TRY_DONE(make_source(in, node->inputs[i], given));
        inputs[i] = &in->at[node->inputs[i]->id];
    }
    for (size_t i = 0; i < node->n_outputs; i++) {
        outputs[i] = &in->at[node->outputs[i]->id];
        AVAL__TRY_DONE(aval__host_tensor_make(outputs[i], &node->outputs[i]->tensor));
    }
    AVAL__TRY_DONE(aval__reference(node->def, &node->attrs, node->name, inputs, node->n_inputs, outputs, node->n_outputs));
done:
    aval__free(inputs);
    aval__free(outputs);
    return status;
}

int aval__graph_interpret(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, const aval__host_tensor *const *inputs,
                          aval__interpretation *out)
{
    aval_node **order = NULL;
    size_t count = 0;
    aval__interpretation in = { .count = g->values.count };
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    if (status < 0) return status;
    in.at = aval__alloc_array(g->values.count, sizeof *in.at);
    if (!in.at) status = AVAL_E_MEMORY;
    for (size_t n = 0; n < count && status == AVAL_OK; n++) status = interpret_node(&in, order[n], inputs);
    for (size_t i = 0; i < n_wanted && status == AVAL_OK; i++) status = make_source(&in, g->values.at[wanted[i]->id], inputs);
    aval__free(order);
    if (status < 0) aval__interpretation_release(&in);
    else *out = in;
    return status;
}
