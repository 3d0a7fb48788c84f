/* Which clusters are heads of recorders' nodes: computed by the launches that read their result, which then is never written, or only by these.
 *
 * A node and its head become one unit.  Where it is computed as it is read the head's result leads nowhere but to the node, and a head gives nothing
 * else; what else comes after it are updates of states that it reads.  So that no path leads from one of those to the node, the node is one stage after
 * its head (see fuse.c): an update is so too, at least, and whatever it leads to comes later.  The pair counts as between the two stages: what it reads
 * is from the head's stage or before, what reads it from the node's or later.
 *
 * Where the node's kernels write the head's rows, or what else it gives, others may read that from the node's stage on.  Pairs of equal stages
 * could wait for each other in a ring then; so all that such a pair reads is from before the head's stage, and no pair of its stages comes before it.
 * Two pairs, of each of which the head reads a state that the other's node replaces, would do so too: what a node replaces nobody else reads. */
#include "plan/fuse.h"

#define NONE UINT32_MAX
#define MOST_TENSORS \
    10 /* of a head: kernels of reductions have some 200 bytes of arguments of their own, of 1,024 that every device takes */
#define MOST_NODES 12
#define LEAST_RUN 8 /* elements for which a work-item that walks over rows divides an index, to find a broadcast tensor's place */

/* How often each value is read outside the cluster that makes it; NULL: out of memory. */
static uint32_t *count_reads(const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *cluster_of)
{
    uint32_t *reads = aval__alloc((g->values.count + 1) * sizeof *reads);
    if (reads == NULL) return NULL;
    for (size_t i = 0; i < n_order; i++) {
        for (uint32_t k = 0; k < order[i]->n_inputs; k++) {
            const aval_value *value = order[i]->inputs[k];
            if (value == NULL) continue;
            uint32_t own = value->producer == NULL ? NONE : cluster_of[value->producer->id];
            reads[value->id] += own == NONE || own != cluster_of[order[i]->id];
        }
    }
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
    if (c->n_inputs + c->n_outputs > MOST_TENSORS || c->n_nodes > MOST_NODES || c->product != NULL || c->headed != NULL) return false;
    if (c->device != device_of[node->id] || stage[node->id] != stage[c->nodes[0]->id] + 1) return false;
    return !updates_state(c);
}

static bool has_flag(const aval_node *node, uint32_t input, uint32_t flag)
{
    return node->inputs[input] != NULL && (node->def->op->inputs[aval__input_port(node->def, input)].flags & flag) != 0;
}

/* Whether the node replaces a state that others read too. */
static bool replaces_what_others_read(const aval_node *node, const bool *needed, const uint32_t *reads)
{
    for (uint32_t k = 0; k < node->n_outputs; k++) {
        const aval_value *old = node->outputs[k] == NULL ? NULL : aval__node_updates(node, k);
        if (old != NULL && (needed[old->id] || reads[old->id] > 1)) return true;
    }
    return false;
}

/* Whether all else that the node reads is made before the stage of the cluster whose result is input `headed`. */
static bool waits_for_head_only(const aval_node *node, uint32_t headed, const uint32_t *stage)
{
    uint32_t before = stage[node->inputs[headed]->producer->id];
    for (uint32_t k = 0; k < node->n_inputs; k++) {
        const aval_node *producer = k == headed || node->inputs[k] == NULL ? NULL : node->inputs[k]->producer;
        if (producer != NULL && stage[producer->id] >= before) return false;
    }
    return true;
}

/* Whether input k may be made by the node's kernels: nothing else needs what the cluster gives, or they write that to memory. */
static bool may_be_made(const aval_node *node, uint32_t k, const aval__cluster *c, bool alone, const uint32_t *stage)
{
    if (alone && c->n_outputs == 1) return true;
    return (has_flag(node, k, AVAL_ROW_HEADED) || (alone && has_flag(node, k, AVAL_READ_ONCE))) && waits_for_head_only(node, k, stage);
}

/* Whether the node's kernels compute input k, which nobody else reads, as they read it, but write nothing that is made with it. */
static bool is_cut_off(const aval_node *node, uint32_t k, const aval__cluster *c, bool alone)
{
    return alone && c->n_outputs > 1 && has_flag(node, k, AVAL_HEADED) && !has_flag(node, k, AVAL_READ_ONCE);
}

int aval__fuse_heads(aval__arena *arena, const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of,
                     const bool *needed, int64_t least, aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage,
                     uint32_t *with)
{
    int status = AVAL_OK;
    uint32_t *reads = NULL;
    for (size_t i = 0; i < n_order; i++) {
        const aval_node *node = order[i];
        if (!node->def->takes_head || with[node->id] != NONE) continue;
        for (uint32_t k = 0; k < node->n_inputs && with[node->id] == NONE; k++) {
            aval_value *value = has_flag(node, k, AVAL_HEADED | AVAL_ROW_HEADED) ? node->inputs[k] : NULL;
            uint32_t of = value == NULL || value->producer == NULL ? NONE : cluster_of[value->producer->id];
            if (of == NONE || aval__tensor_count(&value->tensor) < least || !suits(&(*clusters)[of], node, device_of, stage)) continue;
            if (reads == NULL && (reads = count_reads(g, order, n_order, cluster_of)) == NULL) return AVAL_E_MEMORY;
            if (replaces_what_others_read(node, needed, reads)) continue;
            bool alone = reads[value->id] == 1 && !needed[value->id];
            if (is_cut_off(node, k, &(*clusters)[of], alone))
                AVAL__TRY_DONE(aval__fuse_cut(arena, order, n_order, needed, of, value, clusters, n_clusters, cluster_of, stage));
            if (!may_be_made(node, k, &(*clusters)[of], alone, stage)) continue;
            (*clusters)[of].headed = value;
            with[node->id] = of;
        }
    }
done:
    aval__free(reads);
    return status;
}

bool aval__fuse_runs(const aval__cluster *c, int64_t run, const aval_device_info *device)
{
    aval__fused_axes axes;
    aval__fuse_axes(c, &axes);
    if (axes.count == 1) return true;
    return axes.sizes[axes.count - 1] % run == 0 && (run >= LEAST_RUN || device->group > 1);
}
