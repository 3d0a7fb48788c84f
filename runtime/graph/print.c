/* The graph as text and as Graphviz DOT, and the labels of nodes in messages. */
#include "graph/parts.h"

static const char *op_name(const aval_node *node)
{
    return node->kind == AVAL__GRADIENT_REQUEST ? "gradient" : node->kind == AVAL__LOOP ? "loop" : node->def->name;
}

void aval__node_label(aval__text *text, const aval_node *node)
{
    if (node->name) aval__text_add(text, "node '%s' (%s)", node->name, op_name(node));
    else aval__text_add(text, "node %u (%s)", node->id, op_name(node));
}

static const char *const kind_names[] = {
    [AVAL__INPUT] = "input", [AVAL__STATE] = "state", [AVAL__CONSTANT] = "constant", [AVAL__PRODUCED] = "value"
};

/* All nodes in an order that can be read; that of creation when the graph has a cycle (which is then worth looking at). */
static int readable_order(const aval_graph *g, aval_node ***order, size_t *count)
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
    aval__text_add(text, " = %s(", op_name(node));
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
    AVAL__TRY(readable_order(graph, &order, &count));
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

/* ---- DOT ---------------------------------------------------------------------------------------------------------------------------- */

/* A name inside a quoted DOT string. */
static void put_quoted(aval__text *text, const char *name)
{
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') aval__text_put(text, "\\", 1);
        if (*name == '\n') aval__text_put(text, "\\n", 2);
        else aval__text_put(text, name, 1);
    }
}

static void draw_value(aval__text *text, const aval_value *value)
{
    static const char *const shapes[] = { [AVAL__INPUT] = "ellipse", [AVAL__STATE] = "cylinder", [AVAL__CONSTANT] = "note" };
    aval__text_add(text, "  v%u [shape=%s label=\"", value->id, shapes[value->kind]);
    put_quoted(text, aval__value_label(value));
    aval__text_add(text, "\\n");
    aval__tensor_print(text, &value->tensor);
    aval__text_add(text, "\"];\n");
}

static void draw_node(aval__text *text, const aval_node *node)
{
    aval__text_add(text, "  n%u [shape=box label=\"", node->id);
    put_quoted(text, op_name(node));
    if (node->name) {
        aval__text_add(text, "\\n");
        put_quoted(text, node->name);
    }
    aval__text_add(text, "\"%s];\n", node->kind != AVAL__OP ? " style=dashed" : "");
    for (size_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (!value) continue;
        if (value->kind == AVAL__PRODUCED) aval__text_add(text, "  n%u", value->producer->id);
        else aval__text_add(text, "  v%u", value->id);
        aval__text_add(text, " -> n%u [label=\"", node->id);
        put_quoted(text, aval__value_label(value));
        aval__text_add(text, "\\n");
        aval__tensor_print(text, &value->tensor);
        aval__text_add(text, "\"];\n");
    }
    for (size_t i = 0; i < node->n_outputs; i++) {
        aval_value *state = aval__node_updates(node, i);
        if (state) aval__text_add(text, "  n%u -> v%u [style=dotted label=updates];\n", node->id, state->id);
    }
}

int aval_graph_dot(const aval_graph *g, char **text)
{
    if (!g || !text) return aval__fail(AVAL_E_ARGUMENT, "expected a graph and a place for its drawing, found NULL");
    aval__graph_refresh((aval_graph *)(uintptr_t)g);
    aval__text out = { 0 };
    aval__text_add(&out, "digraph aval {\n");
    for (size_t i = 0; i < g->values.count; i++)
        if (!g->values.at[i]->dead && g->values.at[i]->kind != AVAL__PRODUCED) draw_value(&out, g->values.at[i]);
    for (size_t i = 0; i < g->nodes.count; i++)
        if (!g->nodes.at[i]->dead) draw_node(&out, g->nodes.at[i]);
    aval__text_add(&out, "}\n");
    *text = aval__text_take(&out);
    return *text ? AVAL_OK : AVAL_E_MEMORY;
}
