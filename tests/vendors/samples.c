/* From a sample to a graph.  Contents matter only where planning reads them: what the sample states is a constant, the rest is fed. */
#include "samples.h"

#include <stdio.h>
#include <string.h>

static const aval_port *port_of(const sample_graph *s, size_t input)
{
    return &s->def->op->inputs[aval__input_port(s->def, input)];
}

static bool takes(const sample_graph *s, int type)
{
    bool any = false;
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (s->inputs[i].absent || !s->inputs[i].follows) continue;
        uint64_t types = port_of(s, i)->types;
        if (((types != 0 ? types : AVAL_FLOATS) & AVAL_TYPE_SET(type)) == 0) return false;
        any = true;
    }
    return any || type == AVAL_FLOAT;
}

static bool is_state(const sample_graph *s, size_t input)
{
    for (const aval_port *port = s->def->op->outputs; port->name != NULL; port++) {
        if (port->updates == AVAL_UPDATES(input)) return true;
    }
    return false;
}

static int add_constant(sample_graph *s, size_t i, const aval_tensor *t)
{
    const aval__sample_input *in = &s->inputs[i];
    size_t count = (size_t)aval__tensor_count(t), bytes = aval__tensor_bytes(t);
    char *data = aval__arena_alloc(&s->arena, bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    for (size_t e = 0; in->has_values && e < count; e++) {
        aval__convert(data + e * (bytes / count), t->type, &in->values[e % in->n_values], AVAL_DOUBLE, 1);
    }
    s->values[i] = aval_graph_constant(s->g, t->type, (size_t)t->rank, t->dims, data);
    return AVAL_OK;
}

static int add_input(sample_graph *s, size_t i, int type, bool heads)
{
    const aval__sample_input *in = &s->inputs[i];
    char name[32];
    aval_tensor t = in->tensor;
    if (in->absent) return AVAL_OK;
    if (in->follows) t.type = type;
    snprintf(name, sizeof name, "input%zu", i);
    if (is_state(s, i)) s->values[i] = aval_graph_state(s->g, name, t.type, (size_t)t.rank, t.dims);
    else if (port_of(s, i)->flags & AVAL_SHAPE_INPUT) return add_constant(s, i, &t);
    else s->values[i] = aval_graph_input(s->g, name, t.type, (size_t)t.rank, t.dims);
    if (!heads || !(port_of(s, i)->flags & (AVAL_HEADED | AVAL_ROW_HEADED)) || t.type == AVAL_BOOL) return AVAL_OK;
    snprintf(name, sizeof name, "other%zu", i);
    s->values[i] = aval_apply(s->g, "Add", NULL, s->values[i], aval_graph_input(s->g, name, t.type, (size_t)t.rank, t.dims));
    return AVAL_OK;
}

static bool is_float(const aval_value *value)
{
    return value != NULL && (AVAL_FLOATS & AVAL_TYPE_SET(aval_value_type(value))) != 0;
}

/* The upstream gradients are fed: constant ones would be folded into the kernels. */
static int want_gradients(sample_graph *s, aval_value *of, size_t output)
{
    char name[32];
    const char *kind = aval_op_gradient_kind(s->def->op);
    if (!is_float(of) || strcmp(kind, "none") == 0 || strcmp(kind, "zero") == 0) return AVAL_OK;
    snprintf(name, sizeof name, "upstream%zu", output);
    aval_value *upstream = aval_graph_input(s->g, name, aval_value_type(of), (size_t)aval_value_rank(of), aval_value_dims(of));
    for (size_t i = 0; i < s->n_inputs; i++) {
        size_t port = aval__input_port(s->def, i);
        if (!is_float(s->values[i]) || (s->def->op->zero_gradient >> port & 1) || (port_of(s, i)->flags & AVAL_SHAPE_INPUT)) continue;
        AVAL__TRY(aval__vec_push(&s->wanted, aval_graph_gradient(s->g, of, s->values[i], upstream)));
    }
    return AVAL_OK;
}

static int add_node(sample_graph *s, const char *attrs)
{
    aval__text label = { 0 };
    aval__opdef_label(&label, s->def);
    aval_node *node = label.failed ? NULL : aval_graph_node(s->g, label.at, attrs, s->values, s->n_inputs);
    aval__text_release(&label);
    if (node == NULL) return aval_graph_status(s->g);
    for (size_t o = 0; o < aval_node_output_count(node); o++) {
        uint32_t updates = s->def->op->outputs[o].updates;
        if (updates > 0 && (updates > s->n_inputs || s->values[updates - 1] == NULL)) continue; /* of a state that is left out */
        aval_value *output = aval_node_output(node, o);
        AVAL__TRY(aval__vec_push(&s->wanted, output));
        if (updates == 0) AVAL__TRY(want_gradients(s, output, o));
    }
    return aval_graph_status(s->g);
}

int sample_graph_make(aval_context *ctx, const aval__opdef *def, const aval_sample *sample, int type, bool heads, bool *exists,
                      sample_graph *out)
{
    *out = (sample_graph){ .def = def };
    AVAL__TRY(aval__sample_parse(&out->arena, sample->inputs, &out->inputs, &out->n_inputs));
    *exists = takes(out, type);
    if (!*exists) return AVAL_OK;
    out->values = aval__arena_alloc(&out->arena, (out->n_inputs + 1) * sizeof *out->values);
    out->g = aval_graph_create(ctx);
    if (out->values == NULL || out->g == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < out->n_inputs; i++) AVAL__TRY(add_input(out, i, type, heads));
    return add_node(out, sample->attrs);
}

void sample_graph_release(sample_graph *s)
{
    aval_graph_release(s->g);
    aval__vec_release(&s->wanted);
    aval__arena_release(&s->arena);
}
