/* Bodies: ops that are given as small graphs of other ops, forward or backward.  The plugin's function is run with a call table that
 * adds nodes to the graph; the node's outputs then become what the body yields. */
#include "graph/parts.h"

/* A body may use ops that have bodies, but not without end. */
#define MAX_DEPTH 32

typedef struct building {
    aval_graph *g;
    aval_node *outer;
    aval__contents contents;
    aval_value *const *upstream; /* backward bodies */
    const bool *wanted;
    aval_value **yielded;
    size_t n_yields;
} building;

/* ---- The call table ----------------------------------------------------------------------------------------------------------------- */

static aval_value *value_of(const building *b, const aval_tensor *t)
{
    return t ? b->g->values.at[((const aval_value *)t)->id] : NULL;
}

static const void *body_content(const aval_call *call, size_t i)
{
    building *b = call->user;
    const void *data = NULL;
    if (i >= b->outer->n_inputs || !b->outer->inputs[i]) return NULL;
    if (aval__contents_get(&b->contents, b->outer->inputs[i], &data) < 0) return NULL;
    if (!data) b->g->missing = b->outer->inputs[i];
    return data;
}

static int name_inner(const building *b, aval_node *node)
{
    aval__text name = { 0 };
    if (b->outer->name) aval__text_add(&name, "%s/%s", b->outer->name, node->def->name);
    else aval__text_add(&name, "%s%u/%s", b->outer->def->name, b->outer->id, node->def->name);
    int status = name.failed ? aval__fail(AVAL_E_MEMORY, "out of memory for the name of a node") : aval__node_rename(node, name.at);
    aval__text_release(&name);
    return status;
}

/* What a body asks for by name; its lists are there. */
static int find_inner(const building *b, const char *op, size_t n_inputs, const aval_tensor *const *inputs, size_t n_outputs,
                      const aval_tensor *const *outputs, const aval__opdef **def)
{
    char hint[128];
    if (!op) return aval__fail(AVAL_E_ARGUMENT, "it applies an op without a name: expected that of a loaded one, found NULL");
    if (n_inputs && !inputs) return aval__fail(AVAL_E_ARGUMENT, "op '%s' in it: expected %zu inputs, found NULL", op, n_inputs);
    if (n_outputs && !outputs)
        return aval__fail(AVAL_E_ARGUMENT, "op '%s' in it: expected room for %zu outputs, found NULL", op, n_outputs);
    *def = aval__registry_find(b->g->registry, op, 0);
    if (*def) return AVAL_OK;
    aval__registry_hint(b->g->registry, op, hint, sizeof hint);
    return aval__fail(AVAL_E_UNKNOWN, "no loaded plugin has the op '%s' that it uses%s: `aval ops` lists those there are", op, hint);
}

static int body_apply(aval_call *call, const char *op, const char *text, size_t n_inputs, const aval_tensor *const *inputs,
                      size_t n_outputs, const aval_tensor **outputs)
{
    building *b = call->user;
    aval__attrs attrs = { 0 };
    aval_node *node = NULL;
    const aval__opdef *def;
    AVAL__TRY(find_inner(b, op, n_inputs, inputs, n_outputs, outputs, &def));
    int status = aval__attrs_parse(&b->g->arena, def->op->attrs, text, &attrs);
    if (status < 0) return aval__fail_in(status, "op '%s' in it, attributes \"%s\"", op, text ? text : "");

    aval_value **values = aval__alloc_array(n_inputs, sizeof *values);
    if (!values) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_inputs; i++) values[i] = value_of(b, inputs[i]);
    status = aval__graph_add_node(b->g, def, &attrs, values, n_inputs, 0, &node);
    aval__free(values);
    if (status < 0) return status;
    if (n_outputs > node->n_outputs)
        return aval__fail(AVAL_E_ARGUMENT, "it asks for %zu outputs of '%s', which has %u", n_outputs, op, (unsigned)node->n_outputs);
    node->device = b->outer->device;
    AVAL__TRY(name_inner(b, node));
    for (size_t i = 0; i < node->n_outputs; i++)
        if (!aval__tensor_known(&node->outputs[i]->tensor)) AVAL__TRY(aval__node_infer(node)); /* says what it misses */
    for (size_t i = 0; i < n_outputs; i++) outputs[i] = &node->outputs[i]->tensor;
    return AVAL_OK;
}

static const aval_tensor *body_constant(aval_call *call, int type, uint32_t rank, const int64_t *dims, const void *data)
{
    building *b = call->user;
    aval_tensor tensor = { 0 };
    aval_value *constant = NULL;
    int status = aval__tensor_set(&tensor, type, rank, dims);
    if (status == AVAL_OK) status = aval__graph_add_constant(b->g, &tensor, data, &constant);
    if (status < 0 && call->status == AVAL_OK) call->status = status;
    return constant ? &constant->tensor : NULL;
}

static int body_yield(aval_call *call, size_t i, const aval_tensor *t)
{
    building *b = call->user;
    if (i >= b->n_yields || !t)
        return aval__fail(AVAL_E_ARGUMENT, "it yields %s %zu of %zu", t ? "result" : "no tensor as result", i, b->n_yields);
    if (b->yielded[i]) return aval__fail(AVAL_E_ARGUMENT, "it yields result %zu twice", i);
    b->yielded[i] = value_of(b, t);
    return AVAL_OK;
}

static const aval_tensor *body_upstream(const aval_call *call, size_t i)
{
    const building *b = call->user;
    return i < b->outer->n_outputs && b->upstream[i] ? &b->upstream[i]->tensor : NULL;
}

static const aval_tensor *body_gradient(const aval_call *call, size_t i)
{
    const building *b = call->user;
    return i < b->outer->n_inputs && b->wanted[i] ? &b->outer->inputs[i]->tensor : NULL;
}

static const aval__call_table body_table = { .content = body_content, .apply = body_apply, .constant = body_constant, .yield = body_yield };
static const aval__call_table backward_body_table = { .content = body_content,
                                                      .apply = body_apply,
                                                      .constant = body_constant,
                                                      .yield = body_yield,
                                                      .upstream = body_upstream,
                                                      .gradient = body_gradient };

static int run(building *b, aval_phase phase)
{
    aval__tensors inputs = { 0 }, outputs = { 0 };
    const aval_node *outer = b->outer;
    bool forward = phase == AVAL_PHASE_BODY;
    int status = aval__tensors_of(&inputs, outer->inputs, outer->n_inputs);
    if (status == AVAL_OK) status = aval__tensors_of(&outputs, outer->outputs, outer->n_outputs);
    if (status == AVAL_OK) {
        aval_call call = { .phase = phase,
                           .def = outer->def,
                           .attrs = &outer->attrs,
                           .node = outer->name,
                           .inputs = inputs.at,
                           .n_inputs = outer->n_inputs,
                           .outputs = outputs.at,
                           .n_outputs = outer->n_outputs,
                           .table = forward ? &body_table : &backward_body_table,
                           .user = b };
        status = aval__call_run(&call, forward ? outer->def->op->body : outer->def->op->backward_body);
        if (status < 0) aval__fail_in(status, "%s of '%s'", forward ? "the body" : "the backward body", outer->def->name);
    }
    aval__contents_release(&b->contents);
    aval__tensors_release(&inputs);
    aval__tensors_release(&outputs);
    return status;
}

int aval__backward_body_run(aval_graph *g, aval_node *node, aval_value *const *upstream, const bool *wanted, aval_value **gradients)
{
    building b = { .g = g, .outer = node, .upstream = upstream, .wanted = wanted, .yielded = gradients, .n_yields = node->n_inputs };
    for (size_t i = 0; i < node->n_inputs; i++) gradients[i] = NULL;
    AVAL__TRY(run(&b, AVAL_PHASE_BACKWARD_BODY));
    for (size_t i = 0; i < node->n_inputs; i++)
        if (wanted[i] && !gradients[i])
            return aval__fail(AVAL_E_GRADIENT, "the backward body of '%s' was asked for the gradient of input %zu, and does not yield it",
                              node->def->name, i);
    return AVAL_OK;
}

/* ---- Expansion ----------------------------------------------------------------------------------------------------------------------- */

/* A result that is not as infer said, or as the rule says that stands in for it. */
static int fail_yield(const aval_node *node, size_t i, int code)
{
    const aval_op *op = node->def->op;
    const char *output = op->outputs[aval__output_port(node->def, i)].name;
    if (code != AVAL_E_SHAPE) return code;
    if (op->infer) return aval__fail_in(code, "the body of '%s', output '%s', by infer", node->def->name, output);
    return aval__fail_in(
        code, "the body of '%s', output '%s', which is like input '%s' since the op has no .infer (write one that says its shape)",
        node->def->name, output, op->inputs[i].name);
}

static int expand(aval_graph *g, aval_node *node)
{
    aval__splice splice;
    aval_value *yielded[AVAL_MAX_PORTS] = { 0 };
    building b = { .g = g, .outer = node, .yielded = yielded, .n_yields = node->n_outputs };
    aval__splice_begin(&splice, g);
    int status = run(&b, AVAL_PHASE_BODY);
    node->dead = true;
    for (size_t i = 0; i < node->n_outputs && status == AVAL_OK; i++) {
        if (yielded[i]) status = fail_yield(node, i, aval__splice_give(&splice, yielded[i], node->outputs[i]));
        else if (!(node->def->op->outputs[aval__output_port(node->def, i)].flags & AVAL_OPTIONAL))
            status = aval__fail(AVAL_E_GRAPH, "the body of '%s' does not yield its output '%s'", node->def->name,
                                node->def->op->outputs[aval__output_port(node->def, i)].name);
    }
    aval__splice_end(&splice);
    return status;
}

bool aval__has_own_backward(const aval__opdef *def)
{
    return !def->forward_of && (def->op->backward || def->op->backward_body);
}

static bool is_to_expand(const aval_node *node, bool all)
{
    return node->kind == AVAL__OP && !node->dead && node->def->kind == AVAL__BODY && (all || !aval__has_own_backward(node->def));
}

/* A node that waits for expansion, and the index of the one in whose body it stands. */
typedef struct waiting {
    aval_node *node;
    size_t parent;
    size_t depth;
} waiting;

typedef struct expansion {
    aval_graph *g;
    bool all;
    AVAL__VEC(waiting) seen;
    AVAL__VEC(size_t) stack; /* of indices of `seen`: the newest first, so that endless recursion is found before it grows wide */
} expansion;

static int wait_for(expansion *e, aval_node *node, size_t parent, size_t depth)
{
    waiting w = { .node = node, .parent = parent, .depth = depth };
    if (!is_to_expand(node, e->all)) return AVAL_OK;
    AVAL__TRY(aval__vec_push(&e->stack, e->seen.count));
    return aval__vec_push(&e->seen, w);
}

static int fail_recursion(const expansion *e, size_t index)
{
    aval__text text = { 0 };
    for (size_t shown = 0; shown < 4 && index != SIZE_MAX; shown++, index = e->seen.at[index].parent)
        aval__text_add(&text, "%s%s", shown ? " in " : "", e->seen.at[index].node->def->name);
    int code = text.failed ? AVAL_E_MEMORY
                           : aval__fail(AVAL_E_GRAPH, "bodies within bodies are %d deep: %s ...; a body must not contain its own op",
                                        MAX_DEPTH, text.at);
    aval__text_release(&text);
    return code;
}

static int expand_waiting(expansion *e)
{
    while (e->stack.count) {
        size_t index = e->stack.at[--e->stack.count], first = e->g->nodes.count;
        waiting w = e->seen.at[index];
        if (w.depth == MAX_DEPTH) return fail_recursion(e, index);
        AVAL__TRY(expand(e->g, w.node));
        for (size_t n = first; n < e->g->nodes.count; n++) AVAL__TRY(wait_for(e, e->g->nodes.at[n], index, w.depth + 1));
    }
    return AVAL_OK;
}

int aval__bodies_expand_from(aval_graph *g, size_t first, bool all)
{
    expansion e = { .g = g, .all = all };
    int status = AVAL_OK;
    for (size_t n = first, count = g->nodes.count; n < count && status == AVAL_OK; n++) status = wait_for(&e, g->nodes.at[n], SIZE_MAX, 0);
    if (status == AVAL_OK) status = expand_waiting(&e);
    aval__vec_release(&e.seen);
    aval__vec_release(&e.stack);
    return status;
}

static bool has_bodies(const aval_graph *g, bool all)
{
    for (size_t n = 0; n < g->nodes.count; n++)
        if (is_to_expand(g->nodes.at[n], all)) return true;
    return false;
}

static bool is_lazy(const aval_node *node)
{
    bool lazy = false;
    for (size_t i = 0; i < node->n_inputs && !node->dead; i++) lazy = lazy || aval__node_is_lazy(node, i);
    return lazy;
}

int aval__bodies_expand_lazy(aval_graph *g, aval_value *const *wanted, size_t n_wanted)
{
    expansion e = { .g = g, .all = true };
    aval_node **order = NULL;
    size_t count = 0, lazy = 0;
    int status = AVAL_OK;
    for (size_t n = 0; n < g->nodes.count && !lazy; n++) lazy = is_lazy(g->nodes.at[n]);
    if (!lazy) return AVAL_OK;
    AVAL__TRY(aval__graph_order(g, wanted, n_wanted, &order, &count));
    for (size_t n = 0; n < count && status == AVAL_OK; n++) /* one without a shape is itself not used */
        if (is_lazy(order[n]) && aval__tensor_known(&order[n]->outputs[0]->tensor)) status = wait_for(&e, order[n], SIZE_MAX, 0);
    if (status == AVAL_OK) status = expand_waiting(&e);
    aval__free(order);
    aval__vec_release(&e.seen);
    aval__vec_release(&e.stack);
    return status;
}

int aval__graph_expand_bodies(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool all)
{
    if (!has_bodies(g, all)) return AVAL_OK;
    expansion e = { .g = g, .all = all };
    aval_node **order = NULL;
    size_t count = 0;
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    for (size_t n = 0; n < count && status == AVAL_OK; n++) status = wait_for(&e, order[n], SIZE_MAX, 0);
    if (status == AVAL_OK) status = expand_waiting(&e);
    aval__free(order);
    aval__vec_release(&e.seen);
    aval__vec_release(&e.stack);
    return status;
}
