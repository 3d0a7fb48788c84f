/* Memory: where each storage lies, the slots that a session makes buffers for, and the limits of the devices, checked before anything
 * runs.  Then steps are turned from storages to slots. */
#include "plan/planner.h"

#include <stdlib.h>
#include <string.h>

/* Before and after a value in guarded mode, at least: what a kernel without a bound writes past its end with the work-groups that the runtime
   chooses, which are of 64 work-items, when it writes doubles. */
#define GUARD_BYTES 512u
#define MOST_NAMED 3 /* values that an error about memory lists */

static const char *storage_label(const aval__storage *s)
{
    return s->value ? aval__value_label(s->value) : "scratch";
}

static int by_bytes(const void *a, const void *b)
{
    const aval__storage *x = *(const aval__storage *const *)a, *y = *(const aval__storage *const *)b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes ? -1 : 1) : (x < y ? -1 : x > y);
}

static uint64_t span_of(const aval__planner *p, uint32_t device)
{
    uint64_t largest = p->request->devices[device]->largest_allocation_bytes, alignment = aval__planner_alignment(p, device);
    return largest >= alignment && largest < UINT64_MAX / 4 ? largest / alignment * alignment : UINT64_MAX / 4;
}

static int check_largest(const aval__planner *p, uint32_t device)
{
    const aval_device_info *info = p->request->devices[device];
    for (size_t i = 0; i < p->storages.count; i++) {
        const aval__storage *s = &p->storages.at[i];
        if (s->device == device && s->bytes > span_of(p, device))
            return aval__fail(AVAL_E_DEVICE_MEMORY,
                              "value '%s' needs %llu bytes, but device %u '%s' allows at most %llu in one allocation; "
                              "use a smaller batch or another device",
                              storage_label(s), (unsigned long long)s->bytes, aval__device_number(p->request->device_numbers, device),
                              info->name, (unsigned long long)info->largest_allocation_bytes);
    }
    return AVAL_OK;
}

/* All that the plan needs on a device against what it has; the message names what holds most. */
static int check_total(aval__planner *p, uint32_t device)
{
    const aval_device_info *info = p->request->devices[device];
    uint64_t total = 0, arena = 0;
    for (size_t i = 0; i < p->slots.count; i++)
        if (p->slots.at[i].device == device) *(p->slots.at[i].kind == AVAL__SLOT_ARENA ? &arena : &total) += p->slots.at[i].bytes;
    /* an arena above the bound is not this plan's last word */
    total += p->recomputation && arena > p->request->memory_bound ? p->request->memory_bound : arena;
    if (info->memory_bytes == 0 || total <= info->memory_bytes) return AVAL_OK;

    const aval__storage **sorted = aval__arena_alloc(&p->scratch, sizeof *sorted * p->storages.count);
    if (!sorted) return AVAL_E_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < p->storages.count; i++)
        if (p->storages.at[i].device == device) sorted[n++] = &p->storages.at[i];
    qsort(sorted, n, sizeof *sorted, by_bytes);
    aval__text list = { 0 };
    for (size_t i = 0; i < n && i < MOST_NAMED; i++)
        aval__text_add(&list, "%s'%s' (%llu)", i > 0 ? ", " : "", storage_label(sorted[i]), (unsigned long long)sorted[i]->bytes);
    int status =
        aval__fail(AVAL_E_DEVICE_MEMORY,
                   "the plan needs %llu bytes on device %u '%s', which has %llu; most is held by %s; use a smaller batch or another device",
                   (unsigned long long)total, aval__device_number(p->request->device_numbers, device), info->name,
                   (unsigned long long)info->memory_bytes, list.at ? list.at : "its values");
    aval__text_release(&list);
    return status;
}

/* ---- Placing ------------------------------------------------------------------------------------------------------------------------------- */

typedef struct device_storages {
    uint32_t *index; /* in planner->storages, by first position */
    aval__interval *intervals;
    size_t count;
} device_storages;

/* To be placed: not in a slot of its own, nor inside another. */
static bool is_open(const aval__storage *s, uint32_t device)
{
    return s->device == device && s->slot == AVAL__NONE && s->inside == AVAL__NONE;
}

static int by_first(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void gather_one(const aval__planner *p, uint32_t index, device_storages *out)
{
    const aval__storage *s = &p->storages.at[index];
    uint32_t end = (uint32_t)p->order.count; /* "after the last unit" */
    out->index[out->count] = index;
    out->intervals[out->count++] = (aval__interval){ .bytes = s->bytes, .first = s->first, .last = s->last < end ? s->last : end };
}

static int gather(aval__planner *p, uint32_t device, device_storages *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->storages.count; i++) n += is_open(&p->storages.at[i], device);
    out->index = aval__arena_alloc(&p->scratch, sizeof *out->index * n);
    out->intervals = aval__arena_alloc(&p->scratch, sizeof *out->intervals * n);
    uint64_t *order = aval__arena_alloc(&p->scratch, sizeof *order * n), newest = 0;
    if (!out->index || !out->intervals || !order) return AVAL_E_MEMORY;
    /* Storages are made in the order of the units, but for those that were found out to be in use before. */
    bool sorted = true;
    n = 0;
    for (size_t i = 0; i < p->storages.count; i++) {
        if (!is_open(&p->storages.at[i], device)) continue;
        order[n] = (uint64_t)p->storages.at[i].first << 32 | i;
        sorted &= order[n] >= newest;
        newest = order[n++];
    }
    if (!sorted) qsort(order, n, sizeof *order, by_first);
    for (size_t i = 0; i < n; i++) gather_one(p, (uint32_t)order[i], out);
    return AVAL_OK;
}

/* The most bytes that are alive at once. */
static int measure_live(aval__planner *p, const device_storages *in, uint64_t *most)
{
    size_t n_positions = p->order.count + 2;
    int64_t *change = aval__arena_alloc(&p->scratch, sizeof *change * n_positions), now = 0;
    if (!change) return AVAL_E_MEMORY;
    for (size_t i = 0; i < in->count; i++) {
        change[in->intervals[i].first] += (int64_t)in->intervals[i].bytes;
        change[in->intervals[i].last + 1] -= (int64_t)in->intervals[i].bytes;
    }
    *most = 0;
    for (size_t i = 0; i < n_positions; i++) {
        now += change[i];
        if (now > 0 && (uint64_t)now > *most) *most = (uint64_t)now;
    }
    return AVAL_OK;
}

static int place_in_arenas(aval__planner *p, uint32_t device, const device_storages *in, uint64_t live)
{
    uint64_t span = span_of(p, device), total = 0;
    uint32_t first_slot = (uint32_t)p->slots.count;
    AVAL__TRY(aval__offsets_assign(in->intervals, in->count, (uint32_t)p->order.count + 1, span, live, &total));
    for (uint64_t start = 0; start < total; start += span) {
        uint64_t bytes = total - start < span ? total - start : span;
        AVAL__TRY(
            aval__vec_push(&p->slots, (aval__slot){ .kind = AVAL__SLOT_ARENA, .device = device, .bytes = bytes, .value = AVAL__NONE }));
    }
    for (size_t i = 0; i < in->count; i++) {
        p->storages.at[in->index[i]].slot = first_slot + (uint32_t)(in->intervals[i].offset / span);
        p->storages.at[in->index[i]].offset = in->intervals[i].offset % span;
    }
    p->plan->statistics.arena_bytes += total;
    return AVAL_OK;
}

uint64_t aval__planner_guard(const aval__planner *p, uint32_t device)
{
    return p->request->memory == AVAL_MEMORY_GUARDED ? aval__align(GUARD_BYTES, aval__planner_alignment(p, device)) : 0;
}

/* A slot a storage, with guard bands. */
static int place_guarded(aval__planner *p, uint32_t device, const device_storages *in)
{
    uint64_t guard = aval__planner_guard(p, device);
    for (size_t i = 0; i < in->count; i++) {
        aval__storage *s = &p->storages.at[in->index[i]];
        /* The band after begins where the value ends, so that an overrun by one element is seen. */
        uint64_t content = s->value ? aval__tensor_bytes(&s->value->tensor) : s->bytes;
        aval__slot slot = {
            .kind = AVAL__SLOT_ARENA, .device = device, .bytes = content + 2 * guard, .guard_bytes = guard, .value = AVAL__NONE
        };
        slot.name = aval__arena_text(&p->plan->arena, storage_label(s));
        if (!slot.name) return AVAL_E_MEMORY;
        if (s->value) {
            slot.value = s->value->id;
            slot.tensor = s->value->tensor;
        }
        s->slot = (uint32_t)p->slots.count;
        s->offset = guard;
        AVAL__TRY(aval__vec_push(&p->slots, slot));
        p->plan->statistics.arena_bytes += slot.bytes;
    }
    return AVAL_OK;
}

/* ---- Steps on slots ---------------------------------------------------------------------------------------------------------------------------- */

static void settle_place(const aval__planner *p, aval__place *place)
{
    if (place->slot == AVAL__NONE) return;
    const aval__storage *s = &p->storages.at[place->slot];
    place->slot = s->slot;
    place->offset += (int64_t)s->offset;
}

static void settle_args(const aval__planner *p, const aval__step *step)
{
    for (uint32_t i = 0; i < step->n_args; i++) {
        aval__arg *arg = (aval__arg *)&step->args[i]; /* the plan is not yet anybody else's */
        if (arg->kind != AVAL__ARG_TENSOR) continue;
        const aval__storage *s = &p->storages.at[arg->slot];
        arg->slot = s->slot;
        if (!arg->absent) arg->offset += (int64_t)(s->offset / arg->bytes);
    }
}

static void settle_step(const aval__planner *p, aval__step *step)
{
    switch (step->kind) {
    case AVAL__STEP_LAUNCH: settle_args(p, step); break;
    case AVAL__STEP_GEMM:
        settle_place(p, &step->a);
        settle_place(p, &step->b);
        settle_place(p, &step->c);
        settle_place(p, &step->scratch);
        break;
    case AVAL__STEP_COPY: settle_place(p, &step->from); /* fallthrough */
    case AVAL__STEP_FILL: settle_place(p, &step->to); break;
    }
}

static void settle_steps(aval__planner *p)
{
    for (size_t i = 0; i < p->steps.count; i++) settle_step(p, &p->steps.at[i]);
    for (size_t i = 0; i < p->written.count; i++) settle_place(p, &p->written.at[i].place);
}

int aval__planner_memory(aval__planner *p)
{
    for (uint32_t device = 0; device < p->request->n_devices; device++) {
        device_storages in = { 0 };
        uint64_t live;
        AVAL__TRY(check_largest(p, device));
        AVAL__TRY(gather(p, device, &in));
        AVAL__TRY(measure_live(p, &in, &live));
        p->plan->statistics.live_bytes += live;
        if (p->request->memory == AVAL_MEMORY_GUARDED) AVAL__TRY(place_guarded(p, device, &in));
        else AVAL__TRY(place_in_arenas(p, device, &in, live));
        AVAL__TRY(check_total(p, device));
    }
    aval__planner_settle_nested(p);
    settle_steps(p);
    return AVAL_OK;
}
