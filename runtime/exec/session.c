/* Sessions: feeding, running, reading. */
#include "exec/session.h"
#include "exec/store.h"

#include <stdlib.h>
#include <string.h>

int aval_session_create(aval_context *ctx, aval_graph *g, aval_store *store, aval_session **s)
{
    AVAL__NEED(s, "a place for the session");
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(g, "a graph");
    *s = NULL;
    if (g->registry != aval__context_registry(ctx)) return aval__fail(AVAL_E_ARGUMENT, "the graph was made from another context");
    if (store && store->context != ctx) return aval__fail(AVAL_E_ARGUMENT, "the store was made from another context");
    aval_session *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    made->context = ctx;
    made->graph = g;
    made->store = store;
    aval__context_hold(ctx);
    aval__graph_hold(g);
    if (store) aval__store_hold(store);
    *s = made;
    return AVAL_OK;
}

/* A caller's buffer that is not bound any more. */
void aval__fed_forget_mem(aval__fed *fed)
{
    if (fed->mem) clReleaseMemObject(fed->mem);
    fed->mem = NULL;
    fed->lent = false;
}

void aval_session_release(aval_session *s)
{
    if (!s) return;
    aval__session_release_turning(s);
    aval__session_release_bindings(s, NULL);
    for (size_t i = 0; i < s->fed.count; i++) {
        aval__fed_forget_mem(&s->fed.at[i]);
        aval__free(s->fed.at[i].data);
    }
    aval__vec_release(&s->fed);
    aval__vec_release(&s->asked);
    aval__vec_release(&s->wanted);
    aval__vec_release(&s->numbers);
    aval__vec_release(&s->number_of);
    aval_store_release(s->store);
    aval_graph_release(s->graph);
    aval__context_drop(s->context);
    aval__free(s);
}

int aval_session_set_memory(aval_session *s, int memory_mode)
{
    AVAL__NEED(s, "a session");
    if (memory_mode < AVAL_MEMORY_ARENA || memory_mode > AVAL_MEMORY_RETAINED)
        return aval__fail(AVAL_E_ARGUMENT, "memory mode %d is none of aval_memory_mode's", memory_mode);
    s->memory = (aval_memory_mode)memory_mode;
    s->changes++;
    return AVAL_OK;
}

void aval__session_ask_parameters(aval_session *s)
{
    s->asks = true;
}

int aval_session_set_memory_bound(aval_session *s, uint64_t bytes)
{
    AVAL__NEED(s, "a session");
    s->changes += s->memory_bound != bytes;
    s->memory_bound = bytes;
    return AVAL_OK;
}

int aval_session_set_anomaly(aval_session *s, int on)
{
    AVAL__NEED(s, "a session");
    s->anomaly = on != 0;
    return AVAL_OK;
}

int aval_session_set_strict(aval_session *s, int on)
{
    AVAL__NEED(s, "a session");
    s->strict = on != 0;
    s->changes++;
    return AVAL_OK;
}

/* ---- Feeding --------------------------------------------------------------------------------------------------------------- */

int aval__session_fed_shape(const aval_session *s, const aval_value *input, const int64_t *dims, aval_tensor *out)
{
    if (!input) AVAL__TRY(aval__graph_stuck(s->graph)); /* why there is no such value */
    AVAL__NEED(input, "an input");
    if (input->graph != s->graph || input->dead || input->kind != AVAL__INPUT)
        return aval__fail(AVAL_E_ARGUMENT, "'%s' is not an input of this session's graph", aval__value_label(input));
    const char *name = aval__value_label(input);
    int64_t bound[AVAL_MAX_RANK];
    for (int32_t i = 0; i < input->tensor.rank; i++) {
        int64_t declared = input->tensor.dims[i];
        if (!dims && declared < 0)
            return aval__fail(AVAL_E_SHAPE, "input '%s': axis %d is free, so its dimensions must be given", name, (int)i);
        bound[i] = dims ? dims[i] : declared;
        if (bound[i] < 0 || (declared >= 0 && bound[i] != declared))
            return aval__fail(AVAL_E_SHAPE, "input '%s': axis %d was declared as %lld, found %lld", name, (int)i, (long long)declared,
                              (long long)bound[i]);
    }
    return aval__tensor_set(out, input->tensor.type, (size_t)input->tensor.rank, bound);
}

static int grow_fed(aval_session *s, size_t count)
{
    AVAL__TRY(aval__vec_reserve(&s->fed, count));
    while (s->fed.count < count) s->fed.at[s->fed.count++] = (aval__fed){ 0 };
    return AVAL_OK;
}

void aval__session_note_fed(aval_session *s, aval__fed *fed, const aval_value *value, const aval_tensor *shape)
{
    fed->tensor = *shape;
    fed->born = value->born;
    fed->version = ++s->feeds;
}

int aval__fed_reserve(aval__fed *fed, size_t bytes)
{
    if (bytes <= fed->capacity && fed->data) return AVAL_OK;
    void *grown = aval__resize(fed->data, bytes ? bytes : 1, 1);
    if (!grown) return AVAL_E_MEMORY;
    fed->data = grown;
    fed->capacity = bytes;
    return AVAL_OK;
}

/* Whether plans see it as what lies in a caller's buffer. */
static bool is_bound(const aval__fed *fed)
{
    return fed->mem && !fed->lent;
}

int aval__session_keep(aval_session *s, const aval_value *value, const aval_tensor *shape, const void *data)
{
    size_t bytes = aval__tensor_bytes(shape);
    AVAL__TRY(grow_fed(s, (size_t)value->id + 1));
    aval__fed *fed = &s->fed.at[value->id];
    if (bytes > fed->capacity || !fed->data) {
        AVAL__TRY(aval__fed_reserve(fed, bytes));
        if (!fed->mem) fed->version = 0; /* its old content is gone */
    }
    if (!aval__session_fed(s, value) || !aval__tensor_same_shape(&fed->tensor, shape) || is_bound(fed) ||
        (fed->content && memcmp(fed->data, data, bytes) != 0))
        s->changes++;
    if (bytes > 0) memcpy(fed->data, data, bytes);
    aval__fed_forget_mem(fed);
    aval__session_note_fed(s, fed, value, shape);
    return AVAL_OK;
}

int aval__session_keep_mem(aval_session *s, const aval_value *input, const aval_tensor *shape, cl_mem mem)
{
    AVAL__TRY(grow_fed(s, (size_t)input->id + 1));
    aval__fed *fed = &s->fed.at[input->id];
    AVAL__TRY(aval__cl_check(clRetainMemObject(mem), "clRetainMemObject", "input '%s'", aval__value_label(input)));
    if (!aval__session_fed(s, input) || !aval__tensor_same_shape(&fed->tensor, shape) || !is_bound(fed)) s->changes++;
    aval__fed_forget_mem(fed);
    fed->mem = mem;
    aval__session_note_fed(s, fed, input, shape);
    return AVAL_OK;
}

int aval_session_feed(aval_session *s, const aval_value *input, const void *data, size_t bytes, const int64_t *dims)
{
    AVAL__NEED(s, "a session");
    aval_tensor shape;
    AVAL__TRY(aval__session_fed_shape(s, input, dims, &shape));
    if (bytes != aval__tensor_bytes(&shape))
        return aval__fail(AVAL_E_ARGUMENT, "input '%s' has %zu bytes, found %zu", aval__value_label(input), aval__tensor_bytes(&shape),
                          bytes);
    if (!data && bytes > 0) return aval__fail(AVAL_E_ARGUMENT, "input '%s': data is NULL", aval__value_label(input));
    bool done;
    AVAL__TRY(aval__session_feed_directly(s, input, &shape, data, &done));
    return done ? AVAL_OK : aval__session_keep(s, input, &shape, data);
}

aval__fed *aval__session_fed(const aval_session *s, const aval_value *value)
{
    aval__fed *fed = value->id < s->fed.count ? &s->fed.at[value->id] : NULL;
    return fed && fed->version > 0 && fed->born == value->born ? fed : NULL;
}

static int carry_one(aval__bound_plan *bound, uint32_t slot, const aval__fed *fed)
{
    if (fed->mem) return aval__binding_bind(bound->binding, slot, fed->mem);
    return aval__binding_feed(bound->binding, slot, fed->data, aval__tensor_bytes(&fed->tensor));
}

int aval__session_carry(aval_session *s, aval__bound_plan *bound, const aval__numbering *numbers)
{
    const aval__plan *plan = bound->shared->plan;
    for (uint32_t i = 0; i < plan->n_slots; i++) {
        const aval__slot *slot = &plan->slots[i];
        if (slot->kind != AVAL__SLOT_INPUT) continue;
        const aval_value *value = s->graph->values.at[numbers->at[slot->value]];
        aval__fed *fed = aval__session_fed(s, value);
        if (!fed) return aval__fail(AVAL_E_ARGUMENT, "input '%s' was never fed", slot->name ? slot->name : "");
        if (bound->carried[i] == fed->version) continue;
        if (fed->lent) AVAL__TRY(aval__session_bring_back(s, value, fed));
        int status = carry_one(bound, i, fed);
        if (status == AVAL_E_DEVICE_MEMORY && HASH_COUNT(s->bindings) > 1) { /* the other plans' buffers may be what is in the way */
            aval__session_release_bindings(s, bound);
            status = carry_one(bound, i, fed);
        }
        if (status < 0) return status;
        bound->carried[i] = fed->version;
    }
    return AVAL_OK;
}

/* ---- Running --------------------------------------------------------------------------------------------------------------- */

int aval__session_ready(aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    AVAL__TRY(aval__session_prepare(s, wanted, n_wanted));
    s->ran = false;
    return aval__session_carry(s, s->current, &s->numbers);
}

int aval_session_run(aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(wanted || n_wanted == 0, "an array of wanted values");
    AVAL__TRY(aval__session_ready(s, wanted, n_wanted));
    aval__bound_plan *bound = s->current;
    AVAL__TRY(aval__binding_run(bound->binding, s->store, s->anomaly));
    if (s->memory == AVAL_MEMORY_GUARDED) AVAL__TRY(aval__binding_check_guards(bound->binding));
    s->ran = true;
    s->counters.runs++;
    s->counters.launches += bound->shared->plan->statistics.launches;
    s->counters.copies += bound->shared->plan->statistics.copies;
    return AVAL_OK;
}

int aval_session_wait(aval_session *s)
{
    AVAL__NEED(s, "a session");
    return s->current ? aval__binding_wait(s->current->binding) : AVAL_OK;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------- */

static int by_value(const void *key, const void *located)
{
    uint32_t a = *(const uint32_t *)key, b = ((const aval__located *)located)->value;
    return (a > b) - (a < b);
}

const aval__located *aval__plan_locate(const aval__plan *plan, uint32_t number)
{
    return plan->n_located == 0 ? NULL : bsearch(&number, plan->located, plan->n_located, sizeof *plan->located, by_value);
}

int aval__session_locate(const aval_session *s, const aval_value *value, const aval__located **out)
{
    const aval__plan *plan = s->ran && s->current ? s->current->shared->plan : NULL;
    if (!plan) return aval__fail(AVAL_E_ARGUMENT, "value '%s' cannot be read: no run was completed", aval__value_label(value));
    bool planned = value->id < s->number_of.count && value->born <= s->graph_generation; /* else another value had its id then */
    uint32_t number = planned ? s->number_of.at[value->id] : UINT32_MAX;
    *out = aval__plan_locate(plan, number);
    if (*out) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT,
                      "value '%s' was not kept by the last run: ask for it in aval_session_run, or set AVAL_MEMORY_RETAINED to keep every "
                      "value that is computed",
                      aval__value_label(value));
}

static int check_size(const aval_value *value, size_t expected, size_t found)
{
    return expected == found
               ? AVAL_OK
               : aval__fail(AVAL_E_ARGUMENT, "value '%s' has %zu bytes, found room for %zu", aval__value_label(value), expected, found);
}

static int read_fed(aval_session *s, const aval_value *value, void *data, size_t bytes)
{
    const aval__fed *fed = aval__session_fed(s, value);
    if (!fed) return aval__fail(AVAL_E_ARGUMENT, "input '%s' was never fed", aval__value_label(value));
    AVAL__TRY(check_size(value, aval__tensor_bytes(&fed->tensor), bytes));
    if (fed->mem) return aval__session_read_mem(s, value, fed, data);
    if (bytes > 0) memcpy(data, fed->data, bytes);
    return AVAL_OK;
}

static int read_constant(aval_session *s, const aval_value *value, void *data, size_t bytes)
{
    (void)s;
    AVAL__TRY(check_size(value, aval__tensor_bytes(&value->tensor), bytes));
    if (bytes > 0) memcpy(data, value->data, bytes);
    return AVAL_OK;
}

static int read_state(aval_session *s, const aval_value *value, void *data, size_t bytes)
{
    if (!s->store) return aval__fail(AVAL_E_ARGUMENT, "state '%s' cannot be read: the session has no store", aval__value_label(value));
    return aval_store_get(s->store, value->name, data, bytes);
}

static int read_produced(aval_session *s, const aval_value *value, void *data, size_t bytes)
{
    const aval__located *located;
    if (s->ran && aval__session_asked(s, value)) return read_fed(s, value, data, bytes);
    AVAL__TRY(aval__session_locate(s, value, &located));
    return aval__binding_read(s->current->binding, located, data, bytes);
}

static int (*const readers[])(aval_session *s, const aval_value *value, void *data, size_t bytes) = {
    [AVAL__INPUT] = read_fed,
    [AVAL__STATE] = read_state,
    [AVAL__CONSTANT] = read_constant,
    [AVAL__PRODUCED] = read_produced,
};

int aval__session_owns(const aval_session *s, const aval_value *value)
{
    AVAL__NEED(value, "a value");
    if (value->graph != s->graph || value->dead)
        return aval__fail(AVAL_E_ARGUMENT, "'%s' is not a value of this session's graph", aval__value_label(value));
    return AVAL_OK;
}

int aval_session_read(aval_session *s, const aval_value *value, void *data, size_t bytes)
{
    AVAL__NEED(s, "a session");
    AVAL__TRY(aval__session_owns(s, value));
    AVAL__NEED(data || bytes == 0, "a place for the content");
    return readers[value->kind](s, value, data, bytes);
}

int aval_session_shape(aval_session *s, const aval_value *value, size_t *rank, int64_t *dims)
{
    AVAL__NEED(s, "a session");
    AVAL__TRY(aval__session_owns(s, value));
    bool asked = s->ran && aval__session_asked(s, value);
    const aval__fed *fed = value->kind == AVAL__INPUT || asked ? aval__session_fed(s, value) : NULL;
    const aval_tensor *shape = fed ? &fed->tensor : &value->tensor;
    if (value->kind == AVAL__PRODUCED && !asked) {
        const aval__located *located;
        AVAL__TRY(aval__session_locate(s, value, &located));
        shape = located->tensor;
    } else if (!aval__tensor_known(shape)) {
        return aval__fail(AVAL_E_ARGUMENT, "the shape of '%s' is not known: it was never fed", aval__value_label(value));
    }
    if (rank) *rank = (size_t)shape->rank;
    if (dims) memcpy(dims, shape->dims, sizeof shape->dims);
    return AVAL_OK;
}

int aval_session_type(aval_session *s, const aval_value *value)
{
    const aval__located *located;
    AVAL__NEED_OR(AVAL_NONE, s, "a session");
    if (aval__session_owns(s, value) < 0) return AVAL_NONE;
    if (value->kind != AVAL__PRODUCED) return value->tensor.type;
    if (s->ran && aval__session_asked(s, value)) return aval__session_fed(s, value)->tensor.type;
    return aval__session_locate(s, value, &located) < 0 ? AVAL_NONE : located->tensor->type;
}

/* ---- About the session ----------------------------------------------------------------------------------------------------- */

int aval_session_counters(const aval_session *s, aval_counters *counters)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(counters, "a place for the counters");
    if (counters->size < sizeof(size_t) || counters->size > sizeof *counters)
        return aval__fail(AVAL_E_ARGUMENT, "counters->size is %zu, expected at most %zu", counters->size, sizeof *counters);
    aval_counters now = s->counters;
    now.size = counters->size;
    for (size_t i = 0; i < aval__context_device_count(s->context); i++) {
        aval__program_counters programs = { 0 };
        aval__device_program_counters(aval__context_device(s->context, i), &programs);
        now.programs_built += programs.built;
        now.programs_from_disk += programs.from_disk;
    }
    memcpy(counters, &now, counters->size);
    return AVAL_OK;
}

int aval_session_plan_text(aval_session *s, aval_value *const *wanted, size_t n_wanted, char **text)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(text, "a place for the text");
    AVAL__NEED(wanted || n_wanted == 0, "an array of wanted values");
    aval__shared_plan *shared;
    aval__text printed = { 0 };
    *text = NULL;
    AVAL__TRY(aval__session_plan(s, wanted, n_wanted, &shared));
    aval__plan_print(&printed, shared->plan);
    aval__shared_plan_drop(s->context, shared);
    *text = aval__text_take(&printed);
    return *text ? AVAL_OK : AVAL_E_MEMORY;
}
