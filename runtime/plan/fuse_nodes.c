/* The statements that compute a cluster's nodes, in the text of its kernel: each node's expressions, of what the nodes before it computed. */
#include "plan/fuse_text.h"

#include <stdio.h>
#include <string.h>

void aval__fused_spell(aval__generator *g, const aval_value *value, const char *text, int arithmetic)
{
    struct aval__spelled s = { .value = value, .text = aval__arena_text(g->arena, text), .arithmetic = arithmetic };
    if (s.text == NULL || aval__vec_push(&g->spelled, s) < 0) g->status = AVAL_E_MEMORY;
}

/* At most 64 nodes of few operations: looking through all is cheaper than a table. */
static uint32_t find_temporary(void *user, const char *value)
{
    aval__generator *g = user;
    struct aval__temporary t = { .hash = aval__hash64(value, strlen(value), (uint64_t)g->type), .type = g->type };
    for (size_t i = 0; i < g->temporaries.count; i++) {
        if (g->temporaries.at[i].hash == t.hash && g->temporaries.at[i].type == t.type) return (uint32_t)i;
    }
    aval__text_add(&g->body, "        const %s t%zu = %s;\n", aval__expr_type(g->type), g->temporaries.count, value);
    if (aval__vec_push(&g->temporaries, t) < 0) g->status = AVAL_E_MEMORY;
    return g->temporaries.count == 0 ? 0 : (uint32_t)g->temporaries.count - 1;
}

void aval__fused_push_arg(aval__generator *g, aval__fused_arg arg)
{
    if (aval__vec_push(&g->args, arg) < 0) g->status = AVAL_E_MEMORY;
}

/* A parameter and the argument for it. */
void aval__fused_parameter(aval__generator *g, const char *type, const char *letter, size_t number, aval__fused_arg arg)
{
    const char *comma = g->args.count > 0 ? ", " : "";
    aval__text_add(&g->parameters, "%s%s%s%zu", comma, type, letter, number);
    aval__text_add(&g->names, "%s%s%zu", comma, letter, number);
    aval__fused_push_arg(g, arg);
}

/* The number of the kernel parameter that holds attribute `index` of the present node. */
static size_t find_attr(aval__generator *g, uint32_t index)
{
    for (size_t i = 0; i < g->attrs.count; i++) {
        if (g->attrs.at[i] == index) return g->first_attr + i;
    }
    bool is_real = aval__fused_is_real(g->type);
    char type[32];
    snprintf(type, sizeof type, "%s ", is_real ? aval__expr_type(g->type) : "long");
    aval__fused_parameter(g, type, "a", g->args.count,
                          (aval__fused_arg){ .kind = is_real ? AVAL__FUSED_REAL : AVAL__FUSED_LONG,
                                             .origin = AVAL__FUSED_ATTRIBUTE,
                                             .index = (uint32_t)g->node_index,
                                             .attr = index,
                                             .type = g->type });
    if (aval__vec_push(&g->attrs, index) < 0) g->status = AVAL_E_MEMORY;
    return g->args.count - 1;
}

static void put_leaf(void *user, aval__text *text, aval__leaf leaf)
{
    aval__generator *g = user;
    if (leaf.kind == AVAL__LEAF_ATTR) {
        size_t number = find_attr(g, leaf.index);
        if (aval__fused_is_real(g->type) || g->type == AVAL_INT64) aval__text_add(text, "a%zu", number);
        else aval__text_add(text, "((%s)a%zu)", aval__expr_type(g->type), number);
        return;
    }
    const aval_value *value = leaf.kind == AVAL__LEAF_INPUT && leaf.index < g->node->n_inputs ? g->node->inputs[leaf.index] : NULL;
    for (size_t i = g->spelled.count; i-- > 0;) {
        const struct aval__spelled *s = &g->spelled.at[i];
        if (s->value != value || value == NULL) continue;
        if (s->arithmetic == g->type) aval__text_add(text, "%s", s->text);
        else aval__text_add(text, "((%s)%s)", aval__expr_type(g->type), s->text);
        return;
    }
    g->status = aval__fail(AVAL_E_INTERNAL, "%s: leaf %u of its expression is no input of the node: please report this", g->node->def->name,
                           leaf.index);
}

/* ---- Nodes -------------------------------------------------------------------------------------------------------------------------- */

/* The result rounded to what its type's storage holds. */
static void put_rounding(aval__generator *g, int type, bool saturate)
{
    const aval__fused_type *t = aval__fused_type_of(type);
    const char *rounding = aval__fused_rounding(type, g->type, saturate);
    if (rounding == NULL || g->result.failed) return;
    g->rounded.length = 0;
    aval__fused_put(&g->rounded, rounding, "", "", g->result.at);
    if (g->rounded.failed) return;
    g->type = t->arithmetic;
    uint32_t number = find_temporary(g, g->rounded.at);
    g->result.length = 0;
    aval__text_add(&g->result, "t%u", number);
}

static void put_output(aval__generator *g, uint32_t output)
{
    const aval_value *value = g->node->outputs[output];
    const aval__expr_writer writer = { .leaf = put_leaf, .temporary = find_temporary, .user = g };
    int type = aval__fused_arithmetic(g->node, output);
    if (type != g->type) { /* attributes are passed in the arithmetic type */
        g->attrs.count = 0;
        g->first_attr = g->args.count;
    }
    g->type = type;
    g->doubles |= type == AVAL_DOUBLE;
    g->smalls |= aval__fused_type_of(value->tensor.type)->small;
    g->result.length = 0;
    if (aval__expr_print(&g->result, g->node->def->outputs[output], type, &writer) < 0) g->status = AVAL_E_MEMORY;
    if (g->status < 0) return;
    put_rounding(g, value->tensor.type, aval__attrs_saturate(&g->node->attrs));
    g->type = type;
    if (g->result.failed || g->rounded.failed) g->status = AVAL_E_MEMORY;
    else aval__fused_spell(g, value, g->result.at, aval__fused_type_of(value->tensor.type)->arithmetic);
}

void aval__fused_nodes(aval__generator *g)
{
    for (size_t i = 0; i < g->cluster->n_nodes && g->status >= 0; i++) {
        g->node = g->cluster->nodes[i];
        g->node_index = i;
        g->attrs.count = 0;
        g->first_attr = g->args.count;
        for (uint32_t k = 0; k < g->node->n_outputs && g->status >= 0; k++) {
            if (g->node->outputs[k] != NULL) put_output(g, k);
        }
    }
}
