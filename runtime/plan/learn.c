/* What an attempt without recomputation finds out for those with: of each unit what it costs to run it again, of each item where it lies. */
#include "plan/planner.h"

#include <string.h>

/* Costs are in bytes moved.  Devices differ far less in the ratio of arithmetic to bandwidth than in either: 10 to 40 operations on floats in
   the time of a byte, from the CPUs measured by `aval bench --roofline` to the GPUs of today's data sheets. */
#define FLOPS_PER_BYTE 16.0
#define BYTES_PER_STEP 32768.0 /* moved in the time that a launch takes */

int aval__planner_prepare_learning(aval__planner *p)
{
    aval__recomputation *r = p->recomputation;
    r->scratch_bytes = aval__arena_alloc(&r->arena, sizeof *r->scratch_bytes * p->units.count);
    r->cost = aval__arena_alloc(&r->arena, sizeof *r->cost * p->units.count);
    r->bytes = aval__arena_alloc(&r->arena, sizeof *r->bytes * p->items.count);
    r->shares = aval__arena_alloc(&r->arena, sizeof *r->shares * p->items.count);
    r->overwrites = aval__arena_alloc(&r->arena, sizeof *r->overwrites * p->items.count);
    if (!r->scratch_bytes || !r->cost || !r->bytes || !r->shares || !r->overwrites) return AVAL_E_MEMORY;
    memset(r->shares, 0xff, sizeof *r->shares * p->items.count);
    return AVAL_OK;
}

static void learn_item(aval__planner *p, const aval__unit *u, uint32_t index)
{
    aval__recomputation *r = p->recomputation;
    const aval__item *item = &p->items.at[index];
    if (item->storage == AVAL__NONE || p->storages.at[item->storage].slot != AVAL__NONE) return;
    r->bytes[index] = p->storages.at[item->storage].bytes;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        uint32_t read = aval__unit_reads(p, u)[i];
        if (read == AVAL__NONE || p->items.at[read].storage != item->storage) continue;
        r->shares[index] = read;
        r->overwrites[index] = item->value->producer != u->node || u->cluster || aval__node_base(u->node, item->value->port);
    }
}

void aval__planner_learn(aval__planner *p, uint32_t unit, size_t first_step, size_t first_storage, size_t first_product,
                         uint64_t moved_bytes)
{
    aval__recomputation *r = p->recomputation;
    const aval__unit *u = &p->units.at[unit];
    double flops = 0;
    for (size_t i = first_product; i < p->products.count; i++) flops += p->products.at[i].flops;
    r->cost[unit] = (double)moved_bytes + flops / FLOPS_PER_BYTE + (double)(p->steps.count - first_step) * BYTES_PER_STEP;
    for (size_t i = first_storage; i < p->storages.count; i++)
        if (!p->storages.at[i].value) r->scratch_bytes[unit] += p->storages.at[i].bytes;
    for (uint32_t i = 0; i < u->n_writes; i++)
        if (aval__unit_writes(p, u)[i] != AVAL__NONE && !aval__unit_overwrites(p, u, i, u->n_writes))
            learn_item(p, u, aval__unit_writes(p, u)[i]);
}
