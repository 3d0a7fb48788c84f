/* The structural hash, the key under which plans are kept, and the numbering of values that goes with it.
 *
 * Both follow the links from what is wanted, breadth first, and never an id: a graph in which a layer was taken out and put in again has
 * new nodes under new ids, and is the same graph all the same. */
#include "graph/parts.h"

#include <string.h>

typedef struct walk {
    const aval_graph *g;
    aval__text bytes; /* what is hashed */
    aval__numbering *numbers;
    uint32_t *number; /* by value id: 1 + its number, 0: not met yet */
    uint32_t *index; /* by node id: 1 + its index in `nodes`, 0: not met yet */
    AVAL__VEC(const aval_node *) nodes; /* met; those before the present one are in `bytes` */
} walk;

static void put_number(walk *w, int64_t number)
{
    aval__text_put(&w->bytes, (const char *)&number, sizeof number);
}

/* After its length, so that "ab" "c" and "a" "bc" differ. */
static void put_bytes(walk *w, const void *data, size_t bytes)
{
    put_number(w, (int64_t)bytes);
    if (bytes) aval__text_put(&w->bytes, data, bytes);
}

static void put_text(walk *w, const char *text)
{
    put_bytes(w, text, text ? strlen(text) : 0);
}

static int meet_node(walk *w, const aval_node *node)
{
    if (w->index[node->id]) return AVAL_OK;
    AVAL__TRY(aval__vec_push(&w->nodes, node));
    w->index[node->id] = (uint32_t)w->nodes.count;
    return AVAL_OK;
}

/* All that is to be said of a value when it is met first. */
static int describe_value(walk *w, const aval_value *value)
{
    const aval_tensor *t = &value->tensor;
    put_number(w, value->kind);
    put_number(w, value->dead);
    put_text(w, value->name);
    if (value->kind == AVAL__PRODUCED) { /* its shape follows, and may not be inferred yet */
        AVAL__TRY(meet_node(w, value->producer));
        put_number(w, w->index[value->producer->id]);
        put_number(w, value->port);
        return AVAL_OK;
    }
    put_number(w, t->type);
    put_number(w, t->layout);
    put_bytes(w, t->dims, t->rank > 0 ? (size_t)t->rank * sizeof *t->dims : 0);
    if (!value->data) return AVAL_OK;
    aval__hash content = aval__hash_bytes(value->data, aval__tensor_bytes(t));
    put_bytes(w, &content, sizeof content);
    return AVAL_OK;
}

static int put_value(walk *w, const aval_value *value)
{
    uint32_t *number = value ? &w->number[value->id] : NULL;
    bool first = number && !*number;
    if (first) {
        AVAL__TRY(aval__vec_push(w->numbers, value->id));
        *number = (uint32_t)w->numbers->count;
    }
    put_number(w, number ? *number : 0);
    return first ? describe_value(w, value) : AVAL_OK;
}

static void put_attribute(walk *w, const aval__attr_value *a)
{
    put_text(w, a->name);
    switch (a->type) {
    case AVAL_ATTR_INT: put_number(w, a->integer); break;
    case AVAL_ATTR_FLOAT: put_bytes(w, &a->real, sizeof a->real); break;
    case AVAL_ATTR_STRING: put_text(w, a->text); break;
    case AVAL_ATTR_INTS: put_bytes(w, a->ints.at, a->ints.count * sizeof *a->ints.at); break;
    default: put_bytes(w, a->reals.at, a->reals.count * sizeof *a->reals.at); break;
    }
}

static int put_node(walk *w, const aval_node *node)
{
    put_number(w, node->kind);
    put_number(w, node->dead);
    put_number(w, node->device);
    put_text(w, node->name);
    if (node->def) {
        put_text(w, node->def->domain);
        put_text(w, node->def->name);
        put_number(w, node->def->op->since);
        put_number(w, (int64_t)node->attrs.count);
        for (size_t i = 0; i < node->attrs.count; i++) put_attribute(w, &node->attrs.at[i]);
    }
    if (node->loop) put_bytes(w, &node->loop->key, sizeof node->loop->key);
    put_number(w, node->n_inputs);
    for (size_t i = 0; i < node->n_inputs; i++) AVAL__TRY(put_value(w, node->inputs[i]));
    put_number(w, node->n_outputs);
    for (size_t i = 0; i < node->n_outputs; i++) AVAL__TRY(put_value(w, node->outputs[i]));
    return AVAL_OK;
}

static int walk_graph(walk *w, aval_value *const *wanted, size_t n_wanted)
{
    w->number = aval__alloc_array(w->g->values.count, sizeof *w->number);
    w->index = aval__alloc_array(w->g->nodes.count, sizeof *w->index);
    if (!w->number || !w->index) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_wanted; i++) {
        if (!wanted[i] || wanted[i]->id >= w->g->values.count)
            return aval__fail(AVAL_E_ARGUMENT, "value %zu that is wanted is not one of this graph", i);
        AVAL__TRY(put_value(w, w->g->values.at[wanted[i]->id]));
    }
    for (size_t n = 0; n < w->nodes.count; n++) AVAL__TRY(put_node(w, w->nodes.at[n]));
    return w->bytes.failed ? AVAL_E_MEMORY : AVAL_OK;
}

int aval__graph_hash(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval__hash *hash, aval__numbering *numbers)
{
    walk w = { .g = g, .numbers = numbers };
    numbers->count = 0;
    int status = walk_graph(&w, wanted, n_wanted);
    if (status == AVAL_OK) *hash = aval__hash_bytes(w.bytes.at ? w.bytes.at : "", w.bytes.length);
    aval__free(w.number);
    aval__free(w.index);
    aval__vec_release(&w.nodes);
    aval__text_release(&w.bytes);
    return status;
}
