/* Outputs that are an input's elements in another order and are never written, since all who read them take them as they lie: transpositions of the
 * operands of matrix products.  What a plan has of them is their strides, by item. */
#include "plan/planner.h"

static aval__hash key_of(uint32_t item)
{
    const uint64_t words[] = { 0x57a1de, /* unlike what other keys begin with */ item };
    return aval__hash_bytes(words, sizeof words);
}

/* Whether nobody but AVAL_STRIDED ports of forward recorders reads the item. */
static bool takes_strides(const aval__planner *p, const aval__item *item)
{
    for (uint32_t i = 0; i < item->n_readers; i++) {
        const aval__unit *u = &p->units.at[p->readers.at[item->first_reader + i]];
        if (!u->node || u->cluster || u->node->def->kind != AVAL__KERNELS) return false;
        const aval__cluster *c = u->tail ? u->tail : u->head;
        for (uint32_t k = 0; c && k < c->n_inputs; k++)
            if (c->inputs[k] == item->value) return false;
        for (uint32_t k = 0; k < u->node->n_inputs; k++) {
            if (u->node->inputs[k] != item->value) continue;
            if (!(u->node->def->op->inputs[aval__input_port(u->node->def, k)].flags & AVAL_STRIDED)) return false;
        }
    }
    return item->n_readers > 0 && !item->kept && !item->in_state && p->needed[item->value->id] == false;
}

/* Whether it is a batch of matrices as AVAL_STRIDED says. */
static bool is_batch(const aval_tensor *t, const int64_t *strides)
{
    if (t->rank < 2) return false;
    int64_t rows = t->dims[t->rank - 2], columns = t->dims[t->rank - 1], row = strides[t->rank - 2], column = strides[t->rank - 1];
    if (rows < 2 || columns < 2 || !((column == 1 && row >= columns) || (row == 1 && column >= rows))) return false;
    int64_t batch = 1, step = 0;
    for (int32_t i = t->rank - 3; i >= 0; i--) {
        if (t->dims[i] == 1) continue;
        if (batch > 1 && strides[i] != step * batch) return false;
        if (batch == 1) step = strides[i];
        batch *= t->dims[i];
    }
    return true;
}

/* From the first to the last element it must lie within `of`. */
static bool is_inside(const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides)
{
    int64_t last = offset;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->dims[i] < 1 || strides[i] < 0) return false;
        last += (t->dims[i] - 1) * strides[i];
    }
    return offset >= 0 && last < aval__tensor_count(of);
}

int aval__record_alias_strided(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides)
{
    aval__recording *r = call->user;
    aval__planner *p = r->p;
    aval__port *port = aval__record_port(r, t), *source;
    AVAL__TRY(aval__record_readable(call, of, "alias of aval_strides", &source));
    if (!port || !port->writable || port->item == AVAL__NONE || port->written || source->item == AVAL__NONE || !strides)
        return aval__fail(AVAL_E_PLUGIN, "alias of aval_strides: expected an output that nothing was written to yet, an input and strides");
    /* Units that run again find their readers in another way, and guarded plans keep values apart. */
    if (p->request->memory != AVAL_MEMORY_ARENA || p->recomputation || call->phase != AVAL_PHASE_FORWARD) return 0;
    aval__item *item = &p->items.at[port->item];
    uint32_t overwritten = p->items.at[source->item].overwritten;
    if (port->storage != AVAL__NONE || source->writable || (overwritten != AVAL__AFTER && item->last_use >= overwritten)) return 0;
    if (t->type != of->type || !takes_strides(p, item) || !is_batch(t, strides) || !is_inside(t, of, offset, strides)) return 0;

    int64_t *kept = aval__arena_copy(&p->scratch, strides, (size_t)t->rank * sizeof *strides);
    if (!kept) return AVAL_E_MEMORY;
    AVAL__TRY(aval__share(p, key_of(port->item), kept));
    port->storage = source->storage;
    port->offset_bytes = source->offset_bytes + (uint64_t)offset * aval_type_bytes(of->type);
    port->written = true;
    item->overwritten = overwritten;
    aval__record_locate(r, port->item, port->storage, port->offset_bytes);
    return 1;
}

const int64_t *aval__record_strides(const aval_call *call, const aval_tensor *t)
{
    const aval__recording *r = call->user;
    const aval__port *port = aval__record_port(r, t);
    return port && port->item != AVAL__NONE ? aval__find_shared(r->p, key_of(port->item)) : NULL;
}
