/* The fluent public calls that build a graph.  The first error sticks to the graph; from then on nothing is added until
 * aval_graph_status has reported it, so that a missing value is never taken for an absent optional input. */
#include "graph/parts.h"

#include <string.h>

/* True when the call shall do nothing. */
static bool is_stuck(aval_graph *g)
{
    if (!g) aval__fail(AVAL_E_ARGUMENT, "expected a graph, found NULL");
    return !g || g->status < 0;
}

static aval_value *add_value(aval_graph *g, aval__value_kind kind, const aval_tensor *tensor, const char *name)
{
    aval_value *value = NULL;
    int status = aval__graph_add_value(g, kind, tensor, name, &value);
    return status < 0 ? aval__graph_stick(g, status), NULL : value;
}

aval_value *aval_graph_input(aval_graph *g, const char *name, int type, size_t rank, const int64_t *dims)
{
    aval_tensor tensor = { 0 };
    if (is_stuck(g)) return NULL;
    int status = aval__tensor_set(&tensor, type, rank, dims);
    if (status < 0) {
        aval__graph_stick(g, aval__fail_in(status, "input '%s'", name ? name : ""));
        return NULL;
    }
    return add_value(g, AVAL__INPUT, &tensor, name);
}

static int find_state(aval_graph *g, const char *name, const aval_tensor *tensor, aval_value **out)
{
    aval_value *state = aval__names_find(g->states, name);
    *out = state;
    if (state && (state->tensor.type != tensor->type || !aval__tensor_same_shape(&state->tensor, tensor))) {
        aval__text text = { 0 };
        aval__text_add(&text, "state '%s' is in the graph as ", name);
        aval__tensor_print(&text, &state->tensor);
        aval__text_add(&text, ", and was asked for as ");
        aval__tensor_print(&text, tensor);
        int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_SHAPE, "%s: give it another name or the same shape", text.at);
        aval__text_release(&text);
        return code;
    }
    if (state) return AVAL_OK;
    if (!aval__tensor_known(tensor))
        return aval__fail(AVAL_E_SHAPE, "state '%s' has a free dimension: a state's shape must be given in full", name);
    AVAL__TRY(aval__graph_add_value(g, AVAL__STATE, tensor, name, &state));
    int status = aval__names_add(&g->states, state);
    if (status < 0) aval__graph_drop_value(state);
    *out = state;
    return status;
}

aval_value *aval_graph_state(aval_graph *g, const char *name, int type, size_t rank, const int64_t *dims)
{
    aval_tensor tensor = { 0 };
    aval_value *state = NULL;
    if (is_stuck(g)) return NULL;
    int status = !name || !*name ? aval__fail(AVAL_E_ARGUMENT, "a state needs a name, since the store holds it by name")
                                 : aval__tensor_set(&tensor, type, rank, dims);
    if (status == AVAL_OK) status = find_state(g, name, &tensor, &state);
    return status < 0 ? aval__graph_stick(g, status), NULL : state;
}

aval_value *aval_graph_constant(aval_graph *g, int type, size_t rank, const int64_t *dims, const void *data)
{
    aval_tensor tensor = { 0 };
    aval_value *constant = NULL;
    if (is_stuck(g)) return NULL;
    int status = aval__tensor_set(&tensor, type, rank, dims);
    if (status == AVAL_OK && !aval__tensor_known(&tensor)) status = aval__fail(AVAL_E_SHAPE, "a constant cannot have a free dimension");
    if (status == AVAL_OK && !data && aval__tensor_count(&tensor) > 0)
        status = aval__fail(AVAL_E_ARGUMENT, "a constant needs data, found NULL");
    if (status == AVAL_OK) status = aval__graph_add_constant(g, &tensor, data, &constant);
    return status < 0 ? aval__graph_stick(g, status), NULL : constant;
}

aval_value *aval_graph_number(aval_graph *g, int type, double number)
{
    unsigned char data[sizeof(double)] = { 0 };
    if (is_stuck(g)) return NULL;
    int status = aval__convert_number(data, type, number);
    if (status < 0) {
        aval__graph_stick(g, status);
        return NULL;
    }
    return aval_graph_constant(g, type, 0, NULL, data);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------- */

static int check_value(const aval_graph *g, const aval_value *value, const char *what, size_t i)
{
    if (value && value->graph != g)
        return aval__fail(AVAL_E_ARGUMENT, "%s %zu, '%s', belongs to another graph", what, i, aval__value_label(value));
    if (value && value->dead)
        return aval__fail(AVAL_E_ARGUMENT, "%s %zu, '%s', was removed from the graph", what, i, aval__value_label(value));
    return AVAL_OK;
}

/* Inference checks this too, but only once all shapes are known: a missing input should be found where it is forgotten. */
int aval__graph_check_inputs(const aval_graph *g, const aval__opdef *def, aval_value *const *inputs, size_t n_inputs)
{
    if (n_inputs > def->n_inputs && !def->variadic)
        return aval__fail(AVAL_E_ARGUMENT, "op '%s' takes at most %zu inputs, found %zu", def->name, def->n_inputs, n_inputs);
    for (size_t i = 0; i < n_inputs; i++) AVAL__TRY(check_value(g, inputs[i], "input", i));
    for (size_t i = 0; i < def->n_inputs; i++) {
        const aval_port *port = &def->op->inputs[i];
        if ((i >= n_inputs || !inputs[i]) && !(port->flags & AVAL_OPTIONAL))
            return aval__fail(AVAL_E_ARGUMENT, "op '%s' needs its input '%s' (number %zu), found none", def->name, port->name, i);
    }
    return AVAL_OK;
}

static int add_node(aval_graph *g, const char *op, const char *text, aval_value *const *inputs, size_t n_inputs, aval_node **out)
{
    aval__arena parsed = { 0 }; /* the node has its attributes as one piece, which can be given back */
    aval__attrs attrs = { 0 };
    if (!op) return aval__fail(AVAL_E_ARGUMENT, "a node needs the name of an op, found NULL");
    if (n_inputs > 0 && !inputs) return aval__fail(AVAL_E_ARGUMENT, "op '%s' was given an array of %zu inputs that is NULL", op, n_inputs);
    const aval__opdef *def = aval__registry_find(g->registry, op, 0);
    if (!def) {
        char hint[128];
        aval__registry_hint(g->registry, op, hint, sizeof hint);
        return aval__fail(AVAL_E_UNKNOWN,
                          "no loaded plugin has an op '%s'%s: `aval ops` lists those there are, AVAL_PLUGIN_PATH says where to look", op,
                          hint);
    }
    aval__graph_refresh(g);
    AVAL__TRY(aval__graph_check_inputs(g, def, inputs, n_inputs));
    int status = aval__attrs_parse(&parsed, def->op->attrs, text, &attrs);
    if (status < 0) aval__fail_in(status, "op '%s'", op);
    else status = aval__graph_add_node(g, def, &attrs, inputs, n_inputs, 0, out);
    aval__arena_release(&parsed);
    return status;
}

aval_node *aval_graph_node(aval_graph *g, const char *op, const char *attrs, aval_value *const *inputs, size_t n_inputs)
{
    aval_node *node = NULL;
    if (is_stuck(g)) return NULL;
    int status = add_node(g, op, attrs, inputs, n_inputs, &node);
    return status < 0 ? aval__graph_stick(g, status), NULL : node;
}

aval_value *aval_node_output(aval_node *node, size_t i)
{
    if (!node) return NULL;
    if (i < node->n_outputs) return node->outputs[i];
    aval__graph_stick(node->graph, aval__fail(AVAL_E_ARGUMENT, "output %zu was asked for of a node with %u outputs", i, node->n_outputs));
    return NULL;
}

size_t aval_node_output_count(const aval_node *node)
{
    return node ? node->n_outputs : 0;
}

static int add_request(aval_graph *g, aval_value *of, aval_value *wrt, aval_value *upstream, aval_node **out)
{
    aval_value *inputs[3] = { of, wrt, upstream };
    aval_node *node;
    if (!of || !wrt)
        return aval__fail(AVAL_E_ARGUMENT, "a gradient needs a value to differentiate and one to differentiate by, found NULL");
    for (size_t i = 0; i < 3; i++) AVAL__TRY(check_value(g, inputs[i], "value", i));
    aval__graph_refresh(g);
    AVAL__TRY(aval__node_make(g, AVAL__GRADIENT_REQUEST, NULL, inputs, 3, 1, &node));
    int status = aval__node_add_output(node, 0, NULL, NULL);
    if (status == AVAL_OK) status = aval__node_infer(node);
    if (status < 0) aval__graph_drop_node(node);
    *out = node;
    return status;
}

aval_value *aval_graph_gradient(aval_graph *g, aval_value *of, aval_value *wrt, aval_value *upstream)
{
    aval_node *node = NULL;
    if (is_stuck(g)) return NULL;
    int status = add_request(g, of, wrt, upstream, &node);
    return status < 0 ? aval__graph_stick(g, status), NULL : node->outputs[0];
}

/* ---- Names, places, shapes ------------------------------------------------------------------------------------------------------------ */

void aval_node_set_name(aval_node *node, const char *name)
{
    if (!node || !name) return;
    int status = aval__node_rename(node, name);
    if (status < 0) aval__graph_stick(node->graph, status);
}

void aval_value_set_name(aval_value *value, const char *name)
{
    if (!value || !name) return;
    if (value->kind == AVAL__STATE) {
        aval__graph_stick(value->graph,
                          aval__fail(AVAL_E_ARGUMENT, "state '%s' cannot be renamed: the store knows it by this name", value->name));
        return;
    }
    char *copy = aval__graph_take_text(value->graph, name);
    if (!copy) {
        aval__graph_stick(value->graph, AVAL_E_MEMORY);
        return;
    }
    aval__graph_give_text(value->graph, value->name);
    value->name = copy;
    value->graph->generation++;
}

aval_value *aval_graph_find(const aval_graph *g, const char *name)
{
    AVAL__NEED_OR(NULL, g, "a graph");
    AVAL__NEED_OR(NULL, name, "a name");
    aval_value *found = NULL;
    for (size_t i = 0; i < g->values.count; i++) {
        aval_value *value = g->values.at[i];
        if (value->dead || value->name == NULL || strcmp(value->name, name) != 0) continue;
        if (value->kind == AVAL__INPUT || value->kind == AVAL__STATE) return value;
        if (found == NULL) found = value;
    }
    return found;
}

const char *aval_value_name(const aval_value *value)
{
    return value ? aval__value_label(value) : "";
}

void aval_node_place(aval_node *node, int device)
{
    if (!node) return;
    if (device < -1) {
        aval__graph_stick(node->graph,
                          aval__fail(AVAL_E_ARGUMENT, "a node is placed on device 0 or above, or -1 for any, found %d", device));
        return;
    }
    node->device = device;
    node->graph->generation++;
}

int aval_value_type(const aval_value *value)
{
    if (!value) return AVAL_NONE;
    aval__graph_refresh(value->graph);
    return value->tensor.type;
}

int aval_value_rank(const aval_value *value)
{
    if (!value) return -1;
    aval__graph_refresh(value->graph);
    return value->tensor.rank;
}

const int64_t *aval_value_dims(const aval_value *value)
{
    if (!value) return NULL;
    aval__graph_refresh(value->graph);
    return value->tensor.dims;
}
