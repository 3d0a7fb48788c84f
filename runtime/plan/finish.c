/* The end of planning: what the plan keeps is copied into its own memory. */
#include "plan/planner.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const aval__located *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

static int set_label(aval__planner *p, aval__located *located)
{
    located->name = aval__arena_text(&p->plan->arena, aval__value_label(p->g->values.at[located->value]));
    return located->name ? AVAL_OK : AVAL_E_MEMORY;
}

/* Numbers of values by id: those of the user's graph, then what planning made. */
static uint32_t *list_numbers(aval__planner *p)
{
    size_t n_values = p->g->values.count;
    uint32_t *number_of = aval__arena_alloc(&p->scratch, sizeof *number_of * n_values);
    if (!number_of) return NULL;
    for (size_t id = p->n_user_values; id < n_values; id++) number_of[id] = (uint32_t)(p->numbers.count + id - p->n_user_values);
    for (size_t i = 0; i < p->numbers.count; i++) number_of[p->numbers.at[i]] = (uint32_t)i;
    return number_of;
}

static void number_slots(aval__planner *p, const uint32_t *number_of)
{
    for (size_t i = 0; i < p->slots.count; i++)
        if (p->slots.at[i].value != AVAL__NONE) p->slots.at[i].value = number_of[p->slots.at[i].value];
}

static int label_written(aval__planner *p, const uint32_t *number_of)
{
    for (size_t i = 0; i < p->written.count; i++) {
        AVAL__TRY(set_label(p, &p->written.at[i]));
        p->written.at[i].value = number_of[p->written.at[i].value];
    }
    return AVAL_OK;
}

static int list_located(aval__planner *p, const uint32_t *number_of)
{
    size_t n = 0;
    for (size_t i = 0; i < p->items.count; i++) n += p->items.at[i].kept;
    aval__located *list = aval__arena_alloc(&p->plan->arena, sizeof *list * n);
    if (!list) return AVAL_E_MEMORY;
    n = 0;
    for (size_t i = 0; i < p->items.count; i++) {
        const aval__item *item = &p->items.at[i];
        if (!item->kept || item->storage == AVAL__NONE) continue;
        const aval__storage *storage = &p->storages.at[item->storage];
        list[n] = (aval__located){ .value = item->value->id,
                                   .device = item->device,
                                   .place = { storage->slot, (int64_t)(storage->offset + item->offset_bytes) } };
        AVAL__TRY(aval__keep_tensor(p, &item->value->tensor, &list[n].tensor));
        AVAL__TRY(set_label(p, &list[n]));
        list[n++].value = number_of[item->value->id];
    }
    qsort(list, n, sizeof *list, by_value);
    p->plan->located = list;
    p->plan->n_located = n;
    return AVAL_OK;
}

/* Device infos are copied, texts too: a cached plan may outlive what the request pointed to. */
static int keep_devices(aval__planner *p)
{
    aval__arena *arena = &p->plan->arena;
    size_t n = p->request->n_devices;
    const aval_device_info **list = aval__arena_alloc(arena, sizeof *list * n);
    if (!list) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n; i++) {
        aval_device_info *info = aval__arena_copy(arena, p->request->devices[i], sizeof *info);
        if (!info) return AVAL_E_MEMORY;
        const char **texts[] = { &info->platform, &info->name, &info->vendor, &info->driver, &info->version };
        for (size_t j = 0; j < sizeof texts / sizeof texts[0]; j++) {
            if (!*texts[j]) continue;
            *texts[j] = aval__arena_text(arena, *texts[j]);
            if (!*texts[j]) return AVAL_E_MEMORY;
        }
        list[i] = info;
    }
    if (p->request->device_numbers) {
        p->plan->device_numbers = aval__arena_copy(arena, p->request->device_numbers, sizeof *p->plan->device_numbers * n);
        if (!p->plan->device_numbers) return AVAL_E_MEMORY;
    }
    p->plan->devices = list;
    p->plan->n_devices = n;
    return AVAL_OK;
}

static int keep_steps(aval__planner *p)
{
    aval__plan *plan = p->plan;
    for (size_t i = 0; i < p->steps.count; i++) {
        const aval__step *step = &p->steps.at[i];
        if (step->kind == AVAL__STEP_COPY) plan->statistics.copies++;
        else plan->statistics.launches++;
    }
    aval__segment whole = { 0, (uint32_t)p->steps.count };
    plan->segments = aval__arena_copy(&plan->arena, &whole, sizeof whole);
    plan->n_segments = 1;
    return plan->segments ? AVAL_OK : AVAL_E_MEMORY;
}

static uint64_t least_bytes(const aval__planner *p)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->items.count; i++) {
        const aval__item *item = &p->items.at[i];
        bool comes_in = item->producer == AVAL__NONE && item->n_readers > 0;
        bool goes_out = item->producer != AVAL__NONE && (item->kept || item->in_state);
        if (comes_in || goes_out) bytes += item->bytes;
    }
    return bytes;
}

/* The large lists become the plan's as they are. */
static void hand_over(aval__planner *p)
{
    aval__plan *plan = p->plan;
    plan->steps = p->steps.at;
    plan->n_steps = p->steps.count;
    plan->written = p->written.at;
    plan->n_written = p->written.count;
    p->steps.at = NULL;
    p->written.at = NULL;
}

int aval__planner_finish(aval__planner *p)
{
    aval__plan *plan = p->plan;
    const uint32_t *number_of = list_numbers(p);
    if (!number_of) return AVAL_E_MEMORY;
    AVAL__TRY(keep_devices(p));
    AVAL__TRY(keep_steps(p));
    plan->statistics.least_bytes = least_bytes(p);
    AVAL__TRY(list_located(p, number_of));
    AVAL__TRY(label_written(p, number_of));
    number_slots(p, number_of);
    plan->slots = aval__arena_copy(&plan->arena, p->slots.at, sizeof *p->slots.at * p->slots.count);
    plan->n_slots = p->slots.count;
    plan->notes = aval__arena_copy(&plan->arena, p->notes.at, sizeof *p->notes.at * p->notes.count);
    plan->n_notes = p->notes.count;
    plan->products = aval__arena_copy(&plan->arena, p->products.at, sizeof *p->products.at * p->products.count);
    plan->n_products = p->products.count;
    if (!plan->slots || !plan->notes || !plan->products) return AVAL_E_MEMORY;
    hand_over(p);
    return AVAL_OK;
}
