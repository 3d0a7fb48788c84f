/* Cutting a cluster in two: what one of its outputs is computed from, and what the others are; nodes of both are computed twice.  It pays where the
 * first part becomes the head of a node that computes few elements of it.
 *
 * Each part is a cluster as the whole was, at its stage (see fuse.c), with fewer links than that had.  Where one other cluster alone reads what the second part
 * gives, which it does at a later stage, that part goes there: it need not be written then.  All that it reads is from before its own stage, so the nodes that
 * move make no path that there was not, unless a state's content that they read is replaced before the later stage: such a part stays. */
#include "plan/fuse.h"

#include <string.h>

#define NONE UINT32_MAX

/* Nodes of the cluster that any of the values is computed from, itself included: bit i is node i. */
static uint64_t cone_of(const aval__cluster *c, aval_value *const *values, size_t n_values)
{
    uint64_t cone = 0;
    for (size_t i = c->n_nodes; i-- > 0;) {
        for (size_t v = 0; v < n_values; v++) cone |= (uint64_t)(values[v]->producer == c->nodes[i]) << i;
        for (size_t k = i + 1; k < c->n_nodes; k++)
            for (uint32_t in = 0; cone >> k & 1 && in < c->nodes[k]->n_inputs; in++)
                if (c->nodes[k]->inputs[in] != NULL && c->nodes[k]->inputs[in]->producer == c->nodes[i]) cone |= (uint64_t)1 << i;
    }
    return cone;
}

static bool reads(const aval_node *node, const aval_value *value)
{
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == value) return true;
    return false;
}

static bool holds(aval_value *const *values, size_t n, const aval_value *value)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] == value) return true;
    return false;
}

/* A cluster of the nodes that the outputs are computed from. */
static int make_part(aval__arena *arena, const aval__cluster *c, aval_value *const *outputs, size_t n_outputs, aval__cluster *out)
{
    uint64_t cone = cone_of(c, outputs, n_outputs);
    *out = (aval__cluster){ .space = c->space, .device = c->device, .is_read = c->is_read, .n_outputs = n_outputs };
    out->nodes = aval__arena_alloc(arena, c->n_nodes * sizeof *out->nodes);
    out->inputs = aval__arena_alloc(arena, c->n_inputs * sizeof *out->inputs);
    out->outputs = aval__arena_copy(arena, outputs, n_outputs * sizeof *outputs);
    if (out->nodes == NULL || out->inputs == NULL || out->outputs == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < c->n_nodes; i++)
        if (cone >> i & 1) out->nodes[out->n_nodes++] = c->nodes[i];
    for (size_t i = 0; i < c->n_inputs; i++) {
        bool read = false;
        for (size_t k = 0; k < out->n_nodes && !read; k++) read = reads(out->nodes[k], c->inputs[i]);
        if (read) out->inputs[out->n_inputs++] = c->inputs[i];
    }
    return AVAL_OK;
}

/* ---- Into the cluster that reads it -------------------------------------------------------------------------------------------------------- */

/* The one cluster that reads what `part` of cluster `of` gives; NONE: others do too, or it is needed. */
static uint32_t only_reader(const aval__cluster *part, uint32_t of, aval_node *const *order, size_t n_order, const bool *needed,
                            const uint32_t *cluster_of)
{
    uint32_t reader = NONE;
    for (size_t k = 0; k < part->n_outputs; k++)
        if (needed[part->outputs[k]->id]) return NONE;
    for (size_t i = 0; i < n_order; i++) {
        uint32_t own = cluster_of[order[i]->id];
        bool found = false;
        for (size_t k = 0; own != of && k < part->n_outputs && !found; k++) found = reads(order[i], part->outputs[k]);
        if (!found) continue;
        if (own == NONE || (reader != NONE && own != reader)) return NONE;
        reader = own;
    }
    return reader;
}

static uint64_t bytes_of(aval_value *const *values, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += aval__tensor_bytes(&values[i]->tensor);
    return bytes;
}

/* Whether all that the part reads is there as long as the run lasts, or as long as somebody reads it. */
static bool reads_no_state(const aval__cluster *part)
{
    for (size_t i = 0; i < part->n_inputs; i++) {
        const aval_value *v = part->inputs[i];
        if (v->kind == AVAL__STATE || (v->producer != NULL && aval__node_updates(v->producer, v->port) != NULL)) return false;
    }
    return true;
}

/* Whether the part may be computed in `reader`, and what it reads takes no more memory until then than what it gives. */
static bool may_move(const aval__cluster *part, const aval__cluster *reader)
{
    if (reader->product != NULL || reader->headed != NULL || reader->device != part->device) return false;
    if (!aval__tensor_same_shape(reader->space, part->space) || !reads_no_state(part)) return false;
    if (reader->n_nodes + part->n_nodes > AVAL__MOST_NODES) return false;
    if (reader->n_inputs - part->n_outputs + part->n_inputs + reader->n_outputs > AVAL__MOST_TENSORS) return false;
    return bytes_of(part->inputs, part->n_inputs) <= bytes_of(part->outputs, part->n_outputs);
}

static int move_into(aval__arena *arena, const aval__cluster *part, aval__cluster *reader)
{
    aval_node **nodes = aval__arena_alloc(arena, (part->n_nodes + reader->n_nodes) * sizeof *nodes);
    aval_value **inputs = aval__arena_alloc(arena, (part->n_inputs + reader->n_inputs) * sizeof *inputs);
    size_t n_inputs = part->n_inputs;
    if (nodes == NULL || inputs == NULL) return AVAL_E_MEMORY;
    memcpy(nodes, part->nodes, part->n_nodes * sizeof *nodes);
    memcpy(nodes + part->n_nodes, reader->nodes, reader->n_nodes * sizeof *nodes);
    memcpy(inputs, part->inputs, part->n_inputs * sizeof *inputs);
    for (size_t i = 0; i < reader->n_inputs; i++)
        if (!holds(part->outputs, part->n_outputs, reader->inputs[i]) && !holds(inputs, part->n_inputs, reader->inputs[i]))
            inputs[n_inputs++] = reader->inputs[i];
    reader->nodes = nodes;
    reader->n_nodes += part->n_nodes;
    reader->inputs = inputs;
    reader->n_inputs = n_inputs;
    return AVAL_OK;
}

/* ---- The cut -------------------------------------------------------------------------------------------------------------------------------- */

/* One more cluster; *index is its place. */
static int add_cluster(aval__arena *arena, const aval__cluster *c, aval__cluster **clusters, size_t *n_clusters, uint32_t *index)
{
    aval__cluster *all = aval__arena_alloc(arena, (*n_clusters + 1) * sizeof *all);
    if (all == NULL) return AVAL_E_MEMORY;
    memcpy(all, *clusters, *n_clusters * sizeof *all);
    all[*n_clusters] = *c;
    *clusters = all;
    *index = (uint32_t)(*n_clusters)++;
    return AVAL_OK;
}

int aval__fuse_cut(aval__arena *arena, aval_node *const *order, size_t n_order, const bool *needed, uint32_t of, aval_value *value,
                   aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage)
{
    const aval__cluster *whole = &(*clusters)[of];
    aval_value **others = aval__arena_alloc(arena, whole->n_outputs * sizeof *others);
    aval__cluster head, rest;
    size_t n_others = 0;
    if (others == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < whole->n_outputs; i++)
        if (whole->outputs[i] != value) others[n_others++] = whole->outputs[i];
    AVAL__TRY(make_part(arena, whole, &value, 1, &head));
    AVAL__TRY(make_part(arena, whole, others, n_others, &rest));
    uint32_t home = only_reader(&rest, of, order, n_order, needed, cluster_of), later = 0;
    if (home != NONE && may_move(&rest, &(*clusters)[home])) {
        AVAL__TRY(move_into(arena, &rest, &(*clusters)[home]));
        later = stage[(*clusters)[home].nodes[rest.n_nodes]->id];
    } else AVAL__TRY(add_cluster(arena, &rest, clusters, n_clusters, &home));
    for (size_t i = 0; i < rest.n_nodes; i++) {
        cluster_of[rest.nodes[i]->id] = home;
        if (later > 0) stage[rest.nodes[i]->id] = later;
    }
    (*clusters)[of] = head;
    return AVAL_OK;
}
