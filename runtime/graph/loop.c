/* Loops: a node that stands for turns of a graph of its own becomes those turns, where their number is known. */
#include "graph/parts.h"

#include <inttypes.h>
#include <string.h>

/* Nodes that the turns of one loop may become.  Longer ones take their turns in the session, without gradients. */
#define MOST_NODES 200000

aval_value *aval__loop_turns(const aval_node *node)
{
    return node->outputs[node->n_outputs - 1];
}

/* ---- Adding one ----------------------------------------------------------------------------------------------------------------------- */

/* All that turns depend on: the nodes, which of their values are the ports, and how results are stacked. */
static int set_key(aval__loop *loop)
{
    aval__numbering numbers = { 0 };
    aval__text text = { 0 };
    size_t count = 0, n_results = aval__loop_results(loop);
    aval_value **wanted = aval__alloc_array(n_results, sizeof *wanted);
    int status = wanted ? AVAL_OK : AVAL_E_MEMORY;
    for (size_t i = loop->results[0] ? 0 : 1; wanted && i < n_results; i++) wanted[count++] = loop->results[i];
    if (status == AVAL_OK) status = aval__graph_hash(loop->g, wanted, count, &loop->key, &numbers);
    aval__text_put(&text, (const char *)&loop->key, sizeof loop->key);
    for (size_t i = 0; i < aval__loop_ports(loop); i++) {
        uint32_t number = 0;
        while (number < numbers.count && numbers.at[number] != loop->ports[i]->id) number++;
        aval__text_add(&text, " %u", (unsigned)(number < numbers.count ? number : UINT32_MAX));
    }
    aval__text_add(&text, " %zu %zu %d", loop->n_carried, loop->n_stacked, loop->results[0] != NULL);
    for (size_t i = 0; i < loop->n_stacked; i++) aval__text_add(&text, " %" PRId64 "%d", loop->stacked[i].axis, loop->stacked[i].backwards);
    if (status == AVAL_OK && text.failed) status = aval__fail(AVAL_E_MEMORY, "out of memory while hashing a loop");
    if (status == AVAL_OK) loop->key = aval__hash_bytes(text.at, text.length);
    aval__text_release(&text);
    aval__vec_release(&numbers);
    aval__free(wanted);
    return status;
}

int aval__graph_add_loop(aval_graph *g, aval__loop *loop, aval_value *const *inputs, aval_node **out)
{
    aval_node *node;
    size_t n_outputs = loop->n_carried + loop->n_stacked + 1;
    loop->next = g->loops;
    g->loops = loop;
    AVAL__TRY(set_key(loop));
    AVAL__TRY(aval__node_make(g, AVAL__LOOP, NULL, inputs, aval__loop_ports(loop), n_outputs, &node));
    node->loop = loop;
    int status = AVAL_OK;
    for (size_t i = 0; i < n_outputs && status == AVAL_OK; i++) status = aval__node_add_output(node, i, NULL, NULL);
    if (status < 0) aval__graph_drop_node(node);
    else *out = node;
    return status;
}

/* ---- One turn ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct turn {
    const aval__loop *loop;
    aval_graph *g;
    const char *name; /* before those of the nodes */
    aval_value **at; /* by id in the loop's graph: the value here */
} turn;

static int find(turn *t, const aval_value *value, aval_value **out)
{
    *out = value ? t->at[value->id] : NULL;
    if (!value || *out) return AVAL_OK;
    if (value->kind == AVAL__CONSTANT) AVAL__TRY(aval__graph_add_constant(t->g, &value->tensor, value->data, out));
    else if (value->kind == AVAL__STATE) /* one that no port brings */
        *out = aval_graph_state(t->g, value->name, value->tensor.type, (size_t)value->tensor.rank, value->tensor.dims);
    if (!*out)
        return t->g->status < 0 ? aval_graph_status(t->g)
                                : aval__fail(AVAL_E_GRAPH, "'%s' in a loop has no content", aval__value_label(value));
    t->at[value->id] = *out;
    return AVAL_OK;
}

static int name_copy(const turn *t, const aval_node *from, aval_node *made)
{
    aval__text name = { 0 };
    made->device = from->device;
    if (from->name) aval__text_add(&name, "%s/%s", t->name, from->name);
    else aval__text_add(&name, "%s/%s%u", t->name, from->def ? from->def->name : "loop", from->id);
    int status = name.failed ? aval__fail(AVAL_E_MEMORY, "out of memory for the name of a node") : aval__node_rename(made, name.at);
    aval__text_release(&name);
    return status;
}

static int copy_node(turn *t, const aval_node *from)
{
    aval_node *made = NULL;
    aval_value **inputs = aval__alloc_array(from->n_inputs, sizeof *inputs);
    if (!inputs) return AVAL_E_MEMORY;
    int status = AVAL_OK;
    for (size_t i = 0; i < from->n_inputs; i++) AVAL__TRY_DONE(find(t, from->inputs[i], &inputs[i]));
    if (from->kind == AVAL__LOOP) {
        AVAL__TRY_DONE(aval__node_make(t->g, AVAL__LOOP, NULL, inputs, from->n_inputs, from->n_outputs, &made));
        made->loop = from->loop;
        for (size_t i = 0; i < from->n_outputs; i++) AVAL__TRY_DONE(aval__node_add_output(made, i, NULL, NULL));
    } else {
        AVAL__TRY_DONE(aval__graph_add_node(t->g, from->def, &from->attrs, inputs, from->n_inputs, from->n_outputs, &made));
    }
    AVAL__TRY_DONE(name_copy(t, from, made));
    for (size_t i = 0; i < from->n_outputs; i++) t->at[from->outputs[i]->id] = made->outputs[i];
    if (from->kind == AVAL__LOOP && t->g->planning) AVAL__TRY_DONE(aval__loop_unroll(made));
done:
    aval__free(inputs);
    return status;
}

int aval__loop_turn(const aval__loop *loop, aval_graph *g, const char *name, aval_value *const *ports, aval_value **results)
{
    turn t = { .loop = loop, .g = g, .name = name };
    aval_node **order = NULL;
    size_t count = 0, n_wanted = 0, n_results = aval__loop_results(loop);
    aval_value **wanted = aval__alloc_array(n_results, sizeof *wanted);
    int status = AVAL_OK;
    t.at = aval__alloc_array(loop->g->values.count, sizeof *t.at);
    if (!wanted || !t.at) AVAL__TRY_DONE(AVAL_E_MEMORY);
    for (size_t i = loop->results[0] ? 0 : 1; i < n_results; i++) wanted[n_wanted++] = loop->results[i];
    AVAL__TRY_DONE(aval__graph_order(loop->g, wanted, n_wanted, &order, &count));
    for (size_t i = 0; i < aval__loop_ports(loop); i++) t.at[loop->ports[i]->id] = ports[i];
    for (size_t n = 0; n < count; n++) AVAL__TRY_DONE(copy_node(&t, order[n]));
    for (size_t i = 0; i < n_results; i++) AVAL__TRY_DONE(find(&t, loop->results[i], &results[i]));
done:
    aval__free(order);
    aval__free(wanted);
    aval__free(t.at);
    return status;
}

/* ---- All turns --------------------------------------------------------------------------------------------------------------------------- */

typedef struct unrolling {
    aval_node *node;
    const aval__loop *loop;
    aval_graph *g;
    aval__contents contents;
    aval_value **ports, **results; /* of the turn under way */
    AVAL__VEC(aval_value *) parts; /* to stack: n_stacked a turn */
    int64_t turns; /* done */
} unrolling;

/* The message is there; `missing` would tell how many turns there are. */
static int fail_open(unrolling *u, const aval_value *missing)
{
    aval__text label = { 0 };
    aval__node_label(&label, u->node);
    u->g->missing = missing;
    int status = label.failed ? AVAL_E_MEMORY : aval__fail_in(AVAL_E_CONTENT, "%s", label.at);
    aval__text_release(&label);
    return status;
}

static int content_of(unrolling *u, aval_value *value, aval_type type, const void **data)
{
    *data = NULL;
    if (aval__tensor_known(&value->tensor) && (value->tensor.type != (int)type || aval__tensor_count(&value->tensor) != 1))
        return aval__fail(AVAL_E_TYPE, "'%s', which says how often a loop turns, must be one %s", aval__value_label(value),
                          aval_type_name((int)type));
    return aval__contents_get(&u->contents, value, data);
}

/* *most: how many turns there are at most; *exact: exactly that many. */
static int read_bounds(unrolling *u, int64_t *most, bool *exact)
{
    const void *turns = NULL, *condition = NULL, *known = aval__loop_turns(u->node)->data;
    aval_value *const *inputs = u->node->inputs;
    *exact = known != NULL;
    if (inputs[0]) AVAL__TRY(content_of(u, inputs[0], AVAL_INT64, &turns));
    if (inputs[1]) AVAL__TRY(content_of(u, inputs[1], AVAL_BOOL, &condition));
    if (!known && ((inputs[0] && !turns) || (inputs[1] && !condition))) {
        aval__fail(AVAL_E_CONTENT, "the number of its turns is not known");
        return fail_open(u, inputs[0] && !turns ? inputs[0] : inputs[1]);
    }
    *most = INT64_MAX;
    if (known || turns) memcpy(most, known ? known : turns, sizeof *most);
    if (!known && condition && !*(const unsigned char *)condition) *most = 0;
    return AVAL_OK;
}

static int add_scalar(aval_graph *g, int type, const void *data, aval_value **out)
{
    const aval_tensor scalar = { .type = type };
    return aval__graph_add_constant(g, &scalar, data, out);
}

static int take_turn(unrolling *u)
{
    aval__text name = { 0 };
    if (u->node->name) aval__text_add(&name, "%s/%" PRId64, u->node->name, u->turns);
    else aval__text_add(&name, "loop%u/%" PRId64, u->node->id, u->turns);
    int status = name.failed ? AVAL_E_MEMORY : add_scalar(u->g, AVAL_INT64, &u->turns, &u->ports[0]);
    if (status == AVAL_OK) status = aval__loop_turn(u->loop, u->g, name.at, u->ports, u->results);
    aval__text_release(&name);
    for (size_t i = 0; i < aval__loop_results(u->loop) && status == AVAL_OK && u->g->planning; i++)
        if (u->results[i] && !aval__tensor_known(&u->results[i]->tensor))
            status = aval__fail(AVAL_E_CONTENT, "a shape within a loop is not known");
    return status;
}

/* *again: is there another turn? */
static int end_turn(unrolling *u, bool exact, bool *again)
{
    const aval__loop *loop = u->loop;
    const void *condition = NULL;
    for (size_t i = 0; i < loop->n_stacked; i++) AVAL__TRY(aval__vec_push(&u->parts, u->results[1 + loop->n_carried + i]));
    memcpy(u->ports + 2, u->results + 1, loop->n_carried * sizeof *u->ports);
    u->turns++;
    *again = true;
    if (!u->results[0]) return AVAL_OK;
    u->ports[1] = u->results[0];
    if (exact) return AVAL_OK;
    AVAL__TRY(content_of(u, u->results[0], AVAL_BOOL, &condition));
    if (!condition) return aval__fail(AVAL_E_CONTENT, "whether there is another turn is not known");
    *again = *(const unsigned char *)condition != 0;
    return AVAL_OK;
}

static int take_turns(unrolling *u)
{
    const unsigned char yes = 1;
    int64_t most = 0;
    bool exact = false, again = true;
    AVAL__TRY(read_bounds(u, &most, &exact));
    memcpy(u->ports, u->node->inputs, aval__loop_ports(u->loop) * sizeof *u->ports);
    if (!u->ports[1]) AVAL__TRY(add_scalar(u->g, AVAL_BOOL, &yes, &u->ports[1]));
    size_t first = u->g->nodes.count;
    int status = AVAL_OK;
    while (u->turns < most && again && status == AVAL_OK) {
        status = u->g->nodes.count - first > MOST_NODES || u->turns >= MOST_NODES
                     ? aval__fail(AVAL_E_CONTENT, "its turns would be more than %d nodes: gradients must do with fewer turns", MOST_NODES)
                     : take_turn(u);
        if (status == AVAL_OK) status = end_turn(u, exact, &again);
    }
    return status == AVAL_E_CONTENT ? fail_open(u, exact ? NULL : aval__loop_turns(u->node)) : status;
}

/* ---- Results ----------------------------------------------------------------------------------------------------------------------------- */

/* Of no turn at all: an empty tensor, in the shape that one turn would have given. */
static int stack_none(unrolling *u, size_t i, aval_value **out)
{
    if (u->parts.count == 0) {
        AVAL__TRY(take_turn(u));
        AVAL__TRY(aval__vec_reserve(&u->parts, u->loop->n_stacked));
        memcpy(u->parts.at, u->results + 1 + u->loop->n_carried, u->loop->n_stacked * sizeof *u->parts.at);
        u->parts.count = u->loop->n_stacked;
    }
    aval_tensor empty = u->parts.at[i]->tensor;
    if (!aval__tensor_known(&empty)) return aval__fail(AVAL_E_CONTENT, "the shape of what a loop without turns stacks is not known");
    int64_t axis = aval_axis(u->loop->stacked[i].axis, (uint32_t)empty.rank);
    if (axis < 0) return aval__fail(AVAL_E_SHAPE, "what a loop stacks has no axis %" PRId64, u->loop->stacked[i].axis);
    empty.dims[axis] = 0;
    return aval__graph_add_constant(u->g, &empty, NULL, out);
}

static int stack(unrolling *u, size_t i, aval_value **out)
{
    const aval__loop *loop = u->loop;
    const aval__stacked *how = &loop->stacked[i];
    aval__attrs attrs = { 0 };
    aval_node *node = NULL;
    aval__text text = { 0 };
    size_t count = (size_t)u->turns;
    if (count == 0) return stack_none(u, i, out);
    aval_value **parts = aval__alloc_array(count, sizeof *parts);
    aval__text_add(&text, "axis=%" PRId64, how->axis);
    int status = !parts || text.failed ? AVAL_E_MEMORY : aval__attrs_parse(&u->g->arena, loop->join->op->attrs, text.at, &attrs);
    for (size_t t = 0; t < count && status == AVAL_OK; t++)
        parts[how->backwards ? count - 1 - t : t] = u->parts.at[t * loop->n_stacked + i];
    if (status == AVAL_OK) status = aval__graph_add_node(u->g, loop->join, &attrs, parts, count, 1, &node);
    if (status == AVAL_OK) *out = node->outputs[0];
    aval__text_release(&text);
    aval__free(parts);
    return status;
}

/* Where constants may be removed, each has memory of its own. */
static int own_content(aval_value *constant)
{
    size_t bytes = aval__tensor_bytes(&constant->tensor);
    void *copy = aval__graph_take(constant->graph, bytes);
    if (!copy) return AVAL_E_MEMORY;
    if (bytes) memcpy(copy, constant->data, bytes);
    constant->data = copy;
    return AVAL_OK;
}

/* The loop's outputs become what the turns have left. */
static int give_results(unrolling *u, aval__splice *splice)
{
    const aval__loop *loop = u->loop;
    for (size_t i = 0; i < u->node->n_outputs; i++) {
        aval_value *fresh = NULL, *old = u->node->outputs[i];
        if (i < loop->n_carried) fresh = u->ports[2 + i];
        else if (i < loop->n_carried + loop->n_stacked) AVAL__TRY(stack(u, i - loop->n_carried, &fresh));
        else AVAL__TRY(add_scalar(u->g, AVAL_INT64, &u->turns, &fresh));
        old->tensor = fresh->tensor;
        AVAL__TRY(aval__splice_give(splice, fresh, old));
        if (old->kind == AVAL__CONSTANT && !u->g->planning) AVAL__TRY(own_content(old));
    }
    return AVAL_OK;
}

int aval__loop_unroll(aval_node *node)
{
    unrolling u = { .node = node, .loop = node->loop, .g = node->graph };
    aval__splice splice;
    u.ports = aval__alloc_array(aval__loop_ports(u.loop), sizeof *u.ports);
    u.results = aval__alloc_array(aval__loop_results(u.loop), sizeof *u.results);
    int status = u.ports && u.results ? AVAL_OK : AVAL_E_MEMORY;
    aval__splice_begin(&splice, u.g);
    if (status == AVAL_OK) status = take_turns(&u);
    if (status == AVAL_OK) status = give_results(&u, &splice);
    aval__splice_end(&splice);
    for (size_t i = 0; i < node->n_outputs && status == AVAL_OK; i++) node->outputs[i] = NULL; /* others' now */
    if (status == AVAL_OK) aval__graph_drop_node(node);
    aval__contents_release(&u.contents);
    aval__vec_release(&u.parts);
    aval__free(u.ports);
    aval__free(u.results);
    return status;
}
