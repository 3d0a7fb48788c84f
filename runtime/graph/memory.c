/* Memory of what can be removed from a graph: it comes back and is used again, so that a graph which is edited for ever stays as large as
 * it ever was at once.  Records of nodes and values keep their ids for the next owner; what hangs on them is kept in lists by size. */
#include "graph/parts.h"

#include <string.h>

struct aval__spare {
    struct aval__spare *next;
};

/* Sizes are powers of two, from that of a spare's link on. */
static size_t size_class(size_t bytes)
{
    size_t index = 4;
    while (index < AVAL__SPARE_CLASSES - 1 && (size_t)1 << index < bytes) index++;
    return index;
}

void *aval__graph_take(aval_graph *g, size_t bytes)
{
    size_t index = size_class(bytes);
    struct aval__spare *spare = g->spares[index];
    if (g->planning || bytes > (size_t)1 << index) return aval__arena_alloc(&g->arena, bytes);
    if (!spare) return aval__arena_alloc(&g->arena, (size_t)1 << index);
    g->spares[index] = spare->next;
    return memset(spare, 0, bytes > sizeof *spare ? bytes : sizeof *spare);
}

void aval__graph_give(aval_graph *g, const void *memory, size_t bytes)
{
    size_t index = size_class(bytes);
    if (!memory || g->planning || bytes > (size_t)1 << index) return; /* a copy shares its memory with the original */
    struct aval__spare *spare = (struct aval__spare *)memory;
    spare->next = g->spares[index];
    g->spares[index] = spare;
}

char *aval__graph_take_text(aval_graph *g, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = aval__graph_take(g, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void aval__graph_give_text(aval_graph *g, const char *text)
{
    if (text) aval__graph_give(g, text, strlen(text) + 1);
}

/* ---- Records ------------------------------------------------------------------------------------------------------------------------ */

int aval__graph_value_record(aval_graph *g, aval_value **out)
{
    aval_value *value;
    if (g->unused_values.count) {
        value = g->unused_values.at[--g->unused_values.count];
        *value = (aval_value){ .id = value->id };
    } else {
        value = aval__arena_alloc(&g->arena, sizeof *value);
        if (!value) return AVAL_E_MEMORY;
        value->id = (uint32_t)g->values.count;
        AVAL__TRY(aval__vec_push(&g->values, value));
    }
    *out = value;
    return AVAL_OK;
}

int aval__graph_node_record(aval_graph *g, aval_node **out)
{
    aval_node *node;
    if (g->unused_nodes.count) {
        node = g->unused_nodes.at[--g->unused_nodes.count];
        *node = (aval_node){ .id = node->id };
    } else {
        node = aval__arena_alloc(&g->arena, sizeof *node);
        if (!node) return AVAL_E_MEMORY;
        node->id = (uint32_t)g->nodes.count;
        AVAL__TRY(aval__vec_push(&g->nodes, node));
    }
    *out = node;
    return AVAL_OK;
}

/* A record that the list of unused ones has no room for is lost to this graph, and nothing else is. */
void aval__graph_drop_value(aval_value *value)
{
    aval_graph *g = value->graph;
    value->dead = true;
    if (g->planning) return; /* expansion still reads what it replaced */
    aval__graph_give_text(g, value->name);
    aval__graph_give_text(g, value->axes);
    value->name = value->axes = NULL;
    if (value->kind == AVAL__CONSTANT) aval__graph_give(g, value->data, aval__tensor_bytes(&value->tensor));
    value->data = NULL;
    (void)aval__vec_push(&g->unused_values, value);
}

void aval__graph_drop_node(aval_node *node)
{
    aval_graph *g = node->graph;
    node->dead = true;
    for (size_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i]) aval__graph_drop_value(node->outputs[i]);
    if (g->planning) return;
    aval__graph_give(g, node->inputs, node->n_inputs * sizeof(aval_value *));
    aval__graph_give(g, node->outputs, node->n_outputs * sizeof(aval_value *));
    aval__graph_give(g, node->attrs.at, aval__attrs_bytes(&node->attrs));
    aval__graph_give_text(g, node->name);
    node->n_inputs = node->n_outputs = 0;
    node->attrs = (aval__attrs){ 0 };
    node->name = NULL;
    (void)aval__vec_push(&g->unused_nodes, node);
}
