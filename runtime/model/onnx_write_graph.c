/* The nodes of a graph in the order and places of a file.  What one branch of an If alone needs stands in that branch, so that who runs the
 * file computes only the branch that is taken. */
#include "model/onnx_write.h"

#include <string.h>

/* Branches within branches; what lies deeper stands around them, so that a chain of many Ifs is no file that nobody reads. */
#define MOST_BRANCHES 32

/* ---- Names --------------------------------------------------------------------------------------------------------------------------- */

bool onnx_is_taken(const onnx_writer *w, const char *name)
{
    aval_value *there;
    return !name[0] || onnx_names_find(&w->file->taken, name, &there);
}

int onnx_take_name(onnx_writer *w, const char *wish, uint32_t id, const char **out)
{
    aval__text text = { 0 };
    aval__text_add(&text, "%s", wish);
    if (onnx_is_taken(w, wish)) aval__text_add(&text, "_%u", (unsigned)id);
    while (!text.failed && onnx_is_taken(w, text.at)) aval__text_add(&text, "_");
    char *kept = text.failed ? NULL : aval__arena_text(&w->file->arena, text.at);
    aval__text_release(&text);
    if (!kept) return AVAL_E_MEMORY;
    *out = kept;
    return onnx_names_add(&w->file->taken, kept, NULL);
}

int onnx_name_value(onnx_writer *w, const aval_value *value, const char *wish)
{
    if (w->name_of[value->id]) return AVAL_OK;
    return onnx_take_name(w, wish ? wish : aval__value_label(value), value->id, &w->name_of[value->id]);
}

int onnx_name_sources(onnx_writer *w)
{
    for (size_t n = 0; n < w->n_order; n++)
        for (size_t i = 0; i < w->order[n]->n_inputs; i++) {
            const aval_value *value = w->order[n]->inputs[i];
            if (value && value->kind != AVAL__PRODUCED && !onnx_is_tensor_attribute(w->order[n], i))
                AVAL__TRY(onnx_name_value(w, value, NULL));
        }
    return AVAL_OK;
}

int onnx_name_results(onnx_writer *w)
{
    for (size_t n = 0; n < w->n_order; n++)
        for (size_t i = 0; i < w->order[n]->n_outputs; i++)
            if (w->order[n]->outputs[i]) AVAL__TRY(onnx_name_value(w, w->order[n]->outputs[i], NULL));
    return AVAL_OK;
}

/* ---- What is needed --------------------------------------------------------------------------------------------------------------------- */

int onnx_writer_start(onnx_writer *w, aval_value *const *wanted, size_t n_wanted)
{
    aval__arena *arena = &w->file->arena;
    w->name_of = aval__arena_alloc(arena, (w->g->values.count + 1) * sizeof *w->name_of);
    w->used = aval__arena_alloc(arena, (w->g->values.count + 1) * sizeof *w->used);
    if (!w->name_of || !w->used) return AVAL_E_MEMORY;
    AVAL__TRY(aval__graph_order(w->g, wanted, n_wanted, &w->order, &w->n_order));
    for (size_t i = 0; i < n_wanted; i++) w->used[wanted[i]->id] = true;
    for (size_t n = 0; n < w->n_order; n++)
        for (size_t i = 0; i < w->order[n]->n_inputs; i++)
            if (w->order[n]->inputs[i]) w->used[w->order[n]->inputs[i]->id] = true;
    return AVAL_OK;
}

void onnx_writer_end(onnx_writer *w)
{
    aval__free(w->order);
    w->order = NULL;
}

/* ---- Places ----------------------------------------------------------------------------------------------------------------------------- */

/* Where nodes stand: in the graph, or in a branch of an If that stands in another place. */
typedef struct place {
    struct place *around; /* NULL: the graph */
    unsigned depth;
    onnx_node_list nodes;
} place;

/* What is written as one node: an If, of choices by one condition that follow one another and need nothing of one another; or any other. */
typedef struct unit {
    aval_node *const *nodes;
    size_t count;
    place *at, *branches[2]; /* if it holds; if not.  NULL: no If */
} unit;

typedef struct placing {
    onnx_writer *w;
    place **of; /* by value id: where it must be seen; NULL: nothing that was looked at reads it */
    unit *units;
    size_t n_units;
    AVAL__VEC(place *) places; /* all; the graph first */
} placing;

static bool is_choice(const aval_node *node)
{
    return node->kind == AVAL__OP && strcmp(node->def->domain, "aval") == 0 && strcmp(node->def->name, "Choose") == 0;
}

static bool reads(const aval_node *node, const aval_node *other)
{
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && node->inputs[i]->producer == other) return true;
    return false;
}

/* Can the node stand in the unit that the ones before it in the order are?  Neighbours of the order need one another by links alone. */
static bool joins(const unit *u, const aval_node *node)
{
    if (!is_choice(node) || !is_choice(u->nodes[0]) || u->nodes[0]->inputs[0] != node->inputs[0]) return false;
    for (size_t n = 0; n < u->count; n++)
        if (reads(node, u->nodes[n])) return false;
    return true;
}

static int list_units(placing *p)
{
    onnx_writer *w = p->w;
    p->units = aval__arena_alloc(&w->file->arena, (w->n_order + 1) * sizeof *p->units);
    if (!p->units) return AVAL_E_MEMORY;
    for (size_t n = 0; n < w->n_order; n++) {
        if (n && joins(&p->units[p->n_units - 1], w->order[n])) p->units[p->n_units - 1].count++;
        else p->units[p->n_units++] = (unit){ .nodes = &w->order[n], .count = 1 };
    }
    return AVAL_OK;
}

static int new_place(placing *p, place *around, place **out)
{
    place *made = aval__arena_alloc(&p->w->file->arena, sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    made->around = around;
    made->depth = around ? around->depth + 1 : 0;
    *out = made;
    return aval__vec_push(&p->places, made);
}

/* The innermost place that both see. */
static place *common(place *a, place *b)
{
    while (a != b) {
        if (a->depth >= b->depth) a = a->around;
        else b = b->around;
    }
    return a;
}

static void see(placing *p, const aval_value *value, place *from)
{
    if (!value) return;
    place **at = &p->of[value->id];
    *at = *at ? common(*at, from) : from;
}

static int place_unit(placing *p, unit *u)
{
    u->at = NULL;
    for (size_t n = 0; n < u->count; n++)
        for (size_t i = 0; i < u->nodes[n]->n_outputs; i++) {
            const aval_value *output = u->nodes[n]->outputs[i];
            place *reader = output ? p->of[output->id] : NULL;
            if (reader) u->at = u->at ? common(u->at, reader) : reader;
        }
    if (!u->at) u->at = p->places.at[0];
    if (!is_choice(u->nodes[0])) {
        for (size_t i = 0; i < u->nodes[0]->n_inputs; i++) see(p, u->nodes[0]->inputs[i], u->at);
        return AVAL_OK;
    }
    see(p, u->nodes[0]->inputs[0], u->at);
    for (size_t side = 0; side < 2; side++) {
        AVAL__TRY(new_place(p, u->at, &u->branches[side]));
        place *from = u->at->depth < MOST_BRANCHES ? u->branches[side] : u->at;
        for (size_t n = 0; n < u->count; n++) see(p, u->nodes[n]->inputs[1 + side], from);
    }
    return AVAL_OK;
}

/* ---- If ---------------------------------------------------------------------------------------------------------------------------------- */

/* A branch gives only what it computes itself, and once. */
static int name_result(placing *p, const unit *u, size_t side, const aval_value *value, const char **name)
{
    onnx_writer *w = p->w;
    if (value->kind == AVAL__PRODUCED && p->of[value->id] == u->branches[side]) {
        p->of[value->id] = NULL;
        *name = w->name_of[value->id];
        return AVAL_OK;
    }
    AVAL__TRY(onnx_take_name(w, w->name_of[value->id], value->id, name));
    w->nodes = &u->branches[side]->nodes;
    return onnx_write_identity(w, w->name_of[value->id], *name);
}

static int add_branch(placing *p, const unit *u, size_t side, onnx_node *node)
{
    static const aval_tensor unsaid = { .type = AVAL_NONE, .rank = -1 };
    onnx_writer *w = p->w;
    onnx_graph graph;
    aval__onnx__graph__init(&graph);
    graph.name = (char *)(uintptr_t)(side == 0 ? "then" : "else");
    graph.output = aval__arena_alloc(&w->file->arena, (u->count + 1) * sizeof *graph.output);
    if (!graph.output) return AVAL_E_MEMORY;
    for (size_t n = 0; n < u->count; n++) {
        const char *name;
        AVAL__TRY(name_result(p, u, side, u->nodes[n]->inputs[1 + side], &name));
        AVAL__TRY(onnx_write_type(w, name, &unsaid, NULL, &graph.output[graph.n_output++]));
    }
    graph.node = u->branches[side]->nodes.at;
    graph.n_node = u->branches[side]->nodes.count;
    return onnx_put_graph(w, node, side == 0 ? "then_branch" : "else_branch", &graph);
}

static int write_if(placing *p, const unit *u)
{
    onnx_writer *w = p->w;
    onnx_node *node = onnx_new_node(w, "If", 1, u->count, 2);
    if (!node) return AVAL_E_MEMORY;
    onnx_put_input(node, w->name_of[u->nodes[0]->inputs[0]->id]);
    for (size_t n = 0; n < u->count; n++) onnx_put_output(node, w->name_of[u->nodes[n]->outputs[0]->id]);
    for (size_t side = 0; side < 2; side++) AVAL__TRY(add_branch(p, u, side, node));
    return aval__vec_push(&u->at->nodes, node);
}

/* ---- All ---------------------------------------------------------------------------------------------------------------------------------- */

/* From readers to producers the places are found; then the nodes are written in their order, so that a branch is there when its If is. */
static int write_placed(placing *p, aval_value *const *wanted, size_t n_wanted)
{
    onnx_writer *w = p->w;
    place *graph;
    p->of = aval__arena_alloc(&w->file->arena, (w->g->values.count + 1) * sizeof *p->of);
    if (!p->of) return AVAL_E_MEMORY;
    AVAL__TRY(new_place(p, NULL, &graph));
    AVAL__TRY(list_units(p));
    for (size_t i = 0; i < n_wanted; i++) see(p, wanted[i], graph);
    for (size_t n = p->n_units; n-- > 0;) AVAL__TRY(place_unit(p, &p->units[n]));
    for (size_t n = 0; n < p->n_units; n++) {
        const unit *u = &p->units[n];
        w->nodes = &u->at->nodes;
        AVAL__TRY(u->branches[0] ? write_if(p, u) : onnx_write_node(w, u->nodes[0]));
    }
    return AVAL_OK;
}

int onnx_write_nodes(onnx_writer *w, aval_value *const *wanted, size_t n_wanted)
{
    placing p = { .w = w };
    onnx_node_list *nodes = w->nodes;
    int status = write_placed(&p, wanted, n_wanted);
    w->nodes = nodes;
    for (size_t i = 0; status == AVAL_OK && i < p.places.at[0]->nodes.count; i++)
        status = aval__vec_push(nodes, p.places.at[0]->nodes.at[i]);
    for (size_t i = 0; i < p.places.count; i++) aval__vec_release(&p.places.at[i]->nodes);
    aval__vec_release(&p.places);
    return status;
}
