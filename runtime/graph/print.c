/* The graph as text, and the labels of nodes in messages. */
#include "graph/parts.h"

const char *aval__node_op_name(const aval_node *node)
{
    return node->kind == AVAL__GRADIENT_REQUEST ? "gradient" : node->kind == AVAL__LOOP ? "loop" : node->def->name;
}

void aval__node_label(aval__text *text, const aval_node *node)
{
    if (node->name) aval__text_add(text, "node '%s' (%s)", node->name, aval__node_op_name(node));
    else aval__text_add(text, "node %u (%s)", node->id, aval__node_op_name(node));
}

static const char *const kind_names[] = {
    [AVAL__INPUT] = "input", [AVAL__STATE] = "state", [AVAL__CONSTANT] = "constant", [AVAL__PRODUCED] = "value"
};

int aval__graph_readable_order(const aval_graph *g, aval_node ***order, size_t *count)
{
    int status = AVAL_OK;
    size_t n_living = 0;
    aval_value **living = aval__alloc_array(g->values.count, sizeof *living);
    *order = NULL;
    *count = 0;
    if (!living) return AVAL_E_MEMORY;
    for (size_t i = 0; i < g->values.count; i++)
        if (!g->values.at[i]->dead) living[n_living++] = g->values.at[i];
    status = aval__graph_order_links(g, living, n_living, order, count);
    aval__free(living);
    if (status != AVAL_E_GRAPH) return status;
    *order = aval__alloc_array(g->nodes.count, sizeof **order);
    if (!*order) return AVAL_E_MEMORY;
    for (size_t i = 0; i < g->nodes.count; i++)
        if (!g->nodes.at[i]->dead) (*order)[(*count)++] = g->nodes.at[i];
    return AVAL_OK;
}

/* ---- Text ------------------------------------------------------------------------------------------------------------------------- */

static void print_values(aval__text *text, aval_value *const *values, size_t n, bool shapes)
{
    for (size_t i = 0; i < n; i++) {
        if (i) aval__text_add(text, ", ");
        aval__text_add(text, "%s", values[i] ? aval__value_label(values[i]) : "-");
        if (!shapes || !values[i]) continue;
        aval__text_add(text, " ");
        aval__tensor_print(text, &values[i]->tensor);
    }
}

static void print_node(aval__text *text, const aval_node *node)
{
    print_values(text, node->outputs, node->n_outputs, true);
    aval__text_add(text, " = %s(", aval__node_op_name(node));
    print_values(text, node->inputs, node->n_inputs, false);
    aval__text_add(text, ")");
    if (node->attrs.count) {
        aval__text_add(text, " ");
        aval__attrs_print(text, &node->attrs, false);
    }
    if (node->name) aval__text_add(text, " # %s", node->name);
    if (node->device >= 0) aval__text_add(text, " @ device %d", node->device);
    aval__text_add(text, "\n");
}

int aval_graph_text(const aval_graph *g, char **text)
{
    if (!g || !text) return aval__fail(AVAL_E_ARGUMENT, "expected a graph and a place for its text, found NULL");
    /* shapes are brought up to date, which a reader need not know */
    aval_graph *graph = (aval_graph *)(uintptr_t)g;
    aval__graph_refresh(graph);
    aval_node **order;
    size_t count;
    aval__text out = { 0 };
    AVAL__TRY(aval__graph_readable_order(graph, &order, &count));
    aval__text_put(&out, "", 0);
    for (size_t i = 0; i < g->values.count; i++) {
        const aval_value *value = g->values.at[i];
        if (value->dead || value->kind == AVAL__PRODUCED) continue;
        aval__text_add(&out, "%s %s ", kind_names[value->kind], aval__value_label(value));
        aval__tensor_print(&out, &value->tensor);
        aval__text_add(&out, "\n");
    }
    for (size_t i = 0; i < count; i++) print_node(&out, order[i]);
    aval__free(order);
    *text = aval__text_take(&out);
    return *text ? AVAL_OK : AVAL_E_MEMORY;
}
