/* Which expression nodes run as one launch.
 *
 * Every node gets a stage: the greatest over the nodes before it of their stage, plus 1 unless both are expressions on one device over one
 * space.  Along such a free link of equal stage the two nodes are united.  So every path that leaves a group passes a link that is not
 * free, or one that is free and goes to a higher stage: the stage rises, and no path comes back.  Where a union would pass a limit, the
 * node opens a new stage instead, which keeps that argument whole.
 *
 * A node that updates a state writes where others read the old content.  "Each reader before the updater" is a link like any other:
 * readers outside the updater's cluster are in an earlier stage; readers inside read their element before it is written, as the
 * state has the cluster's space and each element is loaded and stored by the same work-item. */
#include "plan/fuse.h"

#define NONE UINT32_MAX
/* An argument is a pointer and a long, 16 bytes: 24 leave 640 of the 1,024 bytes that every device takes
   (CL_DEVICE_MAX_PARAMETER_SIZE) for sizes and attributes. */
#define MOST_TENSORS AVAL__MOST_TENSORS

typedef struct group {
    uint32_t n_nodes, n_inputs, n_outputs;
    bool closed; /* its one node has more tensors than are allowed: nothing joins it */
    aval_value *inputs[]; /* read from outside */
} group;

typedef struct reader {
    const aval_node *node;
    uint32_t next; /* reader of the same state; NONE */
} reader;

typedef struct fusion {
    const uint32_t *device_of;
    const bool *needed;
    uint32_t *stage; /* by node id; 0: not met yet */
    uint32_t *parent; /* by node id: union-find */
    group **groups; /* by node id of the root */
    uint32_t *uses; /* by value id: reads by nodes outside of the producer's group */
    uint32_t *first_reader; /* by value id: of states */
    AVAL__VEC(reader) readers;
    AVAL__VEC(uint32_t) joined; /* roots that the present node would be united with */
    group *draft; /* what unite makes, with room for MOST_TENSORS inputs */
    aval__arena *scratch;
} fusion;

static uint32_t find_root(fusion *f, uint32_t id)
{
    while (f->parent[id] != id) id = f->parent[id] = f->parent[f->parent[id]];
    return id;
}

static bool is_expression(const aval_node *node)
{
    return node->def->kind == AVAL__EXPRESSION && node->n_outputs > 0 && node->outputs[0] != NULL;
}

static bool is_free(const fusion *f, const aval_node *a, const aval_node *b)
{
    return is_expression(a) && is_expression(b) && f->device_of[a->id] == f->device_of[b->id] &&
           aval__tensor_same_shape(&a->outputs[0]->tensor, &b->outputs[0]->tensor);
}

/* ---- Links -------------------------------------------------------------------------------------------------------------------- */

/* The nodes that must run before `node`, one a call: its producers, then the readers of states that it updates. */
static int each_link(fusion *f, const aval_node *node, int (*link)(fusion *f, const aval_node *before, const aval_node *node))
{
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const aval_node *producer = node->inputs[i] == NULL ? NULL : node->inputs[i]->producer;
        if (producer != NULL && f->stage[producer->id] != 0) AVAL__TRY(link(f, producer, node));
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        const aval_value *state = node->outputs[i] == NULL ? NULL : aval__node_updates(node, i);
        for (uint32_t r = state == NULL ? NONE : f->first_reader[state->id]; r != NONE; r = f->readers.at[r].next) {
            if (f->readers.at[r].node != node) AVAL__TRY(link(f, f->readers.at[r].node, node));
        }
    }
    return AVAL_OK;
}

static int raise_stage(fusion *f, const aval_node *before, const aval_node *node)
{
    uint32_t least = f->stage[before->id] + !is_free(f, before, node);
    if (f->stage[node->id] < least) f->stage[node->id] = least;
    return AVAL_OK;
}

static int join_group(fusion *f, const aval_node *before, const aval_node *node)
{
    if (!is_free(f, before, node) || f->stage[before->id] != f->stage[node->id]) return AVAL_OK;
    uint32_t root = find_root(f, before->id);
    for (size_t i = 0; i < f->joined.count; i++) {
        if (f->joined.at[i] == root) return AVAL_OK;
    }
    return aval__vec_push(&f->joined, root);
}

/* ---- Groups ---------------------------------------------------------------------------------------------------------------------- */

static bool is_joined(fusion *f, const aval_value *value)
{
    if (value->producer == NULL || f->stage[value->producer->id] == 0 || !is_expression(value->producer)) return false;
    uint32_t root = find_root(f, value->producer->id);
    for (size_t i = 0; i < f->joined.count; i++) {
        if (f->joined.at[i] == root) return true;
    }
    return false;
}

/* Adds an input that is not there yet; false when there is no room. */
static bool add_input(group *g, aval_value *value)
{
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        if (g->inputs[i] == value) return true;
    }
    if (g->n_inputs == MOST_TENSORS) return false;
    g->inputs[g->n_inputs++] = value;
    return true;
}

static bool is_written(const fusion *f, const aval_node *node, uint32_t output)
{
    const aval_value *value = node->outputs[output];
    return value != NULL && (f->uses[value->id] > 0 || f->needed[value->id] || aval__node_updates(node, output) != NULL);
}

/* How often the node reads its input i, 0 for all but the first of equal ones. */
static uint32_t times_read(const aval_node *node, uint32_t i)
{
    uint32_t times = 0;
    for (uint32_t k = 0; k < node->n_inputs; k++) {
        if (node->inputs[k] != node->inputs[i]) continue;
        if (k < i) return 0;
        times++;
    }
    return times;
}

/* What the group of `node` with all joined groups would be, as f->draft; false when it passes a limit. */
static bool unite(fusion *f, const aval_node *node)
{
    group *g = f->draft;
    *g = (group){ .n_nodes = 1 };
    for (size_t i = 0; i < f->joined.count; i++) {
        const group *other = f->groups[f->joined.at[i]];
        if (other->closed) return false;
        g->n_nodes += other->n_nodes;
        g->n_outputs += other->n_outputs;
        for (uint32_t k = 0; k < other->n_inputs; k++) {
            if (!add_input(g, other->inputs[k])) return false;
        }
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        aval_value *value = node->inputs[i];
        if (value == NULL) continue;
        if (!is_joined(f, value)) {
            if (!add_input(g, value)) return false;
        } else if (times_read(node, i) == f->uses[value->id] && !f->needed[value->id] &&
                   aval__node_updates(value->producer, value->port) == NULL)
            g->n_outputs--; /* its last outside use */
    }
    for (uint32_t i = 0; i < node->n_outputs; i++) g->n_outputs += is_written(f, node, i);
    return g->n_nodes <= AVAL__MOST_NODES && g->n_inputs + g->n_outputs <= MOST_TENSORS;
}

static int place_node(fusion *f, const aval_node *node)
{
    f->joined.count = 0;
    f->stage[node->id] = 1;
    AVAL__TRY(each_link(f, node, raise_stage));
    if (!is_expression(node)) return AVAL_OK;
    AVAL__TRY(each_link(f, node, join_group));
    if (!unite(f, node)) {
        f->stage[node->id] += f->joined.count > 0;
        f->joined.count = 0;
        f->draft->closed = !unite(f, node);
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != NULL && is_joined(f, node->inputs[i])) f->uses[node->inputs[i]->id]--;
    }
    for (size_t i = 0; i < f->joined.count; i++) f->parent[f->joined.at[i]] = node->id;
    f->groups[node->id] = aval__arena_copy(f->scratch, f->draft, sizeof *f->draft + f->draft->n_inputs * sizeof *f->draft->inputs);
    return f->groups[node->id] == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

/* ---- From groups to clusters -------------------------------------------------------------------------------------------------------- */

/* Nodes of each cluster in the order of `order`; counts first, so that each list is made once. */
static int list_nodes(fusion *f, aval__arena *arena, aval_node *const *order, size_t n_order, aval__cluster *clusters, size_t n_clusters,
                      const uint32_t *cluster_of)
{
    for (size_t i = 0; i < n_order; i++) {
        if (cluster_of[order[i]->id] != NONE) clusters[cluster_of[order[i]->id]].n_nodes++;
    }
    for (size_t i = 0; i < n_clusters; i++) {
        clusters[i].nodes = aval__arena_alloc(arena, clusters[i].n_nodes * sizeof(aval_node *));
        if (clusters[i].nodes == NULL) return AVAL_E_MEMORY;
        clusters[i].n_nodes = 0;
    }
    for (size_t i = 0; i < n_order; i++) {
        if (cluster_of[order[i]->id] == NONE) continue;
        aval__cluster *c = &clusters[cluster_of[order[i]->id]];
        c->nodes[c->n_nodes++] = order[i];
        c->device = f->device_of[order[i]->id];
        c->space = &order[i]->outputs[0]->tensor;
    }
    return AVAL_OK;
}

/* Inputs and outputs of cluster `index`; seen[value id] is 1 + the last cluster that listed the value. */
static int list_tensors(const fusion *f, aval__arena *arena, aval__cluster *c, uint32_t index, const uint32_t *cluster_of, uint32_t *seen)
{
    size_t most_inputs = 0, most_outputs = 0;
    for (size_t i = 0; i < c->n_nodes; i++) {
        most_inputs += c->nodes[i]->n_inputs;
        most_outputs += c->nodes[i]->n_outputs;
    }
    c->inputs = aval__arena_alloc(arena, most_inputs * sizeof *c->inputs);
    c->outputs = aval__arena_alloc(arena, most_outputs * sizeof *c->outputs);
    if (c->inputs == NULL || c->outputs == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < c->n_nodes; i++) {
        const aval_node *node = c->nodes[i];
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            aval_value *value = node->inputs[k];
            if (value == NULL || seen[value->id] == index + 1 || (value->producer != NULL && cluster_of[value->producer->id] == index))
                continue;
            seen[value->id] = index + 1;
            c->inputs[c->n_inputs++] = value;
        }
        for (uint32_t k = 0; k < node->n_outputs; k++) {
            if (!is_written(f, node, k)) continue;
            c->is_read |= f->uses[node->outputs[k]->id] > 0;
            c->outputs[c->n_outputs++] = node->outputs[k];
        }
    }
    return AVAL_OK;
}

static int make_clusters(fusion *f, aval__arena *arena, const aval_graph *g, aval_node *const *order, size_t n_order,
                         aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of)
{
    uint32_t count = 0, *of_root = aval__arena_alloc(f->scratch, g->nodes.count * sizeof *of_root);
    uint32_t *seen = aval__arena_alloc(f->scratch, g->values.count * sizeof *seen);
    if (of_root == NULL || seen == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < g->nodes.count; i++) cluster_of[i] = NONE;
    for (size_t i = 0; i < n_order; i++) {
        if (!is_expression(order[i])) continue;
        uint32_t root = find_root(f, order[i]->id);
        if (of_root[root] == 0) of_root[root] = ++count;
        cluster_of[order[i]->id] = of_root[root] - 1;
    }
    *n_clusters = count;
    *clusters = aval__arena_alloc(arena, count * sizeof **clusters);
    if (*clusters == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(list_nodes(f, arena, order, n_order, *clusters, count, cluster_of));
    for (uint32_t i = 0; i < count; i++) AVAL__TRY(list_tensors(f, arena, &(*clusters)[i], i, cluster_of, seen));
    return AVAL_OK;
}

/* Counts the reads of values and lists the readers of states, as far as `order` goes. */
static int count_uses(fusion *f, aval_node *const *order, size_t n_order)
{
    for (size_t i = 0; i < n_order; i++) {
        for (uint32_t k = 0; k < order[i]->n_inputs; k++) {
            const aval_value *value = order[i]->inputs[k];
            if (value == NULL) continue;
            f->uses[value->id]++;
            if (value->kind != AVAL__STATE) continue;
            reader r = { .node = order[i], .next = f->first_reader[value->id] };
            AVAL__TRY(aval__vec_push(&f->readers, r));
            f->first_reader[value->id] = (uint32_t)f->readers.count - 1;
        }
    }
    return AVAL_OK;
}

int aval__fuse_clusters(aval__arena *arena, const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of,
                        const bool *needed, aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage)
{
    aval__arena scratch = { 0 };
    fusion f = { .device_of = device_of, .needed = needed, .stage = stage, .scratch = &scratch };
    size_t n_nodes = g->nodes.count, n_values = g->values.count;
    int status = AVAL_E_MEMORY;
    if ((f.parent = aval__arena_alloc(&scratch, n_nodes * sizeof *f.parent)) == NULL) goto done;
    if ((f.groups = aval__arena_alloc(&scratch, n_nodes * sizeof *f.groups)) == NULL) goto done;
    if ((f.uses = aval__arena_alloc(&scratch, n_values * sizeof *f.uses)) == NULL) goto done;
    if ((f.first_reader = aval__arena_alloc(&scratch, n_values * sizeof *f.first_reader)) == NULL) goto done;
    if ((f.draft = aval__arena_alloc(&scratch, sizeof *f.draft + MOST_TENSORS * sizeof *f.draft->inputs)) == NULL) goto done;
    for (uint32_t i = 0; i < n_nodes; i++) f.parent[i] = i;
    for (size_t i = 0; i < n_values; i++) f.first_reader[i] = NONE;
    AVAL__TRY_DONE(count_uses(&f, order, n_order));
    for (size_t i = 0; i < n_order; i++) AVAL__TRY_DONE(place_node(&f, order[i]));
    status = make_clusters(&f, arena, g, order, n_order, clusters, n_clusters, cluster_of);
done:
    aval__vec_release(&f.readers);
    aval__vec_release(&f.joined);
    aval__arena_release(&scratch);
    return status;
}
