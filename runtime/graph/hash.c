/* The structural hash: the key under which plans are kept.  Plans refer to values by id, so ids are part of it. */
#include "graph/parts.h"

static void put(aval__text *bytes, const void *data, size_t n)
{
    aval__text_put(bytes, data, n);
}

static void put_number(aval__text *bytes, int64_t number)
{
    put(bytes, &number, sizeof number);
}

/* With its end, so that "ab" "c" and "a" "bc" differ. */
static void put_text(aval__text *bytes, const char *text)
{
    aval__text_add(bytes, "%s\n", text ? text : "");
}

static void put_value(aval__text *bytes, const aval_value *value, bool *seen)
{
    put_number(bytes, value ? (int64_t)value->id : -1);
    if (!value || seen[value->id]) return;
    seen[value->id] = true;
    const aval_tensor *t = &value->tensor;
    put_number(bytes, value->kind);
    if (value->kind == AVAL__PRODUCED) return; /* its shape follows, and may not be inferred yet */
    put_number(bytes, t->type);
    put_number(bytes, t->rank);
    put(bytes, t->dims, t->rank > 0 ? (size_t)t->rank * sizeof *t->dims : 0);
    put_number(bytes, t->layout);
    if (value->kind == AVAL__INPUT || value->kind == AVAL__STATE) put_text(bytes, value->name);
    if (!value->data) return;
    aval__hash content = aval__hash_bytes(value->data, aval__tensor_bytes(t));
    put(bytes, &content, sizeof content);
}

static void put_node(aval__text *bytes, const aval_node *node, bool *seen)
{
    put_number(bytes, node->id);
    put_number(bytes, node->kind);
    put_number(bytes, node->device);
    if (node->def) {
        put_text(bytes, node->def->domain);
        put_text(bytes, node->def->name);
        put_number(bytes, node->def->op->since);
        aval__attrs_print(bytes, &node->attrs, true);
        put_text(bytes, "");
    }
    put_number(bytes, node->n_inputs);
    for (size_t i = 0; i < node->n_inputs; i++) put_value(bytes, node->inputs[i], seen);
    put_number(bytes, node->n_outputs);
    for (size_t i = 0; i < node->n_outputs; i++) put_value(bytes, node->outputs[i], seen);
}

int aval__graph_hash(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval__hash *hash)
{
    aval_node **order = NULL;
    size_t count = 0;
    aval__text bytes = { 0 };
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    if (status < 0) return status;
    bool *seen = aval__alloc_array(g->values.count, sizeof *seen);
    if (!seen) status = AVAL_E_MEMORY;
    for (size_t n = 0; n < count && seen; n++) put_node(&bytes, order[n], seen);
    for (size_t i = 0; i < n_wanted && seen; i++) put_value(&bytes, g->values.at[wanted[i]->id], seen);
    if (status == AVAL_OK && bytes.failed) status = aval__fail(AVAL_E_MEMORY, "out of memory for the hash of a graph of %zu nodes", count);
    if (status == AVAL_OK) *hash = aval__hash_bytes(bytes.at ? bytes.at : "", bytes.length);
    aval__free(seen);
    aval__free(order);
    aval__text_release(&bytes);
    return status;
}
