/* Plans of bounded memory: budgets for recomputation are tried until the arenas keep to the bound.
 *
 * A budget counts the bytes alive at once; an arena may be larger by what lies unused between values, and that is known only when they are
 * laid out.  So the bound itself is tried, then a little less, which nearly always does; else the least budget that can be kept to is
 * looked for by halving.  That search does not depend on the bound, so what one failure calls the least is found again when it is asked for. */
#include "plan/planner.h"

#define MOST_TRIES 6 /* of budgets near the bound */
#define HALVINGS 12

typedef struct search {
    const aval__plan_request *request;
    aval__refusals *refusals;
    aval__arena *texts;
    aval__recomputation *recomputation;
    uint64_t unbounded_bytes; /* arenas without recomputation, together */
    uint64_t least_bytes; /* that any attempt's largest arena had */
    aval__plan *found; /* keeps to the bound */
} search;

uint64_t aval__plan_largest_arena(const aval__plan *plan)
{
    uint64_t largest = 0;
    for (uint32_t device = 0; device < plan->n_devices; device++) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < plan->n_slots; i++)
            if (plan->slots[i].kind == AVAL__SLOT_ARENA && plan->slots[i].device == device) bytes += plan->slots[i].bytes;
        if (bytes > largest) largest = bytes;
    }
    return largest;
}

/* *arena is the largest arena of this budget's plan, which is kept where it keeps to the bound; UINT64_MAX: the budget is out of reach. */
static int try_budget(search *s, uint64_t budget, uint64_t *arena)
{
    aval__plan *plan = NULL;
    *arena = UINT64_MAX;
    s->recomputation->budget = budget;
    s->recomputation->out_of_reach = false;
    int status = aval__plan_attempt(s->request, s->refusals, s->texts, s->recomputation, &plan);
    if (status < 0) return s->recomputation->out_of_reach ? AVAL_OK : status;
    *arena = aval__plan_largest_arena(plan);
    if (*arena < s->least_bytes) s->least_bytes = *arena;
    plan->statistics.unbounded_arena_bytes = s->unbounded_bytes;
    bool better = !s->found || plan->statistics.recomputed_share < s->found->statistics.recomputed_share;
    aval__plan *dropped = plan;
    if (*arena <= s->request->memory_bound && better) {
        dropped = s->found;
        s->found = plan;
    }
    aval__plan_release(dropped);
    return AVAL_OK;
}

static int try_near_bound(search *s)
{
    uint64_t bound = s->request->memory_bound, budget = bound, arena;
    for (int i = 0; i < MOST_TRIES && !s->found; i++) {
        AVAL__TRY(try_budget(s, budget, &arena));
        if (s->found || arena == UINT64_MAX) break;
        uint64_t less = (arena - bound) / 2 + bound / 64;
        if (less >= budget) break;
        budget -= less;
    }
    return AVAL_OK;
}

static int search_least(search *s, uint64_t most)
{
    uint64_t low = 0, high = most, arena;
    for (int i = 0; i < HALVINGS; i++) {
        uint64_t middle = low + (high - low) / 2;
        AVAL__TRY(try_budget(s, middle > 0 ? middle : 1, &arena));
        *(arena == UINT64_MAX ? &low : &high) = middle;
    }
    return AVAL_OK;
}

int aval__plan_bound(const aval__plan_request *request, aval__refusals *refusals, aval__arena *texts, aval__recomputation *recomputation,
                     aval__plan **plan)
{
    search s = { .request = request, .refusals = refusals, .texts = texts, .recomputation = recomputation };
    int status = AVAL_OK;
    uint64_t most = s.least_bytes = aval__plan_largest_arena(*plan);
    s.unbounded_bytes = (*plan)->statistics.arena_bytes;
    aval__plan_release(*plan);
    *plan = NULL;
    AVAL__TRY_DONE(try_near_bound(&s));
    if (!s.found) AVAL__TRY_DONE(search_least(&s, most));
    if (!s.found)
        AVAL__TRY_DONE(
            aval__fail(AVAL_E_DEVICE_MEMORY,
                       "the intermediates of this run need %llu bytes on a device, and at least %llu when those are computed again that "
                       "can be: expected a bound of memory of at least that, found %llu; a smaller batch needs less",
                       (unsigned long long)most, (unsigned long long)s.least_bytes, (unsigned long long)request->memory_bound));
    *plan = s.found;
    s.found = NULL;
done:
    aval__plan_release(s.found);
    return status;
}
