/* Which clusters are tails of matrix products: computed by the launch that stores the product's result, block by block, while it is still in the
 * nearest caches.
 *
 * A product and its tail become one unit, so no path may lead from the product to its cluster by way of other units.  The stages of fuse.c say
 * so: all links from a product raise the stage, so a cluster one stage after its product has only direct ones.  Several such pairs cannot wait for
 * each other in a ring either.  A pair counts as of its product's stage; then every link raises the stage but those to the cluster of a pair from
 * units of the pair's own stage.  Such a unit is a pair too, whose product comes before this one in the order, or has only links from
 * earlier stages. */
#include "plan/fuse.h"

#define NONE UINT32_MAX
#define MOST_TENSORS 10 /* of a tail: a product's kernel has up to 400 bytes of arguments of its own, of 1,024 that every device takes */
#define MOST_NODES 12

/* Whether the op says that output `port` may be made by one product. */
static bool is_product(const aval_node *node, uint32_t port)
{
    if (port >= 32 || node->n_outputs <= port) return false;
    if (node->def->kind == AVAL__BACKWARD) return (node->def->forward_of->op->products & AVAL_PRODUCT_GRADIENT(port)) != 0;
    return node->def->kind == AVAL__KERNELS && (node->def->op->products & AVAL_PRODUCT_OUTPUT(port)) != 0;
}

static bool updates_state(const aval__cluster *c)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        for (uint32_t k = 0; k < c->nodes[i]->n_outputs; k++)
            if (c->nodes[i]->outputs[k] != NULL && aval__node_updates(c->nodes[i], k) != NULL) return true;
    return false;
}

/* By node id: the least stage of the nodes that must run after it, NONE: there are none.  *out is for aval__free. */
static int find_followers(const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *stage, uint32_t **out)
{
    uint32_t *least = aval__alloc((g->nodes.count + g->values.count + 1) * sizeof *least);
    if (least == NULL) return AVAL_E_MEMORY;
    uint32_t *updated = least + g->nodes.count; /* by value id: the stage in which the state gets its new content */
    for (size_t i = 0; i < g->nodes.count + g->values.count; i++) least[i] = NONE;
    for (size_t i = 0; i < n_order; i++) {
        for (uint32_t k = 0; k < order[i]->n_outputs; k++) {
            const aval_value *state = order[i]->outputs[k] == NULL ? NULL : aval__node_updates(order[i], k);
            if (state != NULL) updated[state->id] = stage[order[i]->id];
        }
    }
    for (size_t i = 0; i < n_order; i++) {
        const aval_node *node = order[i];
        for (uint32_t k = 0; k < node->n_inputs; k++) {
            const aval_value *value = node->inputs[k];
            if (value == NULL) continue;
            if (value->producer != NULL && stage[node->id] < least[value->producer->id]) least[value->producer->id] = stage[node->id];
            if (updated[value->id] < least[node->id]) least[node->id] = updated[value->id];
        }
    }
    *out = least;
    return AVAL_OK;
}

/* Whether the product runs one stage before `of`, or may: nothing that comes after it is of an earlier stage. */
static bool is_before(const aval_node *product, uint32_t of, const uint32_t *stage, const uint32_t *least_after)
{
    return stage[product->id] + 1 == of || (stage[product->id] + 1 < of && least_after[product->id] == of);
}

/* Of the inputs that products one stage before the cluster's make, the last in the order; NULL: none. */
static aval_value *last_product(const aval__cluster *c, const uint32_t *stage, const uint32_t *least_after, const uint32_t *position_of)
{
    aval_value *last = NULL;
    for (size_t i = 0; i < c->n_inputs; i++) {
        const aval_node *producer = c->inputs[i]->producer;
        if (producer == NULL || position_of[producer->id] == NONE || !is_product(producer, c->inputs[i]->port)) continue;
        if (!is_before(producer, stage[c->nodes[0]->id], stage, least_after)) continue;
        if (last == NULL || position_of[producer->id] > position_of[last->producer->id]) last = c->inputs[i];
    }
    return last;
}

static bool suits(const aval__cluster *c, const aval_value *product, const uint32_t *device_of)
{
    if (c->n_inputs + c->n_outputs > MOST_TENSORS || c->n_nodes > MOST_NODES || updates_state(c)) return false;
    return device_of[product->producer->id] == c->device && aval__tensor_same_shape(&product->tensor, c->space);
}

int aval__fuse_tails(const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of, uint32_t *stage,
                     aval__cluster *clusters, size_t n_clusters, uint32_t *tail_of)
{
    uint32_t *least_after = NULL, *position_of = aval__alloc((g->nodes.count + 1) * sizeof *position_of);
    int status = position_of == NULL ? AVAL_E_MEMORY : find_followers(g, order, n_order, stage, &least_after);
    if (status < 0) goto done;
    for (size_t i = 0; i < g->nodes.count; i++) position_of[i] = tail_of[i] = NONE;
    for (size_t i = 0; i < n_order; i++) position_of[order[i]->id] = (uint32_t)i;
    for (size_t i = 0; i < n_clusters; i++) {
        aval__cluster *c = &clusters[i];
        aval_value *product = last_product(c, stage, least_after, position_of);
        if (product == NULL || tail_of[product->producer->id] != NONE || !suits(c, product, device_of)) continue;
        c->product = product;
        stage[product->producer->id] = stage[c->nodes[0]->id] - 1;
        tail_of[product->producer->id] = (uint32_t)i;
    }
done:
    aval__free(least_after);
    aval__free(position_of);
    return status;
}

/* ---- Where the tensors of a tail lie beside a product's result -------------------------------------------------------------------------- */

/* What an input moves by when the index of a group of axes grows by one. */
static bool group_step(const aval__cluster *c, size_t input, int32_t first, int32_t end, int64_t *inner, int64_t *step)
{
    const aval_tensor *t = &c->inputs[input]->tensor;
    int64_t varying = 1;
    bool stays = true, moves = true;
    for (int32_t axis = end - 1; axis >= first; axis--) {
        int32_t own = axis - (c->space->rank - t->rank);
        int64_t length = own >= 0 ? t->dims[own] : 1;
        if (c->space->dims[axis] == 1) continue;
        stays = stays && length == 1;
        moves = moves && length != 1;
        varying *= length;
    }
    if (!stays && !moves) return false;
    *step = stays ? 0 : *inner;
    *inner *= varying;
    return true;
}

/* The axes before `end` that have `count` elements together: *first, with axes of length 1 before them. */
static bool take_axes(const aval_tensor *space, int64_t count, int32_t end, int32_t *first)
{
    int64_t found = 1;
    *first = end;
    while (*first > 0 && (found < count || space->dims[*first - 1] == 1)) found *= space->dims[--*first];
    return found == count;
}

bool aval__fuse_grid(const aval__cluster *c, int64_t batch, int64_t blocks, int64_t rows, int64_t columns, aval__grid *grid)
{
    const int64_t counts[] = { columns, rows, blocks > 0 ? blocks : 1, batch };
    int64_t inner[MOST_TENSORS];
    int32_t end = c->space->rank;
    *grid = (aval__grid){ .blocks = blocks, .columns = columns };
    int64_t *const steps[] = { NULL, grid->row_step, grid->block_step, grid->matrix_step };
    for (size_t i = 0; i < c->n_inputs; i++) {
        inner[i] = 1;
        if (c->inputs[i] == c->product) grid->product = (uint32_t)i;
    }
    for (int group = 0; group < 4; group++) {
        int32_t first;
        if (!take_axes(c->space, counts[group], end, &first)) return false;
        for (size_t i = 0; i < c->n_inputs; i++) {
            int64_t step;
            if (!group_step(c, i, first, end, &inner[i], &step)) return false;
            if (group == 0) grid->along_row |= (uint64_t)(step != 0) << i;
            else steps[group][i] = step;
        }
        end = first;
    }
    for (size_t i = 0; i < c->n_inputs; i++) grid->same_rows |= (uint64_t)(grid->row_step[i] == 0) << i;
    return end == 0;
}
