/* The order of units: Kahn's algorithm with a heap.  Among units that are ready the one that frees most memory goes first; those that
 * free none keep the order of the graph, which builders lay out so that values are used soon after they are made.  Copies between devices go
 * as soon as they can, so that the device which needs them works beside the one that made them.  Readers of a
 * state go before the unit that updates it; a graph in which that cannot be was refused before (aval__graph_order). */
#include "plan/planner.h"

#define ABSENT UINT32_MAX

typedef struct heap {
    const aval__planner *p;
    uint32_t *at; /* units */
    uint32_t count;
    uint32_t *index; /* by unit: where in `at`, ABSENT */
} heap;

typedef struct ordering {
    aval__planner *p;
    heap ready;
} ordering;

static bool goes_before(const aval__planner *p, uint32_t a, uint32_t b)
{
    const aval__unit *x = &p->units.at[a], *y = &p->units.at[b];
    if (!x->node != !y->node) return !x->node; /* a copy between devices: the other one waits for it */
    int64_t gain_x = x->growth_bytes < 0 ? x->growth_bytes : 0, gain_y = y->growth_bytes < 0 ? y->growth_bytes : 0;
    if (gain_x != gain_y) return gain_x < gain_y;
    return x->rank != y->rank ? x->rank < y->rank : a < b;
}

static void heap_put(heap *h, uint32_t place, uint32_t unit)
{
    h->at[place] = unit;
    h->index[unit] = place;
}

static void heap_rise(heap *h, uint32_t unit)
{
    uint32_t place = h->index[unit];
    while (place > 0 && goes_before(h->p, unit, h->at[(place - 1) / 2])) {
        heap_put(h, place, h->at[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(h, place, unit);
}

static void heap_push(heap *h, uint32_t unit)
{
    heap_put(h, h->count++, unit);
    heap_rise(h, unit);
}

static uint32_t heap_pop(heap *h)
{
    uint32_t top = h->at[0], last = h->at[--h->count], place = 0;
    h->index[top] = ABSENT;
    if (h->count == 0) return top;
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= h->count) break;
        if (child + 1 < h->count && goes_before(h->p, h->at[child + 1], h->at[child])) child++;
        if (!goes_before(h->p, h->at[child], last)) break;
        heap_put(h, place, h->at[child]);
        place = child;
    }
    heap_put(h, place, last);
    return top;
}

/* ---- Memory that a unit frees or takes ---------------------------------------------------------------------------------------------- */

static int64_t arena_bytes(const aval__item *item)
{
    return item->producer == AVAL__NONE || item->in_state ? 0 : (int64_t)item->bytes;
}

/* The item has one reader left, which frees it. */
static void credit_last_reader(ordering *o, const aval__item *item)
{
    if (item->kept) return;
    for (uint32_t i = 0; i < item->n_readers; i++) {
        uint32_t reader = o->p->readers.at[item->first_reader + i];
        if (o->p->units.at[reader].position != AVAL__NONE) continue;
        o->p->units.at[reader].growth_bytes -= arena_bytes(item);
        if (o->ready.index[reader] != ABSENT) heap_rise(&o->ready, reader);
        return;
    }
}

/* ---- The steps of the algorithm -------------------------------------------------------------------------------------------------------- */

static void wake(ordering *o, uint32_t unit)
{
    const aval__unit *u = &o->p->units.at[unit];
    if (u->blocked == 0 && u->held == 0) heap_push(&o->ready, unit);
}

static int append(ordering *o, uint32_t unit)
{
    aval__planner *p = o->p;
    aval__unit *u = &p->units.at[unit];
    u->position = (uint32_t)p->order.count;
    AVAL__TRY(aval__vec_push(&p->order, unit));
    const uint32_t *reads = aval__unit_reads(p, u), *writes = aval__unit_writes(p, u);
    for (uint32_t i = 0; i < u->n_writes; i++) {
        const aval__item *item = writes[i] == AVAL__NONE ? NULL : &p->items.at[writes[i]];
        if (!item) continue;
        if (item->unread == 1) credit_last_reader(o, item);
        for (uint32_t j = 0; j < item->n_readers; j++) {
            uint32_t reader = p->readers.at[item->first_reader + j];
            p->units.at[reader].blocked--;
            wake(o, reader);
        }
    }
    for (uint32_t i = 0; i < u->n_reads; i++) {
        aval__item *item = reads[i] == AVAL__NONE ? NULL : &p->items.at[reads[i]];
        if (!item || item->last_use == u->position) continue; /* absent, or read twice by this unit */
        item->last_use = u->position;
        if (--item->unread == 1) credit_last_reader(o, item);
        if (item->updater == AVAL__NONE || item->updater == unit) continue;
        if (--p->units.at[item->updater].held == 0) wake(o, item->updater);
    }
    return AVAL_OK;
}

static void count_dependencies(aval__planner *p)
{
    for (size_t i = 0; i < p->units.count; i++) p->units.at[i].position = AVAL__NONE;
    for (size_t i = 0; i < p->items.count; i++) {
        aval__item *item = &p->items.at[i];
        item->last_use = AVAL__AFTER;
        if (item->producer != AVAL__NONE && (item->n_readers > 0 || item->kept))
            p->units.at[item->producer].growth_bytes += arena_bytes(item);
        for (uint32_t j = 0; j < item->n_readers; j++) {
            uint32_t reader = p->readers.at[item->first_reader + j];
            if (item->producer != AVAL__NONE) p->units.at[reader].blocked++;
            if (item->updater != AVAL__NONE && item->updater != reader) p->units.at[item->updater].held++;
        }
    }
}

void aval__planner_set_lifetimes(aval__planner *p)
{
    for (size_t i = 0; i < p->items.count; i++) {
        aval__item *item = &p->items.at[i];
        if (item->kept) item->last_use = AVAL__AFTER;
        else if (item->last_use == AVAL__AFTER && item->producer != AVAL__NONE) item->last_use = p->units.at[item->producer].position;
        if (item->updater != AVAL__NONE) item->overwritten = p->units.at[item->updater].position;
    }
}

int aval__planner_order(aval__planner *p)
{
    ordering o = { .p = p };
    uint32_t n_units = (uint32_t)p->units.count;
    o.ready.p = p;
    o.ready.at = aval__arena_alloc(&p->scratch, sizeof *o.ready.at * n_units);
    o.ready.index = aval__arena_alloc(&p->scratch, sizeof *o.ready.index * n_units);
    if (!o.ready.at || !o.ready.index) return AVAL_E_MEMORY;
    for (uint32_t i = 0; i < n_units; i++) o.ready.index[i] = ABSENT;
    count_dependencies(p);
    AVAL__TRY(aval__vec_reserve(&p->order, n_units));
    for (uint32_t i = 0; i < n_units; i++) wake(&o, i);
    while (o.ready.count > 0) AVAL__TRY(append(&o, heap_pop(&o.ready)));
    if (p->order.count < n_units) return aval__fail(AVAL_E_INTERNAL, "the fused graph has a cycle: please report this");
    aval__planner_set_lifetimes(p);
    return AVAL_OK;
}
