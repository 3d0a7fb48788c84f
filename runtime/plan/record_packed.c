/* Operands of matrix products that are packed once for many products: weights.
 *
 * A provider may want an operand in an order of its own.  Where its elements stay as they are, the packed copy serves every product that reads the
 * same matrix: those of one node (the time steps of a recurrent network), and those of all nodes where it is a state, an input or a constant.  What the
 * plan never changes, a constant or a state that nothing updates, is packed by steps marked `once`: a session runs them again only when the store was
 * changed (exec/binding_run.c).  Else the first product packs for itself as it would alone, the second for all that follow. */
#include "plan/planner.h"

#include <string.h>

/* What is known of an operand that was met. */
struct aval__packed {
    uint32_t products; /* that have read it so far */
    bool once;
    uint32_t storage; /* of the packed copy; AVAL__NONE: there is none yet */
};

/* Does the unit write over what the port reads? */
static bool written_by_unit(const aval__recording *r, const aval__port *port)
{
    for (size_t i = 0; i < r->n_ports; i++)
        if (r->ports[i].writable && r->ports[i].storage == port->storage) return true;
    return false;
}

/* True where the content of a port stays until the plan ends, or for a state until its new content is written; *once: even between runs. */
static bool is_fixed(const aval__recording *r, const aval__port *port, bool *once)
{
    aval__planner *p = r->p;
    const aval__storage *storage = &p->storages.at[port->storage];
    if (port->item != AVAL__NONE && p->items.at[port->item].producer != AVAL__NONE) {
        *once = aval__item_lasts(p, port->item);
        if (*once) return true;
    }
    if (storage->slot == AVAL__NONE || storage->value == NULL || port->item == AVAL__NONE) return false;
    uint32_t source = aval__planner_item(p, storage->value, r->device);
    if (source == AVAL__NONE) return false;
    const aval__item *root = &p->items.at[source];
    if (root->overwritten != p->items.at[port->item].overwritten) return false; /* the new content of a state */
    *once = root->overwritten == AVAL__AFTER && root->updater == AVAL__NONE && storage->value->kind != AVAL__INPUT &&
            p->request->memory != AVAL_MEMORY_GUARDED; /* where all memory is poisoned before each run */
    return true;
}

/* The matrix that a product reads, as its provider lays it out. */
static aval__hash key_of(const aval__port *port, const aval_gemm *gemm, int operand)
{
    const aval_operand *o = operand == 0 ? &gemm->a : &gemm->b;
    const aval_patches *patches = gemm->b.patches;
    const uint64_t words[] = { 0x9ac4ed, /* unlike what other keys begin with */
                               (uint64_t)operand | (uint64_t)(o->transposed != 0) << 1 | (uint64_t)(gemm->c.transposed != 0) << 2,
                               port->storage,
                               port->offset_bytes,
                               (uint64_t)o->offset,
                               (uint64_t)o->ld,
                               (uint64_t)(operand == 0 ? gemm->m : gemm->n),
                               (uint64_t)gemm->k,
                               (uint64_t)o->tensor->type };
    aval__hash key = aval__hash_bytes(words, sizeof words);
    /* Filters in the order for images of other sizes may be in another. */
    if (patches) {
        const uint64_t images[] = { (uint64_t)gemm->batch, (uint64_t)gemm->n, (uint64_t)patches->channels, (uint64_t)gemm->b_block,
                                    (uint64_t)gemm->c_block };
        key.low ^= aval__hash64(images, sizeof images, aval__hash64(patches->in, sizeof(int64_t) * 18, 0x9a7c));
    }
    return key;
}

static aval__packed *make_packed(aval__arena *arena, bool once)
{
    aval__packed *made = aval__arena_alloc(arena, sizeof *made);
    if (made) *made = (aval__packed){ .once = once, .storage = AVAL__NONE };
    return made;
}

/* Of an operand that all units may share: there are few. */
static aval__packed *meet_fixed(aval__planner *p, aval__hash key, bool once)
{
    aval__packed *met = (aval__packed *)aval__find_shared(p, key); /* the planner's own */
    if (met) return met;
    met = make_packed(&p->scratch, once);
    return met && aval__share(p, key, met) == AVAL_OK ? met : NULL;
}

/* Of an operand that changes after this unit: only the last few that it met are remembered, the newest first, so that planning a unit takes
   time in proportion to its products, and most units' products are forgotten at once. */
static aval__packed *meet_here(aval__recording *r, aval__hash key)
{
    size_t i = 0;
    while (i < r->n_met && memcmp(&r->met[i].key, &key, sizeof key) != 0) i++;
    aval__packed *met = i < r->n_met ? r->met[i].packed : make_packed(&r->p->unit_scratch, false);
    if (!met) return NULL;
    if (i == r->n_met && r->n_met < AVAL__MOST_MET) r->n_met++;
    if (i == AVAL__MOST_MET) i--;
    memmove(&r->met[1], &r->met[0], i * sizeof r->met[0]);
    r->met[0].key = key;
    r->met[0].packed = met;
    return met;
}

int aval__record_meet_operand(aval__recording *r, const aval__port *port, const aval_gemm *gemm, int operand, aval__packed **out)
{
    const aval_operand *o = operand == 0 ? &gemm->a : &gemm->b;
    bool once = false;
    *out = NULL;
    if (port->writable || o->patches != NULL || (gemm->batch > 1 && o->batch_stride != 0) || written_by_unit(r, port)) return AVAL_OK;
    bool fixed = is_fixed(r, port, &once);
    aval__hash key = key_of(port, gemm, operand);
    aval__packed *met = fixed ? meet_fixed(r->p, key, once) : meet_here(r, key);
    if (!met) return AVAL_E_MEMORY;
    met->products++;
    if (met->once || met->products > 1) *out = met;
    return AVAL_OK;
}

int aval__record_packed(aval_call *call, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, int operand,
                        aval__packed *packed, const aval_tensor **out)
{
    aval__recording *r = call->user;
    aval__planner *p = r->p;
    const aval__plan_hooks *hooks = p->request->hooks;
    bool there = packed->storage != AVAL__NONE;
    size_t first = p->steps.count;
    const aval_tensor *copy = aval__record_scratch_in(call, (int64_t)choice->packed_bytes[operand], &packed->storage);
    if (!copy) return AVAL_E_MEMORY;
    *out = copy;
    if (there) return AVAL_OK;
    if (packed->once) {
        p->storages.at[packed->storage].first = 0;
        p->storages.at[packed->storage].last = AVAL__AFTER;
    }
    const aval_kernel_source *own = r->source;
    int status = hooks->gemm_pack(hooks->user, r->device, gemm, type, choice, operand, copy, call, &r->source);
    r->source = own;
    for (size_t i = first; i < p->steps.count; i++) p->steps.at[i].once = packed->once;
    return status;
}
