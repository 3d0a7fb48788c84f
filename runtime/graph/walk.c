/* A graph seen from outside: its nodes, what they read, what they are. */
#include "graph/graph.h"

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
