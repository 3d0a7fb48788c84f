/* Derivatives and other trees made from trees.  The derivative goes forward along the tape: for each node the sum, over its
 * operands, of (the table's derivative by that operand) x (the operand's derivative). */
#include "op/expr.h"

/* ---- The rules of the table -------------------------------------------------------------------------------------------------- */

/* In rules a, b, c are the operands (inputs 0 to 2) and y is the result (output 0). */
static bool resolve_rule(void *user, const char *name, size_t length, aval__leaf *leaf)
{
    (void)user;
    if (length != 1 || (name[0] != 'y' && (name[0] < 'a' || name[0] > 'c'))) return false;
    *leaf = name[0] == 'y' ? (aval__leaf){ AVAL__LEAF_OUTPUT, 0 } : (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)(name[0] - 'a') };
    return true;
}

struct operands {
    const uint32_t *arg;
    uint32_t result;
};

static uint32_t place_operand(void *user, aval__builder *b, aval__leaf leaf)
{
    const struct operands *operands = user;
    (void)b;
    return leaf.kind == AVAL__LEAF_OUTPUT ? operands->result : operands->arg[leaf.index];
}

/* d y / d operand for y = node `result`, as a node. */
static uint32_t partial(aval__builder *b, uint32_t result, uint32_t operand)
{
    const aval__expr_node node = b->nodes.at[result];
    const char *rule = aval__operations[node.kind].by[operand];
    const aval__names names = { .resolve = resolve_rule };
    struct operands operands = { .arg = node.arg, .result = result };
    const aval__expr *parsed;
    aval__arena arena = { 0 };
    uint32_t out = 0;
    if (rule == NULL) return aval__build_number(b, 0);
    int status = aval__expr_parse(&arena, rule, &names, &parsed);
    if (status < 0) b->status = status;
    else out = aval__build_copy(b, parsed, true, place_operand, &operands, NULL);
    aval__arena_release(&arena);
    return out;
}

/* ---- Derivatives ----------------------------------------------------------------------------------------------------------------- */

/* The derivative of node `at` of e; map[i]: e's nodes in the builder, d[i]: their derivatives. */
static uint32_t derive_node(aval__builder *b, const aval__expr *e, uint32_t at, const uint32_t *map, const uint32_t *d, aval__leaf leaf)
{
    const aval__expr_node *node = &e->at[at];
    uint32_t zero = aval__build_number(b, 0), total = zero;
    if (node->kind == AVAL__X_LEAF) return aval__build_number(b, node->leaf.kind == leaf.kind && node->leaf.index == leaf.index);
    for (uint32_t i = 0; i < aval__operations[node->kind].arity && b->status >= 0; i++) {
        if (d[node->arg[i]] == zero) continue;
        uint32_t factor = partial(b, map[at], i);
        uint32_t term = aval__build_simple(b, AVAL__X_MUL, (const uint32_t[AVAL__X_ARGS]){ factor, d[node->arg[i]], 0 });
        total = aval__build_simple(b, AVAL__X_ADD, (const uint32_t[AVAL__X_ARGS]){ total, term, 0 });
    }
    return total;
}

const aval__expr *aval__expr_derivative(aval__arena *arena, const aval__expr *e, aval__leaf leaf)
{
    aval__builder b = { 0 };
    uint32_t root = 0, *d = NULL, *map = aval__alloc_array(e->count, sizeof *map);
    if (map != NULL) d = aval__alloc_array(e->count, sizeof *d);
    if (d == NULL) b.status = AVAL_E_MEMORY;
    else aval__build_copy(&b, e, false, NULL, NULL, map);
    for (uint32_t i = 0; i < e->count && b.status >= 0; i++) root = d[i] = derive_node(&b, e, i, map, d, leaf);
    aval__free(d);
    aval__free(map);
    return aval__build_finish(&b, arena, root);
}

/* ---- Trees from trees ------------------------------------------------------------------------------------------------------------ */

static const aval__expr *combine(aval__arena *arena, uint32_t kind, const aval__expr *a, const aval__expr *b)
{
    aval__builder builder = { 0 };
    uint32_t arg[AVAL__X_ARGS] = { aval__build_copy(&builder, a, false, NULL, NULL, NULL), 0, 0 };
    arg[1] = aval__build_copy(&builder, b, false, NULL, NULL, NULL);
    return aval__build_finish(&builder, arena, aval__build_simple(&builder, kind, arg));
}

const aval__expr *aval__expr_multiply(aval__arena *arena, const aval__expr *a, const aval__expr *b)
{
    return combine(arena, AVAL__X_MUL, a, b);
}

const aval__expr *aval__expr_add(aval__arena *arena, const aval__expr *a, const aval__expr *b)
{
    return combine(arena, AVAL__X_ADD, a, b);
}

const aval__expr *aval__expr_leaf(aval__arena *arena, aval__leaf leaf)
{
    aval__builder b = { 0 };
    return aval__build_finish(&b, arena, aval__build_leaf(&b, leaf));
}

struct replacement {
    aval__arena *arena;
    const aval__expr *(*replace)(void *user, aval__arena *arena, aval__leaf leaf);
    void *user;
};

static uint32_t place_replacement(void *user, aval__builder *b, aval__leaf leaf)
{
    const struct replacement *r = user;
    const aval__expr *e = r->replace(r->user, r->arena, leaf);
    if (e != NULL) return aval__build_copy(b, e, false, NULL, NULL, NULL);
    b->status = AVAL_E_MEMORY;
    return 0;
}

const aval__expr *aval__expr_replace(aval__arena *arena, const aval__expr *e,
                                     const aval__expr *(*replace)(void *user, aval__arena *arena, aval__leaf leaf), void *user)
{
    aval__builder b = { 0 };
    struct replacement r = { arena, replace, user };
    return aval__build_finish(&b, arena, aval__build_copy(&b, e, false, place_replacement, &r, NULL));
}

/* ---- Looking at trees -------------------------------------------------------------------------------------------------------------- */

bool aval__expr_is_zero(const aval__expr *e)
{
    const aval__expr_node *root = &e->at[e->count - 1];
    return root->kind == AVAL__X_NUMBER && root->number == 0;
}

bool aval__expr_is_leaf(const aval__expr *e, aval__leaf *leaf)
{
    if (e->count != 1 || e->at[0].kind != AVAL__X_LEAF) return false;
    *leaf = e->at[0].leaf;
    return true;
}

void aval__expr_leaves(const aval__expr *e, void (*visit)(void *user, aval__leaf leaf), void *user)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->at[i].kind == AVAL__X_LEAF) visit(user, e->at[i].leaf);
    }
}
