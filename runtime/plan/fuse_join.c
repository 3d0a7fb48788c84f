/* Which clusters share a launch: small ones that compute the same on tensors of their own, as the updates of a network's parameters do.
 *
 * Only clusters that nothing comes after are joined: nobody reads what they give, and no state that they read is replaced by another node.  So
 * whatever they wait for together, no path leads back to one of them.  They come later than each alone would, and what they read is
 * kept for so long; but they are small, and a launch has few of them.
 *
 * A cluster alone that does not occupy the device costs a launch more than it computes.  Parameters of a kernel bound how many are joined. */
#include "plan/planner.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETER_BYTES 1024 /* CL_DEVICE_MAX_PARAMETER_SIZE is that at least */
#define TENSOR_BYTES 16 /* a pointer and an offset */
#define NUMBER_BYTES 8
#define MOST_ELEMENTS (INT32_MAX / 2 / AVAL__MOST_JOINED) /* all of a joint are counted in 32 bits on GPUs */
#define CPU_ELEMENTS 4096 /* that occupy a compute unit for about as long as a launch takes */
#define GPU_ELEMENTS 2048 /* work-items that a compute unit has in flight */

typedef struct candidate {
    aval__hash key;
    uint32_t cluster;
} candidate;

typedef struct joining {
    aval__arena *arena;
    const uint32_t *root_state;
    const bool *updated;
    aval__cluster *clusters;
    aval__fuse_words words;
    AVAL__VEC(candidate) candidates;
} joining;

/* ---- What comes after a cluster ------------------------------------------------------------------------------------------------------ */

/* The content that output `port` is written over, NULL: none. */
static aval_value *replaced_by(const joining *j, const aval_node *node, uint32_t port)
{
    const aval_value *value = node->outputs[port];
    uint32_t input = value == NULL || j->root_state[value->id] == AVAL__NONE ? AVAL__NONE : aval__updated_input(node, port);
    return input == AVAL__NONE ? NULL : node->inputs[input];
}

static bool replaces(const joining *j, const aval__cluster *c, const aval_value *old)
{
    for (size_t k = 0; k < c->n_outputs; k++)
        if (replaced_by(j, c->outputs[k]->producer, c->outputs[k]->port) == old) return true;
    return false;
}

static bool leads_on(const joining *j, const aval__cluster *c)
{
    if (c->is_read) return true;
    for (size_t i = 0; i < c->n_inputs; i++)
        if (j->updated[c->inputs[i]->id] && !replaces(j, c, c->inputs[i])) return true;
    for (size_t k = 0; k < c->n_outputs; k++)
        if (j->updated[c->outputs[k]->id]) return true; /* two updates of one state: the first content lies elsewhere */
    return false;
}

/* ---- Which are alike ------------------------------------------------------------------------------------------------------------------- */

static int64_t most_elements(const aval_device_info *device)
{
    int64_t units = device->compute_units > 0 ? device->compute_units : 1;
    return units * (device->kind == AVAL_DEVICE_CPU ? CPU_ELEMENTS : GPU_ELEMENTS);
}

static bool is_candidate(const joining *j, uint32_t index, const aval_device_info *device, aval__joins joins)
{
    const aval__cluster *c = &j->clusters[index];
    int64_t count = aval__tensor_count(c->space);
    aval__fused_axes axes;
    if (c->n_inputs + c->n_outputs > AVAL__MOST_TENSORS || c->product != NULL || c->headed != NULL || count == 0) return false;
    if (count > MOST_ELEMENTS || (joins != AVAL__JOINS_ALL && count > most_elements(device)) || leads_on(j, c)) return false;
    aval__fuse_axes(c, &axes);
    return axes.count == 1;
}

/* Numbers that expressions may read. */
static uint64_t hash_attributes(const aval__cluster *c)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < c->n_nodes; i++) {
        const aval__attrs *attrs = &c->nodes[i]->attrs;
        for (size_t k = 0; k < attrs->count; k++) {
            const aval__attr_value *a = &attrs->at[k];
            hash = aval__hash64(a->name, strlen(a->name), hash);
            if (a->type == AVAL_ATTR_INT) hash = aval__hash64(&a->integer, sizeof a->integer, hash);
            if (a->type == AVAL_ATTR_FLOAT) hash = aval__hash64(&a->real, sizeof a->real, hash);
        }
    }
    return hash;
}

/* Which outputs lie over what they replace: an update that nobody asked for does not. */
static uint64_t hash_replaced(const joining *j, const aval__cluster *c)
{
    uint64_t bits = 0;
    for (size_t k = 0; k < c->n_outputs; k++) bits |= (uint64_t)(replaced_by(j, c->outputs[k]->producer, c->outputs[k]->port) != NULL) << k;
    return aval__hash64(&bits, sizeof bits, 0);
}

static int add_candidate(joining *j, uint32_t index, const aval_device_info *device)
{
    candidate c = { .cluster = index };
    AVAL__TRY(aval__fuse_key(&j->words, &j->clusters[index], device, &c.key));
    c.key.low ^= hash_attributes(&j->clusters[index]);
    c.key.high ^= hash_replaced(j, &j->clusters[index]) ^ j->clusters[index].device;
    return aval__vec_push(&j->candidates, c);
}

static int by_key(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->key.high != y->key.high) return x->key.high < y->key.high ? -1 : 1;
    if (x->key.low != y->key.low) return x->key.low < y->key.low ? -1 : 1;
    return x->cluster < y->cluster ? -1 : x->cluster > y->cluster;
}

/* ---- Launches ----------------------------------------------------------------------------------------------------------------------------- */

static uint32_t find_input(const aval__cluster *c, const aval_value *value)
{
    for (uint32_t i = 0; i < c->n_inputs; i++)
        if (c->inputs[i] == value) return i;
    return AVAL__NONE;
}

/* What `count` clusters of equal key have in common. */
static void compare(const joining *j, const candidate *list, size_t count, aval__joint *out)
{
    const aval__cluster *first = &j->clusters[list[0].cluster];
    out->shared = ((uint64_t)1 << first->n_inputs) - 1;
    for (size_t m = 1; m < count; m++)
        for (size_t i = 0; i < first->n_inputs; i++)
            if (j->clusters[list[m].cluster].inputs[i] != first->inputs[i]) out->shared &= ~((uint64_t)1 << i);
    for (size_t k = 0; k < first->n_outputs; k++) {
        const aval_value *old = replaced_by(j, first->outputs[k]->producer, first->outputs[k]->port);
        out->replaces[k] = old == NULL ? AVAL__NONE : find_input(first, old);
    }
}

/* How many members the parameters of one kernel suffice for. */
static size_t most_members(const aval__cluster *c, const aval__joint *joint)
{
    size_t common = 2 * NUMBER_BYTES, own = NUMBER_BYTES;
    for (size_t i = 0; i < c->n_nodes; i++) common += c->nodes[i]->attrs.count * c->nodes[i]->n_outputs * NUMBER_BYTES;
    for (size_t i = 0; i < c->n_inputs; i++) *(joint->shared >> i & 1 ? &common : &own) += TENSOR_BYTES;
    for (size_t k = 0; k < c->n_outputs; k++) own += joint->replaces[k] == AVAL__NONE ? TENSOR_BYTES : 0;
    size_t most = common < PARAMETER_BYTES ? (PARAMETER_BYTES - common) / own : 0;
    return most < AVAL__MOST_JOINED ? most : AVAL__MOST_JOINED;
}

/* In as few launches as do, of about as many members each. */
static int join(joining *j, const candidate *list, size_t count)
{
    aval__joint common = { 0 };
    if (count < 2) return AVAL_OK;
    compare(j, list, count, &common);
    size_t most = most_members(&j->clusters[list[0].cluster], &common);
    if (most < 2) return AVAL_OK;
    size_t n_launches = (count + most - 1) / most;
    for (size_t first = 0, launch = 0; launch < n_launches; launch++) {
        size_t end = count * (launch + 1) / n_launches;
        aval__joint *joint = aval__arena_copy(j->arena, &common, sizeof common);
        if (joint == NULL) return AVAL_E_MEMORY;
        joint->members = aval__arena_alloc(j->arena, (end - first) * sizeof *joint->members);
        if (joint->members == NULL) return AVAL_E_MEMORY;
        for (; first < end; first++) {
            aval__cluster *c = &j->clusters[list[first].cluster];
            joint->members[joint->n_members++] = c;
            c->joint = joint;
        }
    }
    return AVAL_OK;
}

static int join_equals(joining *j)
{
    const candidate *list = j->candidates.at;
    if (j->candidates.count == 0) return AVAL_OK;
    qsort(j->candidates.at, j->candidates.count, sizeof *list, by_key);
    for (size_t first = 0, end; first < j->candidates.count; first = end) {
        for (end = first + 1; end < j->candidates.count; end++)
            if (memcmp(&list[end].key, &list[first].key, sizeof list->key) != 0) break;
        AVAL__TRY(join(j, list + first, end - first));
    }
    return AVAL_OK;
}

int aval__fuse_join(aval__arena *arena, const aval_graph *g, const uint32_t *root_state, const bool *updated,
                    const aval_device_info *const *devices, aval__joins joins, aval__cluster *clusters, size_t n_clusters)
{
    joining j = { .arena = arena, .root_state = root_state, .updated = updated, .clusters = clusters };
    int status = AVAL_OK;
    for (uint32_t i = 0; i < n_clusters; i++) {
        const aval_device_info *device = devices[clusters[i].device];
        if (!is_candidate(&j, i, device, joins)) continue;
        if (j.words.place == NULL) j.words.place = aval__alloc(g->values.count * sizeof *j.words.place);
        if (j.words.place == NULL) status = AVAL_E_MEMORY;
        else status = add_candidate(&j, i, device);
        if (status < 0) goto done;
    }
    status = join_equals(&j);
done:
    aval__free(j.words.place);
    aval__vec_release(&j.words.list);
    aval__vec_release(&j.candidates);
    return status;
}
