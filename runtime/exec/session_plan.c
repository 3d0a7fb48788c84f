/* From what is wanted to a bound plan: the session's last one, one of its bindings, a plan of the context's cache, or a new one. */
#include "exec/session.h"

#include <stdlib.h>
#include <string.h>

static int check_wanted(const aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    AVAL__TRY(aval_graph_status(s->graph));
    for (size_t i = 0; i < n_wanted; i++) {
        if (!wanted[i]) return aval__fail(AVAL_E_ARGUMENT, "wanted value %zu is NULL", i);
        if (wanted[i]->graph != s->graph) return aval__fail(AVAL_E_ARGUMENT, "wanted value %zu belongs to another graph", i);
        if (wanted[i]->dead)
            return aval__fail(AVAL_E_ARGUMENT, "wanted value '%s' was removed from the graph", aval__value_label(wanted[i]));
    }
    return AVAL_OK;
}

/* ---- Contents that planning reads ------------------------------------------------------------------------------------------ */

typedef struct trail {
    const aval_session *session;
    bool *met; /* by value id */
    AVAL__VEC(aval_value *) left;
} trail;

/* Integers carry shapes wherever they come from; other numbers only where a shape input reads them directly. */
static bool may_say_shapes(const aval_value *value, bool direct)
{
    return direct || value->tensor.type == AVAL_INT64 || value->tensor.type == AVAL_INT32;
}

static int follow(trail *t, aval_value *value, bool direct)
{
    if (!value || t->met[value->id]) return AVAL_OK;
    aval__fed *fed = value->kind == AVAL__INPUT ? aval__session_fed(t->session, value) : NULL;
    if (fed && !may_say_shapes(value, direct)) return AVAL_OK;
    if (fed) fed->content = !fed->mem && aval__tensor_bytes(&fed->tensor) <= AVAL__CONTENT_BYTES; /* of a buffer: once planning asks */
    t->met[value->id] = true;
    return aval__vec_push(&t->left, value);
}

static int follow_shape_inputs(const aval_graph *g, trail *t)
{
    for (size_t n = 0; n < g->nodes.count; n++) {
        const aval_node *node = g->nodes.at[n];
        if (node->dead) continue;
        for (uint32_t i = 0; node->kind == AVAL__LOOP && i < node->n_inputs; i++)
            if (node->inputs[i]) AVAL__TRY(follow(t, node->inputs[i], i < 2));
        for (uint32_t i = 0; node->kind == AVAL__OP && i < node->n_inputs; i++)
            if (node->inputs[i] && aval__node_reads_a_shape(node, i)) AVAL__TRY(follow(t, node->inputs[i], true));
    }
    return AVAL_OK;
}

/* Marks the inputs from which a shape is computed: those that a port which says "shape input" reads, directly or through other nodes. */
static int mark_contents(aval_session *s)
{
    int status = AVAL_OK;
    const aval_graph *g = s->graph;
    trail t = { .session = s, .met = aval__alloc_array(g->values.count, sizeof(bool)) };
    if (!t.met) return AVAL_E_MEMORY;
    for (size_t i = 0; i < s->fed.count; i++) s->fed.at[i].content = false;
    AVAL__TRY_DONE(follow_shape_inputs(g, &t));
    while (t.left.count > 0) {
        aval_value *value = t.left.at[--t.left.count];
        aval_node *node = value->kind == AVAL__PRODUCED ? value->producer : NULL;
        for (uint32_t i = 0; node && node->kind == AVAL__OP && i < node->n_inputs; i++) AVAL__TRY_DONE(follow(&t, node->inputs[i], false));
    }
done:
    aval__vec_release(&t.left);
    aval__free(t.met);
    return status;
}

/* ---- Plans ----------------------------------------------------------------------------------------------------------------- */

static void count_plan(aval_session *s, const aval__plan *plan, bool made)
{
    *(made ? &s->counters.plans_made : &s->counters.plans_reused) += 1;
    s->counters.arena_bytes = plan->statistics.arena_bytes;
    s->counters.live_bytes = plan->statistics.live_bytes;
    bool bounded = plan->statistics.unbounded_arena_bytes > 0;
    s->counters.unbounded_arena_bytes = bounded ? plan->statistics.unbounded_arena_bytes : plan->statistics.arena_bytes;
    s->counters.recomputed = plan->statistics.recomputed;
    s->counters.recomputed_share = plan->statistics.recomputed_share;
    s->counters.plan_nodes = plan->statistics.nodes;
    s->counters.plan_seconds = plan->statistics.seconds;
}

/* `bound`, where it is not NULL, becomes the session's binding with that key if there is one; else `out` becomes the plan. */
static int plan_locked(aval_session *s, aval__plan_request *request, aval__numbering *numbers, aval__hash *key, aval__bound_plan **bound,
                       aval__shared_plan **out)
{
    bool made = false;
    AVAL__TRY(aval__plan_key(request, key, numbers));
    if (bound) {
        HASH_FIND(hh, s->bindings, key, sizeof *key, *bound);
        if (*bound) {
            count_plan(s, (*bound)->shared->plan, false);
            return AVAL_OK;
        }
    }
    AVAL__TRY(aval__context_plan(s->context, request, key, out, &made));
    count_plan(s, (*out)->plan, made);
    return AVAL_OK;
}

static void list_known(const aval_session *s, size_t n_asked, const aval_tensor **shapes, const void **contents)
{
    for (size_t i = 0; i < s->fed.count && i < s->graph->values.count; i++) {
        const aval_value *value = s->graph->values.at[i];
        const aval__fed *fed = value->kind == AVAL__INPUT ? aval__session_fed(s, value) : NULL;
        if (fed) shapes[i] = &fed->tensor;
        if (fed && fed->content) contents[i] = fed->data;
    }
    for (size_t i = 0; i < n_asked; i++) {
        const aval_value *value = s->asked.at[i];
        bool loop = value->kind == AVAL__PRODUCED && value->producer->kind == AVAL__LOOP;
        for (size_t k = 0; k < (loop ? value->producer->n_outputs : 1); k++) {
            const aval_value *found = loop ? value->producer->outputs[k] : value;
            aval__fed *fed = aval__session_fed(s, found);
            if (!fed) continue;
            fed->content = true;
            shapes[found->id] = &fed->tensor;
            contents[found->id] = fed->data;
        }
    }
}

/* Elements of an input below which computing it as it is read gains less, by a launch saved at each run, than a program costs to be built. */
#define LEAST_HEAD ((int64_t)16 << 10)

/* What a variable of the environment forces: `none` if it is 0, `all` if it is something else; without it `chosen`. */
static int64_t forced(const char *variable, int64_t none, int64_t all, int64_t chosen)
{
    const char *text = getenv(variable);
    if (text == NULL || text[0] == 0) return chosen;
    return strcmp(text, "0") == 0 ? none : all;
}

int aval__session_look(aval_session *s, aval__look *l, aval__bound_plan **bound, aval__shared_plan **out)
{
    int status = AVAL_OK;
    l->missing = UINT32_MAX;
    size_t count = s->graph->values.count;
    const aval_tensor **shapes = aval__alloc_array(count, sizeof *shapes);
    const void **contents = aval__alloc_array(count, sizeof *contents);
    if (!shapes || !contents) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    AVAL__TRY_DONE(mark_contents(s));
    list_known(s, l->n_asked, shapes, contents);
    aval__plan_request request = {
        .graph = s->graph,
        .wanted = l->wanted,
        .n_wanted = l->n_wanted,
        .shapes = shapes,
        .contents = contents,
        .missing = &l->missing,
        .devices = s->context->infos.at,
        .n_devices = s->context->opened.count,
        .device_numbers = s->context->selected.at,
        .hooks = aval__context_hooks(s->context),
        .memory = s->memory,
        .memory_bound = s->memory_bound,
        .strict = s->strict,
        .least_head = forced("AVAL_HEADS", 0, 1, LEAST_HEAD),
        .joins = (aval__joins)forced("AVAL_JOINS", AVAL__JOINS_NONE, AVAL__JOINS_ALL, AVAL__JOINS_WHERE_THEY_PAY),
        .blocks = (aval__blocks)forced("AVAL_BLOCKS", AVAL__BLOCKS_NONE, AVAL__BLOCKS_ALL, AVAL__BLOCKS_WHERE_THEY_PAY),
        .tuning = aval__context_tuning(s->context),
        .log = aval__context_log(s->context),
    };
    aval__context_lock(s->context);
    status = plan_locked(s, &request, l->numbers, &l->key, bound, out);
    aval__context_unlock(s->context);
done:
    aval__free(shapes);
    aval__free(contents);
    return status;
}

int aval__session_plan(aval_session *s, aval_value *const *wanted, size_t n_wanted, aval__shared_plan **out)
{
    aval__numbering numbers = { 0 }; /* apart from those of the bound plan, which stays */
    aval__look l = { .wanted = wanted, .n_wanted = n_wanted, .numbers = &numbers };
    int status = check_wanted(s, wanted, n_wanted);
    if (status == AVAL_OK) status = aval__context_ready(s->context);
    if (status == AVAL_OK) status = aval__session_look_through(s, &l, NULL, out);
    aval__vec_release(&numbers);
    return status;
}

int aval__session_visit_plan(aval_session *s, aval_value *const *wanted, size_t n_wanted, int (*visit)(void *user, const aval__plan *plan),
                             void *user)
{
    aval__shared_plan *shared;
    AVAL__TRY(aval__session_plan(s, wanted, n_wanted, &shared));
    int status = visit(user, shared->plan);
    aval__shared_plan_drop(s->context, shared);
    return status;
}

/* ---- Bindings -------------------------------------------------------------------------------------------------------------- */

static void release_bound(aval_session *s, aval__bound_plan *bound)
{
    if (!bound) return;
    if (bound == s->current) {
        s->current = NULL;
        s->ran = false;
    }
    aval__binding_release(bound->binding);
    aval__shared_plan_drop(s->context, bound->shared);
    aval__free(bound->carried);
    aval__free(bound);
}

void aval__session_release_bindings(aval_session *s, const aval__bound_plan *kept)
{
    aval__bound_plan *bound, *next;
    HASH_ITER (hh, s->bindings, bound, next) {
        if (bound == kept) continue;
        HASH_DEL(s->bindings, bound);
        release_bound(s, bound);
    }
}

static int bind(aval_session *s, aval__bound_plan *bound)
{
    const aval__plan *plan = bound->shared->plan;
    int status = aval__binding_create(s->context, plan, s->asks, &bound->binding);
    if (status == AVAL_E_DEVICE_MEMORY && s->bindings) { /* the other plans' buffers may be what is in the way */
        aval__session_release_bindings(s, NULL);
        status = aval__binding_create(s->context, plan, s->asks, &bound->binding);
    }
    return status;
}

static int make_bound(aval_session *s, const aval__hash *key, aval__shared_plan *shared, aval__bound_plan **out)
{
    int status = AVAL_E_MEMORY;
    aval__bound_plan *bound = aval__alloc(sizeof *bound);
    if (!bound) {
        aval__shared_plan_drop(s->context, shared);
        return AVAL_E_MEMORY;
    }
    bound->key = *key;
    bound->shared = shared;
    bound->carried = aval__alloc_array(shared->plan->n_slots, sizeof *bound->carried);
    if (!bound->carried) goto done;
    AVAL__TRY_DONE(bind(s, bound));
    status = AVAL_E_MEMORY;
    HASH_ADD(hh, s->bindings, key, sizeof bound->key, bound);
    if (!bound->hh.tbl) goto done;
    if (HASH_COUNT(s->bindings) > AVAL__MOST_BINDINGS) {
        aval__bound_plan *oldest = s->bindings;
        HASH_DEL(s->bindings, oldest);
        release_bound(s, oldest);
    }
    *out = bound;
    status = AVAL_OK;
done:
    if (status < 0) release_bound(s, bound);
    return status;
}

int aval__session_bind(aval_session *s, const aval__look *l, aval__shared_plan *shared, aval__bound_plan **bound)
{
    if (!*bound) return make_bound(s, &l->key, shared, bound);
    HASH_DEL(s->bindings, *bound); /* and back, as the most recently used */
    HASH_ADD(hh, s->bindings, key, sizeof l->key, *bound);
    if ((*bound)->hh.tbl) return AVAL_OK;
    release_bound(s, *bound);
    return AVAL_E_MEMORY;
}

static int list_numbers(aval_session *s)
{
    size_t n_values = s->graph->values.count;
    AVAL__TRY(aval__vec_reserve(&s->number_of, n_values));
    s->number_of.count = n_values;
    memset(s->number_of.at, 0xff, n_values * sizeof *s->number_of.at);
    for (size_t i = 0; i < s->numbers.count; i++) s->number_of.at[s->numbers.at[i]] = (uint32_t)i;
    return AVAL_OK;
}

static bool same_request(const aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    return s->graph_generation == s->graph->generation && s->wanted.count == n_wanted &&
           (n_wanted == 0 || memcmp(s->wanted.at, wanted, n_wanted * sizeof(aval_value *)) == 0);
}

/* Segments give new contents with each run, so that their plan is looked for each time. */
static bool unchanged(const aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    return s->current && s->seen_changes == s->changes && !aval__session_has_segments(s) && same_request(s, wanted, n_wanted);
}

static int find_bound(aval_session *s, aval_value *const *wanted, size_t n_wanted, aval__bound_plan **bound)
{
    aval__shared_plan *shared = NULL;
    aval__look l = { .wanted = wanted, .n_wanted = n_wanted, .numbers = &s->numbers };
    AVAL__TRY(check_wanted(s, wanted, n_wanted));
    AVAL__TRY(aval__context_ready(s->context));
    AVAL__TRY(aval__session_look_through(s, &l, bound, &shared));
    return aval__session_bind(s, &l, shared, bound);
}

int aval__session_prepare(aval_session *s, aval_value *const *wanted, size_t n_wanted)
{
    aval__bound_plan *bound = NULL;
    if (unchanged(s, wanted, n_wanted)) return AVAL_OK;
    if (!same_request(s, wanted, n_wanted)) s->asked.count = 0;
    s->ran = false;
    s->current = NULL;
    AVAL__TRY(aval__vec_reserve(&s->wanted, n_wanted));
    s->wanted.count = 0; /* until all is found */
    AVAL__TRY(find_bound(s, wanted, n_wanted, &bound));
    AVAL__TRY(list_numbers(s));
    if (n_wanted > 0) memcpy(s->wanted.at, wanted, n_wanted * sizeof(aval_value *));
    s->wanted.count = n_wanted;
    s->graph_generation = s->graph->generation;
    s->seen_changes = s->changes;
    s->current = bound;
    return AVAL_OK;
}
