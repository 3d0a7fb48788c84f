/* Folding: what depends on constants alone is computed once, on the host, by the ops' references. */
#include "graph/parts.h"

#include <string.h>

static bool is_foldable(const aval_node *node, size_t limit_bytes)
{
    if (node->kind != AVAL__OP || (node->def->kind != AVAL__EXPRESSION && node->def->kind != AVAL__KERNELS)) return false;
    if (node->n_outputs > AVAL_MAX_PORTS) return false;
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && !aval__node_reads_shape_only(node, i) &&
            (!node->inputs[i]->data || aval__tensor_bytes(&node->inputs[i]->tensor) > limit_bytes))
            return false;
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

/* Leaves out of an order what nobody needs any more: values that folding made known need no producer. */
static int keep_needed(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_node **order, size_t *count)
{
    bool *needed = aval__alloc_array(g->values.count, sizeof *needed);
    if (!needed) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_wanted; i++) needed[wanted[i]->id] = true;
    size_t first = *count; /* what is kept gathers at the end */
    for (size_t n = *count; n-- > 0;) {
        aval_node *node = order[n];
        bool keep = false;
        for (size_t i = 0; i < node->n_outputs && !node->dead; i++) keep = keep || (node->outputs[i] && needed[node->outputs[i]->id]);
        if (!keep) continue;
        for (size_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i]) needed[node->inputs[i]->id] = true;
        order[--first] = node;
    }
    *count -= first;
    memmove(order, order + first, *count * sizeof(aval_node *));
    aval__free(needed);
    return AVAL_OK;
}

int aval__graph_fold(aval_graph *g, aval_value *const *wanted, size_t n_wanted, size_t limit_bytes, aval_node ***order, size_t *count)
{
    aval_node **nodes = NULL;
    size_t n_nodes = 0, folded = 0;
    int status = aval__graph_order(g, wanted, n_wanted, &nodes, &n_nodes);
    for (size_t n = 0; n < n_nodes && status == AVAL_OK; n++) {
        if (!is_foldable(nodes[n], limit_bytes)) continue;
        status = fold_node(g, nodes[n]);
        folded++;
    }
    if (status == AVAL_OK && folded) status = keep_needed(g, wanted, n_wanted, nodes, &n_nodes);
    if (status < 0) {
        aval__free(nodes);
        return status;
    }
    *order = nodes;
    *count = n_nodes;
    return AVAL_OK;
}
