/* From a sample to a graph of one node, and its run on the device. */
#include "check/case.h"

#include <math.h>
#include <string.h>

double aval__check_random(uint64_t seed, uint64_t stream, uint64_t index)
{
    const uint64_t key[3] = { seed, stream, index };
    return (double)(aval__hash64(key, sizeof key, 0) >> 11) * 0x1p-53;
}

static bool is_float(int type)
{
    return (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
}

static const aval_port *port_of(const aval__case *c, size_t input)
{
    return &c->def->op->inputs[aval__input_port(c->def, input)];
}

/* Values that lie evenly in the range in random order, so that no two are near each other and none is near a middle kink. */
static int fill_distinct(double *at, size_t count, double low, double high, uint64_t seed, uint64_t stream)
{
    uint32_t *order = aval__alloc_array(count, sizeof *order);
    if (order == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(aval__check_random(seed, stream, i) * (double)i);
        uint32_t other = order[j];
        order[j] = order[i - 1];
        order[i - 1] = other;
    }
    for (size_t i = 0; i < count; i++) at[i] = low + (order[i] + 0.5) * (high - low) / (double)count;
    aval__free(order);
    return 0;
}

/* The content of a float input or upstream gradient, not yet rounded. */
static int fill_real(aval__host_tensor *t, double low, double high, bool distinct, uint64_t seed, uint64_t stream)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    if (distinct) return fill_distinct(t->real, count, low, high, seed, stream);
    for (size_t i = 0; i < count; i++) t->real[i] = low + (high - low) * aval__check_random(seed, stream, i);
    return 0;
}

static int round_to_storage(aval__host_tensor *t)
{
    void *data = aval__alloc(aval__tensor_bytes(&t->tensor));
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, data);
    aval__host_tensor_from(t, data);
    aval__free(data);
    return 0;
}

static int fill_input(aval__case *c, size_t i, const aval__sample_input *from)
{
    aval__host_tensor *t = &c->inputs[i];
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    double low = from->has_range ? from->low : c->sample->low, high = from->has_range ? from->high : c->sample->high;
    if (low == 0 && high == 0) low = -1, high = 1;
    if (from->has_values) {
        for (size_t e = 0; e < count; e++) {
            double x = from->values[e % from->n_values];
            if (t->real != NULL) t->real[e] = x;
            else t->integer[e] = (int64_t)x;
        }
    } else if (t->real != NULL) {
        AVAL__TRY(fill_real(t, low, high, (c->sample->flags & AVAL_DISTINCT) != 0, c->seed, i));
    } else {
        for (size_t e = 0; e < count; e++) {
            double x = floor(low + (high - low + 1) * aval__check_random(c->seed, i, e));
            t->integer[e] = t->tensor.type == AVAL_BOOL ? (aval__check_random(c->seed, i, e) < 0.5) : (int64_t)fmin(x, high);
        }
    }
    return round_to_storage(t);
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

static int make_upstreams(aval__case *c)
{
    for (size_t o = 0; o < c->n_outputs; o++) {
        const aval_tensor *t = &c->outputs[o]->tensor;
        if (!aval__tensor_known(t)) return aval__fail(AVAL_E_INTERNAL, "output %zu has no shape after inference", o);
        if (!is_float(t->type)) continue;
        AVAL__TRY(aval__host_tensor_make(&c->upstreams[o], t));
        AVAL__TRY(fill_real(&c->upstreams[o], -1, 1, false, c->seed, 1000 + o));
        AVAL__TRY(round_to_storage(&c->upstreams[o]));
        aval__text name = { 0 };
        aval__text_add(&name, "upstream%zu", o);
        char *label = aval__text_take(&name);
        if (label == NULL) return AVAL_E_MEMORY;
        c->upstream_values[o] = aval_graph_input(c->graph, label, t->type, (size_t)t->rank, t->dims);
        aval__free(label);
        if (c->upstream_values[o] == NULL) return aval_graph_status(c->graph);
    }
    return 0;
}

static int make_gradients(aval__case *c)
{
    c->gradients = aval__arena_alloc(&c->arena, (c->n_inputs * c->n_outputs + 1) * sizeof *c->gradients);
    if (c->gradients == NULL) return AVAL_E_MEMORY;
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (c->upstream_values[o] == NULL || c->def->op->outputs[o].updates != 0) continue;
        for (size_t i = 0; i < c->n_inputs; i++) {
            if (c->values[i] == NULL || !is_float(c->inputs[i].tensor.type)) continue;
            if (((c->def->op->zero_gradient >> aval__input_port(c->def, i)) & 1) != 0) continue;
            if ((port_of(c, i)->flags & AVAL_SHAPE_INPUT) != 0) continue;
            aval_value *g = aval_graph_gradient(c->graph, c->outputs[o], c->values[i], c->upstream_values[o]);
            if (g == NULL) return aval_graph_status(c->graph);
            c->gradients[c->n_gradients++] = (aval__case_gradient){ .output = o, .input = i, .value = g };
        }
    }
    return 0;
}

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

int aval__case_make(aval_context *ctx, const aval__opdef *def, size_t sample, int type, uint64_t seed, bool gradients, aval__case *c,
                    const char **skip)
{
    *c = (aval__case){ .ctx = ctx, .def = def, .sample = &def->op->samples[sample], .type = type, .seed = seed };
    *skip = NULL;
    aval__sample_input *parsed;
    AVAL__TRY(aval__sample_parse(&c->arena, c->sample->inputs, &parsed, &c->n_inputs));
    if (!exists_in(c, parsed, c->n_inputs)) {
        *skip = "an input does not take this element type";
        return 0;
    }
    size_t n = c->n_inputs + 1;
    c->values = aval__arena_alloc(&c->arena, n * sizeof *c->values);
    c->inputs = aval__arena_alloc(&c->arena, n * sizeof *c->inputs);
    c->graph = aval_graph_create(ctx);
    if (c->values == NULL || c->inputs == NULL || c->graph == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval_store_create(ctx, &c->store));
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (parsed[i].absent) continue;
        aval_tensor shape = parsed[i].tensor;
        if (parsed[i].follows) shape.type = type;
        AVAL__TRY(aval__host_tensor_make(&c->inputs[i], &shape));
        AVAL__TRY(fill_input(c, i, &parsed[i]));
        AVAL__TRY(make_value(c, i));
    }
    aval__text label = { 0 };
    aval__opdef_label(&label, def);
    char *op = aval__text_take(&label);
    if (op == NULL) return AVAL_E_MEMORY;
    c->node = aval_graph_node(c->graph, op, c->sample->attrs, c->values, c->n_inputs);
    aval__free(op);
    if (c->node == NULL) return aval_graph_status(c->graph);
    c->n_outputs = aval_node_output_count(c->node);
    c->outputs = aval__arena_alloc(&c->arena, (c->n_outputs + 1) * sizeof *c->outputs);
    c->upstream_values = aval__arena_alloc(&c->arena, (c->n_outputs + 1) * sizeof *c->upstream_values);
    c->upstreams = aval__arena_alloc(&c->arena, (c->n_outputs + 1) * sizeof *c->upstreams);
    if (c->outputs == NULL || c->upstream_values == NULL || c->upstreams == NULL) return AVAL_E_MEMORY;
    for (size_t o = 0; o < c->n_outputs; o++) c->outputs[o] = aval_node_output(c->node, o);
    if (gradients && (c->sample->flags & AVAL_NO_GRADIENT_CHECK) == 0 && strcmp(aval_op_gradient_kind(def->op), "none") != 0) {
        AVAL__TRY(make_upstreams(c));
        AVAL__TRY(make_gradients(c));
    }
    return aval_graph_status(c->graph);
}

void aval__case_release(aval__case *c)
{
    for (size_t i = 0; c->inputs != NULL && i < c->n_inputs; i++) aval__host_tensor_release(&c->inputs[i]);
    for (size_t o = 0; c->upstreams != NULL && o < c->n_outputs; o++) aval__host_tensor_release(&c->upstreams[o]);
    aval_store_release(c->store);
    aval_graph_release(c->graph);
    aval__arena_release(&c->arena);
}

static int feed(aval_session *s, const aval_value *value, const aval__host_tensor *content)
{
    size_t bytes = aval__tensor_bytes(&content->tensor);
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(content, data);
    int status = aval_session_feed(s, value, data, bytes, content->tensor.dims);
    aval__free(data);
    return status;
}

static int read_back(aval_session *s, const aval_value *value, aval__host_tensor *out)
{
    aval_tensor shape = value->tensor;
    size_t rank;
    AVAL__TRY(aval_session_shape(s, value, &rank, shape.dims));
    shape.rank = (int32_t)rank;
    AVAL__TRY(aval__host_tensor_make(out, &shape));
    size_t bytes = aval__tensor_bytes(&shape);
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    int status = aval_session_read(s, value, data, bytes);
    if (status == 0) aval__host_tensor_from(out, data);
    aval__free(data);
    return status;
}

int aval__case_run(aval__case *c, aval__host_tensor *outputs, aval__host_tensor *gradients)
{
    aval_session *s = NULL;
    aval_value **wanted = aval__alloc_array(c->n_outputs + c->n_gradients + 1, sizeof(aval_value *));
    int status = 0;
    if (wanted == NULL) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval_session_create(c->ctx, c->graph, c->store, &s));
    AVAL__TRY_DONE(aval_session_set_memory(s, AVAL_MEMORY_GUARDED));
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && c->values[i]->kind == AVAL__INPUT) AVAL__TRY_DONE(feed(s, c->values[i], &c->inputs[i]));
        if (c->values[i] == NULL || c->values[i]->kind != AVAL__STATE) continue;
        /* a state may have been updated by the run before */
        const aval_tensor *t = &c->inputs[i].tensor;
        void *data = aval__alloc(aval__tensor_bytes(t));
        if (data == NULL) {
            status = AVAL_E_MEMORY;
            goto done;
        }
        aval__host_tensor_to(&c->inputs[i], data);
        status = aval_store_set(c->store, c->values[i]->name, t->type, (size_t)t->rank, t->dims, data);
        aval__free(data);
        if (status < 0) goto done;
    }
    size_t n = 0;
    for (size_t o = 0; o < c->n_outputs; o++) wanted[n++] = c->outputs[o];
    for (size_t k = 0; k < c->n_gradients; k++) wanted[n++] = c->gradients[k].value;
    for (size_t o = 0; c->n_gradients > 0 && o < c->n_outputs; o++) {
        if (c->upstream_values[o] != NULL) AVAL__TRY_DONE(feed(s, c->upstream_values[o], &c->upstreams[o]));
    }
    AVAL__TRY_DONE(aval_session_run(s, wanted, n));
    for (size_t o = 0; o < c->n_outputs; o++) AVAL__TRY_DONE(read_back(s, c->outputs[o], &outputs[o]));
    for (size_t k = 0; k < c->n_gradients; k++) AVAL__TRY_DONE(read_back(s, c->gradients[k].value, &gradients[k]));
done:
    aval_session_release(s);
    aval__free(wanted);
    return status;
}
