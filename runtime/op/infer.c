/* Shapes and element types of a node's outputs: its inputs are checked against the op's ports, then the op's own function or a
 * default rule says what comes out, then that is checked too. */
#include "op/registry.h"

typedef struct inference {
    const aval__opdef *def;
    const aval__attrs *attrs;
    const char *node;
    const aval_tensor *const *inputs;
    size_t n_inputs;
    aval_tensor *const *outputs;
    size_t n_outputs;
    const void *(*content)(void *user, size_t i);
    void *user;
    size_t spoken; /* how many outputs infer has spoken of, wanted or not */
} inference;

/* The port of input or output i: a variadic last one serves all from its place on. */
static const aval_port *port_of(const aval_port *ports, size_t n, size_t i)
{
    if (i < n) return &ports[i];
    return n && ports[n - 1].flags & AVAL_VARIADIC ? &ports[n - 1] : NULL;
}

static uint64_t port_types(const aval_port *port)
{
    return port->types ? port->types : AVAL_FLOATS;
}

/* ---- Inputs --------------------------------------------------------------------------------------------------------------------- */

static int check_count(const inference *in)
{
    const aval_port *ports = in->def->op->inputs;
    size_t declared = in->def->n_inputs, least = 0;
    for (size_t i = 0; i < declared; i++) {
        if (!(ports[i].flags & AVAL_OPTIONAL)) least = i + 1;
    }
    if (in->n_inputs < least) {
        return aval__fail(AVAL_E_ARGUMENT, "expected at least %zu inputs, found %zu: input %s is missing", least, in->n_inputs,
                          ports[in->n_inputs].name);
    }
    if (in->n_inputs > declared && !in->def->variadic) {
        return aval__fail(AVAL_E_ARGUMENT, "expected at most %zu inputs, found %zu", declared, in->n_inputs);
    }
    for (size_t i = 0; i < in->n_inputs; i++) {
        const aval_port *port = port_of(ports, declared, i);
        if (!in->inputs[i] && !(port->flags & AVAL_OPTIONAL)) {
            return aval__fail(AVAL_E_ARGUMENT, "input %s (number %zu) must not be absent", port->name, i);
        }
    }
    return AVAL_OK;
}

static int fail_type(const char *what, const aval_port *port, int found)
{
    aval__text allowed = { 0 };
    for (int type = 1; type < AVAL_TYPES; type++) {
        if (port_types(port) >> type & 1) aval__text_add(&allowed, "%s%s", allowed.length ? ", " : "", aval_type_name(type));
    }
    int status = allowed.failed
                     ? AVAL_E_MEMORY
                     : aval__fail(AVAL_E_TYPE, "%s %s is %s, but must be one of %s", what, port->name, aval_type_name(found), allowed.at);
    aval__text_release(&allowed);
    return status;
}

/* One tensor against its port; unknown types pass until they are known. */
static int check_type(const inference *in, const char *what, const aval_port *port, const aval_tensor *t)
{
    if (t->type == AVAL_NONE) return AVAL_OK;
    if (!(port_types(port) >> t->type & 1)) return fail_type(what, port, t->type);
    const aval_tensor *like = port->like && port->like <= in->n_inputs ? in->inputs[port->like - 1] : NULL;
    if (like && like->type != AVAL_NONE && like->type != t->type) {
        return aval__fail(AVAL_E_TYPE, "%s %s is %s, but input %s is %s, and both must be of one type: cast one", what, port->name,
                          aval_type_name(t->type), in->def->op->inputs[port->like - 1].name, aval_type_name(like->type));
    }
    return AVAL_OK;
}

static int check_inputs(const inference *in)
{
    AVAL__TRY(check_count(in));
    const aval_port *ports = in->def->op->inputs;
    size_t declared = in->def->n_inputs;
    for (size_t i = 0; i < in->n_inputs; i++) {
        if (in->inputs[i]) AVAL__TRY(check_type(in, "input", port_of(ports, declared, i), in->inputs[i]));
    }
    /* The inputs that a variadic port stands for are of one type. */
    for (size_t i = declared; i < in->n_inputs; i++) {
        const aval_tensor *first = in->inputs[declared - 1], *other = in->inputs[i];
        if (first && other && first->type && other->type && first->type != other->type) {
            return aval__fail(AVAL_E_TYPE, "inputs %s are of one type, but number %zu is %s and number %zu is %s", ports[declared - 1].name,
                              declared - 1, aval_type_name(first->type), i, aval_type_name(other->type));
        }
    }
    return AVAL_OK;
}

/* ---- The op's own function --------------------------------------------------------------------------------------------------------- */

static const void *call_content(const aval_call *call, size_t i)
{
    const inference *in = call->user;
    return in->content ? in->content(in->user, i) : NULL;
}

static int call_set_output(aval_call *call, size_t i, int type, uint32_t rank, const int64_t *dims)
{
    inference *in = call->user;
    const aval_port *port = port_of(in->def->op->outputs, in->def->n_outputs, i);
    if (!port) return aval__fail(AVAL_E_PLUGIN, "infer set output %zu, but the op has %zu", i, in->def->n_outputs);
    if (i >= in->spoken) in->spoken = i + 1;
    if (i >= in->n_outputs || !in->outputs[i]) return AVAL_OK; /* nobody asked for it */
    int status = aval__tensor_set(in->outputs[i], type, rank, dims);
    return status < 0 ? aval__fail_in(status, "output %s", port->name) : AVAL_OK;
}

static const aval__call_table infer_table = { .content = call_content, .set_output = call_set_output };

static int infer_by_function(inference *in)
{
    aval_call call = {
        .phase = AVAL_PHASE_INFER,
        .def = in->def,
        .attrs = in->attrs,
        .node = in->node,
        .inputs = in->inputs,
        .outputs = (const aval_tensor *const *)in->outputs,
        .n_inputs = in->n_inputs,
        .n_outputs = in->n_outputs,
        .table = &infer_table,
        .user = in,
    };
    return aval__call_run(&call, in->def->op->infer);
}

/* ---- Default rules --------------------------------------------------------------------------------------------------------------------- */

/* Of the first input that is not bool; of the upstream gradient in a derivative, whose other inputs may be integers. */
static int type_of_expression(const inference *in)
{
    int type = AVAL_BOOL;
    for (size_t i = 0; i < in->n_inputs; i++) {
        if (!in->inputs[i]) continue;
        if (in->def->sources && i < in->def->n_sources && in->def->sources[i].kind == AVAL__LEAF_UPSTREAM) return in->inputs[i]->type;
        if (type == AVAL_BOOL) type = in->inputs[i]->type;
    }
    return type;
}

static int infer_expression(const inference *in)
{
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    int type = type_of_expression(in);
    AVAL__TRY(aval__broadcast(in->inputs, in->n_inputs, &rank, dims));
    for (size_t i = 0; i < in->n_outputs; i++) {
        if (in->outputs[i]) AVAL__TRY(aval__tensor_set(in->outputs[i], type, rank, dims));
    }
    return AVAL_OK;
}

static int infer_like_inputs(const inference *in)
{
    for (size_t i = 0; i < in->n_outputs; i++) {
        const aval_tensor *like = i < in->n_inputs ? in->inputs[i] : NULL;
        if (!in->outputs[i]) continue;
        if (!like) return aval__fail(AVAL_E_ARGUMENT, "output number %zu is like input number %zu, which is absent", i, i);
        *in->outputs[i] = *like;
    }
    return AVAL_OK;
}

/* ---- Outputs ----------------------------------------------------------------------------------------------------------------------------- */

static int fail_update(const aval_port *port, const aval_tensor *found, const aval_port *updated, const aval_tensor *expected)
{
    aval__text text = { 0 };
    aval__text_add(&text, "output %s updates input %s, so it must be ", port->name, updated->name);
    aval__tensor_print(&text, expected);
    aval__text_add(&text, ", but is ");
    aval__tensor_print(&text, found);
    int status = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_SHAPE, "%s", text.at);
    aval__text_release(&text);
    return status;
}

static int check_outputs(const inference *in)
{
    for (size_t i = 0; i < in->n_outputs; i++) {
        const aval_port *port = port_of(in->def->op->outputs, in->def->n_outputs, i);
        const aval_tensor *t = in->outputs[i];
        if (!t) continue;
        if (t->type == AVAL_NONE) return aval__fail(AVAL_E_PLUGIN, "infer said nothing of output %s", port->name);
        AVAL__TRY(check_type(in, "output", port, t));
        const aval_tensor *state = port->updates && port->updates <= in->n_inputs ? in->inputs[port->updates - 1] : NULL;
        if (state && (state->type != t->type || !aval__tensor_same_shape(state, t))) {
            return fail_update(port, t, &in->def->op->inputs[port->updates - 1], state);
        }
    }
    return AVAL_OK;
}

static int check_wanted(const inference *in)
{
    const aval_port *last = &in->def->op->outputs[aval__ports_count(in->def->op->outputs) - 1];
    if (in->n_outputs > in->def->n_outputs && !(last->flags & AVAL_VARIADIC)) {
        return aval__fail(AVAL_E_ARGUMENT, "expected at most %zu outputs, found %zu", in->def->n_outputs, in->n_outputs);
    }
    return AVAL_OK;
}

int aval__infer(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval_tensor *const *inputs, size_t n_inputs,
                aval_tensor *const *outputs, size_t n_outputs, const void *(*content)(void *user, size_t i), void *user)
{
    inference in = { def, attrs, node, inputs, n_inputs, outputs, n_outputs, content, user, 0 };
    for (size_t i = 0; i < n_outputs; i++) {
        if (outputs[i]) *outputs[i] = (aval_tensor){ .type = AVAL_NONE, .rank = -1 };
    }
    int status;
    if (def->kind == AVAL__BACKWARD) {
        /* Its inputs are only what backward reads, so shapes of gradients don't follow from them: graph knows them. */
        status = aval__fail(AVAL_E_INTERNAL, "the shapes of a backward's outputs are those of the forward's inputs, not inferred");
        return aval__call_blame(def, node, status);
    }
    if (def->forward_of) { /* a derivative: the ports of the op are not its own */
        status = infer_expression(&in);
        return status < 0 ? aval__call_blame(def, node, status) : AVAL_OK;
    }
    status = check_wanted(&in);
    if (status == AVAL_OK) status = check_inputs(&in);
    if (status < 0) return aval__call_blame(def, node, status);
    if (def->op->infer) {
        AVAL__TRY(infer_by_function(&in));
    } else {
        status = def->kind == AVAL__EXPRESSION ? infer_expression(&in) : infer_like_inputs(&in);
    }
    if (status == AVAL_OK) status = check_outputs(&in);
    return status < 0 ? aval__call_blame(def, node, status) : AVAL_OK;
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct blocks_question {
    const aval_device_info *device;
    int64_t block;
    aval_blocks_gain *gain;
} blocks_question;

static int ask_for_gain(const aval_host *host, aval_call *call)
{
    const blocks_question *question = call->user;
    return call->def->op->blocks->gain(host, call, question->device, question->block, question->gain);
}

int aval__infer_blocks(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval_tensor *const *inputs,
                       size_t n_inputs, const aval_device_info *device, int64_t block, aval_blocks_gain *gain)
{
    static const aval__call_table nothing = { 0 };
    blocks_question question = { device, block, gain };
    aval_call call = {
        .phase = AVAL_PHASE_INFER,
        .def = def,
        .attrs = attrs,
        .node = node,
        .inputs = inputs,
        .n_inputs = n_inputs,
        .table = &nothing,
        .user = &question,
    };
    *gain = (aval_blocks_gain){ .size = sizeof *gain };
    return aval__call_run(&call, ask_for_gain);
}

size_t aval__infer_count(const aval__opdef *def, const aval__attrs *attrs, const aval_tensor *const *inputs, size_t n_inputs,
                         const void *(*content)(void *user, size_t i), void *user)
{
    inference in = { def, attrs, NULL, inputs, n_inputs, NULL, 0, content, user, 0 };
    bool variadic = !def->forward_of && def->n_outputs && def->op->outputs[def->n_outputs - 1].flags & AVAL_VARIADIC;
    if (variadic && def->op->infer && check_inputs(&in) == AVAL_OK) infer_by_function(&in);
    return in.spoken > def->n_outputs ? in.spoken : def->n_outputs;
}
