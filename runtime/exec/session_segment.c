/* Segments: where the shape of a value follows from what only the devices know (how many elements are not zero), planning asks for a content
 * that is missing.  That value is then computed by a plan of its own and read back, and the rest is planned with its content known. */
#include "exec/session.h"
#include "exec/store.h"

#include <string.h>

bool aval__session_has_segments(const aval_session *s)
{
    for (size_t i = 0; i < s->asked.count; i++) {
        const aval__fed *fed = aval__session_fed(s, s->asked.at[i]);
        if (s->asked.at[i]->kind != AVAL__INPUT || (fed && fed->mem)) return true;
    }
    return false;
}

bool aval__session_asked(const aval_session *s, const aval_value *value)
{
    for (size_t i = 0; i < s->asked.count; i++)
        if (aval__session_found_with(s->asked.at[i], value)) return aval__session_fed(s, value) != NULL;
    return false;
}

/* Lets `missing` come as number `i` of those asked for: it is needed for what stands there. */
static int ask_for(aval_session *s, size_t i, uint32_t missing)
{
    aval_value *value = s->graph->values.at[missing];
    size_t at = 0;
    while (at < s->asked.count && s->asked.at[at] != value) at++;
    if (at < i || (at == i && at < s->asked.count)) return AVAL_E_CONTENT; /* known, and not enough: what planning said stands */
    if (at == s->asked.count) AVAL__TRY(aval__vec_push(&s->asked, value));
    memmove(s->asked.at + i + 1, s->asked.at + i, (at - i) * sizeof(aval_value *));
    s->asked.at[i] = value;
    return AVAL_OK;
}

static int keep_state(aval_session *s, const aval_value *value)
{
    aval__entry *entry;
    if (!s->store) return aval__fail(AVAL_E_ARGUMENT, "state '%s' cannot be read: the session has no store", aval__value_label(value));
    AVAL__TRY(aval__store_need(s->store, value->name, &entry));
    void *data = aval__alloc(entry->bytes + 1);
    if (!data) return AVAL_E_MEMORY;
    int status = aval__entry_read(entry, data);
    if (status == AVAL_OK) status = aval__session_keep(s, value, &entry->tensor, data);
    aval__free(data);
    return status;
}

/* Of an input that was fed the content is there; what lies in a caller's buffer may be another one at each run. */
static int keep_bound(aval_session *s, const aval_value *value)
{
    aval__fed *fed = aval__session_fed(s, value);
    if (!fed || !fed->mem) return AVAL_OK;
    AVAL__TRY(aval__fed_reserve(fed, aval__tensor_bytes(&fed->tensor)));
    return aval__session_read_mem(s, value, fed, fed->data);
}

int aval__session_keep_source(aval_session *s, const aval_value *value)
{
    if (value->kind == AVAL__STATE) return keep_state(s, value);
    return value->kind == AVAL__INPUT ? keep_bound(s, value) : AVAL_OK;
}

static int read_result(aval_session *s, const aval__bound_plan *bound, const aval__numbering *numbers, const aval_value *value)
{
    const aval__located *located = NULL;
    for (uint32_t n = 0; n < numbers->count && !located; n++)
        if (numbers->at[n] == value->id) located = aval__plan_locate(bound->shared->plan, n);
    if (!located) return aval__fail(AVAL_E_INTERNAL, "value '%s' was planned first, and is nowhere", aval__value_label(value));
    size_t bytes = aval__tensor_bytes(located->tensor);
    void *data = aval__alloc(bytes + 1);
    if (!data) return AVAL_E_MEMORY;
    int status = aval__binding_read(bound->binding, located, data, bytes);
    if (status == AVAL_OK) status = aval__session_keep(s, value, located->tensor, data);
    aval__free(data);
    return status;
}

static int run_plan(aval_session *s, aval__look *l, aval__bound_plan *bound)
{
    AVAL__TRY(aval__session_carry(s, bound, l->numbers));
    AVAL__TRY(aval__binding_run(bound->binding, s->store, s->anomaly));
    if (s->memory == AVAL_MEMORY_GUARDED) AVAL__TRY(aval__binding_check_guards(bound->binding));
    s->counters.launches += bound->shared->plan->statistics.launches;
    s->counters.copies += bound->shared->plan->statistics.copies;
    for (size_t i = 0; i < l->n_wanted; i++) AVAL__TRY(read_result(s, bound, l->numbers, l->wanted[i]));
    return AVAL_OK;
}

int aval__session_compute(aval_session *s, aval_value *const *values, size_t n_values, size_t n_asked, uint32_t *missing)
{
    aval__numbering numbers = { 0 };
    aval__look l = { .wanted = values, .n_wanted = n_values, .n_asked = n_asked, .numbers = &numbers };
    aval__shared_plan *shared = NULL;
    aval__bound_plan *bound = NULL;
    int status = aval__session_look(s, &l, &bound, &shared);
    if (status == AVAL_OK) status = aval__session_bind(s, &l, shared, &bound);
    if (status == AVAL_OK) status = run_plan(s, &l, bound);
    *missing = l.missing;
    aval__vec_release(&numbers);
    return status;
}

/* Computes number `i` of those asked for, with those before it known.  *missing: one more is needed first. */
static int run_segment(aval_session *s, size_t i, uint32_t *missing)
{
    aval_value *value = s->asked.at[i];
    if (value->kind != AVAL__PRODUCED) return aval__session_keep_source(s, value);
    if (value->producer->kind == AVAL__LOOP && value == aval__loop_turns(value->producer))
        return aval__session_take_turns(s, value->producer, i, missing);
    return aval__session_compute(s, &value, 1, i, missing);
}

/* What is asked for comes in order, the wanted values last; whatever misses a content lets that come before it. */
int aval__session_look_through(aval_session *s, aval__look *l, aval__bound_plan **bound, aval__shared_plan **out)
{
    for (l->n_asked = 0;;) {
        bool last = l->n_asked == s->asked.count;
        uint32_t missing = UINT32_MAX;
        int status = last ? aval__session_look(s, l, bound, out) : run_segment(s, l->n_asked, &missing);
        if (last) missing = l->missing;
        if (status == AVAL_E_CONTENT && missing != UINT32_MAX) AVAL__TRY(ask_for(s, l->n_asked, missing));
        else if (status < 0 || last) return status;
        else l->n_asked++;
    }
}
