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

int64_t aval__expr_integer(const aval__expr *e, int64_t (*leaf)(const void *user, aval__leaf leaf), const void *user)
{
    int64_t value[e->count];
    for (uint32_t i = 0; i < e->count; i++) {
        const aval__expr_node *node = &e->at[i];
        const aval__operation *operation = &aval__operations[node->kind];
        const uint32_t *arg = node->arg;
        if (node->kind == AVAL__X_NUMBER) value[i] = aval__saturate(node->number);
        else if (node->kind == AVAL__X_LEAF) value[i] = leaf(user, node->leaf);
        else if (operation->integer != NULL)
            value[i] = operation->integer((const int64_t[]){ value[arg[0]], value[arg[1]], value[arg[2]] });
        else {
            const double real[AVAL__X_ARGS] = { (double)value[arg[0]], (double)value[arg[1]], (double)value[arg[2]] };
            value[i] = aval__saturate(operation->real(real));
        }
    }
    return value[e->count - 1];
}
