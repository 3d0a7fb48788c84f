/* Loops whose number of turns shows only on the way: each turn is a run of a session of its own, on a graph that has one turn, with what the
 * turn before has handed on.  Then all outputs of the loop are contents that are known.  Gradients go through the turns as nodes, for which
 * the number alone is taken from here. */
#include "exec/session.h"
#include "exec/store.h"

#include <string.h>

#define MOST_TURNS 10000000 /* a file can ask for any number */

/* A tensor on the host. */
typedef struct held {
    aval_tensor tensor;
    void *data;
} held;

/* The session for one loop's turns: kept, so that the next run of the loop finds its plan bound. */
typedef struct aval__turning {
    struct aval__turning *next;
    const aval__loop *loop;
    uint64_t born; /* of the loop's first output: the node's identity */
    aval_graph *graph;
    aval_session *session;
    aval_value **ports, **results;
    held *carried; /* what the last turn handed on */
    AVAL__VEC(held) parts; /* to stack: n_stacked a turn */
    size_t n_wanted;
    aval_value **wanted; /* the results without absent ones */
} aval__turning;

static void release_held(held *h)
{
    aval__free(h->data);
    *h = (held){ 0 };
}

static void release_turning(aval__turning *t)
{
    if (!t) return;
    for (size_t i = 0; t->carried && i < t->loop->n_carried; i++) release_held(&t->carried[i]);
    for (size_t i = 0; i < t->parts.count; i++) release_held(&t->parts.at[i]);
    aval__vec_release(&t->parts);
    aval__free(t->carried);
    aval__free(t->ports);
    aval__free(t->results);
    aval__free(t->wanted);
    aval_session_release(t->session);
    aval_graph_release(t->graph);
    aval__free(t);
}

void aval__session_release_turning(aval_session *s)
{
    while (s->turning) {
        aval__turning *next = s->turning->next;
        release_turning(s->turning);
        s->turning = next;
    }
}

/* ---- What goes in ------------------------------------------------------------------------------------------------------------------------ */

/* Does the loop read the state itself, by its name? */
static bool is_shared_state(const aval__loop *loop, size_t port)
{
    return loop->ports[port]->kind == AVAL__STATE;
}

static bool is_known(const aval_session *s, const aval_value *value, size_t n_asked)
{
    for (size_t i = 0; i < n_asked; i++)
        if (aval__session_found_with(s->asked.at[i], value)) return aval__session_fed(s, value) != NULL;
    return false;
}

/* Contents of all that the loop reads are on the host after this. */
static int compute_inputs(aval_session *s, const aval_node *node, size_t n_asked, uint32_t *missing)
{
    size_t count = 0;
    aval_value **wanted = aval__alloc_array(node->n_inputs, sizeof *wanted);
    int status = wanted ? AVAL_OK : AVAL_E_MEMORY;
    for (size_t i = 0; i < node->n_inputs && status == AVAL_OK; i++) {
        aval_value *value = node->inputs[i];
        if (!value || is_shared_state(node->loop, i)) continue;
        if (value->kind == AVAL__PRODUCED && !is_known(s, value, n_asked)) wanted[count++] = value;
        else if (value->kind == AVAL__INPUT && !aval__session_fed(s, value))
            status = aval__fail(AVAL_E_ARGUMENT, "input '%s' was never fed", aval__value_label(value));
        else status = aval__session_keep_source(s, value);
    }
    if (status == AVAL_OK && count > 0) status = aval__session_compute(s, wanted, count, n_asked, missing);
    aval__free(wanted);
    return status;
}

/* Where the content of a value lies, after compute_inputs. */
static held content_of(const aval_session *s, const aval_value *value)
{
    const aval__fed *fed = value->kind == AVAL__CONSTANT ? NULL : aval__session_fed(s, value);
    return fed ? (held){ fed->tensor, fed->data } : (held){ value->tensor, (void *)value->data };
}

/* ---- The turn's own graph ----------------------------------------------------------------------------------------------------------------- */

static int add_port(aval__turning *t, size_t port, const aval_session *s, const aval_value *given)
{
    static const aval_tensor number = { .type = AVAL_INT64 }, truth = { .type = AVAL_BOOL };
    const aval_value *inner = t->loop->ports[port];
    aval_tensor tensor = port == 0 ? number : truth;
    if (is_shared_state(t->loop, port)) {
        t->ports[port] = aval_graph_state(t->graph, inner->name, inner->tensor.type, (size_t)inner->tensor.rank, inner->tensor.dims);
        return t->ports[port] ? AVAL_OK : aval_graph_status(t->graph);
    }
    if (port >= 2) tensor = content_of(s, given).tensor;
    for (int32_t d = 0; d < tensor.rank; d++) tensor.dims[d] = -1; /* it may be another one in each turn */
    return aval__graph_add_value(t->graph, AVAL__INPUT, &tensor, aval__value_label(port < 2 ? inner : given), &t->ports[port]);
}

static int build(aval__turning *t, aval_session *s, const aval_node *node)
{
    const aval__loop *loop = node->loop;
    size_t n_results = aval__loop_results(loop);
    t->graph = aval_graph_create(s->context);
    t->ports = aval__alloc_array(aval__loop_ports(loop), sizeof *t->ports);
    t->results = aval__alloc_array(n_results, sizeof *t->results);
    t->wanted = aval__alloc_array(n_results, sizeof *t->wanted);
    t->carried = aval__alloc_array(loop->n_carried, sizeof *t->carried);
    if (!t->graph || !t->ports || !t->results || !t->wanted || !t->carried) return AVAL_E_MEMORY;
    for (size_t i = 0; i < aval__loop_ports(loop); i++) AVAL__TRY(add_port(t, i, s, node->inputs[i]));
    AVAL__TRY(aval__loop_turn(loop, t->graph, node->name ? node->name : "loop", t->ports, t->results));
    for (size_t i = 0; i < n_results; i++)
        if (t->results[i]) t->wanted[t->n_wanted++] = t->results[i];
    AVAL__TRY(aval_session_create(s->context, t->graph, s->store, &t->session));
    t->session->memory = s->memory;
    t->session->anomaly = s->anomaly;
    return AVAL_OK;
}

/* Do the tensors that come in still fit the graph that was made for others? */
static bool fits(const aval__turning *t, const aval_session *s, const aval_node *node)
{
    if (t->loop != node->loop || t->born != node->outputs[0]->born || t->session->memory != s->memory) return false;
    for (size_t i = 2; i < aval__loop_ports(t->loop); i++) {
        aval_tensor given = is_shared_state(t->loop, i) ? t->ports[i]->tensor : content_of(s, node->inputs[i]).tensor;
        if (given.type != t->ports[i]->tensor.type || given.rank != t->ports[i]->tensor.rank) return false;
    }
    return true;
}

static int find_turning(aval_session *s, const aval_node *node, aval__turning **out)
{
    aval__turning **at = &s->turning;
    while (*at && ((*at)->loop != node->loop || (*at)->born != node->outputs[0]->born)) at = &(*at)->next;
    *out = *at;
    if (*at && fits(*at, s, node)) return AVAL_OK;
    if (*at) {
        *at = (*at)->next;
        release_turning(*out);
    }
    *out = aval__alloc(sizeof **out);
    if (!*out) return AVAL_E_MEMORY;
    (*out)->loop = node->loop;
    (*out)->born = node->outputs[0]->born;
    int status = build(*out, s, node);
    if (status < 0) {
        release_turning(*out);
        return status;
    }
    (*out)->next = s->turning;
    s->turning = *out;
    return AVAL_OK;
}

/* ---- Turns ----------------------------------------------------------------------------------------------------------------------------------- */

static int feed(aval__turning *t, size_t port, const void *data, const aval_tensor *tensor)
{
    return aval_session_feed(t->session, t->ports[port], data, aval__tensor_bytes(tensor), tensor->dims);
}

static int read(aval__turning *t, const aval_value *value, held *out)
{
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    release_held(out);
    AVAL__TRY(aval_session_shape(t->session, value, &rank, dims));
    AVAL__TRY(aval__tensor_set(&out->tensor, aval_session_type(t->session, value), rank, dims));
    size_t bytes = aval__tensor_bytes(&out->tensor);
    out->data = aval__alloc(bytes + 1);
    return out->data ? aval_session_read(t->session, value, out->data, bytes) : AVAL_E_MEMORY;
}

static int start(aval__turning *t, const aval_session *s, const aval_node *node)
{
    for (size_t i = 0; i < t->parts.count; i++) release_held(&t->parts.at[i]);
    t->parts.count = 0;
    for (size_t i = 2; i < aval__loop_ports(t->loop); i++) {
        if (is_shared_state(t->loop, i)) continue;
        held given = content_of(s, node->inputs[i]);
        AVAL__TRY(feed(t, i, given.data, &given.tensor));
        if (i >= 2 + t->loop->n_carried) continue;
        held *first = &t->carried[i - 2];
        size_t bytes = aval__tensor_bytes(&given.tensor);
        release_held(first);
        first->tensor = given.tensor;
        first->data = aval__alloc(bytes + 1);
        if (!first->data) return AVAL_E_MEMORY;
        memcpy(first->data, given.data, bytes);
    }
    return AVAL_OK;
}

/* *again: the condition for the next turn; it is this one's on the way in. */
static int take_turn(aval__turning *t, int64_t number, unsigned char *again)
{
    const aval__loop *loop = t->loop;
    AVAL__TRY(feed(t, 0, &number, &t->ports[0]->tensor));
    AVAL__TRY(feed(t, 1, again, &t->ports[1]->tensor));
    for (size_t i = 0; i < loop->n_carried && number > 0; i++) AVAL__TRY(feed(t, 2 + i, t->carried[i].data, &t->carried[i].tensor));
    AVAL__TRY(aval_session_run(t->session, t->wanted, t->n_wanted));
    if (t->results[0]) {
        held condition = { 0 };
        int status = read(t, t->results[0], &condition);
        if (status == AVAL_OK && aval__tensor_bytes(&condition.tensor) != 1)
            status = aval__fail(AVAL_E_SHAPE, "the condition of a loop must be one bool");
        if (status == AVAL_OK) *again = *(const unsigned char *)condition.data;
        release_held(&condition);
        AVAL__TRY(status);
    }
    for (size_t i = 0; i < loop->n_carried; i++) AVAL__TRY(read(t, t->results[1 + i], &t->carried[i]));
    for (size_t i = 0; i < loop->n_stacked; i++) {
        AVAL__TRY(aval__vec_push(&t->parts, (held){ 0 }));
        AVAL__TRY(read(t, t->results[1 + loop->n_carried + i], &t->parts.at[t->parts.count - 1]));
    }
    return AVAL_OK;
}

/* ---- What comes out --------------------------------------------------------------------------------------------------------------------------- */

/* Puts the parts of number `k` together; their shapes must agree. */
static int stack(const aval__turning *t, size_t k, size_t turns, held *out)
{
    const aval__loop *loop = t->loop;
    const aval__stacked *how = &loop->stacked[k];
    size_t outer = 1;
    out->tensor = t->parts.at[k].tensor;
    for (size_t turn = 1; turn < turns; turn++) {
        const aval_tensor *part = &t->parts.at[turn * loop->n_stacked + k].tensor;
        if (!aval__tensor_same_shape(part, &t->parts.at[k].tensor))
            return aval__fail(AVAL_E_SHAPE, "what a loop stacks has another shape in turn %zu than in the first", turn);
    }
    int64_t axis = aval_axis(how->axis, (uint32_t)out->tensor.rank);
    if (axis < 0) return aval__fail(AVAL_E_SHAPE, "what a loop stacks has no axis %lld", (long long)how->axis);
    for (int64_t d = 0; d < axis; d++) outer *= (size_t)out->tensor.dims[d];
    size_t part_bytes = aval__tensor_bytes(&out->tensor), row = outer ? part_bytes / outer : 0;
    out->tensor.dims[axis] *= (int64_t)turns;
    out->data = aval__alloc(part_bytes * turns + 1);
    if (!out->data) return AVAL_E_MEMORY;
    for (size_t turn = 0; turn < turns; turn++) {
        size_t from = (how->backwards ? turns - 1 - turn : turn) * loop->n_stacked + k;
        for (size_t o = 0; o < outer; o++)
            memcpy((char *)out->data + (o * turns + turn) * row, (const char *)t->parts.at[from].data + o * row, row);
    }
    return AVAL_OK;
}

static int keep_results(aval_session *s, const aval__turning *t, const aval_node *node, int64_t turns)
{
    static const aval_tensor number = { .type = AVAL_INT64 };
    const aval__loop *loop = t->loop;
    for (size_t i = 0; i < loop->n_carried && turns > 0; i++)
        AVAL__TRY(aval__session_keep(s, node->outputs[i], &t->carried[i].tensor, t->carried[i].data));
    for (size_t i = 0; i < loop->n_stacked && turns > 0; i++) { /* without any turn, planning knows the shape */
        held stacked = { 0 };
        int status = stack(t, i, (size_t)turns, &stacked);
        if (status == AVAL_OK) status = aval__session_keep(s, node->outputs[loop->n_carried + i], &stacked.tensor, stacked.data);
        release_held(&stacked);
        AVAL__TRY(status);
    }
    return aval__session_keep(s, aval__loop_turns(node), &number, &turns);
}

/* What an earlier run has found is not known any more. */
static void forget_results(aval_session *s, const aval_node *node)
{
    for (size_t i = 0; i < node->n_outputs; i++) {
        aval__fed *fed = aval__session_fed(s, node->outputs[i]);
        if (fed) fed->version = 0;
    }
}

int aval__session_take_turns(aval_session *s, aval_node *node, size_t n_asked, uint32_t *missing)
{
    aval__turning *t;
    int64_t most = INT64_MAX, turns = 0;
    unsigned char again = 1;
    *missing = UINT32_MAX;
    forget_results(s, node);
    AVAL__TRY(compute_inputs(s, node, n_asked, missing));
    if (node->inputs[0]) memcpy(&most, content_of(s, node->inputs[0]).data, sizeof most);
    if (node->inputs[1]) memcpy(&again, content_of(s, node->inputs[1]).data, sizeof again);
    AVAL__TRY(find_turning(s, node, &t));
    AVAL__TRY(start(t, s, node));
    for (; turns < most && again; turns++) {
        int status = turns < MOST_TURNS ? take_turn(t, turns, &again)
                                        : aval__fail(AVAL_E_UNSUPPORTED, "a loop may turn %d times at most", MOST_TURNS);
        if (status < 0) return aval__fail_in(status, "turn %lld of loop '%s'", (long long)turns, node->name ? node->name : "");
    }
    return keep_results(s, t, node, turns);
}
