/* Loop and Scan: their bodies become graphs of their own, as patterns of one turn (aval__loop).  What a body reads from around it becomes an
 * input of its own; its initializers of real numbers are states of the model, the same in each turn.  A Scan is a loop whose turns pick
 * their part of what is scanned.  Where the file tells how many turns there are, the turns become nodes at once. */
#include "model/onnx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Nodes that turns may become while a file is read; of more, planning decides. */
#define MOST_UNROLLED 20000

typedef struct onnx_loop_body {
    aval_graph *outer;
    aval__loop *loop; /* its graph is the inner one */
    AVAL__VEC(aval_value *) read_inner, read_outer; /* what came from around it */
    AVAL__VEC(aval_value *) carried; /* ports for what turns hand on */
} onnx_loop_body;

/* ---- Reading from around the body ------------------------------------------------------------------------------------------------------ */

static int add_read(onnx_loop_body *body, aval_value *outer, aval_value *inner)
{
    AVAL__TRY(aval__vec_push(&body->read_inner, inner));
    return aval__vec_push(&body->read_outer, outer);
}

static int add_state(aval_graph *g, const aval_value *like, aval_value **out)
{
    *out = aval_graph_state(g, like->name, like->tensor.type, (size_t)like->tensor.rank, like->tensor.dims);
    return *out ? AVAL_OK : aval_graph_status(g);
}

int onnx_capture(onnx_reader *r, struct onnx_loop_body *body, aval_value *outer, aval_value **inner)
{
    aval_graph *g = body->loop->g;
    (void)r;
    if (outer->kind == AVAL__CONSTANT) return aval__graph_add_constant(g, &outer->tensor, outer->data, inner);
    if (outer->kind == AVAL__STATE) return add_state(g, outer, inner); /* found again at the end */
    AVAL__TRY(aval__graph_add_value(g, AVAL__INPUT, &outer->tensor, outer->name, inner));
    return add_read(body, outer, *inner);
}

/* Its states, its own and others', are those of the graph around it. */
static int capture_states(onnx_loop_body *body)
{
    aval_graph *g = body->loop->g;
    for (size_t i = 0; i < g->values.count; i++) {
        aval_value *state = g->values.at[i], *outer;
        if (state->dead || state->kind != AVAL__STATE) continue;
        AVAL__TRY(add_state(body->outer, state, &outer));
        AVAL__TRY(add_read(body, outer, state));
    }
    return AVAL_OK;
}

/* ---- The body ----------------------------------------------------------------------------------------------------------------------------- */

/* A body that is being read. */
typedef struct making {
    onnx_reader *r;
    const onnx_node *node;
    const onnx_graph *graph; /* in the file */
    onnx_scope inner;
    onnx_loop_body body;
    aval_value *number, *condition; /* ports */
    size_t n_carried;
    aval_value **outputs; /* of the body */
    bool broken; /* something in it cannot be done, and has been told */
} making;

static int add_port(making *m, const aval_tensor *tensor, const char *name, aval_value **out)
{
    AVAL__TRY(aval__graph_add_value(m->body.loop->g, AVAL__INPUT, tensor, name, out));
    return onnx_names_add(&m->inner.names, onnx_text(name), *out);
}

/* Its shape may change from turn to turn, so nothing is said of it. */
static int add_carried(making *m, const Aval__Onnx__ValueInfo *info)
{
    static const aval_tensor unknown = { .type = AVAL_NONE, .rank = -1 };
    aval_value *port = NULL;
    const char *name = onnx_text(info->name);
    if (info->type && !info->type->tensor_type && (info->type->has_sequence_type || info->type->has_optional_type)) {
        AVAL__TRY(onnx_problem(m->r, aval__fail(AVAL_E_UNSUPPORTED, "what turns hand on, '%.200s': a sequence or an optional", name)));
        m->broken = true;
        return onnx_names_add(&m->inner.names, name, NULL);
    }
    AVAL__TRY(add_port(m, &unknown, name, &port));
    return aval__vec_push(&m->body.carried, port);
}

static int begin_loop(making *m, onnx_scope *scope)
{
    m->inner = (onnx_scope){ .outer = scope,
                             .body = &m->body,
                             .path = onnx_path_within(m->r, scope, m->node, "body/"),
                             .opsets = scope->opsets,
                             .n_opsets = scope->n_opsets,
                             .given = scope->given,
                             .depth = scope->depth + 1 };
    if (!m->inner.path) return AVAL_E_MEMORY;
    if (m->inner.depth > ONNX_MOST_DEPTH) return aval__fail(AVAL_E_FORMAT, "graphs within graphs are more than %d deep", ONNX_MOST_DEPTH);
    m->body.outer = m->r->g;
    aval_graph *g = aval__graph_create(m->r->g->registry, m->r->g->log);
    if (!g) return AVAL_E_MEMORY;
    m->body.loop = aval__arena_alloc(&g->arena, sizeof *m->body.loop);
    if (!m->body.loop) {
        aval_graph_release(g);
        return AVAL_E_MEMORY;
    }
    m->body.loop->g = g;
    m->body.loop->join = aval__registry_find(g->registry, "Concat", 0);
    g->version = m->r->g->version;
    return m->body.loop->join ? AVAL_OK : aval__fail(AVAL_E_UNSUPPORTED, "no loaded plugin has the operator Concat, which it needs");
}

static int begin(making *m, onnx_scope *scope, const onnx_attrs *attrs)
{
    AVAL__TRY(onnx_graph_of(m->r, attrs, "body", &m->graph));
    return begin_loop(m, scope);
}

static int add_body_nodes(making *m)
{
    m->outputs = aval__arena_alloc(&m->r->out->arena, (m->graph->n_output + 1) * sizeof(aval_value *));
    if (!m->outputs) return AVAL_E_MEMORY;
    AVAL__TRY(onnx_add_initializers(m->r, &m->inner, m->graph));
    AVAL__TRY(onnx_add_nodes(m->r, &m->inner, m->graph->node, m->graph->n_node));
    AVAL__TRY(onnx_take_outputs(m->r, &m->inner, m->graph, m->outputs, m->graph->n_output));
    for (size_t i = 0; i < m->graph->n_output; i++) m->broken = m->broken || !m->outputs[i];
    return AVAL_OK;
}

/* A condition that is only handed on was true, since the turn takes place. */
static aval_value *without_constant_truth(const making *m, aval_value *condition)
{
    const aval_value *v = condition;
    while (v->kind == AVAL__PRODUCED && v->producer->def && strcmp(v->producer->def->name, "Identity") == 0) v = v->producer->inputs[0];
    bool constant = v->kind == AVAL__CONSTANT && v->tensor.type == AVAL_BOOL && aval__tensor_count(&v->tensor) == 1;
    return v == m->condition || (constant && *(const unsigned char *)v->data) ? NULL : condition;
}

static int constant_of(aval_graph *g, int64_t number, aval_value **out)
{
    const aval_tensor one = { .type = AVAL_INT64, .rank = 1, .dims = { 1 } };
    return aval__graph_add_constant(g, &one, &number, out);
}

/* One more axis, of length 1.  Before operator set 13 which one is an attribute. */
static int add_axis(onnx_reader *r, aval_value *x, int64_t axis, aval_value **out)
{
    char attrs[40];
    aval_value *axes;
    snprintf(attrs, sizeof attrs, "axes=[%" PRId64 "]", axis);
    if (r->forms > 0 && r->forms < 13) return onnx_make_form(r, "Unsqueeze", r->forms, attrs, &x, 1, out, 1);
    AVAL__TRY(constant_of(r->g, axis, &axes));
    return onnx_make(r, "Unsqueeze", NULL, (aval_value *[]){ x, axes }, 2, out, 1);
}

/* Stacking puts together tensors with one more axis. */
static int add_stacked(making *m, aval__stacked *stacked, aval_value *part, aval_value **out)
{
    stacked->part = part;
    m->r->g = m->body.loop->g;
    int status = add_axis(m->r, part, stacked->axis, out);
    m->r->g = m->body.outer;
    return status;
}

/* Fills the loop's arrays; the body's outputs are its results in the same order, the condition first where there is one. */
static int fill_loop(making *m, bool has_condition, const aval__stacked *stacked, size_t n_stacked)
{
    aval__loop *loop = m->body.loop;
    aval__arena *arena = &loop->g->arena;
    AVAL__TRY(capture_states(&m->body));
    loop->n_carried = m->n_carried;
    loop->n_read = m->body.read_inner.count;
    loop->n_stacked = n_stacked;
    loop->ports = aval__arena_alloc(arena, aval__loop_ports(loop) * sizeof(aval_value *));
    loop->results = aval__arena_alloc(arena, aval__loop_results(loop) * sizeof(aval_value *));
    loop->stacked = aval__arena_copy(arena, stacked, (n_stacked + 1) * sizeof *stacked);
    if (!loop->ports || !loop->results || !loop->stacked) return AVAL_E_MEMORY;
    loop->ports[0] = m->number;
    loop->ports[1] = m->condition;
    for (size_t i = 0; i < loop->n_carried; i++) loop->ports[2 + i] = m->body.carried.at[i];
    for (size_t i = 0; i < loop->n_read; i++) loop->ports[2 + loop->n_carried + i] = m->body.read_inner.at[i];
    size_t first = has_condition ? 1 : 0;
    if (has_condition) loop->results[0] = without_constant_truth(m, m->outputs[0]);
    for (size_t i = 0; i < loop->n_carried; i++) loop->results[1 + i] = m->outputs[first + i];
    for (size_t i = 0; i < n_stacked; i++)
        AVAL__TRY(add_stacked(m, &loop->stacked[i], m->outputs[first + loop->n_carried + i], &loop->results[1 + loop->n_carried + i]));
    return AVAL_OK;
}

static void release(making *m)
{
    if (m->body.loop) aval_graph_release(m->body.loop->g);
    onnx_names_release(&m->inner.names);
    aval__vec_release(&m->body.read_inner);
    aval__vec_release(&m->body.read_outer);
    aval__vec_release(&m->body.carried);
}

/* ---- The node ------------------------------------------------------------------------------------------------------------------------------ */

/* True when the host knows now how many turns there are, and they are few. */
static int are_turns_known(onnx_reader *r, const aval_node *node, bool *known)
{
    int64_t count = 0, nodes = (int64_t)node->loop->g->nodes.count + 1;
    unsigned char first = 1;
    bool has_count = false, has_first = true;
    *known = false;
    if (node->loop->results[0] || !node->inputs[0]) return AVAL_OK;
    AVAL__TRY(aval__value_content(node->inputs[0], &count, sizeof count, &has_count));
    if (node->inputs[1]) AVAL__TRY(aval__value_content(node->inputs[1], &first, sizeof first, &has_first));
    *known = has_count && has_first && first && count > 0 && count <= MOST_UNROLLED / nodes;
    if (*known) r->n_nodes += (size_t)(count * nodes);
    return r->n_nodes > ONNX_MOST_NODES ? aval__fail(AVAL_E_FORMAT, "more than %d nodes", ONNX_MOST_NODES) : AVAL_OK;
}

/* Trip count and condition may be NULL.  outputs: one for each that is handed on or stacked, as far as the node has them. */
static int add_node(making *m, aval_value *trips, aval_value *condition, aval_value *const *carried, aval_value **outputs, size_t n_outputs)
{
    aval__loop *loop = m->body.loop;
    aval_node *made = NULL;
    bool known = false;
    if (!trips && !loop->results[0])
        return aval__fail(AVAL_E_UNSUPPORTED, "it never ends: there is no number of turns, and no condition that changes");
    aval_value **inputs = aval__alloc_array(aval__loop_ports(loop), sizeof *inputs);
    if (!inputs) return AVAL_E_MEMORY;
    inputs[0] = trips;
    inputs[1] = condition;
    for (size_t i = 0; i < loop->n_carried; i++) inputs[2 + i] = carried[i];
    for (size_t i = 0; i < loop->n_read; i++) inputs[2 + loop->n_carried + i] = m->body.read_outer.at[i];
    m->body.loop = NULL; /* the graph's from here on */
    int status = aval__graph_add_loop(m->r->g, loop, inputs, &made);
    aval__free(inputs);
    AVAL__TRY(status);
    for (size_t i = 0; i < n_outputs; i++) outputs[i] = made->outputs[i];
    const char *name = onnx_text(m->node->name);
    if (name[0]) aval_node_set_name(made, name);
    AVAL__TRY(aval_graph_status(m->r->g));
    AVAL__TRY(are_turns_known(m->r, made, &known));
    return known ? aval__loop_unroll(made) : AVAL_OK;
}

static bool is_any_broken(const onnx_node *node, aval_value *const *inputs)
{
    for (size_t i = 0; i < node->n_input; i++)
        if (node->input[i][0] && !inputs[i]) return true;
    return false;
}

/* Reads the body; the reader's graph is the body's meanwhile. */
static int read_body(making *m, int (*add_ports)(making *m, void *user), void *user)
{
    m->r->g = m->body.loop->g;
    int status = add_ports(m, user);
    if (status == AVAL_OK) status = add_body_nodes(m);
    m->r->g = m->body.outer;
    return status;
}

static int add_number(making *m, const char *name)
{
    const aval_tensor number = { .type = AVAL_INT64 };
    return name ? add_port(m, &number, name, &m->number) : aval__graph_add_value(m->body.loop->g, AVAL__INPUT, &number, NULL, &m->number);
}

static int add_condition(making *m, const char *name)
{
    const aval_tensor truth = { .type = AVAL_BOOL };
    return name ? add_port(m, &truth, name, &m->condition)
                : aval__graph_add_value(m->body.loop->g, AVAL__INPUT, &truth, NULL, &m->condition);
}

/* ---- Loop ------------------------------------------------------------------------------------------------------------------------------------ */

static int add_loop_ports(making *m, void *unused)
{
    (void)unused;
    AVAL__TRY(add_number(m, onnx_text(m->graph->input[0]->name)));
    AVAL__TRY(add_condition(m, onnx_text(m->graph->input[1]->name)));
    for (size_t i = 0; i < m->n_carried; i++) AVAL__TRY(add_carried(m, m->graph->input[2 + i]));
    return AVAL_OK;
}

static int check_loop(const making *m)
{
    if (m->graph->n_input != 2 + m->n_carried)
        return aval__fail(AVAL_E_FORMAT, "expected a body of %zu inputs, found %zu", 2 + m->n_carried, m->graph->n_input);
    if (m->graph->n_output < 1 + m->n_carried || m->node->n_output > m->graph->n_output - 1)
        return aval__fail(AVAL_E_FORMAT, "expected a body of at least %zu outputs, found %zu",
                          1 + (m->n_carried > m->node->n_output ? m->n_carried : m->node->n_output), m->graph->n_output);
    return AVAL_OK;
}

int onnx_add_loop(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                  aval_value **outputs)
{
    making m = { .r = r, .node = node, .n_carried = node->n_input > 2 ? node->n_input - 2 : 0 };
    aval_value *const none[2] = { NULL, NULL }, *const *given = node->n_input >= 2 ? inputs : none;
    int status = AVAL_OK;
    AVAL__TRY_DONE(begin(&m, scope, attrs));
    AVAL__TRY_DONE(check_loop(&m));
    AVAL__TRY_DONE(read_body(&m, add_loop_ports, NULL));
    if (m.broken || is_any_broken(node, inputs)) goto done;
    size_t n_stacked = m.graph->n_output - 1 - m.n_carried;
    aval__stacked *stacked = aval__arena_alloc(&r->out->arena, (n_stacked + 1) * sizeof *stacked); /* all along axis 0 */
    if (!stacked) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(fill_loop(&m, true, stacked, n_stacked));
    AVAL__TRY_DONE(add_node(&m, given[0], given[1], inputs + 2, outputs, node->n_output));
done:
    release(&m);
    return status;
}

/* ---- Scan ------------------------------------------------------------------------------------------------------------------------------------ */

/* Element i of an attribute that lists numbers; 0 where it is shorter. */
static int64_t number_of(const onnx_attrs *attrs, const char *name, size_t i)
{
    const onnx_attribute *a = onnx_attrs_find(attrs, name);
    return a && i < a->n_ints ? a->ints[i] : 0;
}

typedef struct scanning {
    const onnx_attrs *attrs;
    const char *directions; /* name of the attribute */
    aval_value **scanned; /* around the body, those that are read from the end turned round */
    size_t count;
    aval_value *lengths; /* of the batch's rows; NULL: they are as long as they can be */
} scanning;

/* From the last to the first along an axis. */
static int turn_round(onnx_reader *r, aval_value *x, int64_t axis, aval_value **out)
{
    aval_value *starts, *ends, *axes, *steps;
    AVAL__TRY(constant_of(r->g, -1, &starts));
    AVAL__TRY(constant_of(r->g, INT64_MIN, &ends));
    AVAL__TRY(constant_of(r->g, axis, &axes));
    AVAL__TRY(constant_of(r->g, -1, &steps));
    return onnx_make(r, "Slice", NULL, (aval_value *[]){ x, starts, ends, axes, steps }, 5, out, 1);
}

/* How long an axis is, as a tensor of one element. */
static int length_of(onnx_reader *r, aval_value *x, int64_t axis, aval_value **out)
{
    aval_value *shape, *number;
    AVAL__TRY(constant_of(r->g, axis, &number));
    AVAL__TRY(onnx_make(r, "Shape", NULL, &x, 1, &shape, 1));
    return onnx_make(r, "Gather", "axis=0", (aval_value *[]){ shape, number }, 2, out, 1);
}

/* The part of a scanned tensor that is this turn's, under the name of the body's input. */
static int add_part(making *m, const scanning *s, size_t i)
{
    aval_value *whole, *part = NULL;
    aval__text attrs = { 0 };
    aval__text_add(&attrs, "axis=%" PRId64, number_of(s->attrs, "scan_input_axes", i));
    int status = attrs.failed ? AVAL_E_MEMORY : onnx_capture(m->r, &m->body, s->scanned[i], &whole);
    if (status == AVAL_OK) status = onnx_make(m->r, "Gather", attrs.at, (aval_value *[]){ whole, m->number }, 2, &part, 1);
    aval__text_release(&attrs);
    AVAL__TRY(status);
    return onnx_names_add(&m->inner.names, onnx_text(m->graph->input[m->n_carried + i]->name), part);
}

static int add_scan_ports(making *m, void *user)
{
    const scanning *s = user;
    AVAL__TRY(add_number(m, NULL));
    AVAL__TRY(add_condition(m, NULL));
    for (size_t i = 0; i < m->n_carried; i++) AVAL__TRY(add_carried(m, m->graph->input[i]));
    for (size_t i = 0; i < s->count; i++) AVAL__TRY(add_part(m, s, i));
    return AVAL_OK;
}

static int check_scan(const making *m, const scanning *s)
{
    if (m->graph->n_input != m->n_carried + s->count)
        return aval__fail(AVAL_E_FORMAT, "expected a body of %zu inputs, found %zu", m->n_carried + s->count, m->graph->n_input);
    if (m->graph->n_output < m->n_carried || m->node->n_output > m->graph->n_output)
        return aval__fail(AVAL_E_FORMAT, "expected a body of at least %zu outputs, found %zu",
                          m->n_carried > m->node->n_output ? m->n_carried : m->node->n_output, m->graph->n_output);
    return AVAL_OK;
}

static int turn_inputs_round(onnx_reader *r, scanning *s, aval_value *const *inputs)
{
    s->scanned = aval__arena_alloc(&r->out->arena, (s->count + 1) * sizeof *s->scanned);
    if (!s->scanned) return AVAL_E_MEMORY;
    for (size_t i = 0; i < s->count; i++) {
        s->scanned[i] = inputs[i];
        if (number_of(s->attrs, s->directions, i) != 0)
            AVAL__TRY(turn_round(r, inputs[i], number_of(s->attrs, "scan_input_axes", i), &s->scanned[i]));
    }
    return AVAL_OK;
}

static int list_stacked(making *m, const onnx_attrs *attrs, aval__stacked **stacked, size_t *count)
{
    *count = m->graph->n_output - m->n_carried;
    *stacked = aval__arena_alloc(&m->r->out->arena, (*count + 1) * sizeof **stacked);
    if (!*stacked) return AVAL_E_MEMORY;
    for (size_t i = 0; i < *count; i++)
        (*stacked)[i] = (aval__stacked){ .axis = number_of(attrs, "scan_output_axes", i),
                                         .backwards = number_of(attrs, "scan_output_directions", i) != 0 };
    return AVAL_OK;
}

/* states, then what is scanned; the last `count` of them. */
static int add_scan(onnx_reader *r, onnx_scope *scope, const onnx_node *node, scanning *s, aval_value *const *inputs, size_t n_inputs,
                    aval_value **outputs)
{
    making m = { .r = r, .node = node, .n_carried = n_inputs - s->count };
    aval_value *turns;
    aval__stacked *stacked;
    size_t n_stacked;
    int status = AVAL_OK;
    AVAL__TRY(turn_inputs_round(r, s, inputs + m.n_carried));
    AVAL__TRY(length_of(r, s->scanned[0], number_of(s->attrs, "scan_input_axes", 0), &turns));
    AVAL__TRY_DONE(begin(&m, scope, s->attrs));
    AVAL__TRY_DONE(check_scan(&m, s));
    AVAL__TRY_DONE(read_body(&m, add_scan_ports, s));
    if (m.broken) goto done;
    AVAL__TRY_DONE(list_stacked(&m, s->attrs, &stacked, &n_stacked));
    AVAL__TRY_DONE(fill_loop(&m, false, stacked, n_stacked));
    AVAL__TRY_DONE(add_node(&m, turns, NULL, inputs, outputs, node->n_output));
done:
    release(&m);
    return status;
}

/* What a row has no turns for is cut off from what is scanned; *pads is what stands for it in what is stacked: [0, how many are missing].
   Splitting tells where a length is more than there is. */
static int shorten(onnx_reader *r, const scanning *s, aval_value *row, aval_value **scanned, aval_value **pads)
{
    aval_value *number, *zero, *length, *most, *rest, *parts, *both[2];
    AVAL__TRY(add_axis(r, row, 0, &number));
    AVAL__TRY(constant_of(r->g, 0, &zero));
    AVAL__TRY(onnx_make(r, "Gather", "axis=0", (aval_value *[]){ s->lengths, number }, 2, &length, 1));
    AVAL__TRY(length_of(r, scanned[0], 0, &most));
    AVAL__TRY(onnx_make(r, "Sub", NULL, (aval_value *[]){ most, length }, 2, &rest, 1));
    AVAL__TRY(onnx_make(r, "Concat", "axis=0", (aval_value *[]){ length, rest }, 2, &parts, 1));
    AVAL__TRY(onnx_make(r, "Concat", "axis=0", (aval_value *[]){ zero, rest }, 2, pads, 1));
    for (size_t i = 0; i < s->count; i++) {
        AVAL__TRY(onnx_make(r, "Split", "axis=0", (aval_value *[]){ scanned[i], parts }, 2, both, 2));
        scanned[i] = both[0];
    }
    return AVAL_OK;
}

/* The row of this number (int64, no axes) of the batch; its outputs have no batch axis.  *told: something in the body cannot be done. */
static int add_row(onnx_reader *r, onnx_scope *scope, const onnx_node *node, scanning *s, aval_value *row, aval_value *const *inputs,
                   size_t n_inputs, aval_value **outputs, bool *told)
{
    aval_value *pads = NULL, *zero;
    size_t n_carried = n_inputs - s->count;
    aval_value **rows = aval__arena_alloc(&r->out->arena, n_inputs * sizeof *rows);
    if (!rows) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_inputs; i++) AVAL__TRY(onnx_make(r, "Gather", "axis=0", (aval_value *[]){ inputs[i], row }, 2, &rows[i], 1));
    AVAL__TRY(constant_of(r->g, 0, &zero));
    if (s->lengths) AVAL__TRY(shorten(r, s, row, rows + n_carried, &pads));
    for (size_t i = 0; i < node->n_output; i++) outputs[i] = NULL;
    AVAL__TRY(add_scan(r, scope, node, s, rows, n_inputs, outputs));
    for (size_t i = 0; i < node->n_output; i++) {
        *told = *told || !outputs[i];
        if (*told) return AVAL_OK;
        if (s->lengths && i >= n_carried)
            AVAL__TRY(onnx_make(r, "Pad", NULL, (aval_value *[]){ outputs[i], pads, NULL, zero }, 4, &outputs[i], 1));
    }
    return AVAL_OK;
}

static int add_known_rows(onnx_reader *r, onnx_scope *scope, const onnx_node *node, scanning *s, size_t n_rows, aval_value *const *inputs,
                          size_t n_inputs, aval_value **outputs)
{
    static const aval_tensor scalar = { .type = AVAL_INT64 };
    aval__arena *arena = &r->out->arena;
    size_t n_outputs = node->n_output;
    bool told = false;
    aval_value **found = aval__arena_alloc(arena, n_outputs * n_rows * sizeof *found); /* by output, then row */
    aval_value **of_row = aval__arena_alloc(arena, n_outputs * sizeof *of_row);
    if (!found || !of_row) return AVAL_E_MEMORY;
    for (size_t row = 0; row < n_rows; row++) {
        aval_value *number;
        r->n_nodes += 2 * (n_inputs + n_outputs) + 6;
        if (r->n_nodes > ONNX_MOST_NODES) return aval__fail(AVAL_E_FORMAT, "more than %d nodes", ONNX_MOST_NODES);
        AVAL__TRY(aval__graph_add_constant(r->g, &scalar, &(int64_t){ (int64_t)row }, &number));
        AVAL__TRY(add_row(r, scope, node, s, number, inputs, n_inputs, of_row, &told));
        if (told) return AVAL_OK;
        for (size_t i = 0; i < n_outputs; i++) AVAL__TRY(add_axis(r, of_row[i], 0, &found[i * n_rows + row]));
    }
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY(onnx_make(r, "Concat", "axis=0", found + i * n_rows, n_rows, &outputs[i], 1));
    return AVAL_OK;
}

/* A turn of the loop over rows, in its graph. */
static int add_row_turn(making *m, const scanning *s, aval_value *const *inputs, size_t n_inputs)
{
    scanning inner = *s;
    aval__arena *arena = &m->r->out->arena;
    aval_value **captured = aval__arena_alloc(arena, n_inputs * sizeof *captured);
    m->outputs = aval__arena_alloc(arena, (m->node->n_output + 1) * sizeof *m->outputs);
    if (!captured || !m->outputs) return AVAL_E_MEMORY;
    AVAL__TRY(add_number(m, NULL));
    AVAL__TRY(add_condition(m, NULL));
    for (size_t i = 0; i < n_inputs; i++) AVAL__TRY(onnx_capture(m->r, &m->body, inputs[i], &captured[i]));
    if (s->lengths) AVAL__TRY(onnx_capture(m->r, &m->body, s->lengths, &inner.lengths));
    return add_row(m->r, &m->inner, m->node, &inner, m->number, captured, n_inputs, m->outputs, &m->broken);
}

/* A batch whose size only what is fed tells: a loop over its rows, each of which is a loop. */
static int add_free_rows(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const scanning *s, aval_value *const *inputs,
                         size_t n_inputs, aval_value **outputs)
{
    making m = { .r = r, .node = node };
    aval_value *turns;
    int status = AVAL_OK;
    aval__stacked *stacked = aval__arena_alloc(&r->out->arena, (node->n_output + 1) * sizeof *stacked); /* all along axis 0 */
    if (!stacked) return AVAL_E_MEMORY;
    AVAL__TRY(length_of(r, inputs[n_inputs - s->count], 0, &turns));
    AVAL__TRY_DONE(begin_loop(&m, scope));
    r->g = m.body.loop->g;
    status = add_row_turn(&m, s, inputs, n_inputs);
    r->g = m.body.outer;
    if (status < 0 || m.broken) goto done;
    AVAL__TRY_DONE(fill_loop(&m, false, stacked, node->n_output));
    AVAL__TRY_DONE(add_node(&m, turns, NULL, NULL, outputs, node->n_output));
done:
    release(&m);
    return status;
}

/* As it was in operator set 8: states and what is scanned have a batch axis before their own, and each row of the batch is a scan by itself. */
static int add_batched_scan(onnx_reader *r, onnx_scope *scope, const onnx_node *node, scanning *s, aval_value *const *inputs,
                            size_t n_inputs, aval_value **outputs)
{
    const aval_tensor *first = &inputs[n_inputs - s->count]->tensor;
    bool is_known = first->rank > 0 && first->dims[0] > 0, is_plain = is_known && !s->lengths;
    for (size_t i = 0; i < s->count; i++) is_plain = is_plain && number_of(s->attrs, s->directions, i) == 0;
    if (!is_plain) r->forms = 0; /* needs what that operator set has not */
    if (!is_known) return add_free_rows(r, scope, node, s, inputs, n_inputs, outputs);
    if (first->dims[0] > ONNX_MOST_NODES) return aval__fail(AVAL_E_FORMAT, "more than %d nodes", ONNX_MOST_NODES);
    return add_known_rows(r, scope, node, s, (size_t)first->dims[0], inputs, n_inputs, outputs);
}

int onnx_add_scan(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                  aval_value **outputs)
{
    bool batched = onnx_version_of(scope, "") < 9; /* its first input is sequence_lens */
    scanning s = { .attrs = attrs, .directions = batched ? "directions" : "scan_input_directions" };
    const onnx_attribute *count = onnx_attrs_find(attrs, "num_scan_inputs");
    size_t first = batched && node->n_input > 0 ? 1 : 0, n_inputs = node->n_input - first;
    if (!count || count->i < 1 || (uint64_t)count->i > n_inputs)
        return aval__fail(AVAL_E_FORMAT, "num_scan_inputs is missing, or no number from 1 to %zu", n_inputs);
    if (is_any_broken(node, inputs)) return AVAL_OK;
    s.count = (size_t)count->i;
    s.lengths = first ? inputs[0] : NULL;
    for (size_t i = first; i < node->n_input; i++)
        if (!inputs[i]) return aval__fail(AVAL_E_FORMAT, "input %zu is missing", i);
    return (batched ? add_batched_scan : add_scan)(r, scope, node, &s, inputs + first, n_inputs, outputs);
}
