/* Tensors that are put together, as Concat does: a part that nobody reads any more afterwards need not be copied, it is made where it is to be.  Its
 * storage then lies inside that of the whole, which is in use from when the first part is. */
#include "plan/planner.h"

/* Whether `bytes` bytes from the start of storage `part` on may lie in `whole`, an output that this unit has given a storage of its own. */
static bool may_nest(const aval__recording *r, const aval__storage *part, uint64_t bytes, const aval__storage *whole)
{
    if (whole->slot != AVAL__NONE || whole <= part) return false; /* not new */
    if (part->slot != AVAL__NONE || part->inside != AVAL__NONE || part->device != whole->device) return false;
    /* All that lies in the part's storage is needed no longer, and is no longer than the part.  `bytes` of the storage are rounded up. */
    return part->last <= r->position && part->value != NULL && aval__tensor_bytes(&part->value->tensor) == bytes;
}

/* Copies alone, that fill one output from its first byte to its last: anything else may write where a part lies by then, or read the part when that is
   changed. */
static bool puts_together(const aval__recording *r, size_t first_step)
{
    const aval__planner *p = r->p;
    int64_t end = p->steps.count > first_step ? p->steps.at[first_step].to.offset : 0;
    for (size_t i = first_step; i < p->steps.count; i++) {
        const aval__step *step = &p->steps.at[i];
        if (step->kind != AVAL__STEP_COPY || step->from_device != r->device) return false;
        if (step->to.slot != p->steps.at[first_step].to.slot || step->to.offset != end) return false;
        end += (int64_t)step->bytes;
    }
    return true;
}

void aval__record_nest(aval__recording *r, size_t first_step)
{
    aval__planner *p = r->p;
    size_t kept = first_step;
    /* Units that run again would write into the whole. */
    if (p->request->memory != AVAL_MEMORY_ARENA || p->recomputation || !r->unit->node || r->unit->tail || r->unit->head ||
        !puts_together(r, first_step))
        return;
    for (size_t i = first_step; i < p->steps.count; i++) {
        const aval__step step = p->steps.at[i];
        aval__storage *part = &p->storages.at[step.from.slot], *whole = &p->storages.at[step.to.slot];
        if (step.from.offset != 0 || !may_nest(r, part, step.bytes, whole)) {
            p->steps.at[kept++] = step;
            continue;
        }
        part->inside = step.to.slot;
        part->offset = (uint64_t)step.to.offset;
        part->last = AVAL__AFTER; /* so nobody writes over it */
        if (part->first < whole->first) whole->first = part->first;
    }
    p->steps.count = kept;
}

void aval__planner_settle_nested(aval__planner *p)
{
    /* A whole may be a part of a larger one, which was recorded later. */
    for (size_t i = p->storages.count; i-- > 0;) {
        aval__storage *s = &p->storages.at[i];
        if (s->inside == AVAL__NONE) continue;
        const aval__storage *outer = &p->storages.at[s->inside];
        s->slot = outer->slot;
        s->offset += outer->offset;
    }
}
