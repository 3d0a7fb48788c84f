/* Nodes that gradients need besides the ops' own: sums, ones and zeros, casts, sums over broadcast axes.  Which op does each is found by
 * role, so that no operator is named here. */
#include "graph/parts.h"

static const char *const purposes[] = { [AVAL_ROLE_ADD] = "ADD, which sums gradients where a value fans out",
                                        [AVAL_ROLE_FILL] = "FILL, which makes ones and zeros",
                                        [AVAL_ROLE_CAST] = "CAST, which changes element types and copies values",
                                        [AVAL_ROLE_REDUCE_SUM] = "REDUCE_SUM, which sums gradients over broadcast axes",
                                        [AVAL_ROLE_RESHAPE] = "RESHAPE, which gives gradients the shape of a broadcast input",
                                        [AVAL_ROLE_TRANSPOSE] = "TRANSPOSE, which turns channels into blocks" };

static int add_role(aval_graph *g, aval_role role, const char *text, aval_value *const *inputs, size_t n_inputs, aval_value **out)
{
    aval__attrs attrs = { 0 };
    aval_node *node = NULL;
    const aval__opdef *def = aval__registry_role(g->registry, role);
    if (!def) return aval__fail(AVAL_E_UNSUPPORTED, "this graph needs an op of role %s, and no loaded plugin has one", purposes[role]);
    AVAL__TRY(aval__attrs_parse(&g->arena, def->op->attrs, text, &attrs));
    AVAL__TRY(aval__graph_add_node(g, def, &attrs, inputs, n_inputs, 1, &node));
    *out = node->outputs[0];
    return AVAL_OK;
}

int aval__role_add(aval_graph *g, aval_value *a, aval_value *b, aval_value **out)
{
    return add_role(g, AVAL_ROLE_ADD, NULL, (aval_value *const[]){ a, b }, 2, out);
}

int aval__role_cast(aval_graph *g, aval_value *x, int type, aval_value **out)
{
    aval__text text = { 0 };
    aval__text_add(&text, "to=%d", type);
    int status = text.failed ? aval__fail(AVAL_E_MEMORY, "out of memory for an attribute")
                             : add_role(g, AVAL_ROLE_CAST, text.at, (aval_value *const[]){ x }, 1, out);
    aval__text_release(&text);
    return status;
}

int aval__role_fill(aval_graph *g, const aval_tensor *shape, double number, aval_value **out)
{
    aval__text text = { 0 };
    aval__text_add(&text, "dims=[");
    for (int32_t i = 0; i < shape->rank; i++) aval__text_add(&text, "%s%lld", i ? "," : "", (long long)shape->dims[i]);
    aval__text_add(&text, "] type=%d value=", shape->type);
    aval__text_real(&text, number);
    int status =
        text.failed ? aval__fail(AVAL_E_MEMORY, "out of memory for an attribute") : add_role(g, AVAL_ROLE_FILL, text.at, NULL, 0, out);
    aval__text_release(&text);
    return status;
}

static int add_ints(aval_graph *g, const int64_t *numbers, size_t count, aval_value **out)
{
    aval_tensor tensor = { .type = AVAL_INT64, .rank = 1, .dims = { (int64_t)count } };
    return aval__graph_add_constant(g, &tensor, numbers, out);
}

int aval__role_unbroadcast(aval_graph *g, aval_value *x, const aval_tensor *shape, aval_value **out)
{
    int64_t axes[AVAL_MAX_RANK];
    aval_value *list = NULL;
    size_t n_axes = aval__broadcast_axes(&x->tensor, shape, axes);
    *out = x;
    if (n_axes) {
        AVAL__TRY(add_ints(g, axes, n_axes, &list));
        /* axes stay as ones where the shape has them, and go where it lacks them; a shape that needs both is reshaped to below */
        const char *text = x->tensor.rank == shape->rank ? "keepdims=1" : "keepdims=0";
        AVAL__TRY(add_role(g, AVAL_ROLE_REDUCE_SUM, text, (aval_value *const[]){ *out, list }, 2, out));
    }
    if (aval__tensor_same_shape(&(*out)->tensor, shape)) return AVAL_OK;
    return aval__role_reshape(g, *out, shape, out);
}

int aval__role_reshape(aval_graph *g, aval_value *x, const aval_tensor *shape, aval_value **out)
{
    aval_value *list = NULL;
    AVAL__TRY(add_ints(g, shape->dims, (size_t)shape->rank, &list));
    return add_role(g, AVAL_ROLE_RESHAPE, NULL, (aval_value *const[]){ x, list }, 2, out);
}

int aval__role_transpose(aval_graph *g, aval_value *x, const int64_t *perm, aval_value **out)
{
    aval__text text = { 0 };
    for (int32_t i = 0; i < x->tensor.rank; i++) aval__text_add(&text, "%s%lld", i > 0 ? "," : "perm=[", (long long)perm[i]);
    aval__text_add(&text, "]");
    int status = text.failed ? AVAL_E_MEMORY : add_role(g, AVAL_ROLE_TRANSPOSE, text.at, (aval_value *const[]){ x }, 1, out);
    aval__text_release(&text);
    return status;
}
