/* The graph itself: making, copying and releasing it; adding values and nodes. */
#include "graph/parts.h"

#include <string.h>

static const aval_tensor unknown_tensor = { .type = AVAL_NONE, .rank = -1 };

aval_graph *aval__graph_create(aval__registry *registry, const aval__log *log)
{
    aval_graph *g = aval__alloc(sizeof *g);
    if (!g) return NULL;
    g->holders = 1;
    g->registry = registry;
    g->log = log;
    return g;
}

void aval__graph_hold(aval_graph *g)
{
    g->holders++;
}

void aval_graph_release(aval_graph *g)
{
    if (!g || --g->holders > 0) return;
    for (aval__loop *loop = g->loops, *next; loop; loop = next) {
        next = loop->next;
        aval_graph_release(loop->g); /* and with it the loop */
    }
    aval__names_release(&g->states);
    aval__vec_release(&g->nodes);
    aval__vec_release(&g->values);
    aval__vec_release(&g->unused_nodes);
    aval__vec_release(&g->unused_values);
    aval__arena_release(&g->arena);
    aval__free(g->message);
    if (g->drop_owner) g->drop_owner(g->owner);
    aval__free(g);
}

int aval__graph_stick(aval_graph *g, int code)
{
    if (g->status == AVAL_OK) {
        g->status = code;
        g->message = aval__copy_text(aval_error());
    }
    return code;
}

int aval__graph_stuck(const aval_graph *g)
{
    return g->status < 0 ? aval__fail(g->status, "%s", g->message ? g->message : aval_status_text(g->status)) : AVAL_OK;
}

int aval_graph_status(aval_graph *g)
{
    if (!g) return aval__fail(AVAL_E_ARGUMENT, "expected a graph, found NULL");
    int status = aval__graph_stuck(g);
    aval__free(g->message);
    g->message = NULL;
    g->status = AVAL_OK;
    return status;
}

/* ---- Values ---------------------------------------------------------------------------------------------------------------------- */

/* "v17"; snprintf is the slowest part of making a value. */
static void set_label(aval_value *value)
{
    char digits[10], *end = digits + sizeof digits, *at = end;
    uint32_t rest = value->id;
    do *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    value->label[0] = 'v';
    memcpy(value->label + 1, at, (size_t)(end - at));
}

int aval__graph_add_value(aval_graph *g, aval__value_kind kind, const aval_tensor *tensor, const char *name, aval_value **out)
{
    aval_value *v;
    char *copy = name ? aval__graph_take_text(g, name) : NULL;
    if (name && !copy) return AVAL_E_MEMORY;
    int status = aval__graph_value_record(g, &v);
    if (status < 0) {
        aval__graph_give_text(g, copy);
        return status;
    }
    v->tensor = *tensor;
    v->kind = kind;
    v->graph = g;
    v->name = copy;
    v->born = ++g->generation;
    set_label(v);
    *out = v;
    return AVAL_OK;
}

int aval__graph_add_constant(aval_graph *g, const aval_tensor *tensor, const void *data, aval_value **out)
{
    size_t bytes = aval__tensor_bytes(tensor);
    void *copy = aval__graph_take(g, bytes);
    if (!copy) return AVAL_E_MEMORY;
    if (bytes) memcpy(copy, data, bytes);
    int status = aval__graph_add_value(g, AVAL__CONSTANT, tensor, NULL, out);
    if (status < 0) aval__graph_give(g, copy, bytes);
    else (*out)->data = copy;
    return status;
}

const char *aval__value_label(const aval_value *value)
{
    return value->name ? value->name : value->label;
}

int aval__value_name_axes(aval_value *value, const char *axes)
{
    char *copy = aval__graph_take_text(value->graph, axes);
    if (!copy) return AVAL_E_MEMORY;
    aval__graph_give_text(value->graph, value->axes);
    value->axes = copy;
    return AVAL_OK;
}

const char *aval__value_axis_name(const aval_value *value, int32_t axis, size_t *length)
{
    const char *line = value->axes ? value->axes : "";
    for (int32_t i = 0; i < axis; i++) {
        line += strcspn(line, "\n");
        if (*line == '\n') line++;
    }
    *length = strcspn(line, "\n");
    return line;
}

/* ---- Nodes ----------------------------------------------------------------------------------------------------------------------- */

int aval__node_make(aval_graph *g, aval__node_kind kind, const aval__opdef *def, aval_value *const *inputs, size_t n_inputs,
                    size_t n_outputs, aval_node **out)
{
    aval_node *node;
    aval_value **links_in = aval__graph_take(g, n_inputs * sizeof(aval_value *));
    aval_value **links_out = aval__graph_take(g, n_outputs * sizeof(aval_value *));
    int status = links_in && links_out ? aval__graph_node_record(g, &node) : AVAL_E_MEMORY;
    if (status < 0) {
        aval__graph_give(g, links_in, n_inputs * sizeof(aval_value *));
        aval__graph_give(g, links_out, n_outputs * sizeof(aval_value *));
        return status;
    }
    node->kind = kind;
    node->def = def;
    node->graph = g;
    node->device = -1;
    node->n_inputs = (uint32_t)n_inputs;
    node->n_outputs = (uint32_t)n_outputs;
    node->inputs = links_in;
    node->outputs = links_out;
    for (size_t i = 0; i < n_inputs; i++) node->inputs[i] = inputs[i];
    g->generation++;
    *out = node;
    return AVAL_OK;
}

int aval__node_add_output(aval_node *node, size_t port, const aval_tensor *tensor, aval_value **out)
{
    aval_value *value;
    AVAL__TRY(aval__graph_add_value(node->graph, AVAL__PRODUCED, tensor ? tensor : &unknown_tensor, NULL, &value));
    value->producer = node;
    value->port = (uint32_t)port;
    node->outputs[port] = value;
    if (out) *out = value;
    return AVAL_OK;
}

int aval__node_rename(aval_node *node, const char *name)
{
    char *copy = aval__graph_take_text(node->graph, name);
    if (!copy) return AVAL_E_MEMORY;
    aval__graph_give_text(node->graph, node->name);
    node->name = copy;
    node->graph->generation++; /* plans call it by its name */
    return AVAL_OK;
}

static int copy_attrs(aval_node *node, const aval__attrs *attrs)
{
    void *memory = attrs->count ? aval__graph_take(node->graph, aval__attrs_bytes(attrs)) : NULL;
    if (!memory) return attrs->count ? AVAL_E_MEMORY : AVAL_OK;
    aval__attrs_copy(attrs, memory, &node->attrs);
    return AVAL_OK;
}

int aval__graph_add_node(aval_graph *g, const aval__opdef *def, const aval__attrs *attrs, aval_value *const *inputs, size_t n_inputs,
                         size_t n_outputs, aval_node **out)
{
    aval_node *node;
    if (n_outputs == 0) n_outputs = aval__graph_count_outputs(def, attrs, inputs, n_inputs);
    AVAL__TRY(aval__node_make(g, AVAL__OP, def, inputs, n_inputs, n_outputs, &node));
    int status = AVAL_OK;
    if (attrs) AVAL__TRY_DONE(copy_attrs(node, attrs));
    for (size_t i = 0; i < n_outputs; i++) AVAL__TRY_DONE(aval__node_add_output(node, i, NULL, NULL));

    bool known = true;
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i] && !aval__tensor_known(&inputs[i]->tensor) && !aval__node_is_lazy(node, i)) known = false;
    if (known) {
        status = aval__node_infer(node);
        if (status == AVAL_E_CONTENT) status = AVAL_OK; /* planning will know it */
    }
done:
    if (status < 0) aval__graph_drop_node(node);
    else *out = node;
    return status;
}

int aval__tensors_of(aval__tensors *t, aval_value *const *values, size_t n)
{
    size_t few = sizeof t->few / sizeof *t->few;
    t->at = n <= few ? t->few : aval__alloc_array(n, sizeof *t->at);
    if (!t->at) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n; i++) t->at[i] = values[i] ? &values[i]->tensor : NULL;
    return AVAL_OK;
}

void aval__tensors_release(aval__tensors *t)
{
    if (t->at != t->few) aval__free(t->at);
    t->at = t->few;
}

/* ---- Reading nodes ---------------------------------------------------------------------------------------------------------------- */

size_t aval__input_port(const aval__opdef *def, size_t i)
{
    return i < def->n_inputs || def->n_inputs == 0 ? i : def->n_inputs - 1;
}

size_t aval__output_port(const aval__opdef *def, size_t i)
{
    return i < def->n_outputs || def->n_outputs == 0 ? i : def->n_outputs - 1;
}

aval_value *aval__node_updates(const aval_node *node, size_t output)
{
    if (node->kind != AVAL__OP || !node->def->updates || output >= node->def->n_outputs) return NULL;
    uint32_t updates = node->def->op->outputs[output].updates;
    return updates && updates <= node->n_inputs ? node->inputs[updates - 1] : NULL;
}

static bool updates_state(const aval_node *node, size_t output)
{
    const aval_value *state = node->outputs[output] ? aval__node_updates(node, output) : NULL;
    return state && state->kind == AVAL__STATE;
}

void aval__node_need_updates(const aval_node *node, bool *needed)
{
    bool any = false;
    if (node->kind != AVAL__OP || !node->def->updates) return;
    for (size_t i = 0; i < node->n_outputs; i++) any = any || (updates_state(node, i) && needed[node->outputs[i]->id]);
    for (size_t i = 0; any && i < node->n_outputs; i++)
        if (updates_state(node, i)) needed[node->outputs[i]->id] = true;
}

/* ---- Copy ------------------------------------------------------------------------------------------------------------------------- */

static aval_value *copied_value(const aval_graph *copy, const aval_value *value)
{
    return value ? copy->values.at[value->id] : NULL;
}

static int copy_value(aval_graph *copy, const aval_value *from)
{
    aval_value *v = aval__arena_copy(&copy->arena, from, sizeof *from);
    if (!v) return AVAL_E_MEMORY;
    v->graph = copy;
    v->producer = from->producer ? copy->nodes.at[from->producer->id] : NULL;
    return aval__vec_push(&copy->values, v);
}

static int copy_links(aval_graph *copy, const aval_node *from)
{
    aval_node *node = copy->nodes.at[from->id];
    node->inputs = aval__arena_alloc(&copy->arena, from->n_inputs * sizeof(aval_value *));
    node->outputs = aval__arena_alloc(&copy->arena, from->n_outputs * sizeof(aval_value *));
    if (!node->inputs || !node->outputs) return AVAL_E_MEMORY;
    for (size_t i = 0; i < from->n_inputs; i++) node->inputs[i] = copied_value(copy, from->inputs[i]);
    for (size_t i = 0; i < from->n_outputs; i++) node->outputs[i] = copied_value(copy, from->outputs[i]);
    if (from->forward) node->forward = copy->nodes.at[from->forward->id];
    return AVAL_OK;
}

/* Names, attributes and constants are shared, so that a copy of a large graph costs its links only. */
int aval__graph_copy(const aval_graph *g, aval_graph **out)
{
    int status = AVAL_OK;
    aval_graph *copy = aval__graph_create(g->registry, g->log);
    if (!copy) return AVAL_E_MEMORY;
    copy->planning = true;
    copy->generation = g->generation;
    AVAL__TRY_DONE(aval__vec_reserve(&copy->nodes, g->nodes.count));
    AVAL__TRY_DONE(aval__vec_reserve(&copy->values, g->values.count));
    for (size_t i = 0; i < g->nodes.count; i++) {
        aval_node *node = aval__arena_copy(&copy->arena, g->nodes.at[i], sizeof *node);
        if (!node) AVAL__TRY_DONE(AVAL_E_MEMORY);
        node->graph = copy;
        AVAL__TRY_DONE(aval__vec_push(&copy->nodes, node));
    }
    for (size_t i = 0; i < g->values.count; i++) AVAL__TRY_DONE(copy_value(copy, g->values.at[i]));
    for (size_t i = 0; i < g->nodes.count; i++) AVAL__TRY_DONE(copy_links(copy, g->nodes.at[i]));
    for (size_t i = 0; i < copy->values.count; i++) {
        aval_value *v = copy->values.at[i];
        if (v->kind == AVAL__STATE && !v->dead) AVAL__TRY_DONE(aval__names_add(&copy->states, v));
    }
    *out = copy;
done:
    if (status < 0) aval_graph_release(copy);
    return status;
}
