/* Which clusters are heads of recorders' nodes: computed by the launches that read their result, which then is never written.
 *
 * A node and its head become one unit.  The head's result leads nowhere but to the node, and a head gives nothing else; what else comes after it are
 * updates of states that it reads.  So that no path leads from one of those to the node, the node is one stage after its head (see fuse.c): an
 * update is so too, at least, and whatever it leads to comes later.  The pair counts as between the two stages: what it reads is from the head's
 * stage or before, what reads it from the node's or later. */
#include "plan/fuse.h"

#define NONE UINT32_MAX
#define MOST_TENSORS \
    10 /* of a head: kernels of reductions have some 200 bytes of arguments of their own, of 1,024 that every device takes */
#define MOST_NODES 12
#define LEAST_RUN 8 /* elements for which a work-item that walks over rows divides an index, to find a broadcast tensor's place */

/* How often each value is read; NULL: out of memory. */
static uint32_t *count_reads(const aval_graph *g, aval_node *const *order, size_t n_order)
{
    uint32_t *reads = aval__alloc((g->values.count + 1) * sizeof *reads);
    if (reads == NULL) return NULL;
    for (size_t i = 0; i < n_order; i++)
        for (uint32_t k = 0; k < order[i]->n_inputs; k++)
            if (order[i]->inputs[k] != NULL) reads[order[i]->inputs[k]->id]++;
    return reads;
}

static bool updates_state(const aval__cluster *c)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        for (uint32_t k = 0; k < c->nodes[i]->n_outputs; k++)
            if (c->nodes[i]->outputs[k] != NULL && aval__node_updates(c->nodes[i], k) != NULL) return true;
    return false;
}

static bool suits(const aval__cluster *c, const aval_node *node, const uint32_t *device_of, const uint32_t *stage)
{
    if (c->n_outputs != 1 || c->n_inputs + 1 > MOST_TENSORS || c->n_nodes > MOST_NODES || c->product != NULL) return false;
    if (c->device != device_of[node->id] || stage[node->id] != stage[c->nodes[0]->id] + 1) return false;
    return !updates_state(c);
}

static bool is_headed(const aval_node *node, uint32_t input)
{
    return node->inputs[input] != NULL && (node->def->op->inputs[aval__input_port(node->def, input)].flags & AVAL_HEADED) != 0;
}

int aval__fuse_heads(const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of, const bool *needed,
                     const uint32_t *stage, int64_t least, aval__cluster *clusters, const uint32_t *cluster_of, uint32_t *with)
{
    uint32_t *reads = NULL;
    for (size_t i = 0; i < n_order; i++) {
        const aval_node *node = order[i];
        if (!node->def->takes_head || node->def->updates || with[node->id] != NONE) continue;
        for (uint32_t k = 0; k < node->n_inputs && with[node->id] == NONE; k++) {
            const aval_value *value = is_headed(node, k) ? node->inputs[k] : NULL;
            uint32_t of = value == NULL || value->producer == NULL || needed[value->id] ? NONE : cluster_of[value->producer->id];
            if (of == NONE || aval__tensor_count(&value->tensor) < least || !suits(&clusters[of], node, device_of, stage)) continue;
            if (reads == NULL && (reads = count_reads(g, order, n_order)) == NULL) return AVAL_E_MEMORY;
            if (reads[value->id] != 1 || clusters[of].outputs[0] != value) continue;
            clusters[of].headed = clusters[of].outputs[0];
            with[node->id] = of;
        }
    }
    aval__free(reads);
    return AVAL_OK;
}

bool aval__fuse_runs(const aval__cluster *c, int64_t run, const aval_device_info *device)
{
    aval__fused_axes axes;
    aval__fuse_axes(c, &axes);
    if (axes.count == 1) return true;
    return axes.sizes[axes.count - 1] % run == 0 && (run >= LEAST_RUN || device->group > 1);
}
