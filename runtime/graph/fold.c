/* Folding: what depends on constants alone is computed once, on the host, by the ops' references. */
#include "graph/parts.h"

static bool is_foldable(const aval_node *node, size_t limit_bytes)
{
    if (node->kind != AVAL__OP || (node->def->kind != AVAL__EXPRESSION && node->def->kind != AVAL__KERNELS)) return false;
    if (node->n_outputs > AVAL_MAX_PORTS) return false;
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && (!node->inputs[i]->data || aval__tensor_bytes(&node->inputs[i]->tensor) > limit_bytes)) return false;
    for (size_t i = 0; i < node->n_outputs; i++)
        if (!aval__tensor_known(&node->outputs[i]->tensor) || aval__tensor_bytes(&node->outputs[i]->tensor) > limit_bytes ||
            aval__node_updates(node, i))
            return false;
    return true;
}

static int fold_node(aval_graph *g, aval_node *node)
{
    const void *data[AVAL_MAX_PORTS];
    AVAL__TRY(aval__node_compute(&g->arena, node, data));
    for (size_t i = 0; i < node->n_outputs; i++) {
        aval_value *value = node->outputs[i];
        value->kind = AVAL__CONSTANT;
        value->producer = NULL;
        value->data = data[i];
    }
    node->dead = true;
    return AVAL_OK;
}

int aval__graph_fold(aval_graph *g, aval_value *const *wanted, size_t n_wanted, size_t limit_bytes)
{
    aval_node **order = NULL;
    size_t count = 0;
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    for (size_t n = 0; n < count && status == AVAL_OK; n++)
        if (is_foldable(order[n], limit_bytes)) status = fold_node(g, order[n]);
    aval__free(order);
    return status;
}
