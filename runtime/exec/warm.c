/* Builds all kernels ahead of time: each operator's samples, with their gradients, are planned and bound, but not run, on every selected
 * device.  What is built is then in the cache on disk, where the first real run finds it. */
#include "exec/session.h"

#include <stdio.h>
#include <string.h>

/* One operator's sample as a graph. */
typedef struct warm_case {
    aval_context *context;
    const aval__opdef *def;
    const aval_sample *sample;
    aval__arena arena;
    aval_graph *graph;
    aval__sample_input *inputs;
    size_t n_inputs;
    aval_value **values; /* of the inputs */
    AVAL__VEC(aval_value *) wanted;
} warm_case;

static bool is_state(const aval_op *op, size_t input)
{
    for (const aval_port *port = op->outputs; port->name; port++)
        if (port->updates == AVAL_UPDATES(input)) return true;
    return false;
}

static int add_input(warm_case *c, size_t i)
{
    const aval__sample_input *in = &c->inputs[i];
    int type = in->follows ? AVAL_FLOAT : in->tensor.type;
    size_t rank = (size_t)in->tensor.rank;
    char name[32];
    aval_tensor tensor;
    if (in->absent) return AVAL_OK;
    snprintf(name, sizeof name, "input%zu", i);
    AVAL__TRY(aval__tensor_set(&tensor, type, rank, in->tensor.dims));
    if (is_state(c->def->op, i)) {
        c->values[i] = aval_graph_state(c->graph, name, type, rank, tensor.dims);
    } else if (in->has_values) { /* infer may want to see them */
        void *data = aval__arena_alloc(&c->arena, aval__tensor_bytes(&tensor));
        if (!data) return AVAL_E_MEMORY;
        aval__convert(data, type, in->values, AVAL_DOUBLE, in->n_values);
        c->values[i] = aval_graph_constant(c->graph, type, rank, tensor.dims, data);
    } else {
        c->values[i] = aval_graph_input(c->graph, name, type, rank, tensor.dims);
    }
    return AVAL_OK;
}

/* An output that is the new content of an input which this sample leaves out. */
static bool updates_nothing(const warm_case *c, size_t output)
{
    uint32_t updates = c->def->op->outputs[aval__output_port(c->def, output)].updates;
    return updates > 0 && (updates > c->n_inputs || !c->values[updates - 1]);
}

static bool is_float(const aval_value *value)
{
    return value && (AVAL_FLOATS & AVAL_TYPE_SET(aval_value_type(value)));
}

static int want_gradients(warm_case *c, aval_value *of)
{
    const char *kind = aval_op_gradient_kind(c->def->op);
    if (!is_float(of) || strcmp(kind, "none") == 0 || strcmp(kind, "zero") == 0) return AVAL_OK;
    for (size_t i = 0; i < c->n_inputs; i++) {
        bool zero = c->def->op->zero_gradient >> aval__input_port(c->def, i) & 1;
        if (is_float(c->values[i]) && !zero) AVAL__TRY(aval__vec_push(&c->wanted, aval_graph_gradient(c->graph, of, c->values[i], NULL)));
    }
    return AVAL_OK;
}

static int build_graph(warm_case *c, int device)
{
    aval__text label = { 0 };
    AVAL__TRY(aval__sample_parse(&c->arena, c->sample->inputs, &c->inputs, &c->n_inputs));
    c->values = aval__arena_alloc(&c->arena, (c->n_inputs + 1) * sizeof *c->values);
    c->graph = aval_graph_create(c->context);
    if (!c->values || !c->graph) return AVAL_E_MEMORY;
    for (size_t i = 0; i < c->n_inputs; i++) AVAL__TRY(add_input(c, i));
    aval__opdef_label(&label, c->def);
    aval_node *node = label.failed ? NULL : aval_graph_node(c->graph, label.at, c->sample->attrs, c->values, c->n_inputs);
    aval__text_release(&label);
    if (!node) return aval_graph_status(c->graph);
    aval_node_place(node, device);
    size_t n_outputs = aval_node_output_count(node);
    for (size_t i = 0; i < n_outputs; i++)
        if (!updates_nothing(c, i)) AVAL__TRY(aval__vec_push(&c->wanted, aval_node_output(node, i)));
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY(want_gradients(c, aval_node_output(node, i)));
    return aval_graph_status(c->graph);
}

static int warm_sample(aval_context *ctx, const aval__opdef *def, const aval_sample *sample, int device)
{
    int status = AVAL_OK;
    warm_case c = { .context = ctx, .def = def, .sample = sample };
    aval_session *session = NULL;
    AVAL__TRY_DONE(build_graph(&c, device));
    AVAL__TRY_DONE(aval_session_create(ctx, c.graph, NULL, &session));
    status = aval__session_prepare(session, c.wanted.at, c.wanted.count);
done:
    aval_session_release(session);
    aval_graph_release(c.graph);
    aval__vec_release(&c.wanted);
    aval__arena_release(&c.arena);
    return status;
}

int aval_context_programs(aval_context *ctx, size_t *built, size_t *from_disk)
{
    AVAL__NEED(ctx, "a context");
    uint64_t all_built = 0, all_from_disk = 0;
    for (size_t i = 0; i < aval__context_device_count(ctx); i++) {
        aval__program_counters counters = { 0 };
        aval__device_program_counters(aval__context_device(ctx, i), &counters);
        all_built += counters.built;
        all_from_disk += counters.from_disk;
    }
    if (built) *built = (size_t)all_built;
    if (from_disk) *from_disk = (size_t)all_from_disk;
    return AVAL_OK;
}

/* What failed so far: the first failure is returned at the end, so that one bad operator leaves no other cold. */
typedef struct failures {
    int first;
    char *message;
} failures;

static void warm_op(aval_context *ctx, const aval__opdef *def, int device, failures *f)
{
    for (const aval_sample *sample = def->op->samples; sample && sample->inputs; sample++) {
        if (sample->size_class != AVAL_SMALL) continue; /* the kernels are the same */
        int status = warm_sample(ctx, def, sample, device);
        if (status == AVAL_OK) continue;
        aval__fail_in(status, "warming %s with sample '%s'", def->name, sample->inputs);
        aval__log_write(&ctx->log, AVAL_LOG_WARNING, "%s", aval_error());
        if (status == AVAL_E_UNSUPPORTED || f->first < 0) continue; /* not possible on this device is no failure */
        f->first = status;
        f->message = aval__copy_text(aval_error());
    }
}

int aval_warm(aval_context *ctx, size_t *built)
{
    AVAL__NEED(ctx, "a context");
    failures f = { 0 };
    AVAL__TRY(aval__context_ready(ctx));
    size_t before, after;
    AVAL__TRY(aval_context_programs(ctx, &before, NULL));
    for (size_t i = 0; i < aval__registry_count(ctx->registry); i++)
        for (size_t device = 0; device < aval__context_device_count(ctx); device++)
            warm_op(ctx, aval__registry_at(ctx->registry, i), (int)device, &f);
    AVAL__TRY(aval_context_programs(ctx, &after, NULL));
    if (built) *built = after - before;
    if (f.first < 0) aval__fail(f.first, "%s", f.message ? f.message : "an operator could not be warmed");
    aval__free(f.message);
    return f.first;
}
