/* The value of an expression on the host: one pass along the tape.  Both branches of ?: are computed, as vector units do; the one that
 * is not chosen has no effect, since nothing here traps. */
#include "op/expr.h"

double aval__expr_real(const aval__expr *e, double (*leaf)(const void *user, aval__leaf leaf), const void *user)
{
    double value[e->count]; /* at most AVAL__X_MOST */
    for (uint32_t i = 0; i < e->count; i++) {
        const aval__expr_node *node = &e->at[i];
        if (node->kind == AVAL__X_NUMBER) value[i] = node->number;
        else if (node->kind == AVAL__X_LEAF) value[i] = leaf(user, node->leaf);
        else
            value[i] = aval__operations[node->kind].real((const double[]){ value[node->arg[0]], value[node->arg[1]], value[node->arg[2]] });
    }
    return value[e->count - 1];
}

static int64_t operate(const aval__operation *operation, bool natural, const int64_t a[AVAL__X_ARGS])
{
    double real[AVAL__X_ARGS];
    if (natural && operation->natural != NULL) return operation->natural(a);
    if (operation->integer != NULL) return operation->integer(a);
    for (int i = 0; i < AVAL__X_ARGS; i++) real[i] = natural ? (double)(uint64_t)a[i] : (double)a[i];
    return aval__saturate(operation->real(real), natural);
}

int64_t aval__expr_integer(const aval__expr *e, bool natural, int64_t (*leaf)(const void *user, aval__leaf leaf), const void *user)
{
    int64_t value[e->count];
    for (uint32_t i = 0; i < e->count; i++) {
        const aval__expr_node *node = &e->at[i];
        const uint32_t *arg = node->arg;
        if (node->kind == AVAL__X_NUMBER) value[i] = aval__saturate(node->number, natural);
        else if (node->kind == AVAL__X_LEAF) value[i] = leaf(user, node->leaf);
        else value[i] = operate(&aval__operations[node->kind], natural, (const int64_t[]){ value[arg[0]], value[arg[1]], value[arg[2]] });
    }
    return value[e->count - 1];
}
