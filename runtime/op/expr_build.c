/* Building tapes: equal nodes are made once, and what the result does not need is dropped at the end. */
#include "op/expr.h"

#include <string.h>

#define LEAST_TABLE 64

void aval__builder_release(aval__builder *b)
{
    aval__vec_release(&b->nodes);
    aval__free(b->table);
    b->table = NULL;
    b->table_size = 0;
}

/* Nodes are compared as bytes: members are set on zeroed memory and the struct has no padding. */
_Static_assert(sizeof(aval__expr_node) == 4 + 4 * AVAL__X_ARGS + sizeof(aval__leaf) + sizeof(double), "aval__expr_node has padding");

static uint32_t *find_place(const aval__builder *b, uint32_t *table, size_t size, const aval__expr_node *node)
{
    size_t at = (size_t)aval__hash64(node, sizeof *node, 0) & (size - 1);
    while (table[at] != 0 && memcmp(&b->nodes.at[table[at] - 1], node, sizeof *node) != 0) at = (at + 1) & (size - 1);
    return &table[at];
}

static int grow_table(aval__builder *b)
{
    if ((b->nodes.count + 1) * 2 <= b->table_size) return AVAL_OK;
    size_t size = b->table_size == 0 ? LEAST_TABLE : b->table_size * 2;
    uint32_t *table = aval__alloc_array(size, sizeof *table);
    if (table == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < b->nodes.count; i++) *find_place(b, table, size, &b->nodes.at[i]) = (uint32_t)i + 1;
    aval__free(b->table);
    b->table = table;
    b->table_size = size;
    return AVAL_OK;
}

static uint32_t intern(aval__builder *b, aval__expr_node node)
{
    if (b->status < 0) return 0;
    b->status = grow_table(b);
    if (b->status < 0) return 0;
    uint32_t *place = find_place(b, b->table, b->table_size, &node);
    if (*place == 0) {
        b->status = aval__vec_push(&b->nodes, node);
        if (b->status < 0) return 0;
        *place = (uint32_t)b->nodes.count;
    }
    return *place - 1;
}

uint32_t aval__build_number(aval__builder *b, double x)
{
    return intern(b, (aval__expr_node){ .kind = AVAL__X_NUMBER, .number = x });
}

uint32_t aval__build_leaf(aval__builder *b, aval__leaf leaf)
{
    return intern(b, (aval__expr_node){ .kind = AVAL__X_LEAF, .leaf = leaf });
}

uint32_t aval__build(aval__builder *b, uint32_t kind, const uint32_t arg[AVAL__X_ARGS])
{
    aval__expr_node node = { .kind = kind };
    for (uint32_t i = 0; i < aval__operations[kind].arity; i++) node.arg[i] = arg[i];
    return intern(b, node);
}

uint32_t aval__build_copy(aval__builder *b, const aval__expr *e, bool simple,
                          uint32_t (*leaf)(void *user, aval__builder *b, aval__leaf leaf), void *user, uint32_t *map)
{
    uint32_t result = 0, *own = NULL;
    if (b->status < 0) return 0;
    if (map == NULL) {
        own = map = aval__alloc_array(e->count, sizeof *map);
        if (map == NULL) b->status = AVAL_E_MEMORY;
    }
    for (uint32_t i = 0; i < e->count && b->status >= 0; i++) {
        const aval__expr_node *node = &e->at[i];
        if (node->kind == AVAL__X_NUMBER) map[i] = aval__build_number(b, node->number);
        else if (node->kind == AVAL__X_LEAF) map[i] = leaf == NULL ? aval__build_leaf(b, node->leaf) : leaf(user, b, node->leaf);
        else {
            uint32_t arg[AVAL__X_ARGS] = { map[node->arg[0]], map[node->arg[1]], map[node->arg[2]] };
            map[i] = simple ? aval__build_simple(b, node->kind, arg) : aval__build(b, node->kind, arg);
        }
        result = map[i];
    }
    aval__free(own);
    return b->status < 0 ? 0 : result;
}

/* Numbers in `place` the nodes that root needs, from 1 on in their order; returns how many. */
static uint32_t number_needed(const aval__builder *b, uint32_t root, uint32_t *place)
{
    uint32_t count = 0;
    place[root] = 1;
    for (uint32_t i = root + 1; i-- > 0;) {
        const aval__expr_node *node = &b->nodes.at[i];
        for (uint32_t k = 0; place[i] != 0 && k < aval__operations[node->kind].arity; k++) place[node->arg[k]] = 1;
    }
    for (uint32_t i = 0; i <= root; i++) {
        if (place[i] != 0) place[i] = ++count;
    }
    return count;
}

const aval__expr *aval__build_finish(aval__builder *b, aval__arena *arena, uint32_t root)
{
    aval__expr *e = NULL;
    uint32_t *place = NULL;
    if (b->status < 0) goto done;
    place = aval__alloc_array((size_t)root + 1, sizeof *place);
    if (place == NULL) goto done;
    uint32_t count = number_needed(b, root, place);
    if (count > AVAL__X_MOST) {
        aval__fail(AVAL_E_UNSUPPORTED,
                   "an expression has %u distinct parts, at most %d are possible: split the operator, or give its derivatives as texts",
                   count, AVAL__X_MOST);
        goto done;
    }
    e = aval__arena_alloc(arena, sizeof *e + count * sizeof *e->at);
    if (e == NULL) goto done;
    e->count = count;
    for (uint32_t i = 0; i <= root; i++) {
        if (place[i] == 0) continue;
        aval__expr_node *node = &e->at[place[i] - 1];
        *node = b->nodes.at[i];
        for (uint32_t k = 0; k < aval__operations[node->kind].arity; k++) node->arg[k] = place[node->arg[k]] - 1;
    }
done:
    aval__free(place);
    aval__builder_release(b);
    return e;
}
