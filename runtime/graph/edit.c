/* Editing: links and removals.  These return their error at once, since the caller looks at the result; nothing sticks. */
#include "graph/parts.h"

static int check_same_graph(const aval_graph *g, const aval_value *value)
{
    if (value->graph != g) return aval__fail(AVAL_E_ARGUMENT, "value '%s' belongs to another graph", aval__value_label(value));
    if (value->dead) return aval__fail(AVAL_E_ARGUMENT, "value '%s' was removed from the graph", aval__value_label(value));
    return AVAL_OK;
}

static void links_changed(aval_graph *g)
{
    g->stale = true;
    g->generation++;
}

/* Inputs that the node was made without may be added later: they are absent until then. */
static int grow_inputs(aval_node *node, size_t count)
{
    aval_value **inputs = aval__graph_take(node->graph, count * sizeof(aval_value *));
    if (!inputs) return AVAL_E_MEMORY;
    for (size_t i = 0; i < node->n_inputs; i++) inputs[i] = node->inputs[i];
    aval__graph_give(node->graph, node->inputs, node->n_inputs * sizeof(aval_value *));
    node->inputs = inputs;
    node->n_inputs = (uint32_t)count;
    return AVAL_OK;
}

int aval_node_set_input(aval_node *node, size_t i, aval_value *value)
{
    if (!node) return aval__fail(AVAL_E_ARGUMENT, "expected a node, found NULL");
    if (node->dead) return aval__fail(AVAL_E_ARGUMENT, "the node was removed from the graph");
    size_t limit = node->def ? node->def->n_inputs : node->n_inputs;
    bool variadic = node->def && node->def->variadic;
    bool optional = node->def                              ? i < limit && node->def->op->inputs[i].flags & AVAL_OPTIONAL
                    : node->kind == AVAL__GRADIENT_REQUEST ? i == 2
                                                           : i < 2;
    if (i >= limit && !(variadic && i <= node->n_inputs))
        return aval__fail(AVAL_E_ARGUMENT, "input %zu was given to a node that takes %zu", i, limit);
    if (!value && !optional) return aval__fail(AVAL_E_ARGUMENT, "input %zu of the node cannot be absent, found NULL", i);
    if (value) AVAL__TRY(check_same_graph(node->graph, value));
    if (i >= node->n_inputs) AVAL__TRY(grow_inputs(node, i + 1));
    node->inputs[i] = value;
    links_changed(node->graph);
    return AVAL_OK;
}

int aval_graph_replace(aval_graph *g, aval_value *old, aval_value *new_value)
{
    if (!g || !old || !new_value) return aval__fail(AVAL_E_ARGUMENT, "replacing needs a graph and two of its values, found NULL");
    AVAL__TRY(check_same_graph(g, old));
    AVAL__TRY(check_same_graph(g, new_value));
    for (size_t n = 0; n < g->nodes.count; n++) {
        aval_node *node = g->nodes.at[n];
        for (size_t i = 0; !node->dead && i < node->n_inputs; i++)
            if (node->inputs[i] == old) node->inputs[i] = new_value;
    }
    links_changed(g);
    return AVAL_OK;
}

/* AVAL_E_GRAPH when a node other than `but` reads the value. */
static int check_unread(const aval_graph *g, const aval_value *value, const aval_node *but)
{
    for (size_t n = 0; n < g->nodes.count; n++) {
        const aval_node *node = g->nodes.at[n];
        for (size_t i = 0; !node->dead && node != but && i < node->n_inputs; i++) {
            if (node->inputs[i] != value) continue;
            aval__text text = { 0 };
            aval__node_label(&text, node);
            int code = text.failed ? AVAL_E_MEMORY
                                   : aval__fail(AVAL_E_GRAPH, "'%s' cannot be removed while %s reads it: remove or rewire that first",
                                                aval__value_label(value), text.at);
            aval__text_release(&text);
            return code;
        }
    }
    return AVAL_OK;
}

int aval_graph_remove_node(aval_graph *g, aval_node *node)
{
    if (!g || !node || node->graph != g || node->dead) return aval__fail(AVAL_E_ARGUMENT, "expected a living node of the graph");
    for (size_t i = 0; i < node->n_outputs; i++) AVAL__TRY(check_unread(g, node->outputs[i], node));
    aval__graph_drop_node(node);
    g->generation++;
    return AVAL_OK;
}

int aval_graph_remove_value(aval_graph *g, aval_value *value)
{
    if (!g || !value) return aval__fail(AVAL_E_ARGUMENT, "expected a graph and one of its values, found NULL");
    AVAL__TRY(check_same_graph(g, value));
    if (value->kind == AVAL__PRODUCED)
        return aval__fail(AVAL_E_GRAPH, "'%s' is the output of a node: remove the node instead", aval__value_label(value));
    AVAL__TRY(check_unread(g, value, NULL));
    if (value->kind == AVAL__STATE) aval__names_remove(&g->states, value->name);
    aval__graph_drop_value(value);
    g->generation++;
    return AVAL_OK;
}
