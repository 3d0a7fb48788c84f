/* Handing over identities.  What planning puts in the place of a node makes new values, but the caller holds the ids of the old ones:
 * so the old value takes the new one's place as the output of the new node, and the new one disappears. */
#include "graph/parts.h"

void aval__splice_begin(aval__splice *s, aval_graph *g)
{
    *s = (aval__splice){ .g = g, .first_node = g->nodes.count, .first_value = g->values.count };
}

static int fail_mismatch(const aval_value *fresh, const aval_value *old)
{
    aval__text text = { 0 };
    aval__text_add(&text, "value '%s' is to be ", aval__value_label(old));
    aval__tensor_print(&text, &old->tensor);
    aval__text_add(&text, ", but the body yields ");
    aval__tensor_print(&text, &fresh->tensor);
    int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_SHAPE, "%s", text.at);
    aval__text_release(&text);
    return code;
}

void aval__value_take_over(aval_value *fresh, aval_value *old)
{
    old->kind = AVAL__PRODUCED;
    old->producer = fresh->producer;
    old->port = fresh->port;
    old->producer->outputs[old->port] = old;
    fresh->dead = true;
}

static int take_over(aval__splice *s, aval_value *fresh, aval_value *old)
{
    size_t index = fresh->id - s->first_value;
    AVAL__TRY(aval__vec_reserve(&s->heir, index + 1));
    while (s->heir.count <= index) s->heir.at[s->heir.count++] = NULL;
    s->heir.at[index] = old;
    aval__value_take_over(fresh, old);
    return AVAL_OK;
}

int aval__splice_give(aval__splice *s, aval_value *fresh, aval_value *old)
{
    if (fresh->tensor.type != old->tensor.type || !aval__tensor_same_shape(&fresh->tensor, &old->tensor)) return fail_mismatch(fresh, old);
    if (fresh->kind == AVAL__CONSTANT) {
        old->kind = AVAL__CONSTANT;
        old->data = fresh->data;
        old->producer = NULL;
        return AVAL_OK;
    }
    /* one that was there before, or that another took over, keeps its identity: the old value becomes a copy */
    if (fresh->id < s->first_value || fresh->dead || fresh->kind != AVAL__PRODUCED)
        AVAL__TRY(aval__role_cast(s->g, fresh, fresh->tensor.type, &fresh));
    return take_over(s, fresh, old);
}

void aval__splice_end(aval__splice *s)
{
    for (size_t n = s->heir.count ? s->first_node : s->g->nodes.count; n < s->g->nodes.count; n++) {
        aval_node *node = s->g->nodes.at[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            if (!node->inputs[i] || node->inputs[i]->id < s->first_value) continue;
            size_t index = node->inputs[i]->id - s->first_value;
            if (index < s->heir.count && s->heir.at[index]) node->inputs[i] = s->heir.at[index];
        }
    }
    aval__vec_release(&s->heir);
}
