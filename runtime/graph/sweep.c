/* One reverse sweep: the gradients of one value by all the values that were asked for.
 *
 * A value is on the way when it depends on a wanted one and the differentiated one depends on it; nothing else is touched, so gradients
 * that nobody asked for are not computed.  Nodes are taken from the end, so that when one is reached, all contributions to the gradients
 * of its outputs have come in. */
#include "graph/sweep.h"

bool aval__is_float(const aval_value *value)
{
    return value->tensor.type >= 0 && value->tensor.type < AVAL_TYPES && AVAL_FLOATS & AVAL_TYPE_SET(value->tensor.type);
}

int aval__sweep_link(const aval__sweep *s, const aval_node *node, size_t i, aval__link *link)
{
    const aval__opdef *def = node->def, *derivative = NULL;
    size_t port = aval__input_port(def, i);
    *link = AVAL__LINK_OPEN;
    if (!node->inputs[i] || !aval__is_float(node->inputs[i])) {
        *link = AVAL__LINK_TYPE;
    } else if (!def->forward_of && port < 32 && def->op->zero_gradient >> port & 1u) {
        *link = AVAL__LINK_ZERO;
    } else if (def->kind == AVAL__EXPRESSION && !aval__has_own_backward(def)) {
        AVAL__TRY(aval__opdef_derivative(s->g->registry, def, i, &derivative));
        if (!derivative) *link = AVAL__LINK_ZERO;
    }
    return AVAL_OK;
}

/* ---- What is on the way --------------------------------------------------------------------------------------------------------------- */

static int find_reached(aval__sweep *s, aval_node *const *requests, size_t n_requests)
{
    aval__link link;
    for (size_t r = 0; r < n_requests; r++) s->reached[requests[r]->inputs[1]->id] = true;
    for (size_t n = 0; n < s->n_nodes; n++) {
        const aval_node *node = s->nodes[n];
        bool reached = false;
        for (size_t i = 0; i < node->n_inputs && !reached; i++) {
            if (!node->inputs[i] || !s->reached[node->inputs[i]->id]) continue;
            AVAL__TRY(aval__sweep_link(s, node, i, &link));
            reached = link == AVAL__LINK_OPEN;
        }
        for (size_t i = 0; i < node->n_outputs && reached; i++)
            if (node->outputs[i] && aval__is_float(node->outputs[i])) s->reached[node->outputs[i]->id] = true;
    }
    return AVAL_OK;
}

static bool has_gradient(const aval__opdef *def)
{
    return def->kind == AVAL__EXPRESSION || (def->kind != AVAL__BACKWARD && aval__has_own_backward(def));
}

static bool is_active(const aval__sweep *s, const aval_node *node)
{
    for (size_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] && s->active[node->outputs[i]->id]) return true;
    return false;
}

static int find_active(aval__sweep *s)
{
    aval__text missing = { 0 };
    aval__link link;
    int status = AVAL_OK;
    s->active[s->of->id] = s->reached[s->of->id] && aval__is_float(s->of);
    for (size_t n = s->n_nodes; n-- > 0;) {
        const aval_node *node = s->nodes[n];
        bool wanted = false;
        for (size_t i = 0; i < node->n_inputs && is_active(s, node); i++) {
            if (!node->inputs[i] || !s->reached[node->inputs[i]->id]) continue;
            AVAL__TRY_DONE(aval__sweep_link(s, node, i, &link));
            if (link != AVAL__LINK_OPEN) continue;
            s->active[node->inputs[i]->id] = true;
            wanted = true;
        }
        if (!wanted || has_gradient(node->def)) continue;
        if (missing.length) aval__text_add(&missing, ", ");
        aval__node_label(&missing, node);
    }
    if (missing.failed) status = aval__fail(AVAL_E_MEMORY, "out of memory for a message");
    else if (missing.length)
        status =
            aval__fail(AVAL_E_GRADIENT, "the gradient of '%s' leads through ops that have none: %s", aval__value_label(s->of), missing.at);
done:
    aval__text_release(&missing);
    return status;
}

/* ---- One node --------------------------------------------------------------------------------------------------------------------------- */

static int contribute(aval__sweep *s, const aval_value *to, aval_value *part, bool own)
{
    aval_value **sum = &s->gradient[to->id];
    s->own[to->id] = own && !*sum;
    if (*sum) return aval__role_add(s->g, *sum, part, sum);
    *sum = part;
    return AVAL_OK;
}

static int name_after(aval_node *node, const aval_node *forward)
{
    node->device = forward->device;
    if (!forward->name) return AVAL_OK;
    aval__text name = { 0 };
    aval__text_add(&name, "%s/%s", forward->name, node->def->name);
    int status = name.failed ? aval__fail(AVAL_E_MEMORY, "out of memory for the name of a node") : aval__node_rename(node, name.at);
    aval__text_release(&name);
    return status;
}

/* The value that an input of a derivative stands for; an upstream gradient that is absent is zero. */
static int find_source(aval__sweep *s, const aval_node *node, aval__leaf leaf, aval_value *const *upstream, aval_value **out)
{
    switch (leaf.kind) {
    case AVAL__LEAF_INPUT: *out = leaf.index < node->n_inputs ? node->inputs[leaf.index] : NULL; return AVAL_OK;
    case AVAL__LEAF_OUTPUT: *out = node->outputs[leaf.index]; return AVAL_OK;
    case AVAL__LEAF_UPSTREAM:
        *out = upstream[leaf.index];
        return *out ? AVAL_OK : aval__role_fill(s->g, &node->outputs[leaf.index]->tensor, 0, out);
    case AVAL__LEAF_ATTR: break;
    }
    return aval__fail(AVAL_E_INTERNAL, "a derivative of '%s' names an attribute as its input", node->def->name);
}

static int derive_input(aval__sweep *s, const aval_node *node, size_t i, aval_value *const *upstream)
{
    const aval__opdef *def = NULL;
    aval__leaf leaf;
    aval_value *part;
    const aval_value *input = node->inputs[i];
    AVAL__TRY(aval__opdef_derivative(s->g->registry, node->def, i, &def));
    aval_value **sources = aval__arena_alloc(&s->arena, def->n_sources * sizeof(aval_value *));
    if (!sources) return AVAL_E_MEMORY;
    for (size_t k = 0; k < def->n_sources; k++) AVAL__TRY(find_source(s, node, def->sources[k], upstream, &sources[k]));
    if (aval__expr_is_leaf(def->outputs[0], &leaf) && leaf.kind == AVAL__LEAF_INPUT) {
        part = sources[leaf.index];
    } else {
        aval_node *made;
        AVAL__TRY(aval__graph_add_node(s->g, def, &node->attrs, sources, def->n_sources, 1, &made));
        AVAL__TRY(name_after(made, node));
        part = made->outputs[0];
    }
    AVAL__TRY(aval__role_unbroadcast(s->g, part, &input->tensor, &part));
    if (part->tensor.type != input->tensor.type) AVAL__TRY(aval__role_cast(s->g, part, input->tensor.type, &part));
    return contribute(s, input, part, false);
}

static int add_backward(aval__sweep *s, aval_node *node, aval_value *const *upstream, const bool *wanted)
{
    aval_node *made;
    size_t n_inputs = aval__backward_slots(node);
    aval_value **inputs = aval__arena_alloc(&s->arena, n_inputs * sizeof(aval_value *));
    const aval__opdef *def = aval__opdef_backward(s->g->registry, node->def);
    if (!inputs || !def) return AVAL_E_MEMORY;
    AVAL__TRY(aval__node_make(s->g, AVAL__OP, def, inputs, n_inputs, node->n_inputs, &made));
    made->forward = node;
    made->attrs = node->attrs;
    AVAL__TRY(name_after(made, node));
    aval__backward_fill(made, upstream);
    for (size_t i = 0; i < node->n_inputs; i++) {
        aval_value *out;
        if (!wanted[i]) continue;
        uint32_t id = node->inputs[i]->id;
        AVAL__TRY(aval__node_add_output(made, i, &node->inputs[i]->tensor, &out));
        /* a partial sum that another backward made for this gradient alone is added to in place */
        if (s->own[id] && s->gradient[id]->producer != made && aval__backward_accumulates(made, i)) {
            aval__backward_set_base(made, i, s->gradient[id]);
            s->gradient[id] = out;
        } else {
            AVAL__TRY(contribute(s, node->inputs[i], out, true));
        }
    }
    return AVAL_OK;
}

static int add_backward_body(aval__sweep *s, aval_node *node, aval_value *const *upstream, const bool *wanted)
{
    aval_value **parts = aval__arena_alloc(&s->arena, node->n_inputs * sizeof(aval_value *));
    if (!parts) return AVAL_E_MEMORY;
    AVAL__TRY(aval__backward_body_run(s->g, node, upstream, wanted, parts));
    for (size_t i = 0; i < node->n_inputs; i++) {
        if (!wanted[i]) continue;
        if (parts[i]->tensor.type != node->inputs[i]->tensor.type || !aval__tensor_same_shape(&parts[i]->tensor, &node->inputs[i]->tensor))
            return aval__fail(AVAL_E_SHAPE,
                              "the backward body of '%s' yields a gradient of input %zu that has not the input's shape and type",
                              node->def->name, i);
        AVAL__TRY(contribute(s, node->inputs[i], parts[i], false));
    }
    return AVAL_OK;
}

static int differentiate(aval__sweep *s, aval_node *node)
{
    aval__link link;
    bool any = false;
    aval_value **upstream = aval__arena_alloc(&s->arena, node->n_outputs * sizeof(aval_value *));
    bool *wanted = aval__arena_alloc(&s->arena, node->n_inputs * sizeof *wanted);
    if (!upstream || !wanted) return AVAL_E_MEMORY;
    for (size_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i]) upstream[i] = s->gradient[node->outputs[i]->id];
    for (size_t i = 0; i < node->n_inputs; i++) {
        if (!node->inputs[i] || !s->active[node->inputs[i]->id]) continue;
        AVAL__TRY(aval__sweep_link(s, node, i, &link));
        wanted[i] = link == AVAL__LINK_OPEN;
        any = any || wanted[i];
    }
    if (!any) return AVAL_OK;
    const aval_op *op = node->def->op;
    if (!node->def->forward_of && op->backward_body) return add_backward_body(s, node, upstream, wanted);
    if (!node->def->forward_of && op->backward) return add_backward(s, node, upstream, wanted);
    for (size_t i = 0; i < node->n_inputs; i++)
        if (wanted[i]) AVAL__TRY(derive_input(s, node, i, upstream));
    return AVAL_OK;
}

/* ---- The sweep ------------------------------------------------------------------------------------------------------------------------ */

static int make_arrays(aval__sweep *s)
{
    size_t n = s->g->values.count;
    s->reached = aval__arena_alloc(&s->arena, n * sizeof *s->reached);
    s->active = aval__arena_alloc(&s->arena, n * sizeof *s->active);
    s->own = aval__arena_alloc(&s->arena, n * sizeof *s->own);
    s->gradient = aval__arena_alloc(&s->arena, n * sizeof(aval_value *));
    return s->reached && s->active && s->own && s->gradient ? AVAL_OK : AVAL_E_MEMORY;
}

static int answer(aval__sweep *s, aval__splice *splice, aval_node *request)
{
    aval_value *wrt = request->inputs[1], *result = s->gradient[wrt->id];
    if (!s->active[wrt->id] || !result) {
        AVAL__TRY(aval__sweep_report_no_path(s, wrt));
        AVAL__TRY(aval__role_fill(s->g, &wrt->tensor, 0, &result));
    }
    request->dead = true;
    return aval__splice_give(splice, result, request->outputs[0]);
}

int aval__sweep_run(aval_graph *g, aval_node *const *requests, size_t n_requests, bool strict)
{
    aval__splice splice;
    aval_value *upstream = requests[0]->inputs[2];
    aval__sweep s = { .g = g, .of = requests[0]->inputs[0], .strict = strict };
    size_t first_node = g->nodes.count;
    aval__splice_begin(&splice, g);
    int status = make_arrays(&s);
    if (status == AVAL_OK) status = aval__graph_order_links(g, &s.of, 1, &s.nodes, &s.n_nodes);
    if (status == AVAL_OK) status = find_reached(&s, requests, n_requests);
    if (status == AVAL_OK) status = find_active(&s);
    if (status == AVAL_OK && s.active[s.of->id]) {
        s.gradient[s.of->id] = upstream;
        if (!upstream) status = aval__role_fill(g, &s.of->tensor, 1, &s.gradient[s.of->id]);
    }
    for (size_t n = s.n_nodes; n-- > 0 && status == AVAL_OK;)
        if (is_active(&s, s.nodes[n])) status = differentiate(&s, s.nodes[n]);
    for (size_t r = 0; r < n_requests && status == AVAL_OK; r++) status = answer(&s, &splice, requests[r]);
    aval__splice_end(&splice);
    aval__free(s.nodes);
    aval__arena_release(&s.arena);
    return status < 0 ? status : aval__bodies_expand_from(g, first_node, false);
}
