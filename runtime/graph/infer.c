/* Shapes and element types of values, by the ops' infer functions. */
#include "graph/parts.h"

static const aval_tensor unknown_tensor = { .type = AVAL_NONE, .rank = -1 };

/* What the content callback needs, and what it found. */
typedef struct inference {
    const aval_node *node;
    aval__contents contents;
    int status; /* of computing a content */
    const aval_value *missing; /* asked for, and not known */
} inference;

static const void *content_of_input(void *user, size_t i)
{
    inference *in = user;
    const void *data = NULL;
    if (i >= in->node->n_inputs || !in->node->inputs[i]) return NULL;
    int status = aval__contents_get(&in->contents, in->node->inputs[i], &data);
    if (status < 0) in->status = status;
    else if (!data) in->missing = in->node->inputs[i];
    return data;
}

static int fail_unfed(const aval_node *node, const aval_value *value)
{
    aval__text text = { 0 };
    aval__node_label(&text, node);
    aval__text_add(&text, ": feed its input first, so that its shape is known: '%s' is ", aval__value_label(value));
    aval__tensor_print(&text, &value->tensor);
    int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_SHAPE, "%s", text.at);
    aval__text_release(&text);
    return code;
}

static int fail_missing(const aval_node *node, const aval_value *missing)
{
    aval__text text = { 0 };
    aval__node_label(&text, node);
    aval__text_add(&text, ": the content of its input '%s' must be known to plan, and is not: make it a constant or an input that is fed",
                   aval__value_label(missing));
    int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_CONTENT, "%s", text.at);
    aval__text_release(&text);
    return code;
}

/* The upstream gradient of a request must be like the value that is differentiated. */
static int fail_upstream(const aval_node *request, int code)
{
    const aval_value *of = request->inputs[0], *upstream = request->inputs[2];
    aval__text text = { 0 };
    aval__node_label(&text, request);
    aval__text_add(&text, ": the upstream gradient '%s' is ", aval__value_label(upstream));
    aval__tensor_print(&text, &upstream->tensor);
    aval__text_add(&text, ", expected ");
    aval__tensor_print(&text, &of->tensor);
    aval__text_add(&text, " like '%s', which is differentiated", aval__value_label(of));
    code = text.failed ? AVAL_E_MEMORY : aval__fail(code, "%s", text.at);
    aval__text_release(&text);
    return code;
}

/* Inputs: of, wrt, upstream. */
static int infer_request(const aval_node *node)
{
    const aval_value *of = node->inputs[0], *wrt = node->inputs[1], *upstream = node->inputs[2];
    node->outputs[0]->tensor = wrt->tensor;
    if (!upstream || !aval__tensor_known(&upstream->tensor) || !aval__tensor_known(&of->tensor)) return AVAL_OK;
    bool same_shape = aval__tensor_same_shape(&upstream->tensor, &of->tensor);
    if (!same_shape || upstream->tensor.type != of->tensor.type) return fail_upstream(node, same_shape ? AVAL_E_TYPE : AVAL_E_SHAPE);
    return AVAL_OK;
}

static int infer_op(const aval_node *node)
{
    inference in = { .node = node };
    aval__tensors inputs = { 0 };
    aval_tensor *outputs[AVAL_MAX_PORTS];
    int status = aval__tensors_of(&inputs, node->inputs, node->n_inputs);
    if (status < 0) return status;
    for (size_t i = 0; i < node->n_outputs; i++) outputs[i] = &node->outputs[i]->tensor;
    status = aval__infer(node->def, &node->attrs, node->name, inputs.at, node->n_inputs, outputs, node->n_outputs, content_of_input, &in);
    if (status == AVAL_E_CONTENT) {
        for (size_t i = 0; i < node->n_outputs; i++) *outputs[i] = unknown_tensor;
        if (in.status < 0) status = in.status;
        else if (in.missing) status = fail_missing(node, in.missing);
        node->graph->missing = in.missing;
    }
    aval__contents_release(&in.contents);
    aval__tensors_release(&inputs);
    return status;
}

size_t aval__graph_count_outputs(const aval__opdef *def, const aval__attrs *attrs, aval_value *const *inputs, size_t n_inputs)
{
    static const aval__attrs none = { 0 };
    const aval_node node = { .def = def, .inputs = (aval_value **)inputs, .n_inputs = (uint32_t)n_inputs }; /* only read */
    inference in = { .node = &node };
    aval__tensors tensors = { 0 };
    size_t count = def->n_outputs;
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i] && !aval__tensor_known(&inputs[i]->tensor)) return count;
    if (aval__tensors_of(&tensors, inputs, n_inputs) == AVAL_OK)
        count = aval__infer_count(def, attrs ? attrs : &none, tensors.at, n_inputs, content_of_input, &in);
    aval__contents_release(&in.contents);
    aval__tensors_release(&tensors);
    return count < AVAL_MAX_PORTS ? count : AVAL_MAX_PORTS;
}

int aval__node_infer(aval_node *node)
{
    if (node->kind == AVAL__GRADIENT_REQUEST) return infer_request(node);
    if (node->kind == AVAL__LOOP) /* only a copy may change: a graph that is edited waits for planning */
        return node->graph->planning ? aval__loop_unroll(node) : aval__fail(AVAL_E_CONTENT, "a loop has its shapes when it is planned");
    if (node->def->kind != AVAL__BACKWARD) return infer_op(node);
    for (size_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i]) node->outputs[i]->tensor = node->forward->inputs[i]->tensor;
    return AVAL_OK;
}

int aval__graph_bind(aval_value *input, const aval_tensor *shape)
{
    const aval_tensor *declared = &input->tensor;
    bool fits = shape->type == declared->type && shape->rank == declared->rank;
    for (int32_t i = 0; fits && i < shape->rank; i++)
        fits = shape->dims[i] >= 0 && (declared->dims[i] < 0 || declared->dims[i] == shape->dims[i]);
    if (fits) {
        input->tensor = *shape;
        return AVAL_OK;
    }
    aval__text text = { 0 };
    aval__text_add(&text, "input '%s' was declared as ", aval__value_label(input));
    aval__tensor_print(&text, declared);
    aval__text_add(&text, ", but is fed ");
    aval__tensor_print(&text, shape);
    int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_SHAPE, "%s", text.at);
    aval__text_release(&text);
    return code;
}

bool aval__node_is_lazy(const aval_node *node, size_t input)
{
    if (node->kind != AVAL__OP || node->def->kind != AVAL__BODY) return false;
    return node->def->op->inputs[aval__input_port(node->def, input)].flags & AVAL_LAZY;
}

/* An input that must be known before the node's shapes can be, and is not; NULL: none. */
static const aval_value *find_unknown_input(const aval_node *node)
{
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && !aval__tensor_known(&node->inputs[i]->tensor) && !aval__node_is_lazy(node, i)) return node->inputs[i];
    return NULL;
}

/* The input without a shape that an op which uses only some was found to use; there is one, or nobody knows which. */
static const aval_value *find_lazy_unknown(const aval_node *node)
{
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && !aval__tensor_known(&node->inputs[i]->tensor)) return node->inputs[i];
    return NULL;
}

/* Says why a wanted value has no shape: its node's inference is the one that failed, or that of one before it. */
static int fail_unknown(const aval_value *value)
{
    for (const aval_node *reader = NULL;;) {
        aval_node *node = value->kind == AVAL__PRODUCED ? value->producer : NULL;
        const aval_value *unknown = node ? find_unknown_input(node) : NULL;
        if (!node && reader) return fail_unfed(reader, value);
        if (!node) return aval__fail(AVAL_E_SHAPE, "'%s' is wanted, and its shape is not known: feed it first", aval__value_label(value));
        if (unknown) {
            value = unknown;
            reader = node;
            continue;
        }
        int status = aval__node_infer(node);
        const aval_value *chosen = status == AVAL_E_CONTENT && !node->graph->missing ? find_lazy_unknown(node) : NULL;
        if (!chosen) return status < 0 ? status : aval__fail(AVAL_E_INTERNAL, "'%s' has a shape after all", aval__value_label(value));
        value = chosen;
        reader = node;
    }
}

int aval__graph_infer(aval_graph *g, aval_value *const *wanted, size_t n_wanted)
{
    aval_node **order = NULL;
    size_t count = 0;
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    /* A failure counts only where a wanted value needs it: a branch that is not taken may not fit. */
    for (size_t n = 0; n < count && status == AVAL_OK; n++) {
        int inferred = find_unknown_input(order[n]) ? AVAL_E_SHAPE : aval__node_infer(order[n]);
        for (size_t i = 0; i < order[n]->n_outputs && inferred < 0; i++)
            if (order[n]->outputs[i]) order[n]->outputs[i]->tensor = unknown_tensor;
        if (inferred == AVAL_E_MEMORY) status = inferred;
    }
    for (size_t i = 0; i < n_wanted && status == AVAL_OK; i++) {
        const aval_value *value = g->values.at[wanted[i]->id];
        if (value->kind == AVAL__PRODUCED && !aval__tensor_known(&value->tensor)) status = fail_unknown(value);
    }
    aval__free(order);
    return status;
}

int aval__graph_infer_all(aval_graph *g, aval__inference_told told, void *user)
{
    aval_node **order = NULL;
    size_t count = 0, n_living = 0;
    int status = AVAL_OK;
    aval_value **living = aval__alloc_array(g->values.count, sizeof *living);
    if (!living) return AVAL_E_MEMORY;
    for (size_t i = 0; i < g->values.count; i++)
        if (!g->values.at[i]->dead) living[n_living++] = g->values.at[i];
    AVAL__TRY_DONE(aval__graph_order_links(g, living, n_living, &order, &count));
    for (size_t n = 0; n < count && status == AVAL_OK; n++) {
        aval_node *node = order[n];
        if (node->kind != AVAL__OP || find_unknown_input(node)) continue;
        int inferred = aval__node_infer(node);
        for (size_t i = 0; i < node->n_outputs && inferred < 0; i++)
            if (node->outputs[i]) node->outputs[i]->tensor = unknown_tensor;
        status = inferred == AVAL_E_MEMORY ? inferred : told(user, node, inferred);
    }
done:
    aval__free(order);
    aval__free(living);
    return status;
}

void aval__graph_refresh(aval_graph *g)
{
    if (!g->stale) return;
    aval_node **order = NULL;
    size_t count = 0, n_living = 0;
    aval_value **living = aval__alloc_array(g->values.count, sizeof *living);
    for (size_t i = 0; living && i < g->values.count; i++) {
        aval_value *value = g->values.at[i];
        if (value->dead) continue;
        living[n_living++] = value;
        if (value->kind == AVAL__PRODUCED) value->tensor = unknown_tensor;
    }
    if (living && aval__graph_order_links(g, living, n_living, &order, &count) == AVAL_OK) {
        for (size_t n = 0; n < count; n++) {
            if (find_unknown_input(order[n]) || aval__node_infer(order[n]) == AVAL_OK) continue;
            for (size_t i = 0; i < order[n]->n_outputs; i++) order[n]->outputs[i]->tensor = unknown_tensor;
        }
        g->stale = false;
    }
    aval__free(order);
    aval__free(living);
}
