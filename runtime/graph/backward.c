/* How the inputs of a backward node map to what its recorder sees.  graph.h gives the order; this file is the only one that counts. */
#include "graph/parts.h"

static bool keeps_input(const aval_node *forward, size_t i)
{
    size_t port = aval__input_port(forward->def, i);
    return port < 32 && forward->def->op->keeps & AVAL_KEEP_INPUT(port);
}

static bool keeps_output(const aval_node *forward, size_t i)
{
    return i < 32 && forward->def->op->keeps & AVAL_KEEP_OUTPUT(i);
}

static bool accumulates(const aval_node *forward, size_t i)
{
    size_t port = aval__input_port(forward->def, i);
    return port < 32 && (forward->def->op->accumulates >> port & 1u);
}

/* The groups of a backward node's inputs, in their order. */
typedef enum slot_kind { KEPT_INPUT, KEPT_OUTPUT, UPSTREAM, BASE } slot_kind;

static bool is_slot(const aval_node *forward, slot_kind kind, size_t i)
{
    switch (kind) {
    case KEPT_INPUT: return keeps_input(forward, i);
    case KEPT_OUTPUT: return keeps_output(forward, i);
    case UPSTREAM: return true;
    case BASE: return accumulates(forward, i);
    }
    return false;
}

static size_t slot_limit(const aval_node *forward, slot_kind kind)
{
    return kind == KEPT_INPUT || kind == BASE ? forward->n_inputs : forward->n_outputs;
}

size_t aval__backward_slots(const aval_node *forward)
{
    size_t n = 0;
    for (slot_kind kind = KEPT_INPUT; kind <= BASE; kind++)
        for (size_t i = 0; i < slot_limit(forward, kind); i++) n += is_slot(forward, kind, i);
    return n;
}

/* Index among the backward node's inputs, or SIZE_MAX when the forward's input or output has no place there. */
static size_t slot_of(const aval_node *forward, slot_kind wanted, size_t index)
{
    size_t n = 0;
    if (index >= slot_limit(forward, wanted) || !is_slot(forward, wanted, index)) return SIZE_MAX;
    for (slot_kind kind = KEPT_INPUT; kind < wanted; kind++)
        for (size_t i = 0; i < slot_limit(forward, kind); i++) n += is_slot(forward, kind, i);
    for (size_t i = 0; i < index; i++) n += is_slot(forward, wanted, i);
    return n;
}

static bool is_backward(const aval_node *node)
{
    return node->kind == AVAL__OP && node->def->kind == AVAL__BACKWARD;
}

void aval__backward_fill(aval_node *node, aval_value *const *upstream)
{
    const aval_node *forward = node->forward;
    for (size_t i = 0; i < forward->n_inputs; i++)
        if (keeps_input(forward, i)) node->inputs[slot_of(forward, KEPT_INPUT, i)] = forward->inputs[i];
    for (size_t i = 0; i < forward->n_outputs; i++) {
        if (keeps_output(forward, i)) node->inputs[slot_of(forward, KEPT_OUTPUT, i)] = forward->outputs[i];
        node->inputs[slot_of(forward, UPSTREAM, i)] = upstream[i];
    }
}

bool aval__backward_accumulates(const aval_node *node, size_t i)
{
    return is_backward(node) && i < node->forward->n_inputs && accumulates(node->forward, i);
}

void aval__backward_set_base(aval_node *node, size_t i, aval_value *base)
{
    node->inputs[slot_of(node->forward, BASE, i)] = base;
}

aval_value *aval__node_base(const aval_node *node, size_t output)
{
    if (!is_backward(node)) return NULL;
    size_t slot = slot_of(node->forward, BASE, output);
    return slot == SIZE_MAX ? NULL : node->inputs[slot];
}

aval_value *aval__backward_input(const aval_node *node, size_t i, bool *readable)
{
    size_t slot = slot_of(node->forward, KEPT_INPUT, i);
    *readable = slot != SIZE_MAX;
    if (*readable) return node->inputs[slot];
    return i < node->forward->n_inputs ? node->forward->inputs[i] : NULL;
}

aval_value *aval__backward_output(const aval_node *node, size_t i, bool *readable)
{
    size_t slot = slot_of(node->forward, KEPT_OUTPUT, i);
    *readable = slot != SIZE_MAX;
    if (*readable) return node->inputs[slot];
    return i < node->forward->n_outputs ? node->forward->outputs[i] : NULL;
}

aval_value *aval__backward_upstream(const aval_node *node, size_t i)
{
    size_t slot = slot_of(node->forward, UPSTREAM, i);
    return slot == SIZE_MAX ? NULL : node->inputs[slot];
}
