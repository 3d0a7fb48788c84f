/* What a run can be asked to watch: guard bands around every value, and the first node that makes NaN or infinity. */
#include "exec/binding.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Guard bands ----------------------------------------------------------------------------------------------------------- */

static const char *name_in_slot(const aval__plan *plan, uint32_t slot)
{
    if (plan->slots[slot].name) return plan->slots[slot].name;
    for (size_t i = 0; i < plan->n_written; i++)
        if (plan->written[i].place.slot == slot && plan->written[i].name) return plan->written[i].name;
    return "scratch memory";
}

/* The step that writes what lies in the slot; "" for none, such as an input. */
static const char *writer_of_slot(const aval__plan *plan, uint32_t slot)
{
    for (size_t s = 0; s < plan->n_steps; s++)
        for (size_t v = 0; v < plan->steps[s].n_values; v++)
            if (plan->written[plan->steps[s].first_value + v].place.slot == slot && plan->steps[s].node) return plan->steps[s].node;
    return "";
}

static int check_band(const aval__binding *b, uint32_t slot, const unsigned char *band, const char *side)
{
    const aval__slot *s = &b->plan->slots[slot];
    for (size_t i = 0; i < s->guard_bytes; i++) {
        if (band[i] == b->slots[slot].poison) continue;
        const char *writer = writer_of_slot(b->plan, slot);
        const char *ask = strcmp(side, "after") == 0 ? "is there an `if (i >= n) return;` in its kernel?"
                                                     : "does its kernel add the tensor's offset, as in y[y_at + i]?";
        return aval__fail(AVAL_E_CHECK,
                          "%s%svalue '%s' was written out of range: byte %zu of the guard band %s it was overwritten (device %" PRIu32
                          " '%s'); %s",
                          writer, writer[0] ? ": " : "", name_in_slot(b->plan, slot), i, side, aval__binding_number(b, s->device),
                          b->plan->devices[s->device]->name, ask);
    }
    return AVAL_OK;
}

/* What is fed or constant is read by launches, never written. */
static bool keeps_content(const aval__binding *b, uint32_t slot)
{
    const aval__slot *s = &b->plan->slots[slot];
    return aval__tensor_bytes(&s->tensor) > 0 && (s->kind == AVAL__SLOT_CONSTANT || (s->kind == AVAL__SLOT_INPUT && b->slots[slot].fed));
}

static int check_content(const aval__binding *b, uint32_t slot, const unsigned char *content)
{
    const aval__slot *s = &b->plan->slots[slot];
    if (aval__hash64(content, aval__tensor_bytes(&s->tensor), 0) == b->slots[slot].content) return AVAL_OK;
    return aval__fail(AVAL_E_CHECK, "input '%s' was changed by a kernel, which may only read it (device %" PRIu32 " '%s')",
                      name_in_slot(b->plan, slot), aval__binding_number(b, s->device), b->plan->devices[s->device]->name);
}

/* How much of a slot is looked at: all of what keeps its content, else the bands alone. */
static size_t watched_bytes(const aval__binding *b, uint32_t slot)
{
    const aval__slot *s = &b->plan->slots[slot];
    if (s->guard_bytes == 0 || s->kind == AVAL__SLOT_STATE) return 0;
    return keeps_content(b, slot) ? (size_t)s->bytes : 2 * (size_t)s->guard_bytes;
}

static int read_part(aval__binding *b, uint32_t slot, uint64_t offset, size_t bytes, unsigned char *to)
{
    cl_command_queue queue = aval__binding_queue(b, b->plan->slots[slot].device);
    return aval__cl_check(clEnqueueReadBuffer(queue, b->slots[slot].buffer, CL_FALSE, (size_t)offset, bytes, to, 0, NULL, NULL),
                          "clEnqueueReadBuffer", "guard band of '%s'", name_in_slot(b->plan, slot));
}

/* What is watched of all slots, one after the other.  Waited for together: a wait for each of thousands of small reads takes longer than the
   launches that are checked. */
static int read_watched(aval__binding *b, unsigned char *to)
{
    int status = AVAL_OK;
    for (uint32_t i = 0; i < b->plan->n_slots && status == AVAL_OK; i++) {
        size_t bytes = watched_bytes(b, i), band = (size_t)b->plan->slots[i].guard_bytes;
        if (bytes > 2 * band) status = read_part(b, i, 0, bytes, to);
        else if (bytes > 0) status = read_part(b, i, 0, band, to);
        if (bytes == 2 * band && bytes > 0 && status == AVAL_OK) status = read_part(b, i, b->plan->slots[i].bytes - band, band, to + band);
        to += bytes;
    }
    for (uint32_t d = 0; d < b->plan->n_devices; d++) { /* after a failure too: it is written to until then */
        int waited = aval__queue_wait(aval__binding_queue(b, d), b->plan->devices[d]->name);
        if (status == AVAL_OK) status = waited;
    }
    return status;
}

int aval__binding_check_guards(aval__binding *b)
{
    size_t all = 0;
    for (uint32_t i = 0; i < b->plan->n_slots; i++) all += watched_bytes(b, i);
    unsigned char *watched = aval__alloc(all), *at = watched;
    if (!watched) return AVAL_E_MEMORY;
    int status = read_watched(b, watched);
    for (uint32_t i = 0; i < b->plan->n_slots && status == AVAL_OK; i++) {
        size_t bytes = watched_bytes(b, i), band = (size_t)b->plan->slots[i].guard_bytes;
        if (bytes == 0) continue;
        status = check_band(b, i, at, "before");
        if (status == AVAL_OK) status = check_band(b, i, at + bytes - band, "after");
        if (status == AVAL_OK && keeps_content(b, i)) status = check_content(b, i, at + band);
        at += bytes;
    }
    aval__free(watched);
    return status;
}

/* ---- Anomalies ------------------------------------------------------------------------------------------------------------- */

/* A value's content as doubles, for aval__host_tensor_release. */
static int fetch(aval__binding *b, const aval__located *value, aval__host_tensor *out)
{
    size_t bytes = aval__tensor_bytes(value->tensor);
    void *data = aval__alloc(bytes);
    int status = data ? aval__binding_read(b, value, data, bytes) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = aval__host_tensor_make(out, value->tensor);
    if (status == AVAL_OK) aval__host_tensor_from(out, data);
    aval__free(data);
    return status;
}

static bool is_float(const aval_tensor *t)
{
    return (AVAL_FLOATS & AVAL_TYPE_SET(t->type)) != 0;
}

/* What lies where a kernel argument points: the value that was written there last before the step, or the slot's own. */
static bool find_argument(const aval__binding *b, const aval__step *step, const aval__arg *arg, aval__located *found)
{
    const aval__slot *slot = &b->plan->slots[arg->slot];
    for (size_t i = step->first_value; i-- > 0;) {
        const aval__located *v = &b->plan->written[i];
        int64_t item = (int64_t)aval_type_bytes(v->tensor->type);
        if (v->place.slot == arg->slot && v->place.offset == arg->offset * item) {
            *found = *v;
            return true;
        }
    }
    if (slot->kind == AVAL__SLOT_ARENA) return false;
    *found = (aval__located){ .device = slot->device,
                              .place = { .slot = arg->slot, .offset = (int64_t)slot->guard_bytes },
                              .tensor = &slot->tensor,
                              .name = slot->name ? slot->name : "a constant" };
    return true;
}

static bool overwritten(const aval__step *step, const aval__arg *read)
{
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind == AVAL__ARG_TENSOR && arg->written && !arg->absent && arg->slot == read->slot && arg->offset == read->offset)
            return true;
    }
    return false;
}

/* "; x in -1 .. 3": the ranges of the float inputs that are still in memory. */
static int describe_inputs(aval__binding *b, const aval__step *step, aval__text *text)
{
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        aval__located value;
        aval__host_tensor content = { 0 };
        double low = INFINITY, high = -INFINITY;
        if (arg->kind != AVAL__ARG_TENSOR || arg->absent || arg->written || overwritten(step, arg)) continue;
        if (!find_argument(b, step, arg, &value) || !is_float(value.tensor)) continue;
        AVAL__TRY(fetch(b, &value, &content));
        int64_t count = aval__tensor_count(value.tensor);
        for (int64_t k = 0; k < count; k++) {
            low = fmin(low, content.real[k]);
            high = fmax(high, content.real[k]);
        }
        aval__host_tensor_release(&content);
        aval__text_add(text, "; %s in ", value.name ? value.name : "an input");
        aval__text_real(text, low);
        aval__text_add(text, " .. ");
        aval__text_real(text, high);
    }
    return AVAL_OK;
}

static int report(aval__binding *b, const aval__step *step, const aval__located *value, int64_t element, double found)
{
    aval__text text = { 0 };
    aval__text_add(&text, "%s made ", step->node ? step->node : "a node");
    aval__text_real(&text, found);
    aval__text_add(&text, " at element %" PRId64 " of '%s' ", element, value->name ? value->name : "");
    aval__tensor_print(&text, value->tensor);
    aval__text_add(&text, " on device %" PRIu32 " '%s'", aval__binding_number(b, step->device), b->plan->devices[step->device]->name);
    int status = describe_inputs(b, step, &text);
    if (status == AVAL_OK) status = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_ANOMALY, "%s", text.at);
    aval__text_release(&text);
    return status;
}

int aval__binding_check_step(aval__binding *b, size_t index)
{
    const aval__step *step = &b->plan->steps[index];
    int status = AVAL_OK;
    for (uint32_t i = 0; i < step->n_values && status == AVAL_OK; i++) {
        const aval__located *value = &b->plan->written[step->first_value + i];
        aval__host_tensor content = { 0 };
        if (!is_float(value->tensor)) continue;
        status = fetch(b, value, &content);
        int64_t count = status == AVAL_OK ? aval__tensor_count(value->tensor) : 0;
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(content.real[k])) {
                status = report(b, step, value, k, content.real[k]);
                break;
            }
        aval__host_tensor_release(&content);
    }
    return status;
}

int aval__binding_reach(aval__binding *b, size_t index, double *largest)
{
    const aval__step *step = &b->plan->steps[index];
    *largest = 0;
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        aval__located value;
        aval__host_tensor content = { 0 };
        if (arg->kind != AVAL__ARG_TENSOR || arg->absent || arg->written || overwritten(step, arg)) continue;
        if (!find_argument(b, step, arg, &value) || !is_float(value.tensor)) continue;
        AVAL__TRY(fetch(b, &value, &content));
        for (int64_t k = 0; k < aval__tensor_count(value.tensor); k++)
            if (isfinite(content.real[k])) *largest = fmax(*largest, fabs(content.real[k]));
        aval__host_tensor_release(&content);
    }
    return AVAL_OK;
}
