/* The order of a graph's nodes: Kahn's algorithm, smallest id first among those that are ready.  Besides the links there are edges from
 * each reader of a state to the node that updates it, since the update happens in place.  Where all edges go to greater ids, as in a
 * graph that was built and never edited, that order is the one of the ids: one walk back over the nodes finds it. */
#include "graph/parts.h"

#include <string.h>

typedef struct ordering {
    const aval_graph *g;
    aval__arena arena; /* all arrays below */
    aval_node **needed;
    size_t n_needed;
    bool *is_needed; /* by node id */
    bool *is_read; /* by value id: wanted, read by a needed node, or an update that goes with one that is */
    aval_node **updater; /* by value id: who updates this state; NULL: there is no update */
    uint32_t *waits; /* by node id: edges into it whose source is not placed yet */
    size_t *first; /* by node id: its edges lie at targets[first[id]] up to targets[first[id + 1]] */
    uint32_t *targets;
    uint32_t *heap; /* ids of nodes that are ready, smallest on top */
    size_t n_heap;
} ordering;

static int make_arrays(ordering *o)
{
    size_t nodes = o->g->nodes.count, values = o->g->values.count;
    o->needed = aval__arena_alloc(&o->arena, nodes * sizeof *o->needed);
    o->is_needed = aval__arena_alloc(&o->arena, nodes * sizeof *o->is_needed);
    o->is_read = aval__arena_alloc(&o->arena, values * sizeof *o->is_read);
    return o->needed && o->is_needed && o->is_read ? AVAL_OK : AVAL_E_MEMORY;
}

static void start_again(ordering *o)
{
    memset(o->is_needed, 0, o->g->nodes.count * sizeof *o->is_needed);
    memset(o->is_read, 0, o->g->values.count * sizeof *o->is_read);
    o->updater = NULL;
    o->n_needed = 0;
}

/* ---- What is needed ---------------------------------------------------------------------------------------------------------------- */

/* *producer is set where the value makes it needed and nothing did before. */
static int need_value(ordering *o, const aval_value *value, const char *by, aval_node **producer)
{
    aval_node *node = value->kind == AVAL__PRODUCED ? value->producer : NULL;
    *producer = NULL;
    if (value->dead || (node && node->dead))
        return aval__fail(AVAL_E_GRAPH,
                          "%s needs value '%s', which nothing produces: it was removed, or the body of its op does not yield it", by,
                          aval__value_label(value));
    o->is_read[value->id] = true;
    if (!node || o->is_needed[node->id]) return AVAL_OK;
    o->is_needed[node->id] = true;
    *producer = node;
    return AVAL_OK;
}

static int need_wanted(ordering *o, aval_value *const *wanted, size_t n_wanted)
{
    for (size_t i = 0; i < n_wanted; i++) {
        if (!wanted[i] || wanted[i]->id >= o->g->values.count)
            return aval__fail(AVAL_E_ARGUMENT, "value %zu that is wanted is not one of this graph", i);
        aval_node *producer;
        AVAL__TRY(need_value(o, o->g->values.at[wanted[i]->id], "the caller", &producer));
        if (producer) o->needed[o->n_needed++] = producer;
    }
    return AVAL_OK;
}

/* In any graph: from readers to producers. */
static int find_needed(ordering *o)
{
    for (size_t n = 0; n < o->n_needed; n++) {
        const aval_node *node = o->needed[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            aval_node *producer = NULL;
            if (node->inputs[i]) AVAL__TRY(need_value(o, node->inputs[i], node->name ? node->name : "a node", &producer));
            if (producer) o->needed[o->n_needed++] = producer;
        }
    }
    return AVAL_OK;
}

static int find_updaters_of(ordering *o, aval_node *node)
{
    aval__node_need_updates(node, o->is_read);
    for (size_t i = 0; node->kind == AVAL__OP && node->def->updates && i < node->n_outputs; i++) {
        aval_value *state = aval__node_updates(node, i);
        if (!state || !node->outputs[i] || !o->is_read[node->outputs[i]->id]) continue;
        if (!o->updater) o->updater = aval__arena_alloc(&o->arena, o->g->values.count * sizeof(aval_node *));
        if (!o->updater) return AVAL_E_MEMORY;
        aval_node *other = o->updater[state->id];
        if (state->kind == AVAL__STATE && !other) {
            o->updater[state->id] = node;
            continue;
        }
        aval__text text = { 0 };
        aval__node_label(&text, node);
        if (state->kind != AVAL__STATE) {
            aval__text_add(&text, " updates its input '%s', which is no state: make it one with aval_graph_state",
                           aval__value_label(state));
        } else {
            aval__text_add(&text, " and ");
            aval__node_label(&text, other);
            aval__text_add(&text, " both update state '%s' in one run: ask for one of them at a time", aval__value_label(state));
        }
        int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_GRAPH, "%s", text.at);
        aval__text_release(&text);
        return code;
    }
    return AVAL_OK;
}

/* ---- Edges --------------------------------------------------------------------------------------------------------------------------- */

/* The edges that input i of the node makes: from its producer, and to the node that updates it.  Returns how many. */
static size_t edges_of(const ordering *o, const aval_node *node, size_t i, uint32_t from[2], uint32_t to[2])
{
    const aval_value *value = node->inputs[i];
    size_t n = 0;
    if (!value) return 0;
    if (value->kind == AVAL__PRODUCED) {
        from[n] = value->producer->id;
        to[n++] = node->id;
    }
    const aval_node *updater = o->updater ? o->updater[value->id] : NULL;
    if (updater && updater != node) {
        from[n] = node->id;
        to[n++] = updater->id;
    }
    return n;
}

static int make_edges(ordering *o)
{
    uint32_t from[2], to[2];
    size_t nodes = o->g->nodes.count;
    o->waits = aval__arena_alloc(&o->arena, nodes * sizeof *o->waits);
    o->first = aval__arena_alloc(&o->arena, (nodes + 2) * sizeof *o->first);
    o->heap = aval__arena_alloc(&o->arena, nodes * sizeof *o->heap);
    if (!o->waits || !o->first || !o->heap) return AVAL_E_MEMORY;
    for (size_t n = 0; n < o->n_needed; n++)
        for (size_t i = 0; i < o->needed[n]->n_inputs; i++)
            for (size_t e = edges_of(o, o->needed[n], i, from, to); e-- > 0;) o->first[from[e] + 2]++;
    for (size_t id = 2; id < o->g->nodes.count + 2; id++) o->first[id] += o->first[id - 1];
    o->targets = aval__arena_alloc(&o->arena, o->first[o->g->nodes.count + 1] * sizeof *o->targets);
    if (!o->targets) return AVAL_E_MEMORY;
    /* first[id + 1] is where the next edge of id goes; when all are there, it has become the end of id's edges */
    for (size_t n = 0; n < o->n_needed; n++)
        for (size_t i = 0; i < o->needed[n]->n_inputs; i++)
            for (size_t e = edges_of(o, o->needed[n], i, from, to); e-- > 0;) {
                o->targets[o->first[from[e] + 1]++] = to[e];
                o->waits[to[e]]++;
            }
    return AVAL_OK;
}

static void heap_push(ordering *o, uint32_t id)
{
    size_t at = o->n_heap++;
    for (; at > 0 && o->heap[(at - 1) / 2] > id; at = (at - 1) / 2) o->heap[at] = o->heap[(at - 1) / 2];
    o->heap[at] = id;
}

static uint32_t heap_pop(ordering *o)
{
    uint32_t top = o->heap[0], last = o->heap[--o->n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < o->n_heap && o->heap[child + 1] < o->heap[child]) child++;
        if (child >= o->n_heap || o->heap[child] >= last) break;
        o->heap[at] = o->heap[child];
        at = child;
    }
    if (o->n_heap) o->heap[at] = last;
    return top;
}

/* ---- Cycles ---------------------------------------------------------------------------------------------------------------------------- */

/* A node that `node` waits for and that is not placed either; *state is set when it only has to come first because it reads that state. */
static const aval_node *waited_for(const ordering *o, const aval_node *node, const aval_value **state)
{
    for (size_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (value && value->kind == AVAL__PRODUCED && o->waits[value->producer->id]) return value->producer;
    }
    for (size_t n = 0; n < o->n_needed; n++) {
        const aval_node *reader = o->needed[n];
        for (size_t i = 0; reader != node && o->waits[reader->id] && i < reader->n_inputs; i++)
            if (reader->inputs[i] && o->updater && o->updater[reader->inputs[i]->id] == node) {
                *state = reader->inputs[i];
                return reader;
            }
    }
    return NULL;
}

static int report_cycle(ordering *o)
{
    const aval_node *node = NULL;
    for (size_t n = 0; n < o->n_needed && !node; n++)
        if (o->waits[o->needed[n]->id]) node = o->needed[n];
    const aval_value *state = NULL;
    bool *seen = o->is_needed; /* not needed any more: false is "seen" */
    for (; seen[node->id]; node = waited_for(o, node, &state)) seen[node->id] = false;

    const aval_node *start = node;
    aval__text text = { 0 };
    state = NULL;
    size_t length = 0;
    do {
        const aval_value *before = NULL;
        if (length < 12) aval__node_label(&text, node);
        else if (length == 12) aval__text_add(&text, "...");
        node = waited_for(o, node, &before);
        if (length < 12) {
            if (before) aval__text_add(&text, ", which updates state '%s' and so waits for its reader ", aval__value_label(before));
            else aval__text_add(&text, " needs ");
        }
        if (before) state = before;
        length++;
    } while (node != start);
    aval__node_label(&text, start);
    int code = text.failed ? AVAL_E_MEMORY
               : state     ? aval__fail(AVAL_E_GRAPH,
                                        "a state cannot be read before its update: %s; copy the state's old content before the update", text.at)
                       : aval__fail(AVAL_E_GRAPH, "the graph has a cycle: %s; break one of these links with aval_node_set_input", text.at);
    aval__text_release(&text);
    return code;
}

/* ---- The order ---------------------------------------------------------------------------------------------------------------------------- */

/* A reader that was met before, and so has a greater id, or the caller wants the state itself. */
static bool updates_what_is_read(const ordering *o, const aval_node *node)
{
    for (size_t i = 0; o->updater && node->kind == AVAL__OP && node->def->updates && i < node->n_outputs; i++) {
        const aval_value *state = aval__node_updates(node, i);
        if (state && o->updater[state->id] == node && o->is_read[state->id]) return true;
    }
    return false;
}

/* Where all edges go to greater ids, the order is the one of the ids.  A walk from the last node back meets a node when all its readers
   are known, so it is the only one.  *done is false when it meets an edge that goes back. */
static int place_by_id(ordering *o, bool states, bool *done)
{
    const aval_graph *g = o->g;
    size_t placed = 0;
    *done = false;
    for (size_t id = g->nodes.count; id-- > 0;) {
        if (!o->is_needed[id]) continue;
        aval_node *node = g->nodes.at[id], *producer;
        o->needed[placed++] = node;
        if (states) AVAL__TRY(find_updaters_of(o, node));
        if (updates_what_is_read(o, node)) return AVAL_OK;
        for (size_t i = 0; i < node->n_inputs; i++) {
            const aval_value *value = node->inputs[i];
            if (!value) continue;
            if (value->kind == AVAL__PRODUCED && value->producer->id >= id) return AVAL_OK;
            AVAL__TRY(need_value(o, value, node->name ? node->name : "a node", &producer));
        }
    }
    o->n_needed = placed;
    *done = true;
    return AVAL_OK;
}

static int place_by_edges(ordering *o, aval_node **order)
{
    size_t placed = 0;
    AVAL__TRY(make_edges(o));
    for (size_t n = 0; n < o->n_needed; n++)
        if (!o->waits[o->needed[n]->id]) heap_push(o, o->needed[n]->id);
    while (o->n_heap) {
        uint32_t id = heap_pop(o);
        order[placed++] = o->g->nodes.at[id];
        for (size_t e = o->first[id]; e < o->first[id + 1]; e++)
            if (--o->waits[o->targets[e]] == 0) heap_push(o, o->targets[e]);
    }
    return placed == o->n_needed ? AVAL_OK : report_cycle(o);
}

static void reverse(aval_node *const *from, size_t count, aval_node **to)
{
    for (size_t i = 0; i < count; i++) to[i] = from[count - 1 - i];
}

static int order_nodes(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool states, aval_node ***order, size_t *count)
{
    int status = AVAL_OK;
    bool done_by_id;
    aval_node **result = NULL;
    ordering o = { .g = g };
    AVAL__TRY_DONE(make_arrays(&o));
    AVAL__TRY_DONE(need_wanted(&o, wanted, n_wanted));
    AVAL__TRY_DONE(place_by_id(&o, states, &done_by_id));
    if (!done_by_id) {
        start_again(&o);
        AVAL__TRY_DONE(need_wanted(&o, wanted, n_wanted));
        AVAL__TRY_DONE(find_needed(&o));
        for (size_t n = 0; states && n < o.n_needed; n++) AVAL__TRY_DONE(find_updaters_of(&o, o.needed[n]));
    }
    result = aval__alloc_array(o.n_needed, sizeof *result);
    if (!result) AVAL__TRY_DONE(AVAL_E_MEMORY);
    if (done_by_id) reverse(o.needed, o.n_needed, result);
    else AVAL__TRY_DONE(place_by_edges(&o, result));
    *order = result;
    *count = o.n_needed;
    result = NULL;
done:
    aval__free(result);
    aval__arena_release(&o.arena);
    return status;
}

int aval__graph_order(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_node ***order, size_t *count)
{
    return order_nodes(g, wanted, n_wanted, true, order, count);
}

int aval__graph_order_links(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_node ***order, size_t *count)
{
    return order_nodes(g, wanted, n_wanted, false, order, count);
}
