/* Units that give the same in every run: those that read only states which the plan does not change, constants, and what such units give; scales of
 * normalisations by running statistics, weights that are stored in few bits, masks made of constants.  Their steps are marked `once`: a session runs
 * them again only when the store was changed (exec/binding_run.c).  What they give keeps its memory for that. */
#include "plan/planner.h"

bool aval__item_lasts(const aval__planner *p, uint32_t item)
{
    const aval__item *it = &p->items.at[item];
    if (it->producer != AVAL__NONE) return p->units.at[it->producer].once;
    return it->overwritten == AVAL__AFTER && it->updater == AVAL__NONE && it->value->kind != AVAL__INPUT;
}

/* Of constants alone (zeros to add to) it would cost memory, and readers that may write over them a copy, to save next to nothing. */
static bool reads_states_alone(const aval__planner *p, const aval__unit *u)
{
    bool any = false;
    for (uint32_t i = 0; i < u->n_reads; i++) {
        uint32_t item = aval__unit_reads(p, u)[i];
        if (item == AVAL__NONE) continue;
        if (!aval__item_lasts(p, item)) return false;
        any |= p->items.at[item].producer != AVAL__NONE || p->items.at[item].value->kind == AVAL__STATE;
    }
    return any;
}

void aval__planner_begin_once(aval__planner *p, aval__unit *u)
{
    /* Not where all memory is poisoned before each run, nor where it is bounded. */
    if (p->request->memory == AVAL_MEMORY_GUARDED || p->recomputation) return;
    u->once = aval__unit_is_repeatable(p, u) && reads_states_alone(p, u);
    for (uint32_t i = 0; u->once && i < u->n_writes; i++) {
        uint32_t item = aval__unit_writes(p, u)[i];
        if (item != AVAL__NONE) p->items.at[item].last_use = AVAL__AFTER; /* so nobody writes over it */
    }
}

void aval__planner_end_once(aval__planner *p, const aval__unit *u, size_t first_step)
{
    if (!u->once) return;
    for (size_t i = first_step; i < p->steps.count; i++) p->steps.at[i].once = true;
    for (uint32_t i = 0; i < u->n_writes; i++) {
        uint32_t item = aval__unit_writes(p, u)[i];
        if (item == AVAL__NONE || p->items.at[item].storage == AVAL__NONE) continue;
        aval__storage *s = &p->storages.at[p->items.at[item].storage];
        s->first = 0;
        s->last = AVAL__AFTER;
    }
}
