/* From a sample to a graph of one node, with gradients of each output and of all together. */
#include "check/case.h"

#include <string.h>

/* All outputs together are reached through a tensor of so many elements at most. */
#define JOINT_ELEMENTS 65536

static bool is_float(int type)
{
    return (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
}

static const aval_port *port_of(const aval__case *c, size_t input)
{
    return &c->def->op->inputs[aval__input_port(c->def, input)];
}

static const aval_port *output_port(const aval__case *c, size_t output)
{
    return &c->def->op->outputs[aval__output_port(c->def, output)];
}

/* The graph's value for input i: a state where the op updates it, a constant where shapes depend on it, else an input. */
static int make_value(aval__case *c, size_t i)
{
    const aval_tensor *t = &c->inputs[i].tensor;
    const aval_port *port = port_of(c, i), *outputs = c->def->op->outputs;
    aval__text name = { 0 };
    aval__text_add(&name, "%s%zu", port->name, i);
    char *label = aval__text_take(&name);
    void *data = aval__alloc(aval__tensor_bytes(t));
    int status = 0;
    if (label == NULL || data == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    aval__host_tensor_to(&c->inputs[i], data);
    bool updated = false;
    for (size_t k = 0; outputs[k].name != NULL; k++) {
        if (outputs[k].updates == i + 1) updated = true;
    }
    if (updated) {
        AVAL__TRY_DONE(aval_store_set(c->store, label, t->type, (size_t)t->rank, t->dims, data));
        c->values[i] = aval_graph_state(c->graph, label, t->type, (size_t)t->rank, t->dims);
    } else if ((port->flags & AVAL_SHAPE_INPUT) != 0) {
        c->values[i] = aval_graph_constant(c->graph, t->type, (size_t)t->rank, t->dims, data);
    } else {
        c->values[i] = aval_graph_input(c->graph, label, t->type, (size_t)t->rank, t->dims);
    }
    if (c->values[i] == NULL) status = aval_graph_status(c->graph);
done:
    aval__free(label);
    aval__free(data);
    return status;
}

/* ---- Upstream gradients ------------------------------------------------------------------------------------------------------- */

static int make_upstream(aval__case *c, size_t o, const aval_tensor *t, const char *folder)
{
    aval__text name = { 0 };
    AVAL__TRY(aval__host_tensor_make(&c->upstreams[o], t));
    AVAL__TRY(aval__case_fill_upstream(c, o, folder));
    aval__text_add(&name, "upstream%zu", o);
    char *label = aval__text_take(&name);
    if (label == NULL) return AVAL_E_MEMORY;
    c->upstream_values[o] = aval_graph_input(c->graph, label, t->type, (size_t)t->rank, t->dims);
    aval__free(label);
    return c->upstream_values[o] == NULL ? aval_graph_status(c->graph) : 0;
}

static int make_upstreams(aval__case *c, const char *folder)
{
    for (size_t o = 0; o < c->n_outputs; o++) {
        const aval_tensor *t = &c->outputs[o]->tensor;
        if (!aval__tensor_known(t)) return aval__fail(AVAL_E_INTERNAL, "output %zu has no shape after inference", o);
        if (is_float(t->type) && output_port(c, o)->updates == 0) AVAL__TRY(make_upstream(c, o, t, folder));
    }
    return 0;
}

/* A node of the op that has this role. */
static int role_node(aval__case *c, aval_role role, aval_value *a, aval_value *b, aval_value **out)
{
    aval__text name = { 0 };
    aval__opdef_label(&name, aval__registry_role(aval__context_registry(c->ctx), role));
    char *op = aval__text_take(&name);
    if (op == NULL) return AVAL_E_MEMORY;
    *out = aval_apply(c->graph, op, NULL, a, b);
    aval__free(op);
    return *out == NULL ? aval_graph_status(c->graph) : 0;
}

/* The shape in which outputs k = 0, 1 ... of the joint sum lie along axis k each; *n is how many; false: not worth it, or not possible. */
static bool joint_shape(const aval__case *c, aval_tensor *shape, size_t *n)
{
    const aval__registry *registry = aval__context_registry(c->ctx);
    int64_t elements = 1;
    *shape = (aval_tensor){ .type = AVAL_NONE };
    *n = 0;
    if (aval__registry_role(registry, AVAL_ROLE_ADD) == NULL || aval__registry_role(registry, AVAL_ROLE_RESHAPE) == NULL) return false;
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (c->upstream_values[o] == NULL) continue;
        const aval_tensor *t = &c->outputs[o]->tensor;
        int64_t count = aval__tensor_count(t);
        if (*n == AVAL_MAX_RANK || count == 0 || count > JOINT_ELEMENTS / elements) return false;
        if (shape->type != AVAL_NONE && shape->type != t->type) return false;
        shape->type = t->type;
        shape->dims[(*n)++] = count;
        elements *= count;
    }
    shape->rank = (int32_t)*n;
    return *n > 1;
}

/* What a random upstream of the joint sum means for the output along an axis: the sum over all other axes. */
static void sum_joint(const aval__host_tensor *upstream, size_t axis, double *out)
{
    size_t inner = 1, length = (size_t)upstream->tensor.dims[axis], count = (size_t)aval__tensor_count(&upstream->tensor);
    for (size_t k = axis + 1; k < (size_t)upstream->tensor.rank; k++) inner *= (size_t)upstream->tensor.dims[k];
    for (size_t e = 0; e < count; e++) out[e / inner % length] += upstream->real[e];
}

/* The outputs, each along an axis of its own, added up: a value whose gradients pass through every output at once. */
static int make_joint(aval__case *c, const char *folder, aval_value **sum)
{
    aval_tensor shape;
    size_t n, axis = 0;
    *sum = NULL;
    if (!joint_shape(c, &shape, &n)) return 0;
    c->joint = aval__arena_alloc(&c->arena, (c->n_outputs + 1) * sizeof *c->joint);
    if (c->joint == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(make_upstream(c, c->n_outputs, &shape, folder));
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (c->upstream_values[o] == NULL) continue;
        int64_t dims[AVAL_MAX_RANK];
        aval_value *lying;
        for (size_t k = 0; k < n; k++) dims[k] = k == axis ? shape.dims[k] : 1;
        aval_value *target = aval_graph_constant(c->graph, AVAL_INT64, 1, (const int64_t[]){ (int64_t)n }, dims);
        AVAL__TRY(role_node(c, AVAL_ROLE_RESHAPE, c->outputs[o], target, &lying));
        if (*sum == NULL) *sum = lying;
        else AVAL__TRY(role_node(c, AVAL_ROLE_ADD, *sum, lying, sum));
        c->joint[o] = aval__arena_alloc(&c->arena, (size_t)shape.dims[axis] * sizeof(double));
        if (c->joint[o] == NULL) return AVAL_E_MEMORY;
        sum_joint(&c->upstreams[c->n_outputs], axis++, c->joint[o]);
    }
    return 0;
}

static bool is_differentiated(const aval__case *c, size_t i)
{
    if (c->values[i] == NULL || !is_float(c->inputs[i].tensor.type)) return false;
    if (((c->def->op->zero_gradient >> aval__input_port(c->def, i)) & 1) != 0) return false;
    return (port_of(c, i)->flags & AVAL_SHAPE_INPUT) == 0;
}

static int make_gradients(aval__case *c, const char *folder)
{
    aval_value *sum;
    c->gradients = aval__arena_alloc(&c->arena, (c->n_inputs * (c->n_outputs + 1) + 1) * sizeof *c->gradients);
    if (c->gradients == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(make_upstreams(c, folder));
    AVAL__TRY(make_joint(c, folder, &sum));
    for (size_t o = 0; o <= c->n_outputs; o++) {
        aval_value *of = o < c->n_outputs ? c->outputs[o] : sum;
        if (c->upstream_values[o] == NULL || of == NULL) continue;
        for (size_t i = 0; i < c->n_inputs; i++) {
            if (!is_differentiated(c, i)) continue;
            aval_value *g = aval_graph_gradient(c->graph, of, c->values[i], c->upstream_values[o]);
            if (g == NULL) return aval_graph_status(c->graph);
            c->gradients[c->n_gradients++] = (aval__case_gradient){ .output = o, .input = i, .value = g };
        }
    }
    return 0;
}

void aval__case_gradient_name(aval__text *text, const aval__case *c, const aval__case_gradient *gradient)
{
    size_t port = aval__input_port(c->def, gradient->input);
    const char *of = gradient->output < c->n_outputs ? c->output_names[gradient->output] : "(all)";
    aval__text_add(text, "d%s/d%s", of, c->def->op->inputs[port].name);
    if (c->def->variadic && port + 1 == c->def->n_inputs) aval__text_add(text, "[%zu]", gradient->input - port);
}

/* ---- Making a case ---------------------------------------------------------------------------------------------------------------- */

/* The type under test must be allowed for each input that follows it. */
static bool exists_in(aval__case *c, const aval__sample_input *inputs, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (inputs[i].absent || !inputs[i].follows) continue;
        any = true;
        uint64_t types = port_of(c, i)->types;
        if (((types != 0 ? types : AVAL_FLOATS) & AVAL_TYPE_SET(c->type)) == 0) return false;
    }
    return any || c->type == AVAL_FLOAT;
}

static int make_inputs(aval__case *c, const aval__sample_input *parsed, const char *folder)
{
    size_t n = c->n_inputs + 1;
    c->values = aval__arena_alloc(&c->arena, n * sizeof *c->values);
    c->inputs = aval__arena_alloc(&c->arena, n * sizeof *c->inputs);
    if (c->values == NULL || c->inputs == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (parsed[i].absent) continue;
        aval_tensor shape = parsed[i].tensor;
        if (parsed[i].follows) shape.type = c->type;
        AVAL__TRY(aval__host_tensor_make(&c->inputs[i], &shape));
        AVAL__TRY(aval__case_fill_input(c, i, &parsed[i], folder));
        AVAL__TRY(make_value(c, i));
    }
    return 0;
}

static int name_outputs(aval__case *c)
{
    c->output_names = aval__arena_alloc(&c->arena, (c->n_outputs + 1) * sizeof *c->output_names);
    if (c->output_names == NULL) return AVAL_E_MEMORY;
    for (size_t o = 0; o < c->n_outputs; o++) {
        const aval_port *port = output_port(c, o);
        aval__text name = { 0 };
        aval__text_add(&name, "%s", port->name);
        if (port->flags & AVAL_VARIADIC) aval__text_add(&name, "[%zu]", o - aval__output_port(c->def, o));
        c->output_names[o] = name.failed ? NULL : aval__arena_text(&c->arena, name.at);
        aval__text_release(&name);
        if (c->output_names[o] == NULL) return AVAL_E_MEMORY;
    }
    return 0;
}

static int make_node(aval__case *c, const char *op)
{
    c->node = aval_graph_node(c->graph, op, c->sample->attrs, c->values, c->n_inputs);
    if (c->node == NULL) return aval_graph_status(c->graph);
    c->n_outputs = aval_node_output_count(c->node);
    size_t n = c->n_outputs + 1;
    c->outputs = aval__arena_alloc(&c->arena, n * sizeof *c->outputs);
    c->upstream_values = aval__arena_alloc(&c->arena, n * sizeof *c->upstream_values);
    c->upstreams = aval__arena_alloc(&c->arena, n * sizeof *c->upstreams);
    if (c->outputs == NULL || c->upstream_values == NULL || c->upstreams == NULL) return AVAL_E_MEMORY;
    for (size_t o = 0; o < c->n_outputs; o++) c->outputs[o] = aval_node_output(c->node, o);
    return name_outputs(c);
}

int aval__case_make(aval_context *ctx, const aval_check_case *what, aval__case *c, const char **skip)
{
    *c = (aval__case){ .ctx = ctx, .sample = what->sample, .type = what->type, .seed = what->seed, .repeats = what->repeats };
    *skip = NULL;
    c->kinked = (what->sample->flags & AVAL_NO_GRADIENT_CHECK) != 0;
    c->graph = aval_graph_create(ctx); /* loads the plugins, if that has not happened yet */
    if (c->graph == NULL) return AVAL_E_MEMORY;
    c->def = aval__registry_find(aval__context_registry(ctx), what->op, 0);
    if (c->def == NULL) return aval__check_fail_unknown(aval__context_registry(ctx), what->op);
    aval__sample_input *parsed;
    AVAL__TRY(aval__sample_parse(&c->arena, c->sample->inputs, &parsed, &c->n_inputs));
    if (!exists_in(c, parsed, c->n_inputs)) {
        *skip = "an input does not take this element type";
        c->n_inputs = 0;
        return 0;
    }
    AVAL__TRY(aval_store_create(ctx, &c->store));
    AVAL__TRY(make_inputs(c, parsed, what->contents));
    AVAL__TRY(make_node(c, what->op));
    if (!what->forward_only && strcmp(aval_op_gradient_kind(c->def->op), "none") != 0) AVAL__TRY(make_gradients(c, what->contents));
    return aval_graph_status(c->graph);
}

void aval__case_release(aval__case *c)
{
    for (size_t i = 0; c->inputs != NULL && i < c->n_inputs; i++) aval__host_tensor_release(&c->inputs[i]);
    for (size_t o = 0; c->upstreams != NULL && o <= c->n_outputs; o++) aval__host_tensor_release(&c->upstreams[o]);
    aval_store_release(c->store);
    aval_graph_release(c->graph);
    aval__arena_release(&c->arena);
}
