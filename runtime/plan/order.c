/* The order of units: Kahn's algorithm with a heap.  Among units that are ready the one that frees most memory goes first; those that
 * free none keep the order of the graph, which builders lay out so that values are used soon after they are made.  Readers of a
 * state's content go before the unit that replaces it; where that cannot be (a reader needs what the update makes), they read a copy
 * that is taken before the update. */
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
    AVAL__VEC(uint32_t) held; /* units that wait for nothing but readers of a state */
    size_t n_left;
} ordering;

static bool goes_before(const aval__planner *p, uint32_t a, uint32_t b)
{
    const aval__unit *x = &p->units.at[a], *y = &p->units.at[b];
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
    return item->producer == AVAL__NONE || item->in_state ? 0 : (int64_t)aval__tensor_bytes(&item->value->tensor);
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

static int wake(ordering *o, uint32_t unit)
{
    const aval__unit *u = &o->p->units.at[unit];
    if (u->blocked > 0) return AVAL_OK;
    if (u->held > 0) return aval__vec_push(&o->held, unit);
    heap_push(&o->ready, unit);
    return AVAL_OK;
}

static int append(ordering *o, uint32_t unit)
{
    aval__planner *p = o->p;
    aval__unit *u = &p->units.at[unit];
    u->position = (uint32_t)p->order.count;
    o->n_left--;
    AVAL__TRY(aval__vec_push(&p->order, unit));
    const uint32_t *reads = aval__unit_reads(p, u), *writes = aval__unit_writes(p, u);
    for (uint32_t i = 0; i < u->n_writes; i++) {
        const aval__item *item = writes[i] == AVAL__NONE ? NULL : &p->items.at[writes[i]];
        if (!item) continue;
        if (item->unread == 1) credit_last_reader(o, item);
        for (uint32_t j = 0; j < item->n_readers; j++) {
            uint32_t reader = p->readers.at[item->first_reader + j];
            p->units.at[reader].blocked--;
            AVAL__TRY(wake(o, reader));
        }
    }
    for (uint32_t i = 0; i < u->n_reads; i++) {
        aval__item *item = reads[i] == AVAL__NONE ? NULL : &p->items.at[reads[i]];
        if (!item || item->last_use == u->position) continue; /* absent, or read twice by this unit */
        item->last_use = u->position;
        if (--item->unread == 1) credit_last_reader(o, item);
        if (item->updater == AVAL__NONE || item->updater == unit) continue;
        if (--p->units.at[item->updater].held == 0) AVAL__TRY(wake(o, item->updater));
    }
    return AVAL_OK;
}

/* Lets `unit` go before the readers of `item` that cannot come before it: they read a copy, which is taken now. */
static int copy_for_late_readers(ordering *o, uint32_t unit, uint32_t item)
{
    aval__planner *p = o->p;
    uint32_t copier, copy, first = (uint32_t)p->readers.count, n_readers = p->items.at[item].n_readers;
    AVAL__TRY(aval__planner_add_copy(p, item, p->items.at[item].device, &copier, &copy));
    p->units.at[copier].position = AVAL__NONE;
    p->items.at[copy].last_use = AVAL__AFTER;
    AVAL__TRY(aval__vec_reserve(&p->readers, p->readers.count + n_readers));
    for (uint32_t i = 0; i < n_readers; i++) {
        uint32_t reader = p->readers.at[p->items.at[item].first_reader + i];
        aval__unit *u = &p->units.at[reader];
        if (reader == unit || u->position != AVAL__NONE) continue;
        uint32_t *reads = aval__unit_reads(p, u);
        for (uint32_t j = 0; j < u->n_reads; j++)
            if (reads[j] == item) reads[j] = copy;
        u->blocked++;
        AVAL__TRY(aval__vec_push(&p->readers, reader));
    }
    uint32_t n_late = (uint32_t)p->readers.count - first;
    p->items.at[copy].first_reader = first;
    p->items.at[copy].n_readers = p->items.at[copy].unread = n_late;
    p->items.at[item].unread += 1 - n_late; /* the copy reads it instead of them */
    p->units.at[unit].held += 1 - n_late;
    o->n_left++;
    return append(o, copier);
}

/* Nothing is ready, so the first update that waits for readers only must go on without them. */
static int release_update(ordering *o)
{
    aval__planner *p = o->p;
    uint32_t unit = AVAL__NONE;
    while (o->held.count > 0 && unit == AVAL__NONE) {
        uint32_t last = o->held.at[--o->held.count];
        if (p->units.at[last].held > 0) unit = last;
    }
    if (unit == AVAL__NONE) return aval__fail(AVAL_E_INTERNAL, "the fused graph has a cycle: please report this");
    uint32_t n_reads = p->units.at[unit].n_reads;
    for (uint32_t i = 0; i < n_reads && p->units.at[unit].held > 0; i++) {
        uint32_t item = aval__unit_reads(p, &p->units.at[unit])[i];
        if (item == AVAL__NONE || p->items.at[item].updater != unit || p->items.at[item].unread <= 1) continue;
        AVAL__TRY(copy_for_late_readers(o, unit, item));
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

/* Until when each item is needed, and when a state's content is replaced. */
static void set_lifetimes(aval__planner *p)
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
    int status = AVAL_OK;
    /* An update makes at most one copy for each content that it replaces, and each copy is a unit. */
    size_t most_units = p->units.count + p->items.count;
    ordering o = { .p = p, .n_left = p->units.count };
    o.ready.p = p;
    o.ready.at = aval__arena_alloc(&p->scratch, sizeof *o.ready.at * most_units);
    o.ready.index = aval__arena_alloc(&p->scratch, sizeof *o.ready.index * most_units);
    if (!o.ready.at || !o.ready.index) return AVAL_E_MEMORY;
    for (size_t i = 0; i < most_units; i++) o.ready.index[i] = ABSENT;
    count_dependencies(p);
    AVAL__TRY_DONE(aval__vec_reserve(&p->order, p->units.count));
    for (uint32_t i = 0, n = (uint32_t)p->units.count; i < n; i++) AVAL__TRY_DONE(wake(&o, i));
    while (o.n_left > 0) {
        if (o.ready.count == 0) AVAL__TRY_DONE(release_update(&o));
        else AVAL__TRY_DONE(append(&o, heap_pop(&o.ready)));
    }
    set_lifetimes(p);
done:
    aval__vec_release(&o.held);
    return status;
}
