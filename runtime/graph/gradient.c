/* Gradient requests: which of them are answered together, and in which order.  A request whose `of` depends on another request (a second
 * derivative) comes after that one, and differentiates the nodes that were made for it. */
#include "graph/parts.h"

/* The requests among `order`, in order, linked by what they differentiate. */
typedef struct requests {
    aval__arena arena;
    aval_node **at;
    size_t count;
    size_t *next; /* by request: 1 + the next with the same `of`, 0: none */
    size_t *first, *last; /* by value id of `of`: 1 + request */
    aval_node **group;
} requests;

static int collect(requests *r, const aval_graph *g, aval_node *const *order, size_t count)
{
    r->at = aval__arena_alloc(&r->arena, count * sizeof(aval_node *));
    r->group = aval__arena_alloc(&r->arena, count * sizeof(aval_node *));
    r->next = aval__arena_alloc(&r->arena, count * sizeof *r->next);
    r->first = aval__arena_alloc(&r->arena, g->values.count * sizeof *r->first);
    r->last = aval__arena_alloc(&r->arena, g->values.count * sizeof *r->last);
    if (!r->at || !r->group || !r->next || !r->first || !r->last) return AVAL_E_MEMORY;
    for (size_t n = 0; n < count; n++) {
        if (order[n]->kind != AVAL__GRADIENT_REQUEST) continue;
        uint32_t of = order[n]->inputs[0]->id;
        r->at[r->count++] = order[n];
        if (r->last[of]) r->next[r->last[of] - 1] = r->count;
        else r->first[of] = r->count;
        r->last[of] = r->count;
    }
    return AVAL_OK;
}

static int answer_all(requests *r, aval_graph *g, bool strict)
{
    for (size_t i = 0; i < r->count; i++) {
        const aval_node *request = r->at[i];
        size_t n_group = 0;
        if (request->dead) continue; /* answered with an earlier one */
        for (size_t k = r->first[request->inputs[0]->id]; k; k = r->next[k - 1]) {
            aval_node *other = r->at[k - 1];
            if (!other->dead && other->inputs[2] == request->inputs[2]) r->group[n_group++] = other;
        }
        AVAL__TRY(aval__sweep_run(g, r->group, n_group, strict));
    }
    return AVAL_OK;
}

int aval__graph_expand_gradients(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool strict)
{
    requests r = { 0 };
    aval_node **order = NULL;
    size_t count = 0;
    int status = aval__graph_order(g, wanted, n_wanted, &order, &count);
    if (status == AVAL_OK) status = collect(&r, g, order, count);
    if (status == AVAL_OK) status = answer_all(&r, g, strict);
    aval__free(order);
    aval__arena_release(&r.arena);
    return status;
}

int aval__graph_expand(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool strict)
{
    AVAL__TRY(aval__graph_infer(g, wanted, n_wanted));
    AVAL__TRY(aval__bodies_expand_lazy(g, wanted, n_wanted));
    AVAL__TRY(aval__graph_expand_bodies(g, wanted, n_wanted, false));
    AVAL__TRY(aval__graph_expand_gradients(g, wanted, n_wanted, strict));
    return aval__graph_expand_bodies(g, wanted, n_wanted, true);
}
