/* A graph seen from outside: its nodes, what they read, what they are. */
#include "graph/parts.h"

size_t aval_graph_node_count(const aval_graph *g)
{
    return g ? g->nodes.count : 0;
}

aval_node *aval_graph_node_at(const aval_graph *g, size_t i)
{
    return i < aval_graph_node_count(g) && !g->nodes.at[i]->dead ? g->nodes.at[i] : NULL;
}

const aval_op *aval_node_op(const aval_node *node)
{
    return node && node->kind == AVAL__OP ? node->def->op : NULL;
}

const char *aval_node_name(const aval_node *node)
{
    return node && node->name ? node->name : "";
}

size_t aval_node_input_count(const aval_node *node)
{
    return node ? node->n_inputs : 0;
}

aval_value *aval_node_input(const aval_node *node, size_t i)
{
    return i < aval_node_input_count(node) ? node->inputs[i] : NULL;
}

int aval_node_attrs(const aval_node *node, char **text)
{
    AVAL__NEED(node, "a node");
    AVAL__NEED(text, "a place for the text");
    aval__text printed = { 0 };
    aval__text_add(&printed, "%s", "");
    aval__attrs_print(&printed, &node->attrs, false);
    *text = aval__text_take(&printed);
    return *text ? AVAL_OK : AVAL_E_MEMORY;
}

int aval_value_kind_of(const aval_value *value)
{
    static const int kinds[] = {
        [AVAL__INPUT] = AVAL_VALUE_INPUT,
        [AVAL__STATE] = AVAL_VALUE_STATE,
        [AVAL__CONSTANT] = AVAL_VALUE_CONSTANT,
        [AVAL__PRODUCED] = AVAL_VALUE_PRODUCED,
    };
    return value ? kinds[value->kind] : 0;
}

aval_node *aval_value_producer(const aval_value *value)
{
    return value && value->kind == AVAL__PRODUCED ? value->producer : NULL;
}

AVAL_API int aval_graph_states(const aval_graph *g, aval_value *const *values, size_t n_values, aval_value ***states, size_t *n_states)
{
    AVAL__NEED(g, "a graph");
    AVAL__NEED(values || n_values == 0, "an array of values");
    AVAL__NEED(states && n_states, "a place for each result");
    aval_node **order = NULL;
    size_t n_order = 0;
    int status = AVAL_OK;
    *states = NULL;
    *n_states = 0;
    bool *found = aval__alloc_array(g->values.count, sizeof *found);
    aval_value **list = aval__alloc_array(g->values.count, sizeof *list);
    if (!found || !list) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(aval__graph_order_links(g, values, n_values, &order, &n_order));
    for (size_t n = 0; n < n_order; n++) {
        for (size_t i = 0; i < order[n]->n_inputs; i++) {
            aval_value *value = order[n]->inputs[i];
            if (!value || value->kind != AVAL__STATE || found[value->id]) continue;
            found[value->id] = true;
            list[(*n_states)++] = value;
        }
    }
    *states = list;
    list = NULL;
done:
    aval__free(order);
    aval__free(found);
    aval__free(list);
    return status;
}
