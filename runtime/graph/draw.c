/* The graph as a drawing in Graphviz's DOT: a table a node, with its operator, its attributes and each of its outputs.  A weight or constant that
 * one node alone reads is a row of that node, so that the drawing of a network is its layers; what several read, and what is updated, stands by
 * itself.  Whoever knows contents adds a value box (green) and a gradient box (red) to each tensor. */
#include "graph/parts.h"

#include <stdio.h>
#include <string.h>

#define GAP "&#160;&#160;" /* Graphviz drops blanks between fonts */
#define LONGEST_TEXT 72 /* of a name or of all attributes: columns that no table should pass */

typedef struct drawing {
    const aval_graph *g;
    aval__text *out;
    aval_note_function note; /* NULL: no boxes */
    void *user;
    aval_node **nodes;
    size_t n_nodes;
    uint32_t *readers; /* by value id, of the nodes that are drawn */
    bool *updated; /* by value id */
    bool *placed; /* by value id: sources that are drawn by themselves already */
} drawing;

static const char *const kind_colours[] = {
    [AVAL__INPUT] = "#cfe8d5", [AVAL__STATE] = "#f5e3c0", [AVAL__CONSTANT] = "#e4e4e4", [AVAL__PRODUCED] = "#ffffff"
};

/* Text within an HTML-like label, shortened in the middle, where names of one network are alike least. */
static void put_text(aval__text *out, const char *text)
{
    size_t length = strlen(text), half = LONGEST_TEXT / 2;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (length > LONGEST_TEXT && i >= half && i < length - half) {
            if (i == half) aval__text_add(out, " ... ");
            bool inside = (c & 0xc0) == 0x80; /* a character is left out as a whole */
            if (i + 1 < length - half || inside) continue;
        }
        switch (c) {
        case '&': aval__text_add(out, "&amp;"); break;
        case '<': aval__text_add(out, "&lt;"); break;
        case '>': aval__text_add(out, "&gt;"); break;
        case '"': aval__text_add(out, "&quot;"); break;
        default: aval__text_put(out, c < 0x20 ? " " : text + i, 1);
        }
    }
}

/* With room on both sides: viewers have wider fonts than Graphviz reckons with. */
static void put_padded(aval__text *out, const char *text)
{
    aval__text_add(out, GAP);
    put_text(out, text);
    aval__text_add(out, GAP);
}

/* Rows of a tensor: its name and shape, and its boxes. */
static void put_tensor(const drawing *d, const aval_value *value, const char *port, const char *role, bool coloured)
{
    aval_value_note note = { .size = sizeof note };
    aval__text_add(d->out, "<TR><TD COLSPAN=\"2\" ALIGN=\"LEFT\"");
    if (coloured) aval__text_add(d->out, " BGCOLOR=\"%s\"", kind_colours[value->kind]);
    if (port) aval__text_add(d->out, " PORT=\"%s\"", port);
    aval__text_add(d->out, ">");
    if (role) aval__text_add(d->out, "%s" GAP, role);
    aval__text_add(d->out, "<B>");
    put_text(d->out, aval__value_label(value));
    aval__text_add(d->out, "</B>" GAP);
    if (d->note) d->note(d->user, value, &note);
    if (note.type[0]) put_text(d->out, note.type);
    else aval__tensor_print(d->out, &value->tensor);
    aval__text_add(d->out, "</TD></TR>");
    if (!note.value[0] && !note.gradient[0]) return;
    bool both = note.value[0] && note.gradient[0];
    aval__text_add(d->out, "<TR>");
    if (note.value[0]) {
        aval__text_add(d->out, "<TD BORDER=\"1\" COLOR=\"#2f8f4e\" BGCOLOR=\"#e8f5ec\"%s>", both ? "" : " COLSPAN=\"2\"");
        put_padded(d->out, note.value);
        aval__text_add(d->out, "</TD>");
    }
    if (note.gradient[0]) {
        aval__text_add(d->out, "<TD BORDER=\"1\" COLOR=\"#c8402f\" BGCOLOR=\"#fbebe8\"%s>", both ? "" : " COLSPAN=\"2\"");
        put_padded(d->out, note.gradient);
        aval__text_add(d->out, "</TD>");
    }
    aval__text_add(d->out, "</TR>");
}

static void begin_table(const drawing *d, char kind, uint32_t id)
{
    aval__text_add(d->out, "  %c%u [label=<<TABLE BORDER=\"1\" CELLBORDER=\"0\" CELLSPACING=\"2\" CELLPADDING=\"2\" STYLE=\"ROUNDED\">",
                   kind, (unsigned)id);
}

static void end_table(const drawing *d)
{
    aval__text_add(d->out, "</TABLE>>];\n");
}

/* A weight or constant that belongs to one node. */
static bool is_row(const drawing *d, const aval_value *value)
{
    return (value->kind == AVAL__STATE || value->kind == AVAL__CONSTANT) && d->readers[value->id] == 1 && !d->updated[value->id];
}

static void draw_source(const drawing *d, const aval_value *value)
{
    static const char *const roles[] = { [AVAL__INPUT] = "input", [AVAL__STATE] = "state", [AVAL__CONSTANT] = "constant" };
    if (d->placed[value->id]) return;
    d->placed[value->id] = true;
    begin_table(d, 'v', value->id);
    put_tensor(d, value, NULL, roles[value->kind], true);
    end_table(d);
}

static void put_title(const drawing *d, const aval_node *node)
{
    aval__text_add(d->out, "<TR><TD COLSPAN=\"2\" BGCOLOR=\"%s\"><FONT COLOR=\"white\"><B>",
                   node->kind == AVAL__OP ? "#1f5f96" : "#c8402f");
    put_text(d->out, aval__node_op_name(node));
    aval__text_add(d->out, "</B>");
    if (node->name) {
        aval__text_add(d->out, GAP);
        put_text(d->out, node->name);
    }
    aval__text_add(d->out, "</FONT></TD></TR>");
    aval__text attrs = { 0 };
    aval__attrs_print(&attrs, &node->attrs, false);
    if (!attrs.failed && attrs.length > 0) {
        aval__text_add(d->out, "<TR><TD COLSPAN=\"2\" ALIGN=\"LEFT\"><FONT COLOR=\"#666666\">");
        put_padded(d->out, attrs.at);
        aval__text_add(d->out, "</FONT></TD></TR>");
    }
    aval__text_release(&attrs);
}

/* NULL: it has none. */
static const char *port_name(const aval_node *node, size_t i)
{
    static const char *const of_request[] = { "of", "by", "upstream" };
    if (node->kind == AVAL__GRADIENT_REQUEST) return of_request[i];
    return node->kind == AVAL__OP ? node->def->op->inputs[aval__input_port(node->def, i)].name : NULL;
}

/* The first output, and what is used of the others. */
static bool is_drawn(const drawing *d, const aval_node *node, size_t i)
{
    const aval_value *value = node->outputs[i];
    return value && (i == 0 || d->readers[value->id] > 0 || aval__node_updates(node, i));
}

static size_t count_drawn(const drawing *d, const aval_node *node)
{
    size_t n = 0;
    for (size_t i = 0; i < node->n_outputs; i++) n += is_drawn(d, node, i);
    return n;
}

/* From the node, or, where it has several outputs, from the row of this one. */
static void begin_edge(const drawing *d, const aval_node *node, size_t output)
{
    aval__text_add(d->out, "  n%u", node->id);
    if (count_drawn(d, node) > 1) aval__text_add(d->out, ":o%zu", output);
}

static void draw_edges(const drawing *d, const aval_node *node)
{
    for (size_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (!value || is_row(d, value)) continue;
        if (value->kind == AVAL__PRODUCED) begin_edge(d, value->producer, value->port);
        else aval__text_add(d->out, "  v%u", value->id);
        aval__text_add(d->out, " -> n%u;\n", node->id);
    }
    for (size_t i = 0; i < node->n_outputs; i++) {
        const aval_value *state = aval__node_updates(node, i);
        if (!state) continue;
        begin_edge(d, node, i);
        aval__text_add(d->out, " -> v%u [style=dotted label=updates constraint=false];\n", state->id);
    }
}

static void draw_node(const drawing *d, const aval_node *node)
{
    for (size_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (value && value->kind != AVAL__PRODUCED && !is_row(d, value)) draw_source(d, value);
    }
    begin_table(d, 'n', node->id);
    put_title(d, node);
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && is_row(d, node->inputs[i])) put_tensor(d, node->inputs[i], NULL, port_name(node, i), true);
    for (size_t i = 0; i < node->n_outputs; i++) {
        char port[16];
        snprintf(port, sizeof port, "o%zu", i);
        if (is_drawn(d, node, i)) put_tensor(d, node->outputs[i], port, NULL, false);
    }
    end_table(d);
    draw_edges(d, node);
}

static void count_readers(const drawing *d)
{
    for (size_t n = 0; n < d->n_nodes; n++) {
        const aval_node *node = d->nodes[n];
        for (size_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i]) d->readers[node->inputs[i]->id]++;
        for (size_t i = 0; i < node->n_outputs; i++) {
            const aval_value *state = aval__node_updates(node, i);
            if (state) d->updated[state->id] = true;
        }
    }
}

static void draw(const drawing *d, aval_value *const *wanted, size_t n_wanted)
{
    aval__text_add(d->out, "digraph aval {\n"
                           "  node [shape=plain fontname=\"sans-serif\" fontsize=10];\n"
                           "  edge [color=\"#777777\" arrowsize=0.6 fontname=\"sans-serif\" fontsize=9];\n");
    count_readers(d);
    for (size_t i = 0; i < n_wanted; i++) d->readers[wanted[i]->id]++; /* whoever asked for it */
    for (size_t n = 0; n < d->n_nodes; n++) draw_node(d, d->nodes[n]);
    for (size_t i = 0; i < n_wanted; i++)
        if (wanted[i]->kind != AVAL__PRODUCED && !is_row(d, wanted[i])) draw_source(d, wanted[i]);
    /* what nobody reads is a part of the graph too, unless only a part was asked for */
    for (size_t i = 0; n_wanted == 0 && i < d->g->values.count; i++) {
        const aval_value *value = d->g->values.at[i];
        if (!value->dead && value->kind != AVAL__PRODUCED && !is_row(d, value)) draw_source(d, value);
    }
    aval__text_add(d->out, "}\n");
}

AVAL_API int aval_graph_draw(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_note_function note, void *user,
                             char **text)
{
    AVAL__NEED(g, "a graph");
    AVAL__NEED(text, "a place for the drawing");
    AVAL__NEED(wanted || n_wanted == 0, "an array of values");
    aval__text out = { 0 };
    drawing d = { .g = g, .out = &out, .note = note, .user = user };
    int status = AVAL_OK;
    *text = NULL;
    for (size_t i = 0; i < n_wanted; i++)
        if (!wanted[i] || wanted[i]->graph != g || wanted[i]->dead)
            return aval__fail(AVAL_E_ARGUMENT, "value %zu is no value of this graph", i);
    aval__graph_refresh((aval_graph *)(uintptr_t)g); /* shapes are brought up to date, which a reader need not know */
    d.readers = aval__alloc_array(g->values.count, sizeof *d.readers);
    d.updated = aval__alloc_array(g->values.count, sizeof *d.updated);
    d.placed = aval__alloc_array(g->values.count, sizeof *d.placed);
    if (!d.readers || !d.updated || !d.placed) AVAL__TRY_DONE(AVAL_E_MEMORY);
    if (n_wanted > 0) status = aval__graph_order_links(g, wanted, n_wanted, &d.nodes, &d.n_nodes);
    else status = aval__graph_readable_order(g, &d.nodes, &d.n_nodes);
    if (status < 0) goto done;
    draw(&d, wanted, n_wanted);
    *text = aval__text_take(&out);
    if (!*text) status = AVAL_E_MEMORY;
done:
    aval__free(d.nodes);
    aval__free(d.readers);
    aval__free(d.updated);
    aval__free(d.placed);
    aval__text_release(&out);
    return status;
}

int aval_graph_dot(const aval_graph *g, char **text)
{
    return aval_graph_draw(g, NULL, 0, NULL, NULL, text);
}
