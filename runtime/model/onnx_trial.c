/* What aval cannot do is to be said before anything runs, also of nodes whose shapes only a run tells.  So shapes are inferred with made-up sizes
 * in place of what is free, and the same made-up number in place of contents that only a run tells: a node that is refused for its types or attributes, in the same words whatever the sizes are, is so for any. */
#include "model/onnx.h"

#include <string.h>

/* Few graphs allow none of these; only those that refuse something see more than the first. */
static const int64_t sizes[] = { 8, 12, 1, 2, 16, 32, 64, 224, 3, 4 };
#define MOST_CONTENT ((size_t)1 << 20)
#define N_SIZES (sizeof sizes / sizeof *sizes)

typedef struct refusal {
    const char *message; /* NULL: none so far */
    int code;
    uint32_t times;
    bool cleared; /* it can be done after all, or depends on sizes */
} refusal;

typedef struct trials {
    aval__arena *arena;
    refusal *of; /* by node id */
    bool any; /* in this trial something is not cleared or known */
} trials;

/* Is it about types or attributes?  A node whose sizes do not fit may be one that is never run. */
static bool is_refusal(int code)
{
    return code == AVAL_E_TYPE || ((code == AVAL_E_UNSUPPORTED || code == AVAL_E_ARGUMENT) && strstr(aval_error(), "attribute"));
}

static int note(void *user, const aval_node *node, int status)
{
    trials *t = user;
    refusal *found = &t->of[node->id];
    t->any = t->any || status < 0;
    if (found->cleared || status == AVAL_E_CONTENT) return AVAL_OK;
    if (!is_refusal(status) || (found->message && strcmp(found->message, aval_error()) != 0)) {
        found->cleared = true;
        return AVAL_OK;
    }
    if (!found->message) found->message = aval__arena_text(t->arena, aval_error());
    found->code = status;
    found->times++;
    return found->message ? AVAL_OK : AVAL_E_MEMORY;
}

static int try_size(const aval_graph *g, int64_t size, trials *t)
{
    aval_graph *copy = NULL;
    AVAL__TRY(aval__graph_copy(g, &copy));
    for (size_t i = 0; i < copy->values.count; i++) {
        aval_value *value = copy->values.at[i];
        for (int32_t d = 0; value->kind == AVAL__INPUT && d < value->tensor.rank; d++)
            if (value->tensor.dims[d] < 0) value->tensor.dims[d] = size;
    }
    copy->most_content = MOST_CONTENT;
    copy->made_up = size;
    t->any = false;
    int status = aval__graph_infer_all(copy, note, t);
    aval_graph_release(copy);
    return status;
}

static bool all_known(const aval_graph *g)
{
    for (size_t i = 0; i < g->values.count; i++)
        if (!g->values.at[i]->dead && !aval__tensor_known(&g->values.at[i]->tensor)) return false;
    return true;
}

int onnx_try_shapes(onnx_reader *r)
{
    aval__arena arena = { 0 };
    trials t = { .arena = &arena };
    int status = AVAL_OK;
    if (all_known(r->g)) return AVAL_OK;
    t.of = aval__alloc_array(r->g->nodes.count, sizeof *t.of);
    if (!t.of) return AVAL_E_MEMORY;
    for (size_t s = 0; s < N_SIZES && (s == 0 || t.any); s++) AVAL__TRY_DONE(try_size(r->g, sizes[s], &t));
    for (size_t n = 0; n < r->g->nodes.count; n++) {
        const refusal *found = &t.of[n];
        if (!found->cleared && found->times > 1) AVAL__TRY_DONE(onnx_problem(r, aval__fail(found->code, "%s", found->message)));
    }
done:
    aval__free(t.of);
    aval__arena_release(&arena);
    return status;
}
