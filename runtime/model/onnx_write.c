/* A graph becomes an ONNX file: names, weights, the version of the operator set. */
#include "model/onnx_write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PRODUCER "aval"

typedef struct model_writer {
    onnx_written file;
    onnx_writer graph;
    onnx_node_list nodes;
    AVAL__VEC(onnx_tensor *) initializers;
    AVAL__VEC(onnx_info *) inputs, outputs, infos;
    AVAL__VEC(onnx_operator_set *) opsets;
} model_writer;

/* ---- Names ------------------------------------------------------------------------------------------------------------------------- */

static int name_source(onnx_writer *w, const aval_value *value)
{
    return value->kind != AVAL__PRODUCED ? onnx_name_value(w, value, NULL) : AVAL_OK;
}

/* What the file's user sees has its own name first: inputs, weights, outputs; then all else. */
static int name_values(onnx_writer *w, const aval__onnx_port *outputs, size_t n_outputs)
{
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY(name_source(w, outputs[i].value));
    AVAL__TRY(onnx_name_sources(w));
    for (size_t i = 0; i < n_outputs; i++) {
        const char *name = outputs[i].name ? outputs[i].name : aval__value_label(outputs[i].value);
        if (!onnx_is_taken(w, name)) AVAL__TRY(onnx_name_value(w, outputs[i].value, name));
    }
    return onnx_name_results(w);
}

/* ---- The version -------------------------------------------------------------------------------------------------------------------- */

static bool has_form(const model_writer *m, const aval_node *node, uint32_t version)
{
    char label[256];
    if (node->kind != AVAL__OP || node->def->domain[0]) return true;
    snprintf(label, sizeof label, "ai.onnx::%.200s", node->def->name);
    return aval__registry_find(m->graph.g->registry, label, version) == node->def;
}

/* A node whose operator has another form in that version; NULL: none. */
static const aval_node *find_unfit(const model_writer *m, uint32_t version)
{
    for (size_t n = 0; n < m->file.all.count; n++)
        if (!has_form(m, m->file.all.at[n], version)) return m->file.all.at[n];
    return NULL;
}

/* The version that the graph was read with, as long as that has the forms of all operators; else the newest that has them. */
static int choose_version(const model_writer *m, uint32_t *version)
{
    uint32_t least = m->file.least ? m->file.least : 1;
    *version = m->graph.g->version;
    if (*version >= least && !find_unfit(m, *version)) return AVAL_OK;
    const aval_node *odd = find_unfit(m, ONNX_NEWEST);
    for (*version = ONNX_NEWEST; *version >= least; --*version)
        if (!find_unfit(m, *version)) return AVAL_OK;
    return aval__fail(AVAL_E_UNSUPPORTED,
                      "no version of ONNX's operators has the forms of all operators of the graph: %s is that of version %u",
                      odd->def->name, (unsigned)odd->def->op->since);
}

static int add_opset(model_writer *m, const char *domain, uint32_t version)
{
    for (size_t i = 0; i < m->opsets.count; i++) {
        if (strcmp(m->opsets.at[i]->domain, domain) != 0) continue;
        if (m->opsets.at[i]->version < version) m->opsets.at[i]->version = version;
        return AVAL_OK;
    }
    onnx_operator_set *opset = aval__arena_alloc(&m->file.arena, sizeof *opset);
    if (!opset) return AVAL_E_MEMORY;
    aval__onnx__operator_set__init(opset);
    opset->domain = (char *)(uintptr_t)domain;
    opset->version = version;
    opset->has_version = 1;
    return aval__vec_push(&m->opsets, opset);
}

static int add_opsets(model_writer *m)
{
    uint32_t version;
    AVAL__TRY(choose_version(m, &version));
    AVAL__TRY(add_opset(m, "", version));
    for (size_t n = 0; n < m->file.all.count; n++) {
        const aval_node *node = m->file.all.at[n];
        if (node->kind == AVAL__GRADIENT_REQUEST) AVAL__TRY(add_opset(m, ONNX_TRAINING_DOMAIN, 1));
        else if (*onnx_domain_of(node->def)) AVAL__TRY(add_opset(m, node->def->domain, node->def->op->since));
    }
    return AVAL_OK;
}

/* ---- Inputs, weights, nodes, outputs ---------------------------------------------------------------------------------------------------- */

static int add_initializer(model_writer *m, const aval_value *value, const void *data)
{
    onnx_tensor *t = onnx_write_tensor(&m->graph, &value->tensor, data);
    if (!t) return AVAL_E_MEMORY;
    t->name = (char *)(uintptr_t)m->graph.name_of[value->id];
    return aval__vec_push(&m->initializers, t);
}

static int add_input(model_writer *m, const aval_value *value)
{
    onnx_info *info = NULL;
    onnx_axes axes = { { NULL } };
    const char *name = m->graph.name_of[value->id];
    for (int32_t d = 0; d < value->tensor.rank; d++)
        if (!(axes.at[d] = onnx_axis_name(&m->graph, value, name, d))) return AVAL_E_MEMORY;
    AVAL__TRY(onnx_write_type(&m->graph, name, &value->tensor, &axes, &info));
    return aval__vec_push(&m->inputs, info);
}

static int add_state(model_writer *m, const aval_value *value, aval__onnx_contents contents, void *user)
{
    const void *data;
    AVAL__TRY(contents(user, &m->file.arena, value, &data));
    return add_initializer(m, value, data);
}

/* Initializers of real numbers are weights, also when the file is read again; so constants of them become nodes. */
static int add_constant(model_writer *m, const aval_value *value)
{
    if (!(AVAL_FLOATS & AVAL_TYPE_SET(value->tensor.type))) return add_initializer(m, value, value->data);
    return onnx_write_constant(&m->graph, m->graph.name_of[value->id], &value->tensor, value->data);
}

/* What no node computes, in the order of ids, which is that of making them. */
static int add_sources(model_writer *m, aval__onnx_contents contents, void *user)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < m->graph.g->values.count && status == AVAL_OK; i++) {
        const aval_value *value = m->graph.g->values.at[i];
        if (!m->graph.name_of[i]) continue;
        switch (value->kind) {
        case AVAL__INPUT: status = add_input(m, value); break;
        case AVAL__STATE: status = add_state(m, value, contents, user); break;
        case AVAL__CONSTANT: status = add_constant(m, value); break;
        case AVAL__PRODUCED: break;
        }
    }
    return status;
}

static int add_output(model_writer *m, const aval__onnx_port *output, const aval_tensor *type, const onnx_axes *axes)
{
    const aval_value *value = output->value;
    const char *own = m->graph.name_of[value->id], *name = output->name ? output->name : own;
    onnx_info *info = NULL;
    if (strcmp(name, own) != 0 || value->kind != AVAL__PRODUCED) { /* what goes in cannot come out under its own name */
        if (onnx_is_taken(&m->graph, name)) AVAL__TRY(onnx_take_name(&m->graph, name, value->id, &name));
        AVAL__TRY(onnx_write_identity(&m->graph, own, name));
    }
    AVAL__TRY(onnx_write_type(&m->graph, name, type, axes, &info));
    return aval__vec_push(&m->outputs, info);
}

static int add_info(model_writer *m, const aval__onnx_port *port, const aval_tensor *type, const onnx_axes *axes)
{
    onnx_info *info = NULL;
    if (type->type == AVAL_NONE || type->rank < 0) return AVAL_OK;
    AVAL__TRY(onnx_write_type(&m->graph, m->graph.name_of[port->value->id], type, axes, &info));
    return aval__vec_push(&m->infos, info);
}

static bool is_port(const aval__onnx_ports *ports, const aval_value *value)
{
    for (size_t i = 0; i < ports->count; i++)
        if (ports->at[i].value == value) return true;
    return false;
}

/* Behind the outputs: what else nodes of the model's own graph (not of a branch) give, and has names for its dimensions. */
static int find_named(const model_writer *m, aval__onnx_ports *ports)
{
    int status = AVAL_OK;
    onnx_names given = { 0 };
    for (size_t n = 0; n < m->nodes.count && status == AVAL_OK; n++)
        for (size_t i = 0; i < m->nodes.at[n]->n_output && status == AVAL_OK; i++)
            if (*m->nodes.at[n]->output[i]) status = onnx_names_add(&given, m->nodes.at[n]->output[i], NULL);
    for (size_t i = 0; i < m->graph.g->values.count && status == AVAL_OK; i++) {
        aval_value *value = m->graph.g->values.at[i], *ignored;
        const char *name = m->graph.name_of[i];
        if (value->axes && value->kind == AVAL__PRODUCED && name && onnx_names_find(&given, name, &ignored) && !is_port(ports, value))
            status = aval__vec_push(ports, (aval__onnx_port){ NULL, value });
    }
    onnx_names_release(&given);
    return status;
}

static int add_outputs(model_writer *m, const aval__onnx_port *outputs, size_t n_outputs)
{
    int status = AVAL_OK;
    aval__onnx_ports ports = { 0 };
    aval_tensor *types = NULL;
    onnx_axes *axes = NULL;
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY_DONE(aval__vec_push(&ports, outputs[i]));
    AVAL__TRY_DONE(find_named(m, &ports));
    types = aval__alloc_array(ports.count, sizeof *types);
    axes = aval__alloc_array(ports.count, sizeof *axes);
    if (!types || !axes) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(onnx_find_types(&m->graph, ports.at, ports.count, types, axes));
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY_DONE(add_output(m, &outputs[i], &types[i], &axes[i]));
    for (size_t i = n_outputs; i < ports.count; i++) AVAL__TRY_DONE(add_info(m, &ports.at[i], &types[i], &axes[i]));
done:
    aval__vec_release(&ports);
    aval__free(types);
    aval__free(axes);
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

static int pack(model_writer *m, const char *file)
{
    onnx_graph graph;
    onnx_model model;
    aval__onnx__graph__init(&graph);
    aval__onnx__model__init(&model);
    graph.name = (char *)(uintptr_t) "graph";
    graph.node = m->nodes.at, graph.n_node = m->nodes.count;
    graph.initializer = m->initializers.at, graph.n_initializer = m->initializers.count;
    graph.input = m->inputs.at, graph.n_input = m->inputs.count;
    graph.output = m->outputs.at, graph.n_output = m->outputs.count;
    graph.value_info = m->infos.at, graph.n_value_info = m->infos.count;
    model.graph = &graph;
    model.ir_version = m->opsets.at[0]->version >= 21 ? 10 : 8;
    model.has_ir_version = 1;
    model.producer_name = (char *)(uintptr_t)PRODUCER;
    model.producer_version = (char *)(uintptr_t)aval_version();
    model.opset_import = m->opsets.at, model.n_opset_import = m->opsets.count;

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

static int check_outputs(const aval_graph *g, const aval__onnx_port *outputs, size_t n_outputs, aval_value **wanted)
{
    for (size_t i = 0; i < n_outputs; i++) {
        wanted[i] = outputs[i].value;
        if (!wanted[i] || wanted[i]->dead || wanted[i]->graph != g)
            return aval__fail(AVAL_E_ARGUMENT, "output %zu is no value of this graph", i);
    }
    return AVAL_OK;
}

int aval__onnx_write(const char *file, const aval_graph *g, const aval__onnx_port *outputs, size_t n_outputs, aval__onnx_contents contents,
                     void *user)
{
    model_writer m = { .graph.g = g };
    int status = AVAL_OK;
    aval_value **wanted = aval__alloc_array(n_outputs, sizeof(aval_value *));
    if (!wanted) AVAL__TRY_DONE(AVAL_E_MEMORY);
    m.graph.file = &m.file;
    m.graph.nodes = &m.nodes;
    AVAL__TRY_DONE(check_outputs(g, outputs, n_outputs, wanted));
    AVAL__TRY_DONE(onnx_writer_start(&m.graph, wanted, n_outputs));
    AVAL__TRY_DONE(name_values(&m.graph, outputs, n_outputs));
    AVAL__TRY_DONE(add_sources(&m, contents, user));
    AVAL__TRY_DONE(onnx_write_nodes(&m.graph, wanted, n_outputs));
    AVAL__TRY_DONE(add_opsets(&m));
    AVAL__TRY_DONE(add_outputs(&m, outputs, n_outputs));
    AVAL__TRY_DONE(pack(&m, file));
    if (m.file.foreign.length > 0)
        aval__log_write(g->log, AVAL_LOG_WARNING, "%s has operators that ONNX has not, so only aval can run it: %s", file,
                        m.file.foreign.at);
done:
    if (status < 0) aval__fail_in(status, "%s", file);
    onnx_writer_end(&m.graph);
    aval__free(wanted);
    onnx_names_release(&m.file.taken);
    aval__vec_release(&m.file.all);
    aval__vec_release(&m.nodes);
    aval__vec_release(&m.initializers);
    aval__vec_release(&m.inputs);
    aval__vec_release(&m.outputs);
    aval__vec_release(&m.infos);
    aval__vec_release(&m.opsets);
    aval__text_release(&m.file.foreign);
    aval__arena_release(&m.file.arena);
    return status;
}
