/* Loops become ONNX's Loop; those that stack along other axes or from the end, which a Loop cannot, a Scan over the numbers of their turns.
 * What a turn only reads from around the loop it reads there by its name. */
#include "model/onnx_write.h"

#include <string.h>

/* Range is as old as this operator set; Scan has had its present form for longer. */
#define SCAN_LEAST 11
#define BARE_LOOP_LEAST 11 /* ... a Loop whose turns hand on nothing */

typedef struct writing {
    onnx_writer inner; /* the graph of a turn */
    const aval_node *node;
    const aval__loop *loop;
    bool scan;
    onnx_node_list nodes;
    bool *given; /* by value of the inner graph: an output of it */
    onnx_graph graph;
} writing;

static bool is_scan(const aval__loop *loop)
{
    for (size_t i = 0; i < loop->n_stacked; i++)
        if (loop->stacked[i].axis != 0 || loop->stacked[i].backwards) return true;
    return false;
}

/* ---- The graph of a turn ------------------------------------------------------------------------------------------------------------------ */

static int start_turn(writing *l, aval_value **wanted, size_t *n_wanted)
{
    const aval__loop *loop = l->loop;
    for (size_t i = loop->results[0] ? 0 : 1; i < 1 + loop->n_carried; i++) wanted[(*n_wanted)++] = loop->results[i];
    for (size_t i = 0; i < loop->n_stacked; i++) wanted[(*n_wanted)++] = loop->stacked[i].part;
    AVAL__TRY(onnx_writer_start(&l->inner, wanted, *n_wanted));
    l->given = aval__arena_alloc(&l->inner.file->arena, (loop->g->values.count + 1) * sizeof *l->given);
    return l->given ? AVAL_OK : AVAL_E_MEMORY;
}

static int name_values(writing *l, const onnx_writer *outer, aval_value *const *wanted, size_t n_wanted)
{
    const aval__loop *loop = l->loop;
    for (size_t i = 2 + loop->n_carried; i < aval__loop_ports(loop); i++)
        l->inner.name_of[loop->ports[i]->id] = outer->name_of[l->node->inputs[i]->id];
    for (size_t i = 0; i < 2 + loop->n_carried; i++) AVAL__TRY(onnx_name_value(&l->inner, loop->ports[i], NULL));
    AVAL__TRY(onnx_name_sources(&l->inner));
    for (size_t i = 0; i < n_wanted; i++) AVAL__TRY(onnx_name_value(&l->inner, wanted[i], NULL));
    return onnx_name_results(&l->inner);
}

static int add_constants(writing *l)
{
    for (size_t i = 0; i < l->loop->g->values.count; i++) {
        const aval_value *value = l->loop->g->values.at[i];
        if (value->kind == AVAL__CONSTANT && l->inner.name_of[i])
            AVAL__TRY(onnx_write_constant(&l->inner, l->inner.name_of[i], &value->tensor, value->data));
    }
    return AVAL_OK;
}

static int add_input(writing *l, const aval_value *port)
{
    return onnx_write_type(&l->inner, l->inner.name_of[port->id], &port->tensor, NULL, &l->graph.input[l->graph.n_input++]);
}

/* Handed on first where it is a Scan, last where it is a Loop. */
static int add_inputs(writing *l)
{
    aval_value *const *ports = l->loop->ports;
    if (!l->scan) AVAL__TRY(add_input(l, ports[0]));
    if (!l->scan) AVAL__TRY(add_input(l, ports[1]));
    for (size_t i = 0; i < l->loop->n_carried; i++) AVAL__TRY(add_input(l, ports[2 + i]));
    return l->scan ? add_input(l, ports[0]) : AVAL_OK;
}

/* A turn gives only what it computes itself, and once. */
static int add_output(writing *l, const aval_value *value)
{
    static const aval_tensor unsaid = { .type = AVAL_NONE, .rank = -1 };
    const char *own = l->inner.name_of[value->id], *name = own;
    if (value->kind != AVAL__PRODUCED || l->given[value->id]) {
        AVAL__TRY(onnx_take_name(&l->inner, own, value->id, &name));
        AVAL__TRY(onnx_write_identity(&l->inner, own, name));
    }
    l->given[value->id] = true;
    return onnx_write_type(&l->inner, name, &unsaid, NULL, &l->graph.output[l->graph.n_output++]);
}

static int add_outputs(writing *l)
{
    const aval__loop *loop = l->loop;
    if (!l->scan) AVAL__TRY(add_output(l, loop->results[0] ? loop->results[0] : loop->ports[1]));
    for (size_t i = 0; i < loop->n_carried; i++) AVAL__TRY(add_output(l, loop->results[1 + i]));
    for (size_t i = 0; i < loop->n_stacked; i++) AVAL__TRY(add_output(l, loop->stacked[i].part));
    return AVAL_OK;
}

static int write_turn(writing *l, const onnx_writer *outer)
{
    aval__arena *arena = &l->inner.file->arena;
    aval_value **wanted = aval__arena_alloc(arena, (aval__loop_results(l->loop) + 1) * sizeof *wanted);
    size_t n_wanted = 0;
    aval__onnx__graph__init(&l->graph);
    l->graph.name = (char *)(uintptr_t) "body";
    l->graph.input = aval__arena_alloc(arena, (aval__loop_ports(l->loop) + 1) * sizeof *l->graph.input);
    l->graph.output = aval__arena_alloc(arena, (aval__loop_results(l->loop) + 1) * sizeof *l->graph.output);
    if (!wanted || !l->graph.input || !l->graph.output) return AVAL_E_MEMORY;
    AVAL__TRY(start_turn(l, wanted, &n_wanted));
    AVAL__TRY(name_values(l, outer, wanted, n_wanted));
    AVAL__TRY(add_constants(l));
    AVAL__TRY(add_inputs(l));
    AVAL__TRY(onnx_write_nodes(&l->inner, wanted, n_wanted));
    AVAL__TRY(add_outputs(l));
    l->graph.node = l->nodes.at;
    l->graph.n_node = l->nodes.count;
    return AVAL_OK;
}

/* ---- The node ------------------------------------------------------------------------------------------------------------------------------ */

static const char *name_or_none(const onnx_writer *w, const aval_value *value)
{
    return value ? w->name_of[value->id] : "";
}

static int put_numbers(onnx_writer *w, onnx_node *out, const char *name, const aval__loop *loop, int64_t (*of)(const aval__stacked *))
{
    onnx_attribute *a = onnx_put_attribute(w, out, name, ONNX_INTS);
    int64_t *numbers = aval__arena_alloc(&w->file->arena, (loop->n_stacked + 1) * sizeof *numbers);
    if (!a || !numbers) return AVAL_E_MEMORY;
    for (size_t i = 0; i < loop->n_stacked; i++) numbers[i] = of(&loop->stacked[i]);
    a->ints = numbers;
    a->n_ints = loop->n_stacked;
    return AVAL_OK;
}

static int64_t axis_of(const aval__stacked *stacked)
{
    return stacked->axis;
}

static int64_t direction_of(const aval__stacked *stacked)
{
    return stacked->backwards;
}

static int add_scan_attributes(onnx_writer *w, onnx_node *out, const aval__loop *loop)
{
    onnx_attribute *a = onnx_put_attribute(w, out, "num_scan_inputs", ONNX_INT);
    if (!a) return AVAL_E_MEMORY;
    a->i = 1;
    a->has_i = 1;
    AVAL__TRY(put_numbers(w, out, "scan_output_axes", loop, axis_of));
    return put_numbers(w, out, "scan_output_directions", loop, direction_of);
}

/* 0, 1 ... as many as there are turns.  Their number may be a tensor of one axis, which Range does not take. */
static int write_numbers(onnx_writer *w, const aval_node *node, const char **out)
{
    static const int64_t zero = 0, one = 1;
    static const aval_tensor scalar = { .type = AVAL_INT64 }, none = { .type = AVAL_INT64, .rank = 1 };
    static const char *const wishes[] = { "no_axes", "turns", "first", "step", "numbers" };
    const char *names[5];
    for (size_t i = 0; i < 5; i++) AVAL__TRY(onnx_take_name(w, wishes[i], node->id, &names[i]));
    AVAL__TRY(onnx_write_constant(w, names[0], &none, NULL));
    AVAL__TRY(onnx_write_constant(w, names[2], &scalar, &zero));
    AVAL__TRY(onnx_write_constant(w, names[3], &scalar, &one));
    onnx_node *reshape = onnx_new_node(w, "Reshape", 2, 1, 0), *range = onnx_new_node(w, "Range", 3, 1, 0);
    if (!reshape || !range) return AVAL_E_MEMORY;
    onnx_put_input(reshape, w->name_of[node->inputs[0]->id]);
    onnx_put_input(reshape, names[0]);
    onnx_put_output(reshape, names[1]);
    onnx_put_input(range, names[2]);
    onnx_put_input(range, names[1]);
    onnx_put_input(range, names[3]);
    onnx_put_output(range, names[4]);
    AVAL__TRY(aval__vec_push(w->nodes, reshape));
    AVAL__TRY(aval__vec_push(w->nodes, range));
    *out = names[4];
    if (w->file->least < SCAN_LEAST) w->file->least = SCAN_LEAST;
    return AVAL_OK;
}

static int add_node(onnx_writer *w, const writing *l)
{
    const aval_node *node = l->node;
    const char *numbers = NULL;
    onnx_node *out = onnx_new_node(w, l->scan ? "Scan" : "Loop", 2 + l->loop->n_carried, node->n_outputs, 4);
    if (!out) return AVAL_E_MEMORY;
    if (node->name) out->name = (char *)(uintptr_t)node->name;
    if (l->scan) AVAL__TRY(write_numbers(w, node, &numbers));
    else if (l->loop->n_carried == 0 && w->file->least < BARE_LOOP_LEAST) w->file->least = BARE_LOOP_LEAST;
    for (size_t i = 0; i < 2 && !l->scan; i++) onnx_put_input(out, name_or_none(w, node->inputs[i]));
    for (size_t i = 0; i < l->loop->n_carried; i++) onnx_put_input(out, w->name_of[node->inputs[2 + i]->id]);
    if (l->scan) onnx_put_input(out, numbers);
    for (size_t i = 0; i + 1 < node->n_outputs; i++) onnx_put_output(out, w->name_of[node->outputs[i]->id]);
    AVAL__TRY(onnx_put_graph(w, out, "body", &l->graph));
    if (l->scan) AVAL__TRY(add_scan_attributes(w, out, l->loop));
    return aval__vec_push(w->nodes, out);
}

int onnx_write_loop(onnx_writer *w, const aval_node *node)
{
    writing l = { .node = node, .loop = node->loop, .scan = is_scan(node->loop) };
    l.inner = (onnx_writer){ .file = w->file, .g = node->loop->g, .nodes = &l.nodes };
    int status = write_turn(&l, w);
    if (status == AVAL_OK) status = add_node(w, &l);
    onnx_writer_end(&l.inner);
    aval__vec_release(&l.nodes);
    return status;
}
