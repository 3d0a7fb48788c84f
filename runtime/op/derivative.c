/* The derivative of an expression op as an op of its own: upstream x d output / d input.  Its inputs are only those values that the
 * simplified product reads, so that the others can be freed early; an author's text that names an output keeps that output instead. */
#include "op/expr.h"
#include "op/registry.h"

/* The derivative of output `output` by input `input`: the author's where he gave one, else from the tree. */
static const aval__expr *derive_output(aval__arena *arena, const aval__opdef *def, size_t output, size_t input)
{
    const aval_op *op = def->op;
    bool own = def->forward_of == NULL; /* a derived definition has its author's op, whose texts are not about it */
    const char *text = own && output == 0 && input < op->n_derivatives ? op->derivatives[input] : NULL;
    const aval__expr *e = NULL;
    if (text == NULL) return aval__expr_derivative(arena, def->outputs[output], (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)input });
    aval__names names = aval__op_names(op, true);
    return aval__expr_parse(arena, text, &names, &e) < 0 ? NULL : e;
}

/* Sum over the outputs of upstream x derivative. */
static const aval__expr *derive_product(aval__arena *arena, const aval__opdef *def, size_t input)
{
    const aval__expr *total = NULL;
    for (size_t i = 0; i < def->n_outputs; i++) {
        const aval__expr *d = derive_output(arena, def, i, input);
        const aval__expr *upstream = d == NULL ? NULL : aval__expr_leaf(arena, (aval__leaf){ AVAL__LEAF_UPSTREAM, (uint32_t)i });
        const aval__expr *product = upstream == NULL ? NULL : aval__expr_multiply(arena, d, upstream);
        if (product == NULL) return NULL;
        total = total == NULL ? product : aval__expr_add(arena, total, product);
        if (total == NULL) return NULL;
    }
    return total;
}

/* The leaves that become inputs, each once, in the order in which they are met. */
struct sources {
    AVAL__VEC(aval__leaf) leaves;
    int status;
};

static void collect(void *user, aval__leaf leaf)
{
    struct sources *s = user;
    if (leaf.kind == AVAL__LEAF_ATTR || s->status < 0) return;
    for (size_t i = 0; i < s->leaves.count; i++) {
        if (s->leaves.at[i].kind == leaf.kind && s->leaves.at[i].index == leaf.index) return;
    }
    s->status = aval__vec_push(&s->leaves, leaf);
}

static const aval__expr *to_input(void *user, aval__arena *arena, aval__leaf leaf)
{
    const struct sources *s = user;
    aval__leaf input = leaf;
    for (size_t i = 0; leaf.kind != AVAL__LEAF_ATTR && i < s->leaves.count; i++) {
        if (s->leaves.at[i].kind == leaf.kind && s->leaves.at[i].index == leaf.index) input = (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)i };
    }
    return aval__expr_leaf(arena, input);
}

/* "Tanh'0": all in the registry's arena. */
static const char *derived_name(aval__arena *arena, const aval__opdef *of, size_t input)
{
    aval__text text = { 0 };
    aval__text_add(&text, "%s'%zu", of->name, input);
    const char *name = text.failed ? NULL : aval__arena_text(arena, text.at);
    aval__text_release(&text);
    return name;
}

static int make_definition(aval__arena *arena, const aval__opdef *of, size_t input, const aval__expr *tree, const struct sources *sources,
                           const aval__opdef **out)
{
    aval__opdef *def = aval__arena_alloc(arena, sizeof *def);
    const aval__expr **outputs = aval__arena_alloc(arena, sizeof *outputs);
    const char *name = derived_name(arena, of, input);
    const aval__leaf *leaves = aval__arena_copy(arena, sources->leaves.at, sources->leaves.count * sizeof *leaves);
    if (def == NULL || outputs == NULL || name == NULL || leaves == NULL) return AVAL_E_MEMORY;
    outputs[0] = tree;
    *def = (aval__opdef){ .kind = AVAL__EXPRESSION,
                          .op = of->op,
                          .name = name,
                          .domain = of->domain,
                          .plugin = of->plugin,
                          .forward_of = of,
                          .n_inputs = sources->leaves.count,
                          .n_outputs = 1,
                          .outputs = outputs,
                          .n_sources = sources->leaves.count,
                          .sources = leaves };
    *out = def;
    return AVAL_OK;
}

/* aval__derive: intermediate trees go with an arena of their own, the definition stays in the registry's. */
static int derive(aval__arena *arena, const aval__opdef *of, size_t input, const aval__opdef **out)
{
    struct sources sources = { 0 };
    aval__arena scratch = { 0 };
    int status = AVAL_OK;
    const aval__expr *product = derive_product(&scratch, of, input), *tree = NULL;
    if (product == NULL) {
        status = aval__fail_in(AVAL_E_GRADIENT, "the derivative of %s by its input %zu", of->name, input);
        goto done;
    }
    if (aval__expr_is_zero(product)) goto done;
    aval__expr_leaves(product, collect, &sources);
    AVAL__TRY_DONE(sources.status);
    tree = aval__expr_replace(arena, product, to_input, &sources);
    if (tree == NULL) status = AVAL_E_MEMORY;
    else status = make_definition(arena, of, input, tree, &sources, out);
done:
    aval__vec_release(&sources.leaves);
    aval__arena_release(&scratch);
    return status;
}

int aval__opdef_derivative(aval__registry *registry, const aval__opdef *def, size_t input, const aval__opdef **out)
{
    return aval__registry_derived(registry, def, input, derive, out);
}
