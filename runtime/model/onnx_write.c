/* A graph becomes an ONNX file: names, weights, the version of the operator set. */
#include "model/onnx_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PRODUCER "aval"

/* ---- Names ------------------------------------------------------------------------------------------------------------------------- */

static bool is_taken(const onnx_writer *w, const char *name)
{
    aval_value *there;
    return !name[0] || onnx_names_find(&w->taken, name, &there);
}

/* `wish`, or where that is taken, something like it. */
static int take_name(onnx_writer *w, const char *wish, uint32_t id, const char **out)
{
    aval__text text = { 0 };
    aval__text_add(&text, "%s", wish);
    if (is_taken(w, wish)) aval__text_add(&text, "_%u", (unsigned)id);
    while (!text.failed && is_taken(w, text.at)) aval__text_add(&text, "_");
    char *kept = text.failed ? NULL : aval__arena_text(&w->arena, text.at);
    aval__text_release(&text);
    if (!kept) return AVAL_E_MEMORY;
    *out = kept;
    return onnx_names_add(&w->taken, kept, NULL);
}

static int name_value(onnx_writer *w, const aval_value *value, const char *wish)
{
    if (w->name_of[value->id]) return AVAL_OK;
    return take_name(w, wish ? wish : aval__value_label(value), value->id, &w->name_of[value->id]);
}

static int name_sources(onnx_writer *w, const aval_value *value)
{
    return value && value->kind != AVAL__PRODUCED ? name_value(w, value, NULL) : AVAL_OK;
}

/* What the file's user sees has its own name first: inputs, weights, outputs; then all else. */
static int name_values(onnx_writer *w, const aval__onnx_port *outputs, size_t n_outputs)
{
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY(name_sources(w, outputs[i].value));
    for (size_t n = 0; n < w->n_order; n++)
        for (size_t i = 0; i < w->order[n]->n_inputs; i++)
            if (!onnx_is_tensor_attribute(w->order[n], i)) AVAL__TRY(name_sources(w, w->order[n]->inputs[i]));
    for (size_t i = 0; i < n_outputs; i++) {
        const char *name = outputs[i].name ? outputs[i].name : aval__value_label(outputs[i].value);
        if (!is_taken(w, name)) AVAL__TRY(name_value(w, outputs[i].value, name));
    }
    for (size_t n = 0; n < w->n_order; n++)
        for (size_t i = 0; i < w->order[n]->n_outputs; i++)
            if (w->order[n]->outputs[i]) AVAL__TRY(name_value(w, w->order[n]->outputs[i], NULL));
    return AVAL_OK;
}

/* ---- The version -------------------------------------------------------------------------------------------------------------------- */

static bool has_form(const onnx_writer *w, const aval_node *node, uint32_t version)
{
    char label[256];
    if (node->def->domain[0]) return true;
    snprintf(label, sizeof label, "ai.onnx::%.200s", node->def->name);
    return aval__registry_find(w->g->registry, label, version) == node->def;
}

/* A node whose operator has another form in that version; NULL: none. */
static const aval_node *find_unfit(const onnx_writer *w, uint32_t version)
{
    for (size_t n = 0; n < w->n_order; n++)
        if (!has_form(w, w->order[n], version)) return w->order[n];
    return NULL;
}

/* The version that the graph was read with, as long as that has the forms of all operators; else the newest that has them. */
static int choose_version(const onnx_writer *w, uint32_t *version)
{
    *version = w->g->version;
    if (*version > 0 && !find_unfit(w, *version)) return AVAL_OK;
    const aval_node *odd = find_unfit(w, ONNX_NEWEST);
    for (*version = ONNX_NEWEST; *version > 0; --*version)
        if (!find_unfit(w, *version)) return AVAL_OK;
    return aval__fail(AVAL_E_UNSUPPORTED,
                      "no version of ONNX's operators has the forms of all operators of the graph: %s is that of version %u",
                      odd->def->name, (unsigned)odd->def->op->since);
}

static int add_opset(onnx_writer *w, const char *domain, uint32_t version)
{
    for (size_t i = 0; i < w->opsets.count; i++) {
        if (strcmp(w->opsets.at[i]->domain, domain) != 0) continue;
        if (w->opsets.at[i]->version < version) w->opsets.at[i]->version = version;
        return AVAL_OK;
    }
    onnx_operator_set *opset = aval__arena_alloc(&w->arena, sizeof *opset);
    if (!opset) return AVAL_E_MEMORY;
    aval__onnx__operator_set__init(opset);
    opset->domain = (char *)(uintptr_t)domain;
    opset->version = version;
    opset->has_version = 1;
    return aval__vec_push(&w->opsets, opset);
}

static int add_opsets(onnx_writer *w)
{
    uint32_t version;
    AVAL__TRY(choose_version(w, &version));
    AVAL__TRY(add_opset(w, "", version));
    for (size_t n = 0; n < w->n_order; n++) {
        const aval__opdef *def = w->order[n]->def;
        if (def->domain[0]) AVAL__TRY(add_opset(w, def->domain, def->op->since));
    }
    return AVAL_OK;
}

/* ---- Inputs, weights, nodes, outputs ---------------------------------------------------------------------------------------------------- */

static int add_initializer(onnx_writer *w, const aval_value *value, const void *data)
{
    onnx_tensor *t = onnx_write_tensor(w, &value->tensor, data);
    if (!t) return AVAL_E_MEMORY;
    t->name = (char *)(uintptr_t)w->name_of[value->id];
    return aval__vec_push(&w->initializers, t);
}

static int add_input(onnx_writer *w, const aval_value *value)
{
    Aval__Onnx__ValueInfo *info = NULL;
    AVAL__TRY(onnx_write_type(w, w->name_of[value->id], &value->tensor, &info));
    return aval__vec_push(&w->inputs, info);
}

static int add_state(onnx_writer *w, const aval_value *value, aval__onnx_contents contents, void *user)
{
    const void *data;
    AVAL__TRY(contents(user, &w->arena, value, &data));
    return add_initializer(w, value, data);
}

/* Initializers of real numbers are weights, also when the file is read again; so constants of them become nodes. */
static int add_constant(onnx_writer *w, const aval_value *value)
{
    if (!(AVAL_FLOATS & AVAL_TYPE_SET(value->tensor.type))) return add_initializer(w, value, value->data);
    return onnx_write_constant(w, w->name_of[value->id], &value->tensor, value->data);
}

/* What no node computes, in the order of ids, which is that of making them. */
static int add_sources(onnx_writer *w, aval__onnx_contents contents, void *user)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < w->g->values.count && status == AVAL_OK; i++) {
        const aval_value *value = w->g->values.at[i];
        if (!w->name_of[i]) continue;
        switch (value->kind) {
        case AVAL__INPUT: status = add_input(w, value); break;
        case AVAL__STATE: status = add_state(w, value, contents, user); break;
        case AVAL__CONSTANT: status = add_constant(w, value); break;
        case AVAL__PRODUCED: break;
        }
    }
    return status;
}

static int add_nodes(onnx_writer *w)
{
    for (size_t n = 0; n < w->n_order; n++) AVAL__TRY(onnx_write_node(w, w->order[n]));
    return AVAL_OK;
}

static int add_outputs(onnx_writer *w, const aval__onnx_port *outputs, size_t n_outputs)
{
    int status = AVAL_OK;
    aval_tensor *types = aval__alloc_array(n_outputs, sizeof *types);
    if (!types) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__onnx_output_types(w->g, outputs, n_outputs, types));
    for (size_t i = 0; i < n_outputs; i++) {
        const aval_value *value = outputs[i].value;
        const char *own = w->name_of[value->id], *name = outputs[i].name ? outputs[i].name : own;
        Aval__Onnx__ValueInfo *info = NULL;
        if (strcmp(name, own) != 0 || value->kind != AVAL__PRODUCED) { /* what goes in cannot come out under its own name */
            if (is_taken(w, name)) AVAL__TRY_DONE(take_name(w, name, value->id, &name));
            AVAL__TRY_DONE(onnx_write_identity(w, own, name));
        }
        AVAL__TRY_DONE(onnx_write_type(w, name, &types[i], &info));
        AVAL__TRY_DONE(aval__vec_push(&w->outputs, info));
    }
done:
    aval__free(types);
    return status;
}

/* ---- The file ------------------------------------------------------------------------------------------------------------------------------ */

static int write_bytes(const char *file, const unsigned char *bytes, size_t count)
{
    aval__safe_file safe = { .fd = -1 };
    int status = aval__safe_file_open(&safe, file);
    for (size_t done = 0; status == AVAL_OK && done < count;) {
        ssize_t n = write(safe.fd, bytes + done, count - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) status = aval__fail(AVAL_E_IO, "cannot be written: %s", strerror(errno));
        else done += (size_t)n;
    }
    if (status == AVAL_OK) status = aval__safe_file_rename(&safe);
    aval__safe_file_release(&safe);
    return status;
}

static int pack(onnx_writer *w, const char *file)
{
    onnx_graph graph;
    onnx_model model;
    aval__onnx__graph__init(&graph);
    aval__onnx__model__init(&model);
    graph.name = (char *)(uintptr_t) "graph";
    graph.node = w->nodes.at, graph.n_node = w->nodes.count;
    graph.initializer = w->initializers.at, graph.n_initializer = w->initializers.count;
    graph.input = w->inputs.at, graph.n_input = w->inputs.count;
    graph.output = w->outputs.at, graph.n_output = w->outputs.count;
    model.graph = &graph;
    model.ir_version = w->opsets.at[0]->version >= 21 ? 10 : 8;
    model.has_ir_version = 1;
    model.producer_name = (char *)(uintptr_t)PRODUCER;
    model.producer_version = (char *)(uintptr_t)aval_version();
    model.opset_import = w->opsets.at, model.n_opset_import = w->opsets.count;

    size_t count = aval__onnx__model__get_packed_size(&model);
    if (count > INT_MAX)
        return aval__fail(AVAL_E_UNSUPPORTED, "an ONNX file may have 2 GiB, found %zu bytes: save the weights by aval_store_save", count);
    unsigned char *bytes = aval__alloc(count + 1);
    if (!bytes) return AVAL_E_MEMORY;
    aval__onnx__model__pack(&model, bytes);
    int status = write_bytes(file, bytes, count);
    aval__free(bytes);
    return status;
}

static int order_nodes(onnx_writer *w, const aval__onnx_port *outputs, size_t n_outputs)
{
    aval_value **wanted = aval__arena_alloc(&w->arena, (n_outputs + 1) * sizeof(aval_value *));
    w->name_of = aval__arena_alloc(&w->arena, (w->g->values.count + 1) * sizeof *w->name_of);
    w->used = aval__arena_alloc(&w->arena, (w->g->values.count + 1) * sizeof *w->used);
    if (!wanted || !w->name_of || !w->used) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_outputs; i++) {
        wanted[i] = outputs[i].value;
        if (!wanted[i] || wanted[i]->dead || wanted[i]->graph != w->g)
            return aval__fail(AVAL_E_ARGUMENT, "output %zu is no value of this graph", i);
    }
    AVAL__TRY(aval__graph_order(w->g, wanted, n_outputs, &w->order, &w->n_order));
    for (size_t i = 0; i < n_outputs; i++) w->used[wanted[i]->id] = true;
    for (size_t n = 0; n < w->n_order; n++) {
        if (w->order[n]->kind == AVAL__LOOP)
            return aval__fail(AVAL_E_UNSUPPORTED,
                              "'%s' is of a loop that turns as often as inputs or the computation say, which aval does not write",
                              aval__value_label(w->order[n]->outputs[0]));
        if (w->order[n]->kind != AVAL__OP)
            return aval__fail(AVAL_E_UNSUPPORTED, "'%s' is a gradient, for which ONNX has no node",
                              aval__value_label(w->order[n]->outputs[0]));
        for (size_t i = 0; i < w->order[n]->n_inputs; i++)
            if (w->order[n]->inputs[i]) w->used[w->order[n]->inputs[i]->id] = true;
    }
    return AVAL_OK;
}

int aval__onnx_write(const char *file, const aval_graph *g, const aval__onnx_port *outputs, size_t n_outputs, aval__onnx_contents contents,
                     void *user)
{
    onnx_writer w = { .g = g };
    int status = AVAL_OK;
    AVAL__TRY_DONE(order_nodes(&w, outputs, n_outputs));
    AVAL__TRY_DONE(name_values(&w, outputs, n_outputs));
    AVAL__TRY_DONE(add_sources(&w, contents, user));
    AVAL__TRY_DONE(add_nodes(&w));
    AVAL__TRY_DONE(add_opsets(&w));
    AVAL__TRY_DONE(add_outputs(&w, outputs, n_outputs));
    AVAL__TRY_DONE(pack(&w, file));
    if (w.foreign.length > 0)
        aval__log_write(g->log, AVAL_LOG_WARNING, "%s has operators that ONNX has not, so only aval can run it: %s", file, w.foreign.at);
done:
    if (status < 0) aval__fail_in(status, "%s", file);
    aval__free(w.order);
    onnx_names_release(&w.taken);
    aval__vec_release(&w.nodes);
    aval__vec_release(&w.initializers);
    aval__vec_release(&w.inputs);
    aval__vec_release(&w.outputs);
    aval__vec_release(&w.opsets);
    aval__text_release(&w.foreign);
    aval__arena_release(&w.arena);
    return status;
}
